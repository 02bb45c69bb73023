"""What a client may cost us: a budget that refills with time, and with useful work."""


class Budget:
    """Holds up to `size`, and refills from empty to full in `seconds`. Times as elsewhere: `now` on one clock."""

    __slots__ = ("_left", "_rate", "_since", "_size")

    def __init__(self, size: int, seconds: float) -> None:
        self._size = float(size)
        self._left = float(size)
        self._rate = size / seconds
        self._since = 0.0

    def spend(self, cost: int, now: float) -> bool:
        """Whether there was as much left."""
        if now > self._since:
            self._left = min(self._size, self._left + (now - self._since) * self._rate)
            self._since = now
        self._left -= cost
        return self._left >= 0

    def earn(self, count: int) -> None:
        """Useful work was done."""
        self._left = min(self._size, self._left + count)
