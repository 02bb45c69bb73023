"""HTTP/2 by `Upgrade: h2c` (RFC 7540 §3.2; RFC 9113 §3.1 deprecates it): off by default.

A request that asks for it, and can have it, is answered 101 over HTTP/1.1 and then served as stream 1. What follows its
head on the connection is HTTP/2, and nothing else: its first octets have to be the client's preface.
"""

import base64
import re
from collections.abc import Callable
from typing import Any

from tidegate.http.connection import Connection
from tidegate.http.fields import list_members
from tidegate.http.head import NO_CONTENT, RequestHead
from tidegate.http.stream import Stream, StreamHandler

_BASE64URL = re.compile(rb"(?:[\w-]{4})*(?:[\w-]{2}==|[\w-]{3}=)?")
# RFC 9113 §8.2.2, RFC 7540 §3.2.1
_HOP_BY_HOP = frozenset(
    (b"connection", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"upgrade")
)


def upgrade_settings(head: RequestHead) -> bytes | None:
    """The SETTINGS payload of a request whose first Upgrade is h2c; None where it is not to be followed.

    It is not where the request has content, or came through a proxy, which would go on to see HTTP/1.1 where there is
    HTTP/2; nor without exactly one well-formed HTTP2-Settings that Connection names (§3.2.1).
    """
    if (
        (head.content_length != NO_CONTENT and head.content_length != 0)
        or head.forwarded
        or head.field(b"via")
    ):
        return None
    values = [value for name, value in head.headers if name == b"http2-settings"]
    if len(values) != 1 or b"http2-settings" not in _options(head):
        return None
    # §3.2.1: without padding; some clients send it
    value = values[0] if values[0].endswith(b"=") else values[0] + b"=" * (-len(values[0]) % 4)
    if not _BASE64URL.fullmatch(value):
        return None
    payload = base64.urlsafe_b64decode(value)
    return None if len(payload) % 6 else payload


def _options(head: RequestHead) -> list[bytes]:
    return list_members(b",".join([value for name, value in head.headers if name == b"connection"]))


def as_http2(head: RequestHead) -> RequestHead:
    """The same request as HTTP/2 has it, without what was for its HTTP/1.1 connection."""
    dropped = _HOP_BY_HOP.union(_options(head))
    head.headers = [field for field in head.headers if field[0] not in dropped]
    head.http_version = "2"
    head.protocol = b""
    head.content_length = NO_CONTENT
    head.expect_continue = False
    head.client_trailers = True
    return head


class Upgrade(StreamHandler):
    """Says 101 on `stream`, and lets `connection` (of HTTP/2) take over behind it.

    `switch(connection, head, data, paused, ended)` is called in the event loop's next turn, when the 101 is written:
    with what came by then, whether writing is to pause, and whether the client has ended its side.
    """

    def __init__(
        self,
        stream: Stream,
        connection: Connection,
        head: RequestHead,
        call_soon: Callable[[Callable[[], None]], Any],
        switch: Callable[[Connection, RequestHead, bytes, bool, bool], None],
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._head = head
        self._call_soon = call_soon
        self._switch = switch
        self._data = b""
        self._paused = False
        self._ended = False
        self._gone = False

    def start(self) -> None:
        self._stream.accept_tunnel([])
        # One read, at most, is held here.
        self._stream.pause_reading()
        self._call_soon(self._take_over)

    def _take_over(self) -> None:
        if not self._gone:
            self._stream.flush()
            self._switch(self._connection, as_http2(self._head), self._data, self._paused, self._ended)

    def data_received(self, data: bytes) -> None:
        self._data += data

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._ended = True

    def stream_reset(self) -> None:
        self._gone = True

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
