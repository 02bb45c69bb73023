"""WebSockets: the states, the frames, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.web.applications import Application
from tidegate.web.exceptions import WebSocketException
from tidegate.web.responses import JSONResponse, StreamingResponse
from tidegate.web.routing import WebSocketRoute
from tidegate.web.testclient import AsyncTestClient, TestClient, WebSocketDenialResponse
from tidegate.web.websockets import (
    WebSocket,
    WebSocketDisconnect,
    WebSocketDisconnected,
    WebSocketState,
)

pytestmark = pytest.mark.anyio

MESSAGES: dict[str, dict[str, Any]] = {
    "accept": {"type": "websocket.accept"},
    "send": {"type": "websocket.send", "text": "a"},
    "close": {"type": "websocket.close"},
    "start": {"type": "websocket.http.response.start", "status": 403, "headers": []},
    "body": {"type": "websocket.http.response.body", "body": b""},
    "more": {"type": "websocket.http.response.body", "body": b"", "more_body": True},
}
S = WebSocketState
# What the application may send in each state, and the state after it; everything else raises.
SENDING: dict[Any, WebSocketState] = {
    (S.CONNECTING, "accept"): S.CONNECTED,
    (S.CONNECTING, "close"): S.DISCONNECTED,
    (S.CONNECTING, "start"): S.RESPONSE,
    (S.CONNECTED, "send"): S.CONNECTED,
    (S.CONNECTED, "close"): S.DISCONNECTED,
    (S.RESPONSE, "more"): S.RESPONSE,
    (S.RESPONSE, "body"): S.DISCONNECTED,
}
# What the server may give in each state.
RECEIVING = {
    (S.CONNECTING, "websocket.connect"): S.CONNECTED,
    (S.CONNECTED, "websocket.receive"): S.CONNECTED,
    (S.CONNECTED, "websocket.disconnect"): S.DISCONNECTED,
}


def websocket(incoming: list[dict[str, Any]] | None = None, error: Exception | None = None) -> WebSocket:
    sent: list[Any] = []

    async def receive() -> Any:
        return (incoming or []).pop(0)

    async def send(message: Any) -> None:
        if error is not None:
            raise error
        sent.append(message)

    return WebSocket({"type": "websocket", "path": "/", "headers": [], "extensions": {}}, receive, send)


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("kind", list(MESSAGES))
async def test_every_state_and_message_sent(state: WebSocketState, kind: str) -> None:
    ws = websocket()
    ws.application_state = state
    after = SENDING.get((state, kind))
    if after is None:
        with pytest.raises(RuntimeError):
            await ws.send(MESSAGES[kind])
        assert ws.application_state is state
    else:
        await ws.send(MESSAGES[kind])
        assert ws.application_state is after


@pytest.mark.parametrize("state", [S.CONNECTING, S.CONNECTED, S.DISCONNECTED])
@pytest.mark.parametrize("kind", ["websocket.connect", "websocket.receive", "websocket.disconnect"])
async def test_every_state_and_message_received(state: WebSocketState, kind: str) -> None:
    ws = websocket([{"type": kind}])
    ws.client_state = state
    after = RECEIVING.get((state, kind))
    if after is None:
        with pytest.raises(RuntimeError):
            await ws.receive()
    else:
        assert (await ws.receive())["type"] == kind
        assert ws.client_state is after


async def test_a_peer_that_has_gone() -> None:
    ws = websocket(error=OSError("gone"))
    ws.application_state = S.CONNECTED
    with pytest.raises(WebSocketDisconnect) as caught:
        await ws.send_text("a")
    assert str(caught.value) == "(1006, '')"
    assert ws.application_state is S.DISCONNECTED


async def test_before_accept() -> None:
    with pytest.raises(WebSocketDisconnected, match="accept"):
        await websocket().receive_text()


async def test_json_modes() -> None:
    ws = websocket()
    ws.application_state = S.CONNECTED
    with pytest.raises(RuntimeError, match="mode"):
        await ws.send_json({}, mode="other")
    with pytest.raises(RuntimeError, match="mode"):
        await ws.receive_json(mode="other")
    with pytest.raises(RuntimeError, match="Denial Response"):
        await ws.send_denial_response(JSONResponse(1))


async def frames(ws: WebSocket) -> None:
    await ws.accept(headers=[(b"x-a", b"1")])
    kind = ws.query_params["kind"]
    if kind == "text":
        async for text in ws.iter_text():
            await ws.send_text(text.upper())
    elif kind == "bytes":
        async for data in ws.iter_bytes():
            await ws.send_bytes(data[::-1])
    elif kind == "json":
        async for value in ws.iter_json():
            await ws.send_json([value])
    else:
        await ws.send_json(await ws.receive_json(mode="binary"), mode="binary")
        await ws.close(4000, "done")


async def excepting(ws: WebSocket) -> None:
    if "accept" in ws.query_params:
        await ws.accept()
    raise WebSocketException(4001, "no")


async def denying(ws: WebSocket) -> None:
    async def body() -> Any:
        yield b"not "
        yield b"you"

    await ws.send_denial_response(StreamingResponse(body(), status_code=403, headers={"x-a": "1"}))


async def returning(ws: WebSocket) -> None:
    await ws.accept()


app = Application(
    routes=[
        WebSocketRoute("/frames", frames),
        WebSocketRoute("/excepting", excepting),
        WebSocketRoute("/denying", denying),
        WebSocketRoute("/returning", returning),
    ]
)


def test_frames_in_a_thread() -> None:
    client = TestClient(app)
    with client.websocket_connect("/frames?kind=text") as ws:
        assert ws.extra_headers == [(b"x-a", b"1")]
        ws.send_text("a")
        assert ws.receive_text() == "A"
    with client.websocket_connect("/frames?kind=bytes") as ws:
        ws.send_bytes(b"ab")
        assert ws.receive_bytes() == b"ba"
    with client.websocket_connect("/frames?kind=json") as ws:
        ws.send_json({"a": 1})
        assert ws.receive_json() == [{"a": 1}]
    with client.websocket_connect("/frames?kind=binary") as ws:
        ws.send_json({"a": 1}, mode="binary")
        assert ws.receive_json(mode="binary") == {"a": 1}
        with pytest.raises(WebSocketDisconnect) as caught:
            ws.receive_json()
        assert (caught.value.code, caught.value.reason) == (4000, "done")


async def test_frames_on_the_loop() -> None:
    async with AsyncTestClient(app) as client:
        async with client.websocket_connect("/frames?kind=text") as ws:
            await ws.send_text("a")
            assert await ws.receive_text() == "A"
        async with client.websocket_connect("/frames?kind=bytes") as ws:
            await ws.send_bytes(b"ab")
            assert await ws.receive_bytes() == b"ba"
        async with client.websocket_connect("/frames?kind=binary") as ws:
            await ws.send_json({"a": 1}, mode="binary")
            assert await ws.receive_json(mode="binary") == {"a": 1}
            with pytest.raises(WebSocketDisconnect):
                await ws.receive_json()
        async with client.websocket_connect("/returning") as ws:
            with pytest.raises(WebSocketDisconnect, match="has returned"):
                await ws.receive()
            await ws.send_text("to nobody")
        with pytest.raises(WebSocketDenialResponse) as denied:
            async with client.websocket_connect("/denying"):
                pass
        assert (denied.value.status_code, denied.value.content) == (403, b"not you")
        with pytest.raises(RuntimeError, match="Expected WebSocket upgrade"):
            async with client.websocket_connect("http://testserver/frames"):
                pass


def test_websocket_exceptions_and_denials() -> None:
    client = TestClient(app)
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/excepting"):
        pass
    assert (refused.value.code, refused.value.reason) == (4001, "no")
    with client.websocket_connect("/excepting?accept") as ws, pytest.raises(WebSocketDisconnect):
        ws.receive_text()
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/denying"):
        pass
    assert (denied.value.status_code, denied.value.content) == (403, b"not you")
    assert denied.value.headers["x-a"] == "1"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/none"):
        pass
    assert str(WebSocketException(1000)) == "1000: "
    assert repr(WebSocketException(1000, "x")) == "WebSocketException(code=1000, reason='x')"
