"""Files sent by the server: http.response.pathsend and http.response.zerocopysend (ASGI extensions)."""

import asyncio
import hashlib
import io
import os
import socket
import tempfile

import pytest

from tests.support.inprocess import serving
from tests.support.process import eventually
from tests.support.wire import UnixClient
from tidegate.config import Bind
from tidegate.http.errors import ApplicationError, ClientDisconnected

CONTENT = bytes(range(256)) * 40_000  # 10 MB: more than any buffer on the way


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "content"
    path.write_bytes(CONTENT)
    return path


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def length(count):
    return (b"content-length", b"%d" % count)


def pathsend(path):
    return {"type": "http.response.pathsend", "path": str(path)}


def zerocopysend(file, **options):
    return {"type": "http.response.zerocopysend", "file": file, **options}


def sending(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("headers", [[length(len(CONTENT))], []])
def test_pathsend(server, client, path, headers):
    server.app = sending(start(*headers), pathsend(path))
    for _ in range(2):
        response = client.request()
        assert hashlib.sha256(response.body).digest() == hashlib.sha256(CONTENT).digest()


def test_pathsend_to_http_1_0(server, client, path):
    server.app = sending(start(), pathsend(path))
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.read_response().body == CONTENT


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_a_file_is_not_sent_where_there_is_no_content(server, client, path, method, status):
    server.app = sending(start(length(len(CONTENT)), status=status), pathsend(path))
    response = client.request(method)
    assert response.header("content-length") == (None if status == 204 else b"%d" % len(CONTENT))
    server.app = sending(start(length(2)), {"type": "http.response.body", "body": b"ok"})
    assert client.request().body == b"ok"


def test_an_empty_file(server, client, tmp_path):
    (tmp_path / "empty").touch()
    server.app = sending(start(), pathsend(tmp_path / "empty"))
    assert client.request().body == b""
    server.app = sending(start(length(0)), pathsend(tmp_path / "empty"))
    assert client.request().body == b""


def test_a_missing_file_is_the_applications_error(server, client, tmp_path):
    raised = []

    async def app(scope, receive, send):
        await send(start())
        try:
            await send(pathsend(tmp_path / "missing"))
        except Exception as error:
            raised.append(error)
            raise

    server.app = app
    assert client.request().status == 500
    assert isinstance(raised[0], ApplicationError)  # no OSError, which would look like a disconnect


@pytest.mark.parametrize("kind", ["directory", "fifo", "device"])
def test_what_is_no_regular_file_is_refused(server, client, tmp_path, kind):
    path = tmp_path / "special"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = "/dev/zero"
    server.app = sending(start(), pathsend(path))
    assert client.request().status == 500


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_file_that_does_not_fit_its_content_length_is_refused(server, client, path, wrong):
    server.app = sending(start(length(len(CONTENT) + wrong)), pathsend(path))
    assert client.request().status == 500
    assert isinstance(server.wait_for_end(), ApplicationError)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, CONTENT),
        ({"offset": 0}, CONTENT),
        ({"offset": 100}, CONTENT[100:]),
        ({"count": 100}, CONTENT[:100]),
        ({"offset": 5_000_000, "count": 4_000_000}, CONTENT[5_000_000:9_000_000]),
        ({"offset": len(CONTENT) - 5, "count": 100}, CONTENT[-5:]),
        ({"offset": len(CONTENT)}, b""),
        ({"offset": len(CONTENT) + 10}, b""),
        ({"count": 0}, b""),
        ({"offset": None, "count": None}, CONTENT),
    ],
)
def test_zerocopysend_offset_and_count(server, client, path, options, expected):
    with path.open("rb") as file:
        server.app = sending(start(), zerocopysend(file, **options))
        assert client.request().body == expected


def test_without_an_offset_it_begins_where_the_file_stands(server, client, path):
    with path.open("rb", buffering=0) as file:
        file.seek(1000)
        server.app = sending(
            start(),
            zerocopysend(file, count=10, more_body=True),
            zerocopysend(file, count=10, more_body=False),
        )
        assert client.request().body == CONTENT[1000:1020]


def test_files_and_bodies_mix_in_order(server, client, path):
    with path.open("rb") as file:
        server.app = sending(
            start(length(6_000_009)),
            {"type": "http.response.body", "body": b"<<<", "more_body": True},
            zerocopysend(file, offset=0, count=3_000_000, more_body=True),
            {"type": "http.response.body", "body": b"===", "more_body": True},
            zerocopysend(file, offset=100, count=3_000_000, more_body=True),
            {"type": "http.response.body", "body": b">>>"},
        )
        expected = b"<<<" + CONTENT[:3_000_000] + b"===" + CONTENT[100:3_000_100] + b">>>"
        assert client.request().body == expected
        assert client.request().body == expected


