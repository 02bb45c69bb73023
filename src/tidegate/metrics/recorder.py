"""Counts what one process does, in its cells. Composed into the server at its start: without it nobody asks.

How long a request waited for the event loop is the kernel's to say (`net/delay`), and a system call. It is asked where
there is reason to: the loop is late by its timer, or the request before took it `PAUSE` seconds; else every `RARELY`
seconds, and every `OFTEN` while its last answer was that requests wait. For the requests between, that answer stands.
"""

from time import perf_counter
from typing import TYPE_CHECKING, Any

from tidegate.gateway import response
from tidegate.gateway.exchange import HTTPExchange
from tidegate.http.errors import ApplicationError, RequestError, StreamError
from tidegate.http.head import HTTP_1_1, RequestHead
from tidegate.metrics import layout
from tidegate.metrics.region import Region
from tidegate.net.delay import waited

if TYPE_CHECKING:
    from tidegate.gateway.websocket import WebSocketExchange

PAUSE = 0.005
RARELY = 1.0
OFTEN = 0.001
TICKS = 0.01  # the kernel's clock is coarse: less is no wait

_METRICS = layout.METRICS
REQUESTS = _METRICS["requests"].cell
QUEUE = _METRICS["request_queue_seconds"].cell
FIRST_BYTE = _METRICS["request_first_byte_seconds"].cell
DURATION = _METRICS["request_duration_seconds"].cell
RECEIVED = _METRICS["received_bytes"].cell
SENT = _METRICS["sent_bytes"].cell
OPENED = _METRICS["connections_opened"].cell
CLOSED = _METRICS["connections_closed"].cell
WEBSOCKETS_OPENED = _METRICS["websockets_opened"].cell
WEBSOCKETS_CLOSED = _METRICS["websockets_closed"].cell
MESSAGES = _METRICS["websocket_messages"].cell
HANDSHAKES = _METRICS["tls_handshakes"].cell
ERRORS = _METRICS["errors"].cell
CPU = _METRICS["cpu_seconds"].cell
CONNECTIONS = _METRICS["connections"].cell
IN_PROGRESS = _METRICS["requests_in_progress"].cell
RESIDENT = _METRICS["resident_memory_bytes"].cell
LAG = _METRICS["event_loop_lag_seconds"].cell
TURNED = _METRICS["event_loop_turned"].cell

STATUSES = len(layout.STATUSES)
VERSIONS = len(layout.PROTOCOLS)
METHODS: dict[str, int] = {name: n for n, name in enumerate(layout.METHODS)}
PROTOCOLS: dict[str, int] = {name: n for n, name in enumerate(layout.PROTOCOLS)}
OTHER_METHOD = METHODS["other"]
OTHER_PROTOCOL = PROTOCOLS["other"]
BUCKETS = layout.BUCKETS
FIRST_BUCKET = layout.FIRST_BUCKET
GONE = response.GONE

DISCONNECT = layout.ERRORS.index("disconnect")
KINDS = {
    status: layout.ERRORS.index(kind)
    for status, kind in (
        (408, "timeout"),
        (413, "too_large"),
        (414, "too_large"),
        (431, "too_large"),
        (503, "overload"),
    )
}


