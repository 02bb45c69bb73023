"""The test client for tests that are coroutines: the application runs on the test's own event loop,
without threads."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urljoin

import anyio
import anyio.lowlevel
import sniffio

from tidegate.web._testevents import AsyncEventSource, ResponsePart, aparts_of, event_source_headers
from tidegate.web._testexchange import Exchange, Target, WebSocketExchange, as_asgi3, lifespan_exchange
from tidegate.web._testhttpx import (
    Upgrade,
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
from tidegate.web.types import ASGIApp, Message, Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from typing import Self

    import httpx2 as httpx

else:
    from tidegate.web._testhttpx import httpx


class Running:
    """A coroutine beside the test, outside its cancel scopes, as a server's task is. Its errors are kept,
    not raised."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.function = function
        self.finished = anyio.Event()
        self.error: BaseException | None = None
        if sniffio.current_async_library() == "trio":
            import trio.lowlevel

            trio.lowlevel.spawn_system_task(self._run, context=copy_context())
        else:
            self.task = asyncio.create_task(self._run())  # kept: the loop holds tasks weakly

    async def _run(self) -> None:
        try:
            await self.function()
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self.finished.set()


class AsyncResponseStream(httpx.AsyncByteStream):
    """The body as the application sends it. Closing it early cancels the application."""

    response: httpx.Response

    def __init__(self, exchange: Exchange, running: Running, raise_server_exceptions: bool) -> None:
        self._exchange = exchange
        self._running = running
        self._raise = raise_server_exceptions

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._exchange.next_event()
            if message is None:
                break
            yield message["body"]
        await self._running.finished.wait()
        set_debug_attributes(self.response, self._exchange)
        self._raise_error()

    def _raise_error(self) -> None:
        if self._raise and self._exchange.error is not None:
            self._raise = False
            raise self._exchange.error

    async def aclose(self) -> None:
        if not self._exchange.complete and not self._running.finished.is_set():
            self._exchange.cancel()
        try:
            await self._running.finished.wait()
        except BaseException:  # the test itself is cancelled
            self._exchange.cancel()
            raise
        self._raise_error()


class AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self, target: Target) -> None:
        self.target = target

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = self.target
        scope = target.scope_of(request)
        if scope["type"] == "websocket":
            raise Upgrade(AsyncWebSocketTestSession(target.app, scope))
        stream = request.stream
        whole = isinstance(stream, httpx.ByteStream) or not isinstance(stream, httpx.AsyncByteStream)
        body = await request.aread() if whole else b""
        pieces = None if whole else aiter(cast("httpx.AsyncByteStream", stream))
        exchange = Exchange(target.app, scope, body, pieces)
        running = Running(exchange.run)
        answer = AsyncResponseStream(exchange, running, target.raise_server_exceptions)
        try:
            start = await exchange.next_event()
        except BaseException:
            exchange.cancel()
            raise
        if start is None:
            await running.finished.wait()
            start = target.without_response(exchange)
        return response_of(start, answer, request, exchange)


