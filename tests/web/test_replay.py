"""Both builds make the same of one kept corpus."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.web.replay import COMPILED, CORPUS, PARSERS, results

ROOT = Path(__file__).parents[2]


def test_both_builds_agree() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if COMPILED:
        environment["PYTHONPATH"] = str(ROOT / "src")
    run = subprocess.run(
        [sys.executable, "-m", "tests.web.replay"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    other: dict[str, Any] = json.loads(run.stdout)
    if other["compiled"] == COMPILED:
        pytest.skip("the installed package is not compiled")
    mine = json.loads(json.dumps(results()))
    assert mine.keys() == other["results"].keys()
    for name, result in mine.items():
        assert other["results"][name] == result, name


def test_the_corpus_has_what_each_parser_takes_and_what_it_refuses() -> None:
    assert json.loads(CORPUS.read_text()).keys() == PARSERS.keys()
    made = results()
    assert made["routes '/items/7'"] == [200, "/items/{id:int} {'id': 7}"]
    assert made["cookies 'a=b; c=\"d e\"'"] == {"a": "b", "c": "d e"}
    assert made["ranges 'bytes=2-1'"].startswith("refused: MalformedRangeHeader")
