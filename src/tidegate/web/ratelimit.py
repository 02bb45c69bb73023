"""Rate limits by the generic cell rate algorithm (ITU-T I.371, Annex A): a bucket that fills steadily, kept as one
number; the protocol of a store, and one in memory.

The middleware that uses them is in `middleware.rate_limit`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Decision", "MemoryRateLimitStore", "Quota", "RateLimitStore", "gcra"]

SECOND = 1_000_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit` units in `window` seconds, evenly: after a burst of `burst` units (`limit`, where it is None) one comes
    free every `window / limit` seconds. Raises ValueError for what is not positive."""

    limit: int
    window: float = 60.0
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window <= 0 or (self.burst is not None and self.burst < 1):
            raise ValueError(f"{self!r} must be positive throughout")

    @property
    def capacity(self) -> int:
        return self.limit if self.burst is None else self.burst

    @property
    def interval(self) -> int:
        """Nanoseconds for one unit to come free."""
        return max(1, int(self.window * SECOND) // self.limit)


class Decision(NamedTuple):
    """What one quota says. Units, and seconds."""

    allowed: bool
    remaining: int
    reset_after: float
    retry_after: float


def gcra(full_at: int, now: int, quota: Quota, cost: int) -> tuple[Decision, int]:
    """Whether `cost` units are to be had, of a bucket that will be full at `full_at`; and when it will be, having
    given them. Times in nanoseconds of one clock; integers, so that nothing is lost to rounding."""
    interval, capacity = quota.interval, quota.capacity
    full_at = max(full_at, now)
    then_full_at = full_at + cost * interval
    wait = then_full_at - capacity * interval - now
    if wait > 0:
        remaining = (capacity * interval - (full_at - now)) // interval
        return Decision(False, max(0, remaining), (full_at - now) / SECOND, wait / SECOND), full_at
    remaining = (capacity * interval - (then_full_at - now)) // interval
    return Decision(True, remaining, (then_full_at - now) / SECOND, 0.0), then_full_at


class RateLimitStore(Protocol):
    """Counts. Whatever it raises counts as the store being down."""

    async def take(self, key: str, quotas: Sequence[Quota], cost: int) -> Sequence[Decision]:
        """Take `cost` units from each quota of `key`, in one step: from all of them, or if one has too few from none.
        Returns a decision for each."""
        ...


class MemoryRateLimitStore:
    """In this process: each worker counts for itself.

    max_keys: how many are kept; for one more, the one unused for longest goes (whoever has that many keys is not
        limited by any of them).
    clock: nanoseconds.
    """

    def __init__(self, max_keys: int = 100_000, clock: Callable[[], int] = time.monotonic_ns) -> None:
        if max_keys < 1:
            raise ValueError("max_keys must be at least 1")
        self.max_keys = max_keys
        self.clock = clock
        self._full_at: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    async def take(self, key: str, quotas: Sequence[Quota], cost: int) -> Sequence[Decision]:
        now = self.clock()
        known = self._full_at.get(key, ())
        if len(known) != len(quotas):
            known = (0,) * len(quotas)
        results = [gcra(full_at, now, quota, cost) for full_at, quota in zip(known, quotas, strict=True)]
        decisions = [decision for decision, _ in results]
        if all(decision.allowed for decision in decisions):
            self._full_at[key] = tuple(full_at for _, full_at in results)
            self._make_room(now)
        else:  # those that would have allowed it say what they have, with nothing taken
            for index, (full_at, quota) in enumerate(zip(known, quotas, strict=True)):
                if decisions[index].allowed:
                    decisions[index] = gcra(full_at, now, quota, 0)[0]
        if key in self._full_at:
            self._full_at.move_to_end(key)
        return decisions

    def _make_room(self, now: int) -> None:
        """Forget those that are over the bound, and, of those unused for longest, full buckets: they are as new."""
        while self._full_at:
            oldest = next(iter(self._full_at))
            if len(self._full_at) <= self.max_keys and max(self._full_at[oldest]) > now:
                return
            del self._full_at[oldest]
