"""Routing: the first registered route that matches answers; finding it does not take longer for more
routes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tidegate.web._path import (
    PATH_SAFE,
    compile_path,
    merged_params,
    place,
    quoted_path,
    replace_params,
    segment_params,
)
from tidegate.web._route import (
    BaseRoute,
    Match,
    NoMatchFound,
    Route,
    WebSocketRoute,
    get_name,
    method_not_allowed,
    no_match,
    path_among,
    request_response,
    websocket_session,
)
from tidegate.web._routeindex import RouteIndex
from tidegate.web._sendtracker import HANDLERS_KEY
from tidegate.web._utils import get_route_path, parse_host_header
from tidegate.web.convertors import CONVERTOR_TYPES as CONVERTOR_TYPES
from tidegate.web.convertors import Convertor as Convertor
from tidegate.web.datastructures import URL, Headers, URLPath
from tidegate.web.exceptions import HTTPException
from tidegate.web.lifespan import as_context_manager, default_lifespan, serve_lifespan
from tidegate.web.middleware import Middleware, wrap
from tidegate.web.middleware.body_limit import RequestBodyLimitMiddleware
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, RedirectResponse, Response
from tidegate.web.types import ASGIApp, Lifespan, Receive, Scope, Send
from tidegate.web.websockets import WebSocket, WebSocketClose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence


__all__ = [
    "BaseRoute",
    "Host",
    "Match",
    "Mount",
    "NoMatchFound",
    "Route",
    "Router",
    "WebSocketRoute",
    "compile_path",
    "get_name",
    "replace_params",
    "request_response",
    "websocket_session",
]


class Mount(BaseRoute):
    """Everything below a path, answered by another application or by routes of its own.

    `redirect_slash=False` makes `/path` itself reach the application, as `/path/`, without the redirect.
    """

    def __init__(
        self,
        path: str,
        app: ASGIApp | None = None,
        routes: Sequence[BaseRoute] | None = None,
        name: str | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
        redirect_slash: bool = True,
    ) -> None:
        assert path == "" or path.startswith("/"), "Routed paths must start with '/'"
        assert app is not None or routes is not None, "Either 'app=...', or 'routes=' must be specified"
        self.path = path.rstrip("/")
        self.base_app: ASGIApp = app if app is not None else Router(routes=routes)
        self.app = wrap(self.base_app, middleware)
        if max_body_size is not None:
            self.app = RequestBodyLimitMiddleware(self.app, max_body_size)
        self.name = name
        self.redirect_slash = redirect_slash
        self.path_regex, self.path_format, self.param_convertors = compile_path(self.path + "/{path:path}")

    @property
    def routes(self) -> list[BaseRoute]:
        return getattr(self.base_app, "routes", [])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        route_path = get_route_path(scope)
        child_scope: dict[str, Any] = {}
        match = self.path_regex.match(route_path)
        if match is None:
            if self.redirect_slash:
                return Match.NONE, {}
            route_path += "/"
            match = self.path_regex.match(route_path)
            if match is None or match["path"]:
                return Match.NONE, {}
            child_scope["path"] = scope["path"] + "/"
        values = merged_params({}, match, self.param_convertors)
        if values is None:
            return Match.NONE, {}
        remaining = "/" + values.pop("path")
        root_path = scope.get("root_path", "")
        child_scope["path_params"] = {**scope.get("path_params", {}), **values}
        # The scope's own path is never rewritten: children match on what follows root_path.
        child_scope["app_root_path"] = scope.get("app_root_path", root_path)
        child_scope["root_path"] = root_path + route_path[: -len(remaining)]
        child_scope["endpoint"] = self.app
        child_scope["route"] = self
        child_scope["tidegate.web.route_prefix"] = scope.get("tidegate.web.route_prefix", "") + self.path
        return Match.FULL, child_scope

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if self.name is not None and name == self.name and "path" in path_params:
            # 'name' is this mount's: path= is a path below it.
            path_params["path"] = str(path_params["path"]).lstrip("/")
            path, remaining = replace_params(self.path_format, self.param_convertors, path_params)
            if not remaining:
                return quoted_path(path)
        elif self.name is None or name.startswith(f"{self.name}:"):
            child_name = name if self.name is None else name[len(self.name) + 1 :]
            below = path_params.get("path")
            path_params["path"] = ""
            prefix, remaining = replace_params(self.path_format, self.param_convertors, path_params)
            if below is not None:
                remaining["path"] = below
            url = path_among(self.routes or [], child_name, remaining)
            if url is not None:
                mounted = quote(prefix.rstrip("/"), safe=PATH_SAFE + "{}") + str(url)
                return URLPath(mounted, protocol=url.protocol, host=url.host)
        raise no_match(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Mount) and self.path == other.path and self.app == other.app

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(path={self.path!r}, name={self.name or ''!r}, app={self.app!r})"


class Host(BaseRoute):
    """Every request to a host, whatever its port, answered by another application."""

    def __init__(self, host: str, app: ASGIApp, name: str | None = None) -> None:
        assert not host.startswith("/"), "Host must not start with '/'"
        self.host = host
        self.app = app
        self.name = name
        self.host_regex, self.host_format, self.param_convertors = compile_path(host)

    @property
    def routes(self) -> list[BaseRoute]:
        return getattr(self.app, "routes", [])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        host = parse_host_header(Headers(scope=scope).get("host"))
        match = self.host_regex.match(host.host.lower()) if host is not None else None
        params = None if match is None else merged_params(scope, match, self.param_convertors)
        if params is None:
            return Match.NONE, {}
        return Match.FULL, {"path_params": params, "endpoint": self.app, "route": self}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        if self.name is not None and name == self.name and "path" in path_params:
            path = path_params.pop("path")
            host, remaining = replace_params(self.host_format, self.param_convertors, path_params)
            if not remaining:
                return quoted_path(path, host=host)
        elif self.name is None or name.startswith(f"{self.name}:"):
            child_name = name if self.name is None else name[len(self.name) + 1 :]
            host, remaining = replace_params(self.host_format, self.param_convertors, path_params)
            url = path_among(self.routes or [], child_name, remaining)
            if url is not None:
                return URLPath(str(url), protocol=url.protocol, host=host)
        raise no_match(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Host) and self.host == other.host and self.app == other.app

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(host={self.host!r}, name={self.name or ''!r}, app={self.app!r})"


class RouteList(list[BaseRoute]):
    """A router's routes: an ordinary list that drops the index when it changes."""

    built: RouteIndex | None = None

    def _changing(name: str) -> Any:  # type: ignore[misc]
        method = getattr(list, name)

        @functools.wraps(method)
        def change(self: RouteList, *args: Any, **kwargs: Any) -> Any:
            self.built = None
            return method(self, *args, **kwargs)

        return change

    append, extend, insert, remove = map(_changing, ("append", "extend", "insert", "remove"))
    pop, clear, sort, reverse = map(_changing, ("pop", "clear", "sort", "reverse"))
    __setitem__, __delitem__, __iadd__, __imul__ = map(
        _changing, ("__setitem__", "__delitem__", "__iadd__", "__imul__")
    )
    del _changing


