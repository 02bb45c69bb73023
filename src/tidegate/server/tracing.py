"""A server span of OpenTelemetry for each request and WebSocket, around the application: by the API alone.

Names are those of the stable semantic conventions for HTTP spans (semconv 1.23 and later); the parent is whom the
propagators find in the header fields, by default W3C Trace Context's `traceparent`. The span is current in the
application's Task, and so is the parent of what it makes.
"""

import time
from collections.abc import Awaitable, Iterable
from typing import Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind, Status, StatusCode

from tidegate.asgi import ASGIApplication, Message, Receive, Scope, Send
from tidegate.gateway.application import is_disconnect
from tidegate.version import __version__

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
# Their values are credentials (semantic conventions, url.query).
SECRETS: Final = frozenset({"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"})
PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
DISCONNECT: Final = "client_disconnected"
# In the scope while a request is traced: the toolkit's own middleware leaves it alone then.
TRACED: Final = "tidegate.web.opentelemetry"

Headers = Iterable[tuple[bytes, bytes]]


class HeaderGetter(Getter[Headers]):
    """What propagators read the scope's headers with."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        wanted = key.lower().encode("latin-1")
        found = [value.decode("latin-1") for name, value in carrier if name == wanted]
        return found or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


GETTER: Final = HeaderGetter()


class Traced:
    """Composed around the application at the server's start."""

    def __init__(self, app: ASGIApplication, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._app = app
        self._tracer = trace.get_tracer("tidegate", __version__, tracer_provider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        parent = propagate.extract(headers, getter=GETTER)
        attributes = request_attributes(scope)
        method = attributes["http.request.method"]
        name = "HTTP" if method == "_OTHER" else method
        span = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        answer = Answer(scope, receive, send)
        token = context.attach(trace.set_span_in_context(span, parent))
        scope[TRACED] = span
        error: BaseException | None = None
        try:
            await self._app(scope, answer.receive, answer.send)
        except BaseException as caught:
            error = caught
            raise
        finally:
            context.detach(token)
            if span.is_recording():
                route = route_of(scope)
                if route:
                    span.set_attribute("http.route", route)
                    span.update_name(f"{name} {route}")
                answer.describe(span, error)
            span.end(answer.ended_at)


class Answer:
    """What became of one exchange."""

    __slots__ = ("_receive", "_scope", "_send", "complete", "disconnected", "ended_at", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.status = 0
        self.complete = False
        self.disconnected = False
        self.ended_at: int | None = None  # nanoseconds since the epoch, where it ended before the application

    async def receive(self) -> Message:
        message = await self._receive()
        kind = message["type"]
        if kind == "http.disconnect":
            self.disconnected = not self.complete
        elif kind == "websocket.disconnect":
            self.disconnected = message["code"] == 1006 or not self.status
            self.complete = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        # No coroutine of its own: what the server's `send` gives completes without one, mostly.
        sent = self._send(message)
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
        elif kind in ("http.response.body", "websocket.http.response.body"):
            self._ends(not message.get("more_body", False))
        elif kind == "websocket.accept":
            self.status = 101 if self._scope["http_version"] == "1.1" else 200
        elif kind == "websocket.close":
            # ASGI www 2.5: closing before accepting is answered 403.
            self.status = self.status or 403
            self._ends(True)
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            self._ends(not message.get("more_body", False))
        return sent

    def _ends(self, complete: bool) -> None:
        if complete and not self.complete:
            self.complete = True
            self.ended_at = time.time_ns()

    def describe(self, span: trace.Span, error: BaseException | None) -> None:
        """Write how it ended on the span."""
        status = self.status
        failure: str | None = None
        if error is not None and is_disconnect(error):
            failure = DISCONNECT
        elif error is not None:
            failure = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error) or None))
            status = status or 500  # what the server answers then
        elif self.disconnected:
            failure = DISCONNECT
        elif not status:
            status = 500
        elif not self.complete and self._scope["type"] == "http":
            failure = "incomplete"
            span.set_status(StatusCode.ERROR)
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= 500:
            failure = failure or str(status)
            if error is None:
                span.set_status(StatusCode.ERROR)
        if failure is not None:
            span.set_attribute("error.type", failure)


def request_attributes(scope: Scope) -> dict[str, Any]:
    """Those that are known when the span begins, which samplers may look at."""
    # A WebSocket's scope has none: GET in HTTP/1.1 (RFC 6455 §4.1), CONNECT from then on (RFC 8441 §4).
    method = scope.get("method") or ("GET" if scope["http_version"] == "1.1" else "CONNECT")
    scheme = scope["scheme"]
    attributes: dict[str, Any] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.path": scope["path"],
        "url.scheme": scheme,
        "network.protocol.version": scope["http_version"],
    }
    if method not in METHODS:
        attributes["http.request.method_original"] = method
    if scope["query_string"]:
        attributes["url.query"] = redacted(scope["query_string"].decode("latin-1"))
    host = agent = ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"user-agent":
            agent = value.decode("latin-1")
    if agent:
        attributes["user_agent.original"] = agent
    server = scope.get("server")
    if host:
        address, port = split_host(host)
        attributes["server.address"] = address
        attributes["server.port"] = port or PORTS[scheme]
    elif server and server[0]:
        attributes["server.address"] = server[0]
        if server[1]:
            attributes["server.port"] = server[1]
    client = scope.get("client")
    if client and client[0]:
        attributes["client.address"] = client[0]
        if client[1]:
            attributes["client.port"] = client[1]
    return attributes


def split_host(host: str) -> tuple[str, int]:
    """The name or address of a Host field, and its port; 0 where it has none."""
    name, separator, port = host.rpartition(":")
    if separator and port.isascii() and port.isdigit() and len(port) < 6:
        return name.strip("[]"), int(port)
    return host.strip("[]"), 0


def redacted(query: str) -> str:
    """`query` without the values of parameters that are known to be credentials."""
    if not any(secret in query for secret in SECRETS):
        return query
    parts = []
    for part in query.split("&"):
        name, separator, _ = part.partition("=")
        parts.append(f"{name}=REDACTED" if separator and name in SECRETS else part)
    return "&".join(parts)


def route_of(scope: Scope) -> str:
    """The template of the route that a framework has chosen, where it says so (FastAPI, `tidegate.web`)."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    prefix = scope.get("tidegate.web.route_prefix", "")
    return prefix + path if isinstance(path, str) and path else ""
