"""The build: every module loads as TIDEGATE_EXTENSIONS asks, and the layers hold for `cimport` too."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
COMPILED = sorted(SRC.rglob("*.pxd"))
MODE = os.environ.get("TIDEGATE_EXTENSIONS", "auto")
LAYERS = [
    *("asgi", "http", "http1 http2 websocket", "gateway", "config", "net edge"),
    *("metrics", "server", "admin", "supervisor", "cli"),
]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


@pytest.mark.skipif(MODE == "auto", reason="TIDEGATE_EXTENSIONS says neither require nor skip")
@pytest.mark.parametrize("pxd", COMPILED, ids=module_of)
def test_each_module_loaded_as_asked(pxd: Path) -> None:
    loaded = importlib.import_module(module_of(pxd)).__file__ or ""
    assert loaded.endswith(".so") == (MODE == "require"), loaded


def test_every_pxd_has_its_module() -> None:
    assert COMPILED
    for pxd in COMPILED:
        assert pxd.with_suffix(".py").exists()


@pytest.mark.parametrize("pxd", COMPILED, ids=module_of)
def test_cimports_keep_the_layers(pxd: Path) -> None:
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer.split()}
    package = pxd.relative_to(SRC / "tidegate").parts[0]
    for cimported in re.findall(r"^from tidegate\.(\w+)\S* cimport", pxd.read_text(), re.MULTILINE):
        if package == "web":
            assert cimported in ("web", "asgi")
        else:
            assert cimported == package or rank[cimported] < rank[package]


def test_the_sources_never_import_cython() -> None:
    for path in SRC.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) cython", path.read_text(), re.MULTILINE), path


def test_asgi_and_the_package_load_no_server() -> None:
    script = (
        "import sys, tidegate, tidegate.asgi;"
        "assert not {'tidegate.server', 'tidegate.net', 'tidegate.cli'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("pxd", [pxd for pxd in COMPILED if "web" in pxd.parts], ids=module_of)
def test_no_compiled_coroutine_waits_while_an_exception_is_handled(pxd: Path) -> None:
    """One that is suspended then crashes if the exception's traceback changes meanwhile."""
    tree = ast.parse(pxd.with_suffix(".py").read_text())
    handling: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Try | ast.TryStar):
            handling += [*node.handlers, *node.finalbody]
        elif isinstance(node, ast.AsyncWith):  # awaits __aexit__ with the exception in hand
            handling.append(node)
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
    found = [inner.lineno for outer in handling for inner in ast.walk(outer) if isinstance(inner, waits)]
    assert found == []
