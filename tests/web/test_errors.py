"""Errors: who answers, through which layers, and who is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import pytest

from tests.web.conftest import Sent, call, http_scope
from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.errors import ServerErrorMiddleware
from tidegate.web.responses import JSONResponse, PlainTextResponse, StreamingResponse
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import TestClient
from tidegate.web.websockets import WebSocket, WebSocketDisconnect, WebSocketFrameError

if TYPE_CHECKING:
    from tidegate.web.requests import Request
    from tidegate.web.responses import Response

pytestmark = pytest.mark.anyio


async def broken(request: Request) -> PlainTextResponse:
    raise RuntimeError("broken")


async def ok(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


class Refusing:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise HTTPException(403, detail="refused by middleware")


class Passing:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def failing_call(app: Any, path: str, **changes: Any) -> Sent:
    """The messages of a request that also raises."""
    sent = Sent()

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    with pytest.raises(RuntimeError, match="broken"):
        await app(http_scope(path, **changes), receive, send)
    return sent


async def test_http_exception_of_a_middleware_is_handled() -> None:
    async def handler(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, status_code=error.status_code)

    plain = Application(routes=[Route("/", ok)], middleware=[Middleware(Refusing)])
    sent = await call(plain, "/")
    assert (sent.status, sent.body) == (403, b"refused by middleware")
    handled = Application(
        routes=[Route("/", ok)],
        middleware=[Middleware(Refusing)],
        exception_handlers={HTTPException: handler},
    )
    assert (await call(handled, "/")).body == b'{"detail":"refused by middleware"}'


@pytest.mark.parametrize("inner", [[], [Middleware(Passing)]])
async def test_a_500_passes_through_cors_and_is_raised(inner: list[Middleware]) -> None:
    app = Application(
        routes=[Route("/", broken)],
        middleware=[Middleware(CORSMiddleware, allow_origins=["https://a.example"]), *inner],
    )
    headers = [(b"host", b"example.org"), (b"origin", b"https://a.example")]
    sent = await failing_call(app, "/", headers=headers)
    assert sent.status == 500
    assert sent.headers["access-control-allow-origin"] == "https://a.example"
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_a_middleware_can_still_answer_an_exception_itself() -> None:
    class Catching:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await self.app(scope, receive, send)
            except RuntimeError:
                await PlainTextResponse("caught", status_code=503)(scope, receive, send)

    app = Application(routes=[Route("/", broken)], middleware=[Middleware(Catching)])
    sent = await call(app, "/")
    assert (sent.status, sent.body) == (503, b"caught")


async def test_a_send_that_is_gone_does_not_hide_the_500() -> None:
    class Spent:
        """Its send works only while it runs."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            open_ = True

            async def sending(message: Any) -> None:
                if not open_:
                    raise ValueError("too late")
                await send(message)

            try:
                await self.app(scope, receive, sending)
            finally:
                open_ = False

    app = Application(routes=[Route("/", broken)], middleware=[Middleware(Spent)])
    assert (await failing_call(app, "/")).status == 500


