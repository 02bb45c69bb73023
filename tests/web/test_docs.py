"""The toolkit's pages are true: every Python snippet runs, each page as one program; every table of settings says what
the signature says; every public module has its page; no link leads nowhere."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import tidegate.web

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "toolkit").glob("*.md"))
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A table whose head is `module.callable` (below tidegate.web) lists its settings.
SETTINGS = re.compile(r"^\| `([\w.]+)` \| Default \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", re.MULTILINE)
GIVEN = {"self", "cls", "app", "scope", "receive", "send"}  # by who calls it, not by the user

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@each_page
def test_snippets(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of their own, in which they may make files."""
    text = page.read_text(encoding="utf-8")
    snippets = [match for match in FENCE.finditer(text) if match[1] == "python"]
    assert snippets
    assert any("assert " in match[2] for match in snippets), "nothing is shown to be true"
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": page.stem}
    for match in snippets:
        before = text.count("\n", 0, match.start(2))  # so that an error names the page's own line
        exec(compile("\n" * before + match[2], str(page), "exec"), namespace)


@each_page
def test_fences(page: Path) -> None:
    languages = {match[1] for match in FENCE.finditer(page.read_text(encoding="utf-8"))}
    assert languages <= {"python", "console", "html", "ini", "text"}


def default_of(parameter: inspect.Parameter, module: Any) -> str:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return "required"
    for name, value in vars(module).items():  # a constant is told by its name
        if value is default and default and not isinstance(default, (bool, int)):
            return f"`{name}`"
    return f"`{default!r}`"


def resolve(name: str) -> Any:
    module_name, _, rest = name.rpartition(".")
    try:
        return getattr(importlib.import_module(f"tidegate.web.{module_name}"), rest)
    except ModuleNotFoundError:
        return getattr(resolve(module_name), rest)


def settings_tables() -> list[Any]:
    return [
        pytest.param(match[1], match[2], id=f"{page.stem}-{match[1]}")
        for page in PAGES
        for match in SETTINGS.finditer(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("name", "rows"), settings_tables())
def test_settings(name: str, rows: str) -> None:
    told = {}
    for row in rows.splitlines():
        setting, default, meaning = re.split(r"(?<!\\) \| ", row.strip("| "), maxsplit=2)
        assert meaning
        told[setting.strip("`")] = default.strip().replace("\\|", "|")
    subject = resolve(name)
    module = inspect.getmodule(subject)
    parameters = inspect.signature(subject).parameters.values()
    real = {
        parameter.name: default_of(parameter, module)
        for parameter in parameters
        if not (parameter.name in GIVEN and parameter.default is parameter.empty)
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    assert told == real


def test_every_module_has_its_page() -> None:
    modules = {
        module.name.removeprefix("tidegate.web.")
        for module in pkgutil.walk_packages(tidegate.web.__path__, "tidegate.web.")
        if "._" not in module.name
    }
    index = (DOCS / "toolkit" / "index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_.]+)`", index))
    # Parts of others, documented with them: the sans-I/O halves of forms, lifespans and test clients.
    parts = {"multipart", "asynctestclient"}
    assert modules - parts <= named
    linked = set(re.findall(r"\]\((?:[a-z-]+/)*([a-z-]+\.md)", index))
    assert {page.name for page in PAGES} - {"index.md"} <= linked


@pytest.mark.parametrize(
    "page", [*PAGES, DOCS / "starlette-compatibility.md", DOCS.parent / "README.md"], ids=str
)
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page", [DOCS / "toolkit" / "from-starlette.md", DOCS / "starlette-compatibility.md"]
)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page.read_text(encoding="utf-8"))
    for file, test in named:
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(encoding="utf-8"), f"{file}::{test}"
    assert named or page.stem != "from-starlette"
