"""The picture of a run: a panel a scenario, a bar a server. The SVG follows the reader's light or dark."""

from collections.abc import Iterator, Sequence
from html import escape

from .report import Results
from .scenarios import Scenario

COLUMNS = 3
MARGIN = 24
PANEL_WIDTH = 300
PANEL_GAP = 20
HEAD = 64  # title and legend
PANEL_HEAD = 30
ROW = 20
BAR = 12
LETTER = 7.4  # width of a bold one, near enough
VALUE_WIDTH = 44
CUT = "\N{RIGHTWARDS ARROW} "  # this bar goes on
CLIP = 3.0  # a bar ends at so many times the best peer, so that one slow server hides nothing

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #374151 }
.title { font-size: 17px; font-weight: 600; fill: #111827 }
.panel { font-size: 13px; font-weight: 600; fill: #111827 }
.own { font-weight: 600; fill: #0f766e }
.faint { fill: #6b7280 }
.card { fill: #ffffff; stroke: #e5e7eb }
.bar { fill: #a8b3c4 }
.bar-own { fill: #0d9488 }
.floor { stroke: #6b7280; stroke-width: 1.5; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #cbd5e1 }
  .title, .panel { fill: #f1f5f9 }
  .own { fill: #5eead4 }
  .faint { fill: #94a3b8 }
  .card { fill: #0d1117; stroke: #30363d }
  .bar { fill: #55637a }
  .bar-own { fill: #14b8a6 }
  .floor { stroke: #94a3b8 }
}
"""


def text(x: float, y: float, content: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(content)}</text>'


def panel(results: Results, scenario: Scenario, left: float, top: float) -> Iterator[str]:
    own = results.names("tidegate")
    names = [name for name in [*own, *results.names("peer")] if name not in results.absent]
    values = {name: results.median(name, scenario.name) for name in names}
    measured = {name: value for name, value in values.items() if value is not None}
    floor = next((results.median(name, scenario.name) for name in results.names("floor")), None)
    yield text(left, top + 14, scenario.title, "panel")
    if not measured:
        return
    best = results.best_peer(scenario.name)
    limit = min(max(measured.values()), CLIP * (best[1] if best else max(measured.values())))
    name_width = 8 + LETTER * max(len(name) for name in names)
    bar_left = left + name_width
    bar_width = PANEL_WIDTH - name_width - VALUE_WIDTH
    y = top + PANEL_HEAD
    order = sorted(measured, key=lambda name: measured[name]) + [
        name for name in names if name not in measured
    ]
    for name in order:
        style = "own" if name in own else ""
        middle = y + ROW / 2 + 4
        yield text(bar_left - 8, middle, name, style, "end")
        if name not in measured:
            word = "fails" if scenario.name in results.failures.get(name, {}) else "not measured"
            yield text(bar_left, middle, word, "faint")
        else:
            value = measured[name]
            length = bar_width * min(value / limit, 1)
            kind = "bar-own" if name in own else "bar"
            yield (
                f'<rect x="{bar_left:.1f}" y="{y + (ROW - BAR) / 2:.1f}" width="{length:.1f}" '
                f'height="{BAR}" rx="2" class="{kind}"/>'
            )
            clipped = CUT if value > limit * 1.001 else ""
            digits = 1 if value < 99.5 else 0
            yield text(bar_left + length + 6, middle, f"{clipped}{value:.{digits}f}", style)
        y += ROW
    if floor is not None:
        x = bar_left + bar_width * min(floor / limit, 1)
        start = top + PANEL_HEAD - 2
        end = start + len(measured) * ROW + 4
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{start}" y2="{end}" class="floor"/>'


def picture(results: Results, scenarios: Sequence[Scenario]) -> str:
    bars = max(1, sum(about["kind"] != "floor" for about in results.servers.values()))
    panel_height = PANEL_HEAD + bars * ROW + PANEL_GAP
    rows = -(-len(scenarios) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * PANEL_GAP
    height = HEAD + rows * panel_height + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="Server CPU time per request">',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" class="card"/>',
        text(MARGIN, 34, "Server CPU time per request, microseconds (less is better)", "title"),
        text(width - MARGIN, 34, "dashed: canned bytes from a bare uvloop protocol", "faint", "end"),
    ]
    for number, scenario in enumerate(scenarios):
        row, column = divmod(number, COLUMNS)
        left = MARGIN + column * (PANEL_WIDTH + PANEL_GAP)
        parts += panel(results, scenario, left, HEAD + row * panel_height)
    return "\n".join([*parts, "</svg>"]) + "\n"
