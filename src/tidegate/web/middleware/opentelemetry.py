"""A server span for each HTTP request (OpenTelemetry semantic conventions for HTTP spans), by the API
only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tidegate.web.datastructures import URL, Headers
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Sequence


try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError:
    raise ImportError(
        "tidegate.web.middleware.opentelemetry needs the `opentelemetry-api` package: "
        "pip install opentelemetry-api"
    ) from None

KNOWN_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
# The request's own: a request that the application makes in process has another.
SPAN_KEY = "tidegate.web.opentelemetry"


class OpenTelemetryMiddleware:
    """Spans named by method and route. `excluded_urls`: regular expressions, comma-separated or a sequence;
    no span for them.

    Several of these around one request make one span. Without a tracer provider nothing is done.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        excluded_urls: str | Sequence[str] = (),
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self.app = app
        if isinstance(excluded_urls, str):
            excluded_urls = [part.strip() for part in excluded_urls.split(",") if part.strip()]
        self.excluded_urls = [re.compile(pattern) for pattern in excluded_urls]
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or SPAN_KEY in scope:
            await self.app(scope, receive, send)
            return
        provider = self.tracer_provider or trace.get_tracer_provider()
        tracer = provider.get_tracer("tidegate.web")
        if isinstance(tracer, trace.NoOpTracer | trace.ProxyTracer) or (
            self.excluded_urls and self._excluded(scope)
        ):
            scope[SPAN_KEY] = None
            try:
                await self.app(scope, receive, send)
            finally:
                del scope[SPAN_KEY]
            return
        headers = Headers(scope=scope)
        attributes = request_attributes(scope, headers)
        method = attributes["http.request.method"]
        status_code: int | None = None

        async def send_with_status(message: Message) -> None:
            nonlocal status_code
            if message["type"] == "http.response.start":
                status_code = message["status"]
            await send(message)

        with tracer.start_as_current_span(
            "HTTP" if method == "_OTHER" else method,
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
        ) as span:
            scope[SPAN_KEY] = span
            try:
                await self.app(scope, receive, send_with_status)
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                raise
            finally:
                del scope[SPAN_KEY]
                route = scope.get("tidegate.web.route_prefix", "") + route_path(scope.get("route"))
                if route:
                    span.set_attribute("http.route", route)
                    span.update_name(f"{method} {route}")
                if status_code is not None:
                    span.set_attribute("http.response.status_code", status_code)
            if status_code is not None and status_code >= 500:
                span.set_attribute("error.type", str(status_code))
                span.set_status(StatusCode.ERROR)

    def _excluded(self, scope: Scope) -> bool:
        url = str(URL(scope=scope))
        return any(pattern.search(url) for pattern in self.excluded_urls)


def route_path(route: Any) -> str:
    """The template of the route itself; a mount's or a host's is the prefix that it has left."""
    from tidegate.web.routing import Route

    return route.path_format if isinstance(route, Route) else ""


def request_attributes(scope: Scope, headers: Headers) -> dict[str, Any]:
    method = scope["method"]
    attributes: dict[str, Any] = {
        "http.request.method": method.upper() if method.upper() in KNOWN_METHODS else "_OTHER",
        "url.path": scope["path"],
        "url.scheme": scope.get("scheme", "http"),
    }
    if attributes["http.request.method"] != method:
        attributes["http.request.method_original"] = method
    if scope.get("query_string"):
        attributes["url.query"] = scope["query_string"].decode("latin-1")
    url = URL(scope=scope)
    if url.hostname:
        attributes["server.address"] = url.hostname
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
        if port is not None:
            attributes["server.port"] = port
    if scope.get("http_version"):
        attributes["network.protocol.version"] = scope["http_version"]
    client = scope.get("client")
    if client:
        attributes["client.address"], attributes["client.port"] = client[0], client[1]
    if "user-agent" in headers:
        attributes["user_agent.original"] = headers["user-agent"]
    return attributes
