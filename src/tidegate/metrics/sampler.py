"""What is looked at from time to time: how late the event loop is, and what is open."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tidegate.metrics.layout import INTERVAL
from tidegate.metrics.memory import resident_memory
from tidegate.metrics.recorder import Recorder

WINDOW: Final = 20  # of them; their worst is told
SAMPLES: Final = 5  # intervals between two looks at what is open


class Sampler:
    """Samples until `stop`. `look` says how many connections are in each of `layout.STATES`, and how many requests are
    in progress."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        recorder: Recorder,
        look: Callable[[], tuple[Sequence[int], int]],
    ) -> None:
        self._loop = loop
        self._recorder = recorder
        self._look = look
        self._lags: deque[float] = deque(maxlen=WINDOW)
        self._due = time.monotonic()
        self._turns = 0
        self._handle: asyncio.TimerHandle | None = None
        self._turn()

    def stop(self) -> None:
        """Take a last look, and no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._sample()

    def _turn(self) -> None:
        now = time.monotonic()
        recorder = self._recorder
        late = max(0.0, now - self._due)
        self._lags.append(late)
        looked_at = time.perf_counter()
        recorder.late, recorder.late_at, recorder.due = late, looked_at, looked_at + INTERVAL
        recorder.turned(now, max(self._lags))
        if self._turns % SAMPLES == 0:
            self._sample()
        self._turns += 1
        self._due = now + INTERVAL
        self._handle = self._loop.call_later(INTERVAL, self._turn)

    def _sample(self) -> None:
        connections, in_progress = self._look()
        self._recorder.sample(tuple(connections), in_progress, resident_memory(), time.process_time())
