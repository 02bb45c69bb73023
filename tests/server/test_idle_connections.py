"""Ten thousand idle keep-alive connections: what each costs, and that the server stays quick beside them."""

import resource
import socket
import time

import pytest

from tests.support.process import start_server

COUNT = 10_000
SPARE = 500
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < COUNT + SPARE:
        pytest.skip(f"needs {COUNT + SPARE} open files; the hard limit here is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (COUNT + SPARE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections(descriptors, app_dir, capsys):
    options = ("--limit-connections", str(COUNT + 100), "--no-access-log", "--timeout-shutdown-idle", "0.1")
    options += ("--timeout-keep-alive", "600")  # a busy machine may take minutes to open them
    with start_server(*options, app="applications:app", app_dir=app_dir) as server:
        with server.client() as client:
            assert client.request().body == b"ok"
            before = server.resident
            connections = []
            for first in range(0, COUNT, 500):
                batch = [socket.create_connection((server.host, server.port)) for _ in range(500)]
                for connection in batch:
                    connection.sendall(REQUEST)
                for connection in batch:
                    assert connection.recv(4096).endswith(b"ok"), first
                connections += batch
            each = (server.resident - before) / COUNT
            with capsys.disabled():
                print(f"\n{COUNT} idle keep-alive connections: {each:.0f} octets each")
            assert each < 16_384
            cpu = server.cpu_seconds
            start = time.monotonic()
            time.sleep(1)
            for _ in range(20):
                assert client.request().body == b"ok"
            share = (server.cpu_seconds - cpu) / (time.monotonic() - start)
            assert share < 0.3
        # All of them are still there, and the server still leaves in good time.
        for connection in connections[:: COUNT // 20]:
            connection.sendall(REQUEST)
            assert connection.recv(4096).endswith(b"ok")
        start = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - start < 20
        for connection in connections:
            connection.close()
