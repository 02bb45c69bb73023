"""The type checkers, strict, on a user's program and on the benchmark, which is one too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.typed_user import use, use_async

ROOT = Path(__file__).parents[2]
USER = "tests/web/typed_user.py"
# The sources, not the package as it is installed; and the benchmark's modules, which run as scripts.
ENVIRONMENT = {**os.environ, "MYPYPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'benchmarks' / 'toolkit'}"}


def check(*command: str) -> None:
    run = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.once
def test_mypy() -> None:
    benchmark = ["benchmarks/toolkit/apps.py", "benchmarks/toolkit/run.py"]
    check(sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", USER, *benchmark)


@pytest.mark.once
def test_pyright() -> None:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if pyright is None:
        pytest.skip("pyright is not installed")
    check(pyright, "--pythonpath", sys.executable, USER)  # strict by its first line


def test_the_program_runs() -> None:
    assert use() == "1"


@pytest.mark.anyio
async def test_the_program_runs_on_the_test_s_loop() -> None:
    assert await use_async() == 404
