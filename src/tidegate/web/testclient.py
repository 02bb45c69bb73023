"""Test clients: the API of httpx against an ASGI application, without a network.

`TestClient` is for ordinary tests: the application runs in a thread of its own. `AsyncTestClient` runs it
on the test's own
event loop.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import (
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast
from urllib.parse import urljoin

import anyio
import anyio.from_thread
from anyio.streams.stapled import StapledObjectStream

from tidegate.web._testevents import EventSource, ResponsePart, event_source_headers, parts_of
from tidegate.web._testexchange import Exchange, Target, WebSocketExchange, as_asgi3, lifespan_exchange
from tidegate.web._testhttpx import (
    Upgrade,
    WebSocketDenialResponse,
    client_headers,
    content_of,
    denial_response,
    json_of,
    raise_on_close,
    received,
    response_of,
    set_debug_attributes,
    websocket_frame,
    websocket_headers,
)
from tidegate.web.asynctestclient import AsyncTestClient, AsyncWebSocketTestSession
from tidegate.web.concurrency import iterate_in_threadpool
from tidegate.web.exceptions import StarletteDeprecationWarning
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Self

    import httpx2 as httpx

else:
    from tidegate.web._testhttpx import httpx

__all__ = [
    "AsyncTestClient",
    "AsyncWebSocketTestSession",
    "TestClient",
    "WebSocketDenialResponse",
    "WebSocketTestSession",
]

ASGIInstance = Callable[["Receive", "Send"], Awaitable[None]]
PortalFactory = Callable[[], AbstractContextManager[anyio.from_thread.BlockingPortal]]
RequestData = Mapping[str, str | Iterable[str] | bytes]


class _AsyncBackend(TypedDict):
    backend: str
    backend_options: dict[str, Any]


class WebSocketTestSession:
    """The client's side of one WebSocket, to be used in a `with` block."""

    def __init__(self, app: ASGIApp, scope: Scope, portal_factory: PortalFactory) -> None:
        self.app = app
        self.scope = scope
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] | None = None
        self.portal_factory = portal_factory

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.portal = stack.enter_context(self.portal_factory())
            self._exchange = self.portal.call(WebSocketExchange, self.app, self.scope)
            running = self.portal.start_task_soon(self._exchange.run)
            stack.callback(self._finish, running)
            self.send({"type": "websocket.connect"})
            message = self.receive()
            self._raise_on_close(message)
            self.accepted_subprotocol = message.get("subprotocol", None)
            self.extra_headers = message.get("headers", None)
            stack.callback(self.close, 1000)
            self.exit_stack = stack.pop_all()
            return self

    def __exit__(self, *args: Any) -> bool | None:
        return self.exit_stack.__exit__(*args)

    def _finish(self, running: Future[None]) -> None:
        """Wait for the application, which has been told of the close, and raise what it raised."""
        self.portal.call(self._exchange.cancel_scope.cancel)
        with contextlib.suppress(BaseException):
            running.result()
        try:
            while True:
                message = self.portal.call(self._exchange.next_message)
                if message is None:
                    return
                if isinstance(message, BaseException):
                    raise message
        finally:
            self.portal.call(self._exchange.close)

    def _raise_on_close(self, message: Message) -> None:
        raise_on_close(message)
        if message["type"] == "websocket.http.response.start":
            messages = [message]
            while True:
                message = self.receive()
                assert message["type"] == "websocket.http.response.body"
                messages.append(message)
                if not message.get("more_body", False):
                    break
            raise denial_response(messages)

    def send(self, message: Message) -> None:
        self.portal.call(self._exchange.send_to_app, message)

    def send_text(self, data: str) -> None:
        self.send({"type": "websocket.receive", "text": data})

    def send_bytes(self, data: bytes) -> None:
        self.send({"type": "websocket.receive", "bytes": data})

    def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        self.send(websocket_frame(data, mode))

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.send({"type": "websocket.disconnect", "code": code, "reason": reason or ""})

    def receive(self) -> Message:
        """The application's next message. Raises what the application raised, WebSocketDisconnect after
        its end."""
        return received(self.portal.call(self._exchange.next_message))

    def receive_text(self) -> str:
        text: str = content_of(self.receive(), "text")
        return text

    def receive_bytes(self) -> bytes:
        data: bytes = content_of(self.receive(), "bytes")
        return data

    def receive_json(self, mode: Literal["text", "binary"] = "text") -> Any:
        assert mode in ("text", "binary")
        return json_of(self.receive(), mode)


