"""Starts a Task's first step at once, in place of the event loop's next turn.

An application that answers without waiting is then done within the call that received its request: no turn of the
loop, no system call of its own, and a batch of pipelined requests is answered in one write. CPython 3.12 has this as
`Task(eager_start=True)`. Before, a Task hands its first step to `loop.call_soon` while it is being made; for just that
moment the loop's attribute is this catcher, which keeps the step so that it can be run in the Task's context right
away. `asyncio.current_task`, context variables, cancellation and timeouts see an ordinary Task.
"""

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from typing import Any

NATIVE = sys.version_info >= (3, 12)
Task = asyncio.Task
current_task = asyncio.current_task


class EagerStarter:
    """Makes Tasks on `loop` and runs their first step, where no other Task is running and no factory is set."""

    __slots__ = ("_call_soon", "_catches", "_caught", "_loop", "_step_type")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Any = loop
        self._call_soon = loop.call_soon
        self._caught: Any = None
        self._step_type: Any = None
        # A loop whose instances have no attributes of their own cannot be caught from.
        self._catches = not NATIVE and hasattr(loop, "__dict__")

    def start(self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context) -> "Task[Any]":
        """A Task of `coroutine` in `context`; started, where it can be."""
        loop = self._loop
        if current_task(loop) is not None:
            return Task(coroutine, loop=loop, context=context)
        if NATIVE:
            return Task(coroutine, loop=loop, context=context, eager_start=True)  # type: ignore[call-arg]
        if not self._catches:
            return Task(coroutine, loop=loop, context=context)
        loop.call_soon = self
        try:
            task = Task(coroutine, loop=loop, context=context)
        finally:
            del loop.call_soon
        step = self._caught
        if step is not None:
            self._caught = None
            context.run(step)
        return task

    def __call__(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        # Only the Task's own: while it is made, a collected object's finalizer may call too.
        if self._caught is None:
            if self._step_type is None and type(callback).__name__ == "TaskStepMethWrapper":
                self._step_type = type(callback)
            if type(callback) is self._step_type:
                self._caught = callback
                return None
        return self._call_soon(callback, *args, context=context)
