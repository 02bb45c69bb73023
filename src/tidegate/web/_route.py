"""One route: a path, and what answers it."""

from __future__ import annotations

import functools
import inspect
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any

from tidegate.web._exception_handler import handle_exception
from tidegate.web._path import (
    compile_path,
    merged_params,
    quoted_path,
    replace_params,
    whole_segments,
)
from tidegate.web._response import PlainTextResponse, body_message, sends_itself_whole, start_message
from tidegate.web._sendtracker import HANDLERS_KEY, tracked
from tidegate.web._utils import get_route_path, is_async_callable
from tidegate.web.concurrency import run_in_threadpool
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware, wrap
from tidegate.web.middleware.body_limit import RequestBodyLimitMiddleware
from tidegate.web.requests import Request
from tidegate.web.types import ASGIApp, Receive, Scope, Send
from tidegate.web.websockets import WebSocket, WebSocketClose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from tidegate.web._response import Response
    from tidegate.web._url import URLPath


class NoMatchFound(Exception):
    """`url_path_for` knows no route of this name that takes these parameters."""

    def __init__(self, name: str, path_params: dict[str, Any]) -> None:
        params = ", ".join(path_params)
        # Not super(): beside Starlette's it is also one of theirs (no_match), which takes other arguments.
        Exception.__init__(self, f'No route exists for name "{name}" and params "{params}".')


def no_match(name: str, path_params: dict[str, Any]) -> NoMatchFound:
    """The error to raise; where Starlette is loaded too, one that it knows: its mounts may ask our routes."""
    other: Any = getattr(sys.modules.get("starlette.routing"), "NoMatchFound", NoMatchFound)
    if other is NoMatchFound:
        return NoMatchFound(name, path_params)
    shared: type[NoMatchFound] = type("NoMatchFound", (NoMatchFound, other), {"__module__": __name__})
    return shared(name, path_params)


def path_among(routes: Iterable[Any], name: str, path_params: dict[str, Any]) -> URLPath | None:
    """The path of the first of `routes` that has this name and parameters; Starlette's among them raise an
    error of theirs."""
    for route in routes:
        try:
            return route.url_path_for(name, **path_params)  # type: ignore[no-any-return]
        except Exception as error:
            if type(error).__name__ != "NoMatchFound":
                raise
    return None


class Match(Enum):
    NONE = 0
    PARTIAL = 1
    FULL = 2


def request_response(func: Callable[[Request[Any]], Awaitable[Response] | Response]) -> ASGIApp:
    """An ASGI application of a function from request to response. A plain function runs in a thread."""
    is_async = is_async_callable(func)
    call: Any = func if is_async else functools.partial(run_in_threadpool, func)  # type: ignore[call-arg]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request: Request[Any] = Request(scope, receive, send)
        tracker = tracked(send)
        try:
            response = await call(request)
            if scope["type"] == "http" and sends_itself_whole(response):
                # Without another coroutine.
                await tracker(start_message(response))
                await tracker(body_message(response, scope))
            else:
                await response(scope, receive, tracker)
            return
        except Exception as raised:
            error = raised
        try:
            await handle_exception(error, request, scope, receive, tracker)
        finally:
            del error  # its traceback holds this frame

    return app


