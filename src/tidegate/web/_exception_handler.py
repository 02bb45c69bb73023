"""From an exception to the handler that answers it: once for endpoints, middleware and the application.

Not compiled, and awaited by compiled code only after its `except` block: a compiled coroutine that is suspended
inside one crashes when the exception's traceback changes meanwhile, which handlers may do.
"""

from __future__ import annotations

from typing import Any

from tidegate.web._sendtracker import HANDLERS_KEY, SendTracker, tracked
from tidegate.web._utils import is_async_callable
from tidegate.web.concurrency import run_in_threadpool
from tidegate.web.exceptions import HTTPException
from tidegate.web.requests import Request
from tidegate.web.types import ASGIApp, ExceptionHandler, Receive, Scope, Send
from tidegate.web.websockets import WebSocket

EXTENSION_DENIAL = "websocket.http.response"

ExceptionHandlers = dict[Any, "ExceptionHandler"]
StatusHandlers = dict[int, "ExceptionHandler"]


def find_handler(
    error: Exception, handlers: ExceptionHandlers, statuses: StatusHandlers
) -> ExceptionHandler | None:
    """The handler of the status, else of the nearest class in the error's resolution order."""
    if isinstance(error, HTTPException):
        handler = statuses.get(error.status_code)
        if handler is not None:
            return handler
    for cls in type(error).__mro__:
        if cls in handlers:
            return handlers[cls]
    return None


async def handle_exception(
    error: Exception,
    conn: Request[Any] | WebSocket[Any] | None,
    scope: Scope,
    receive: Receive,
    send: SendTracker,
) -> None:
    """Answer `error` by the handlers in the scope, or raise it again."""
    handlers, statuses = scope.get(HANDLERS_KEY) or ({}, {})
    handler = find_handler(error, handlers, statuses)
    if handler is None:
        raise error
    if send.started:
        raise RuntimeError("Caught handled exception, but response already started.") from error
    is_http = scope["type"] == "http"
    if conn is None:
        conn = Request(scope, receive, send) if is_http else WebSocket(scope, receive, send)
    called: Any = handler
    try:
        raise error  # handlers may ask sys.exc_info(), as logging.exception() does
    except Exception:
        if is_async_callable(called):
            response = await called(conn, error)
        else:
            response = await run_in_threadpool(called, conn, error)
    if response is not None:
        if is_http:
            await response(scope, receive, send)
        else:
            await refuse(response, scope, receive, send)
    # The exception may be a module's constant: it must not keep this request alive.
    error.__traceback__ = None


async def refuse(response: Any, scope: Scope, receive: Receive, send: SendTracker) -> None:
    """Answer a WebSocket with an HTTP response, if it is not accepted yet and the server can; else close
    it."""
    if not send.accepted and EXTENSION_DENIAL in scope.get("extensions", {}):
        await response(scope, receive, send)
    elif not send.closed:
        status = getattr(response, "status_code", 500)
        # RFC 6455 §7.4.1: 1008 is the policy's refusal, 1011 the server's failure.
        await send({"type": "websocket.close", "code": 1011 if status >= 500 else 1008, "reason": ""})


def wrap_app_handling_exceptions(app: ASGIApp, conn: Request[Any] | WebSocket[Any]) -> ASGIApp:
    """`app`, its exceptions answered by the handlers of the application around it."""

    async def wrapped_app(scope: Scope, receive: Receive, send: Send) -> None:
        tracker = tracked(send)
        try:
            await app(scope, receive, tracker)
        except Exception as error:
            await handle_exception(error, conn, scope, receive, tracker)

    return wrapped_app
