"""Which routes can match a path: a dictionary of whole paths beside a trie of segments.

A route that the index cannot place (a subclass with its own `matches`, a convertor that may match a slash)
is a candidate for
every path below the point where it stops being plain. Candidates come in the order of registration, and
only they are asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class Node:
    __slots__ = ("dynamic", "ends", "literals", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.dynamic: Node | None = None
        self.ends: list[tuple[int, Any]] = []  # routes whose path ends here
        self.rest: list[tuple[int, Any]] = []  # routes that take all that follows


class RouteIndex:
    """Built once from (segments, closed, route): a segment of None is dynamic; `closed` routes end after
    the last."""

    __slots__ = ("depth", "root", "static")

    def __init__(self, placed: Iterable[tuple[list[str | None], bool, Any]]) -> None:
        self.root = Node()
        self.static: dict[str, tuple[Any, ...]] = {}
        self.depth = 1
        whole_paths: list[str] = []
        for order, (segments, closed, route) in enumerate(placed):
            node = self.root
            plain: list[str] = []
            for segment in segments:
                if segment is None:
                    if node.dynamic is None:
                        node.dynamic = Node()
                    node = node.dynamic
                else:
                    plain.append(segment)
                    child = node.literals.get(segment)
                    if child is None:
                        child = node.literals[segment] = Node()
                    node = child
            (node.ends if closed else node.rest).append((order, route))
            self.depth = max(self.depth, len(segments) + 1)
            if closed and len(plain) == len(segments):
                whole_paths.append("/" + "/".join(plain))
        for path in whole_paths:
            self.static[path] = self.walk(path)

    def candidates(self, path: str) -> tuple[Any, ...]:
        """The routes that may match `path`, in order. Time depends on the path's depth, not on the number
        of routes."""
        found = self.static.get(path)
        return self.walk(path) if found is None else found

    def walk(self, path: str) -> tuple[Any, ...]:
        root = self.root
        if not path.startswith("/"):
            return tuple([route for _, route in root.rest])
        segments = path.split("/", self.depth)
        count = len(segments)
        found: list[tuple[int, Any]] = []
        nodes = [root]
        index = 1
        while True:
            for node in nodes:
                if node.rest:
                    found.extend(node.rest)
            if index >= count:
                break
            segment = segments[index]
            following: list[Node] = []
            for node in nodes:
                child = node.literals.get(segment)
                if child is not None:
                    following.append(child)
                if node.dynamic is not None:
                    following.append(node.dynamic)
            if not following:
                nodes = following
                break
            nodes = following
            index += 1
        for node in nodes:
            if node.ends:
                found.extend(node.ends)
        if len(found) == 1:
            return (found[0][1],)
        found.sort(key=order_of)
        return tuple([route for _, route in found])


def order_of(item: tuple[int, Any]) -> int:
    return item[0]
