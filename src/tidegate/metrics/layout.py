"""Which cell of a process's shared memory holds what, written once: recorders write by it, expositions read by it.

A cell has 8 octets: an integer, or a real number (IEEE 754 binary64). Times are in seconds.
"""

import zlib
from dataclasses import dataclass
from itertools import product
from typing import Final

METHODS: Final = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "QUERY",
    "other",
)
# By the first digit; "none" where no answer was begun.
STATUSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx", "other")
PROTOCOLS: Final = ("1.0", "1.1", "2", "other")
ERRORS: Final = (
    "application",  # an exception in the application
    "contract",  # the application broke ASGI's
    "cancelled",  # the application, at shutdown
    "disconnect",  # the client went before its answer was complete
    "bad_request",  # refused here: 4xx but for the next two
    "timeout",  # refused with 408
    "too_large",  # refused with 413, 414 or 431
    "overload",  # refused with 503
    "other",
)
STATES: Final = ("active", "idle", "waiting", "handshake")

INTERVAL: Final = 0.1  # seconds between two looks at an event loop's lateness

FIRST_BUCKET: Final = 0.0001
BUCKETS: Final = 18  # each one twice as wide as the one before: the last ends at 13.1072 s

BOUNDS: Final = tuple(FIRST_BUCKET * 2**n for n in range(BUCKETS))


@dataclass(frozen=True, slots=True)
class Metric:
    """`cell` is the first; there is one for each combination of the labels' values, the last label's fastest.

    A histogram has a cell for each bucket, one for what is above them all, and the sum. `real` says that its one cell
    is a real number.
    """

    name: str
    kind: str  # counter, gauge, histogram
    help: str
    cell: int
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    real: bool = False

    @property
    def size(self) -> int:
        if self.kind == "histogram":
            return BUCKETS + 2
        size = 1
        for _, values in self.labels:
            size *= len(values)
        return size

    def series(self) -> list[tuple[tuple[str, ...], int]]:
        """The values of the labels, and the cell of each."""
        combinations = product(*(values for _, values in self.labels))
        return [(values, self.cell + n) for n, values in enumerate(combinations)]


def _lay_out() -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    end = 1  # the first cell says which layout it is
    for name, kind, text, labels, real in (
        (
            "requests",
            "counter",
            "Requests whose answer is complete, or was cut; WebSockets when they are accepted.",
            (("method", METHODS), ("status", STATUSES), ("protocol", PROTOCOLS)),
            False,
        ),
        ("request_queue_seconds", "histogram", "How long requests waited for the event loop.", (), True),
        (
            "request_first_byte_seconds",
            "histogram",
            "From a request's head to the first byte of the answer.",
            (),
            True,
        ),
        (
            "request_duration_seconds",
            "histogram",
            "From a request's head to the end of the exchange; not of WebSockets.",
            (),
            True,
        ),
        ("received_bytes", "counter", "Octets received, before TLS.", (), False),
        ("sent_bytes", "counter", "Octets sent, before TLS.", (), False),
        ("connections_opened", "counter", "Connections accepted.", (), False),
        ("connections_closed", "counter", "Connections that have ended.", (), False),
        ("websockets_opened", "counter", "WebSockets accepted.", (), False),
        ("websockets_closed", "counter", "WebSockets that have ended.", (), False),
        (
            "websocket_messages",
            "counter",
            "Messages of WebSockets.",
            (("direction", ("received", "sent")),),
            False,
        ),
        ("tls_handshakes", "counter", "TLS handshakes.", (("result", ("ok", "failed")),), False),
        ("errors", "counter", "What went wrong with requests.", (("kind", ERRORS),), False),
        ("cpu_seconds", "counter", "CPU time, of user and system.", (), True),
        ("connections", "gauge", "Connections that are open.", (("state", STATES),), False),
        ("requests_in_progress", "gauge", "Requests and WebSockets that applications are at.", (), False),
        ("resident_memory_bytes", "gauge", "Resident memory.", (), False),
        (
            "event_loop_lag_seconds",
            "gauge",
            "How late the event loop's timers are, the worst of 2 s.",
            (),
            True,
        ),
        ("event_loop_turned", "gauge", "When the event loop last turned, on the monotonic clock.", (), True),
    ):
        metric = Metric(name, kind, text, end, labels, real)
        found[name] = metric
        end += metric.size
    return found


METRICS: Final = _lay_out()
CELLS: Final = max(metric.cell + metric.size for metric in METRICS.values())
# Of workers that run another version, whose cells mean something else.
IDENTITY: Final = zlib.crc32(repr(list(METRICS.values())).encode())
REALS: Final = frozenset(
    metric.cell + (BUCKETS + 1 if metric.kind == "histogram" else 0)
    for metric in METRICS.values()
    if metric.real
)
"""The cells that hold real numbers."""
