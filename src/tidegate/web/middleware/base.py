"""Middleware as one method, `dispatch(request, call_next)`, as Starlette has it. Inline middleware costs
far less."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.abc

from tidegate.web._utils import create_collapsing_task_group
from tidegate.web.background import run_after_response
from tidegate.web.requests import ClientDisconnect, Request
from tidegate.web.responses import Response
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


RequestResponseEndpoint: TypeAlias = Callable[[Request[Any]], Awaitable[Response]]
DispatchFunction: TypeAlias = Callable[[Request[Any], RequestResponseEndpoint], Awaitable[Response]]
BodyStreamGenerator: TypeAlias = AsyncGenerator[bytes | MutableMapping[str, Any], None]


class _CachedRequest(Request[Any]):
    """The request that `dispatch` sees: what it reads of the body, the application behind it still gets."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._replayed = False

    async def wrapped_receive(self) -> Message:
        read = self._read
        if read.content is not None and not self._replayed:
            self._replayed = True
            return {"type": "http.request", "body": read.content, "more_body": False}
        if read.disconnected:
            return {"type": "http.disconnect"}
        if self._replayed or (read.consumed and read.content is None and not read.pending):
            if not self._replayed:
                # dispatch has used up the stream: the application sees an empty body, not a wait without end.
                self._replayed = True
                return {"type": "http.request", "body": b"", "more_body": False}
            message = await self.receive()
            if message["type"] != "http.disconnect":
                raise RuntimeError(f"Unexpected message received: {message['type']}")
            read.disconnected = True
            return message
        try:
            stream = self.stream()
            try:
                chunk = await stream.__anext__()
            finally:
                await stream.aclose()
        except ClientDisconnect:
            return {"type": "http.disconnect"}
        self._replayed = read.consumed
        return {"type": "http.request", "body": chunk, "more_body": not read.consumed}


class BaseHTTPMiddleware:
    """Override `dispatch`, or give it. The application runs in a task beside it, so that its body can
    stream."""

    def __init__(self, app: ASGIApp, dispatch: DispatchFunction | None = None) -> None:
        self.app = app
        self.dispatch_func = self.dispatch if dispatch is None else dispatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _CachedRequest(scope, receive, send)
        call = _Call(self.app, request.wrapped_receive, send)
        with call.sending, call.sent:
            async with create_collapsing_task_group() as task_group:
                call.task_group = task_group
                response = await self.dispatch_func(request, call)
                await response(scope, request.wrapped_receive, send)
                call.finish()
        call.raise_error()

    async def dispatch(self, request: Request[Any], call_next: RequestResponseEndpoint) -> Response:
        raise NotImplementedError()


class _Call:
    """`call_next` of one request: runs the application in a task, and gives its response as it comes."""

    task_group: anyio.abc.TaskGroup

    def __init__(self, app: ASGIApp, receive: Receive, outer_send: Send) -> None:
        self.app = app
        self.receive = receive
        self.outer_send = outer_send
        self.finished = anyio.Event()
        self.error: Exception | None = None
        self.error_raised = False
        self.answered = False
        self.waiting: set[anyio.CancelScope] = set()
        self.sending: MemoryObjectSendStream[Message]
        self.sent: MemoryObjectReceiveStream[Message]
        self.sending, self.sent = anyio.create_memory_object_stream[Any](0)

    async def __call__(self, request: Request[Any]) -> Response:
        self.task_group.start_soon(self._run, request.scope)
        info: Mapping[str, Any] | None = None
        try:
            message = await self.sent.receive()
            while message["type"] == "http.response.debug":
                info = message["info"]
                message = await self.sent.receive()
        except anyio.EndOfStream:
            self.raise_error()
            raise RuntimeError("No response returned.") from None
        assert message["type"] == "http.response.start"
        response = _StreamingResponse(status_code=message["status"], content=self._body(), info=info)
        response.raw_headers = list(message.get("headers", ()))
        return response

    async def _run(self, scope: Scope) -> None:
        with self.sending:
            try:
                await self.app(scope, self._receive, self._send)
            except Exception as error:
                self.error = error

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.early_hint":
            await self.outer_send(message)
            return
        try:
            await self.sending.send(message)
        except anyio.BrokenResourceError:
            return  # dispatch has answered without it
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            # What the application does after its response happens after the response has really been sent.
            await self.finished.wait()

    async def _receive(self) -> Message:
        # Once the response is sent nothing more can come; a wait that has begun ends then.
        if self.answered:
            return {"type": "http.disconnect"}
        with anyio.CancelScope() as scope:
            self.waiting.add(scope)
            try:
                return await self.receive()
            finally:
                self.waiting.discard(scope)
        return {"type": "http.disconnect"}

    async def _body(self) -> BodyStreamGenerator:
        async for message in self.sent:
            if message["type"] == "http.response.pathsend":
                yield message
                break
            assert message["type"] == "http.response.body", f"Unexpected message: {message}"
            body = message.get("body", b"")
            if body:
                yield body
            if not message.get("more_body", False):
                break
        self.raise_error()

    def finish(self) -> None:
        """The response has been sent: let go of the application, which may still run its background tasks."""
        self.answered = True
        self.finished.set()
        for scope in list(self.waiting):
            scope.cancel()
        self.sent.close()

    def raise_error(self) -> None:
        """Raise the application's error, once, without the context it is raised in here."""
        if self.error is not None and not self.error_raised:
            self.error_raised = True
            raise self.error from self.error.__cause__ or self.error.__context__


class _StreamingResponse(Response):
    """The application's response on its way through: no length, type or listener of its own."""

    def __init__(
        self,
        content: AsyncIterable[bytes | MutableMapping[str, Any]],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.info = info
        self.body_iterator = content
        self.status_code = status_code
        self.media_type = media_type
        self.init_headers(headers)
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.info is not None:
            await send({"type": "http.response.debug", "info": self.info})
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        should_close_body = True
        async for chunk in self.body_iterator:
            if isinstance(chunk, MutableMapping):
                # The server sends the file (pathsend), and with it the end of the body.
                should_close_body = False
                await send(chunk)
                continue
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if should_close_body:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        if self.background is not None:
            await run_after_response(self.background, scope)
