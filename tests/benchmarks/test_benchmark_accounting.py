"""The /proc accounting and the arithmetic of the comparison; no server, no network."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.docs import BEGIN, END, DocsError, between_markers
from benchmarks.load import H2Load, LoadError
from benchmarks.picture import CUT, picture
from benchmarks.process import Memory
from benchmarks.report import Results, Sample, ratios, report
from benchmarks.scenarios import BROWSER_HEADERS, SCENARIOS
from benchmarks.servers import Certificate, peers, tidegate

from benchmarks import process

TICK = 1 / process.TICKS_PER_SECOND

SMAPS_ROLLUP = """\
55d0-7ffc ---p 00000000 00:00 0                          [rollup]
Rss:            {rss:8d} kB
Pss:            {pss:8d} kB
Pss_Dirty:          1234 kB
"""


def add_process(
    proc: Path,
    pid: int,
    parent: int,
    ticks: tuple[int, int, int, int],
    command: str = "x",
    rss: int = 0,
    pss: int = 0,
) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    before = "0 " * 9  # pgrp to cmajflt, proc(5) fields 5 to 13
    (folder / "stat").write_text(f"{pid} ({command}) S {parent} {before}{' '.join(map(str, ticks))} 20 0 1\n")
    (folder / "smaps_rollup").write_text(SMAPS_ROLLUP.format(rss=rss, pss=pss))


def test_cpu_of_a_tree_sums_its_descendants_and_no_others(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1, (1, 2, 4, 8))
    add_process(tmp_path, 11, 10, (16, 0, 0, 0))
    add_process(tmp_path, 12, 11, (0, 32, 0, 0))
    add_process(tmp_path, 20, 1, (1000, 1000, 1000, 1000))
    (tmp_path / "self").mkdir()
    assert process.cpu_seconds(10, tmp_path) == pytest.approx(63 * TICK)
    assert sorted(process.tree(11, tmp_path)) == [11, 12]


def test_a_command_may_hold_spaces_and_parentheses(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1, (1, 1, 0, 0), command="a) S 7 (b")
    assert process.tree(10, tmp_path) == {10: process.Stat(parent=1, ticks=2)}


def test_a_process_that_is_gone_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "10").mkdir()  # listed, but its files are gone
    assert process.cpu_seconds(10, tmp_path) == 0
    assert process.memory(10, tmp_path) == Memory(0, 0)


def test_memory_sums_the_tree_in_bytes(tmp_path: Path) -> None:
    add_process(tmp_path, 10, 1, (0, 0, 0, 0), rss=100, pss=60)
    add_process(tmp_path, 11, 10, (0, 0, 0, 0), rss=50, pss=10)
    assert process.memory(10, tmp_path) == Memory(rss=150 * 1024, pss=70 * 1024)


def test_busy_seconds_count_work_and_steal_of_the_named_cores(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 4 500 500 500 500 8 0 0\ncpu1 16 0 0 0 0 0 0 0 0 0\n"
        "cpu10 900 0 0 0 0 0 0 0 0 0\nintr 5\n"
    )
    assert process.busy_seconds([0, 1], tmp_path) == pytest.approx(31 * TICK)


def test_a_real_child_is_counted_while_it_lives_and_after() -> None:
    """The child's child burns CPU and is waited for: its time must be found either way."""
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print('done', flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        deadline = time.monotonic() + 10
        alive = 0
        while len(process.tree(child.pid)) == 2 or not alive:
            alive = max(alive, len(process.tree(child.pid)) - 1)
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert child.stdout.readline() == "done\n"
        assert 0.2 - 2 * TICK <= process.cpu_seconds(child.pid) < 2
        memory = process.memory(child.pid)
        assert 0 < memory.pss <= memory.rss
        child.communicate("\n")


def sample(server: str, cpu: float, scenario: str = "hello", **errors: int) -> Sample:
    return Sample(server, scenario, cpu=cpu, rate=1000, p99=500, pss=2**20, disturbance=0, errors=errors)


def results(*samples: Sample) -> Results:
    kinds = {"tidegate": "tidegate", "slow": "peer", "lean": "peer", "broken": "peer", "floor": "floor"}
    return Results(
        servers={name: {"kind": kind, "versions": f"{name} 1.0"} for name, kind in kinds.items()},
        samples=list(samples),
    )


def test_ratio_is_the_median_over_that_of_the_best_peer() -> None:
    run = results(
        *(sample("tidegate", cpu) for cpu in (9, 10, 50)),
        *(sample("slow", cpu) for cpu in (30, 31, 32)),
        *(sample("lean", cpu) for cpu in (1, 20, 21)),
        sample("floor", 5),
    )
    assert run.median("tidegate", "hello") == 10
    assert run.best_peer("hello") == ("lean", 20)
    assert run.ratio("tidegate", "hello") == 0.5
    assert run.ratio("tidegate", "browser") is None
    assert ratios(run, SCENARIOS[:1]).splitlines()[-1].split() == [
        "|",
        "Hello,",
        "World",
        "|",
        "lean",
        "|",
        "20.0",
        "|",
        "0.50",
        "|",
        "0.65",
        "|",
    ]


def test_a_peer_with_errors_or_failures_is_never_the_best() -> None:
    run = results(
        sample("tidegate", 10), sample("slow", 40), sample("lean", 20, status=3), sample("broken", 1)
    )
    run.failures = {"broken": {"hello": "died of SIGSEGV"}}
    assert run.best_peer("hello") == ("slow", 40)
    text = report(run, SCENARIOS[:1])
    assert "20.0!" in text
    assert "3 status" in text
    assert "broken fails `hello`: died of SIGSEGV" in text


def test_a_figure_that_some_window_lacks_is_shown_as_none() -> None:
    run = results(sample("lean", 20))
    run.samples.append(Sample("slow", "hello", cpu=1, rate=1, p99=None, pss=1, disturbance=0))
    assert run.median("slow", "hello", "p99") is None
    assert run.median("slow", "hello", "cpu") == 1


def test_results_survive_json() -> None:
    run = results(sample("tidegate", 10, read=1), sample("lean", 20))
    run.idle["tidegate"] = Memory(1, 2)
    assert Results.from_json(run.to_json()) == run


def test_the_picture_shows_every_server_and_marks_what_failed() -> None:
    run = results(sample("tidegate", 10), sample("slow", 400), sample("lean", 20), sample("floor", 5))
    run.failures = {"broken": {"hello": "died"}}
    svg = picture(run, SCENARIOS[:1])
    for word in ("tidegate", "slow", "lean", "broken", "fails", f"{CUT}400", ">10.0<"):
        assert word in svg


H2LOAD = """\
starting benchmark...
Application protocol: {protocol}
finished in 2.00s, 1000.00 req/s, 1.20MB/s
requests: 2000 total, 2256 started, 2000 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.20MB (1258291) total, 10.00KB (10240) headers (space savings 90.00%), 25.39KB ({data}) data
                     min         max         mean         sd        +/- sd
"""


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({}, {}),
        ({"failed": 3, "succeeded": 1997}, {"failed": 3}),
        ({"data": 25_999}, {"short of bytes": 1}),
        ({"protocol": "http/1.1"}, {"not HTTP/2": 2000}),
    ],
)
def test_what_h2load_counts(changes: dict[str, object], errors: dict[str, int]) -> None:
    values = {"protocol": "h2c", "succeeded": 2000, "failed": 0, "data": 26_000} | changes
    load = H2Load("/hello", b"Hello, World!").counted(H2LOAD.format(**values), 2)
    assert (load.requests, load.errors) == (values["succeeded"], errors)


