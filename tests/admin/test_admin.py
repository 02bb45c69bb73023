"""What the admin address answers, and to whom."""

import json
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.admin import Observed, observed, samples, value
from tests.support.process import eventually, run_command
from tests.support.wire import Client, UnixClient
from tidegate.admin.application import prefers_openmetrics
from tidegate.config import Config, ConfigError, Observability


@pytest.fixture(scope="module")
def server() -> Iterator[Observed]:
    with observed("--no-access-log") as server:
        yield server


def test_health_and_readiness(server: Observed) -> None:
    assert server.ask_admin("/healthz").body == b"ok\n"
    assert server.ask_admin("/readyz").status == 200
    answer = server.ask_admin("/readyz", method="HEAD")
    assert (answer.status, answer.header("content-length")) == (200, b"6")


def test_it_is_not_ready_before_startup_nor_while_it_drains() -> None:
    server = Observed(
        ["--port", "0", "--admin", "127.0.0.1:0", "--admin-host", "test", "--timeout-graceful-shutdown", "20",
         "--app-dir", str(Path(__file__).parent.parent / "support"), "observed_app:app"],
        {"SLOW_START": "1"},
    )  # fmt: skip
    try:
        server.admin_port = int(server.wait_for_log(r"Admin address: http://127\.0\.0\.1:(\d+)")[1])
        assert server.ask_admin("/readyz").status == 503
        assert server.ask_admin("/healthz").status == 200
        server.up()
        assert server.ask_admin("/readyz").status == 200
        with server.client() as client:
            client.send_request("GET", "/sleep?1.5")
            eventually(lambda: value(server.metrics(), "request_queue_seconds_count") == 1)
            server.signal(15)
            eventually(lambda: server.ask_admin("/readyz").status == 503)
            assert server.ask_admin("/healthz").status == 200
            assert client.read_response().status == 200
        assert server.wait() == 0
    finally:
        server.process.kill()
        server.wait()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;q=x", False),
    ],
)
def test_the_format_is_negotiated(server: Observed, accept: str, expected: bool) -> None:
    assert prefers_openmetrics(accept) is expected
    answer = server.ask_admin("/metrics", *([("Accept", accept)] if accept else []))
    kind = answer.header("content-type") or b""
    assert kind.startswith(
        b"application/openmetrics-text; version=1.0.0" if expected else b"text/plain; version=0.0.4"
    )
    found = samples(answer)
    assert value(found, "ready") == value(found, "workers_up") == 1
    assert 0 < value(found, "uptime_seconds") < 600


def test_only_get_and_head(server: Observed) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = server.ask_admin("/metrics", method=method)
        assert (answer.status, answer.header("allow")) == (405, b"GET, HEAD")
    assert server.ask_admin("/none").status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9000", 200),
        ("[::1]:80", 200),
        ("TEST", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:9000", 421),
    ],
)
def test_names_that_others_point_here_are_refused(server: Observed, host: str, status: int) -> None:
    with Client(server.host, server.admin_port) as client:
        client.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert client.read_response().status == status


def test_the_page_needs_nothing_from_elsewhere(server: Observed) -> None:
    answer = server.ask_admin("/")
    policy = (answer.header("content-security-policy") or b"").decode()
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(rb"(?:src|href)=\"(?!data:)", answer.body)
    assert server.ask_admin("/metrics").header("content-security-policy") == (
        b"default-src 'none'; frame-ancestors 'none'"
    )


def test_it_bears_abuse(server: Observed) -> None:
    with Client(server.host, server.admin_port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
        assert client.read_response().status == 431
    with Client(server.host, server.admin_port) as client:
        assert client.request("POST", "/metrics", body=b"x").status == 413
    # More connections than there may be: those that are idle longest make room.
    many = [socket.create_connection((server.host, server.admin_port)) for _ in range(100)]
    try:
        assert eventually(lambda: server.ask_admin("/healthz").status == 200, 10)
        with server.client() as client:
            assert client.request().status == 200
    finally:
        for each in many:
            each.close()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "admin"
    server = Observed(
        ["--port", "0", "--admin", f"unix:{path}", "--workers", "1",
         "--app-dir", str(Path(__file__).parent.parent / "support"), "observed_app:app"],
        {},
    )  # fmt: skip
    try:
        server.wait_for_log("workers: ready", 30)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        with UnixClient(str(path)) as client:

            def workers() -> list[dict[str, Any]]:
                client.send(b"GET /workers HTTP/1.1\r\nHost: whatever.example\r\n\r\n")
                return [each for each in json.loads(client.read_response().body) if each["resident_memory"]]

            # The admin's thread is told behind the log.
            (worker,) = eventually(workers)
        assert (worker["worker"], worker["state"]) == (1, "up")
        assert worker["resident_memory"] > 1 << 20
        assert server.terminate() == 0
        assert not path.exists()
    finally:
        server.process.kill()
        server.wait()


def test_the_next_supervisor_takes_the_address_over() -> None:
    """USR2: the address is served all along, by whoever is ready."""
    with observed("--workers", "1", "--no-access-log") as server:
        old = eventually(server.workers, 20)[0]["pid"]
        server.signal(12)
        new = int(server.wait_for_log(r"the new supervisor is process (\d+)")[1])
        server.wait_for_log("this one goes", 30)
        server.process.wait(30)
        try:
            (worker,) = eventually(lambda: [each for each in server.workers() if each["pid"] != old], 10)
            assert worker["state"] == "up"
            assert server.ask_admin("/readyz").status == 200
        finally:
            os.kill(new, 15)
        server.wait_for_log("The supervisor ends", 30, count=2)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("0.0.0.0:9000", "other machines may reach 0.0.0.0"),
        ("[::]:9000", "other machines may reach ::"),
        ("example.org:9000", "other machines may reach example.org"),
        ("https://127.0.0.1:9000", "is not HOST:PORT"),
        ("fd://3", "is not HOST:PORT"),
        ("9000", "has no host"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Config(observability=Observability(admin=address))


def test_remote_addresses_on_demand() -> None:
    bind = Config(observability=Observability(admin="0.0.0.0:9000", admin_allow_remote=True)).admin_bind
    assert bind is not None
    assert bind.host == "0.0.0.0"
    assert Config().admin_bind is None


def test_an_address_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_command(
            "--port", "0", "--admin", f"127.0.0.1:{port}", "--app-dir", "tests/support", "observed_app:app"
        )
    assert ended.returncode == 2
    assert f"cannot listen on http://127.0.0.1:{port}" in ended.stderr
