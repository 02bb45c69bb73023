"""Answers that are compressed at the edge, over real connections: what is, what is not, and that it can be decoded
as it comes."""

import asyncio
import gzip
import hashlib
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest

from tests.support.inprocess import Serving, serving
from tests.support.wire import Client, Response
from tidegate.asgi.compression import codec
from tidegate.config import Edge
from tidegate.edge.compression import LARGE
from tidegate.http.errors import ApplicationError

TEXT = b"to be compressed, " * 100
HTML = (b"content-type", b"text/html; charset=utf-8")
BIG = random.Random(7).randbytes(LARGE) + bytes(LARGE)
DECODERS = {b"gzip": gzip.decompress, b"br": brotli.decompress, b"zstd": codec("zstd").decompress}


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with serving(loop=request.param, edge=Edge(compress=("zstd", "br", "gzip"))) as server:
        yield server


@pytest.fixture
def server(shared: Serving) -> Iterator[Serving]:
    shared.reset()
    yield shared
    assert shared.loop_errors == []


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with server.client() as client:
        yield client


def answering(*bodies: bytes, status: int = 200, headers: Any = (HTML,), trailers: bool = False) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": status, "headers": list(headers), "trailers": trailers}
        )
        for body in bodies[:-1]:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": bodies[-1]})

    return app


def ask(
    client: Client, accepted: str | None = "gzip, deflate, br, zstd", method: str = "GET", *headers: Any
) -> Response:
    sent = [] if accepted is None else [("Accept-Encoding", accepted)]
    return client.request(method, "/", *sent, *headers)


def decoded(answer: Response) -> bytes:
    return DECODERS[answer.header("content-encoding") or b""](answer.body)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", b"zstd"), ("gzip, br", b"br"), ("gzip", b"gzip"), ("br;q=0.1, gzip;q=0.9", b"gzip"),
        ("*", b"zstd"), ("zstd;q=0, *", b"br"), (None, None), ("", None), ("identity", None), ("deflate", None),
        ("gzip;q=0", None), ("*;q=0", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("length", [False, True])
def test_by_quality(
    server: Serving, client: Client, accepted: str | None, coding: bytes | None, length: bool
) -> None:
    extra = [(b"content-length", b"%d" % len(TEXT))] if length else []
    server.app = answering(TEXT, headers=[HTML, (b"etag", b'"tag"'), (b"accept-ranges", b"bytes"), *extra])
    answer = ask(client, accepted)
    assert answer.header("content-encoding") == coding
    assert answer.header("vary") == b"Accept-Encoding"  # of all of them: a cache must tell them apart
    if coding is None:
        assert (answer.body, answer.header("etag")) == (TEXT, b'"tag"')
        assert answer.header("accept-ranges") == b"bytes"
    else:
        assert decoded(answer) == TEXT
        assert answer.header("content-length") == b"%d" % len(answer.body)
        assert answer.header("etag") == b'W/"tag"'
        assert answer.header("accept-ranges") is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [(b"content-type", b"image/png")]),
        (200, []),
        (200, [HTML, (b"content-encoding", b"gzip")]),
        (200, [HTML, (b"cache-control", b"public, no-transform")]),
        (200, [HTML, (b"content-digest", b"sha-256=:x:")]),
        (206, [HTML, (b"content-range", b"bytes 0-1799/9999")]),
        (200, [(b"content-type", b"text/event-stream")]),
    ],
)
def test_what_is_left_alone(server: Serving, client: Client, status: int, headers: Any) -> None:
    server.app = answering(TEXT, status=status, headers=[*headers, (b"etag", b'"tag"')])
    answer = ask(client)
    assert (answer.status, answer.body, answer.header("etag")) == (status, TEXT, b'"tag"')
    assert answer.header("vary") is None


