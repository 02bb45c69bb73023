"""Shutdown loses nothing: answers in flight end, lifespan.shutdown is always delivered, the exit code is honest."""

import signal
import socket
import time

import pytest

from tests.support.process import ServerProcess, start_server

QUICK = (
    *("--timeout-graceful-shutdown", "1"),
    *("--timeout-shutdown-idle", "0.5"),
    *("--timeout-shutdown-cancel", "0.5"),
    *("--timeout-lifespan-shutdown", "1"),
)


# As long as it bears, far longer than anything takes: what ends sooner did not wait for it.
PATIENT = ("--timeout-graceful-shutdown", "60", "--timeout-shutdown-idle", "0.5")
SOON = 15  # seconds, on a machine that is busy with other tests


@pytest.fixture(params=["uvloop", "asyncio"])
def patient(request, app_dir):
    with start_server(*PATIENT, "--loop", request.param, app="applications:app", app_dir=app_dir) as server:
        yield server


@pytest.fixture(params=["uvloop", "asyncio"])
def server(request, app_dir):
    with start_server(*QUICK, "--loop", request.param, app="applications:app", app_dir=app_dir) as server:
        yield server


def assert_clean(server, code=0):
    """It exits in time with `code`, behind a complete lifespan, with no traceback."""
    assert server.wait(timeout=SOON) == code, server.log
    assert server.log.count("shutdown complete") == 1
    assert "Traceback" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_connections(patient, number):
    patient.signal(number)
    assert_clean(patient)


def test_an_answer_in_flight_is_completed_and_says_close(server):
    with server.client() as client:
        client.send_request("GET", "/slow?0.6")
        server.wait_for_log("slow begins")
        server.signal(signal.SIGTERM)
        response = client.read_response()
        assert (response.body, response.header("connection")) == (b"slow", b"close")
        assert client.at_end()
    assert_clean(server)


def test_an_upload_in_flight_is_completed(server):
    with server.client() as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        server.wait_for_log("shutting down")
        time.sleep(0.2)
        client.send(b"world")
        assert client.read_response().body == b"10"
    assert_clean(server)


def test_a_head_that_has_begun_is_completed(server):
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHo")
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        server.wait_for_log("shutting down")
        time.sleep(0.1)
        client.send(b"st: x\r\n\r\n")
        response = client.read_response()
        assert (response.body, response.header("connection")) == (b"ok", b"close")
    assert_clean(server)


@pytest.mark.parametrize("used", [True, False])
def test_an_idle_connection_gets_one_more_request(server, used):
    with server.client() as client:
        if used:
            assert client.request().header("connection") is None
        else:
            time.sleep(0.1)
        server.signal(signal.SIGTERM)
        server.wait_for_log("shutting down")
        time.sleep(0.1)
        response = client.request()
        assert (response.body, response.header("connection")) == (b"ok", b"close")
        assert client.at_end()
    assert_clean(server)


def test_an_idle_connection_is_closed_in_good_time(patient):
    with patient.client(timeout=SOON) as client:
        client.request()
        start = time.monotonic()
        patient.signal(signal.SIGTERM)
        assert client.at_end()
        assert time.monotonic() - start > 0.3
    assert_clean(patient)


def test_new_connections_are_refused(server):
    with server.client() as client:
        client.request()
        server.signal(signal.SIGTERM)
        server.wait_for_log("shutting down")
        time.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), timeout=5)
    assert_clean(server)


def test_an_endless_stream_does_not_prevent_exit(server):
    with server.client() as client:
        client.send_request("GET", "/events")
        client.read_head()
        assert client.read_chunk()
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert_clean(server)
        assert 0.9 < time.monotonic() - start < SOON
    assert "stream saw the disconnect" in server.log


def test_a_stream_that_watches_for_shutdown_ends_well(patient):
    with patient.client() as client:
        client.send_request("GET", "/polite")
        client.read_head()
        assert client.read_chunk() == b"hello "
        patient.signal(signal.SIGTERM)
        assert client.read_chunk() == b"goodbye"
        assert client.read_chunk() is None
        assert_clean(patient)


def test_what_does_not_end_is_cancelled(server):
    with server.client() as client:
        client.send_request("GET", "/deaf")
        time.sleep(0.1)
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert_clean(server)
        assert 1.4 < time.monotonic() - start < SOON
    assert "deaf was cancelled" in server.log


def test_what_does_not_even_end_when_cancelled_does_not_prevent_exit(server):
    with server.client() as client:
        client.send_request("GET", "/stubborn")
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        assert server.wait(timeout=SOON) in (0, 1)
    assert "shutdown complete" in server.log


def test_a_second_signal_shortens_it_and_still_runs_lifespan(app_dir):
    options = ("--timeout-graceful-shutdown", "60", "--timeout-shutdown-cancel", "60")
    with start_server(*options, app="applications:app", app_dir=app_dir) as server, server.client() as client:
        client.send_request("GET", "/events")
        client.read_head()
        server.signal(signal.SIGTERM)
        server.wait_for_log("shutting down")
        time.sleep(0.3)
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        assert_clean(server)


def test_a_lifespan_shutdown_that_takes_too_long(app_dir):
    environment = {"SLOW_SHUTDOWN": "30"}
    with start_server(*QUICK, app="applications:app", app_dir=app_dir, env=environment) as server:
        server.signal(signal.SIGTERM)
        assert server.wait(timeout=SOON) not in (0, -signal.SIGTERM)
    assert "shutdown begins" in server.log
    assert "Traceback" not in server.log


def test_a_lifespan_shutdown_that_fails(app_dir):
    environment = {"FAIL_SHUTDOWN": "1"}
    with start_server(*QUICK, app="applications:app", app_dir=app_dir, env=environment) as server:
        assert server.terminate() not in (0, -signal.SIGTERM)
    assert "not saved" in server.log
    assert "Traceback" not in server.log


def run_to_end(app_dir, *options, **environment):
    options = options or ("--port", "0")
    return ServerProcess(["--app-dir", str(app_dir), *options, "applications:app"], environment)


def test_a_lifespan_startup_that_fails(app_dir):
    server = run_to_end(app_dir, FAIL_STARTUP="1")
    assert server.wait() == 3
    assert "no database" in server.log
    assert "Traceback" not in server.log
    assert "shutdown begins" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_startup(app_dir, number):
    server = run_to_end(app_dir, SLOW_STARTUP="30")
    server.wait_for_log("startup")
    server.signal(number)
    server.wait(timeout=SOON)
    assert "Traceback" not in server.log


def test_a_unix_socket_is_removed(app_dir, tmp_path):
    path = tmp_path / "socket"
    server = run_to_end(app_dir, "--uds", str(path))
    server.wait_for_log("ready")
    assert path.is_socket()
    assert server.terminate() == 0
    assert not path.exists()


def test_the_backlog_is_served_before_the_listener_closes(server):
    # Connections that the kernel had accepted when the signal came.
    clients = [server.client() for _ in range(20)]
    for client in clients:
        client.send_request()
    server.signal(signal.SIGTERM)
    for client in clients:
        assert client.read_response().body == b"ok"
        client.close()
    assert_clean(server)
