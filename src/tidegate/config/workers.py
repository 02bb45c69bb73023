"""The options of the supervisor."""

from dataclasses import dataclass

from tidegate.config.option import Flag, Integer, Number, Octal, Seconds, Section, Size, Text, option


class WorkerCount(Integer):
    """A number of worker processes; 0 is as many as this process may use processors: `auto`."""

    metavar = "NUMBER|auto"

    def __init__(self) -> None:
        super().__init__(0, 1024)

    def parse(self, text: str) -> int:
        return 0 if text.strip().lower() == "auto" else super().parse(text)

    def format(self, value: int) -> str:
        return str(value) if value else "auto"

    @property
    def range(self) -> str:
        return f"1 to {self.maximum}, or auto"


@dataclass(frozen=True, slots=True)
class Workers(Section):
    """The processes that a supervisor starts, watches and replaces."""

    group = "Processes"

    count: int | None = option(
        None,
        WorkerCount(),
        "Serve with so many worker processes; `auto`, or 0, is one for each processor.",
        name="workers",
        none="off",
    )
    preload: bool = option(
        False, Flag(), "Import the application once, in a fork server, and fork the workers from it."
    )
    requests: int | None = option(
        None,
        Integer(1),
        "Replace a worker that has begun about so many requests.",
        name="recycle_requests",
        none="off",
        aliases=("limit_max_requests", "max_requests"),
    )
    age: float | None = option(
        None, Seconds(above=True), "Replace a worker that is this old.", name="recycle_age", none="off"
    )
    memory: int | None = option(
        None,
        Size(2**20),
        "Replace a worker whose resident memory is larger than this.",
        name="recycle_memory",
        none="off",
    )
    jitter: float = option(
        0.1,
        Number(0.0, 1.0),
        "Share by which a worker's own limits may lie, at random, below --recycle-*.",
        name="recycle_jitter",
    )
    boot: float | None = option(
        None,
        Seconds(above=True),
        "End a worker that has not come up in this time.",
        name="timeout_boot",
        none="off",
    )
    stall_log: float = option(
        5.0,
        Seconds(above=True),
        "Log the stacks of a worker whose event loop has not turned for this long.",
        name="timeout_stall_log",
    )
    stall: float = option(
        30.0,
        Seconds(above=True),
        "Replace a worker whose event loop has not turned for this long.",
        name="timeout_stall",
    )
    pid_file: str | None = option(
        None, Text("FILE"), "Write the supervisor's process id to this file.", none="none"
    )
    user: str | None = option(None, Text("USER"), "Run the workers as this user, a name or id.", none="none")
    group_name: str | None = option(
        None,
        Text("GROUP"),
        "Run the workers as this group, a name or id; by default the user's.",
        name="group",
        none="none",
    )
    umask: int | None = option(
        None, Octal(), "File mode creation mask of the workers, in octal.", none="none"
    )
