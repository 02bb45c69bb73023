"""Compiled methods run on objects that somebody holds.

A call of a `cdef` or `cpdef` method through an attribute, `self._handler.data_received(data)`, is a C call on a
reference that Cython borrows. Where the attribute is set anew meanwhile, as at the end of a connection, the object may
be freed under its own running method. So such calls go by a local variable, which holds it: here is who forgot.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src" / "tidegate"
BUILDERS = {"__init__", "_open", "_open_receiver"}  # what they set is set before anything is called


@dataclass
class Compiled:
    """A class of a .pxd file: its attributes that are compiled objects, and its methods that are C functions."""

    name: str
    base: str | None
    source: Path
    attributes: dict[str, str] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.parse(self.source.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name == self.name:
                yield from (
                    each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                )


def declared(pxd: Path, text: str) -> Iterator[Compiled]:
    current = None
    for line in text.splitlines():
        if header := re.match(r"cdef class (\w+)(?:\((\w+)\))?:", line):
            current = Compiled(header[1], header[2], pxd.with_suffix(".py"))
            yield current
        elif current is None or (line and not line[0].isspace()):
            current = None
        elif method := re.match(r"\s+(?:cdef|cpdef) .*?(\w+)\(", line):
            current.methods.add(method[1])
        elif attributes := re.match(r"\s+cdef (?:public |readonly )?([A-Z]\w+) ([\w, ]+)$", line):
            for name in attributes[2].split(","):
                current.attributes[name.strip()] = attributes[1]


class Calls:
    def __init__(self, classes: dict[str, Compiled]) -> None:
        self.classes = classes
        self.set_anew: set[tuple[str, str]] = set()
        for each in classes.values():
            for function in each.functions():
                self._find_assignments(each.name, function)

    def _line(self, name: str | None) -> Iterator[Compiled]:
        while name in self.classes:
            yield self.classes[name]
            name = self.classes[name].base

    def _owners(self, name: str, value: ast.expr, attribute: str) -> list[Compiled]:
        """The classes that `value.attribute`, in a method of class `name`, may be an attribute of."""
        if isinstance(value, ast.Name) and value.id == "self":
            return [each for each in self._line(name) if attribute in each.attributes][:1]
        return [each for each in self.classes.values() if attribute in each.attributes]

    def _find_assignments(self, name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign | ast.AugAssign):
                targets = [node.target]
            else:
                continue
            for target in targets:
                for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if not isinstance(each, ast.Attribute):
                        continue
                    of_self = isinstance(each.value, ast.Name) and each.value.id == "self"
                    if not (of_self and function.name in BUILDERS):
                        for owner in self._owners(name, each.value, each.attr):
                            self.set_anew.add((owner.name, each.attr))

    def borrowed(self) -> Iterator[str]:
        for each in self.classes.values():
            for function in each.functions():
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                        value = node.func.value
                        if isinstance(value, ast.Attribute) and self._is_borrowed(
                            each.name, node.func, value
                        ):
                            yield f"{each.source.name}:{node.lineno}: {ast.unparse(node.func)}"

    def _is_borrowed(self, name: str, method: ast.Attribute, value: ast.Attribute) -> bool:
        return any(
            (owner.name, value.attr) in self.set_anew
            and any(method.attr in each.methods for each in self._line(owner.attributes[value.attr]))
            for owner in self._owners(name, value.value, value.attr)
        )


def calls_of(texts: dict[Path, str]) -> Calls:
    found = [each for pxd, text in texts.items() for each in declared(pxd, text)]
    classes = {each.name: each for each in found}
    assert len(classes) == len(found), "two classes of one name"
    return Calls(classes)


@pytest.mark.parametrize("toolkit", [False, True])
def test_no_method_runs_on_a_borrowed_reference(toolkit: bool) -> None:
    files = [pxd for pxd in SOURCES.rglob("*.pxd") if (SOURCES / "web" in pxd.parents) == toolkit]
    assert len(files) > (3 if toolkit else 30)
    assert list(calls_of({pxd: pxd.read_text() for pxd in files}).borrowed()) == []


def test_borrowed_references_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "class Handler:\n    def told(self): ...\n"
        "class Owner:\n"
        "    def __init__(self):\n        self.kept = Handler(); self.lost = Handler()\n"
        "    def end(self):\n        self.lost = None\n"
        "    def tell(self):\n        self.kept.told(); self.lost.told()\n"
        "        held = self.lost\n        held.told(); self.lost.is_python()\n"
        "class Other:\n    def tell(self, owner):\n        owner.lost.told()\n"
    )
    text = (
        "cdef class Handler:\n    cpdef void told(self)\n\n"
        "cdef class Owner:\n    cdef public Handler kept, lost\n\n"
        "cdef class Other:\n    cpdef tell(self, Owner owner)\n"
    )
    found = list(calls_of({tmp_path / "a.pxd": text}).borrowed())
    assert found == ["a.py:9: self.lost.told", "a.py:14: owner.lost.told"]
