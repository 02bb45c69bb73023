"""Connections and the gateway as they are where they are counted; composed in at the server's start."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tidegate.gateway.application import Exchange, Gateway
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, StreamHandler
from tidegate.metrics.recorder import Recorder
from tidegate.net.acceptor import Acceptor
from tidegate.net.tcp import TCPProtocol


class MeasuredProtocol(TCPProtocol):
    """A connection that counts itself and its octets."""

    __slots__ = ("_counted", "_recorder")

    def __init__(self, recorder: Recorder, acceptor: Acceptor, *arguments: Any, **options: Any) -> None:
        TCPProtocol.__init__(self, acceptor, *arguments, **options)
        self._recorder = recorder
        self._counted = 0

    def connection_made(self, transport: Any) -> None:
        self._recorder.connection_opened()
        TCPProtocol.connection_made(self, transport)

    def connection_lost(self, error: Exception | None) -> None:
        TCPProtocol.connection_lost(self, error)
        self.count_sent()
        self._recorder.connection_closed()

    def data_received(self, data: bytes) -> None:
        TCPProtocol.data_received(self, data)
        written = self._written
        self._recorder.moved(len(data), written - self._counted)
        self._counted = written

    def open_handler(self, stream: Stream, head: RequestHead) -> StreamHandler:
        handler = TCPProtocol.open_handler(self, stream, head)
        now = self._recorder.request_opened(self._transport)
        # Nearly all are exactly this: asking for it costs a third of asking for what it is made of.
        if isinstance(handler, HTTPExchange):
            exchange = handler
            exchange.started_at = now
        elif isinstance(handler, Exchange):
            opened = handler
            opened.started_at = now
        return handler

    def count_sent(self) -> None:
        """Count what was sent since octets came."""
        written = self._written
        if written != self._counted:
            self._recorder.moved(0, written - self._counted)
            self._counted = written


class MeasuredGateway(Gateway):
    """A gateway that counts the failures of its application."""

    __slots__ = ("recorder",)

    # Compiled, like the others here: a class of Python's own would have each call look for what it overrides.
    def __init__(self, recorder: Recorder, app: Any, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        Gateway.__init__(self, app, loop, **options)
        self.recorder = recorder

    def log_failure(self, error: BaseException, request: RequestHead, peers: Peers, identity: str) -> None:
        self.recorder.failed(error, isinstance(error, asyncio.CancelledError) and self.cancelling)
        Gateway.log_failure(self, error, request, peers, identity)


def connection_states(acceptor: Acceptor, handshakes: int) -> Sequence[int]:
    """How many connections are in each of `layout.STATES`; what they have sent is counted meanwhile."""
    waiting = len(acceptor.parked)
    idle = 0
    for protocol in acceptor.connections:
        if isinstance(protocol, MeasuredProtocol):
            protocol.count_sent()
        if protocol.idle_since < _NEVER:
            idle += 1
    return (len(acceptor.connections) - idle - waiting, idle, waiting, handshakes)


_NEVER = float("inf")
