"""Metrics of real processes are exact: every counter and every histogram's count, also over a worker's restart."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.admin import Observed, Samples, observed, total, value
from tests.support.process import eventually
from tests.support.tls import Authority, TLSClient

HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Observed]:
    with observed("--workers", "4", "--no-access-log", "--limit-body", "100k") as server:
        yield server
        server.log = server.log.replace("Traceback", "")


def load(server: Observed, expected: Counter[tuple[str, ...]]) -> None:
    """Known requests over many connections; what they are is added to `expected`."""

    def count(status: str, *, method: str = "GET", protocol: str = "1.1", times: int = 1) -> None:
        expected["request", method, status, protocol] += times

    for _ in range(8):
        with server.client() as client:
            for method in ("GET", "HEAD", "POST", "DELETE", "BREW"):
                assert client.request(method, "/").status == 200
                count("2xx", method=method if method != "BREW" else "other")
            for status in (204, 304, 404, 503):
                assert client.request("GET", f"/status?{status}").status == status
                count(f"{status // 100}xx")
            assert client.request("POST", "/echo", body=b"x" * 50_000).body == b"x" * 50_000
            count("2xx", method="POST")
            client.send((HEAD + b"\r\n") * 5)  # pipelined
            for _ in range(5):
                assert client.read_response().status == 200
            count("2xx", times=5)
            expected["opened",] += 1
    for path, kind in (("/raise", "application"), ("/nothing", "contract")):
        with server.client() as client:
            assert client.request("GET", path).status == 500
        count("5xx")
        expected["error", kind] += 1
        expected["opened",] += 1
    for method, line in (("GET", b"GET / HTTP/1.1"), ("other", b"GET no target")):
        with server.client() as client:
            client.send(line + b"\r\nHost: a\r\nHost: b\r\n\r\n")
            assert client.read_response().status == 400
        count("4xx", method=method)
        expected["refused",] += 1
        expected["opened",] += 1
    with server.client() as client:
        client.send(HEAD.replace(b"GET /", b"POST /echo") + b"Content-Length: 200000\r\n\r\n")
        assert client.read_response().status == 413
    expected["unopened",] += 1
    with server.client() as client:  # this one's application has begun
        head = HEAD.replace(b"GET /", b"POST /echo") + b"Transfer-Encoding: chunked\r\n"
        client.send(head + b"Expect: 100-continue\r\n\r\n")
        assert client.read_head().status == 100
        client.send((b"c800\r\n" + bytes(0xC800) + b"\r\n") * 3)
        assert client.read_response().status == 413
    count("4xx", method="POST", times=2)
    expected["opened",] += 2
    expected["error", "too_large"] += 2
    with server.client() as client:
        client.send_request("GET", "/endless")
        client.read_head()
        client.reset()
    count("2xx")
    expected["error", "disconnect"] += 1
    expected["opened",] += 1
    for _ in range(2):
        command = ["curl", "-s", "--http2-prior-knowledge", server.url]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=20)
    count("2xx", protocol="2", times=2)
    expected["opened",] += 2
    for n in range(3):
        with connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as websocket:
            for _ in range(n + 2):
                websocket.send("hello")
                assert websocket.recv() == "hello"
        expected["messages",] += n + 2
    count("1xx", times=3)
    expected["websockets",] += 3
    expected["opened",] += 3


def check(found: Samples, expected: Counter[tuple[str, ...]]) -> bool:
    requests = {
        tuple(dict(labels)[name] for name in ("method", "status", "protocol")): number
        for (name, labels), number in found.items()
        if name == "tidegate_requests_total"
    }
    wanted: Counter[tuple[str, ...]] = Counter()
    for key, number in expected.items():
        if key[0] == "request":
            wanted[key[1:]] = number
    errors = {
        dict(labels)["kind"]: number
        for (name, labels), number in found.items()
        if name == "tidegate_errors_total" and number
    }
    failed = {key[1]: number for key, number in expected.items() if key[0] == "error"}
    failed["bad_request"] = expected["refused",]
    answered = sum(wanted.values()) - expected["refused",] - expected["unopened",]
    differences = {
        "requests": (requests, dict(wanted)),
        "errors": (errors, failed),
        "opened": (value(found, "connections_opened_total"), expected["opened",]),
        "closed": (value(found, "connections_closed_total"), expected["opened",]),
        "open": (total(found, "connections"), 0),
        "websockets": (value(found, "websockets_opened_total"), expected["websockets",]),
        "open websockets": (value(found, "websockets"), 0),
        "received": (value(found, "websocket_messages_total", direction="received"), expected["messages",]),
        "sent": (value(found, "websocket_messages_total", direction="sent"), expected["messages",]),
        "queue": (value(found, "request_queue_seconds_count"), answered),
        "duration": (value(found, "request_duration_seconds_count"), answered - expected["websockets",]),
    }
    wrong = {name: pair for name, pair in differences.items() if pair[0] != pair[1]}
    check.wrong = wrong  # type: ignore[attr-defined]
    return not wrong


def test_every_count_is_right_also_after_a_worker_was_killed(server: Observed) -> None:
    expected: Counter[tuple[str, ...]] = Counter()
    load(server, expected)

    def right() -> bool:
        return check(server.metrics(), expected)

    try:
        eventually(right, 10)
    except AssertionError:
        raise AssertionError(check.wrong) from None  # type: ignore[attr-defined]
    before = server.metrics()
    bytes_before = value(before, "received_bytes_total"), value(before, "sent_bytes_total")
    victim = server.workers()[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log(r"worker 1 \(process \d+\) is up", 30, count=2)
    after = server.metrics()
    assert check(after, expected), check.wrong  # type: ignore[attr-defined]
    assert (value(after, "received_bytes_total"), value(after, "sent_bytes_total")) == bytes_before
    assert value(after, "restarts_total", cause="killed") == 1
    assert value(after, "ready") == 1
    load(server, expected)
    try:
        eventually(right, 10)
    except AssertionError:
        raise AssertionError(check.wrong) from None  # type: ignore[attr-defined]
    assert victim not in {worker["pid"] for worker in server.workers()}
    assert sum(worker["requests"] for worker in server.workers()) < total(server.metrics(), "requests_total")


def test_octets_are_counted_as_they_go_over_the_wire() -> None:
    with observed("--no-access-log", "--no-date-header") as server:
        request = HEAD + b"Connection: close\r\n\r\n"
        answers = 0
        for _ in range(5):
            with server.client() as client:
                client.send(request)
                answers += len(client.read_to_end())
        eventually(lambda: value(server.metrics(), "connections_closed_total") == 5)
        found = server.metrics()
        assert value(found, "received_bytes_total") == 5 * len(request)
        assert value(found, "sent_bytes_total") == answers
        assert 0 < value(found, "cpu_seconds_total") < 60
        assert value(found, "resident_memory_bytes", worker="1") > 5 << 20


def test_tls_handshakes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("localhost")
    with observed("--no-access-log", "--ssl-certfile", str(certificate)) as server:
        for _ in range(3):
            with TLSClient(server.host, server.port, authority.client_context()) as client:
                assert client.request().status == 200
        with server.client() as plain:
            plain.send(b"GET / HTTP/1.1\r\n\r\n")
            plain.read_to_end()
        eventually(lambda: value(server.metrics(), "tls_handshakes_total", result="failed") == 1)
        found = server.metrics()
        assert value(found, "tls_handshakes_total", result="ok") == 3
        assert value(found, "requests_total", method="GET", status="2xx", protocol="1.1") == 3


def test_waiting_for_the_loop_is_seen() -> None:
    """A request that comes while the loop is blocked has waited in the queue, and the loop is late."""
    with observed("--no-access-log") as server:
        with server.client() as blocker, server.client() as waiter:
            blocker.send_request("GET", "/block?0.6")
            time.sleep(0.1)  # it is blocked by now
            waiter.send_request()
            assert waiter.read_response().status == 200
            assert blocker.read_response().status == 200
            found = server.metrics()
        slow = value(found, "request_queue_seconds_count") - value(
            found, "request_queue_seconds_bucket", le="0.2048"
        )
        assert slow == 1
        assert value(found, "event_loop_lag_seconds", worker="1") > 0.2


@pytest.mark.parametrize("workers", [4, 0])
def test_a_scrape_waits_for_no_worker(workers: int) -> None:
    """All of them are blocked, by time.sleep: the answer comes all the same, within 50 ms."""
    patience = ("--timeout-stall-log", "60", "--timeout-stall", "60")
    options = ("--workers", str(workers), *patience) if workers else ()
    with observed("--no-access-log", *options) as server:
        pids = [worker["pid"] for worker in server.workers()]

        def all_blocked() -> bool:
            # The kernel chooses the worker.
            for _ in range(3 * len(pids)):
                server.client().send_request("GET", "/block?30")
            for _ in range(20):
                if blocked():
                    return True
                time.sleep(0.1)
            return False

        def blocked() -> bool:
            return all(worker["lag"] > 0.3 for worker in server.workers())

        try:
            eventually(all_blocked, 20)
            times = []
            for _ in range(20):
                began = time.perf_counter()
                assert server.ask_admin("/metrics").status == 200
                times.append(time.perf_counter() - began)
            assert blocked()
            assert sorted(times)[len(times) // 2] < 0.05, times
        finally:
            server.signal(signal.SIGKILL)
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.wait()


def test_a_scrape_is_answered_while_requests_are_served(server: Observed) -> None:
    """Under load, counters never go back."""
    seen: list[float] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            seen.append(total(server.metrics(), "requests_total"))

    thread = threading.Thread(target=scrape)
    thread.start()
    with server.client() as client:
        for _ in range(100):
            client.send((HEAD + b"\r\n") * 10)
            for _ in range(10):
                client.read_response()
    done.set()
    thread.join()
    assert seen == sorted(seen)
    assert len(seen) > 2