def test_a_descriptor_number_and_an_early_close(server, client, path):
    async def app(scope, receive, send):
        descriptor = os.open(path, os.O_RDONLY)
        await send(start())
        await send(zerocopysend(descriptor, count=5_000_000, more_body=True))
        os.close(descriptor)  # the server has its own
        await send({"type": "http.response.body"})

    server.app = app
    assert client.request().body == CONTENT[:5_000_000]


def test_invalid_files_are_refused(server, client):
    for file in (io.BytesIO(b"x"), None, "path", 10_000):
        raised = []

        async def app(scope, receive, send, file=file, raised=raised):
            await send(start())
            try:
                await send(zerocopysend(file))
            except ApplicationError as error:
                raised.append(error)
            await send({"type": "http.response.body", "body": b"instead"})

        server.app = app
        assert client.request().body == b"instead"
        assert raised


@pytest.mark.parametrize("options", [{"offset": -1}, {"count": -1}, {"offset": "1"}, {"count": 1.5}])
def test_invalid_offsets_and_counts_are_refused(server, client, path, options):
    with path.open("rb") as file:
        server.app = sending(start(), zerocopysend(file, **options))
        assert client.request().status == 500


def test_pipelined_files_stay_in_order(server, client, path):
    async def app(scope, receive, send):
        await send(start(length(len(CONTENT) + 1)))
        await send({"type": "http.response.body", "body": scope["query_string"], "more_body": True})
        with path.open("rb") as file:
            await send(zerocopysend(file))

    server.app = app
    client.send(b"".join(b"GET /?%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5)))
    for number in range(5):
        assert client.read_response().body == b"%d" % number + CONTENT


def test_a_slow_reader_gets_all_of_it_while_others_are_served(server, path):
    # The reader takes nothing until another connection has been answered.
    async def app(scope, receive, send):
        await send(start())
        if scope["path"] == "/file":
            await send(pathsend(path))
        else:
            await send({"type": "http.response.body", "body": b"ok"})

    server.app = app
    with server.client(receive_buffer=4096) as slow, server.client() as other:
        slow.send_request("GET", "/file")
        slow.read_head()
        for _ in range(20):
            assert other.request().body == b"ok"
        count = 0
        while (chunk := slow.read_chunk()) is not None:
            count += len(chunk)
        assert count == len(CONTENT)


def test_a_client_that_leaves_midfile_costs_no_descriptor(server, path):
    async def app(scope, receive, send):
        await send(start())
        with path.open("rb") as file:
            await send(zerocopysend(file, more_body=True))
            await send(zerocopysend(file, offset=0))

    server.app = app
    before = descriptors()
    for _ in range(5):
        server.escaped.clear()
        client = server.client(receive_buffer=4096)
        client.send_request()
        client.read_head()
        client.reset()
        assert isinstance(server.wait_for_end(), ClientDisconnected | type(None))
    eventually(lambda: descriptors() <= before)


def test_a_file_that_shrinks_is_visibly_incomplete(server, client, tmp_path):
    path = tmp_path / "shrinking"
    path.write_bytes(CONTENT)

    async def app(scope, receive, send):
        await send(start(length(len(CONTENT))))
        await send(pathsend(path))

    server.app = app
    client.close()
    with server.client(receive_buffer=4096) as client:
        client.send_request()
        client.read_head()
        os.truncate(path, 1000)
        with pytest.raises((AssertionError, ConnectionResetError)):
            client.take(len(CONTENT))


def test_over_a_unix_socket(path, tmp_path):
    address = str(tmp_path / "socket")
    with (
        serving(sending(start(), pathsend(path)), binds=(Bind(kind="unix", path=address),)),
        UnixClient(address) as client,
    ):
        assert client.request().body == CONTENT
        assert client.request().body == CONTENT


def test_send_waits_until_a_slow_reader_has_taken_the_file(server, path):
    # Otherwise an application could queue files without end.
    queued = []

    async def app(scope, receive, send):
        await send(start())
        for _ in range(20):
            await send({**zerocopysend(os.open(path, os.O_RDONLY), offset=0), "more_body": True})
            queued.append(1)
        await send({"type": "http.response.body"})

    descriptors_before = descriptors()
    server.app = app
    with server.client(receive_buffer=4096) as client:
        client.send_request()
        client.read_head()
        asyncio.run(asyncio.sleep(0.3))
        assert len(queued) <= 2
    server.wait_for_end()
    for descriptor in range(3, 256):
        # what the application opened is its own to close
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                os.close(descriptor)
        except OSError:
            continue
    assert descriptors() <= descriptors_before


def test_temporary_files(server, client):
    with tempfile.TemporaryFile() as file:
        file.write(b"temporary")
        file.flush()
        server.app = sending(start(), zerocopysend(file, offset=0))
        assert client.request().body == b"temporary"


def test_a_socket_is_no_file(server, client):
    left, right = socket.socketpair()
    with left, right:
        server.app = sending(start(), zerocopysend(left))
        assert client.request().status == 500