class _ResponseStream(httpx.SyncByteStream):
    """The body as the application sends it. Closing it early cancels the application."""

    response: httpx.Response

    def __init__(
        self,
        exchange: Exchange,
        portal: anyio.from_thread.BlockingPortal,
        stack: contextlib.ExitStack,
        running: Future[None],
        raise_server_exceptions: bool,
        open_streams: set[_ResponseStream],
    ) -> None:
        self._open = open_streams
        self._open.add(self)
        self._exchange = exchange
        self._portal = portal
        self._stack = stack
        self._running = running
        self._raise = raise_server_exceptions

    def __iter__(self) -> Iterator[bytes]:
        while True:
            message = self._portal.call(self._exchange.next_event)
            if message is None:
                break
            yield message["body"]
        set_debug_attributes(self.response, self._exchange)
        self._raise_error()

    def _raise_error(self) -> None:
        if self._raise and self._exchange.error is not None:
            self._raise = False
            raise self._exchange.error

    def close(self) -> None:
        """Let the application finish, if its response is complete; else cancel it."""
        self._open.discard(self)
        with self._stack:
            if not self._exchange.complete:
                self.abort()
            with contextlib.suppress(Exception):
                self._running.result()
            self._raise_error()

    def abort(self) -> None:
        if not self._running.done():
            self._portal.call(self._exchange.cancel)


class _TestClientTransport(httpx.BaseTransport):
    def __init__(
        self,
        target: Target,
        portal_factory: PortalFactory,
    ) -> None:
        self.target = target
        self.portal_factory = portal_factory
        self.open_streams: set[_ResponseStream] = set()

    def close(self) -> None:
        """Cancel what has been left open."""
        for stream in list(self.open_streams):
            stream.abort()
            stream.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = self.target
        scope = target.scope_of(request)
        if scope["type"] == "websocket":
            raise Upgrade(WebSocketTestSession(target.app, scope, self.portal_factory))
        stream = request.stream
        whole = isinstance(stream, httpx.ByteStream) or not isinstance(stream, httpx.SyncByteStream)
        body = request.read() if whole else b""
        # What is made while it is sent is made in a thread, as a client's own would be.
        pieces = None if whole else iterate_in_threadpool(cast("httpx.SyncByteStream", stream))
        with contextlib.ExitStack() as stack:
            portal = stack.enter_context(self.portal_factory())
            exchange: Exchange = portal.call(Exchange, target.app, scope, body, pieces)
            running = portal.start_task_soon(exchange.run)
            start = portal.call(exchange.next_event)
            if start is None:
                start = target.without_response(exchange)
            answer = _ResponseStream(
                exchange, portal, stack.pop_all(), running, target.raise_server_exceptions, self.open_streams
            )
        return response_of(start, answer, request, exchange)