@pytest.mark.parametrize("length", [False, True])
def test_small_answers_are_left_alone(server: Serving, client: Client, length: bool) -> None:
    extra = [(b"content-length", b"5")] if length else []
    server.app = answering(b"small", headers=[HTML, *extra])
    answer = ask(client)
    assert (answer.body, answer.header("content-encoding")) == (b"small", None)


def test_what_varies_already_says_so_once(server: Serving, client: Client) -> None:
    server.app = answering(TEXT, headers=[HTML, (b"vary", b"Cookie, accept-encoding")])
    assert ask(client).header("vary") == b"Cookie, accept-encoding"


@pytest.mark.parametrize("size", [5, 5000])
def test_head_and_not_modified_say_what_get_does(server: Serving, client: Client, size: int) -> None:
    fields = [HTML, (b"etag", b'"tag"'), (b"content-length", b"%d" % size)]
    server.app = answering(b"x" * size, headers=fields)
    get = ask(client)
    server.app = answering(b"", headers=fields)
    head = ask(client, "zstd", "HEAD")
    for name in ("content-encoding", "etag", "vary", "content-type"):
        assert head.header(name) == get.header(name)
    assert head.header("content-length") == (get.header("content-length") if size < 1024 else None)
    tag = get.header("etag")
    assert tag is not None
    server.app = answering(b"", status=304, headers=[(b"etag", b'"tag"')])
    unchanged = ask(client, "zstd", "GET", ("If-None-Match", tag.decode()))
    for name in ("etag", "vary"):
        assert unchanged.header(name) == get.header(name)


@pytest.mark.parametrize("known", ['"tag"', '"x", "tag"', "*", None])
def test_not_modified_is_what_the_client_has(server: Serving, client: Client, known: str | None) -> None:
    # A strong tag is of what was not encoded; for whatever reason, the 304 does not say.
    server.app = answering(b"", status=304, headers=[(b"etag", b'"tag"')])
    answer = ask(client, "zstd", "GET", *([] if known is None else [("If-None-Match", known)]))
    assert (answer.header("etag"), answer.header("vary")) == (b'"tag"', None)


@pytest.mark.parametrize("content", [b"", b"x" * 5, b"x" * 5000])
def test_head_claims_no_coding_that_get_has_not(server: Serving, client: Client, content: bytes) -> None:
    server.app = answering(content, headers=[HTML, (b"etag", b'"tag"')])
    get, head = ask(client), ask(client, "zstd", "HEAD")
    for name in ("content-encoding", "etag", "vary"):
        assert head.header(name) == get.header(name)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_each_step_can_be_decoded_when_it_is_over(server: Serving, client: Client, coding: str) -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        await send({"type": "http.response.body", "body": b"first, ", "more_body": True})
        await send({"type": "http.response.body", "body": b"second, ", "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"third", "more_body": True})
        await send({"type": "http.response.body"})

    server.app = app
    decoder: Any = {
        "gzip": lambda: zlib.decompressobj(31).decompress,
        "br": lambda: brotli.Decompressor().process,
        "zstd": lambda: codec("zstd").ZstdDecompressor().decompress,
    }[coding]()
    client.send_request("GET", "/", ("Accept-Encoding", coding))
    head = client.read_head()
    assert (head.header("content-encoding"), head.header("transfer-encoding")) == (
        coding.encode(),
        b"chunked",
    )
    text = b""
    while text != b"first, second, ":
        chunk = client.read_chunk()
        assert chunk is not None
        text += decoder(chunk)
    server.call_soon(gate.set)
    while (chunk := client.read_chunk()) is not None:
        text += decoder(chunk)
    assert text == b"first, second, third"


def test_what_a_child_task_sends_goes_out_at_once(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})

        async def child() -> None:
            await send({"type": "http.response.body", "body": b"from the child", "more_body": True})

        await asyncio.create_task(child())
        await receive()
        await receive()  # until the client has gone

    server.app = app
    client.send_request("GET", "/", ("Accept-Encoding", "gzip"))
    client.read_head()
    text = b""
    decoder = zlib.decompressobj(31)
    while text != b"from the child":
        text += decoder.decompress(client.read_chunk() or b"")


@pytest.mark.parametrize("bodies", [(BIG,), (BIG, b""), (b"x", BIG, b"y"), (BIG, BIG[:5])])
@pytest.mark.parametrize("length", [False, True])
def test_large_bodies_are_compressed_in_threads(
    server: Serving, client: Client, bodies: tuple[bytes, ...], length: bool
) -> None:
    whole = b"".join(bodies)
    extra = [(b"content-length", b"%d" % len(whole))] if length else []
    server.app = answering(*bodies, headers=[HTML, *extra])
    for coding in ("gzip", "br", "zstd"):
        answer = ask(client, coding)
        assert hashlib.sha256(decoded(answer)).digest() == hashlib.sha256(whole).digest()


def test_messages_that_overtake_a_thread_wait(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        first = asyncio.ensure_future(send({"type": "http.response.body", "body": BIG, "more_body": True}))
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"behind", "more_body": False})
        await first

    server.app = app
    assert decoded(ask(client, "gzip")) == BIG + b"behind"


