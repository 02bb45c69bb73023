"""The page that shows an exception to who develops the application: traceback, source, locals, and the request.

As HTML, JSON or text, by what the client accepts. Nothing sends it but `debug=True`: it tells of the application's
inside whatever could not be recognised as a secret.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import linecache
import os
import sysconfig
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tidegate.asgi.negotiation import weighted
from tidegate.web._masking import Masker
from tidegate.web._response import Response
from tidegate.web.types import Scope

if TYPE_CHECKING:
    from types import TracebackType


__all__ = ["DebugResponse", "Report"]

MAX_FRAMES = 40  # of one traceback: the first 10 and the last 30
MAX_LOCALS = 40  # of one frame
MAX_EXCEPTIONS = 10
MAX_LINE = 300  # characters
MAX_MESSAGE = 2000
MAX_FIELDS = 100
CONTEXT = 4  # lines before and after
# Directories of what is not the application's own.
LIBRARIES = tuple(
    f"{path}{os.sep}"
    for path in {
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parent),
    }
)

CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT_OF = "During handling of the above exception, another exception occurred:"

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1.5rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; white-space: pre-wrap; } h2 { font-size: 1rem; margin-top: 2rem; }
details { border: 1px solid #8886; border-radius: 4px; margin: .4rem 0; }
summary { cursor: pointer; padding: .4rem .7rem; overflow-wrap: anywhere; } .library > summary { opacity: .65; }
pre, code, td { font-family: ui-monospace, monospace; font-size: 13px; }
pre { margin: 0; overflow-x: auto; padding: .5rem .7rem; } .current { background: #d223; display: block; }
table { border-collapse: collapse; margin: .3rem .7rem .7rem; } th { font-weight: normal; text-align: left; }
th, td { border-top: 1px solid #8883; padding: .15rem .8rem .15rem 0; vertical-align: top; overflow-wrap: anywhere; }
.note { opacity: .65; padding: 0 .7rem; }
"""
# CSP3 §8.4: the style by its hash; nothing else is loaded or run, whatever an exception's text holds.
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(slots=True)
class Frame:
    """`source` are the lines around `line`, with their numbers; `locals` names and values as text."""

    file: str
    line: int
    function: str
    library: bool
    source: list[tuple[int, str]]
    locals: list[tuple[str, str]]


@dataclass(slots=True)
class Raised:
    """One exception. `link` says how the one before it led to it; `left_out` is how many frames are not shown, after
    the first ten."""

    type: str
    message: str
    notes: list[str]
    link: str
    frames: list[Frame]
    left_out: int = 0


