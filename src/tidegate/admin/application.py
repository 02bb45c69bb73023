"""What the admin address answers, as an ASGI application: GET and HEAD, and nothing that changes anything.

A page of another origin cannot read the answers (no CORS), nor make itself one of ours: a name that its owner points
here (DNS rebinding) is refused by the Host field (RFC 9110 §7.4).
"""

import ipaddress
import json
from collections.abc import Callable, Collection
from typing import Any, Final

from tidegate.admin.page import PAGE, POLICY
from tidegate.asgi import Receive, Scope, Send
from tidegate.metrics.board import Board, Reading, Snapshot
from tidegate.metrics.exposition import OPENMETRICS, PROMETHEUS, expose
from tidegate.metrics.layout import BOUNDS, BUCKETS, ERRORS, METRICS, PROTOCOLS, STATES, STATUSES

Fields = list[tuple[bytes, bytes]]
Answer = tuple[int, bytes, bytes, Fields]  # status, content type, content, further fields

TEXT: Final = b"text/plain; charset=utf-8"
JSON: Final = b"application/json"
COMMON: Final[Fields] = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
CLOSED: Final = b"default-src 'none'; frame-ancestors 'none'"


class AdminApplication:
    """`names` are the hosts that it answers to beside IP addresses; None for any."""

    def __init__(self, board: Board, names: Collection[str] | None) -> None:
        self._board = board
        self._names = names
        self._paths: dict[str, Callable[[Fields], Answer]] = {
            "/": lambda headers: (200, b"text/html; charset=utf-8", PAGE, []),
            "/healthz": lambda headers: _text(200, "ok"),
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/workers": lambda headers: _json(workers(self._board.snapshot())),
            "/stats": lambda headers: _json(stats(self._board.snapshot())),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            return
        status, kind, content, fields = self._answer(scope)
        policy = POLICY if scope["path"] == "/" and status == 200 else CLOSED
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(content)),
            (b"content-security-policy", policy),
            *COMMON,
            *fields,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    def _answer(self, scope: Scope) -> Answer:
        headers = scope["headers"]
        if not self._known_host(headers):
            return _text(421, "This host name is not known here: see --admin-host")
        if scope["method"] not in ("GET", "HEAD"):
            return (*_text(405, "GET or HEAD")[:3], [(b"allow", b"GET, HEAD")])
        found = self._paths.get(scope["path"])
        return _text(404, "Not found") if found is None else found(headers)

    def _known_host(self, headers: Fields) -> bool:
        if self._names is None:
            return True
        hosts = [value for name, value in headers if name == b"host"]
        if not hosts:
            return True  # HTTP/1.0: no browser
        host = hosts[0].decode("latin-1").lower()
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _ready(self, headers: Fields) -> Answer:
        return _text(200, "ready") if self._board.is_ready() else _text(503, "not ready")

    def _metrics(self, headers: Fields) -> Answer:
        accept = b",".join(value for name, value in headers if name == b"accept").decode("latin-1")
        openmetrics = prefers_openmetrics(accept)
        content = expose(self._board.snapshot(), openmetrics=openmetrics).encode()
        kind = (OPENMETRICS if openmetrics else PROMETHEUS).encode()
        return (200, kind, content, [(b"vary", b"accept")])


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept field wants OpenMetrics rather than Prometheus' own format (RFC 9110 §12.5.1)."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if kind not in best or (kind != "text/plain" and values.get("version", "1.0.0") != "1.0.0"):
            continue
        try:
            quality = float(values.get("q", "1"))
        except ValueError:
            quality = 0.0
        best[kind] = max(best[kind], quality)
    return best["application/openmetrics-text"] > 0 and (
        best["application/openmetrics-text"] >= best["text/plain"]
    )


def workers(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Of each process: its slot, process id, state, age, and what it is at."""
    return [_worker(reading, snapshot.now) for reading in snapshot.readings]


def _worker(reading: Reading, now: float) -> dict[str, Any]:
    process = reading.process
    requests = METRICS["requests"]
    done = sum(reading.cells[requests.cell : requests.cell + requests.size])
    opened, closed = reading.value("websockets_opened"), reading.value("websockets_closed")
    return {
        "worker": process.slot,
        "pid": process.pid,
        "state": process.state,
        "age": round(now - process.started_at, 3),
        "requests": done,
        "in_progress": reading.value("requests_in_progress"),
        "connections": {name: reading.value("connections", n) for n, name in enumerate(STATES)},
        "websockets": opened - closed,
        "resident_memory": reading.value("resident_memory_bytes"),
        "cpu_seconds": round(reading.value("cpu_seconds"), 3),
        "lag": round(reading.lag, 6),
    }


def stats(snapshot: Snapshot) -> dict[str, Any]:
    """What the live page plots."""
    totals = snapshot.totals
    requests = METRICS["requests"]
    statuses = dict.fromkeys(STATUSES, 0.0)
    protocols = dict.fromkeys(PROTOCOLS, 0.0)
    for (_, status, protocol), cell in requests.series():
        statuses[status] += totals[cell]
        protocols[protocol] += totals[cell]
    errors, messages = METRICS["errors"].cell, METRICS["websocket_messages"].cell
    return {
        "now": snapshot.now,
        "uptime": round(snapshot.now - snapshot.started_at, 1),
        "ready": snapshot.ready,
        "version": snapshot.build.version,
        "build": f"{snapshot.build.build}, Python {snapshot.build.python}, {snapshot.build.loop}",
        "requests": sum(statuses.values()),
        "statuses": statuses,
        "protocols": protocols,
        "bounds": BOUNDS,
        "latency": {
            name: totals[METRICS[metric].cell : METRICS[metric].cell + BUCKETS + 1]
            for name, metric in (
                ("queue", "request_queue_seconds"),
                ("first_byte", "request_first_byte_seconds"),
                ("duration", "request_duration_seconds"),
            )
        },
        "connections": {name: snapshot.gauge("connections", n) for n, name in enumerate(STATES)},
        "websockets": snapshot.websockets,
        "messages": totals[messages] + totals[messages + 1],
        "received": totals[METRICS["received_bytes"].cell],
        "sent": totals[METRICS["sent_bytes"].cell],
        "errors": {kind: totals[errors + n] for n, kind in enumerate(ERRORS)},
        "restarts": dict(snapshot.restarts),
        "workers": workers(snapshot),
    }


def _text(status: int, text: str) -> Answer:
    return (status, TEXT, text.encode() + b"\n", [])


def _json(value: Any) -> Answer:
    return (200, JSON, json.dumps(value, indent=1).encode() + b"\n", [])
