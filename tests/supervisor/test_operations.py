"""What operators do: rotate logs, give workers a user, start an application that fails; and what recycling loses."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest
from benchmarks.reliability.load import Load

from tests.supervisor.supervised import HERE, Supervised, supervised
from tests.support.process import eventually, run_command, start_server

NOBODY = 65534


def loaded(server: Supervised, until: Callable[[], Awaitable[object]]) -> Load:
    """A steady load of kept and of fresh connections, from before `until` is begun to after its end."""

    async def main() -> Load:
        load = Load(server.port, keep_alive=8, fresh=4, pause=0.02)
        running = asyncio.create_task(load.run())
        await until()
        load.end()
        await running
        return load

    return asyncio.run(main())


async def seen(condition: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


# --- logs


def log_config(directory: Path) -> tuple[Path, tuple[str, str]]:
    """Where the log goes, and the option that says so."""
    log, file = directory / "tidegate.log", directory / "logging.json"
    handlers = {
        "file": {"class": "logging.FileHandler", "filename": str(log), "formatter": "plain"},
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
    }
    loggers = {
        "tidegate": {"handlers": ["file", "console"], "level": "INFO"},
        "tidegate.access": {"handlers": ["file"], "level": "INFO", "propagate": False},
    }
    formatters = {"plain": {"format": "%(process)d %(message)s"}}
    file.write_text(
        json.dumps({"version": 1, "formatters": formatters, "handlers": handlers, "loggers": loggers})
    )
    return log, ("--log-config", str(file))


def holding(path: Path, processes: Iterable[int]) -> set[int]:
    """Those of the processes that have the file open."""
    return {
        pid
        for pid in processes
        for descriptor in os.listdir(f"/proc/{pid}/fd")
        if is_of(f"/proc/{pid}/fd/{descriptor}", path)
    }


def is_of(descriptor: str, path: Path) -> bool:
    try:
        return os.readlink(descriptor) == str(path)
    except FileNotFoundError:  # closed since it was listed: the process goes on meanwhile
        return False


def test_log_files_are_opened_anew_in_every_process(tmp_path: Path) -> None:
    """As logrotate(8) does it: renamed, then USR1."""
    log, option = log_config(tmp_path)
    with supervised(tmp_path, *option) as server:
        processes = {server.pid, *server.workers()}
        assert len(processes) == 3
        assert holding(log, processes) == processes
        old = log.rename(tmp_path / "tidegate.log.1")
        server.signal(signal.SIGUSR1)
        eventually(lambda: holding(log, processes) == processes, 10)
        assert holding(old, processes) == set()
        before = old.read_bytes()
        eventually(lambda: processes <= {server.pid, int(server.ask())} | answered(log), 20)
        server.signal(signal.SIGTTIN)  # of which the supervisor writes
        server.wait_for_log("3 workers")
        eventually(lambda: processes <= answered(log), 10)
        assert old.read_bytes() == before
        server.wait_for_log("worker 3 .* is up", 20)


def answered(log: Path) -> set[int]:
    """The processes that have written to the log."""
    return {int(line.split()[0]) for line in log.read_text().splitlines()}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_one_process_opens_its_log_file_anew(tmp_path: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    log, option = log_config(tmp_path)
    with start_server(*option, "--loop", loop, app="apps:app", app_dir=HERE) as server:
        old = log.rename(tmp_path / "tidegate.log.1")
        before = old.read_bytes()
        server.signal(signal.SIGUSR1)
        eventually(lambda: holding(log, [server.pid]), 10)
        with server.client() as client:
            assert client.request("GET", "/", ("Connection", "close")).status == 200
        eventually(lambda: answered(log), 10)
        assert old.read_bytes() == before


# --- recycling


@pytest.mark.parametrize(
    ("options", "reason", "number"),
    [
        (("--recycle-age", "1"), r"\d s: replacing it", 3),
        (("--recycle-memory", "96MiB"), r"\d+ MiB of memory: replacing it", 1),
    ],
    ids=["age", "memory"],
)
def test_recycling_loses_no_request(
    tmp_path: Path, options: tuple[str, ...], reason: str, number: int
) -> None:
    # As long as by default: what a client sends may cross the close of a connection that is idle for a moment.
    patience = ("--timeout-shutdown-idle", "2", "--timeout-graceful-shutdown", "15")
    with supervised(tmp_path, *options, *patience, "--recycle-jitter", "0", "--no-access-log") as server:
        first = set(server.workers())

        async def recycled() -> None:
            if "--recycle-memory" in options:
                grown = await asyncio.to_thread(server.ask, f"/grow?{96 << 20}")
                assert int(grown) in first
            await seen(lambda: server.log.count("drains") >= number)
            await seen(lambda: server.lifespans_ended() >= number)

        load = loaded(server, recycled)
        assert load.tally.failures == []
        assert load.tally.requests > 50
        told = re.findall(rf"(worker \d) \(process (\d+)\): {reason}", server.log)
        assert len(told) >= number
        # The successor first: it was up before its predecessor was told to go.
        for name, pid in told[:number]:
            events = server.log[server.log.index(f"{name} (process {pid}): ") :]
            assert re.search(
                rf"{name} \(process (?!{pid}).* is up.*\(process {pid}\) drains", events, re.DOTALL
            )


# --- killed


def test_killed_workers_lose_what_they_had_in_flight_and_no_more(tmp_path: Path) -> None:
    killed: list[tuple[float, int]] = []

    with supervised(tmp_path, "--no-access-log") as server:

        async def kill() -> None:
            for number in range(3):
                await asyncio.sleep(0.3)
                victim = server.workers()[0]
                killed.append((asyncio.get_running_loop().time(), victim))
                os.kill(victim, signal.SIGKILL)
                await seen(lambda: server.log.count("is up after") == 3 + number)  # noqa: B023
            await asyncio.sleep(0.3)

        load = loaded(server, kill)
        pids = {str(pid) for _, pid in killed}
        assert load.tally.requests > 50
        # A fresh connection has no process yet: it may have been accepted, and in flight.
        assert all(failure.pid in {*pids, ""} for failure in load.tally.failures)
        assert not any("connect" in failure.what for failure in load.tally.failures)
        assert len(load.tally.failures) <= 3 * 12  # clients
        assert server.log.count("(killed by SIGKILL): starting another") == 3
        assert len({pid for pid in load.tally.processes if pid not in pids}) >= 2


# --- who it is


def python_of_nobody() -> tuple[str, dict[str, str]]:
    """An interpreter that nobody may run, and the environment in which that finds what this one does."""
    environment = {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path)}
    version = "{}.{}".format(*sys.version_info)
    for python in (sys.executable, f"/usr/bin/python{version}"):
        try:
            subprocess.run(
                [python, "-c", "import tidegate.server, click"],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                env={**os.environ, **environment},
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return python, environment
    pytest.skip(f"no Python {version} that another user may run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_workers_run_as_another_user(tmp_path: Path) -> None:
    python, environment = python_of_nobody()
    for directory in (tmp_path, *tmp_path.parents):
        if directory == Path(tempfile.gettempdir()):
            break
        directory.chmod(0o755)
    pid_file, path = tmp_path / "pid", tmp_path / "s"
    options = ("--user", "nobody", "--umask", "027", "--pid-file", str(pid_file))
    address = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path}")
    with supervised(
        tmp_path, *options, workers="1", address=address, python=python, environment=environment
    ) as server:
        (worker,) = server.workers()
        assert server.ask("/ids").split() == [str(NOBODY), str(NOBODY), "027"]
        status = Path(f"/proc/{worker}/status").read_text()
        for kind in ("Uid", "Gid"):  # real, effective, saved and of the file system: there is no way back
            (ids,) = re.findall(rf"^{kind}:\s+(.*)$", status, re.MULTILINE)
            assert ids.split() == [str(NOBODY)] * 4
        (groups,) = re.findall(r"^Groups:(.*)$", status, re.MULTILINE)
        assert set(groups.split()) <= {str(NOBODY)}
        # The supervisor keeps its rights, and what it makes is its own; who may connect is the directory's to say.
        assert os.stat(f"/proc/{server.pid}").st_uid == 0
        assert (pid_file.stat().st_uid, int(pid_file.read_text())) == (0, server.pid)
        found = path.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o666)
    assert not pid_file.exists()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes groups")
def test_workers_run_with_another_group(tmp_path: Path) -> None:
    with supervised(tmp_path, "--group", str(NOBODY), workers="1") as server:
        assert server.ask("/ids").split()[:2] == ["0", str(NOBODY)]


def test_titles_tell_the_processes_apart(tmp_path: Path) -> None:
    pytest.importorskip("setproctitle")
    with supervised(tmp_path, "--preload") as server:
        titles = Counter(
            Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
            for pid in (server.pid, *server.workers(), int(server.ask("/imported")))
        )
    assert titles == {
        "tidegate: supervisor [apps:app]": 1,
        "tidegate: worker 1 [apps:app]": 1,
        "tidegate: worker 2 [apps:app]": 1,
        "tidegate: fork server [apps:app]": 1,
    }


def test_a_pid_file_that_cant_be_written(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--workers", "1", "--app-dir", str(HERE), "apps:app")
    done = run_command("--pid-file", str(tmp_path / "none" / "pid"), *arguments)
    assert done.returncode == 2
    assert re.search(r"--pid-file: can't write .*pid: No such file or directory", done.stderr)


# --- applications that fail

FAILING = {
    "import": ("raise RuntimeError('no database')\n", "RuntimeError: no database"),
    "attribute": ("application = None\n", 'has no attribute "app"'),
    "startup": (
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n",
        "the application failed to start: no database",
    ),
    "exit": ("import sys\nsys.exit(7)\n", "called for an exit (status 7) when it was imported"),
}


@pytest.mark.parametrize(
    ("kind", "preload"),
    [("attribute", ()), ("startup", ()), *((kind, ("--preload",)) for kind in FAILING)],
    ids=lambda value: value if isinstance(value, str) else "".join(value)[2:] or "fresh",
)
def test_an_application_that_never_comes_up_ends_it_with_3(
    tmp_path: Path, kind: str, preload: tuple[str, ...]
) -> None:
    source, told = FAILING[kind]
    (tmp_path / "failing.py").write_text(source)
    arguments = ("--port", "0", "--workers", "1", *preload, "--app-dir", str(tmp_path), "failing:app")
    done = run_command(*arguments, timeout=60)
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    assert "worker 1 failed 3 times to come up: giving up" in done.stderr


def test_a_preloaded_application_that_fails_stops_the_roll(tmp_path: Path) -> None:
    with supervised(tmp_path, "--preload") as server:
        old = server.workers()
        server.write("broken")
        server.signal(signal.SIGHUP)
        server.wait_for_log("The reload stops: worker 1 did not come up", 30)
        assert server.workers() == old
        assert server.ask("/version") == "one"
        # And what is killed meanwhile comes back as it was.
        os.kill(old[0], signal.SIGKILL)
        server.wait_for_log("is up after", 20, count=3)
        assert {server.ask("/version") for _ in range(10)} == {"one"}
        server.log = server.log.replace("Traceback", "")  # the application's own
