"""One request of a test client against an ASGI application: what both clients share, independent of
threads."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import anyio

from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
EXTENSIONS = ("http.response.debug", "http.response.trailers")


def is_asgi3(app: Any) -> bool:
    if inspect.isclass(app):
        return hasattr(app, "__await__")
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def as_asgi3(app: Any) -> ASGIApp:
    """`app`, or for an ASGI 2 application (`app(scope)(receive, send)`) what makes it one of ASGI 3."""
    if is_asgi3(app):
        return app  # type: ignore[no-any-return]

    async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return asgi3


@dataclass(frozen=True, slots=True)
class Target:
    """What a test client's requests are made to, and as whom; `extensions` are offered besides EXTENSIONS."""

    app: ASGIApp
    raise_server_exceptions: bool
    root_path: str
    client: tuple[str, int]
    state: dict[str, Any]
    extensions: Sequence[str]

    def scope_of(self, request: Any) -> Scope:
        """The ASGI scope of an httpx request, HTTP or WebSocket by its scheme."""
        url = request.url
        scheme = url.scheme
        netloc = url.netloc.decode("ascii")
        host, _, port = netloc.partition(":") if not netloc.startswith("[") else netloc.rpartition("]:")
        server_port = int(port) if port and host else DEFAULT_PORTS[scheme]
        headers = [(key.lower(), value) for key, value in request.headers.raw]
        if not any(key == b"host" for key, _ in headers):
            headers.insert(0, (b"host", netloc.encode("ascii")))
        raw_path, _, query = url.raw_path.partition(b"?")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "path": unquote(url.path),
            "raw_path": raw_path,
            "root_path": self.root_path,
            "scheme": scheme,
            "query_string": query,
            "headers": headers,
            "client": self.client,
            "server": [url.host, server_port],
            "state": self.state.copy(),
        }
        if scheme in ("ws", "wss"):
            protocols = request.headers.get("sec-websocket-protocol")
            scope["type"] = "websocket"
            scope["subprotocols"] = [item.strip() for item in protocols.split(",")] if protocols else []
            scope["extensions"] = {"websocket.http.response": {}}
        else:
            scope["method"] = request.method
            scope["extensions"] = {name: {} for name in (*EXTENSIONS, *self.extensions)}
        return scope

    def without_response(self, exchange: Exchange) -> Message:
        """The start of an answer, where the application made none; or raise what it raised."""
        if self.raise_server_exceptions:
            if exchange.error is not None:
                raise exchange.error
            assert exchange.response_started, "TestClient did not receive any response."
        return {"status": 500, "headers": []}


