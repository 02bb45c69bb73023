"""Work that runs after the response has been sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec

import anyio

from tidegate.web._utils import is_async_callable
from tidegate.web.concurrency import run_in_threadpool
from tidegate.web.types import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


P = ParamSpec("P")


class BackgroundTask:
    """One call, made after the response; a plain function runs in a thread."""

    def __init__(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.is_async = is_async_callable(func)

    async def __call__(self) -> None:
        if self.is_async:
            await self.func(*self.args, **self.kwargs)
        else:
            await run_in_threadpool(self.func, *self.args, **self.kwargs)


class Supervisor:
    """Counts the background work of one application, so that its shutdown can wait for it."""

    def __init__(self) -> None:
        self.running = 0
        self._idle: anyio.Event | None = None

    async def run(self, task: Callable[[], Awaitable[None]]) -> None:
        self.running += 1
        try:
            await task()
        finally:
            self.running -= 1
            if self.running == 0 and self._idle is not None:
                self._idle.set()

    async def wait(self, timeout: float) -> bool:
        """Wait until nothing runs, at most `timeout` seconds. False if something still does."""
        with anyio.move_on_after(timeout):
            while self.running:
                self._idle = anyio.Event()
                await self._idle.wait()
        return not self.running


async def run_after_response(task: Callable[[], Awaitable[None]], scope: Scope) -> None:
    """Run a response's background work, where its application can wait for it."""
    supervisor: Supervisor | None = getattr(scope.get("app"), "background", None)
    if isinstance(supervisor, Supervisor):
        await supervisor.run(task)
    else:
        await task()


class BackgroundTasks(BackgroundTask):
    """Several calls, in order. One that fails stops no other: what failed is raised when all have run."""

    def __init__(self, tasks: Sequence[BackgroundTask] | None = None) -> None:
        self.tasks = list(tasks) if tasks else []

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        self.tasks.append(BackgroundTask(func, *args, **kwargs))

    async def __call__(self) -> None:
        failures: list[Exception] = []
        for task in self.tasks:
            try:
                await task()
            except Exception as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup("background tasks failed", failures)
