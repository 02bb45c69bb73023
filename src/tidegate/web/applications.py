"""The application: routes inside middleware inside error handling, and a lifespan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from tidegate.web._sendtracker import enter
from tidegate.web.background import Supervisor
from tidegate.web.datastructures import State, URLPath
from tidegate.web.jsoncodec import JSONCodec, current_codec
from tidegate.web.middleware import Middleware, wrap
from tidegate.web.middleware.body_limit import RequestBodyLimitMiddleware
from tidegate.web.middleware.errors import ErrorsMiddleware
from tidegate.web.middleware.exceptions import ExceptionMiddleware
from tidegate.web.requests import Request, StateT
from tidegate.web.responses import Response
from tidegate.web.routing import BaseRoute, Route, Router, WebSocketRoute
from tidegate.web.types import ASGIApp, ExceptionHandler, Lifespan, Receive, Scope, Send

if TYPE_CHECKING:
    from tidegate.web.middleware import _MiddlewareFactory
    from tidegate.web.middleware.inline import InlineFunction

P = ParamSpec("P")
AppType = TypeVar("AppType", bound="Application[Any]")
EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

__all__ = ["Application"]

DEFAULT_BODY_LIMIT = 16 * 2**20


class Application(Generic[StateT]):
    """An ASGI application of routes, middleware and exception handlers. `Application[S]` has a `state` typed
    S.

    json: who encodes JSONResponse and decodes request.json() (default: msgspec).
    absolute_urls: whether url_for gives an absolute URL (default) or a path.
    mounted_lifespans: whether the lifespans of what is mounted here run inside this one's (default: yes).
    max_body_size: octets that anything inside may receive; None is no limit of this kind.
    body_limit: octets that a Request reads of a body where no `max_body_size` (the application's, a router's,
        a route's) says otherwise; None is no limit.
    shutdown_timeout: seconds that the end of the lifespan waits for background tasks.
    """

    def __init__(
        self: AppType,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan[AppType] | None = None,
        *,
        max_body_size: int | None = None,
        body_limit: int | None = DEFAULT_BODY_LIMIT,
        json: JSONCodec | None = None,
        absolute_urls: bool = True,
        mounted_lifespans: bool = True,
        redirect_slashes: bool = True,
        shutdown_timeout: float = 30.0,
    ) -> None:
        self.debug = debug
        self.state: StateT = cast("StateT", State())
        self.router = Router(
            routes, lifespan=lifespan, redirect_slashes=redirect_slashes, mounted_lifespans=mounted_lifespans
        )
        self.exception_handlers = dict(exception_handlers or {})
        self.user_middleware = [] if middleware is None else list(middleware)
        self.max_body_size = max_body_size
        self.body_limit = body_limit
        self.json = json
        self.absolute_urls = absolute_urls
        self.background = Supervisor()
        self.shutdown_timeout = shutdown_timeout
        self.middleware_stack: ASGIApp | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """Server errors outermost, then the body limit, the user's middleware, the exception handlers, the
        router."""
        server_error: ExceptionHandler | None = None
        handlers: dict[Any, ExceptionHandler] = {}
        for key, handler in self.exception_handlers.items():
            if key in (500, Exception):
                server_error = handler
            else:
                handlers[key] = handler
        router: ASGIApp = self.router
        if type(self.router) is Router and self.router.middleware_stack == self.router.app:
            router = self.router.dispatch  # nothing is around the routes: call them
        if not self.user_middleware and self.max_body_size is None:
            # Nothing lies between the two: one layer does both.
            return ErrorsMiddleware(router, handlers, server_error, self.debug)
        app: ASGIApp = ExceptionMiddleware(router, handlers=handlers, debug=self.debug)
        app = wrap(app, self.user_middleware)
        if self.max_body_size is not None:
            app = RequestBodyLimitMiddleware(app, self.max_body_size)
        # What the user's middleware raises has handlers too.
        return ErrorsMiddleware(app, handlers, server_error, self.debug, layered=True)

    @property
    def routes(self) -> list[BaseRoute]:
        return self.router.routes

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        return self.router.url_path_for(name, **path_params)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        stack = self.middleware_stack
        if stack is None:
            stack = self.middleware_stack = self.build_middleware_stack()
        if self.json is not None:
            token = current_codec.set(self.json)
            try:
                await stack(scope, receive, send)
            finally:
                current_codec.reset(token)
            return
        if type(stack) is not ErrorsMiddleware or scope["type"] == "lifespan":
            await stack(scope, receive, send)
            return
        # ErrorsMiddleware.__call__, without a coroutine of its own.
        tracker = enter(scope, send, stack.handlers, stack.layered)
        try:
            await stack.app(scope, receive, tracker)
            return
        except Exception as raised:
            error = raised
        try:
            await stack.handle(error, scope, receive, tracker)
        finally:
            del error  # its traceback holds this frame

    def mount(self, path: str, app: ASGIApp, name: str | None = None) -> None:
        self.router.mount(path, app=app, name=name)

    def host(self, host: str, app: ASGIApp, name: str | None = None) -> None:
        self.router.host(host, app=app, name=name)

    @overload
    def add_middleware(
        self, middleware_class: _MiddlewareFactory[P], *args: P.args, **kwargs: P.kwargs
    ) -> None: ...

    @overload
    def add_middleware(
        self, middleware_class: InlineFunction[P], *args: P.args, **kwargs: P.kwargs
    ) -> None: ...

    def add_middleware(self, middleware_class: Any, *args: Any, **kwargs: Any) -> None:
        """Put a middleware outside those that are there. Raises RuntimeError once the application has
        started."""
        if self.middleware_stack is not None:
            raise RuntimeError("Cannot add middleware after an application has started")
        self.user_middleware.insert(0, Middleware(middleware_class, *args, **kwargs))

    def add_exception_handler(
        self, exc_class_or_status_code: int | type[Exception], handler: ExceptionHandler
    ) -> None:
        self.exception_handlers[exc_class_or_status_code] = handler

    def add_route(
        self,
        path: str,
        route: Callable[[Request[Any]], Awaitable[Response] | Response],
        methods: list[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
    ) -> None:
        self.router.add_route(path, route, methods=methods, name=name, include_in_schema=include_in_schema)

    def route(
        self,
        path: str,
        *,
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
    ) -> Callable[[EndpointT], EndpointT]:
        """`@app.route("/items/{id:int}", methods=["GET", "PUT"])`: the decorated endpoint answers this
        path."""

        def register(endpoint: EndpointT) -> EndpointT:
            self.router.routes.append(
                Route(
                    path,
                    endpoint,
                    methods=methods,
                    name=name,
                    include_in_schema=include_in_schema,
                    middleware=middleware,
                    max_body_size=max_body_size,
                )
            )
            return endpoint

        return register

    def get(self, path: str, **options: Any) -> Callable[[EndpointT], EndpointT]:
        return self.route(path, methods=["GET"], **options)

    def post(self, path: str, **options: Any) -> Callable[[EndpointT], EndpointT]:
        return self.route(path, methods=["POST"], **options)

    def put(self, path: str, **options: Any) -> Callable[[EndpointT], EndpointT]:
        return self.route(path, methods=["PUT"], **options)

    def patch(self, path: str, **options: Any) -> Callable[[EndpointT], EndpointT]:
        return self.route(path, methods=["PATCH"], **options)

    def delete(self, path: str, **options: Any) -> Callable[[EndpointT], EndpointT]:
        return self.route(path, methods=["DELETE"], **options)

    def websocket(self, path: str, *, name: str | None = None) -> Callable[[EndpointT], EndpointT]:
        def register(endpoint: EndpointT) -> EndpointT:
            self.router.routes.append(WebSocketRoute(path, endpoint, name=name))
            return endpoint

        return register
