"""CompressionMiddleware: RFC 9110 §8.4, §8.8, §9.3.2, §12.5.3, §14; RFC 9111 §5.2.2.6."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from typing import TYPE_CHECKING, Any

import anyio
import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call
from tidegate.asgi import compression
from tidegate.asgi.compression import CODINGS, MissingCodec
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.compression import CompressionMiddleware
from tidegate.web.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Route

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
each_coding = pytest.mark.parametrize("coding", CODINGS)

TEXT = "The tide comes in, the tide goes out. " * 200


def decode(coding: str | None, body: bytes) -> bytes:
    if coding is None:
        return body
    if coding == "gzip":
        return gzip.decompress(body)
    return bytes(brotli.decompress(body) if coding == "br" else zstd.decompress(body))


async def ask(app: Any, accept: str | None = "gzip", method: str = "GET", **headers: str) -> Sent:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if accept is not None:
        fields.append((b"accept-encoding", accept.encode()))
    return await call(app, "/", method, headers=[(b"host", b"example.org"), *fields])


@each_coding
async def test_whole_bodies(coding: str) -> None:
    sent = await ask(CompressionMiddleware(PlainTextResponse(TEXT, headers={"etag": '"a"'})), coding)
    assert sent.headers["content-encoding"] == coding
    assert decode(coding, sent.body).decode() == TEXT
    assert sent.headers["content-length"] == str(len(sent.body))
    assert sent.headers["vary"] == "Accept-Encoding"
    assert sent.headers["etag"] == 'W/"a"'
    assert len(sent.body) < len(TEXT) / 10


@pytest.mark.parametrize(
    ("accept", "coding"),
    [("gzip, deflate, br, zstd", "zstd"), ("br;q=0.1, gzip", "gzip"), ("br, gzip", "br"), ("identity", None)],
)
async def test_the_best_coding_for_the_client(accept: str, coding: str | None) -> None:
    sent = await ask(CompressionMiddleware(PlainTextResponse(TEXT)), accept)
    assert sent.headers.get("content-encoding") == coding
    assert sent.headers["vary"] == "Accept-Encoding"  # of either form
    assert decode(coding, sent.body).decode() == TEXT


async def test_without_the_field_nothing_is_encoded() -> None:
    sent = await ask(CompressionMiddleware(PlainTextResponse(TEXT)), None)
    assert "content-encoding" not in sent.headers


@pytest.mark.parametrize(
    "response",
    [
        PlainTextResponse("short"),
        Response(b"\0" * 1000, media_type="image/png"),
        Response(b"\0" * 1000),
        PlainTextResponse(TEXT, headers={"content-encoding": "x"}),
        PlainTextResponse(TEXT, headers={"cache-control": "no-transform"}),
        PlainTextResponse(TEXT, 206, headers={"content-range": "bytes 0-99/100"}),
        PlainTextResponse(TEXT, headers={"repr-digest": "sha-256=:YWJj:"}),
        Response(TEXT, media_type="text/event-stream"),
        Response(status_code=204),
    ],
    ids=["short", "image", "untyped", "encoded", "no-transform", "partial", "digest", "events", "empty"],
)
async def test_what_is_left_as_it_is(response: Response) -> None:
    sent = await ask(CompressionMiddleware(response))
    assert list(sent) == list(await ask(response))


@each_coding
async def test_streams_are_flushed_piece_by_piece(coding: str) -> None:
    decoder: Any = {
        "gzip": lambda: zlib.decompressobj(31).decompress,
        "br": lambda: brotli.Decompressor().process,
        "zstd": lambda: zstd.ZstdDecompressor().decompress,
    }[coding]()
    pieces = [b"first", b"second " * 100, b"third"]

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    sent = await ask(CompressionMiddleware(StreamingResponse(stream(), media_type="text/plain")), coding)
    assert "content-length" not in sent.headers
    assert [decoder(message["body"]) for message in sent[1:4]] == pieces
    assert decode(coding, sent.body) == b"".join(pieces)


async def test_pieces_of_a_known_length_are_not_flushed() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"tide " * 10

    length = {"content-length": "5000"}
    sent = await ask(CompressionMiddleware(StreamingResponse(stream(), 200, length, "text/plain")))
    assert "content-length" not in sent.headers
    assert decode("gzip", sent.body) == b"tide " * 1000
    assert len(sent) <= 4


@given(pieces=st.lists(st.binary(max_size=300), max_size=8), coding=st.sampled_from(CODINGS))
def test_any_stream_comes_out_as_it_went_in(pieces: list[bytes], coding: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    sent = anyio.run(lambda: ask(CompressionMiddleware(app, minimum_size=0), coding))
    assert decode(sent.headers.get("content-encoding"), sent.body) == b"".join(pieces)
    assert [message.get("more_body", False) for message in sent[1:]][-1] is False


async def test_event_streams_when_asked_begin_at_once() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        seen.append("begun")
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": False})

    events = CompressionMiddleware(app, event_streams=True)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert seen == []
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    await events(scope, None, send)  # type: ignore[arg-type]
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(sent[1]["body"]) == b"data: 1\n\n"
    assert decoder.decompress(sent[2]["body"]) == b"data: 2\n\n"


async def test_head_says_what_get_would() -> None:
    app = CompressionMiddleware(PlainTextResponse(TEXT, headers={"etag": '"a"', "accept-ranges": "bytes"}))
    got, head = await ask(app), await ask(app, method="HEAD")
    assert head.body == b""
    assert head.headers == {name: value for name, value in got.headers.items() if name != "content-length"}
    assert "accept-ranges" not in head.headers


@pytest.mark.parametrize("content", [b"", b"x" * 5, b"x" * 5000])
async def test_head_claims_no_coding_that_get_has_not(content: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}
        )
        await send({"type": "http.response.body", "body": content})

    wrapped = CompressionMiddleware(app)
    got, head = await ask(wrapped), await ask(wrapped, method="HEAD")
    assert head.headers.get("content-encoding") == got.headers.get("content-encoding")


async def test_the_weak_tag_comes_back() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response(status_code=304, headers={"etag": '"a"'})(scope, receive, send)

    wrapped = CompressionMiddleware(app)
    weak = await ask(wrapped, if_none_match='W/"a"')
    assert (weak.headers["etag"], weak.headers["vary"]) == ('W/"a"', "Accept-Encoding")
    strong = await ask(wrapped, if_none_match='"a"')
    assert strong.headers == {"etag": '"a"'}


async def test_files(tmp_path: Path) -> None:
    page, image = tmp_path / "page.html", tmp_path / "image.png"
    page.write_text(TEXT * 20)
    image.write_bytes(b"\0" * 5000)
    short = tmp_path / "short.html"
    short.write_text("short")
    pathsend = {"extensions": {"http.response.pathsend": {}}}
    fields = {"headers": [(b"accept-encoding", b"br")]}
    for path, changes in [(page, {}), (page, pathsend)]:
        sent = await call(CompressionMiddleware(FileResponse(path)), "/", **fields, **changes)
        assert sent.headers["content-encoding"] == "br"
        assert "accept-ranges" not in sent.headers
        assert decode("br", sent.body).decode() == TEXT * 20
    for path in (image, short):  # left to the server
        sent = await call(CompressionMiddleware(FileResponse(path)), "/", **fields, **pathsend)
        assert sent[1] == {"type": "http.response.pathsend", "path": str(path)}
        assert "content-encoding" not in sent.headers
    ranged = {"headers": [(b"accept-encoding", b"br"), (b"range", b"bytes=0-999")]}
    sent = await call(CompressionMiddleware(FileResponse(page)), "/", **ranged)
    assert (sent.status, "content-encoding" in sent.headers, len(sent.body)) == (206, False, 1000)
    sent = await call(CompressionMiddleware(FileResponse(page)), "/", **pathsend)  # no Accept-Encoding
    assert (sent[1]["type"], sent.headers["vary"]) == ("http.response.pathsend", "Accept-Encoding")


async def test_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"0123456789" * 100)

    def app(first: bytes, **options: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if first:
                await send({"type": "http.response.body", "body": first, "more_body": True})
            with path.open("rb") as file:
                await send({"type": "http.response.zerocopysend", "file": file, **options})

        return app

    sent = await ask(CompressionMiddleware(app(b"")))
    assert (sent[1]["type"], "content-encoding" in sent.headers) == ("http.response.zerocopysend", False)
    sent = await ask(CompressionMiddleware(app(b"<", offset=5, count=7)))
    assert decode("gzip", sent.body) == b"<5678901"
    sent = await ask(CompressionMiddleware(app(b"<")))
    assert decode("gzip", sent.body) == b"<" + path.read_bytes()


async def test_trailers_pass() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        await send({"type": "http.response.body", "body": b"a" * 1000})
        await send({"type": "http.response.trailers", "headers": [(b"x", b"y")]})

    sent = await ask(CompressionMiddleware(app))
    assert "content-length" not in sent.headers
    assert decode("gzip", b"".join(m.get("body", b"") for m in sent[1:-1])) == b"a" * 1000
    assert sent[-1]["headers"] == [(b"x", b"y")]


@each_coding
async def test_the_loop_goes_on_while_a_big_body_is_encoded(coding: str) -> None:
    turns = 0

    async def ticking() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        app = CompressionMiddleware(JSONResponse(["x" * 1000] * 1000))
        group.start_soon(ticking)
        await anyio.sleep(0)
        turns = 0
        sent = await ask(app, coding)
        assert turns > 0
        group.cancel_scope.cancel()
    assert len(decode(coding, sent.body)) > 1_000_000


async def test_an_application_that_raises_is_answered_by_who_is_outside() -> None:
    async def endpoint(request: Any) -> Response:
        raise ZeroDivisionError

    app = Application(routes=[Route("/", endpoint)], middleware=[Middleware(CompressionMiddleware)])
    sent = Sent()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"accept-encoding", b"br")]}
    with contextlib.suppress(ZeroDivisionError):
        await app(scope, receive, send)
    assert (sent.status, sent.body) == (500, b"Internal Server Error")


async def test_a_stream_that_raises_stays_unfinished() -> None:
    """So its client sees that it is cut, by the coding as by the framing."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    sent = Sent()

    async def send(message: Any) -> None:
        sent.append(message)

    app = CompressionMiddleware(StreamingResponse(stream(), media_type="text/plain"))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "headers": [(b"accept-encoding", b"gzip")],
    }
    with pytest.raises(ZeroDivisionError):
        await app(scope, None, send)  # type: ignore[arg-type]
    assert sent[-1]["more_body"] is True
    with pytest.raises(EOFError):
        gzip.decompress(sent.body)