class AsyncWebSocketTestSession:
    """The client's side of one WebSocket, to be used in an `async with` block."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self.app = app
        self.scope = scope
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] | None = None

    async def __aenter__(self) -> Self:
        self._exchange = WebSocketExchange(self.app, self.scope)
        self._running = Running(self._exchange.run)
        await self.send({"type": "websocket.connect"})
        try:
            message = await self.receive()
            await self._raise_on_close(message)
        except BaseException:
            await self._finish()
            raise
        self.accepted_subprotocol = message.get("subprotocol", None)
        self.extra_headers = message.get("headers", None)
        return self

    async def __aexit__(self, *args: Any) -> None:
        await self.close(1000)
        await self._finish()

    async def _finish(self) -> None:
        """Wait for the application, which has been told of the close, and raise what it raised."""
        await anyio.lowlevel.checkpoint()
        self._exchange.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._running.finished.wait()
        try:
            while True:
                message = await self._exchange.next_message()
                if message is None:
                    return
                if isinstance(message, BaseException):
                    raise message
        finally:
            await self._exchange.close()

    async def _raise_on_close(self, message: Message) -> None:
        raise_on_close(message)
        if message["type"] == "websocket.http.response.start":
            messages = [message]
            while True:
                message = await self.receive()
                assert message["type"] == "websocket.http.response.body"
                messages.append(message)
                if not message.get("more_body", False):
                    break
            raise denial_response(messages)

    async def send(self, message: Message) -> None:
        await self._exchange.send_to_app(message)

    async def send_text(self, data: str) -> None:
        await self.send({"type": "websocket.receive", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        await self.send({"type": "websocket.receive", "bytes": data})

    async def send_json(self, data: Any, mode: Literal["text", "binary"] = "text") -> None:
        await self.send(websocket_frame(data, mode))

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self.send({"type": "websocket.disconnect", "code": code, "reason": reason or ""})

    async def receive(self) -> Message:
        """The application's next message. Raises what the application raised, WebSocketDisconnect after
        its end."""
        return received(await self._exchange.next_message())

    async def receive_text(self) -> str:
        text: str = content_of(await self.receive(), "text")
        return text

    async def receive_bytes(self) -> bytes:
        data: bytes = content_of(await self.receive(), "bytes")
        return data

    async def receive_json(self, mode: Literal["text", "binary"] = "text") -> Any:
        assert mode in ("text", "binary")
        return json_of(await self.receive(), mode)


class AsyncTestClient(httpx.AsyncClient):
    """An asynchronous httpx client of one application. In an `async with` block its lifespan runs.

    `extensions` as TestClient's.
    """

    __test__ = False

    def __init__(
        self,
        app: ASGIApp,
        base_url: str = "http://testserver",
        raise_server_exceptions: bool = True,
        root_path: str = "",
        cookies: Any = None,
        headers: dict[str, str] | None = None,
        follow_redirects: bool = True,
        client: tuple[str, int] = ("testclient", 50000),
        *,
        extensions: Sequence[str] = (),
    ) -> None:
        self.app = as_asgi3(app)
        self.app_state: dict[str, Any] = {}
        super().__init__(
            base_url=base_url,
            headers=client_headers(headers),
            transport=AsyncTransport(
                Target(self.app, raise_server_exceptions, root_path, client, self.app_state, extensions)
            ),
            follow_redirects=follow_redirects,
            cookies=cookies,
        )

    def websocket_connect(
        self, url: str, subprotocols: Sequence[str] | None = None, **kwargs: Any
    ) -> contextlib.AbstractAsyncContextManager[AsyncWebSocketTestSession]:
        """A session, to be used in an `async with` block, which raises WebSocketDisconnect if it is
        refused."""
        return self._websocket(url, subprotocols, kwargs)

    @contextlib.asynccontextmanager
    async def _websocket(
        self, url: str, subprotocols: Sequence[str] | None, kwargs: dict[str, Any]
    ) -> AsyncIterator[AsyncWebSocketTestSession]:
        kwargs["headers"] = websocket_headers(subprotocols, kwargs.get("headers"))
        try:
            await self.request("GET", urljoin("ws://testserver", url), **kwargs)
        except Upgrade as upgrade:
            session: AsyncWebSocketTestSession = upgrade.session
        else:
            raise RuntimeError("Expected WebSocket upgrade")
        async with session:
            yield session

    @contextlib.asynccontextmanager
    async def events(
        self, url: Any, *, method: str = "GET", last_event_id: str | None = None, **kwargs: Any
    ) -> AsyncIterator[AsyncEventSource]:
        """The events of a stream, one after the other, in an `async with` block that ends the stream.

        Raises RuntimeError unless the response is an event stream.
        """
        kwargs["headers"] = event_source_headers(last_event_id, kwargs.get("headers"))
        async with self.stream(method, url, **kwargs) as response:
            yield AsyncEventSource(response)

    @contextlib.asynccontextmanager
    async def parts(
        self, url: Any, *, method: str = "GET", **kwargs: Any
    ) -> AsyncIterator[AsyncIterator[ResponsePart]]:
        """As TestClient's, in an `async with` block."""
        async with self.stream(method, url, **kwargs) as response:
            yield aparts_of(response)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._to_app, app_receives = anyio.create_memory_object_stream[Any](8)
        app_sends, self._from_app = anyio.create_memory_object_stream[Any](8)
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.app_state}
        self._lifespan = Running(
            lambda: lifespan_exchange(self.app, scope, app_receives.receive, app_sends.send)
        )
        self._streams = (self._to_app, app_receives, app_sends, self._from_app)
        await self._lifespan_step("startup")
        return self

    async def __aexit__(self, *args: Any) -> None:
        await self._lifespan_step("shutdown")
        self._close_streams()
        await super().__aexit__(*args)

    def _close_streams(self) -> None:
        for stream in self._streams:
            stream.close()

    async def _lifespan_step(self, step: str) -> None:
        await self._to_app.send({"type": f"lifespan.{step}"})
        message = await self._from_app.receive()
        if message is None or message["type"] == f"lifespan.{step}.failed":
            await self._lifespan.finished.wait()
            self._close_streams()
            raise self._lifespan.error or RuntimeError(f"lifespan {step} failed")
        assert message["type"] == f"lifespan.{step}.complete"
