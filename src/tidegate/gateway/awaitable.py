"""What an application awaits: nothing at all where a `send` need not wait, a `Waiter` in `receive`.

Both are coroutines as far as `asyncio.create_task(receive())` goes, which applications call.
"""

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from tidegate.asgi import Message
from tidegate.gateway.eager import current_task
from tidegate.http.stream import StreamHandler


class Ready:
    """Completes at once with None. It has no state, so one instance serves every `send`."""

    __slots__ = ()

    def __await__(self) -> "Ready":
        return self

    def __iter__(self) -> "Ready":
        return self

    def __next__(self) -> None:
        raise StopIteration

    def send(self, value: Any) -> None:
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> None:
        raise exception(kind, value, traceback)

    def close(self) -> None:
        """Nothing to close."""


class Waiter:
    """What a Task that waits in `receive` is given to wait on: a future, as far as Tasks know (asyncio.isfuture).

    Unlike asyncio's it can resume its Task within `wake`: what has just come is then answered in the same turn of the
    event loop, without a handle, and in the same write as others.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_awaited",
        "_callback",
        "_cancelled",
        "_context",
        "_message",
        "_receiver",
    )

    def __init__(self, receiver: "Receiver") -> None:
        self._receiver = receiver
        self._asyncio_future_blocking = True
        self._awaited = False
        self._callback: Callable[[Waiter], object] | None = None
        self._context: Context | None = None
        self._cancelled = False
        self._message: Any = None

    def again(self) -> "Waiter":
        """The waiter as new."""
        self._asyncio_future_blocking = True
        self._awaited = False
        return self

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> "Waiter":
        return self

    def __next__(self) -> "Waiter":
        if self._awaited:
            raise StopIteration
        self._awaited = True
        return self

    def wake(self, at_once: bool) -> None:
        """Resume the Task, now or in its turn. Only without a running Task can it be now."""
        callback = self._callback
        context = self._context
        self._callback = None
        if callback is None or context is None:
            return
        if at_once:
            context.run(callback, self)
        else:
            self._receiver.loop.call_soon(callback, self, context=context)

    def get_loop(self) -> Any:
        return self._receiver.loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        if self._callback is None:
            return False
        self._cancelled = True
        self._message = msg
        self._receiver.forget(self)
        self.wake(False)
        return True

    def result(self) -> None:
        if self._cancelled:
            # With its message, as of asyncio's futures: by it anyio's scopes know whose cancellation it is.
            raise CancelledError() if self._message is None else CancelledError(self._message)


class Receiver(StreamHandler):
    """An exchange, as far as its application's `receive` goes."""

    __slots__ = ("_in_step", "_turns", "_waiter", "_waiters", "loop")

    def _open_receiver(self, loop: Any) -> None:
        self.loop = loop
        # Whether the application runs, in its own Task; how often it may yet be resumed at once.
        self._in_step = False
        self._turns = 0
        self._waiter: Waiter | None = None  # one to use again
        self._waiters: list[Waiter] | None = None

    async def receive(self) -> Message:
        """ASGI's receive. Takes its message when it is awaited, not before, so that a cancelled one loses none."""
        message = self.take_message()
        while message is None:
            await self.new_waiter()
            message = self.take_message()
        return message

    def take_message(self) -> dict[str, Any] | None:
        """The next message for the application's receive; None where it has to wait for one."""

    def new_waiter(self) -> Waiter:
        """What to await until there may be a message."""
        waiter = self._waiter
        if waiter is None:
            waiter = Waiter(self)
        else:
            self._waiter = None
            waiter.again()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """`waiter` is cancelled."""
        if self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters = self._waiters
        if not waiters:
            return
        if self._turns > 0 and not self._in_step and len(waiters) == 1 and current_task(self.loop) is None:
            self._turns -= 1
            waiter = waiters.pop()
            # Its Task is done with it as soon as it runs again.
            self._waiter = waiter
            waiter.wake(True)
            return
        self._waiters = None
        for waiter in waiters:
            waiter.wake(False)


def exception(kind: Any, value: Any, traceback: Any) -> BaseException:
    """The exception that `throw(kind, value, traceback)` means."""
    error: BaseException = kind if isinstance(kind, BaseException) else value
    if not isinstance(error, BaseException):
        error = kind() if value is None else kind(value)
    return error if traceback is None else error.with_traceback(traceback)


Coroutine.register(Ready)

READY = Ready()
