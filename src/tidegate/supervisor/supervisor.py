"""Many processes: which workers there are to be, and what happens when one comes up, stalls, ends or is replaced.

It decides and never waits: processes, sockets and time come from outside (`Launcher`, `SocketTable`, `now`), so
that every path is tested with made-up ones. It does not import the application.

A socket belongs to one slot or is shared by all. It is accepted from by its slot's worker, and while that is not up by
the least loaded one that is: no queue of connections is without somebody who empties it, and none is closed before the
end. A worker is told to stop accepting only when another accepts on its sockets.
"""

import logging
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tidegate.config import Config
from tidegate.net.share import ConnectionTable
from tidegate.supervisor.channel import (
    Adopt,
    AskToLeave,
    Beat,
    ChannelError,
    Drain,
    Dumped,
    DumpStacks,
    Hurry,
    Message,
    Ready,
    Release,
    ReopenLogs,
    Start,
)
from tidegate.supervisor.states import Action, Event, State, transition
from tidegate.supervisor.worker import BOOT_NOTICE, Launcher, Plan, Slot, Worker, describe_status

logger = logging.getLogger("tidegate")

BACKOFF: Final = 0.5  # seconds before the second restart in a row; it doubles
MAX_BACKOFF: Final = 30.0
STEADY: Final = 30.0  # seconds: a worker that lived as long did not crash because of how it started
BOOT_ATTEMPTS: Final = 3  # of a slot in a row, before any worker has come up
SHUTDOWN_FAILED: Final = 1  # exit code of a worker whose lifespan shutdown failed, and so of the supervisor
CRASH_LOOP: Final = 3  # exit code
MAX_WORKERS: Final = 1024
DUMP_SIGNAL: Final = signal.SIGUSR1  # to a worker: faulthandler writes the stacks of its threads


class Sockets(Protocol):
    """The listening sockets, by key. `table` is of the workers' connections, where they share a socket."""

    @property
    def table(self) -> ConnectionTable | None: ...

    def open_slot(self, index: int) -> None:
        """Open the slot's own sockets, if it has none yet."""

    def keys(self) -> Sequence[int]: ...

    def of_slot(self, index: int) -> Sequence[int]:
        """The keys of the sockets that this slot's worker accepts from."""

    def shared(self) -> Sequence[int]:
        """The keys of the sockets that all workers accept from."""

    def bind_index(self, key: int) -> int:
        """The index of its address in the configuration."""

    def descriptor(self, key: int) -> int: ...

    def describe(self, config: Config) -> Sequence[str]: ...

    def close(self) -> None: ...


class Notify(Protocol):
    """Who is told how the service is."""

    def ready(self) -> None: ...

    def reloading(self) -> None: ...

    def stopping(self) -> None: ...


