"""The types that applications, middleware and handlers are written in."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tidegate.asgi import ASGIApplication, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from tidegate.web.requests import Request
    from tidegate.web.responses import Response
    from tidegate.web.websockets import WebSocket

__all__ = [
    "ASGIApp",
    "AppType",
    "ExceptionHandler",
    "HTTPExceptionHandler",
    "Lifespan",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "StatefulLifespan",
    "StatelessLifespan",
    "WebSocketExceptionHandler",
]

AppType = TypeVar("AppType")

ASGIApp: TypeAlias = ASGIApplication

StatelessLifespan: TypeAlias = Callable[[AppType], AbstractAsyncContextManager[None]]
StatefulLifespan: TypeAlias = Callable[[AppType], AbstractAsyncContextManager[Mapping[str, Any]]]
Lifespan: TypeAlias = StatelessLifespan[AppType] | StatefulLifespan[AppType]

HTTPExceptionHandler: TypeAlias = Callable[["Request", Any], "Response | Awaitable[Response]"]
WebSocketExceptionHandler: TypeAlias = Callable[["WebSocket", Any], Awaitable[None]]
ExceptionHandler: TypeAlias = HTTPExceptionHandler | WebSocketExceptionHandler
