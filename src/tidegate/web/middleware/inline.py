"""Inline middleware: an async generator function in the request's own task.

    async def timing(request):
        started = time.perf_counter()
        response = yield                       # the application runs; its response is about to start
        response.headers["x-time"] = str(time.perf_counter() - started)

Before the first `yield` the request has not gone in; `yield Response(...)` there answers it instead. A bare
`yield` gives the
head of the response, to change in place; `yield Response(...)` after it sends another response in its
place. One more bare
`yield` waits until the application has finished. What the application raises is raised at the `yield`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from tidegate.web.datastructures import MutableHeaders
from tidegate.web.requests import Request

if TYPE_CHECKING:
    from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

InlineFunction: TypeAlias = Callable[..., AsyncGenerator[Any, Any]]


class ResponseHead:
    """The start of a response on its way out: status and header fields, to read or change."""

    __slots__ = ("_headers", "_message")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._headers: MutableHeaders | None = None

    @property
    def status_code(self) -> int:
        status: int = self._message["status"]
        return status

    @status_code.setter
    def status_code(self, status_code: int) -> None:
        self._message["status"] = status_code

    @property
    def headers(self) -> MutableHeaders:
        headers = self._headers
        if headers is None:
            fields = list(self._message.get("headers", ()))
            self._message["headers"] = fields
            headers = self._headers = MutableHeaders(raw=fields)
        return headers


class InlineMiddleware:
    """The ASGI application that runs an inline middleware around another. WebSockets pass by."""

    def __init__(self, app: ASGIApp, function: InlineFunction, *args: Any, **kwargs: Any) -> None:
        self.app = app
        self.function = function
        self.args = args
        self.kwargs = kwargs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request: Request[Any] = Request(scope, receive, send)
        generator = self.function(request, *self.args, **self.kwargs)
        try:
            early = await generator.__anext__()
        except StopAsyncIteration:
            raise RuntimeError(f"Inline middleware {self.function!r} did not yield") from None
        if early is not None:
            await generator.aclose()
            await early(scope, receive, send)
            return
        run = InlineRun(generator, scope, receive, send)
        try:
            await self.app(scope, receive, run.send)
        except Exception as error:
            if run.finished:
                raise
            # The middleware may answer instead, if nothing has been sent; else its `finally` runs.
            await run.failed(error)
            return
        if not run.finished:
            await run.complete()


class InlineRun:
    """One request in one inline middleware, from the moment the application runs."""

    __slots__ = ("_receive", "_send", "finished", "generator", "replaced", "scope", "started")

    def __init__(
        self, generator: AsyncGenerator[Any, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.generator = generator
        self.scope = scope
        self._receive = receive
        self._send = send
        self.started = False
        self.replaced = False
        self.finished = False

    async def send(self, message: Message) -> None:
        if not self.started and message["type"] == "http.response.start":
            self.started = True
            if not self.finished:
                try:
                    instead = await self.generator.asend(ResponseHead(message))
                except StopAsyncIteration:
                    self.finished = True
                else:
                    if instead is not None:
                        self.replaced = True
                        await self._close()
                        await instead(self.scope, self._receive, self._send)
                        return
        if not self.replaced:
            await self._send(message)

    async def failed(self, error: Exception) -> None:
        """Raise `error` at the middleware's `yield`; it goes on unless the middleware answers."""
        try:
            instead = await self.generator.athrow(error)
        except StopAsyncIteration:
            self.finished = True
            if not self.started:
                raise error from None
            return
        await self._close()
        if self.started or instead is None:
            raise error
        await instead(self.scope, self._receive, self._send)

    async def complete(self) -> None:
        try:
            await self.generator.__anext__()
        except StopAsyncIteration:
            self.finished = True
        else:
            await self._close()
            raise RuntimeError("An inline middleware yielded once more after its response was complete")

    async def _close(self) -> None:
        self.finished = True
        await self.generator.aclose()
