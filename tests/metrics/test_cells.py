"""The layout, the memory, the board, and the expositions, with made-up numbers."""

import mmap
import os
import threading
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.admin import Samples
from tidegate.http.errors import RequestError
from tidegate.http.head import RequestHead
from tidegate.metrics.board import Board, Build, Process
from tidegate.metrics.exposition import expose
from tidegate.metrics.layout import BOUNDS, BUCKETS, CELLS, INTERVAL, METRICS
from tidegate.metrics.recorder import Recorder
from tidegate.metrics.region import SIZE, Region

BUILD = Build('1.0"\\\n', "compiled", "3.11", "uvloop")


def parsed(text: str, parse: Any) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def request(method: str = "GET", version: str = "1.1") -> RequestHead:
    head = RequestHead()
    head.method, head.http_version = method, version
    return head


def test_no_two_metrics_share_a_cell() -> None:
    cells = [cell for metric in METRICS.values() for cell in range(metric.cell, metric.cell + metric.size)]
    assert len(set(cells)) == len(cells)
    assert min(cells) == 1
    assert max(cells) == CELLS - 1
    assert CELLS * 8 <= SIZE


def test_another_process_writes_what_this_one_reads() -> None:
    region = Region.shared()
    child = os.fork()
    if not child:
        recorder = Recorder(Region(os.dup(region.descriptor)))
        for _ in range(1000):
            recorder.refused(RequestError(400, ""), None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    cells = region.read()
    assert cells[METRICS["errors"].cell + 4] == 1000
    # A worker that could cut it would end the supervisor by SIGBUS.
    with pytest.raises(OSError):
        os.ftruncate(region.descriptor, mmap.PAGESIZE // 2)
    region.close()


def test_cells_of_another_version_are_not_read() -> None:
    region = Region()
    recorder = Recorder(region)
    recorder.moved(5, 0)
    assert region.read()[METRICS["received_bytes"].cell] == 5
    region.integers[0] += 1
    assert not any(region.read())


def test_what_has_ended_stays_in_the_totals() -> None:
    board = Board(BUILD, lambda: True)
    recorders = {}
    for number in (1, 2):
        region = Region.shared()
        recorders[number] = Recorder(region)
        board.add(number, region)
    board.show({n: Process(n, 100 + n, "up", 0.0) for n in (1, 2)})
    for recorder in recorders.values():
        recorder.moved(10, 0)
        recorder.connection_opened()
        recorder.sample((1, 0, 0, 0), 1, 1000, 0.5)
    assert board.snapshot().totals[METRICS["received_bytes"].cell] == 20
    board.retire(1)
    board.retire(1)  # told twice
    snapshot = board.snapshot()
    assert snapshot.totals[METRICS["received_bytes"].cell] == 20
    assert snapshot.totals[METRICS["cpu_seconds"].cell] == 1.0
    assert [reading.process.slot for reading in snapshot.readings] == [2]
    assert snapshot.gauge("resident_memory_bytes") == 1000  # what is gone holds none


def test_totals_never_go_back_while_processes_end() -> None:
    board = Board(BUILD, lambda: True)
    cell = METRICS["received_bytes"].cell
    seen: list[float] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            seen.append(board.snapshot().totals[cell])

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(100):
        region = Region()
        recorder = Recorder(region)
        board.add(number, region)
        recorder.moved(number, 0)
        board.retire(number)
    done.set()
    thread.join()
    assert seen == sorted(seen)
    assert board.snapshot().totals[cell] == sum(range(100))


def test_a_loop_that_is_silent_lags() -> None:
    now = 100.0
    board = Board(BUILD, lambda: True, clock=lambda: now)
    region = Region()
    recorder = Recorder(region)
    board.add(1, region)
    board.show({1: Process(1, 7, "up", 0.0)})
    recorder.turned(100.0, 0.001)
    assert board.snapshot().readings[0].lag == 0.001
    now = 103.0
    assert board.snapshot().readings[0].lag == pytest.approx(3 - INTERVAL)


@pytest.mark.parametrize("n", range(BUCKETS + 1))
def test_the_buckets_bounds(n: int) -> None:
    """What is just above a bound is in the next bucket, and what is above the last bound in the one above them all."""
    region = Region()
    recorder = Recorder(region)
    seconds = (BOUNDS[n - 1] if n else 0.0) * 1.000001
    recorder.queued(seconds)
    cell = METRICS["request_queue_seconds"].cell
    counts = region.integers[cell : cell + BUCKETS + 1].tolist()
    assert counts == [int(bucket == n) for bucket in range(BUCKETS + 1)]
    assert region.reals[cell + BUCKETS + 1] == seconds


@pytest.mark.parametrize("openmetrics_format", [False, True])
def test_both_formats_are_well_formed_and_say_the_same(openmetrics_format: bool) -> None:
    board = Board(BUILD, lambda: True, {"crashed": 2})
    region = Region()
    recorder = Recorder(region)
    board.add(1, region)
    board.show({1: Process(1, 7, "up", 0.0)})
    recorder.refused(RequestError(503, ""), request("BREW", "2"))
    recorder.refused(RequestError(308, ""), request())
    recorder.handshake_ended(True)
    recorder.handshake_ended(False)
    text = expose(board.snapshot(), openmetrics=openmetrics_format)
    parse = (
        openmetrics.text_string_to_metric_families if openmetrics_format else text_string_to_metric_families
    )
    found = parsed(text, parse)

    def value(name: str, **labels: str) -> float:
        return found[f"tidegate_{name}", frozenset(labels.items())]

    assert value("requests_total", method="other", status="5xx", protocol="2") == 1
    assert value("requests_total", method="GET", status="3xx", protocol="1.1") == 1
    assert value("errors_total", kind="overload") == 1
    assert value("errors_total", kind="bad_request") == 0
    assert value("tls_handshakes_total", result="ok") == value("tls_handshakes_total", result="failed") == 1
    assert value("restarts_total", cause="crashed") == 2
    assert value("request_duration_seconds_bucket", le="+Inf") == 0
    assert value("build_info", version=BUILD.version, build="compiled", python="3.11", loop="uvloop") == 1
    assert text.endswith("# EOF\n") is openmetrics_format


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"),
        (408, "timeout"),
        (413, "too_large"),
        (414, "too_large"),
        (431, "too_large"),
        (500, "other"),
        (503, "overload"),
    ],
)
def test_kinds_of_refusals(status: int, kind: str) -> None:
    region = Region()
    Recorder(region).refused(RequestError(status, ""), None)
    errors = METRICS["errors"]
    found = {values[0]: region.integers[cell] for values, cell in errors.series()}
    assert {name for name, count in found.items() if count} == {kind}
