"""How long requests wait for the event loop, and when that is reason to refuse them (after CoDel, RFC 8289).

The kernel knows when a TCP connection's last octets arrived: that is exact, and counts what waits in the listener's
queue too. Where it cannot be asked, the lateness of a timer stands for it: a timer that comes late has waited behind
what an event would have waited behind.

A burst that is worked off is no overload: nothing is refused until all requests within `interval` had waited longer
than `target` (RFC 8289 §3.2: the minimum counts). From then on whatever waited longer than `target` is.
"""

import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

NEVER = float("inf")
# A probe is due so often within `target`.
PROBES = 4
_LAST_DATA_RECV = 52  # linux/tcp.h, struct tcp_info: tcpi_last_data_recv, milliseconds


class CallLater(Protocol):
    """The part of an event loop that is needed here."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any: ...


class QueueDelay:
    """`target` and `interval` are in seconds, times are those of `time.monotonic`."""

    __slots__ = ("_due", "_interval", "_late_since", "_lateness", "_period", "_target")

    def __init__(self, target: float, interval: float, now: float) -> None:
        self._target = target
        self._interval = interval
        self._period = target / PROBES
        self._due = now + self._period
        self._lateness = 0.0
        self._late_since = NEVER

    def probe(self, now: float) -> float:
        """Take note of how late this call is; the seconds after which the next is due."""
        self._lateness = now - self._due
        self._due = now + self._period
        return self._period

    def exceeded(self, now: float, waited: float | None) -> bool:
        """Whether a request that the loop has come to `now`, and that `waited` so long, is one too many.

        None is for a wait that is not known.
        """
        if waited is None:
            waited = max(self._lateness, now - self._due)
        if waited <= self._target:
            self._late_since = NEVER
        elif self._late_since == NEVER:
            self._late_since = now
        return now - self._late_since >= self._interval


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


def waited(transport: Any) -> float | None:
    """Seconds since the last octets of this transport's TCP connection arrived; None where the kernel does not say."""
    connected = transport.get_extra_info("socket")
    if connected is None or connected.family == socket.AF_UNIX:
        return None
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV + 4)
        (milliseconds,) = struct.unpack_from("=I", info, _LAST_DATA_RECV)
    except (OSError, struct.error):
        return None
    return float(milliseconds) / 1000
