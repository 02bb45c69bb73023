"""A worker as its supervisor sees it: a process of a slot, its state and its clocks."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tidegate.config import Config
from tidegate.supervisor.channel import Message, Start
from tidegate.supervisor.states import Event, State

BACKLOG: Final = 1.0  # seconds that a draining server gives to what the kernel has queued
SLACK: Final = 2.0  # seconds beyond a worker's own timeouts, for its threads and the interpreter's end
BOOT_NOTICE: Final = 30.0  # seconds between two lines about a worker that boots


class Process(Protocol):
    """A worker's process. `pid` is 0 while it is not known yet."""

    @property
    def pid(self) -> int: ...

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Never blocks. Raises ChannelError where the worker does not read."""

    def signal(self, number: int) -> None:
        """Nothing happens where it has ended."""


class Launcher(Protocol):
    """What makes processes."""

    def launch(self, number: int, start: Start, descriptors: Sequence[int]) -> Process:
        """A new worker's process; its messages and its end are told to the supervisor. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, and what of it matters to the supervisor. Times in seconds, sizes in octets."""

    config: Config
    count: int
    boot: float | None
    quiet: float
    stuck: float
    drain: float
    hurry: float
    requests: int | None
    age: float | None
    memory: int | None
    jitter: float

    @classmethod
    def of(cls, config: Config, count: int) -> "Plan":
        workers, timeouts = config.workers, config.timeouts
        hurry = 2 * timeouts.shutdown_cancel + timeouts.lifespan_shutdown + SLACK
        return cls(
            config,
            count,
            workers.boot,
            min(workers.stall_log, workers.stall),
            workers.stall,
            timeouts.graceful_shutdown + BACKLOG + hurry,
            hurry,
            workers.requests,
            workers.age,
            workers.memory,
            workers.jitter,
        )


class Slot:
    """A place for one worker at a time, with its own listening sockets; `successor` boots while `worker` serves."""

    __slots__ = ("failures", "index", "plan", "restart_at", "successor", "worker")

    def __init__(self, index: int, plan: Plan) -> None:
        self.index = index
        self.plan = plan  # what its next worker is started with, unless it rolls
        self.worker: Worker | None = None
        self.successor: Worker | None = None
        self.restart_at: float | None = None
        self.failures = 0  # in a row


class Worker:
    """One process. `number` is its own for the supervisor's life; `deadline` the time by which it has to go on."""

    __slots__ = (
        "beaten_at",
        "connections",
        "deadline",
        "max_age",
        "max_memory",
        "max_requests",
        "name",
        "notice_at",
        "number",
        "place",
        "plan",
        "process",
        "requests",
        "resident",
        "shown",
        "slot",
        "started_at",
        "state",
        "up_at",
    )

    def __init__(
        self,
        number: int,
        slot: Slot,
        plan: Plan,
        process: Process,
        now: float,
        random: Callable[[], float],
        place: int | None = None,
    ) -> None:
        self.number = number
        self.name = f"worker {slot.index + 1}"
        self.slot = slot
        self.plan = plan
        self.process = process
        self.place = place  # in the table of connections
        self.state = State.BOOTING
        self.started_at = now
        self.up_at = now
        self.beaten_at = now
        self.notice_at = now + BOOT_NOTICE
        self.deadline = None if plan.boot is None else now + plan.boot
        self.connections = 0
        self.requests = 0
        self.resident = 0
        self.shown = False  # its stacks, since it stalled
        # Each limit by a share of its own, so that workers that started together do not go together.
        less = [1 - plan.jitter * random() for _ in range(3)]
        self.max_requests = None if plan.requests is None else max(1, int(plan.requests * less[0]))
        self.max_age = None if plan.age is None else plan.age * less[1]
        self.max_memory = None if plan.memory is None else int(plan.memory * less[2])

    def __str__(self) -> str:
        return f"{self.name} (process {self.process.pid})" if self.process.pid else self.name

    def outlived(self, now: float) -> tuple[str, str] | None:
        """Which of its limits it has reached, and in words; None where none."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            return "requests", f"{self.requests} requests"
        if self.max_age is not None and now - self.up_at >= self.max_age:
            return "age", f"{now - self.up_at:.0f} s"
        if self.max_memory is not None and self.resident >= self.max_memory:
            return "memory", f"{self.resident >> 20} MiB of memory"
        return None

    def due(self, now: float) -> Event | None:
        """What the clocks say has happened by now."""
        if self.state in (State.UP, State.STALLED):
            silence = now - self.beaten_at
            if self.state is State.STALLED and silence >= self.plan.stuck:
                return Event.STUCK
            if self.state is State.UP and silence >= self.plan.quiet:
                return Event.QUIET
        elif self.deadline is not None and now >= self.deadline:
            return Event.OVERDUE
        return None

    def next_due(self) -> float | None:
        """When to look at the clocks again; None where none runs."""
        if self.state is State.UP:
            return self.beaten_at + self.plan.quiet
        if self.state is State.STALLED:
            return self.beaten_at + self.plan.stuck
        if self.state is State.BOOTING:
            return self.notice_at if self.deadline is None else min(self.notice_at, self.deadline)
        return self.deadline


def describe_status(status: int) -> str:
    """How a process ended: `status` is negative where a signal ended it."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
