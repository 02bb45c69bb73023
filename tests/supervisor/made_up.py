"""Made-up processes, sockets and a service manager, for the supervisor's decisions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tidegate.config import Config, Timeouts, Workers
from tidegate.supervisor.channel import Message, Start
from tidegate.supervisor.supervisor import Supervisor
from tidegate.supervisor.worker import Plan, Worker

if TYPE_CHECKING:
    from tidegate.net.share import ConnectionTable

CONFIG = Config(
    app="main:app",
    timeouts=Timeouts(graceful_shutdown=10, shutdown_cancel=2, lifespan_shutdown=3),
    workers=Workers(count=2, jitter=0.0),
)


def plan(count: int = 2, **options: Any) -> Plan:
    return Plan.of(replace(CONFIG, workers=replace(CONFIG.workers, **options)), count)


class Process:
    def __init__(self, number: int, start: Start) -> None:
        self.pid = 1000 + number
        self.start = start
        self.said: list[Message] = []
        self.signals: list[int] = []

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self.said.append(message)

    def signal(self, number: int) -> None:
        self.signals.append(number)


class Launcher:
    def __init__(self) -> None:
        self.processes: dict[int, Process] = {}
        self.refuses = False

    def launch(self, number: int, start: Start, descriptors: Sequence[int]) -> Process:
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        self.processes[number] = Process(number, start)
        return self.processes[number]


class Sockets:
    """One address with a socket for each slot: its key is the slot's index; and key 100, which all share."""

    def __init__(self) -> None:
        self.slots: list[int] = []
        self.closed = False
        self.table: ConnectionTable | None = None

    def shared(self) -> Sequence[int]:
        return [100]

    def open_slot(self, index: int) -> None:
        if index not in self.slots:
            self.slots.append(index)

    def keys(self) -> Sequence[int]:
        return [*self.slots, 100]

    def of_slot(self, index: int) -> Sequence[int]:
        return [index, 100]

    def bind_index(self, key: int) -> int:
        return key // 100

    def descriptor(self, key: int) -> int:
        return 50 + key

    def describe(self, config: Config) -> Sequence[str]:
        return ["http://127.0.0.1:8000"]

    def close(self) -> None:
        self.closed = True


class Notified:
    def __init__(self) -> None:
        self.told: list[str] = []

    def ready(self) -> None:
        self.told.append("ready")

    def reloading(self) -> None:
        self.told.append("reloading")

    def stopping(self) -> None:
        self.told.append("stopping")


class Stage:
    """A supervisor with what it needs, and a clock."""

    def __init__(self, plan: Plan, kind: type[Supervisor] = Supervisor) -> None:
        self.launcher = Launcher()
        self.sockets = Sockets()
        self.notified = Notified()
        self.now = 100.0
        self.supervisor = kind(plan, ["/src"], self.sockets, self.launcher, self.notified, draw=lambda: 0.5)

    def start(self) -> "Stage":
        self.supervisor.start(self.now)
        return self

    def worker(self, number: int) -> Worker:
        return self.supervisor.workers[number]

    def process(self, number: int) -> Process:
        return self.launcher.processes[number]

    def hear(self, number: int, message: Message) -> None:
        self.supervisor.message_received(self.worker(number), message, self.now)

    def end(self, number: int, status: int = 0) -> None:
        self.supervisor.exited(self.worker(number), status, self.now)

    def later(self, seconds: float) -> None:
        """Time goes by, with everything that is due in it."""
        until = self.now + seconds
        turns = 0
        while (due := self.supervisor.next_due()) is not None and due <= until:
            turns += 1
            assert turns < 1000, "it turns and turns"
            self.now = max(self.now, due)
            self.supervisor.tick(self.now)
        self.now = until
        self.supervisor.tick(until)

    @property
    def alive(self) -> list[int]:
        return sorted(self.supervisor.workers)