class Recorder:
    """Writes `region`; to be called in one thread only."""

    __slots__ = (
        "_ask_at",
        "_ask_not_before",
        "_completed_at",
        "_integers",
        "_opened_at",
        "_reals",
        "_region",
        "_waited",
        "due",
        "late",
        "late_at",
        "websockets",
    )

    def __init__(self, region: Region) -> None:
        self._region = region.claim()
        self._integers = region.integers
        self._reals = region.reals
        self._ask_at = 0.0
        self._ask_not_before = 0.0
        self._opened_at = 0.0
        self._completed_at = 0.0
        self._waited = 0.0
        # How late the event loop was last found, when, and when that is looked at again.
        self.due = float("inf")
        self.late = 0.0
        self.late_at = 0.0
        # Those that are open, with how many messages of each are counted.
        self.websockets: dict[Any, tuple[int, int]] = {}

    def moved(self, received: int, sent: int) -> None:
        """So many octets, over some connection."""
        self._integers[RECEIVED] += received
        self._integers[SENT] += sent

    def connection_opened(self) -> None:
        self._integers[OPENED] += 1

    def connection_closed(self) -> None:
        self._integers[CLOSED] += 1

    def request_opened(self, transport: Any) -> float:
        """A request, whose last octets came over `transport`, is about to be given to the application; the time."""
        now = perf_counter()
        if now >= self._ask_not_before:
            if (
                now >= self._ask_at
                or now >= self.due + PAUSE
                or self._completed_at - self._opened_at >= PAUSE
                or (self.late >= PAUSE and now < self.late_at + PAUSE)
            ):
                self._ask(transport, now)
            else:
                self._waited = 0.0
        self._opened_at = now
        self.queued(self._waited)
        return now

    def _ask(self, transport: Any, now: float) -> None:
        found = waited(transport)
        if found is None:
            found = max(self.late if now < self.late_at + PAUSE else 0.0, now - self.due)
        self._waited = found if found > 0 else 0.0
        self._ask_not_before = now + (OFTEN if found >= TICKS else PAUSE)
        self._ask_at = now + (OFTEN if found >= TICKS else RARELY)

    def queued(self, seconds: float) -> None:
        """A request waited so long for the event loop."""
        self._observe(QUEUE, seconds)

    def completed(self, exchange: Any) -> None:
        """What `Gateway.access_log` calls."""
        if not isinstance(exchange, HTTPExchange):
            self._websocket_completed(exchange)
            return
        self._completed(exchange)

    def _completed(self, exchange: HTTPExchange) -> None:
        begun = exchange.started_at
        first = exchange.first_byte_at
        status = exchange.status
        self._count(exchange.request, status)
        if begun > 0:
            ended = exchange.ended_at
            if ended == 0:
                ended = perf_counter()
            self._completed_at = ended
            self._observe(DURATION, ended - begun)
        if first > 0:
            self._observe(FIRST_BYTE, first - begun)
        if exchange._response == GONE:
            if first == 0 and status > 0:
                self._error(kind_of(status))  # the connection refused the rest of it
            elif exchange._disconnected:
                self._error(DISCONNECT)

    def refused(
        self, error: RequestError | StreamError, request: RequestHead | None, peers: Any = None
    ) -> None:
        """A request was answered without the application, or its stream was reset (a StreamError)."""
        status = error.status if isinstance(error, RequestError) else 0
        self._count(RequestHead() if request is None else request, status)
        if status >= 400:
            self._error(kind_of(status))
        elif status == 0:
            self._error(kind_of(400))

    def failed(self, error: BaseException, cancelled: bool) -> None:
        """The application failed."""
        if cancelled:
            self._error(layout.ERRORS.index("cancelled"))
        else:
            contract = isinstance(error, ApplicationError)
            self._error(layout.ERRORS.index("contract" if contract else "application"))

    def handshake_ended(self, success: bool) -> None:
        self._integers[HANDSHAKES + (0 if success else 1)] += 1

    def _count(self, request: RequestHead, status: int) -> None:
        # What comes most is looked for first.
        name = request.method
        method = 0 if name == "GET" else METHODS.get(name, OTHER_METHOD)
        version = request.http_version
        protocol = 1 if version == HTTP_1_1 else PROTOCOLS.get(version, OTHER_PROTOCOL)
        kind = status // 100
        if kind > 6:
            kind = 6
        self._integers[REQUESTS + (method * STATUSES + kind) * VERSIONS + protocol] += 1

    def _error(self, kind: int) -> None:
        self._integers[ERRORS + kind] += 1

    def _observe(self, cell: int, seconds: float) -> None:
        bucket = 0
        bound = FIRST_BUCKET
        while bucket < BUCKETS and seconds > bound:
            bound += bound
            bucket += 1
        self._reals[cell + BUCKETS + 1] += seconds
        self._integers[cell + bucket] += 1

    # --- WebSockets

    def websocket_accepted(self, exchange: "WebSocketExchange") -> None:
        self.websockets[exchange] = (0, 0)
        self._integers[WEBSOCKETS_OPENED] += 1
        self._count(exchange.request, exchange.status)
        if exchange.first_byte_at > 0:
            self._observe(FIRST_BYTE, exchange.first_byte_at - exchange.started_at)

    def _websocket_completed(self, exchange: Any) -> None:
        if exchange in self.websockets:
            self._count_messages(exchange)
            del self.websockets[exchange]
            self._integers[WEBSOCKETS_CLOSED] += 1
        else:
            self._count(exchange.request, 0)  # its client went before it was accepted
            self._error(DISCONNECT)

    def _count_messages(self, exchange: Any) -> None:
        received, sent = self.websockets[exchange]
        now = (exchange.messages_received, exchange.messages_sent)
        self._integers[MESSAGES] += now[0] - received
        self._integers[MESSAGES + 1] += now[1] - sent
        self.websockets[exchange] = now

    # --- what is looked at from time to time

    def turned(self, now: float, lag: float) -> None:
        """The event loop turns; `now` is of the monotonic clock, which processes share."""
        self._reals[LAG] = lag
        self._reals[TURNED] = now

    def sample(self, connections: tuple[int, ...], in_progress: int, resident: int, cpu: float) -> None:
        """`connections` are in the order of `layout.STATES`."""
        for exchange in list(self.websockets):
            self._count_messages(exchange)
        for n, count in enumerate(connections):
            self._integers[CONNECTIONS + n] = count
        self._integers[IN_PROGRESS] = in_progress
        self._integers[RESIDENT] = resident
        self._reals[CPU] = cpu


def kind_of(status: int) -> int:
    """The kind of error that a refusal with `status` is."""
    other = layout.ERRORS.index("bad_request" if 400 <= status < 500 else "other")
    return KINDS.get(status, other)
