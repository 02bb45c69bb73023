"""What a WebSocket's client has sent and the application has not taken, and the Tasks that wait for it in `receive`."""

from asyncio import CancelledError, current_task
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

from tidegate.asgi import Message
from tidegate.gateway.application import Exchange
from tidegate.gateway.awaitable import exception
from tidegate.websocket import codes
from tidegate.websocket.connection import WebSocketHandler

# As many messages of one read are handed to a waiting application at once; the others wait for the event loop's turn.
MAX_AT_ONCE = 16


class Waiter:
    """What a Task that waits for a message is given to wait on: a future, as far as Tasks know (asyncio.isfuture).

    Unlike asyncio's it can resume its Task within `wake`: a message that has just come is then answered in the same
    turn of the event loop, without a handle, and in the same write as others.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_exchange")

    def __init__(self, exchange: "MessageReceiver") -> None:
        self._exchange = exchange
        self._asyncio_future_blocking = True
        self._callback: Callable[[Waiter], object] | None = None
        self._context: Context | None = None
        self._cancelled = False

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
            self._exchange.loop.call_soon(callback, self, context=context)

    def get_loop(self) -> Any:
        return self._exchange.loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        if self._callback is None:
            return False
        self._cancelled = True
        self._exchange.forget(self)
        self.wake(False)
        return True

    def result(self) -> None:
        if self._cancelled:
            raise CancelledError


class MessageReceive:
    """One call of `receive`: takes its message when it is awaited, not before, so that a cancelled one loses none."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: "MessageReceiver") -> None:
        self._exchange = exchange

    def __await__(self) -> "MessageReceive":
        return self

    def __iter__(self) -> "MessageReceive":
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        message = self._exchange.take_message()
        if message is not None:
            raise StopIteration(message)
        return self._exchange.new_waiter()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        raise exception(kind, value, traceback)

    def close(self) -> None:
        """Nothing to close: a waiter that nobody waits for any more does nothing."""


Coroutine.register(MessageReceive)


class Incoming(WebSocketHandler):
    """What has come and was not taken: messages, then the end of them."""

    __slots__ = ("_exchange", "code", "ended", "messages", "octets", "reason")

    def __init__(self, exchange: "MessageReceiver") -> None:
        self._exchange = exchange
        self.messages: deque[str | bytes] = deque()
        self.octets = 0
        self.ended = False
        self.code = codes.ABNORMAL_CLOSURE
        self.reason = ""

    def message_received(self, message: str | bytes) -> None:
        self.messages.append(message)
        self.octets += len(message)
        self._exchange.messages_waiting(len(self.messages), self.octets)

    def close_received(self, code: int, reason: str) -> None:
        self.end(code, reason)
        self._exchange.end_waiting(not self.messages)

    def connection_closed(self) -> None:
        self._exchange.connection_closed()

    def end(self, code: int, reason: str) -> None:
        """What `websocket.disconnect` will say, behind the messages; the first call counts."""
        if not self.ended:
            self.ended = True
            self.code = code
            self.reason = reason


class MessageReceiver(Exchange):
    """An exchange whose application waits for messages. `Incoming` tells it what has come."""

    __slots__ = ("_turns", "_waiter", "_waiters", "loop")

    def _open_receiver(self, loop: Any) -> None:
        self.loop = loop
        self._turns = 0
        self._waiter: Waiter | None = None  # one to use again
        self._waiters: list[Waiter] = []

    def messages_waiting(self, count: int, octets: int) -> None:
        """`count` messages of `octets` octets wait for the application."""

    def end_waiting(self, alone: bool) -> None:
        """The peer has closed, failed or gone; `alone`: no message waits before that."""

    def connection_closed(self) -> None:
        """Nothing is sent any more."""

    def receive(self) -> Awaitable[Message]:
        """ASGI's receive."""
        return MessageReceive(self)

    def new_waiter(self) -> Waiter:
        """What a Task yields to wait until a message is there, or the end."""
        waiter = self._waiter
        if waiter is None:
            waiter = Waiter(self)
        else:
            self._waiter = None
            waiter._asyncio_future_blocking = True
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """`waiter` is cancelled."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        if (
            self._turns > 0
            and not self._in_step
            and len(self._waiters) == 1
            and current_task(self.loop) is None
        ):
            self._turns -= 1
            waiter = self._waiters.pop()
            # Its Task is done with it as soon as it runs again.
            self._waiter = waiter
            waiter.wake(True)
            return
        waiters = self._waiters
        self._waiters = []
        for waiter in waiters:
            waiter.wake(False)