class TestClient(httpx.Client):
    """An httpx client of one application. In a `with` block its lifespan runs, and one event loop serves
    all requests.

    extensions: ASGI extensions to offer besides debug and trailers: "http.response.early_hint",
    "http.response.push". What
    the application sends through them is in `response.extensions` under the same names.
    """

    __test__ = False
    task: Future[None]
    portal: anyio.from_thread.BlockingPortal | None = None

    def __init__(
        self,
        app: ASGIApp,
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        root_path: str = "",
        backend: Literal["asyncio", "trio"] = "asyncio",
        backend_options: dict[str, Any] | None = None,
        cookies: Any = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = True,
        client: tuple[str, int] = ("testclient", 50000),
        *,
        extensions: Sequence[str] = (),
    ) -> None:
        self.async_backend = _AsyncBackend(backend=backend, backend_options=backend_options or {})
        self.app = as_asgi3(app)
        self.app_state: dict[str, Any] = {}
        transport = _TestClientTransport(
            Target(self.app, raise_server_exceptions, root_path, client, self.app_state, extensions),
            self._portal_factory,
        )
        super().__init__(
            base_url=base_url,
            headers=client_headers(headers),
            transport=transport,
            follow_redirects=follow_redirects,
            cookies=cookies,
        )

    @contextlib.contextmanager
    def _portal_factory(self) -> Generator[anyio.from_thread.BlockingPortal, None, None]:
        if self.portal is not None:
            yield self.portal
        else:
            with anyio.from_thread.start_blocking_portal(**self.async_backend) as portal:
                yield portal

    def request(  # type: ignore[override]
        self,
        method: str,
        url: Any,
        *,
        content: Any = None,
        data: RequestData | None = None,
        files: Any = None,
        json: Any = None,
        params: Any = None,
        headers: Any = None,
        cookies: Any = None,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
        timeout: Any = httpx.USE_CLIENT_DEFAULT,
        extensions: dict[str, Any] | None = None,
    ) -> httpx.Response:
        if timeout is not httpx.USE_CLIENT_DEFAULT:
            warnings.warn(
                "You should not use the 'timeout' argument with the TestClient. "
                "Nothing here takes time to connect.",
                StarletteDeprecationWarning,
                stacklevel=3,
            )
        return super().request(
            method,
            self._merge_url(url),
            content=content,
            data=data,
            files=files,
            json=json,
            params=params,
            headers=headers,
            cookies=cookies,
            auth=auth,
            follow_redirects=follow_redirects,
            timeout=timeout,
            extensions=extensions,
        )

    def websocket_connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **kwargs: Any
    ) -> WebSocketTestSession:
        """A session, to be used in a `with` block, which raises WebSocketDisconnect if it is refused."""
        url = urljoin("ws://testserver", url)
        kwargs["headers"] = websocket_headers(subprotocols, kwargs.get("headers"))
        try:
            super().request("GET", url, **kwargs)
        except Upgrade as upgrade:
            session: WebSocketTestSession = upgrade.session
            return session
        raise RuntimeError("Expected WebSocket upgrade")

    @contextlib.contextmanager
    def events(
        self, url: Any, *, method: str = "GET", last_event_id: str | None = None, **kwargs: Any
    ) -> Generator[EventSource, None, None]:
        """The events of a stream, one after the other, in a `with` block that ends the stream.

        Raises RuntimeError unless the response is an event stream.
        """
        kwargs["headers"] = event_source_headers(last_event_id, kwargs.get("headers"))
        with self.stream(method, url, **kwargs) as response:
            yield EventSource(response)

    @contextlib.contextmanager
    def parts(
        self, url: Any, *, method: str = "GET", **kwargs: Any
    ) -> Generator[Iterator[ResponsePart], None, None]:
        """The parts of a multipart response as they arrive, in a `with` block that ends it.

        Reading raises RuntimeError for another response, MultipartError for one that is cut off.
        """
        with self.stream(method, url, **kwargs) as response:
            yield parts_of(response)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.portal = portal = stack.enter_context(
                anyio.from_thread.start_blocking_portal(**self.async_backend)
            )

            @stack.callback
            def reset_portal() -> None:
                self.portal = None

            self.stream_send = StapledObjectStream(*anyio.create_memory_object_stream[Any](math.inf))
            self.stream_receive = StapledObjectStream(*anyio.create_memory_object_stream[Any](math.inf))
            for stream in (self.stream_send, self.stream_receive):
                stack.callback(portal.call, stream.aclose)
            self.task = portal.start_task_soon(self.lifespan)
            portal.call(self.wait_startup)

            @stack.callback
            def wait_shutdown() -> None:
                portal.call(self.wait_shutdown)

            stack.callback(self._transport.close)
            self.exit_stack = stack.pop_all()
        return self

    def __exit__(self, *args: Any) -> None:
        self.exit_stack.close()

    async def lifespan(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.app_state}
        await lifespan_exchange(self.app, scope, self.stream_receive.receive, self.stream_send.send)

    async def _receive(self) -> Message:
        message = await self.stream_send.receive()
        if message is None:
            self.task.result()
        return message  # type: ignore[no-any-return]

    async def wait_startup(self) -> None:
        await self.stream_receive.send({"type": "lifespan.startup"})
        message = await self._receive()
        assert message["type"] in ("lifespan.startup.complete", "lifespan.startup.failed")
        if message["type"] == "lifespan.startup.failed":
            await self._receive()

    async def wait_shutdown(self) -> None:
        await self.stream_receive.send({"type": "lifespan.shutdown"})
        message = await self._receive()
        assert message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed")
        if message["type"] == "lifespan.shutdown.failed":
            await self._receive()
