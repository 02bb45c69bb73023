"""What `receive` and `send` return: awaitables that allocate no coroutine where nothing has to wait.

They satisfy `collections.abc.Coroutine` too, because applications call `asyncio.create_task(receive())`.
"""

from collections.abc import Coroutine
from typing import Any

from tidegate.gateway.application import Exchange


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


class Receive:
    """One call of `receive`: takes its message when it is awaited, not before, so that a cancelled one loses none."""

    __slots__ = ("_coroutine", "_exchange")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._coroutine: Any = None

    def __await__(self) -> "Receive":
        return self

    def __iter__(self) -> "Receive":
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        if self._coroutine is None:
            message = self._exchange.take_message()
            if message is not None:
                raise StopIteration(message)
            self._coroutine = self._exchange.wait_message()
        return self._coroutine.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        error = exception(kind, value, traceback)
        if self._coroutine is None:
            raise error
        return self._coroutine.throw(error)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()


def exception(kind: Any, value: Any, traceback: Any) -> BaseException:
    """The exception that `throw(kind, value, traceback)` means."""
    error: BaseException = kind if isinstance(kind, BaseException) else value
    if not isinstance(error, BaseException):
        error = kind() if value is None else kind(value)
    return error if traceback is None else error.with_traceback(traceback)


Coroutine.register(Ready)
Coroutine.register(Receive)

READY = Ready()
