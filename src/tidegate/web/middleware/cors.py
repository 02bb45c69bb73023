"""Cross-origin resource sharing (Fetch standard, "CORS protocol")."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from tidegate.web.datastructures import Headers, MutableHeaders
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Collection


ALL_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY")
SAFELISTED_HEADERS = {"Accept", "Accept-Language", "Content-Language", "Content-Type"}
PREFLIGHT_VARY = (
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
    "Access-Control-Request-Private-Network"
)


class CORSMiddleware:
    """Answers preflight requests, and tells browsers which origins may read the other answers."""

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Collection[str] = (),
        allow_methods: Collection[str] = ("GET",),
        allow_headers: Collection[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: str | None = None,
        allow_private_network: bool = False,
        expose_headers: Collection[str] = (),
        max_age: int = 600,
    ) -> None:
        self.app = app
        self.allow_origins = allow_origins
        self.allow_methods = ALL_METHODS if "*" in allow_methods else allow_methods
        self.allow_all_origins = "*" in allow_origins
        self.allow_all_headers = "*" in allow_headers
        self.allow_origin_regex = None if allow_origin_regex is None else re.compile(allow_origin_regex)
        self.allow_credentials = allow_credentials
        self.allow_private_network = allow_private_network
        # With credentials `*` means nothing to browsers: the origin itself has to be named.
        self.preflight_explicit_allow_origin = not self.allow_all_origins or allow_credentials
        headers = sorted(SAFELISTED_HEADERS | set(allow_headers))
        self.allow_headers = {header.lower() for header in headers}
        self.simple_headers: dict[str, str] = {}
        if self.allow_all_origins and not allow_credentials:
            self.simple_headers["Access-Control-Allow-Origin"] = "*"
        if allow_credentials:
            self.simple_headers["Access-Control-Allow-Credentials"] = "true"
        if expose_headers:
            self.simple_headers["Access-Control-Expose-Headers"] = ", ".join(expose_headers)
        self.preflight_headers = {"Vary": PREFLIGHT_VARY}
        if not self.preflight_explicit_allow_origin:
            self.preflight_headers["Access-Control-Allow-Origin"] = "*"
        self.preflight_headers["Access-Control-Allow-Methods"] = ", ".join(self.allow_methods)
        self.preflight_headers["Access-Control-Max-Age"] = str(max_age)
        if headers and not self.allow_all_headers:
            self.preflight_headers["Access-Control-Allow-Headers"] = ", ".join(headers)
        if allow_credentials:
            self.preflight_headers["Access-Control-Allow-Credentials"] = "true"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if (
            scope["method"] == "OPTIONS"
            and "origin" in headers
            and "access-control-request-method" in headers
        ):
            await self.preflight_response(headers)(scope, receive, send)
            return
        await self.simple_response(scope, receive, send, request_headers=headers)

    def is_allowed_origin(self, origin: str) -> bool:
        if self.allow_all_origins:
            return True
        if self.allow_origin_regex is not None and self.allow_origin_regex.fullmatch(origin):
            return True
        return origin in self.allow_origins

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight: 200, or 400 with what was refused."""
        origin = request_headers["origin"]
        method = request_headers["access-control-request-method"]
        asked_headers = request_headers.get("access-control-request-headers")
        headers = dict(self.preflight_headers)
        failures: list[str] = []
        if self.is_allowed_origin(origin):
            if self.preflight_explicit_allow_origin:
                headers["Access-Control-Allow-Origin"] = origin
        else:
            failures.append("origin")
        if method not in self.allow_methods:
            failures.append("method")
        if asked_headers is not None:
            if self.allow_all_headers:
                headers["Access-Control-Allow-Headers"] = asked_headers
            elif any(name.strip().lower() not in self.allow_headers for name in asked_headers.split(",")):
                failures.append("headers")
        if request_headers.get("access-control-request-private-network") == "true":
            if self.allow_private_network:
                headers["Access-Control-Allow-Private-Network"] = "true"
            else:
                failures.append("private-network")
        if failures:
            return PlainTextResponse(
                "Disallowed CORS " + ", ".join(failures), status_code=400, headers=headers
            )
        return PlainTextResponse("OK", status_code=200, headers=headers)

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: Headers
    ) -> None:
        send = functools.partial(self.send, send=send, request_headers=request_headers)
        await self.app(scope, receive, send)

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        if message["type"] == "http.response.start":
            fields = list(message.get("headers", ()))
            headers = MutableHeaders(raw=fields)
            message = {**message, "headers": fields}
            headers.add_vary_header("Origin")
            origin = request_headers.get("origin")
            if origin is not None:
                headers.update(self.simple_headers)
                if self.preflight_explicit_allow_origin and self.is_allowed_origin(origin):
                    self.allow_explicit_origin(headers, origin)
        await send(message)

    @staticmethod
    def allow_explicit_origin(headers: MutableHeaders, origin: str) -> None:
        headers["Access-Control-Allow-Origin"] = origin
        headers.add_vary_header("Origin")
