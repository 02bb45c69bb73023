"""An event loop whose clock jumps to what is due next: waits take no time, and a loaded machine delays none.

For code whose only clock is the loop's; what comes from sockets or threads does not make it wait.
"""

import asyncio
import selectors


class SkippingSelector(selectors.DefaultSelector):
    """Waits for events without a time limit only; with one, and none there, `now` moves on by it."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = SkippingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now
