"""Development: the application starts anew when its files change.

The old worker goes before the new one comes: applications in development hold what only one process may have. Meanwhile
connections wait in the kernel. A worker that ends by itself is not started again before a change.
"""

import logging
from dataclasses import replace
from typing import Final

from tidegate.config import Config
from tidegate.supervisor.states import Event
from tidegate.supervisor.supervisor import Supervisor
from tidegate.supervisor.worker import Plan, Worker

logger = logging.getLogger("tidegate")

# A developer waits for a reload; a page that is left open must not make that long.
MAX_IDLE: Final = 0.2
MAX_GRACE: Final = 2.0
MAX_CANCEL: Final = 1.0


def hasty(config: Config) -> Config:
    """`config` with a shutdown that does not wait long."""
    timeouts = config.timeouts
    return replace(
        config,
        timeouts=replace(
            timeouts,
            shutdown_idle=min(timeouts.shutdown_idle, MAX_IDLE),
            graceful_shutdown=min(timeouts.graceful_shutdown, MAX_GRACE),
            shutdown_cancel=min(timeouts.shutdown_cancel, MAX_CANCEL),
        ),
    )


class DevelopmentSupervisor(Supervisor):
    """A supervisor whose workers end before others start, and are waited for by their developer when they fail."""

    _again = False

    def roll(self, plan: Plan, now: float) -> None:
        if self.stopping:
            return
        self.plan = plan
        self._again = True
        self._all(Event.DRAIN, now)
        self._start_again(now)

    def exited(self, worker: Worker, status: int, now: float) -> None:
        super().exited(worker, status, now)
        self._start_again(now)

    def _start_again(self, now: float) -> None:
        if self._again and not self.workers and not self.stopping:
            self._again = False
            for slot in self._slots:
                slot.plan = self.plan
                slot.worker = self._launch(slot, slot.plan, now)

    def _failed_to_boot(self, worker: Worker, status: int, now: float) -> None:
        self._crashed(worker, status, now)

    def _crashed(self, worker: Worker, status: int, now: float) -> None:
        logger.warning("The application ended (status %d): waiting for a change", status)
        self._vacate(worker, now)

    def _vacate(self, worker: Worker, now: float) -> None:
        if worker.slot.worker is worker:
            worker.slot.worker = None
