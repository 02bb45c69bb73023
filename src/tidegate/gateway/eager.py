"""Starts a Task's first step at once, in place of the event loop's next turn.

An application that answers without waiting is then done within the call that received its request: no turn of the
loop, no system call of its own, and a batch of pipelined requests is answered in one write. CPython 3.12 has this as
`Task(eager_start=True)`. Before, a Task hands its first step to `loop.call_soon` and itself to the list of all tasks
while it is being made; for just that moment the two are caught, to run the step in the Task's context right away, and
to list it only for that step: most are done then, and the list's weak references cost more than the Task.
`asyncio.current_task`, `all_tasks`, context variables, cancellation and timeouts see an ordinary Task.
"""

import asyncio
import contextvars
import sys
from asyncio import tasks
from collections.abc import Coroutine
from typing import Any
from weakref import WeakSet

NATIVE = sys.version_info >= (3, 12)
Task = asyncio.Task
# All tasks of the process; CPython 3.12 and later have no need of it here.
_all_tasks: Any = None if NATIVE else vars(tasks).get("_all_tasks")
# The running Task of each loop; CPython 3.12 and later have it in C.
_current_tasks: dict[Any, Any] = {} if NATIVE else vars(tasks).get("_current_tasks", {})
current_task: Any = asyncio.current_task if NATIVE else _current_tasks.get


class FirstStep:
    """Stands in the list of all tasks, like a weak reference, for the Task whose first step is running."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: Task[Any] | None = None

    def __call__(self) -> "Task[Any] | None":
        return self.task


class EagerStarter:
    """Makes Tasks on `loop` and runs their first step, where no other Task is running and no factory is set."""

    __slots__ = (
        "_attributes",
        "_call_soon",
        "_catch",
        "_catches",
        "_caught",
        "_coroutine",
        "_first_step",
        "_listed",
        "_loop",
        "_register",
        "_registry",
        "_step_type",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Any = loop
        self._call_soon = loop.call_soon
        self._caught: Any = None
        self._coroutine: Any = None
        self._step_type: Any = None
        # A loop whose instances have no attributes of their own cannot be caught from.
        self._catches = not NATIVE and hasattr(loop, "__dict__") and type(_all_tasks) is WeakSet
        self._attributes: dict[str, Any] = vars(loop) if self._catches else {}
        self._registry: dict[str, Any] = vars(_all_tasks) if self._catches else {}
        self._listed: set[Any] = _all_tasks.data if self._catches else set()
        self._first_step = FirstStep()
        self._catch = self.catch
        self._register = self.register

    def start(self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context) -> "Task[Any]":
        """A Task of `coroutine` in `context`; started, where it can be."""
        loop = self._loop
        if current_task(loop) is not None:
            return Task(coroutine, loop=loop, context=context)
        if NATIVE:
            return Task(coroutine, loop=loop, context=context, eager_start=True)  # type: ignore[call-arg]
        if not self._catches:
            return Task(coroutine, loop=loop, context=context)
        attributes = self._attributes
        registry = self._registry
        self._coroutine = coroutine
        attributes["call_soon"] = self._catch
        registry["add"] = self._register
        try:
            # A name of its own would be formatted for each.
            task = Task(coroutine, loop=loop, name="request", context=context)
        finally:
            del attributes["call_soon"]
            del registry["add"]
            self._coroutine = None
        step = self._caught
        if step is None:
            _all_tasks.add(task)
            return task
        self._caught = None
        first_step = self._first_step
        listed = self._listed
        first_step.task = task
        listed.add(first_step)
        try:
            context.run(step)
        finally:
            listed.discard(first_step)
            first_step.task = None
            if not task.done():
                _all_tasks.add(task)
        return task

    def register(self, task: Any) -> None:
        """What `asyncio.all_tasks` is told of a Task: of ours, nothing yet."""
        if task.get_coro() is not self._coroutine:
            WeakSet.add(_all_tasks, task)

    def catch(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """What `loop.call_soon` is for that moment."""
        # Only the Task's own: while it is made, a collected object's finalizer may call too.
        if self._caught is None:
            if self._step_type is None and type(callback).__name__ == "TaskStepMethWrapper":
                self._step_type = type(callback)
            if type(callback) is self._step_type:
                self._caught = callback
                return None
        return self._call_soon(callback, *args, context=context)
