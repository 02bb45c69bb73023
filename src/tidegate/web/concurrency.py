"""Threads, and running several coroutines as one. Each kind of blocking work has threads of its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

FILE_THREADS = 16

_file_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar(
    "tidegate.web.file_limiter"
)


def file_limiter() -> anyio.CapacityLimiter:
    """The limiter of file reads, so that slow disks never hold the threads that endpoints need (nor the
    reverse)."""
    try:
        return _file_limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(FILE_THREADS)
        _file_limiter.set(limiter)
        return limiter


async def in_file_thread(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that may wait for the disk in one of the threads for files."""
    return await anyio.to_thread.run_sync(functools.partial(func, *args, **kwargs), limiter=file_limiter())


async def run_until_first_complete(
    *args: tuple[Callable[..., Coroutine[Any, Any, Any]], dict[str, Any]],
) -> None:
    """Run `function(**kwargs)` of every pair at once; when the first ends, cancel the others."""
    async with anyio.create_task_group() as task_group:

        async def run(function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            await function()
            task_group.cancel_scope.cancel()

        for function, kwargs in args:
            task_group.start_soon(run, functools.partial(function, **kwargs))


async def run_in_threadpool(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a thread (at most 40 at once, anyio's default limiter)."""
    return await anyio.to_thread.run_sync(functools.partial(func, *args, **kwargs))


class _StopIteration(Exception):
    """StopIteration cannot pass through a coroutine (PEP 479)."""


def _next(iterator: Iterator[T]) -> T:
    try:
        return next(iterator)
    except StopIteration:
        raise _StopIteration from None


async def iterate_in_threadpool(iterator: Iterable[T]) -> AsyncIterator[T]:
    """Iterate a blocking iterable, each step in a thread."""
    steps = iter(iterator)
    while True:
        try:
            yield await anyio.to_thread.run_sync(_next, steps)
        except _StopIteration:
            return
