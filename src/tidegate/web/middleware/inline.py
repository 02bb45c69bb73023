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

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeAlias

from tidegate.web._exception_handler import handle_exception
from tidegate.web._sendtracker import enter_inner
from tidegate.web.datastructures import MutableHeaders
from tidegate.web.middleware.exceptions import ExceptionMiddleware
from tidegate.web.requests import Request
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

P = ParamSpec("P")
InlineFunction: TypeAlias = Callable[Concatenate[Request[Any], P], AsyncGenerator[Any, Any]]
ENDED = object()


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
    """Runs inline middlewares around an ASGI application, outermost first. WebSockets pass by.

    Directly around ExceptionMiddleware it does that one's work too.
    """

    def __init__(self, app: ASGIApp, function: InlineFunction[...], *args: Any, **kwargs: Any) -> None:
        self.app = app
        self.handlers: Any = None
        if type(app) is ExceptionMiddleware:
            self.app = app.app
            self.handlers = app.handlers
        self.whole_app = app
        self.functions = [(function, args, kwargs)]

    def add_outer(self, function: InlineFunction[...], *args: Any, **kwargs: Any) -> None:
        """Put another around these: neighbours share one layer."""
        self.functions.insert(0, (function, args, kwargs))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.whole_app(scope, receive, send)
            return
        request: Request[Any] = Request(scope, receive, send)
        run = InlineRun(scope, receive, send)
        steps: list[Any] = []
        error: Any = None
        try:
            begun = self._begin(request, steps)
            for index in range(len(begun)):
                generator = begun[index]
                try:
                    early = await steps[index]
                except StopAsyncIteration:
                    raise RuntimeError(f"Inline middleware {generator!r} did not yield") from None
                if early is not None:
                    await generator.aclose()
                    await early(scope, receive, run)
                    break
                run.generators.append(generator)
            else:
                if self.handlers is None:
                    await self.app(scope, receive, run)
                else:
                    tracker = enter_inner(scope, run, self.handlers)
                    try:
                        await self.app(scope, receive, tracker)
                    except Exception as raised:
                        error = raised
                    if error is not None:
                        await handle_exception(error, None, scope, receive, tracker)
                        error = None
        except GeneratorExit:  # thrown away: nothing can be awaited any more
            raise
        except BaseException as raised:
            error = run.error or raised
        try:
            if len(run.generators) < len(steps):
                for step in steps:  # of those that were not reached
                    step.close()
            if error is not None:
                await run.failed(error)
            elif run.generators:
                await run.complete()
        finally:
            del error  # its traceback holds this frame

    def _begin(self, request: Request[Any], steps: list[Any]) -> list[AsyncGenerator[Any, Any]]:
        """The generators, and into `steps` the first step of each, to be awaited."""
        generators = [
            function(request, *args, **kwargs) if args or kwargs else function(request)
            for function, args, kwargs in self.functions
        ]
        # The loop's hooks (PEP 525) watch for generators that nobody closes. These are always run to their end
        # or closed, and the hooks would cost more than all the rest of a middleware.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            steps.extend([generator.__anext__() for generator in generators])
        finally:
            sys.set_asyncgen_hooks(hooks[0], hooks[1])
        return generators


class Resuming:
    """`asend` as `__anext__`, for the builtin anext(): told by its default, the end costs less than by an
    exception."""

    __slots__ = ("generator", "value")

    def __init__(self, value: Any) -> None:
        self.generator: Any = None
        self.value = value

    def __anext__(self) -> Any:
        return self.generator.asend(self.value)


class InlineRun:
    """The `send` of one request in inline middlewares; their generators, outermost first, until each ends."""

    __slots__ = ("error", "generators", "receive", "replaced", "scope", "send", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.generators: list[AsyncGenerator[Any, Any]] = []
        self.scope = scope
        self.receive = receive
        self.send = send
        self.started = False
        self.replaced = False
        self.error: BaseException | None = None

    def __call__(self, message: Message) -> Awaitable[None]:
        if not self.started and message["type"] == "http.response.start":
            self.started = True
            return self._start(message)
        return drop(message) if self.replaced else self.send(message)

    async def _start(self, message: Message) -> None:
        """Show the head of the response to each middleware, innermost first, then send it."""
        resuming = Resuming(ResponseHead(message))
        generators = self.generators
        waiting: list[AsyncGenerator[Any, Any]] = []  # those that also want to know of the end
        for index in range(len(generators) - 1, -1, -1):
            generator = resuming.generator = generators[index]
            try:
                instead = await anext(resuming, ENDED)
            except BaseException as error:
                del generators[index:]
                # Layers further in may take this for an error of theirs, and make another of it.
                self.error = error
                raise
            if instead is ENDED:
                continue
            if instead is None:
                waiting.append(generator)
                continue
            self.replaced = True
            await generator.aclose()
            for other in waiting:
                await other.aclose()
            del generators[index:]
            await self._answer(instead)
            return
        waiting.reverse()
        generators[:] = waiting
        await self.send(message)

    async def _answer(self, response: Any) -> None:
        """Send another response, through the middlewares that are still to see one."""
        outer = InlineRun(self.scope, self.receive, self.send)
        outer.generators = self.generators
        await response(self.scope, self.receive, outer)
        await outer.complete()

    async def failed(self, error: BaseException) -> None:
        """Raise `error` at each `yield`, innermost first; before the response has started one may answer."""
        generators = self.generators
        while generators:
            generator = generators.pop()
            try:
                instead = await generator.athrow(error)
            except StopAsyncIteration:
                continue
            except BaseException as raised:
                error = raised
                continue
            await generator.aclose()
            if instead is not None and not self.started and isinstance(error, Exception):
                await self._answer(instead)
                return
        raise error

    async def complete(self) -> None:
        """The application has finished: resume those that wait for it, innermost first."""
        generators = self.generators
        while generators:
            generator = generators.pop()
            if not self.started:
                await generator.aclose()
                continue
            try:
                await generator.__anext__()
            except StopAsyncIteration:
                continue
            await generator.aclose()
            raise RuntimeError("An inline middleware yielded once more after its response was complete")


async def drop(message: Message) -> None:
    """What an application sends of a response that another has replaced."""
