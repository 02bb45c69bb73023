"""Writes a run into docs/: the tables between the markers of benchmarks.md, and the picture beside it."""

from collections.abc import Sequence
from pathlib import Path

from .picture import picture
from .report import Results, report
from .scenarios import Scenario

BEGIN = "<!-- results: written by `make bench` -->"
END = "<!-- end of results -->"
PICTURE = "benchmarks.svg"


class DocsError(Exception):
    """The page lacks its markers."""


def between_markers(page: str, content: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise DocsError(f"no {BEGIN} … {END} in the page")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def about(results: Results) -> str:
    machine = results.machine
    lines = [
        f"Measured on {machine['date']}: {machine['cpu']}, {machine['cores']} cores, {machine['memory']}, "
        f"{machine['system']}; {machine['windows']}.",
        "",
    ]
    lines += [f"- {name}: {server['versions']}" for name, server in results.servers.items()]
    return "\n".join(lines)


def write(results: Results, scenarios: Sequence[Scenario], docs: Path) -> None:
    page = docs / "benchmarks.md"
    parts = (f"![Server CPU time per request]({PICTURE})", about(results), report(results, scenarios, "### "))
    page.write_text(between_markers(page.read_text(), "\n\n".join(parts)))
    (docs / PICTURE).write_text(picture(results, scenarios))
