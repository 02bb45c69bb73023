"""Which HTTP version a transport speaks: told by ALPN over TLS (RFC 7301, RFC 9113 §3.2), without TLS by the first
octets (§3.3, "prior knowledge")."""

from collections.abc import Callable
from typing import Any

from tidegate.http.connection import Connection
from tidegate.http.stream import Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 §3.4


def alpn_protocol(transport: Any) -> str | None:
    """What ALPN chose; None where the client offered nothing, or there is no TLS."""
    tls = transport.get_extra_info("ssl_object")
    chosen: str | None = None if tls is None else tls.selected_alpn_protocol()
    return chosen


def begins_preface(data: bytes) -> bool:
    """Whether `data`, the first of a connection, may be HTTP/2's."""
    return data[: len(PREFACE)] == PREFACE[: len(data)]


class PrefaceReader(Connection):
    """Holds the first octets while they may be HTTP/2's preface, and no more of them.

    `switch(connection, data, now)` is called once it is known, with all of them and the connection that they are for:
    `http1`, which has seen none of them yet, or one that `open_http2` makes. `timeout` is the time for it, in seconds.
    """

    __slots__ = ("_data", "_deadline", "_http1", "_open_http2", "_switch", "_wire")

    def __init__(
        self,
        wire: Wire,
        http1: Connection,
        open_http2: Callable[[float], Connection],
        switch: Callable[[Connection, bytes, float], None],
        now: float,
        timeout: float,
    ) -> None:
        self._wire = wire
        self._http1 = http1
        self._open_http2 = open_http2
        self._switch = switch
        self._data = b""
        self._deadline = now + timeout

    def receive_data(self, data: bytes, now: float) -> None:
        self._data += data
        if not begins_preface(self._data):
            self._switch(self._http1, self._data, now)
        elif len(self._data) >= len(PREFACE):
            self._switch(self._open_http2(now), self._data, now)

    def receive_eof(self, now: float) -> None:
        self._switch(self._http1, self._data, now)
        self._http1.receive_eof(now)

    def connection_lost(self) -> None:
        self._http1.connection_lost()

    def next_timeout(self) -> float:
        return self._deadline

    def handle_timeout(self, now: float) -> None:
        if now >= self._deadline:
            self._wire.close(False)

    def shutdown(self, now: float) -> None:
        self._http1.shutdown(now)

    def cut(self) -> None:
        self._http1.cut()
