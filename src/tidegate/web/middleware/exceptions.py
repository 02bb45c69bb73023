"""Exceptions that have a handler become its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.web._exception_handler import (
    ExceptionHandlers,
    StatusHandlers,
    handle_exception,
)
from tidegate.web._sendtracker import enter_inner
from tidegate.web.exceptions import HTTPException, WebSocketException
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.types import ASGIApp, ExceptionHandler, Receive, Scope, Send
from tidegate.web.websockets import WebSocket

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExceptionMiddleware:
    """Handlers by status and by class; HTTPException and WebSocketException have theirs from the start."""

    def __init__(
        self,
        app: ASGIApp,
        handlers: Mapping[Any, ExceptionHandler] | None = None,
        debug: bool = False,
    ) -> None:
        self.app = app
        self.debug = debug
        self._status_handlers: StatusHandlers = {}
        self._exception_handlers: ExceptionHandlers = {
            HTTPException: self.http_exception,
            WebSocketException: self.websocket_exception,
        }
        self.handlers = (self._exception_handlers, self._status_handlers)
        for key, handler in (handlers or {}).items():
            self.add_exception_handler(key, handler)

    def add_exception_handler(
        self, exc_class_or_status_code: int | type[Exception], handler: ExceptionHandler
    ) -> None:
        if isinstance(exc_class_or_status_code, int):
            self._status_handlers[exc_class_or_status_code] = handler
        else:
            assert issubclass(exc_class_or_status_code, Exception)
            self._exception_handlers[exc_class_or_status_code] = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        tracker = enter_inner(scope, send, self.handlers)
        try:
            await self.app(scope, receive, tracker)
            return
        except Exception as raised:
            error = raised
        try:
            await handle_exception(error, None, scope, receive, tracker)
        finally:
            del error  # its traceback holds this frame

    async def http_exception(self, request: Request[Any], exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        if exc.status_code in (204, 304):
            return Response(status_code=exc.status_code, headers=exc.headers)
        return PlainTextResponse(exc.detail, status_code=exc.status_code, headers=exc.headers)

    async def websocket_exception(self, websocket: WebSocket[Any], exc: Exception) -> None:
        assert isinstance(exc, WebSocketException)
        await websocket.close(code=exc.code, reason=exc.reason)
