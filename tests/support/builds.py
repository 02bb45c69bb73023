"""Whether the compiled and the pure build come to the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def assert_builds_agree(module: str, compiled: bool, results: dict[str, Any]) -> None:
    """Compare `results`, of the build that `compiled` tells, with what `python -m module` makes of the other.

    The module writes {"compiled": bool, "results": {name: result}} as JSON. Skips where the installed package is
    not compiled.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if compiled:
        environment["PYTHONPATH"] = str(ROOT / "src")
    run = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60
    )
    other: dict[str, Any] = json.loads(run.stdout)
    if other["compiled"] == compiled:
        pytest.skip("the installed package is not compiled")
    mine = json.loads(json.dumps(results))
    assert mine.keys() == other["results"].keys()
    for name, result in mine.items():
        assert other["results"][name] == result, name