async def test_a_client_that_has_gone() -> None:
    from tidegate.web.requests import ClientDisconnect

    async def stream() -> AsyncIterator[bytes]:
        while True:
            yield b"tide"

    sends = 0

    async def send(message: Any) -> None:
        nonlocal sends
        sends += 1
        if sends == 3:
            raise OSError("gone")

    app = CompressionMiddleware(StreamingResponse(stream(), media_type="text/plain"))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "headers": [(b"accept-encoding", b"gzip")],
    }
    with pytest.raises(ClientDisconnect):
        await app(scope, None, send)  # type: ignore[arg-type]


async def test_codings_and_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    app = PlainTextResponse(TEXT)
    sent = await ask(CompressionMiddleware(app, codings=["gzip"], levels={"gzip": 1}), "br, gzip")
    assert sent.headers["content-encoding"] == "gzip"
    assert len(sent.body) > len((await ask(CompressionMiddleware(app, levels={"gzip": 9}))).body)
    with pytest.raises(ValueError, match="levels of br"):
        CompressionMiddleware(app, levels={"br": 99})
    with pytest.raises(ValueError, match="Unknown content coding"):
        CompressionMiddleware(app, codings=["deflate"])
    monkeypatch.setitem(compression.MODULES, "br", ("no_such_brotli",))
    with pytest.raises(MissingCodec, match=r"pip install 'tidegate\[compression\]'"):
        CompressionMiddleware(app, codings=["br"])
    assert (await ask(CompressionMiddleware(app), "br, gzip;q=0.1")).headers["content-encoding"] == "gzip"


async def test_other_scopes_pass() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await CompressionMiddleware(app)({"type": "websocket"}, None, None)  # type: ignore[arg-type]
    assert seen == ["websocket"]
