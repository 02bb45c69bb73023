"""docs/reliability.md, from what was counted."""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

BEGIN = "<!-- figures: written by `make reliability` -->"
END = "<!-- end of the figures -->"


class Counted(Protocol):
    server: str
    event: str
    times: int
    requests: int
    lost: int
    in_flight: int
    kinds: dict[str, int]
    longest: float
    seconds: float
    note: str


def write_docs(
    path: Path, outcomes: Sequence[Counted], versions: Mapping[str, str], labels: Mapping[str, str]
) -> None:
    """Replace what is between the two marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{table(outcomes, versions, labels)}\n{END}{after}", encoding="utf-8")


def table(outcomes: Sequence[Counted], versions: Mapping[str, str], labels: Mapping[str, str]) -> str:
    by_key = {(outcome.server, outcome.event): outcome for outcome in outcomes}
    lines = [
        f"{datetime.datetime.now(datetime.UTC).date().isoformat()}, {os.cpu_count()} cores, shared with others.",
        "",
        f"| lost requests | {' | '.join(f'{name} {version}' for name, version in versions.items())} |",
        f"|---|{'---|' * len(versions)}",
    ]
    for event, label in labels.items():
        cells = [_cell(by_key.get((name, event))) for name in versions]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines += ["", f"{len(outcomes)} runs of {seconds / max(1, len(outcomes)):.0f} s on average.", ""]
    for outcome in outcomes:
        if outcome.kinds:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.kinds.items()))
            lines.append(f"- {outcome.server}, {labels[outcome.event]}: {kinds}")
    return "\n".join(lines) + "\n"


def _cell(outcome: Counted | None) -> str:
    if outcome is None:
        return "not offered"
    if outcome.note.startswith("failed"):
        return outcome.note
    text = f"**{outcome.lost}** of {outcome.requests}"
    if outcome.in_flight:
        text += f" (and {outcome.in_flight} in flight in what was killed)"
    return f"{text}; {outcome.note}" if outcome.note else text
