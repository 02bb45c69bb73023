"""The outermost layer: what nobody handles is answered by 500 (RFC 9110 §15.6.1) and raised again, for the
server to log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.web._exception_handler import handle_exception
from tidegate.web._sendtracker import OUTERMOST_KEY, SendTracker, enter, tracked
from tidegate.web._utils import is_async_callable
from tidegate.web.concurrency import run_in_threadpool
from tidegate.web.middleware.exceptions import ExceptionMiddleware
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Mapping


class ServerErrorMiddleware:
    """`handler` makes the answer, or with `debug` the traceback is; the error is always raised again.

    The answer leaves through the middleware in between (its CORS fields, say), as far as that is still
    possible.
    """

    def __init__(self, app: ASGIApp, handler: ExceptionHandler | None = None, debug: bool = False) -> None:
        self.app = app
        self.handler = handler
        self.debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        tracker = tracked(send)
        scope[OUTERMOST_KEY] = tracker
        try:
            await self.app(scope, receive, tracker)
        except Exception as error:
            if kind == "websocket":
                await self._close(scope, receive, tracker)
            else:
                await self._answer(error, scope, receive, tracker)
            raise

    async def _answer(self, error: Exception, scope: Scope, receive: Receive, send: SendTracker) -> None:
        request: Request[Any] = Request(scope)
        handler: Any = self.handler
        if self.debug:
            response = self.debug_response(request, error)
        elif handler is None:
            response = self.error_response(request, error)
        elif is_async_callable(handler):
            response = await handler(request, error)
        else:
            response = await run_in_threadpool(handler, request, error)
        if send.started or response is None:
            return
        if send.inner is not None:
            try:
                await response(scope, receive, send.inner)
            except Exception:  # the middleware that the way led through is not usable any more
                if send.started:
                    raise
        if not send.started:
            await response(scope, receive, send)

    async def _close(self, scope: Scope, receive: Receive, send: SendTracker) -> None:
        """A WebSocket whose handler failed is closed with 1011 (RFC 6455 §7.4.1), before it is accepted
        refused."""
        if send.closed:
            return
        try:
            if send.accepted:
                await send({"type": "websocket.close", "code": 1011, "reason": "Internal Server Error"})
            elif "websocket.http.response" in scope.get("extensions", {}):
                await PlainTextResponse("Internal Server Error", status_code=500)(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1011, "reason": "Internal Server Error"})
        except Exception:  # closed by the peer meanwhile: nobody is left to tell
            return

    def generate_html(self, exc: Exception) -> str:
        """The debug page as HTML; secrets in it are masked."""
        from tidegate.web.debugpage import Report

        return Report.of(exc).as_html()

    def generate_plain_text(self, exc: Exception) -> str:
        """The debug page as text; secrets in it are masked."""
        from tidegate.web.debugpage import Report

        return Report.of(exc).as_text()

    def debug_response(self, request: Request[Any], exc: Exception) -> Response:
        # Imported by those who debug only.
        from tidegate.web.debugpage import DebugResponse

        return DebugResponse(exc, request.scope)

    def error_response(self, request: Request[Any], exc: Exception) -> Response:
        return PlainTextResponse("Internal Server Error", status_code=500)


class ErrorsMiddleware(ServerErrorMiddleware):
    """ServerErrorMiddleware directly around ExceptionMiddleware, as one layer.

    layered: there is other middleware inside.
    """

    def __init__(
        self,
        app: ASGIApp,
        handlers: Mapping[Any, ExceptionHandler] | None = None,
        server_error: ExceptionHandler | None = None,
        debug: bool = False,
        *,
        layered: bool = False,
    ) -> None:
        super().__init__(app, server_error, debug)
        self.layered = layered
        self.handlers = ExceptionMiddleware(app, handlers, debug).handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        tracker = enter(scope, send, self.handlers, self.layered)
        try:
            await self.app(scope, receive, tracker)
        except Exception as error:
            await self.handle(error, scope, receive, tracker)

    async def handle(self, error: Exception, scope: Scope, receive: Receive, send: SendTracker) -> None:
        try:
            await handle_exception(error, None, scope, receive, send)
        except Exception as unhandled:
            if scope["type"] == "websocket":
                await self._close(scope, receive, send)
            else:
                await self._answer(unhandled, scope, receive, send)
            raise
