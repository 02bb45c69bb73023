"""A snapshot as text: Prometheus' format 0.0.4, and OpenMetrics 1.0.0."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tidegate.metrics.board import Snapshot
from tidegate.metrics.layout import BOUNDS, BUCKETS, METRICS, STATES, Metric

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PREFIX: Final = "tidegate_"

Sample = tuple[Mapping[str, str], float]


class Writer:
    """Collects the lines."""

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._lines: list[str] = []

    def counter(self, name: str, text: str, samples: Iterable[Sample]) -> None:
        # OpenMetrics names the family, and its sample with "_total"; 0.0.4 knows samples only.
        self._head(name if self._openmetrics else f"{name}_total", "counter", text)
        for labels, value in samples:
            self._sample(f"{name}_total", labels, value)

    def gauge(self, name: str, text: str, samples: Iterable[Sample]) -> None:
        self._head(name, "gauge", text)
        for labels, value in samples:
            self._sample(name, labels, value)

    def info(self, name: str, text: str, labels: Mapping[str, str]) -> None:
        if self._openmetrics:
            self._head(name, "info", text)
        else:
            self._head(f"{name}_info", "gauge", text)
        self._sample(f"{name}_info", labels, 1)

    def histogram(self, name: str, text: str, buckets: Sequence[float], total: float) -> None:
        """`buckets` has a count for each of BOUNDS, and for what is above."""
        self._head(name, "histogram", text)
        count = 0.0
        for bound, inside in zip((*map(repr, map(_rounded, BOUNDS)), "+Inf"), buckets, strict=True):
            count += inside
            self._sample(f"{name}_bucket", {"le": bound}, count)
        self._sample(f"{name}_count", {}, count)
        self._sample(f"{name}_sum", {}, total)

    def text(self) -> str:
        end = ["# EOF"] if self._openmetrics else []
        return "\n".join([*self._lines, *end, ""])

    def _head(self, name: str, kind: str, text: str) -> None:
        self._lines += [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]

    def _sample(self, name: str, labels: Mapping[str, str], value: float) -> None:
        inner = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        shown = repr(float(value)) if value != int(value) else str(int(value))
        self._lines.append(f"{PREFIX}{name}{'{' + inner + '}' if inner else ''} {shown}")


def expose(snapshot: Snapshot, *, openmetrics: bool) -> str:
    """The whole text."""
    writer = Writer(openmetrics)
    for metric in METRICS.values():
        if metric.kind == "counter":
            writer.counter(metric.name, metric.help, _counted(metric, snapshot.totals))
        elif metric.kind == "histogram":
            cells = snapshot.totals[metric.cell : metric.cell + metric.size]
            writer.histogram(metric.name, metric.help, cells[: BUCKETS + 1], cells[BUCKETS + 1])
    states = [({"state": state}, snapshot.gauge("connections", n)) for n, state in enumerate(STATES)]
    writer.gauge("connections", METRICS["connections"].help, states)
    name = "requests_in_progress"
    writer.gauge(name, METRICS[name].help, [({}, snapshot.gauge(name))])
    writer.gauge("websockets", "WebSockets that are open.", [({}, snapshot.websockets)])
    slots = sorted({reading.process.slot for reading in snapshot.readings})
    of_slot = {
        slot: [reading for reading in snapshot.readings if reading.process.slot == slot] for slot in slots
    }
    memory, lag = "resident_memory_bytes", "event_loop_lag_seconds"
    writer.gauge(
        memory,
        "Resident memory of each worker; of both processes, while one takes over from the other.",
        [
            ({"worker": str(slot)}, sum(reading.value(memory) for reading in readings))
            for slot, readings in of_slot.items()
        ],
    )
    writer.gauge(
        lag,
        "How late the event loop's timers are, the worst of 2 s; or for how long it has not turned.",
        [
            ({"worker": str(slot)}, max(reading.lag for reading in readings))
            for slot, readings in of_slot.items()
        ],
    )
    up = [(reading.process.state == "up") for reading in snapshot.readings]
    writer.gauge("workers_up", "Processes that accept connections.", [({}, sum(up))])
    writer.counter(
        "restarts",
        "Workers that were replaced.",
        [({"cause": cause}, count) for cause, count in sorted(snapshot.restarts.items())],
    )
    writer.gauge("ready", "Whether the service is ready.", [({}, int(snapshot.ready))])
    build = snapshot.build
    writer.info(
        "build",
        "What runs.",
        {"version": build.version, "build": build.build, "python": build.python, "loop": build.loop},
    )
    writer.gauge("start_time_seconds", "When it started, since the epoch.", [({}, snapshot.started_at)])
    writer.gauge("uptime_seconds", "How long it has run.", [({}, snapshot.now - snapshot.started_at)])
    return writer.text()


def _counted(metric: Metric, totals: Sequence[float]) -> list[Sample]:
    names = [name for name, _ in metric.labels]
    samples = [(dict(zip(names, values, strict=True)), totals[cell]) for values, cell in metric.series()]
    if len(names) > 1:
        # Of a product of labels most never happen.
        return [sample for sample in samples if sample[1]]
    return samples  # type: ignore[return-value]


def _rounded(bound: float) -> float:
    return float(f"{bound:.7g}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
