"""pathsend and zerocopysend over TLS, and large contents with peers that are slow: all of it, in bounded memory."""

import hashlib
import os
import ssl
import sys

import pytest

from tests.support.inprocess import serving
from tests.support.process import eventually, start_server
from tests.support.tls import TLSClient
from tidegate.config import TLS, Bind
from tidegate.http.errors import ClientDisconnected

MIB = 1 << 20
LARGE = 50 * MIB
GROWTH = 16 * MIB  # of the server's memory, at most


@pytest.fixture(scope="module")
def site(authority):
    return authority.issue("localhost")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "large"
    with path.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    return path


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared_server(request, site):
    binds = (Bind(port=0, scheme="https"),)
    with serving(
        loop=request.param, tls=TLS(certfile=(str(site),), ktls=True), binds=binds, timeouts={"write": 0.6}
    ) as server:
        yield server


@pytest.fixture
def client(server, authority):
    with TLSClient(server.host, server.port, authority.client_context()) as client:
        yield client


def start(*headers):
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def length(count):
    return (b"content-length", b"%d" % count)


@pytest.mark.parametrize("how", ["pathsend", "zerocopysend"])
def test_a_large_file(server, client, large, how):
    async def app(scope, receive, send):
        await send(start(length(LARGE)))
        if how == "pathsend":
            await send({"type": "http.response.pathsend", "path": str(large)})
            return
        with large.open("rb") as file:
            for offset in range(0, LARGE, 16 * MIB):
                count = min(16 * MIB, LARGE - offset)
                message = {
                    "type": "http.response.zerocopysend",
                    "file": file,
                    "offset": offset,
                    "count": count,
                }
                await send({**message, "more_body": offset + count < LARGE})

    server.app = app
    before = len(os.listdir("/proc/self/fd"))
    digest = hashlib.sha256()
    client.send_request()
    response = client.read_head()
    left = LARGE
    while left:
        data = client.take(min(left, 65536))
        digest.update(data)
        left -= len(data)
    assert response.status == 200
    assert digest.hexdigest() == hashlib.sha256(large.read_bytes()).hexdigest()
    assert server.wait_for_end() is None
    eventually(
        lambda: len(os.listdir("/proc/self/fd")) <= before
    )  # those of the test before may go meanwhile


def test_files_between_other_content(server, client, large):
    async def app(scope, receive, send):
        await send(start())
        with large.open("rb") as file:
            for offset in (0, 100_000, 5 * MIB):
                await send({"type": "http.response.body", "body": b"<" * 70_000, "more_body": True})
                message = {
                    "type": "http.response.zerocopysend",
                    "file": file,
                    "offset": offset,
                    "count": 300_001,
                }
                await send({**message, "more_body": True})
        await send({"type": "http.response.body", "body": b">"})

    server.app = app
    content = large.read_bytes()
    parts = [b"<" * 70_000 + content[offset : offset + 300_001] for offset in (0, 100_000, 5 * MIB)]
    for _ in range(2):
        assert client.request().body == b"".join(parts) + b">"


def test_a_reader_that_stalls_within_a_file_is_cut(server, authority, large):
    async def app(scope, receive, send):
        await send(start(length(LARGE)))
        await send({"type": "http.response.pathsend", "path": str(large)})

    server.app = app
    before = len(os.listdir("/proc/self/fd"))
    context = authority.client_context()
    with TLSClient(server.host, server.port, context, receive_buffer=4096) as client:
        client.send_request()
        eventually(lambda: server.server._acceptor.connections)
        eventually(lambda: not server.server._acceptor.connections, timeout=10)
        assert client.read_head().status == 200
        with pytest.raises((OSError, AssertionError)):
            client.take(LARGE)
    server.wait_for_end()
    assert isinstance(server.escaped[0], ClientDisconnected | None)
    eventually(
        lambda: len(os.listdir("/proc/self/fd")) <= before
    )  # those of the test before may go meanwhile


def test_a_file_that_becomes_shorter_cuts_the_answer(server, client, tmp_path):
    path = tmp_path / "shrinking"
    path.write_bytes(bytes(20 * MIB))

    async def app(scope, receive, send):
        await send(start(length(20 * MIB)))
        await send({"type": "http.response.pathsend", "path": str(path)})

    server.app = app
    client.send_request()
    client.take(100_000)
    os.truncate(path, MIB)
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        client.take(20 * MIB)


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python lets nobody ask for the kernel's TLS before 3.12"
)
@pytest.mark.skipif(not os.path.exists("/sys/module/tls"), reason="the kernel's module tls is not loaded")
def test_the_kernel_encrypts_files(server, client, large):
    async def app(scope, receive, send):
        await send(start(length(LARGE)))
        await send({"type": "http.response.pathsend", "path": str(large)})

    server.app = app
    assert hashlib.sha256(client.request().body).digest() == hashlib.sha256(large.read_bytes()).digest()
    with open("/proc/net/tls_stat") as file:
        counts = dict(line.split() for line in file)
    assert int(counts["TlsCurrTxSw"]) + int(counts["TlsCurrTxDevice"]) > 0  # this connection is still open


@pytest.fixture(scope="module")
def process(site, tmp_path_factory):
    app_dir = os.path.dirname(__file__)
    with start_server(
        "--ssl-certfile", str(site), "--no-access-log", app="applications:app", app_dir=app_dir
    ) as process:
        yield process


def test_a_gigabyte_down_to_a_slow_reader(process, authority):
    """128 MiB of it, of which the first are taken slowly."""
    with TLSClient(process.host, process.port, authority.client_context(), receive_buffer=65536) as client:
        assert client.request("GET", "/").body == b"ok"
        before = process.resident
        client.send_request("GET", "/gibibyte")
        assert client.read_head().status == 200
        highest = taken = 0
        while taken < 128 * MIB:
            taken += len(client.take(MIB))
            highest = max(highest, process.resident)
        assert highest - before < GROWTH


def test_a_gigabyte_up_to_a_slow_application(process, authority):
    """128 MiB of it."""
    with TLSClient(process.host, process.port, authority.client_context(), timeout=30) as client:
        assert client.request("GET", "/").body == b"ok"
        before = process.resident
        client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (128 * MIB))
        chunk = bytes(MIB)
        highest = 0
        for _ in range(128):
            client.send(chunk)
            highest = max(highest, process.resident)
        assert client.read_response().body == b"%d" % (128 * MIB)
        assert highest - before < GROWTH
