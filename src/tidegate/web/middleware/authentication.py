"""Puts `auth` and `user` in the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.web.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    UnauthenticatedUser,
)
from tidegate.web.requests import HTTPConnection
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Callable


class AuthenticationMiddleware:
    """Ask `backend` who makes each request; its AuthenticationError is answered by `on_error`, a WebSocket
    closed."""

    def __init__(
        self,
        app: ASGIApp,
        backend: AuthenticationBackend,
        on_error: Callable[[HTTPConnection[Any], AuthenticationError], Response] | None = None,
    ) -> None:
        self.app = app
        self.backend = backend
        self.on_error: Callable[[HTTPConnection[Any], AuthenticationError], Response] = (
            on_error if on_error is not None else self.default_on_error
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        conn: HTTPConnection[Any] = HTTPConnection(scope)
        try:
            result = await self.backend.authenticate(conn)
        except AuthenticationError as error:
            response = self.on_error(conn, error)
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            else:
                await response(scope, receive, send)
            return
        scope["auth"], scope["user"] = (
            (AuthCredentials(), UnauthenticatedUser()) if result is None else result
        )
        await self.app(scope, receive, send)

    @staticmethod
    def default_on_error(conn: HTTPConnection[Any], exc: Exception) -> Response:
        return PlainTextResponse(str(exc), status_code=400)
