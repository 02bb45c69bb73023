"""Both test clients: the same answers, extensions, errors and WebSockets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tidegate.web.applications import Application
from tidegate.web.responses import JSONResponse, PlainTextResponse, StreamingResponse
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import AsyncTestClient, TestClient, WebSocketDenialResponse
from tidegate.web.websockets import WebSocket, WebSocketDisconnect

if TYPE_CHECKING:
    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio
ALL = ("http.response.early_hint", "http.response.push")


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(
        {"method": request.method, "body": (await request.body()).decode(), "url": str(request.url)}
    )


async def broken(request: Request) -> PlainTextResponse:
    raise LookupError("broken")


async def extended(request: Request) -> PlainTextResponse:
    await request.send_early_hints("</a.css>; rel=preload", "</b.css>")
    await request.send_push_promise("/a.css")
    return PlainTextResponse("x")


async def thread(request: Request) -> JSONResponse:
    return JSONResponse(threading.get_ident())


async def ws_echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None)
    async for text in websocket.iter_text():
        await websocket.send_json({"echo": text})


async def ws_refuse(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("no", status_code=403))


async def ws_broken(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError("broken")


app = Application(
    routes=[
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/broken", broken),
        Route("/extended", extended),
        Route("/thread", thread),
        WebSocketRoute("/ws", ws_echo),
        WebSocketRoute("/refuse", ws_refuse),
        WebSocketRoute("/broken", ws_broken),
    ]
)


async def trailing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.debug", "info": {"rows": 3}})
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"x"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def test_requests_on_the_same_loop() -> None:
    async with AsyncTestClient(app) as client:
        response = await client.post("/echo", content=b"hi")
        assert response.json() == {"method": "POST", "body": "hi", "url": "http://testserver/echo"}
        assert (await client.get("/thread")).json() == threading.get_ident()
        with pytest.raises(LookupError):
            await client.get("/broken")
    quiet = AsyncTestClient(app, raise_server_exceptions=False)
    assert (await quiet.get("/broken")).status_code == 500


def test_requests_in_a_thread() -> None:
    with TestClient(app) as client:
        assert client.post("/echo", content=b"hi").json()["body"] == "hi"
        assert client.get("/thread").json() != threading.get_ident()
        with pytest.raises(LookupError):
            client.get("/broken")
    assert TestClient(app, raise_server_exceptions=False).get("/broken").status_code == 500


async def test_extensions() -> None:
    expected_hints = [[b"</a.css>; rel=preload", b"</b.css>"]]
    for response in (
        await AsyncTestClient(app, extensions=ALL).get("/extended"),
        TestClient(app, extensions=ALL).get("/extended"),
    ):
        assert response.extensions["http.response.early_hint"] == expected_hints
        assert response.extensions["http.response.push"][0][0] == "/a.css"
    for response in (await AsyncTestClient(trailing).get("/"), TestClient(trailing).get("/")):
        assert response.extensions["http.response.debug"] == {"rows": 3}
        assert response.extensions["http.response.trailers"] == [(b"x-sum", b"1")]
    assert "http.response.early_hint" not in TestClient(app).get("/extended").extensions


async def test_streams_stop_where_the_test_stops() -> None:
    produced = 0
    cancelled = anyio.Event()

    async def body() -> Any:
        nonlocal produced
        try:
            while True:
                produced += 1
                yield b"x"
        finally:
            cancelled.set()

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(body())

    client = AsyncTestClient(Application(routes=[Route("/", endpoint)]))
    async with client.stream("GET", "/") as response:
        async for _ in response.aiter_raw():
            break
    await cancelled.wait()
    assert produced < 5


async def test_async_websockets() -> None:
    client = AsyncTestClient(app)
    async with client.websocket_connect("/ws", subprotocols=["chat"]) as websocket:
        assert websocket.accepted_subprotocol == "chat"
        await websocket.send_text("a")
        assert await websocket.receive_json() == {"echo": "a"}
    with pytest.raises(WebSocketDenialResponse) as denied:
        async with client.websocket_connect("/refuse"):
            pass
    assert (denied.value.status_code, denied.value.text) == (403, "no")
    with pytest.raises(LookupError):
        async with client.websocket_connect("/broken") as websocket:
            pass


def test_sync_websockets() -> None:
    client = TestClient(app)
    with client.websocket_connect("/ws") as websocket:
        websocket.send_text("a")
        assert websocket.receive_json() == {"echo": "a"}
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/refuse"):
        pass
    with pytest.raises(LookupError), client.websocket_connect("/broken"):
        pass
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/nowhere"):
        pass


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio() -> None:
    async with AsyncTestClient(app) as client:
        assert (await client.post("/echo", content=b"hi")).json()["body"] == "hi"
        async with client.websocket_connect("/ws") as websocket:
            await websocket.send_text("a")
            assert await websocket.receive_json() == {"echo": "a"}


async def test_an_application_that_answers_nothing() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(AssertionError, match="did not receive any response"):
        await AsyncTestClient(silent).get("/")
    with pytest.raises(AssertionError, match="did not receive any response"):
        TestClient(silent).get("/")
