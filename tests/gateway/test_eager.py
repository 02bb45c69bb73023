"""A Task whose first step runs at once is like any other, as far as asyncio shows."""

import asyncio
import contextvars
import gc
from collections.abc import Callable
from typing import Any

import pytest

from tidegate.gateway.eager import EagerStarter

uvloop = pytest.importorskip("uvloop")


def in_callback(
    new_loop: Callable[[], asyncio.AbstractEventLoop], callback: Callable[[EagerStarter], Any]
) -> Any:
    """What `callback` returns, called by a loop that runs no Task, and the loop run until its Tasks are done."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        starter = EagerStarter(loop)
        called = loop.create_future()
        loop.call_soon(lambda: called.set_result(callback(starter)))
        result = await called
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        return result

    loop = new_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_the_first_step_runs_at_once(new_loop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, "of the context")
    seen: list[Any] = []

    async def work() -> str:
        task = asyncio.current_task()
        seen.append((task, task in asyncio.all_tasks(), variable.get()))
        return "done"

    def callback(starter: EagerStarter) -> asyncio.Task[Any]:
        task = starter.start(work(), context)
        assert task.done()
        assert task.result() == "done"
        assert asyncio.current_task() is None
        assert task not in asyncio.all_tasks()
        return task

    task = in_callback(new_loop, callback)
    assert seen == [(task, True, "of the context")]


@LOOPS
def test_what_waits_is_listed_until_it_is_done(new_loop) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        assert asyncio.current_task() in asyncio.all_tasks()

    def callback(starter: EagerStarter) -> asyncio.Task[Any]:
        task = starter.start(work(), contextvars.copy_context())
        assert not task.done()
        assert task in asyncio.all_tasks(asyncio.get_running_loop())
        return task

    task = in_callback(new_loop, callback)
    assert task.done()
    assert task.exception() is None


@LOOPS
def test_tasks_of_others_are_as_ever(new_loop) -> None:
    """Those made within the first step, and within a finalizer while a Task is being made."""
    others = []

    async def other() -> None:
        await asyncio.sleep(0)

    class Dropped:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            others.append(asyncio.get_running_loop().create_task(other()))

    async def work() -> None:
        others.append(asyncio.create_task(other()))

    def callback(starter: EagerStarter) -> None:
        Dropped()
        before = gc.get_threshold()
        gc.set_threshold(1)
        try:
            task = starter.start(work(), contextvars.copy_context())
        finally:
            gc.set_threshold(*before)
        assert task.done()
        assert others[-1] in asyncio.all_tasks()

    in_callback(new_loop, callback)
    assert all(task.done() for task in others)


@LOOPS
def test_cancelled_and_failed(new_loop) -> None:
    async def wait() -> None:
        await asyncio.sleep(60)

    async def fail() -> None:
        raise ValueError("no")

    def callback(starter: EagerStarter) -> tuple[asyncio.Task[Any], asyncio.Task[Any]]:
        waiting = starter.start(wait(), contextvars.copy_context())
        waiting.cancel()
        failed = starter.start(fail(), contextvars.copy_context())
        assert isinstance(failed.exception(), ValueError)
        return waiting, failed

    waiting, _ = in_callback(new_loop, callback)
    assert waiting.cancelled()
