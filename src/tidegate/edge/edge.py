"""Puts the edge together: which handler a request gets."""

from typing import Any

from tidegate.config.edge import Edge as Settings
from tidegate.config.edge import Route
from tidegate.edge.answer import EdgeAnswer
from tidegate.edge.compression import Compression
from tidegate.edge.exchange import EdgeExchange
from tidegate.edge.files import StaticFiles
from tidegate.edge.policy import Policies, Policy
from tidegate.edge.static import StaticExchange
from tidegate.gateway.application import Gateway
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream


class Edge:
    """Made of the settings, and of `max_content`, the largest body in octets where no route says otherwise (None for
    any): the connection's own limit is to be the edge's `max_content` (-1 for none) then."""

    __slots__ = ("_compression", "_files", "_policies", "max_content")

    def __init__(self, settings: Settings, max_content: int | None) -> None:
        compression = None
        if settings.compress:
            compression = Compression(
                settings.compress,
                min_size=settings.compress_min_size,
                types=settings.compress_types,
                events=settings.compress_events,
            )
        self._compression = compression
        policies = [(route.path, Policy(route, compression, max_content)) for route in settings.route]
        if (compression is not None or policies) and not any(path == "" for path, _ in policies):
            policies.append(("", Policy(Route(), compression, max_content)))
        self._policies = Policies(policies) if policies else None
        limits = [policy.max_content for _, policy in policies]
        self.max_content = -1 if max_content is None else max_content
        if limits:
            self.max_content = -1 if min(limits) < 0 else max(limits)
        self._files = None
        if settings.static:
            self._files = StaticFiles(
                settings.static,
                settings.static_cache,
                fallthrough=settings.static_fallthrough,
                max_files=settings.static_open_files,
                max_memory=settings.static_memory,
                fields_of=self._fields_of,
            )

    def _fields_of(self, path: str) -> list[tuple[bytes, bytes]]:
        policy = None if self._policies is None else self._policies.find(path)
        return [] if policy is None else policy.all_fields

    def open_http(self, gateway: Gateway, stream: Stream, head: RequestHead, peers: Peers) -> HTTPExchange:
        """The acceptor's `open_http`. Raises RequestError."""
        files = self._files
        if files is not None:
            found = files.find(head)
            if found is not None:
                return StaticExchange(gateway, stream, head, peers, found)
        policies = self._policies
        if policies is None:
            return HTTPExchange(gateway, stream, head, peers)
        policy: Any = policies.find(head.path)
        if not policy.takes(head.method):
            # RFC 9110 §15.5.6
            return EdgeAnswer(gateway, stream, head, peers, 405, [(b"allow", policy.allow)])
        policy.admit(head)
        return EdgeExchange(gateway, stream, head, peers, policy)

    def close(self) -> None:
        """The server has stopped."""
        if self._files is not None:
            self._files.close()
        if self._compression is not None:
            self._compression.close()