def test_cancelled_while_a_thread_compresses(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        sending = asyncio.ensure_future(send({"type": "http.response.body", "body": BIG, "more_body": True}))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])

    server.app = app
    client.send_request("GET", "/", ("Accept-Encoding", "gzip"))
    server.wait_for_end()
    with pytest.raises((AssertionError, ConnectionError)):
        client.read_response()


@pytest.mark.parametrize("bodies", [(TEXT, b""), (TEXT, TEXT, b"x"), (TEXT,), (BIG, b"x")])
def test_a_wrong_content_length_is_the_applications_error(server: Serving, bodies: tuple[bytes, ...]) -> None:
    size = sum(map(len, bodies)) + (1 if len(bodies) < 3 else -1)
    server.app = answering(*bodies, headers=[HTML, (b"content-length", b"%d" % size)])
    with server.client() as client:
        client.send_request("GET", "/", ("Accept-Encoding", "gzip"))
        assert isinstance(server.wait_for_end(), ApplicationError)
        try:
            answer = client.read_response()
        except (AssertionError, ConnectionError):
            return
        assert answer.status == 500
        assert answer.header("content-encoding") is None


def test_an_application_that_fails_within_its_answer(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        raise RuntimeError("on purpose")

    server.app = app
    answer = ask(client)
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


def test_files_go_as_they_are(server: Serving, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(TEXT)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        await send({"type": "http.response.pathsend", "path": str(file)})

    server.app = app
    answer = ask(client)
    assert (answer.body, answer.header("content-encoding")) == (TEXT, None)


def test_a_file_behind_what_was_compressed(server: Serving, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(TEXT)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [HTML]})
        await send({"type": "http.response.body", "body": b"begun, ", "more_body": True})
        with file.open("rb") as opened:
            await send(
                {
                    "type": "http.response.zerocopysend",
                    "file": opened,
                    "offset": 3,
                    "count": 900,
                    "more_body": True,
                }
            )
            await send({"type": "http.response.zerocopysend", "file": opened, "offset": 0})

    server.app = app
    assert decoded(ask(client)) == b"begun, " + TEXT[3:903] + TEXT


def test_events_where_asked_for() -> None:
    events = [(b"content-type", b"text/event-stream")]
    edge = Edge(
        compress=("gzip",), compress_events=True, compress_min_size=0, compress_types=("application/json",)
    )
    with serving(answering(b"data: 1\n\n", b""), edge=edge) as server, server.client() as client:
        server.app = answering(b"data: 1\n\n", b"", headers=events)
        assert decoded(ask(client)) == b"data: 1\n\n"
        server.app = answering(TEXT)
        assert ask(client).body == TEXT
        server.app = answering(b"{}", headers=[(b"content-type", b"application/json")])
        assert decoded(ask(client)) == b"{}"
