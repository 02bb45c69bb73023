"""Endpoints as classes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import call
from tidegate.web.applications import Application
from tidegate.web.endpoints import HTTPEndpoint, WebSocketEndpoint
from tidegate.web.responses import PlainTextResponse
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import TestClient
from tidegate.web.websockets import WebSocket, WebSocketDisconnect

pytestmark = pytest.mark.anyio


class Page(HTTPEndpoint):
    async def get(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("get")

    def put(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("put")

    async def query(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("query")


class WithHead(HTTPEndpoint):
    async def head(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("", headers={"x-head": "own"})


@pytest.mark.parametrize(
    ("method", "body"), [("GET", b"get"), ("PUT", b"put"), ("QUERY", b"query"), ("HEAD", b"")]
)
async def test_verbs(method: str, body: bytes) -> None:
    sent = await call(Page, "/", method)
    assert (sent.status, sent.body) == (200, body)


@pytest.mark.parametrize(
    "method",
    [
        "DELETE",
        "DISPATCH",
        "METHOD_NOT_ALLOWED",
        "SCOPE",
        "RECEIVE",
        "SEND",
        "__INIT__",
        "__CLASS__",
        "get",
        "_ALLOWED_METHODS",
    ],
)
@pytest.mark.parametrize("app", [Page, Application(routes=[Route("/", Page)])])
async def test_no_other_attribute_is_reached_by_a_method(method: str, app: Any) -> None:
    sent = await call(app, "/", method)
    assert (sent.status, sent.headers["allow"]) == (405, "GET, HEAD, PUT, QUERY")


async def test_head_of_ones_own() -> None:
    assert (await call(WithHead, "/", "HEAD")).headers["x-head"] == "own"


def websocket_app(endpoint: type[WebSocketEndpoint]) -> TestClient:
    return TestClient(Application(routes=[WebSocketRoute("/", endpoint)]))


@pytest.mark.parametrize(
    ("encoding", "frame", "expected"),
    [
        ("text", {"text": "a"}, "'a'"),
        ("bytes", {"bytes": b"a"}, "b'a'"),
        ("json", {"text": '{"a": 1}'}, "{'a': 1}"),
        ("json", {"bytes": b"[1]"}, "[1]"),
        (None, {"text": "a"}, "'a'"),
        (None, {"bytes": b"a"}, "b'a'"),
    ],
)
def test_frames(encoding: Any, frame: dict[str, Any], expected: str) -> None:
    class Echo(WebSocketEndpoint):
        async def on_receive(self, websocket: WebSocket, data: Any) -> None:
            await websocket.send_text(repr(data))

    Echo.encoding = encoding
    with websocket_app(Echo).websocket_connect("/") as websocket:
        websocket.send({"type": "websocket.receive", **frame})
        assert websocket.receive_text() == expected


@pytest.mark.parametrize(
    ("encoding", "frame", "error"),
    [
        ("text", {"bytes": b"a"}, "Expected text"),
        ("bytes", {"text": "a"}, "Expected bytes"),
        ("json", {"text": "{"}, "Malformed JSON"),
        ("json", {"bytes": b"\xff"}, "Malformed JSON"),
    ],
)
def test_the_wrong_frames(encoding: Any, frame: dict[str, Any], error: str) -> None:
    codes: list[int] = []

    class Typed(WebSocketEndpoint):
        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            codes.append(close_code)

    Typed.encoding = encoding
    with pytest.raises(RuntimeError, match=error), websocket_app(Typed).websocket_connect("/") as websocket:  # noqa: PT012
        websocket.send({"type": "websocket.receive", **frame})
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()
        assert caught.value.code == 1003
    assert codes == [1011]


def test_the_close_code_is_passed_on() -> None:
    codes: list[int] = []

    class Watching(WebSocketEndpoint):
        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            codes.append(close_code)

    with websocket_app(Watching).websocket_connect("/") as websocket:
        websocket.send_text("ignored")
        websocket.close(code=1001)
    assert codes == [1001]


async def test_an_unknown_encoding() -> None:
    class Odd(WebSocketEndpoint):
        encoding = "xml"  # type: ignore[assignment]

    with (  # noqa: PT012
        pytest.raises(AssertionError, match="Unsupported"),
        websocket_app(Odd).websocket_connect("/") as websocket,
    ):
        websocket.send_text("<a/>")
        websocket.receive_text()
