"""ConditionalMiddleware: RFC 9110 §13, §15.4.5, §15.5.13; RFC 6585 §3. The table of all conditions is tested with
`tidegate.asgi.preconditions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call
from tidegate.web.middleware.conditional import ConditionalMiddleware, Validators
from tidegate.web.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio
DATE, EARLIER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"


async def ask(app: Any, method: str = "GET", **headers: str) -> Sent:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return await call(app, "/", method, headers=fields)


async def test_a_tag_of_the_content() -> None:
    app = ConditionalMiddleware(PlainTextResponse("tide", headers={"cache-control": "no-cache", "x-a": "b"}))
    sent = await ask(app)
    tag = sent.headers["etag"]
    assert (sent.body, tag[0], tag[-1], len(tag)) == (b"tide", '"', '"', 34)
    again = await ask(app, if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    assert again.headers == {"etag": tag, "cache-control": "no-cache", "x-a": "b"}
    assert (await ask(app, if_none_match=f'"x", W/{tag}')).status == 304
    assert (await ask(app, if_none_match='"x"')).body == b"tide"
    assert (await ask(ConditionalMiddleware(PlainTextResponse("ebb")))).headers["etag"] != tag
    assert (await ask(app, if_match='"x"')).status == 412


async def test_tags_and_dates_of_the_application() -> None:
    app = ConditionalMiddleware(PlainTextResponse("tide", headers={"last-modified": DATE, "etag": 'W/"1"'}))
    assert (await ask(app)).headers["etag"] == 'W/"1"'
    assert (await ask(app, if_none_match='"1"')).headers == {"etag": 'W/"1"'}
    assert (await ask(app, if_none_match='"2"', if_modified_since=DATE)).status == 200
    dated = ConditionalMiddleware(PlainTextResponse("tide", headers={"last-modified": DATE}), max_size=0)
    found = await ask(dated, if_modified_since=DATE)
    assert (found.status, found.headers) == (304, {"last-modified": DATE})
    assert (await ask(dated, if_modified_since=EARLIER)).status == 200
    assert (await ask(dated, if_unmodified_since=EARLIER)).status == 412
    assert (await ask(dated, "HEAD", if_modified_since=DATE)).status == 304


@pytest.mark.parametrize(
    ("response", "method"),
    [
        (PlainTextResponse("x" * 11), "GET"),
        (PlainTextResponse("x", 404), "GET"),
        (PlainTextResponse("x", headers={"cache-control": "private, no-store"}), "GET"),
        (PlainTextResponse("x"), "HEAD"),
        (PlainTextResponse("x"), "POST"),
    ],
)
async def test_what_gets_no_tag(response: Response, method: str) -> None:
    assert await ask(ConditionalMiddleware(response, max_size=10), method) == await ask(response, method)


def stream(pieces: list[bytes], length: int | None) -> Response:
    async def content() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    headers = {} if length is None else {"content-length": str(length)}
    return StreamingResponse(content(), 200, headers, "text/plain")


async def test_streams_are_not_held() -> None:
    sent = await ask(ConditionalMiddleware(stream([b"a", b"b"], None)))
    assert [message.get("body") for message in sent[1:]] == [b"a", b"b", b""]
    assert "etag" not in sent.headers


@given(
    st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=6),
    st.integers(min_value=0, max_value=40),
)
async def test_pieces_of_a_known_length(pieces: list[bytes], max_size: int) -> None:
    size = sum(map(len, pieces))
    sent = await ask(ConditionalMiddleware(stream(pieces, size), max_size=max_size))
    assert sent.body == b"".join(pieces)
    assert ("etag" in sent.headers) is (size <= max_size)
    whole = await ask(ConditionalMiddleware(Response(b"".join(pieces)), max_size=max_size))
    assert whole.headers.get("etag") == sent.headers.get("etag")


async def test_a_length_that_is_not_kept_holds_no_more_than_the_limit() -> None:
    sent = await ask(ConditionalMiddleware(stream([b"x" * 6] * 4, 5), max_size=10))
    assert [len(message["body"]) for message in sent[1:]] == [12, 6, 6, 0]
    assert "etag" not in sent.headers


async def test_an_application_that_goes_on_after_its_304() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b'"1"')]})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"y"})

    sent = await ask(ConditionalMiddleware(app), if_none_match='"1"')
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_an_application_that_raises() -> None:
    """Nothing has been sent, so whoever is outside can answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"9")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise ZeroDivisionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await ConditionalMiddleware(app)({"type": "http", "method": "GET", "headers": []}, None, send)  # type: ignore[arg-type]
    assert sent == []


async def test_files_answer_for_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("tide")
    app = ConditionalMiddleware(FileResponse(path))
    for extensions in ({}, {"http.response.pathsend": {}}):
        sent = await call(app, "/", extensions=extensions)
        assert sent.headers["etag"]
    fields = [(b"if-none-match", sent.headers["etag"].encode())]
    assert (await call(app, "/", headers=fields)).status == 304

    async def tagless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(path)})

    sent = await ask(ConditionalMiddleware(tagless))
    assert sent[1]["type"] == "http.response.pathsend"


class Store:
    """One document, that PUT changes if nobody else has."""

    def __init__(self) -> None:
        self.text: str | None = "one"
        self.version = 1
        self.calls = 0

    async def current(self, request: Request) -> Validators | None:
        return None if self.text is None else Validators(f'"{self.version}"', DATE)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        if scope["method"] == "PUT":
            self.text, self.version = (await receive())["body"].decode(), self.version + 1
        await PlainTextResponse(self.text, headers={"etag": f'"{self.version}"'})(scope, receive, send)


async def test_lost_updates() -> None:
    store = Store()
    app = ConditionalMiddleware(store, current=store.current, required={"PUT", "DELETE"})
    assert (await ask(app, "PUT")).status == 428
    refused = await ask(app, "PUT", if_match='"0"')
    assert (refused.status, refused.headers["etag"], store.version) == (412, '"1"', 1)
    assert (await ask(app, "PUT", if_none_match="*")).status == 412
    assert (await ask(app, "PUT", if_match='"1"')).status == 200
    assert (await ask(app, "PUT", if_match='"1"')).status == 412  # the second of two who read "1"
    assert (await ask(app, "DELETE", if_match="*", if_unmodified_since=EARLIER)).status == 200
    store.text = None
    assert (await ask(app, "PUT", if_match="*")).status == 412
    assert (await ask(app, "PUT", if_none_match="*")).status == 200


async def test_a_304_without_the_application() -> None:
    store = Store()
    app = ConditionalMiddleware(store, current=store.current)
    sent = await ask(app, if_none_match='"1"')
    assert (sent.status, sent.headers, store.calls) == (304, {"etag": '"1"'}, 0)
    assert (await ask(app)).body == b"one"
    assert (await ask(app, "PUT")).status == 200  # not required


async def test_settings_and_other_scopes() -> None:
    with pytest.raises(ValueError, match="current"):
        ConditionalMiddleware(Response(), required={"PUT"})
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await ConditionalMiddleware(app)({"type": "websocket"}, None, None)  # type: ignore[arg-type]
    assert seen == ["websocket"]