class Exchange:
    """Runs the application for one request; `next_event` gives its messages, each once the last one is
    taken."""

    def __init__(
        self, app: ASGIApp, scope: Scope, body: bytes, pieces: AsyncIterator[bytes] | None = None
    ) -> None:
        """The request's body is `body`, or `pieces`, each asked for when the application receives it."""
        self.app = app
        self.scope = scope
        self.body: bytes | None = body if pieces is None else None
        self.pieces = pieces
        self.upload_error: Exception | None = None
        self.cancel_scope = anyio.CancelScope()
        self.error: BaseException | None = None
        self.response_started = False
        self.start_taken = False
        self.body_complete = False
        self.trailers_expected = False
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.debug: dict[str, Any] | None = None
        self.early_hints: list[list[bytes]] = []
        self.pushed: list[tuple[str, list[tuple[bytes, bytes]]]] = []
        self.response_complete = anyio.Event()
        self.reading = anyio.Event()
        self.events: MemoryObjectSendStream[Message]
        self.taken: MemoryObjectReceiveStream[Message]
        self.events, self.taken = anyio.create_memory_object_stream[Any](0)

    async def run(self) -> None:
        try:
            with self.cancel_scope:
                await self.app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            if self.upload_error is not None:
                self.error = self.upload_error
            self.response_complete.set()
            self.events.close()

    async def next_event(self) -> Message | None:
        if self.start_taken:
            self.reading.set()
        self.start_taken = True
        try:
            return await self.taken.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self.taken.close()
            return None

    def cancel(self) -> None:
        self.cancel_scope.cancel()
        self.response_complete.set()
        self.taken.close()

    async def receive(self) -> Message:
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if self.pieces is not None:
            try:
                piece = await anext(self.pieces)
            except StopAsyncIteration:
                self.pieces = None
                return {"type": "http.request", "body": b"", "more_body": False}
            except Exception as error:  # the client fails in the middle of its request
                self.pieces = None
                self.upload_error = error
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": piece, "more_body": True}
        if not self.response_complete.is_set():
            await self.response_complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            assert not self.response_started, 'Received multiple "http.response.start" messages.'
            self.response_started = True
            self.trailers_expected = bool(message.get("trailers", False))
            if self.trailers_expected:
                self.trailers = []
            await self.events.send(message)
            # The application goes on when the test reads on.
            await self.reading.wait()
        elif kind == "http.response.body":
            assert self.response_started, 'Received "http.response.body" without "http.response.start".'
            assert not self.body_complete, 'Received "http.response.body" after body completed.'
            body, more_body = message.get("body", b""), message.get("more_body", False)
            self.body_complete = not more_body
            if body and self.scope["method"] != "HEAD":
                await self.events.send(
                    {"type": kind, "body": bytes(body)}
                )  # the application may reuse its buffer
            if self.body_complete and not self.trailers_expected:
                self.response_complete.set()
        elif kind == "http.response.trailers":
            assert self.trailers is not None, 'Received "http.response.trailers" without declaring trailers.'
            assert self.body_complete, 'Received "http.response.trailers" before body completed.'
            assert self.trailers_expected, 'Received "http.response.trailers" after response completed.'
            self.trailers.extend((bytes(key), bytes(value)) for key, value in message.get("headers", []))
            if not message.get("more_trailers", False):
                self.trailers_expected = False
                self.response_complete.set()
        elif kind == "http.response.debug":
            self.debug = message["info"]
        elif kind == "http.response.early_hint":
            self.early_hints.append(list(message["links"]))
        elif kind == "http.response.push":
            self.pushed.append((message["path"], list(message["headers"])))

    @property
    def complete(self) -> bool:
        """Whether the response is: the application may still have work to do."""
        return self.body_complete and not self.trailers_expected

    def extensions(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.debug is not None:
            found["http.response.debug"] = self.debug
        if self.trailers is not None:
            found["http.response.trailers"] = self.trailers
        if self.early_hints:
            found["http.response.early_hint"] = self.early_hints
        if self.pushed:
            found["http.response.push"] = self.pushed
        return found


class WebSocketExchange:
    """Runs the application for one WebSocket, its two directions as queues."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self.app = app
        self.scope = scope
        self.cancel_scope = anyio.CancelScope()
        self.to_app, self._app_receives = anyio.create_memory_object_stream[Any](math.inf)
        self._app_sends, self.from_app = anyio.create_memory_object_stream[Any](math.inf)

    async def run(self) -> None:
        try:
            with self.cancel_scope:
                await self.app(self.scope, self._app_receives.receive, self._send)
        except BaseException as error:
            self._app_sends.send_nowait(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._app_sends.close()
            self._app_receives.close()

    async def _send(self, message: Message) -> None:
        self._app_sends.send_nowait(message)

    async def next_message(self) -> Message | BaseException | None:
        try:
            return await self.from_app.receive()  # type: ignore[no-any-return]
        except anyio.EndOfStream:
            return None

    async def send_to_app(self, message: Message) -> None:
        try:
            self.to_app.send_nowait(message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the application has returned

    async def close(self) -> None:
        for stream in (self.to_app, self._app_receives, self._app_sends, self.from_app):
            stream.close()


async def lifespan_exchange(
    app: ASGIApp,
    scope: Scope,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    try:
        await app(scope, receive, send)
    finally:
        await send(None)
