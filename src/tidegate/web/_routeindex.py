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
    __slots__ = ("dynamic", "ends", "literals", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.dynamic: Node | None = None
        self.ends: list[tuple[int, Any]] = []  # routes whose path ends here
        self.rest: list[tuple[int, Any]] = []  # routes that take all that follows
        self.routes: tuple[Any, ...] = ()  # those of `ends`, without their order


class Found:
    """Candidates in order; and the path's segments, where each of them has as many and the same literals."""

    __slots__ = ("routes", "segments")

    def __init__(self, routes: tuple[Any, ...], segments: list[str] | None) -> None:
        self.routes = routes
        self.segments = segments


class RouteIndex:
    """Built once from (segments, closed, route): a segment of None is dynamic; `closed` routes end after
    the last."""

    __slots__ = ("depth", "root", "static")

    def __init__(self, placed: Iterable[tuple[list[str | None], bool, Any]]) -> None:
        self.root = Node()
        self.static: dict[str, Found] = {}
        self.depth = 1
        whole_paths: list[str] = []
        ending: list[Node] = []
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
            if closed:
                node.ends.append((order, route))
                ending.append(node)
            else:
                node.rest.append((order, route))
            self.depth = max(self.depth, len(segments) + 1)
            if closed and len(plain) == len(segments):
                whole_paths.append("/" + "/".join(plain))
        for node in ending:
            if not node.routes:
                node.routes = tuple([route for _, route in node.ends])
        for path in whole_paths:
            self.static[path] = self.walk(path)

    def find(self, path: str) -> Found:
        """The routes that may match `path`. Time depends on the path's depth, not on the number of
        routes."""
        found = self.static.get(path)
        return self.walk(path) if found is None else found

    def walk(self, path: str) -> Found:
        """Down the trie: by one way, as long as there is only one."""
        node = self.root
        if not path.startswith("/"):
            return Found(tuple([route for _, route in node.rest]), None)
        segments = path.split("/", self.depth)
        count = len(segments)
        index = 1
        while not node.rest:
            if index >= count:
                return Found(node.routes, segments)
            child = node.literals.get(segments[index])
            if child is None:
                child = node.dynamic
                if child is None:
                    return Found((), None)
            elif node.dynamic is not None:
                break
            node = child
            index += 1
        return self.walk_all(node, segments, index)

    def walk_all(self, start: Node, segments: list[str], index: int) -> Found:
        """By every way from `start`, where `index` segments are behind."""
        count = len(segments)
        found: list[tuple[int, Any]] = []
        nodes = [start]
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
            nodes = following
            if not nodes:
                break
            index += 1
        for node in nodes:
            if node.ends:
                found.extend(node.ends)
        found.sort(key=order_of)
        return Found(tuple([route for _, route in found]), segments)


def order_of(item: tuple[int, Any]) -> int:
    return item[0]
