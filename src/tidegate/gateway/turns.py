"""Whose turn it is to inflate: the sockets of one server, when their `Allowance` is spent, one after the other."""

from collections import deque
from typing import Any, Protocol

from tidegate.websocket.allowance import Allowance


class TurnTaker(Protocol):
    """Who may have to wait for its turn."""

    def take_turn(self) -> None:
        """Go on, until it is others' turn again."""


class Turns:
    """The queue of those that wait. For one event loop."""

    __slots__ = ("_scheduled", "_waiting", "allowance")

    def __init__(self, allowance: Allowance | None = None) -> None:
        self.allowance = Allowance() if allowance is None else allowance
        self._waiting: deque[TurnTaker] = deque()
        self._scheduled = False

    def schedule(self, loop: Any) -> None:
        """The allowance is spent: refill it in the next turn of `loop`."""
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._turn, loop)

    def wait(self, taker: TurnTaker, loop: Any) -> None:
        """Let `taker` take its turn behind those that wait already."""
        self._waiting.append(taker)
        self.schedule(loop)

    def _turn(self, loop: Any) -> None:
        self._scheduled = False
        self.allowance.refill()
        try:
            while self._waiting and self.allowance.left > 0:
                self._waiting.popleft().take_turn()
        finally:
            if self._waiting:
                self.schedule(loop)
