"""The timer wheel: when its entries are called, and that it keeps nothing alive that was cancelled."""

import asyncio
import gc
import weakref

from tests.support.virtual_time import VirtualTimeLoop
from tidegate.net.timers import TimedWire, TimerWheel

TICK = 0.25  # seconds, as the wheel has it


class Entry(TimedWire):
    __slots__ = ("__weakref__", "at_timeout", "called")

    def __init__(self) -> None:
        TimedWire.__init__(self)
        self.called: list[float] = []
        self.at_timeout = lambda: None

    def timeout_due(self, now: float) -> None:
        self.called.append(now)
        self.at_timeout()


def run(scenario) -> None:
    async def main() -> None:
        wheel = TimerWheel(asyncio.get_running_loop())
        wheel.start()
        try:
            await scenario(wheel)
        finally:
            wheel.stop()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_an_entry_is_called_once_not_before_its_time() -> None:
    async def scenario(wheel: TimerWheel) -> None:
        entry = Entry()
        when = wheel.now + TICK
        wheel.schedule(entry, when)
        await asyncio.sleep(4 * TICK)
        [called] = entry.called
        assert when <= called <= when + 2 * TICK

    run(scenario)


def test_the_earlier_of_two_times_counts() -> None:
    async def scenario(wheel: TimerWheel) -> None:
        entry = Entry()
        wheel.schedule(entry, wheel.now + 3 * TICK)
        wheel.schedule(entry, wheel.now)
        wheel.schedule(entry, wheel.now + 3 * TICK)
        wheel.schedule(entry, float("inf"))
        await asyncio.sleep(6 * TICK)
        assert len(entry.called) == 1

    run(scenario)


def test_a_cancelled_entry_is_neither_called_nor_kept() -> None:
    async def scenario(wheel: TimerWheel) -> None:
        entry = Entry()
        wheel.schedule(entry, wheel.now + 1000)
        wheel.schedule(entry, wheel.now + TICK)
        wheel.cancel(entry)
        wheel.cancel(entry)
        await asyncio.sleep(3 * TICK)
        assert entry.called == []
        kept = weakref.ref(entry)
        del entry
        gc.collect()
        assert kept() is None

    run(scenario)


def test_an_entry_may_cancel_one_that_is_due_with_it() -> None:
    async def scenario(wheel: TimerWheel) -> None:
        pair = [Entry(), Entry()]
        for entry, other in (pair, reversed(pair)):
            entry.at_timeout = lambda other=other: wheel.cancel(other)
            wheel.schedule(entry, wheel.now)
        await asyncio.sleep(3 * TICK)
        assert sorted(len(entry.called) for entry in pair) == [0, 1]

    run(scenario)
