"""HTTP/2 and HPACK on the wire: what a client sends, whether RFC 9113 and RFC 7541 allow it, and what must follow.

Every case is one connection, on whose stream 1 most of it happens. These are the cases that conformance testers of
HTTP/2 servers ask for, in our own words; where RFC 9113 leaves out what RFC 7540 asked for and still allows it, the
case holds the server to RFC 7540 (the clause says so).
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.support.http2 import (
    ACK,
    COMPRESSION_ERROR,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GET,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    PING,
    POST,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Frame,
    FrameParser,
    block,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    headers,
    integer,
    ping,
    post,
    reset,
    settings,
    window,
)

WAIT = 10.0  # seconds, for what has to come


class Client:
    """One connection, behind its preface; `next_frame` gives what the server sends, and None at the end."""

    def __init__(self, connection: socket.socket, *, greet: bool = True) -> None:
        self.socket = connection
        self.socket.settimeout(WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = FrameParser()
        self.seen: list[Frame] = []
        self._coming: list[Frame] = []
        self.settings: dict[int, int] = {}
        if greet:
            self.send(PREFACE + settings((INITIAL_WINDOW_SIZE, 65535)))
            theirs = self.until(lambda each: each.kind == SETTINGS and not each.flags & ACK).payload
            pairs = (theirs[i : i + 6] for i in range(0, len(theirs), 6))
            self.settings = {
                int.from_bytes(each[:2], "big"): int.from_bytes(each[2:], "big") for each in pairs
            }
            if not any(each.kind == SETTINGS and each.flags & ACK for each in self.seen):
                self.until(acknowledgement)
            self.send(SETTINGS_ACK)
        self.seen.clear()

    def send(self, octets: bytes) -> None:
        with suppress(ConnectionError):  # the server may end the connection before it has all
            self.socket.sendall(octets)

    def next_frame(self) -> Frame | None:
        while not self._coming:
            try:
                received = self.socket.recv(1 << 16)
            except ConnectionError:
                received = b""
            if not received:
                return None
            self._coming = self.parser.receive(received)
        self.seen.append(self._coming.pop(0))
        return self.seen[-1]

    def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        while (received := self.next_frame()) is not None:
            if wanted(received):
                return received
        raise AssertionError(f"closed, after {self.names}")

    def until_closed(self) -> list[Frame]:
        while self.next_frame() is not None:
            pass
        return self.seen

    @property
    def names(self) -> str:
        return ", ".join(f"{each.name} {each.payload[:16]!r} on {each.stream_id}" for each in self.seen)


def acknowledgement(received: Frame) -> bool:
    return received.kind == SETTINGS and bool(received.flags & ACK)


# What must follow

Verdict = Callable[[Client], None]
Step = bytes | Callable[[Client], bytes | None]  # sent, or waited for


def connection_error(*codes: int) -> Verdict:
    """RFC 9113 §5.4.1: GOAWAY with one of `codes`, and the connection ends."""

    def verdict(client: Client) -> None:
        found = [each.code for each in client.until_closed() if each.kind == GOAWAY]
        assert found, client.names
        assert found[-1] in codes, client.names

    return verdict


def stream_error(*codes: int, stream_id: int = 1) -> Verdict:
    """RFC 9113 §5.4.2: RST_STREAM with one of `codes`; §5.4 lets a server end the connection with it."""

    def wanted(received: Frame) -> bool:
        if received.kind == GOAWAY:
            return received.code in codes
        return received.kind == RST_STREAM and received.code in codes and received.stream_id == stream_id

    def verdict(client: Client) -> None:
        client.until(wanted)

    return verdict


def refused(client: Client) -> None:
    """Some stream is."""
    client.until(lambda each: each.kind == RST_STREAM and each.code in (PROTOCOL_ERROR, REFUSED_STREAM))


def answered(client: Client) -> None:
    """With status 200 on stream 1, and nothing before it says otherwise."""
    received = client.until(lambda each: each.kind in (HEADERS, RST_STREAM, GOAWAY))
    assert received.kind == HEADERS, client.names
    assert (received.stream_id, received.status) == (1, 200)


def closed(client: Client) -> None:
    client.until_closed()


def pinged(payload: bytes = b"12345678") -> Verdict:
    """The connection lives: the PING with `payload` is acknowledged, and no other."""

    def verdict(client: Client) -> None:
        received = client.until(lambda each: each.kind in (PING, GOAWAY))
        assert received.kind == PING, client.names
        assert (received.flags, received.payload) == (ACK, payload)

    return verdict


def pinged_or_closed(client: Client) -> None:
    while (received := client.next_frame()) is not None and received.kind != PING:
        pass


def carries(length: int) -> Verdict:
    """The next DATA is of `length` octets."""

    def verdict(client: Client) -> None:
        assert len(client.until(lambda each: each.kind == DATA).payload) == length

    return verdict


def settings_first(client: Client) -> None:
    received = client.next_frame()
    assert received is not None
    assert (received.kind, received.flags) == (SETTINGS, 0)


def acknowledged(client: Client) -> None:
    client.until(acknowledgement)


def ended(client: Client) -> None:
    client.until(lambda each: each.ends_stream and each.stream_id == 1)


def some_data(client: Client) -> None:
    client.until(lambda each: each.kind == DATA)


@dataclass(frozen=True)
class Case:
    clause: str  # of RFC 9113, where no other is named
    name: str
    sends: Sequence[Step]
    verdict: Verdict
    greet: bool = True

    def run(self, connection: socket.socket) -> None:
        client = Client(connection, greet=self.greet)
        for step in self.sends:
            octets = step if isinstance(step, bytes) else step(client)
            if octets:
                client.send(octets)
        self.verdict(client)


# What is sent

LONG = [(b"x-dummy0", b"x" * 4000)]
REPEATED = block(LONG, 0x40)
GET_BLOCK = block(GET)
REQUEST = headers(1)
INCOMPLETE = headers(1, end_headers=False)
OPEN = headers(1, end=False)
UPLOAD = post(1)
INDEXED = b"".join([b"\x82\x86\x84", block(GET[3:], 0x40)])  # GET, http, / and an authority that is stored


def with_block(fragment: bytes) -> bytes:
    """A whole request of this header block."""
    return frame(HEADERS, END_STREAM | END_HEADERS, 1, fragment)


def request(*fields: tuple[bytes, bytes]) -> bytes:
    return headers(1, fields)


def priority(stream_id: int, depends_on: int = 0, weight: int = 255, exclusive: bool = False) -> bytes:
    return frame(PRIORITY, 0, stream_id, dependency(depends_on, weight, exclusive))


def initial_window(size: int) -> bytes:
    return settings((INITIAL_WINDOW_SIZE, size))


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [each for each in GET if each[0] != name]


def largest_content(client: Client) -> bytes:
    return data(1, bytes(client.settings.get(MAX_FRAME_SIZE, 16384)), end=True)


def too_large_content(client: Client) -> bytes:
    return data(1, bytes(client.settings.get(MAX_FRAME_SIZE, 16384) + 1), end=True)


def too_large_head(client: Client) -> bytes:
    size = client.settings.get(MAX_FRAME_SIZE, 16384) + 1
    return with_block(block([*GET, (b"x-dummy", b"x" * size)]))


def too_many_streams(client: Client) -> bytes:
    return b"".join(headers(2 * i + 1) for i in range(client.settings[MAX_CONCURRENT_STREAMS] + 1))


def too_large_table(client: Client) -> bytes:
    size = client.settings.get(HEADER_TABLE_SIZE, 4096) + 1
    return with_block(integer(size, 0x20, 0x1F) + GET_BLOCK)


VALUE = b"conformance"
HUFFMAN_NAME = b"\x85\xf2\xb2\x4a\x84\xff"  # x-test, of RFC 7541 appendix B's codes
HUFFMAN_VALUE = b"\x83\x49\x50\x9f"  # test

MALFORMED = stream_error(PROTOCOL_ERROR)
PROTOCOL = connection_error(PROTOCOL_ERROR)
SIZE = connection_error(FRAME_SIZE_ERROR)
FLOW = connection_error(FLOW_CONTROL_ERROR)
COMPRESSION = connection_error(COMPRESSION_ERROR)
LIVES = pinged()

STARTING = [
    Case("§3.4", "the server's preface is SETTINGS", [PREFACE, settings()], settings_first, greet=False),
    Case("§3.4", "another preface", [b"INVALID CONNECTION PREFACE\r\n\r\n"], closed, greet=False),
]
FRAMES = [
    Case("§4.1", "a frame of an unknown type", [frame(0x16, 0, 0, bytes(8)), ping()], LIVES),
    Case("§4.1", "flags without a meaning", [frame(PING, 0x16, 0, b"12345678")], LIVES),
    Case("§4.1", "the reserved bit", [frame(PING, 0x16, 1 << 31, b"12345678")], LIVES),
    Case("§4.2", "DATA of the largest size", [UPLOAD, largest_content], answered),
    Case("§4.2", "DATA above the largest size", [UPLOAD, too_large_content], stream_error(FRAME_SIZE_ERROR)),
    Case("§4.2", "HEADERS above the largest size", [too_large_head], SIZE),
    Case("§4.3", "a header block that ends within a field", [frame(HEADERS, 0x5, 1, b"\x40")], COMPRESSION),
    Case(
        "§4.3",
        "PRIORITY in a header block",
        [INCOMPLETE, priority(1), continuation(1, block(LONG))],
        PROTOCOL,
    ),
    Case("§4.3", "HEADERS of another stream in a header block", [INCOMPLETE, headers(3)], PROTOCOL),
]
STREAMS = [
    Case("§5.1 idle", "DATA", [data(1, b"test", end=True)], PROTOCOL),
    Case("§5.1 idle", "RST_STREAM", [reset(1)], PROTOCOL),
    Case("§5.1 idle", "WINDOW_UPDATE", [window(1, 100)], PROTOCOL),
    Case("§5.1 idle", "CONTINUATION", [continuation(1, GET_BLOCK)], PROTOCOL),
    Case("§5.1 idle", "PRIORITY", [priority(1), ping()], LIVES),
    Case("§5.1 half-closed", "DATA", [REQUEST, data(1, b"test", end=True)], stream_error(STREAM_CLOSED)),
    Case("§5.1 half-closed", "HEADERS", [REQUEST, REQUEST], stream_error(STREAM_CLOSED)),
    Case(
        "§5.1 half-closed",
        "CONTINUATION",
        [REQUEST, continuation(1, GET_BLOCK)],
        stream_error(STREAM_CLOSED, PROTOCOL_ERROR),
    ),
    Case("§5.1 half-closed", "WINDOW_UPDATE", [initial_window(0), REQUEST, window(1, 1)], carries(1)),
    Case("§5.1 half-closed", "PRIORITY", [initial_window(0), REQUEST, priority(1), window(1, 1)], carries(1)),
    Case("§5.1 half-closed", "RST_STREAM", [REQUEST, reset(1), ping()], LIVES),
    Case("§5.1 reset", "DATA", [OPEN, reset(1), data(1, b"test", end=True)], stream_error(STREAM_CLOSED)),
    Case("§5.1 reset", "HEADERS", [OPEN, reset(1), REQUEST], stream_error(STREAM_CLOSED)),
    Case(
        "§5.1 reset",
        "CONTINUATION",
        [OPEN, reset(1), continuation(1, block(LONG))],
        stream_error(STREAM_CLOSED, PROTOCOL_ERROR),
    ),
    Case("§5.1 closed", "DATA", [REQUEST, ended, data(1, b"test", end=True)], stream_error(STREAM_CLOSED)),
    Case("§5.1 closed", "HEADERS", [REQUEST, ended, REQUEST], connection_error(STREAM_CLOSED)),
    Case(
        "§5.1 closed",
        "CONTINUATION",
        [REQUEST, ended, continuation(1, block(LONG))],
        connection_error(STREAM_CLOSED, PROTOCOL_ERROR),
    ),
    Case("§5.1 closed", "PRIORITY", [REQUEST, ended, priority(1), ping()], LIVES),
    Case("§5.1.1", "an even stream", [headers(2)], PROTOCOL),
    Case("§5.1.1", "a stream below the last", [headers(5), headers(3)], PROTOCOL),
    Case("§5.1.1", "a stream twice", [headers(5), headers(5)], stream_error(STREAM_CLOSED, stream_id=5)),
    Case("§5.1.2", "more streams than are allowed", [initial_window(0), too_many_streams], refused),
    Case(
        "RFC 7540 §5.3.1",
        "HEADERS that depend on themselves",
        [headers(1, priority=dependency(1))],
        MALFORMED,
    ),
    Case("RFC 7540 §5.3.1", "PRIORITY that depends on itself", [priority(1, 1)], MALFORMED),
    Case("§5.4.1", "the connection ends", [frame(PING, 0, 3, bytes(8))], closed),
    Case("§5.4.1", "GOAWAY comes first", [frame(PING, 0, 3, bytes(8))], PROTOCOL),
    Case("§5.5", "a frame of an extension", [frame(0x16, 0, 0, bytes(8)), ping()], LIVES),
    Case("§5.5", "one in a header block", [INCOMPLETE, frame(0x16, 0, 0, bytes(8))], PROTOCOL),
]
FRAME_DEFINITIONS = [
    Case("§6.1", "DATA", [UPLOAD, data(1, b"test", end=True)], answered),
    Case("§6.1", "several DATA", [UPLOAD, data(1, b"test"), data(1, b"test", end=True)], answered),
    Case("§6.1", "DATA with padding", [UPLOAD, data(1, b"test", end=True, padding=6)], answered),
    Case("§6.1", "DATA on stream 0", [data(0, b"test", end=True)], PROTOCOL),
    Case(
        "§6.1",
        "DATA behind the end",
        [post(1, end=True), data(1, b"t", end=True)],
        stream_error(STREAM_CLOSED),
    ),
    Case(
        "§6.1",
        "DATA of more padding than it is long",
        [post(1, (b"content-length", b"4")), frame(DATA, PADDED | END_STREAM, 1, b"\x06Test")],
        PROTOCOL,
    ),
    Case("§6.2", "HEADERS", [REQUEST], answered),
    Case("§6.2", "HEADERS with padding", [headers(1, padding=8)], answered),
    Case("§6.2", "HEADERS with a priority", [headers(1, priority=dependency(0, 255))], answered),
    Case("§6.2", "PRIORITY before END_HEADERS", [INCOMPLETE, priority(1)], PROTOCOL),
    Case("§6.2", "another stream before END_HEADERS", [INCOMPLETE, headers(3)], PROTOCOL),
    Case("§6.2", "HEADERS on stream 0", [headers(0)], PROTOCOL),
    Case(
        "§6.2",
        "HEADERS of more padding than they are long",
        [frame(HEADERS, PADDED | 0x5, 1, bytes([len(GET_BLOCK) + 2]) + GET_BLOCK)],
        MALFORMED,
    ),
    Case("§6.3", "PRIORITY of weight 1", [priority(1, weight=0), REQUEST], answered),
    Case("§6.3", "PRIORITY of weight 256", [priority(1), REQUEST], answered),
    Case("§6.3", "PRIORITY with a dependency", [priority(3, 1, 0), REQUEST], answered),
    Case("§6.3", "PRIORITY that is exclusive", [priority(1, 0, 0, True), REQUEST], answered),
    Case("§6.3", "PRIORITY of a later stream", [priority(3), REQUEST], answered),
    Case("§6.3", "PRIORITY on stream 0", [priority(0)], PROTOCOL),
    Case(
        "§6.3",
        "PRIORITY of 4 octets",
        [REQUEST, frame(PRIORITY, 0, 1, bytes(4))],
        stream_error(FRAME_SIZE_ERROR),
    ),
    Case("§6.4", "RST_STREAM", [OPEN, reset(1), ping()], LIVES),
    Case("§6.4", "RST_STREAM on stream 0", [reset(0)], PROTOCOL),
    Case("§6.4", "RST_STREAM of an idle stream", [reset(1)], PROTOCOL),
    Case("§6.4", "RST_STREAM of 3 octets", [REQUEST, frame(RST_STREAM, 0, 1, bytes(3))], SIZE),
    Case("§6.5", "ACK with a payload", [frame(SETTINGS, ACK, 0, b"\0")], SIZE),
    Case("§6.5", "SETTINGS on stream 1", [frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64")], PROTOCOL),
    Case("§6.5", "SETTINGS of 3 octets", [frame(SETTINGS, 0, 0, b"\0\3\0")], SIZE),
    Case(
        "§6.5",
        "every setting",
        [
            settings(
                (HEADER_TABLE_SIZE, 4096),
                (ENABLE_PUSH, 1),
                (MAX_CONCURRENT_STREAMS, 100),
                (INITIAL_WINDOW_SIZE, 65535),
                (MAX_FRAME_SIZE, 16384),
                (MAX_HEADER_LIST_SIZE, 100),
            )
        ],
        acknowledged,
    ),
    Case("§6.5.2", "ENABLE_PUSH of 2", [settings((ENABLE_PUSH, 2))], PROTOCOL),
    Case("§6.5.2", "INITIAL_WINDOW_SIZE of 2^31", [initial_window(1 << 31)], FLOW),
    Case("§6.5.2", "MAX_FRAME_SIZE of 2^14 - 1", [settings((MAX_FRAME_SIZE, 16383))], PROTOCOL),
    Case("§6.5.2", "MAX_FRAME_SIZE of 2^24", [settings((MAX_FRAME_SIZE, 1 << 24))], PROTOCOL),
    Case("§6.5.2", "an unknown setting", [settings((0xFF, 1)), ping()], LIVES),
    Case(
        "§6.5.3",
        "settings take effect in their order",
        [settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), acknowledged, REQUEST],
        carries(1),
    ),
    Case("§6.5.3", "SETTINGS are acknowledged", [settings((ENABLE_PUSH, 0))], acknowledged),
    Case("§6.6", "PUSH_PROMISE", [frame(PUSH_PROMISE, 0x4, 1, b"\0\0\0\3" + GET_BLOCK)], PROTOCOL),
    Case("§6.7", "PING", [ping(b"question")], pinged(b"question")),
    Case(
        "§6.7",
        "PING's acknowledgement",
        [ping(b"unasked!", ack=True), ping(b"question")],
        pinged(b"question"),
    ),
    Case("§6.7", "PING on stream 1", [frame(PING, 0, 1, bytes(8))], PROTOCOL),
    Case("§6.7", "PING of 6 octets", [frame(PING, 0, 0, bytes(6))], SIZE),
    Case("§6.7", "PING of 6 octets on stream 1", [frame(PING, 0, 1, bytes(6))], PROTOCOL),
    Case("§6.8", "GOAWAY, then PING", [goaway(detail=b"bye"), ping()], pinged_or_closed),
    Case("§6.8", "GOAWAY", [goaway(detail=b"bye")], closed),
    Case("§6.8", "GOAWAY on stream 1", [frame(GOAWAY, 0, 1, bytes(8))], PROTOCOL),
    Case("§6.9", "WINDOW_UPDATE on stream 0", [window(0, 1), ping()], LIVES),
    Case("§6.9", "WINDOW_UPDATE on stream 1", [REQUEST, window(1, 1)], answered),
    Case("§6.9", "WINDOW_UPDATE of 0 on stream 0", [window(0, 0)], PROTOCOL),
    Case("§6.9", "WINDOW_UPDATE of 0 on a stream", [OPEN, window(1, 0)], MALFORMED),
    Case("§6.9", "WINDOW_UPDATE of 3 octets", [frame(WINDOW_UPDATE, 0, 0, b"\0\0\1")], SIZE),
    Case("§6.9.1", "a window of 1", [initial_window(1), acknowledged, REQUEST], carries(1)),
    Case("§6.9.1", "the connection's window above 2^31 - 1", [window(0, (1 << 31) - 1)] * 2, FLOW),
    Case(
        "§6.9.1",
        "a stream's window above 2^31 - 1",
        [OPEN, window(1, (1 << 31) - 1), window(1, (1 << 31) - 1)],
        stream_error(FLOW_CONTROL_ERROR),
    ),
    Case(
        "§6.9.2",
        "a window that opens behind its request",
        [initial_window(0), acknowledged, REQUEST, initial_window(1), acknowledged],
        carries(1),
    ),
    Case(
        "§6.9.2",
        "a window below 0",
        [initial_window(3), acknowledged, REQUEST, some_data, initial_window(2), acknowledged, window(1, 2)],
        carries(1),
    ),
    Case("§6.9.2", "initial windows above 2^31 - 1", [initial_window(1 << 31)], FLOW),
    Case(
        "§6.10",
        "CONTINUATION",
        [frame(HEADERS, END_STREAM, 1, GET_BLOCK[:5]), continuation(1, GET_BLOCK[5:])],
        answered,
    ),
    Case(
        "§6.10",
        "several CONTINUATION",
        [
            frame(HEADERS, END_STREAM, 1, GET_BLOCK[:5]),
            continuation(1, GET_BLOCK[5:10], end=False),
            continuation(1, GET_BLOCK[10:]),
        ],
        answered,
    ),
    Case(
        "§6.10",
        "CONTINUATION that repeat a field",
        [INCOMPLETE, continuation(1, REPEATED, end=False), continuation(1, b"\xbe")],
        answered,
    ),
    Case(
        "§6.10",
        "DATA behind an open CONTINUATION",
        [
            headers(1, POST, end=False, end_headers=False),
            continuation(1, REPEATED, end=False),
            data(1, b"test", end=True),
        ],
        PROTOCOL,
    ),
    Case("§6.10", "CONTINUATION on stream 0", [INCOMPLETE, continuation(0, REPEATED)], PROTOCOL),
    Case("§6.10", "CONTINUATION behind HEADERS' end", [REQUEST, continuation(1, REPEATED)], PROTOCOL),
    Case(
        "§6.10",
        "CONTINUATION behind CONTINUATION's end",
        [INCOMPLETE, continuation(1, REPEATED), continuation(1, b"\xbe")],
        PROTOCOL,
    ),
    Case(
        "§6.10",
        "CONTINUATION behind DATA",
        [
            headers(1, POST, end=False, end_headers=False),
            data(1, b"test", end=True),
            continuation(1, REPEATED),
        ],
        PROTOCOL,
    ),
    Case("§7", "GOAWAY of an unknown code, then PING", [goaway(code=0xFF), ping()], pinged_or_closed),
    Case("§7", "GOAWAY of an unknown code", [goaway(code=0xFF)], closed),
    Case("§7", "RST_STREAM of an unknown code", [UPLOAD, reset(1, 0xFF), ping()], LIVES),
]
MESSAGES = [
    Case("§8.1", "GET", [REQUEST], answered),
    Case("§8.1", "HEAD", [request((b":method", b"HEAD"), *GET[1:])], answered),
    Case("§8.1", "POST", [UPLOAD, data(1, b"test", end=True)], answered),
    Case(
        "§8.1",
        "POST with trailers",
        [post(1, (b"trailer", b"x-test")), data(1, b"test"), headers(1, [(b"x-test", b"ok")])],
        answered,
    ),
    Case(
        "§8.1",
        "trailers without END_STREAM",
        [UPLOAD, data(1, b"test"), headers(1, [(b"x-test", b"ok")], end=False)],
        MALFORMED,
    ),
    Case("§8.2.1", "a field name in upper case", [request(*GET, (b"X-TEST", b"ok"))], MALFORMED),
    Case("§8.2.2", "connection", [request(*GET, (b"connection", b"keep-alive"))], MALFORMED),
    Case("§8.2.2", "te other than trailers", [request(*GET, (b"te", b"trailers, deflate"))], MALFORMED),
    Case("§8.3", "an unknown pseudo-field", [request(*GET, (b":test", b"ok"))], MALFORMED),
    Case("§8.3", "a response's pseudo-field", [request(*GET, (b":status", b"200"))], MALFORMED),
    Case(
        "§8.3",
        "a pseudo-field among trailers",
        [UPLOAD, data(1, b"test"), headers(1, [(b":method", b"POST")])],
        MALFORMED,
    ),
    Case(
        "§8.3",
        "a pseudo-field among trailers without END_STREAM",
        [UPLOAD, data(1, b"test"), headers(1, [(b":method", b"POST")], end=False)],
        MALFORMED,
    ),
    Case("§8.3", "a pseudo-field behind another", [request((b"x-test", b"ok"), *GET)], MALFORMED),
    Case("§8.3.1", "an empty :path", [request(*GET[:2], (b":path", b""), GET[3])], MALFORMED),
    *(
        Case("§8.3.1", f"no {each.decode()}", [request(*without(each))], MALFORMED)
        for each in (b":method", b":scheme", b":path")
    ),
    *(Case("§8.3.1", f"{each[0].decode()} twice", [request(*GET, each)], MALFORMED) for each in GET[:3]),
    Case(
        "§8.1.1",
        "content-length, and more",
        [post(1, (b"content-length", b"1")), data(1, b"test", end=True)],
        MALFORMED,
    ),
    Case(
        "§8.1.1",
        "content-length, and more in several DATA",
        [post(1, (b"content-length", b"1")), data(1, b"test"), data(1, b"test", end=True)],
        MALFORMED,
    ),
    Case("§8.4", "a client's push", [frame(PUSH_PROMISE, 0x4, 1, b"\0\0\0\3" + GET_BLOCK)], PROTOCOL),
]


def literal(flags: int, name: bytes, value: bytes) -> bytes:
    """A request with one field more, which is represented as `flags` says, with its name and value as given."""
    return with_block(INDEXED + bytes([flags]) + name + value)


PLAIN = integer(len(b"x-test"), 0, 0x7F) + b"x-test"
PLAIN_VALUE = integer(len(VALUE), 0, 0x7F) + VALUE
REPRESENTATIONS = {"with incremental indexing": 0x40, "without indexing": 0x00, "never indexed": 0x10}
HPACK = [
    Case("RFC 7541 §6.1", "an indexed field", [with_block(INDEXED + b"\xba")], answered),
    Case(
        "RFC 7541 §6.1", "a field of the dynamic table", [with_block(INDEXED + REPEATED + b"\xbe")], answered
    ),
    *(
        case
        for how, flags in REPRESENTATIONS.items()
        for indexed in [integer(58, flags, 0x3F if flags == 0x40 else 0x0F)]
        for case in (
            Case(
                "RFC 7541 §6.2",
                f"{how}, indexed name",
                [with_block(INDEXED + indexed + PLAIN_VALUE)],
                answered,
            ),
            Case(
                "RFC 7541 §6.2",
                f"{how}, indexed name, Huffman",
                [with_block(INDEXED + indexed + HUFFMAN_VALUE)],
                answered,
            ),
            Case("RFC 7541 §6.2", f"{how}, new name", [literal(flags, PLAIN, PLAIN_VALUE)], answered),
            Case(
                "RFC 7541 §6.2",
                f"{how}, new name, Huffman",
                [literal(flags, HUFFMAN_NAME, HUFFMAN_VALUE)],
                answered,
            ),
        )
    ),
    Case("RFC 7541 §6.3", "a table of no size", [with_block(b"\x20" + INDEXED)], answered),
    Case("RFC 7541 §4.2", "a table's size twice", [with_block(b"\x20\x3f\xe1\x1f" + INDEXED)], answered),
    Case("RFC 7541 §2.3.3", "an index behind the tables", [with_block(INDEXED + b"\xfe")], COMPRESSION),
    Case("RFC 7541 §4.2", "a table's size behind a field", [with_block(INDEXED + b"\x21")], COMPRESSION),
    Case(
        "RFC 7541 §5.2",
        "Huffman padding of a whole octet",
        [literal(0, HUFFMAN_NAME, b"\x84\x49\x50\x9f\xff")],
        COMPRESSION,
    ),
    Case(
        "RFC 7541 §5.2",
        "Huffman padding of zeros",
        [literal(0, HUFFMAN_NAME, b"\x83\x49\x50\x90")],
        COMPRESSION,
    ),
    Case(
        "RFC 7541 §5.2",
        "Huffman's EOS",
        [literal(0, HUFFMAN_NAME, b"\x87\xff\xff\xff\xfd\x25\x42\x7f")],
        COMPRESSION,
    ),
    Case("RFC 7541 §6.1", "index 0", [with_block(INDEXED + b"\x80")], COMPRESSION),
    Case("RFC 7541 §6.3", "a table above SETTINGS_HEADER_TABLE_SIZE", [too_large_table], COMPRESSION),
]

CASES = [*STARTING, *FRAMES, *STREAMS, *FRAME_DEFINITIONS, *MESSAGES, *HPACK]
