"""How late the event loop is, and when that is reason to refuse requests (after CoDel, RFC 8289).

A timer that comes late has waited as long as a request that became readable when it was due: behind whatever the loop
did meanwhile. A burst that is worked off is no overload, so nothing is refused until every look within `interval`
found the loop late (RFC 8289 §3.2 takes the minimum too); then what is reached later than `target` is.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

NEVER = float("inf")
# A probe is due so often within `target`.
PROBES = 4


class CallLater(Protocol):
    """The part of an event loop that is needed here."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any: ...


class QueueDelay:
    """`target` and `interval` are in seconds, times are those of `time.monotonic`."""

    __slots__ = ("_due", "_interval", "_late_since", "_period", "_target")

    def __init__(self, target: float, interval: float, now: float) -> None:
        self._target = target
        self._interval = interval
        self._period = target / PROBES
        self._due = now + self._period
        self._late_since = NEVER

    def probe(self, now: float) -> float:
        """Take note of how late this call is; the seconds after which the next is due."""
        if now - self._due <= self._target:
            self._late_since = NEVER
        elif self._late_since == NEVER:
            self._late_since = self._due
        self._due = now + self._period
        return self._period

    def exceeded(self, now: float) -> bool:
        """Whether a request that the loop has come to `now` waited too long, in an overload."""
        return now - self._due > self._target and now - self._late_since >= self._interval


class DelayProbe:
    """Probes a loop's delay until `stop`."""

    __slots__ = ("_delay", "_handle", "_loop")

    def __init__(self, loop: CallLater, delay: QueueDelay) -> None:
        self._loop = loop
        self._delay = delay
        self._probe()

    def _probe(self) -> None:
        self._handle = self._loop.call_later(self._delay.probe(monotonic()), self._probe)

    def stop(self) -> None:
        self._handle.cancel()