@dataclass(slots=True)
class Report:
    """What is shown of an exception: the ones that led to it first, as Python prints them. Everything in it is text,
    bounded, its secrets masked."""

    exceptions: list[Raised]
    request: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, error: BaseException, scope: Scope | None = None) -> Report:
        masker = Masker()
        chain = [_raised(item, link, masker) for item, link in _chain(error)]
        report = cls(chain)
        if scope is not None:
            _add_request(report, scope, masker)
        return _finished(report, masker)

    @property
    def title(self) -> str:
        last = self.exceptions[-1]
        return f"{last.type}: {last.message}" if last.message else last.type

    def as_text(self) -> str:
        parts = []
        for raised in self.exceptions:
            if raised.link:
                parts.append(f"\n{raised.link}\n\n")
            if raised.frames:
                parts.append("Traceback (most recent call last):\n")
            for index, frame in enumerate(raised.frames):
                if raised.left_out and index == 10:
                    parts.append(f"  ... {raised.left_out} frames left out ...\n")
                parts.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}\n')
                parts += [f"    {text.strip()}\n" for number, text in frame.source if number == frame.line]
                if not frame.library:
                    parts += [f"      {name} = {value}\n" for name, value in frame.locals]
            message = f": {raised.message}" if raised.message else ""
            parts.append(f"{raised.type}{message}\n")
            parts += [f"{note}\n" for note in raised.notes]
        return "".join(parts)

    def as_json(self) -> bytes:
        shown: dict[str, Any] = {"status": 500, "title": self.title, **asdict(self)}
        for raised in shown["exceptions"]:
            for frame in raised["frames"]:
                frame["locals"] = dict(frame["locals"])
        shown["request"] = dict(shown["request"])
        return json.dumps(shown, ensure_ascii=True).encode("ascii")

    def as_html(self) -> str:
        title = html.escape(self.title)
        body = [f"<h1>{title}</h1>"]
        innermost = max(
            (index for index, frame in enumerate(self.exceptions[-1].frames) if not frame.library),
            default=len(self.exceptions[-1].frames) - 1,
        )
        for raised in reversed(self.exceptions):  # the one that was raised last stands first
            is_last = raised is self.exceptions[-1]
            if not is_last:
                text = f"{raised.type}: {raised.message}"
                body.append(f"<h2>Before that: {html.escape(text)}</h2>")
            body += [f'<p class="note">{html.escape(note)}</p>' for note in raised.notes]
            for index, frame in reversed(list(enumerate(raised.frames))):
                body.append(_frame_html(frame, is_open=is_last and index == innermost))
                if raised.left_out and index == 10:
                    body.append(f'<p class="note">{raised.left_out} frames left out</p>')
        for heading, rows in (("Request", self.request), ("Header fields", self.headers)):
            if rows:
                body.append(f"<h2>{heading}</h2>{_table(rows)}")
        body.append(f"<h2>Traceback</h2><pre>{html.escape(self.as_text())}</pre>")
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{title}</title><style>{STYLE}</style></head>\n<body>{''.join(body)}</body></html>\n"
        )


class DebugResponse(Response):
    """A 500 that shows `error`, raised while `scope` was answered, as the client prefers: HTML, JSON or text."""

    def __init__(self, error: BaseException, scope: Scope) -> None:
        report = Report.of(error, scope)
        # RFC 9110 §12.5.1, of three types, asked for by their names: whoever takes anything reads text best.
        accepted = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
        weights = weighted(accepted)
        offered = {
            "text/html": max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0)),
            "application/json": max(
                weights.get("application/json", 0.0), weights.get("application/problem+json", 0.0)
            ),
            "text/plain": weights.get("text/plain", 0.0),
        }
        best = max(offered, key=lambda media_type: offered[media_type])
        if not offered[best]:
            best = "text/plain"
        headers = {"cache-control": "no-store", "vary": "Accept", "x-content-type-options": "nosniff"}
        content: str | bytes
        if best == "text/html":
            content = report.as_html()
            headers["content-security-policy"] = POLICY
        else:
            content = report.as_json() if best == "application/json" else report.as_text()
        super().__init__(content, 500, headers, media_type=best)

    def render(self, content: Any) -> bytes | memoryview:
        # A lone surrogate in a message or a value must not hide the exception.
        return (
            content.encode("utf-8", "backslashreplace")
            if isinstance(content, str)
            else super().render(content)
        )


def _chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """The exceptions that led to `error`, first to last, each with how the one before it did."""
    found: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    waiting: BaseException | None = error
    while waiting is not None and id(waiting) not in seen and len(found) < MAX_EXCEPTIONS:
        seen.add(id(waiting))
        before, link = waiting.__cause__, CAUSE
        if before is None and not waiting.__suppress_context__:
            before, link = waiting.__context__, CONTEXT_OF
        found.append((waiting, link if before is not None and id(before) not in seen else ""))
        waiting = before
    if waiting is not None:  # cut off: nothing leads to the first that is shown
        found[-1] = (found[-1][0], "")
    chain = found[::-1]
    if isinstance(error, BaseExceptionGroup):
        members = [(member, "") for member in error.exceptions[: MAX_EXCEPTIONS - 1]]
        chain[-1] = (error, "These were raised together, in a group:" if members else "")
        return [*chain[:-1], *members, chain[-1]]
    return chain


def _text_of(error: BaseException, masker: Masker) -> str:
    try:
        return masker.clean(str(error)[:MAX_MESSAGE])
    except Exception as raised:
        return f"<its str raised {type(raised).__name__}>"


