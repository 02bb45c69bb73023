"""Endpoints as classes: a method for each verb, or for each WebSocket event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from tidegate.web import status
from tidegate.web._sendtracker import HANDLERS_KEY
from tidegate.web._utils import is_async_callable
from tidegate.web.concurrency import run_in_threadpool
from tidegate.web.exceptions import HTTPException
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.types import Message, Receive, Scope, Send
from tidegate.web.websockets import WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


# Only these name a method of the endpoint: a request must never reach another attribute (RFC 9110 §9, RFC
# 5789, QUERY).
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")


class HTTPEndpoint:
    """Answers `GET` by its method `get`, and so on; HEAD by `head`, or `get`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.scope = scope
        self.receive = receive
        self.send = send
        allowed = {verb for verb in VERBS if getattr(self, verb.lower(), None) is not None}
        if "GET" in allowed:
            allowed.add("HEAD")
        self._allowed_methods = sorted(allowed)

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        request: Request[Any] = Request(self.scope, receive=self.receive, send=self.send)
        method = request.method
        handler: Callable[[Request[Any]], Any] = self.method_not_allowed
        if method in self._allowed_methods:
            name = "get" if method == "HEAD" and not hasattr(self, "head") else method.lower()
            handler = getattr(self, name)
        if is_async_callable(handler):
            response = await handler(request)
        else:
            response = await run_in_threadpool(handler, request)
        await response(self.scope, self.receive, self.send)

    async def method_not_allowed(self, request: Request[Any]) -> Response:
        headers = {"Allow": ", ".join(self._allowed_methods)}
        # Inside an application of ours its own handlers answer.
        if HANDLERS_KEY in self.scope:
            raise HTTPException(status_code=405, headers=headers)
        return PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)


class WebSocketEndpoint:
    """Accepts, then calls `on_receive` with each frame decoded as `encoding` says, until either side
    closes."""

    encoding: Literal["text", "bytes", "json"] | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        self.scope = scope
        self.receive = receive
        self.send = send

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        websocket: WebSocket[Any] = WebSocket(self.scope, receive=self.receive, send=self.send)
        await self.on_connect(websocket)
        close_code = status.WS_1000_NORMAL_CLOSURE
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.receive":
                    await self.on_receive(websocket, await self.decode(websocket, message))
                elif message["type"] == "websocket.disconnect":
                    close_code = int(message.get("code") or status.WS_1000_NORMAL_CLOSURE)
                    break
        except Exception:
            close_code = status.WS_1011_INTERNAL_ERROR
            raise
        finally:
            await self.on_disconnect(websocket, close_code)

    async def decode(self, websocket: WebSocket[Any], message: Message) -> Any:
        text, data = message.get("text"), message.get("bytes")
        if self.encoding == "text":
            if text is None:
                await websocket.close(code=status.WS_1003_UNSUPPORTED_DATA)
                raise RuntimeError("Expected text websocket messages, but got bytes")
            return text
        if self.encoding == "bytes":
            if data is None:
                await websocket.close(code=status.WS_1003_UNSUPPORTED_DATA)
                raise RuntimeError("Expected bytes websocket messages, but got text")
            return data
        if self.encoding == "json":
            try:
                return json.loads(text if text is not None else (data or b"").decode("utf-8"))
            except (ValueError, TypeError):
                await websocket.close(code=status.WS_1003_UNSUPPORTED_DATA)
                raise RuntimeError("Malformed JSON data received.") from None
        assert self.encoding is None, f"Unsupported 'encoding' attribute {self.encoding}"
        return data if text is None else text

    async def on_connect(self, websocket: WebSocket[Any]) -> None:
        """Override to handle an incoming connection: it is accepted unless you do otherwise."""
        await websocket.accept()

    async def on_receive(self, websocket: WebSocket[Any], data: Any) -> None:
        """Override to handle a frame."""

    async def on_disconnect(self, websocket: WebSocket[Any], close_code: int) -> None:
        """Override to handle the end, by either side or an error."""
