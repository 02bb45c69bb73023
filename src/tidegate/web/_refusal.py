"""Refusing a request from within a middleware: by the application's handler of HTTPException where there is one
around, so that its error pages are one kind, else as text; a WebSocket before it is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.web._exception_handler import EXTENSION_DENIAL, handle_exception
from tidegate.web._sendtracker import HANDLERS_KEY, tracked
from tidegate.web.exceptions import HTTPException
from tidegate.web.responses import PlainTextResponse
from tidegate.web.types import Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Mapping


async def refuse_request(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer by `status`; the answer passes through the middleware around this one."""
    if HANDLERS_KEY in scope:
        error = HTTPException(status, detail=detail, headers=headers)
        await handle_exception(error, None, scope, receive, tracked(send))
    elif scope["type"] == "http" or EXTENSION_DENIAL in scope.get("extensions", {}):
        await PlainTextResponse(detail, status, headers)(scope, receive, send)
    else:
        # RFC 6455 §7.4.1; before it is accepted, servers make a 403 of it (ASGI, "Close - send event").
        code = 1011 if status >= 500 else 1008
        await send({"type": "websocket.close", "code": code, "reason": ""})