def _raised(error: BaseException, link: str, masker: Masker) -> Raised:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    steps: list[TracebackType] = []
    traceback = error.__traceback__
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    left_out = max(0, len(steps) - MAX_FRAMES)
    if left_out:
        steps[10 : 10 + left_out] = []
    notes = getattr(error, "__notes__", ())
    notes = notes if isinstance(notes, (list, tuple)) else ()
    return Raised(
        name,
        _text_of(error, masker),
        [masker.clean(str(note)[:MAX_MESSAGE]) for note in notes[:10] if isinstance(note, str)],
        link,
        [_frame(step, masker) for step in steps],
        left_out,
    )


def _frame(step: TracebackType, masker: Masker) -> Frame:
    code = step.tb_frame.f_code
    lines = linecache.getlines(code.co_filename, step.tb_frame.f_globals)
    first = max(1, step.tb_lineno - CONTEXT)
    source = [
        (first + offset, masker.clean_source(line.rstrip()[:MAX_LINE]))
        for offset, line in enumerate(lines[first - 1 : step.tb_lineno + CONTEXT])
    ]
    shown = [
        (name, masker.named(name, value))
        for name, value in list(step.tb_frame.f_locals.items())[:MAX_LOCALS]
        if not (name.startswith("__") and name.endswith("__"))
    ]
    library = code.co_filename.startswith(LIBRARIES) or code.co_filename.startswith("<frozen")
    return Frame(code.co_filename, step.tb_lineno, code.co_name, library, source, shown)


def _add_request(report: Report, scope: Scope, masker: Masker) -> None:
    for name in ("method", "path", "root_path", "scheme", "http_version", "client", "server"):
        if scope.get(name):
            report.request.append((name, masker.clean(str(scope[name])[:MAX_MESSAGE])))
    query = scope.get("query_string", b"")[:MAX_MESSAGE].decode("latin-1")
    for name, value in parse_qsl(query, keep_blank_values=True)[:MAX_FIELDS]:
        report.request.append((f"?{masker.clean(name)}", masker.named(name, value)))
    for name, value in (scope.get("path_params") or {}).items():
        report.request.append((f"{{{name}}}", masker.named(name, value)))
    for name, value in list(scope["headers"])[:MAX_FIELDS]:
        text = value[:MAX_MESSAGE].decode("latin-1")
        if name == b"cookie":
            for member in text.split(";"):
                masker.remember(member.partition("=")[2].strip())
        elif name.endswith(b"authorization"):
            masker.remember(text.rpartition(" ")[2])
        shown = masker.named(name, text)
        report.headers.append((name.decode("latin-1"), shown))


def _finished(report: Report, masker: Masker) -> Report:
    """All texts once more, now that every secret that stands under its name somewhere is known."""
    finish = masker.finish
    for raised in report.exceptions:
        raised.message = finish(raised.message)
        raised.notes = [finish(note) for note in raised.notes]
        for frame in raised.frames:
            frame.source = [(number, finish(line)) for number, line in frame.source]
            frame.locals = [(name, finish(value)) for name, value in frame.locals]
    report.request = [(name, finish(value)) for name, value in report.request]
    report.headers = [(name, finish(value)) for name, value in report.headers]
    return report


def _table(rows: list[tuple[str, str]]) -> str:
    return "".join(
        [
            "<table>",
            *(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows),
            "</table>",
        ]
    )


def _frame_html(frame: Frame, *, is_open: bool) -> str:
    lines = []
    for number, text in frame.source:
        line = f"{number:>5}  {html.escape(text)}"
        lines.append(f'<span class="current">{line}</span>' if number == frame.line else f"{line}\n")
    source = f"<pre>{''.join(lines)}</pre>" if lines else '<p class="note">Its source is not here.</p>'
    css = ' class="library"' if frame.library else ""
    return (
        f"<details{css}{' open' if is_open else ''}><summary><code>{html.escape(frame.function)}</code> in "
        f"{html.escape(frame.file)}, line {frame.line}</summary>{source}"
        f"{_table(frame.locals) if frame.locals else ''}</details>"
    )