def websocket_session(func: Callable[[WebSocket[Any]], Awaitable[None]]) -> ASGIApp:
    """An ASGI application of a coroutine function that takes the WebSocket."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tracker = tracked(send)
        session: WebSocket[Any] = WebSocket(scope, receive=receive, send=tracker)
        try:
            await func(session)
            return
        except Exception as raised:
            error = raised
        try:
            await handle_exception(error, session, scope, receive, tracker)
        finally:
            del error

    return app


def get_name(endpoint: Callable[..., Any]) -> str:
    return getattr(endpoint, "__name__", endpoint.__class__.__name__)


class BaseRoute:
    """What a router asks of its routes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        raise NotImplementedError()

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NotImplementedError()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route can stand alone as an application."""
        match, child_scope = self.matches(scope)
        if match is Match.NONE:
            if scope["type"] == "http":
                await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)
            elif scope["type"] == "websocket":
                await WebSocketClose()(scope, receive, send)
            return
        scope.update(child_scope)
        await self.handle(scope, receive, send)


class Route(BaseRoute):
    """One path, answered by a function (GET and HEAD unless told), or by a class or ASGI application (any
    method)."""

    methods: set[str] | None

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
    ) -> None:
        assert path.startswith("/"), "Routed paths must start with '/'"
        self.path = path
        self.endpoint = endpoint
        self.name = get_name(endpoint) if name is None else name
        self.include_in_schema = include_in_schema
        handler = endpoint
        while isinstance(handler, functools.partial):
            handler = handler.func
        if inspect.isroutine(handler):
            self.app: ASGIApp = request_response(endpoint)
            if methods is None:
                methods = ["GET"]
        else:
            self.app = endpoint
        self.app = wrap(self.app, middleware)
        if max_body_size is not None:
            self.app = RequestBodyLimitMiddleware(self.app, max_body_size)
        if methods is None:
            self.methods = None
        else:
            self.methods = {method.upper() for method in methods}
            if "GET" in self.methods:
                self.methods.add("HEAD")
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.whole_segments = whole_segments(path, self.param_convertors)

    def params_of(self, route_path: str, scope: Scope) -> dict[str, Any] | None:
        """The path parameters, the outer mounts' included, or None if `route_path` is not this route's."""
        if not self.param_convertors:
            return scope.get("path_params", {}) if route_path == self.path else None
        match = self.path_regex.match(route_path)
        return None if match is None else merged_params(scope, match, self.param_convertors)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        params = self.params_of(get_route_path(scope), scope)
        if params is None:
            return Match.NONE, {}
        child_scope = {"endpoint": self.endpoint, "path_params": params, "route": self}
        if self.methods and scope["method"] not in self.methods:
            return Match.PARTIAL, child_scope
        return Match.FULL, child_scope

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if name != self.name or set(path_params) != set(self.param_convertors):
            raise no_match(name, path_params)
        path, remaining = replace_params(self.path_format, self.param_convertors, path_params)
        assert not remaining
        return quoted_path(path, protocol="http")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.methods and scope["method"] not in self.methods:
            await method_not_allowed(self.methods, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def __eq__(self, other: Any) -> bool:
        return (
            isinstance(other, Route)
            and self.path == other.path
            and self.endpoint == other.endpoint
            and self.methods == other.methods
        )

    def __repr__(self) -> str:
        methods = sorted(self.methods or [])
        return f"{self.__class__.__name__}(path={self.path!r}, name={self.name!r}, methods={methods!r})"


async def method_not_allowed(methods: Iterable[str], scope: Scope, receive: Receive, send: Send) -> None:
    """405 with what is allowed (RFC 9110 §15.5.6): raised inside an application, so that its handlers see
    it."""
    headers = {"Allow": ", ".join(sorted(methods))}
    if HANDLERS_KEY in scope:
        raise HTTPException(status_code=405, headers=headers)
    await PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)(scope, receive, send)


class WebSocketRoute(BaseRoute):
    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        name: str | None = None,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        assert path.startswith("/"), "Routed paths must start with '/'"
        self.path = path
        self.endpoint = endpoint
        self.name = get_name(endpoint) if name is None else name
        handler = endpoint
        while isinstance(handler, functools.partial):
            handler = handler.func
        self.app: ASGIApp = websocket_session(endpoint) if inspect.isroutine(handler) else endpoint
        self.app = wrap(self.app, middleware)
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "websocket":
            return Match.NONE, {}
        match = self.path_regex.match(get_route_path(scope))
        params = None if match is None else merged_params(scope, match, self.param_convertors)
        if params is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": params, "route": self}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if name != self.name or set(path_params) != set(self.param_convertors):
            raise no_match(name, path_params)
        path, remaining = replace_params(self.path_format, self.param_convertors, path_params)
        assert not remaining
        return quoted_path(path, protocol="websocket")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def __eq__(self, other: Any) -> bool:
        return (
            isinstance(other, WebSocketRoute) and self.path == other.path and self.endpoint == other.endpoint
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(path={self.path!r}, name={self.name!r})"
