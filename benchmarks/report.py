"""The arithmetic of a run, and its table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from .process import Memory
from .scenarios import Scenario

KINDS = ("tidegate", "peer", "floor")


@dataclass(frozen=True, slots=True)
class Sample:
    """One server's window of one scenario."""

    server: str
    scenario: str
    cpu: float  # microseconds of user and system time a request, the whole process tree
    rate: float  # a second
    p99: float | None  # microseconds
    pss: int  # bytes, when the window ended
    disturbance: float  # what others took of the two cores, 1 being one core
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Results:
    machine: dict[str, str] = field(default_factory=dict)
    servers: dict[str, dict[str, str]] = field(default_factory=dict)  # name -> kind, versions, command
    samples: list[Sample] = field(default_factory=list)
    idle: dict[str, Memory] = field(default_factory=dict)
    idle_cpu: dict[str, float] = field(default_factory=dict)  # cores
    extensions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)  # server -> scenario -> reason
    absent: dict[str, str] = field(default_factory=dict)  # server -> why it did not run

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Results":
        return cls(
            **data
            | {
                "samples": [Sample(**sample) for sample in data["samples"]],
                "idle": {name: Memory(**memory) for name, memory in data["idle"].items()},
            }
        )

    def names(self, kind: str) -> list[str]:
        return [name for name, about in self.servers.items() if about["kind"] == kind]

    def median(self, server: str, scenario: str, figure: str = "cpu") -> float | None:
        values: list[float | None] = [
            getattr(sample, figure)
            for sample in self.samples
            if sample.server == server and sample.scenario == scenario
        ]
        known = [value for value in values if value is not None]
        if scenario in self.failures.get(server, {}) or not known or len(known) < len(values):
            return None
        return median(known)

    def errors(self, server: str, scenario: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for sample in self.samples:
            if sample.server == server and sample.scenario == scenario:
                for name, count in sample.errors.items():
                    total[name] = total.get(name, 0) + count
        return total

    def best_peer(self, scenario: str) -> tuple[str, float] | None:
        """The peer that takes the least CPU; one whose windows had errors is passed over."""
        medians = [
            (cpu, name)
            for name in self.names("peer")
            if (cpu := self.median(name, scenario)) is not None and not self.errors(name, scenario)
        ]
        if not medians:
            return None
        cpu, name = min(medians)
        return name, cpu

    def ratio(self, server: str, scenario: str) -> float | None:
        """The server's CPU per request over the best peer's: below 1 is leaner."""
        own, best = self.median(server, scenario), self.best_peer(scenario)
        return own / best[1] if own is not None and best else None


def cell(results: Results, server: str, scenario: str, figure: str, scale: float, digits: int) -> str:
    if scenario in results.failures.get(server, {}):
        return "fails"
    value = results.median(server, scenario, figure)
    if value is None:
        return ""
    mark = "!" if results.errors(server, scenario) else ""
    return f"{value / scale:.{digits}f}{mark}"


def table(rows: list[list[str]]) -> str:
    """A Markdown table, aligned for the terminal too: the first row is the head, the first column text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join(
        "-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)
    )
    return "\n".join([line(rows[0]), rule + "|", *(line(row) for row in rows[1:])])


def figures(
    results: Results, scenarios: Sequence[Scenario], figure: str, scale: float = 1, digits: int = 1
) -> str:
    names = [name for kind in KINDS for name in results.names(kind) if name not in results.absent]
    rows = [["", *names]]
    for scenario in scenarios:
        cells = [cell(results, name, scenario.name, figure, scale, digits) for name in names]
        rows.append([scenario.title, *cells])
    return table(rows)


def ratios(results: Results, scenarios: Sequence[Scenario]) -> str:
    own = [name for name in results.names("tidegate") if name not in results.absent]
    rows = [["", "best peer", "us", *own, "target"]]
    for scenario in scenarios:
        best = results.best_peer(scenario.name)
        cells = []
        for name in own:
            ratio = results.ratio(name, scenario.name)
            cells.append("" if ratio is None else f"{ratio:.2f}")
        target = "" if scenario.target is None else f"{scenario.target:.2f}"
        rows.append(
            [scenario.title, best[0] if best else "", f"{best[1]:.1f}" if best else "", *cells, target],
        )
    return table(rows)


def memory_table(results: Results) -> str:
    rows = [["", "RSS MiB", "PSS MiB", "CPU %"]]
    for kind in KINDS:
        for name in results.names(kind):
            if name in results.idle:
                memory = results.idle[name]
                rows.append(
                    [
                        name,
                        f"{memory.rss / 2**20:.1f}",
                        f"{memory.pss / 2**20:.1f}",
                        f"{results.idle_cpu[name] * 100:.0f}",
                    ]
                )
    return table(rows)


def notes(results: Results, scenarios: Sequence[Scenario]) -> list[str]:
    disturbances = [sample.disturbance for sample in results.samples]
    lines = []
    if disturbances:
        lines.append(f"Others took {median(disturbances):.0%} of a core in the median window.")
    lines += [f"{name} was not measured: {reason}" for name, reason in results.absent.items()]
    for name, failures in results.failures.items():
        lines += [f"{name} fails `{scenario}`: {reason}" for scenario, reason in failures.items()]
    for name in results.servers:
        for scenario in scenarios:
            if errors := results.errors(name, scenario.name):
                counts = ", ".join(f"{count} {kind}" for kind, count in errors.items())
                lines.append(f"{name}, {scenario.title}: errors in the windows (marked !): {counts}")
    return lines


def report(results: Results, scenarios: Sequence[Scenario], heading: str = "") -> str:
    sections = {
        "Ratio to the best peer (CPU per request, lower is better)": ratios(results, scenarios),
        "CPU per request, microseconds": figures(results, scenarios, "cpu"),
        "Rate, thousands of requests a second": figures(results, scenarios, "rate", scale=1000),
        "p99 latency, ms": figures(results, scenarios, "p99", scale=1000, digits=2),
        "Memory after the windows, MiB of PSS": figures(results, scenarios, "pss", scale=2**20, digits=0),
        "At idle": memory_table(results),
    }
    parts = [f"{heading}{title}\n\n{content}" for title, content in sections.items()]
    if lines := notes(results, scenarios):
        parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts)
