"""Every Python snippet of docs/toolkit runs, each page as one program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "toolkit").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets(page: Path) -> None:
    snippets = re.findall(
        r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert snippets
    namespace: dict[str, object] = {"__name__": page.stem}
    for snippet in snippets:
        exec(compile(snippet, str(page), "exec"), namespace)