class Supervisor:
    """Keeps `plan.count` workers; `finished` once it was stopped and all have gone."""

    def __init__(
        self,
        plan: Plan,
        search_path: list[str],
        sockets: Sockets,
        launcher: Launcher,
        notify: Notify,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.plan = plan
        self.workers: dict[int, Worker] = {}  # all whose process has not ended
        self.exit_code = 0
        self.stopping = False
        self.restarts: Counter[str] = Counter()  # by cause
        self._search_path = search_path
        self._sockets = sockets
        self._launcher = launcher
        self._notify = notify
        self._draw = draw
        self._slots: list[Slot] = []
        self._numbers = 0
        self._accepting: dict[int, set[Worker]] = {}
        self._ever_up = False
        self._announced = False
        self._successors_serve = False
        # A roll: what is started, the slots that are still to come, the one whose new worker boots.
        self._rolling: Plan | None = None
        self._remaining: list[Slot] = []
        self._current: Slot | None = None
        self._next_plan: Plan | None = None

    @property
    def finished(self) -> bool:
        return self.stopping and not self.workers

    @property
    def ready(self) -> bool:
        """Whether every slot has a worker that is up."""
        return all(slot.worker is not None and slot.worker.state is State.UP for slot in self._slots)

    @property
    def serving(self) -> bool:
        """Whether all have been up, some are now, and none is to go."""
        return (
            self._announced
            and not self.stopping
            and any(slot.worker is not None and slot.worker.state is State.UP for slot in self._slots)
        )

    # --- commands

    def start(self, now: float) -> None:
        for _ in range(self.plan.count):
            self._add_slot(now)

    def stop(self, now: float, *, successors_serve: bool = False) -> None:
        """Drain all; asked again, hurry them; a third time, kill them.

        With `successors_serve` others accept from the same sockets: what the kernel has queued is left to them.
        """
        if not self.stopping:
            self.stopping = True
            self._successors_serve = successors_serve
            if not successors_serve:
                self._notify.stopping()
            self._forget_roll()
            for slot in self._slots:
                slot.restart_at = None
            self._all(Event.DRAIN, now)
            # The workers have their own: connections are refused as soon as the last has let go.
            self._sockets.close()
        elif any(worker.state is State.DRAINING for worker in self.workers.values()):
            self._all(Event.HURRY, now)
        else:
            self._kill_all()

    def quit(self, now: float) -> None:
        """End all now; their lifespan shutdown runs."""
        if not self.stopping:
            self.stop(now)
        self._all(Event.HURRY, now)

    def roll(self, plan: Plan, now: float) -> None:
        """Replace every worker, one at a time, by one that is started with `plan`."""
        if self.stopping:
            return
        if self._rolling is not None:
            self._next_plan = plan  # one more when this one is done, however often it was asked for
            return
        logger.info("Reloading %d workers", len(self._slots))
        self._notify.reloading()
        self._rolling = plan
        self._remaining = list(self._slots)
        self._advance_roll(now)

    def scale(self, by: int, now: float) -> None:
        """One worker more, or one less, but for the last."""
        if self.stopping:
            return
        if by > 0 and len(self._slots) < MAX_WORKERS:
            self._add_slot(now)
        elif by < 0 and len(self._slots) > 1:
            self._drop_slot(now)
        logger.info("%d workers", len(self._slots))

    def reopen_logs(self) -> None:
        for worker in list(self.workers.values()):
            self._send(worker, ReopenLogs())

    # --- what happens

    def message_received(self, worker: Worker, message: Message, now: float) -> None:
        if isinstance(message, Ready):
            worker.beaten_at = worker.up_at = now
            self._on(worker, Event.READY, now)
        elif isinstance(message, Beat):
            worker.beaten_at = now
            worker.connections = message.connections
            worker.requests = message.requests
            worker.resident = message.resident
            self._on(worker, Event.BEAT, now)
            self._look_at_limits(worker, now)
        elif isinstance(message, Dumped):
            worker.shown = True
        elif isinstance(message, AskToLeave):
            self._replace(worker, "told", "it was told to stop", now)

    def exited(self, worker: Worker, status: int, now: float) -> None:
        """The worker's process has ended; `status` is negative where a signal ended it."""
        state, action = transition(worker.state, Event.EXITED)
        worker.state = state
        self.workers.pop(worker.number, None)
        self._free(worker.place)
        if action is Action.FAILED_TO_BOOT:
            self._failed_to_boot(worker, status, now)
        elif action is Action.CRASHED:
            self._crashed(worker, status, now)
        elif action is Action.LEFT:
            if status != 0:
                logger.warning("%s ended while it stopped (%s)", worker, describe_status(status))
            else:
                logger.debug("%s has ended", worker)
            if self.stopping and status in (SHUTDOWN_FAILED, -signal.SIGKILL):
                self.exit_code = self.exit_code or SHUTDOWN_FAILED
            self._vacate(worker, now)
        self._assign()
        self._advance_roll(now)

    def tick(self, now: float) -> None:
        """Look at the clocks; due at `next_due`, harmless earlier."""
        for worker in list(self.workers.values()):
            event = worker.due(now)
            if event is not None:
                self._on(worker, event, now)
            elif worker.state is State.BOOTING and now >= worker.notice_at:
                worker.notice_at = now + BOOT_NOTICE
                logger.warning("%s has been booting for %.0f s", worker, now - worker.started_at)
        for slot in self._slots:
            if slot.restart_at is not None and now >= slot.restart_at:
                slot.restart_at = None
                if slot.worker is None:
                    slot.worker = self._launch(slot, slot.plan, now)

    def next_due(self) -> float | None:
        """When `tick` has something to do; None where no clock runs."""
        dues = [due for worker in self.workers.values() if (due := worker.next_due()) is not None]
        dues += [slot.restart_at for slot in self._slots if slot.restart_at is not None]
        return min(dues, default=None)

    # --- a worker's state

    def _on(self, worker: Worker, event: Event, now: float) -> None:
        worker.state, action = transition(worker.state, event)
        if action is Action.NONE:
            return
        if action is Action.CAME_UP:
            self._came_up(worker, now)
        elif action is Action.DUMP:
            silence = now - worker.beaten_at
            logger.error("%s: its event loop has not turned for %.1f s; its stacks follow", worker, silence)
            worker.shown = False
            self._send(worker, DumpStacks())
            if worker.place is not None and self._sockets.table is not None:
                self._sockets.table.hide(worker.place)  # nobody is to leave a connection to it
            self._assign()
        elif action is Action.RECOVERED:
            logger.warning("%s: its event loop turns again", worker)
            self._assign()
        elif action is Action.REPLACE:
            silence = now - worker.beaten_at
            logger.error("%s: its event loop has not turned for %.1f s: replacing it", worker, silence)
            self.restarts["stalled"] += 1
            if not worker.shown:
                # Code in C keeps the interpreter's lock. Only then is the signal safe: while other threads run, its
                # handler would walk their stacks under their feet.
                worker.process.signal(DUMP_SIGNAL)
            self._ask_to_drain(worker, now)
            self._vacate(worker, now)
            self._assign()
        elif action is Action.ASK_TO_DRAIN:
            self._ask_to_drain(worker, now)
        elif action is Action.ASK_TO_HURRY:
            worker.deadline = now + worker.plan.hurry
            self._send(worker, Hurry())
        elif action is Action.KILL:
            logger.error("%s is overdue: killing it", worker)
            worker.deadline = None
            worker.process.signal(signal.SIGKILL)

    def _ask_to_drain(self, worker: Worker, now: float) -> None:
        worker.deadline = now + worker.plan.drain
        self._send(worker, Drain(self.stopping and not self._successors_serve))

    def _came_up(self, worker: Worker, now: float) -> None:
        slot = worker.slot
        logger.info("%s is up after %.1f s", worker, now - worker.started_at)
        worker.deadline = None
        slot.plan = worker.plan
        old = slot.worker
        for key in self._sockets.of_slot(slot.index):
            self._accepting.setdefault(key, set()).add(worker)
        if slot.successor is worker:
            slot.successor = None
            slot.worker = worker
            if old is not None:
                self._on(old, Event.DRAIN, now)
            if self._rolling is not None:
                self.restarts["reload"] += 1
        if not self._ever_up:
            self._ever_up = True
            for address in self._sockets.describe(self.plan.config):
                logger.info("Listening on %s", address)
        self._assign()
        if not self._announced and self.ready:
            self._announced = True
            logger.info("%d workers: ready", len(self._slots))
            self._notify.ready()
        self._advance_roll(now)

    def _failed_to_boot(self, worker: Worker, status: int, now: float) -> None:
        slot = worker.slot
        logger.error("%s ended before it was up (%s)", worker, describe_status(status))
        self.restarts["boot"] += 1
        if slot is self._current:
            self._stop_roll(f"{worker.name} did not come up")
        slot.failures += 1
        if slot.successor is worker:
            slot.successor = None  # the old one serves on; what it outlived is looked at again later
            slot.restart_at = now + max(BACKOFF, self._backoff(slot))
        else:
            self._vacate(worker, now)
            self._look_for_crash_loop(slot, now)

    def _look_for_crash_loop(self, slot: Slot, now: float) -> None:
        if not self._ever_up and slot.failures >= BOOT_ATTEMPTS and not self.stopping:
            logger.critical("worker %d failed %d times to come up: giving up", slot.index + 1, slot.failures)
            self.exit_code = CRASH_LOOP
            self.stop(now)

    def _crashed(self, worker: Worker, status: int, now: float) -> None:
        slot = worker.slot
        logger.error("%s ended (%s): starting another", worker, describe_status(status))
        self.restarts["killed" if status < 0 else "crashed"] += 1
        slot.failures = 0 if now - worker.up_at >= STEADY else slot.failures + 1
        self._vacate(worker, now)

    def _vacate(self, worker: Worker, now: float) -> None:
        """The worker serves its slot no more: the successor that boots takes its place, or a new one in good time."""
        slot = worker.slot
        if slot.worker is not worker or slot not in self._slots:
            return
        slot.worker, slot.successor = slot.successor, None
        if slot.worker is None and not self.stopping:
            delay = self._backoff(slot)
            if delay:
                slot.restart_at = now + delay
            else:
                slot.worker = self._launch(slot, slot.plan, now)

    def _backoff(self, slot: Slot) -> float:
        # The first restart is at once: mostly it is one request that ended the worker.
        return min(MAX_BACKOFF, BACKOFF * 2 ** min(slot.failures - 2, 16)) if slot.failures > 1 else 0.0

    # --- recycling

    def _look_at_limits(self, worker: Worker, now: float) -> None:
        if worker.state is State.UP:
            outlived = worker.outlived(now)
            if outlived is not None:
                self._replace(worker, *outlived, now)

    def _replace(self, worker: Worker, cause: str, reason: str, now: float) -> None:
        """Start a successor; the worker drains once that is up. One at a time: the others are looked at again."""
        slot = worker.slot
        if self.stopping or self._rolling is not None or slot.worker is not worker:
            return
        if any(each.successor is not None for each in self._slots) or slot.restart_at is not None:
            return
        logger.info("%s: %s: replacing it", worker, reason)
        self.restarts[cause] += 1
        slot.successor = self._launch(slot, slot.plan, now)

    # --- rolling

    def _advance_roll(self, now: float) -> None:
        plan = self._rolling
        if plan is None or self.stopping:
            return
        current = self._current
        if current is not None and current in self._slots:
            booting = current.successor or current.worker
            if booting is not None and booting.state is State.BOOTING:
                return
            if current.plan is not plan:
                return  # it failed, which stops the roll
        self._current = None
        while self._remaining:
            slot = self._remaining.pop(0)
            if slot not in self._slots:
                continue
            for booting in (slot.successor, slot.worker):
                if booting is not None and booting.state is State.BOOTING:
                    self._on(booting, Event.HURRY, now)
                    if slot.worker is booting:
                        slot.worker = None
            slot.restart_at = None
            slot.successor = None
            self._current = slot
            started = self._launch(slot, plan, now)
            if slot.worker is None:
                slot.worker = started
            else:
                slot.successor = started
            return
        self._finish_roll(plan, now)

    def _finish_roll(self, plan: Plan, now: float) -> None:
        self._rolling = None
        more = plan.count - self.plan.count
        self.plan = plan
        for _ in range(abs(more)):
            self.scale(more, now)
        logger.info("Reloaded %d workers", len(self._slots))
        self._notify.ready()
        wanted, self._next_plan = self._next_plan, None
        if wanted is not None:
            self.roll(wanted, now)

    def _stop_roll(self, reason: str) -> None:
        """Keep the workers that there are."""
        logger.error("The reload stops: %s; the workers that there were go on", reason)
        self._forget_roll()
        self._notify.ready()

    def _forget_roll(self) -> None:
        self._rolling = self._current = self._next_plan = None
        self._remaining = []

    # --- slots and sockets

    def _add_slot(self, now: float) -> None:
        slot = Slot(len(self._slots), self._rolling or self.plan)
        self._sockets.open_slot(slot.index)
        self._slots.append(slot)
        slot.worker = self._launch(slot, slot.plan, now)

    def _drop_slot(self, now: float) -> None:
        slot = self._slots.pop()
        leaving = [worker for worker in (slot.worker, slot.successor) if worker is not None]
        for worker in leaving:
            worker.state, action = transition(worker.state, Event.DRAIN)
            assert action is Action.ASK_TO_DRAIN
        self._assign()  # first, so that another accepts from its sockets
        for worker in leaving:
            self._ask_to_drain(worker, now)
        self._advance_roll(now)

    def _launch(self, slot: Slot, plan: Plan, now: float) -> Worker | None:
        """A worker that boots; None, and a restart later, where the system has none to give."""
        self._numbers += 1
        keys = self._sockets.of_slot(slot.index)
        descriptors = [self._sockets.descriptor(key) for key in keys]
        table = self._sockets.table
        place = None if table is None else table.take()
        if table is not None and place is not None:
            descriptors.append(table.descriptor)
        start = Start(
            plan.config,
            self._search_path,
            f"worker {slot.index + 1}",
            self._binds(keys),
            self._sockets.shared(),
            place,
        )
        try:
            process = self._launcher.launch(self._numbers, start, descriptors)
        except OSError as error:
            self._free(place)
            logger.error("No process for worker %d: %s", slot.index + 1, error.strerror)
            slot.failures += 1
            slot.restart_at = now + max(BACKOFF, self._backoff(slot))
            if slot is self._current:
                self._stop_roll("there is no process to be had")
            self._look_for_crash_loop(slot, now)
            return None
        worker = Worker(self._numbers, slot, plan, process, now, self._draw, place)
        self.workers[worker.number] = worker
        return worker

    def _assign(self) -> None:
        """See to it that every socket is accepted from."""
        if self.stopping:
            return
        up = [
            slot.worker for slot in self._slots if slot.worker is not None and slot.worker.state is State.UP
        ]
        adopted = dict.fromkeys(up, 0)
        for key in self._sockets.keys():  # noqa: SIM118  # not a dict's
            before = self._accepting.get(key, set())
            after = {worker for worker in up if key in self._sockets.of_slot(worker.slot.index)}
            if not after and up:
                kept = before & adopted.keys()
                after = kept or {min(up, key=lambda worker: (adopted[worker], worker.connections))}
                for worker in after:
                    adopted[worker] += 1
            for worker in after - before:
                self._send(worker, Adopt(self._binds([key])), [self._sockets.descriptor(key)])
            for worker in before - after:
                if worker.state in (State.UP, State.STALLED):
                    self._send(worker, Release([key]))
            self._accepting[key] = after

    def _free(self, place: int | None) -> None:
        if place is not None and self._sockets.table is not None:
            self._sockets.table.free(place)

    def _binds(self, keys: Sequence[int]) -> list[tuple[int, int]]:
        return [(key, self._sockets.bind_index(key)) for key in keys]

    # --- all of them

    def _all(self, event: Event, now: float) -> None:
        for worker in list(self.workers.values()):
            self._on(worker, event, now)

    def _kill_all(self) -> None:
        for worker in self.workers.values():
            worker.process.signal(signal.SIGKILL)

    def _send(self, worker: Worker, message: Message, descriptors: Sequence[int] = ()) -> None:
        try:
            worker.process.send(message, descriptors)
        except ChannelError as error:
            logger.error("%s: %s: killing it", worker, error)
            worker.process.signal(signal.SIGKILL)
