"""The type checkers, strict, on a user's program and on the benchmark, which is one too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.typed_user import use, use_async

ROOT = Path(__file__).parents[2]
USER = "tests/web/typed_user.py"
MISUSE = "tests/web/typed_misuse.py"
# The sources, not the package as it is installed; and the benchmark's modules, which run as scripts.
ENVIRONMENT = {**os.environ, "MYPYPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'benchmarks' / 'toolkit'}"}


# What each says of an error: the file and the line.
ERROR = re.compile(r"^\s*(\S+?\.py):(\d+):(?:\d+)?(?: -)? error: ", re.MULTILINE)


def check(*command: str) -> None:
    """The checker finds the mistakes in MISUSE, and nothing else."""
    run = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    found = {(Path(file).name, int(line)) for file, line in ERROR.findall(run.stdout)}
    misuse = (ROOT / MISUSE).read_text(encoding="utf-8").splitlines()
    wrong = {(Path(MISUSE).name, number) for number, line in enumerate(misuse, 1) if line.endswith("# wrong")}
    assert len(wrong) > 10
    assert found == wrong, run.stdout + run.stderr


@pytest.mark.once
def test_mypy() -> None:
    benchmark = ["benchmarks/toolkit/apps.py", "benchmarks/toolkit/run.py"]
    check(sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", USER, MISUSE, *benchmark)


@pytest.mark.once
def test_pyright() -> None:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if pyright is None:
        pytest.skip("pyright is not installed")
    check(pyright, "--pythonpath", sys.executable, USER, MISUSE)  # strict by their first lines


def test_the_program_runs() -> None:
    assert use() == "1"


@pytest.mark.anyio
async def test_the_program_runs_on_the_test_s_loop() -> None:
    assert await use_async() == 404
