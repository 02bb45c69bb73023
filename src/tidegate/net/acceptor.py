"""What the connections of one server share, and what the server knows of each of them."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from tidegate.gateway.application import Exchange, Gateway
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.forwarded import Forwarding
from tidegate.gateway.scope import Peers
from tidegate.http.connection import Connection
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import RequestError, StreamError
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, StreamHandler, Wire
from tidegate.http1.limits import H1Limits
from tidegate.net.delay import QueueDelay, waited
from tidegate.net.timers import TimedWire, TimerWheel

if TYPE_CHECKING:
    from tidegate.net.share import Share

# Seconds that a connection must have been idle before it may be closed for another.
MIN_IDLE = 0.5

OpenHandler = Callable[[Stream, RequestHead], StreamHandler]
OpenHTTP = Callable[[Gateway, Stream, RequestHead, Peers], Exchange]
RequestRefused = Callable[[RequestError | StreamError, RequestHead | None], None]
OpenHTTP2 = Callable[[Wire, ResponseDefaults, OpenHandler, RequestRefused, float], Connection]


class AcceptedConnection(TimedWire, asyncio.Protocol):
    """A connection as the event loop, the acceptor and the server know it."""

    __slots__ = ()

    @property
    def idle_since(self) -> float:
        """Since when it waits for a request; infinity where it does not."""
        raise NotImplementedError

    def unpark(self) -> None:
        """There is room for a connection that had to wait."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """The server has begun to shut down."""
        raise NotImplementedError

    def close_idle(self) -> None:
        """Close, where it waits for a request, to make room for others."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""

    def resume_writing(self) -> None:
        """Undo `pause_writing`."""

    def count_written(self, count: int) -> None:
        """So many octets were given to the kernel or to the transport, past `write`."""

    def cut(self) -> None:
        """End the connection now; its application sees its client gone."""
        raise NotImplementedError


class Acceptor:
    """What the connections of one server share.

    `make_protocol(acceptor, server, scheme, redirect_port, origin)` makes each of them, a `TCPProtocol`.
    `open_http(gateway, stream, head, peers)` makes the handler of a request: an HTTPExchange, unless there is an edge.
    `open_http2(wire, defaults, open_handler, request_refused, now)` makes a connection of HTTP/2; it is None where that
    is not spoken. `h2c` says that it is spoken without TLS too, to clients that begin with its preface, in
    `preface_timeout` seconds; `h2c_upgrade`, to those that ask for it (`Upgrade: h2c`).
    """

    __slots__ = (
        "connections",
        "connections_changed",
        "defaults",
        "exempt_paths",
        "forwarding",
        "gateway",
        "h2c",
        "h2c_upgrade",
        "limits",
        "linger",
        "loop",
        "make_protocol",
        "max_connections",
        "open_http",
        "open_http2",
        "open_websocket",
        "parked",
        "preface_timeout",
        "queue_delay",
        "request_refused",
        "secure_defaults",
        "share",
        "shutting_down",
        "tls_extension",
        "wheel",
        "write_buffer",
        "write_timeout",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wheel: TimerWheel,
        gateway: Gateway,
        limits: H1Limits,
        defaults: ResponseDefaults,
        *,
        make_protocol: Callable[..., AcceptedConnection],
        max_connections: int,
        write_timeout: float,
        write_buffer: int,
        linger: float,
        open_websocket: Callable[[Stream, RequestHead, Peers], Exchange] | None,
        request_refused: Callable[[RequestError | StreamError, RequestHead | None, Peers], None],
        connections_changed: Callable[[], None],
        forwarding: Forwarding | None = None,
        queue_delay: QueueDelay | None = None,
        exempt_paths: frozenset[str] = frozenset(),
        open_http2: OpenHTTP2 | None = None,
        h2c: bool = True,
        h2c_upgrade: bool = False,
        preface_timeout: float = 10.0,
        secure_defaults: ResponseDefaults | None = None,
        tls_extension: Callable[[Any], dict[str, Any]] | None = None,
        open_http: OpenHTTP = HTTPExchange,
    ) -> None:
        self.make_protocol = make_protocol
        self.loop = loop
        self.wheel = wheel
        self.gateway = gateway
        self.limits = limits
        self.defaults = defaults
        # Those over TLS.
        self.secure_defaults = defaults if secure_defaults is None else secure_defaults
        # What a transport of TLS says of itself to applications.
        self.tls_extension = tls_extension
        self.max_connections = max_connections
        self.write_timeout = write_timeout
        self.write_buffer = write_buffer
        self.linger = linger
        # None where the application speaks no WebSocket: the request is then an HTTP request like any other.
        self.open_websocket = open_websocket
        self.request_refused = request_refused
        # Called when a connection is opened at or over the limit, and when one is lost below it again.
        self.connections_changed = connections_changed
        # Reads what trusted proxies say; None where nothing of it counts.
        self.forwarding = forwarding
        # Refuses requests while the loop is late; None where it never does.
        self.queue_delay = queue_delay
        self.exempt_paths = exempt_paths
        self.open_http = open_http
        self.open_http2 = open_http2
        self.h2c = h2c and open_http2 is not None
        self.h2c_upgrade = h2c_upgrade and self.h2c
        self.preface_timeout = preface_timeout
        self.connections: set[AcceptedConnection] = set()
        # Accepted beyond the limit, before accepting could pause: they wait until there is room.
        self.parked: deque[AcceptedConnection] = deque()
        self.shutting_down = False
        # Told of connections that end, where other processes accept from the same sockets.
        self.share: Share | None = None

    def admit(self, head: RequestHead, transport: Any) -> None:
        """Raise RequestError 503 for a request beyond what the server takes, unless its path is exempt."""
        if head.path in self.exempt_paths:
            return
        delay = self.queue_delay
        if self.gateway.full() or (delay is not None and delay.exceeded(monotonic(), waited(transport))):
            # RFC 9110 §15.6.4
            raise RequestError(503, "The server is busy.", ((b"retry-after", b"1"),))

    def make_room(self, lost: AcceptedConnection) -> None:
        """A connection was lost: others may begin."""
        if lost in self.parked:
            self.parked.remove(lost)
        while self.parked and len(self.connections) - len(self.parked) < self.max_connections:
            # Not within another connection's end.
            self.loop.call_soon(self.parked.popleft().unpark)
        self.connections_changed()

    def longest_idle(self) -> AcceptedConnection | None:
        """The connection that has been waiting longest for a request; None where all are at work or new."""
        found = None
        since = self.wheel.now - MIN_IDLE
        for protocol in self.connections:
            if protocol.idle_since < since:
                since = protocol.idle_since
                found = protocol
        return found

    def close_idle(self, now: float, seconds: float) -> None:
        """Close the connections that have been idle for so long."""
        for protocol in list(self.connections):
            if protocol.idle_since <= now - seconds:
                protocol.close_idle()