def placed(route: BaseRoute) -> tuple[list[str | None], bool, BaseRoute]:
    """Where the index puts `route`: at the root, asked for every path, if its `matches` is not one of
    ours."""
    matches = type(route).matches
    if matches is Route.matches or matches is WebSocketRoute.matches:
        segments, closed = place(route.path, route.param_convertors)  # type: ignore[attr-defined]
        return segments, closed, route
    if matches is Mount.matches:
        segments, _ = place(route.path, route.param_convertors)  # type: ignore[attr-defined]
        return segments, False, route
    return [], False, route


class Router:
    """The routes of an application: an ASGI application itself."""

    def __init__(
        self,
        routes: Sequence[BaseRoute] | None = None,
        redirect_slashes: bool = True,
        default: ASGIApp | None = None,
        lifespan: Lifespan[Any] | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
        mounted_lifespans: bool = True,
        automatic_options: bool = True,
    ) -> None:
        self.routes = [] if routes is None else list(routes)
        self.redirect_slashes = redirect_slashes
        self.default = self.not_found if default is None else default
        self.mounted_lifespans = mounted_lifespans
        self.automatic_options = automatic_options
        if lifespan is None:
            self.lifespan_context: Lifespan[Any] = default_lifespan
        else:
            self.lifespan_context = as_context_manager(lifespan)
        self.middleware_stack: ASGIApp = wrap(self.app, middleware)
        if max_body_size is not None:
            self.middleware_stack = RequestBodyLimitMiddleware(self.middleware_stack, max_body_size)

    _routes: RouteList

    @property
    def routes(self) -> list[BaseRoute]:
        return self._routes

    @routes.setter
    def routes(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = RouteList(routes)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        elif HANDLERS_KEY in scope:
            # Inside an application of ours its own handlers answer.
            raise HTTPException(status_code=404)
        else:
            await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path of the route `name`, percent-encoded. Raises NoMatchFound."""
        url = path_among(self._routes, name, path_params)
        if url is None:
            raise no_match(name, path_params)
        return url

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer ASGI lifespan messages: run the lifespan, and those of what is mounted here inside it."""
        await serve_lifespan(self, scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.middleware_stack(scope, receive, send)

    def _index(self) -> RouteIndex:
        routes = self._routes
        if routes.built is None:
            routes.built = RouteIndex(map(placed, routes))
        return routes.built

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.dispatch(scope, receive, send)

    def dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What answers this request, found and called, to be awaited."""
        kind = scope["type"]
        if "router" not in scope:
            scope["router"] = self
        if kind == "lifespan":
            return self.lifespan(scope, receive, send)
        assert kind in ("http", "websocket")
        route_path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        partial: BaseRoute | None = None
        partial_scope: Scope = {}
        allowed: set[str] = set()
        index = self._routes.built
        if index is None:
            index = self._index()
        found = index.find(route_path)
        segments = found.segments
        routes: tuple[BaseRoute, ...] = found.routes
        for route in routes:
            if type(route) is Route and kind == "http":
                # What `matches` and `handle` do, without a scope between them.
                places = route.whole_segments
                if segments is None or places is None:
                    params = route.params_of(route_path, scope)
                else:
                    params = segment_params(scope, segments, places)
                if params is None:
                    continue
                methods = route.methods
                if not methods or scope["method"] in methods:
                    scope["endpoint"] = route.endpoint
                    scope["path_params"] = params
                    scope["route"] = route
                    return route.app(scope, receive, send)
                child_scope: Scope = {"endpoint": route.endpoint, "path_params": params, "route": route}
                match = Match.PARTIAL
            else:
                match, child_scope = route.matches(scope)
                if match is Match.FULL:
                    scope.update(child_scope)
                    return route.handle(scope, receive, send)
            if match is Match.PARTIAL:
                if partial is None:
                    partial, partial_scope = route, child_scope
                allowed.update(getattr(route, "methods", None) or ())
        if partial is not None:
            scope.update(partial_scope)
            return self._partial_match(partial, allowed, scope, receive, send)
        return self._no_match(route_path, scope, receive, send)

    async def _no_match(self, route_path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.redirect_slashes and route_path != "/":
            redirect_scope = dict(scope)
            if route_path.endswith("/"):
                redirect_scope["path"] = redirect_scope["path"].rstrip("/")
            else:
                redirect_scope["path"] = redirect_scope["path"] + "/"
            for route in self._index().find(get_route_path(redirect_scope)).routes:
                match, _ = route.matches(redirect_scope)
                if match is not Match.NONE:
                    await RedirectResponse(url=str(URL(scope=redirect_scope)))(scope, receive, send)
                    return
        await self.default(scope, receive, send)

    async def _partial_match(
        self, route: BaseRoute, allowed: set[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """The path is known, the method is not: 405, or the answer to OPTIONS (RFC 9110 §9.3.7)."""
        if type(route).handle is not Route.handle:
            await route.handle(scope, receive, send)
            return
        if self.automatic_options:
            allowed.add("OPTIONS")
            if scope["method"] == "OPTIONS":
                await Response(status_code=204, headers={"Allow": ", ".join(sorted(allowed))})(
                    scope, receive, send
                )
                return
        await method_not_allowed(allowed, scope, receive, send)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Router) and self.routes == other.routes

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        self._routes.append(Mount(path, app=app, name=name))

    def host(self, host: str, app: ASGIApp, name: str | None = None) -> None:
        self._routes.append(Host(host, app=app, name=name))

    def add_route(
        self,
        path: str,
        endpoint: Callable[[Request[Any]], Awaitable[Response] | Response],
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
    ) -> None:
        route = Route(path, endpoint, methods=methods, name=name, include_in_schema=include_in_schema)
        self._routes.append(route)

    def add_websocket_route(
        self, path: str, endpoint: Callable[[WebSocket[Any]], Awaitable[None]], name: str | None = None
    ) -> None:
        self._routes.append(WebSocketRoute(path, endpoint, name=name))
