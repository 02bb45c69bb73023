"""What one scrape sees: the cells of the processes that run, the totals of those that have ended, and their states.

The writer (the thread that knows of the processes) replaces an immutable table whole; readers, in another thread, take
it once: no lock, and never a process that is counted both as running and as ended. So totals never go back.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tidegate.metrics.layout import CELLS, INTERVAL, METRICS
from tidegate.metrics.region import Region, added

LATE: Final = 3 * INTERVAL  # seconds without a turn of the event loop that are no lateness yet


@dataclass(frozen=True, slots=True)
class Build:
    """What runs: its version, "compiled" or "pure Python", Python's version, the event loop."""

    version: str
    build: str
    python: str
    loop: str

    def __str__(self) -> str:
        return f"Tidegate {self.version} ({self.build}), Python {self.python}, {self.loop}"


@dataclass(frozen=True, slots=True)
class Process:
    """One that serves: `slot` is its place's number, from 1; `started_at` a time of `time.time`."""

    slot: int
    pid: int
    state: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A process, and its cells; `lag` counts the time since its event loop last turned."""

    process: Process
    cells: Sequence[float]
    lag: float

    def value(self, name: str, offset: int = 0) -> float:
        return self.cells[METRICS[name].cell + offset]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`totals` are of all processes that there have been; gauges are in `readings`."""

    build: Build
    started_at: float
    now: float
    ready: bool
    readings: Sequence[Reading]
    totals: Sequence[float]
    restarts: Mapping[str, int]

    def gauge(self, name: str, offset: int = 0) -> float:
        """Of all processes that run."""
        return sum(reading.value(name, offset) for reading in self.readings)

    @property
    def websockets(self) -> int:
        """How many are open."""
        return int(self.gauge("websockets_opened") - self.gauge("websockets_closed"))


@dataclass(frozen=True, slots=True)
class _Table:
    regions: tuple[tuple[int, Region], ...] = ()
    processes: tuple[tuple[int, Process], ...] = ()
    ended: tuple[float, ...] = (0,) * CELLS


class Board:
    """`ready` says whether the service can be sent requests; `restarts` how many processes were replaced, by cause."""

    def __init__(
        self,
        build: Build,
        ready: Callable[[], bool],
        restarts: Mapping[str, int] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build = build
        self._ready = ready
        self._restarts = Counter[str]() if restarts is None else restarts
        self._clock = clock
        self._started_at = time.time()
        self._table = _Table()

    def is_ready(self) -> bool:
        return self._ready()

    # --- the writer

    def add(self, number: int, region: Region) -> None:
        """A process starts, with `region` to write to."""
        self._table = replace(self._table, regions=(*self._table.regions, (number, region)))

    def show(self, processes: Mapping[int, Process]) -> None:
        """What is known of the processes, by their numbers."""
        shown = tuple(processes.items())
        if shown != self._table.processes:
            self._table = replace(self._table, processes=shown)

    def retire(self, number: int) -> None:
        """A process has ended: what it counted stays in the totals."""
        table = self._table
        for ended, region in table.regions:
            if ended == number:
                self._table = _Table(
                    tuple(each for each in table.regions if each[0] != number),
                    tuple(each for each in table.processes if each[0] != number),
                    tuple(added(table.ended, region.read())),
                )
                region.close()
                return

    # --- readers

    def snapshot(self) -> Snapshot:
        table = self._table
        processes = dict(table.processes)
        totals: list[float] = list(table.ended)
        readings = []
        now = self._clock()
        for number, region in table.regions:
            cells = region.read()
            totals = added(totals, cells)
            process = processes.get(number)
            if process is not None:
                readings.append(Reading(process, cells, _lag(cells, now)))
        readings.sort(key=lambda reading: (reading.process.slot, reading.process.started_at))
        return Snapshot(
            self._build,
            self._started_at,
            time.time(),
            self._ready(),
            readings,
            totals,
            dict(self._restarts),
        )


def _lag(cells: Sequence[float], now: float) -> float:
    turned = cells[METRICS["event_loop_turned"].cell]
    silence = now - turned if turned else 0.0
    lag = cells[METRICS["event_loop_lag_seconds"].cell]
    # It cannot say itself that it is blocked.
    return max(lag, silence - INTERVAL) if silence > LATE else lag