async def test_the_500_handler_and_the_debug_page() -> None:
    async def handler(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(f"sorry: {error}", status_code=500)

    handled = Application(routes=[Route("/", broken)], exception_handlers={500: handler})
    assert (await failing_call(handled, "/")).body == b"sorry: broken"
    debug = Application(debug=True, routes=[Route("/", broken)])
    headers = [(b"host", b"x"), (b"accept", b"text/html")]
    page = (await failing_call(debug, "/", headers=headers)).body
    assert b"RuntimeError: broken" in page
    silent = await failing_call(Application(routes=[Route("/", broken)]), "/")
    assert silent.body == b"Internal Server Error"


def test_the_debug_page_escapes() -> None:
    try:
        raise ValueError("<script>alert(1)</script>")
    except ValueError as error:
        page = ServerErrorMiddleware(ok).generate_html(error)  # type: ignore[arg-type]
    assert "<script>alert" not in page


async def test_an_error_after_the_start_is_only_raised() -> None:
    async def half(request: Request) -> StreamingResponse:
        async def body() -> Any:
            yield b"half"
            raise RuntimeError("broken")

        return StreamingResponse(body())

    sent = await failing_call(Application(routes=[Route("/", half)]), "/")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def websocket_messages(
    app: Any, incoming: list[dict[str, Any]], **changes: Any
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return incoming.pop(0) if incoming else {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = http_scope("/", **changes)
    scope["type"] = "websocket"
    del scope["method"]
    try:
        await app(scope, receive, send)
    except RuntimeError:
        sent.append({"type": "raised"})
    return sent


CONNECT = {"type": "websocket.connect"}


async def test_a_failing_websocket_handler_closes_with_1011() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        raise RuntimeError("broken")

    app = Application(routes=[WebSocketRoute("/", endpoint)])
    accepted, closed, raised = await websocket_messages(app, [dict(CONNECT)])
    assert accepted["type"] == "websocket.accept"
    assert (closed["type"], closed["code"]) == ("websocket.close", 1011)
    assert raised["type"] == "raised"


async def test_a_failing_handshake_is_refused() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        raise RuntimeError("broken")

    app = Application(routes=[WebSocketRoute("/", endpoint)])
    sent = await websocket_messages(app, [dict(CONNECT)])
    assert [message["type"] for message in sent] == ["websocket.close", "raised"]
    sent = await websocket_messages(app, [dict(CONNECT)], extensions={"websocket.http.response": {}})
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 500)


@pytest.mark.parametrize(
    ("extension", "kind"), [(True, "websocket.http.response.start"), (False, "websocket.close")]
)
async def test_http_exception_in_a_websocket(extension: bool, kind: str) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        raise HTTPException(403)

    app = Application(routes=[WebSocketRoute("/", endpoint)])
    extensions: dict[str, Any] = {"websocket.http.response": {}} if extension else {}
    sent = await websocket_messages(app, [dict(CONNECT)], extensions=extensions)
    assert sent[0]["type"] == kind


async def test_http_exception_after_accept_closes() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        raise HTTPException(403)

    app = Application(routes=[WebSocketRoute("/", endpoint)])
    sent = await websocket_messages(app, [dict(CONNECT)], extensions={"websocket.http.response": {}})
    assert [(message["type"], message.get("code")) for message in sent] == [
        ("websocket.accept", None),
        ("websocket.close", 1008),
    ]


def test_the_wrong_kind_of_frame_has_an_error_of_its_own() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketFrameError as error:
            await websocket.send_text(str(error))
        await websocket.close()

    with TestClient(Application(routes=[WebSocketRoute("/", endpoint)])).websocket_connect("/") as websocket:
        websocket.send_bytes(b"x")
        assert websocket.receive_text() == "Expected a text frame."


def test_a_disconnect_is_no_frame_error() -> None:
    codes: list[int] = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as gone:
            codes.append(gone.code)

    with TestClient(Application(routes=[WebSocketRoute("/", endpoint)])).websocket_connect("/") as websocket:
        websocket.close(4000)
    assert codes == [4000]


@pytest.mark.parametrize("layers", [0, 1])
async def test_handlers_may_change_the_traceback(layers: int) -> None:
    """And see the exception as the one being handled, as in an `except` block."""
    constant = LookupError("constant")
    seen: list[Any] = []

    async def endpoint(request: Request) -> Response:
        raise constant

    async def handler(request: Request, error: Exception) -> Response:
        seen.append(sys.exc_info()[1])
        error.__traceback__ = None
        await anyio.lowlevel.checkpoint()
        return PlainTextResponse("handled", status_code=409)

    async def inline(request: Request) -> Any:
        try:
            yield
        except LookupError as error:
            error.__traceback__ = None
            raise

    for middleware in ([], [Middleware(inline)] * layers):
        app = Application(
            routes=[Route("/", endpoint)], exception_handlers={LookupError: handler}, middleware=middleware
        )
        for _ in range(3):
            assert (await call(app, "/")).status == 409
    assert seen == [constant] * 6
    assert constant.__traceback__ is None
