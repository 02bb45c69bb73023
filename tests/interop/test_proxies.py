"""Behind HAProxy and nginx, with the configurations of examples/deploy."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect as open_websocket

from tests.support.process import ServerProcess, eventually, free_port, start_server

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
BOTH = [pytest.param("haproxy", marks=needs_haproxy), pytest.param("nginx", marks=needs_nginx)]


class Proxy:
    """A running proxy in front of `servers`."""

    def __init__(self, port: int, servers: list[ServerProcess]) -> None:
        self.port = port
        self.servers = servers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def origin(self) -> dict[str, object]:
        response = httpx2.get(f"{self.url}/")
        assert response.status_code == 200
        return json.loads(response.content)


def command(kind: str, config: str, directory: Path) -> list[str]:
    path = directory / kind
    if kind == "nginx":
        # As the user that runs the tests, and with nothing outside of the test's directory.
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            config = config.replace("http {", f"http {{\n{name}_temp_path {directory}/{name};", 1)
        config = config.replace("http {", "http {\naccess_log off;", 1)
        path.write_text(config)
        options = f"daemon off; master_process off; error_log stderr; pid {directory}/pid;"
        return [str(NGINX), "-p", str(directory), "-e", "stderr", "-c", str(path), "-g", options]
    path.write_text(config)
    return [str(HAPROXY), "-db", "-f", str(path)]


@contextlib.contextmanager
def run_proxy(kind: str, config: str, servers: list[ServerProcess], directory: Path) -> Iterator[Proxy]:
    port = free_port()
    config = config.replace("0.0.0.0:80", f"127.0.0.1:{port}").replace("inter 2s", "inter 100ms")
    for server, address in zip(servers, ("127.0.0.1:8000", "127.0.0.1:8001"), strict=False):
        config = config.replace(address, f"127.0.0.1:{server.port}")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command(kind, config, directory), stdout=log, stderr=log)
    proxy = Proxy(port, servers)
    try:

        def up() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        assert eventually(up)
        yield proxy
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def run_pair(kind: str, app_dir: Path, directory: Path, *options: str) -> Iterator[Proxy]:
    config = (DEPLOY / {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[kind]).read_text()
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                start_server("--no-access-log", *options, app="behind_proxy:app", app_dir=app_dir)
            )
            for _ in range(2)
        ]
        yield stack.enter_context(run_proxy(kind, config, servers, directory))


@pytest.fixture(scope="module", params=BOTH)
def proxy(request, app_dir, tmp_path_factory):
    with run_pair(request.param, app_dir, tmp_path_factory.mktemp(request.param)) as proxy:
        yield proxy


SPOOFED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.7;proto=https;host=evil.example",
}


@pytest.mark.parametrize("headers", [{}, SPOOFED], ids=["plain", "spoofed"])
def test_whom_a_request_comes_from(proxy, headers):
    # Another address than the proxy's own, which is trusted.
    with httpx2.Client(transport=httpx2.HTTPTransport(local_address="127.0.0.2")) as client:
        found = client.get(proxy.url, headers=headers).json()
    assert found["client"] == ["127.0.0.2", 0]
    assert found["scheme"] == "http"
    assert found["host"] == [f"127.0.0.1:{proxy.port}"]


def connections_to(port: int) -> int:
    """Connections of this machine to a local port, those in TIME_WAIT included."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2] == f"0100007F:{port:04X}" for line in lines)


def test_connections_are_used_again(proxy):
    before = sum(connections_to(server.port) for server in proxy.servers)
    with httpx2.Client() as client:
        for _ in range(100):
            assert client.get(proxy.url).status_code == 200
    after = sum(connections_to(server.port) for server in proxy.servers)
    # HAProxy's health checks make their own.
    assert after - before < 60


def test_uploads(proxy):
    data = os.urandom(1 << 16) * 64
    expected = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    with httpx2.Client(timeout=30) as client:
        for content in (data, (data[i : i + 100_000] for i in range(0, len(data), 100_000))):
            assert client.post(f"{proxy.url}/upload", content=content).json() == expected


def test_websockets(proxy):
    async def main() -> None:
        async with (
            asyncio.timeout(30),
            open_websocket(proxy.url.replace("http", "ws"), proxy=None, max_size=None) as client,
        ):
            found = json.loads(await client.recv())
            assert (found["client"], found["scheme"]) == (["127.0.0.1", 0], "ws")
            for message in ("é" * 1000, os.urandom(1 << 20), ""):
                await client.send(message)
                assert await client.recv() == message

    asyncio.run(main())


class Load:
    """Requests through a proxy from several threads, over kept and over fresh connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stopping = threading.Event()
        self.failures: list[object] = []
        self.served: list[int] = []
        self.threads = [threading.Thread(target=self.run, args=(i % 2 == 0,)) for i in range(6)]

    def run(self, keep: bool) -> None:
        with httpx2.Client(timeout=10) as client:
            while not self.stopping.is_set():
                try:
                    response = client.get(self.url) if keep else httpx2.get(self.url, timeout=10)
                    if response.status_code == 200:
                        self.served.append(response.json()["pid"])
                    else:
                        self.failures.append(response.status_code)
                except httpx2.HTTPError as error:
                    self.failures.append(error)

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("kind", BOTH)
def test_a_server_that_stops_loses_no_request(kind, app_dir, tmp_path):
    with run_pair(kind, app_dir, tmp_path) as proxy, Load(proxy.url) as load:
        one, two = proxy.servers
        assert eventually(lambda: {one.pid, two.pid} <= set(load.served))
        one.terminate()
        count = len(load.served)
        assert eventually(lambda: len(load.served) > count + 100)
        assert set(load.served[count + 50 :]) == {two.pid}
    assert load.failures == []


@needs_haproxy
def test_health_checks_take_a_server_out(app_dir, tmp_path):
    with run_pair("haproxy", app_dir, tmp_path) as proxy:
        one, two = proxy.servers

        def served_by() -> set[object]:
            return {proxy.origin()["pid"] for _ in range(6)}

        assert eventually(lambda: served_by() == {one.pid, two.pid})
        httpx2.post(f"{one.url}/switch")
        assert eventually(lambda: served_by() == {two.pid})
        httpx2.post(f"{one.url}/switch")
        assert eventually(lambda: served_by() == {one.pid, two.pid})


@needs_haproxy
@pytest.mark.parametrize(
    ("sent", "taken"), [("send-proxy-v2", "v2"), ("send-proxy", "v1"), ("send-proxy-v2", "any")]
)
def test_proxy_protocol(app_dir, tmp_path, sent, taken):
    config = (DEPLOY / "haproxy-tcp.cfg").read_text().replace("send-proxy-v2", sent)
    with (
        start_server(
            "--proxy-protocol", taken, "--no-access-log", app="behind_proxy:app", app_dir=app_dir
        ) as server,
        run_proxy("haproxy", config, [server], tmp_path) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
    ):
        own = client.getsockname()[1]
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["client"] == ["127.0.0.1", own]
        # Its health checks are connections of its own (LOCAL, UNKNOWN), and are answered.
        time.sleep(0.3)
        assert not re.search("PROXY protocol", server.log)
        assert proxy.origin()["scheme"] == "http"
