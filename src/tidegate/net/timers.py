"""One coarse timer for all the connections of an event loop.

A connection's deadlines move with every request; moving a timer of the loop each time would cost more than to parse
the request. Here a deadline that moves away costs nothing: the wheel looks at the connection when the old one is due,
and puts it back.
"""

import asyncio

from tidegate.http.stream import Wire

TICK = 0.25  # seconds
NOT_SCHEDULED = 1 << 62
NEVER = float("inf")


class TimedWire(Wire):
    """What the wheel schedules; `due` is the wheel's own."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = NOT_SCHEDULED

    def timeout_due(self, now: float) -> None:
        """A time given to `TimerWheel.schedule` has come; schedule again for more."""


class TimerWheel:
    """`now` is the loop's time, at most a tick old. No entry is called before its time, nor a tick and a half after."""

    __slots__ = ("_buckets", "_handle", "_index", "_loop", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[TimedWire]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self.now = loop.time()
        self._index = int(self.now / TICK)

    def start(self) -> None:
        """Tick until `stop`."""
        self._handle = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Forget everything that is scheduled."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._buckets.clear()

    def schedule(self, entry: TimedWire, when: float) -> None:
        """Call `entry.timeout_due` at `when` or at the next tick, unless it is scheduled earlier already.

        Infinity is never.
        """
        if when == NEVER:
            return
        index = self._index + 1
        if when > self.now:
            later = int(when / TICK) + 1
            index = later if later > index else index
        if entry.due <= index:
            return
        if entry.due != NOT_SCHEDULED:
            self.cancel(entry)
        entry.due = index
        bucket = self._buckets.get(index)
        if bucket is None:
            self._buckets[index] = {entry}
        else:
            bucket.add(entry)

    def cancel(self, entry: TimedWire) -> None:
        """Forget `entry`: until its time, the wheel alone would keep a lost connection in memory."""
        bucket = self._buckets.get(entry.due)
        entry.due = NOT_SCHEDULED
        if bucket is not None:
            bucket.discard(entry)

    def _tick(self) -> None:
        self.now = self._loop.time()
        self._handle = self._loop.call_later(TICK, self._tick)
        last = int(self.now / TICK)
        while self._index < last:
            self._index += 1
            index = self._index
            for entry in self._buckets.pop(index, ()):
                # One that was due with it may have cancelled it.
                if entry.due == index:
                    entry.due = NOT_SCHEDULED
                    entry.timeout_due(self.now)