def test_what_h2load_does_not_count_is_an_error() -> None:
    with pytest.raises(LoadError, match="no such host"):
        H2Load("/hello", b"").counted("no such host", 2)


def test_commands_for_http2() -> None:
    servers = {server.name: server for server in [tidegate("py"), *peers("py")]}
    speaking = [name for name, server in servers.items() if server.speaks(False, True)]
    assert speaking == ["tidegate", "uvicorn", "granian", "h2corn", "hypercorn"]
    certificate = Certificate(Path("c.pem"), Path("k.pem"))
    for name, one, two in (("uvicorn", "httptools", "zttp --http2"), ("granian", "--http 1 ", "--http 2 ")):
        assert one in " ".join(servers[name].command(80))
        for command in (servers[name].command(80, None, True), servers[name].command(80, certificate, True)):
            assert two in " ".join(command)
            assert one not in " ".join(command)
    for name in speaking:
        assert servers[name].speaks(True, True)
        assert "c.pem" in " ".join(servers[name].command(80, certificate, True))


def test_docs_are_replaced_between_the_markers_only() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert between_markers(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(DocsError):
        between_markers("no markers", "new")


def test_scenarios_are_those_of_the_targets() -> None:
    assert {scenario.name: scenario.target for scenario in SCENARIOS} == {
        "hello": 0.65,
        "browser": 0.65,
        "10k": 0.65,
        "stream": 0.55,
        "post": 0.60,
        "upload": 0.75,
        "pipelined": 0.35,
        "connection": 0.90,
        "file": 0.60,
        "ws-echo": 0.70,
        "ws-echo-16k": 0.65,
        "ws-deflate": 0.80,
        "ws-broadcast": 0.70,
        "tls-hello": 0.80,
        "tls-10k": 0.75,
        "tls-handshake": None,
        "h2c-hello": 0.65,
        "h2c-10k": 0.65,
        "h2-hello": 0.70,
    }
    assert len(BROWSER_HEADERS) == 15
