"""HTTP/2 by hand: frames from a client, octet by octet, and what an `H2Connection` answers, with no network."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import hpack

from tests.support.http1 import CLOSED, LINGERING, BaseDialogue, RecordingHandler, Script, octets
from tidegate.http.errors import RequestError
from tidegate.http.head import NO_CONTENT
from tidegate.http2.connection import H2Connection
from tidegate.http2.limits import H2Limits

Fields = Iterable[tuple[bytes, bytes]]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
PRIORITY_UPDATE = 0x10
KINDS = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY"),
    *("WINDOW_UPDATE", "CONTINUATION"),
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(6, 10)
ENHANCE_YOUR_CALM = 0xB

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)
MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 0x6, 0x8, 0x9

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET: list[tuple[bytes, bytes]] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b":authority", b"h"),
]
POST: list[tuple[bytes, bytes]] = [(b":method", b"POST"), *GET[1:]]
TRAILERS = [(b"x-trailer", b"t")]
CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/chat"),
    (b":authority", b"h"),
    (b"sec-websocket-version", b"13"),
]
NEVER = float("inf")


# What a client sends


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def integer(value: int, flags: int, prefix: int) -> bytes:
    """RFC 7541 §5.1."""
    if value < prefix:
        return bytes([flags | value])
    out = [flags | prefix]
    value -= prefix
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def block(fields: Fields, flags: int = 0x00) -> bytes:
    """A header block that uses no table; with `flags` 0x40 its fields go into the dynamic one."""
    return b"".join(
        bytes([flags]) + b"".join(integer(len(part), 0, 0x7F) + part for part in field) for field in fields
    )


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs))


SETTINGS_ACK = frame(SETTINGS, ACK)


def padded(payload: bytes, padding: int | None) -> bytes:
    return payload if padding is None else bytes([padding]) + payload + bytes(padding)


def headers(
    stream_id: int,
    fields: Fields = GET,
    *,
    end: bool = True,
    end_headers: bool = True,
    padding: int | None = None,
    priority: bytes | None = None,
) -> bytes:
    flags = end * END_STREAM | end_headers * END_HEADERS
    flags |= (padding is not None) * PADDED | (priority is not None) * WITH_PRIORITY
    return frame(HEADERS, flags, stream_id, padded((priority or b"") + block(fields), padding))


def post(stream_id: int, *fields: tuple[bytes, bytes], end: bool = False) -> bytes:
    """The head of a request whose content is to follow."""
    return headers(stream_id, [*POST, *fields], end=end)


def data(stream_id: int, payload: bytes = b"", *, end: bool = False, padding: int | None = None) -> bytes:
    flags = end * END_STREAM | (padding is not None) * PADDED
    return frame(DATA, flags, stream_id, padded(payload, padding))


def continuation(stream_id: int, fragment: bytes, *, end: bool = True) -> bytes:
    return frame(CONTINUATION, end * END_HEADERS, stream_id, fragment)


def reset(stream_id: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def ping(payload: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return frame(PING, ack * ACK, 0, payload)


def goaway(last_stream_id: int = 0, code: int = NO_ERROR, detail: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + detail)


def dependency(depends_on: int = 0, weight: int = 15, exclusive: bool = False) -> bytes:
    """RFC 7540's priority, as in PRIORITY and in HEADERS."""
    return (depends_on | exclusive << 31).to_bytes(4, "big") + bytes([weight])


def priority_update(stream_id: int, value: bytes, on: int = 0) -> bytes:
    return frame(PRIORITY_UPDATE, 0, on, stream_id.to_bytes(4, "big") + value)


# What a client receives


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes
    fields: tuple[tuple[bytes, bytes], ...] = ()  # of HEADERS and PUSH_PROMISE

    @property
    def name(self) -> str:
        return KINDS[self.kind]

    @property
    def ends_stream(self) -> bool:
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def code(self) -> int:
        """The error code of RST_STREAM and GOAWAY."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload, "big")

    @property
    def number(self) -> int:
        """GOAWAY's last stream, or WINDOW_UPDATE's increment."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def status(self) -> int:
        return int(dict(self.fields)[b":status"])


_FLAGS = {DATA: 0x1, HEADERS: 0x5, SETTINGS: 0x1, PING: 0x1, PUSH_PROMISE: 0x4, CONTINUATION: 0x4}


class FrameParser:
    """Reads a server's frames, and accepts none that RFC 9113 forbids whatever the state."""

    def __init__(self) -> None:
        self.buffer = b""
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self.max_frame_size = 16384
        self._open: Frame | None = None  # a header block that is not complete

    def receive(self, octets_received: bytes) -> list[Frame]:
        self.buffer += octets_received
        frames = []
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                break
            head, payload, self.buffer = (
                self.buffer[:9],
                self.buffer[9 : 9 + length],
                self.buffer[9 + length :],
            )
            assert length <= self.max_frame_size, (
                "frame larger than the client's SETTINGS_MAX_FRAME_SIZE"
            )  # §4.2
            kind, flags, stream_id = head[3], head[4], int.from_bytes(head[5:], "big")
            assert stream_id < 1 << 31, "the reserved bit is set"  # §4.1
            assert kind in range(10), "a frame of an unknown type"
            assert flags & ~_FLAGS.get(kind, 0) == 0, f"flags {flags:#x} on {KINDS[kind]}"
            # §5.1.1, §6
            assert (stream_id == 0) == (kind in (SETTINGS, PING, GOAWAY)) or kind == WINDOW_UPDATE
            found = self._complete(Frame(kind, flags, stream_id, payload))
            if found is not None:
                frames.append(found)
        return frames

    def _complete(self, received: Frame) -> Frame | None:
        if self._open is not None:
            # §4.3: nothing comes between the frames of a header block
            assert received.kind == CONTINUATION
            assert received.stream_id == self._open.stream_id
            opened = self._open
            received = Frame(
                opened.kind,
                opened.flags | received.flags,
                opened.stream_id,
                opened.payload + received.payload,
            )
            self._open = None
        if received.kind not in (HEADERS, PUSH_PROMISE):
            assert received.kind != CONTINUATION
            return received
        if not received.flags & END_HEADERS:
            self._open = received
            return None
        fragment = received.payload[4:] if received.kind == PUSH_PROMISE else received.payload
        fields = tuple((bytes(name), bytes(value)) for name, value in self.decoder.decode(fragment, raw=True))
        return Frame(received.kind, received.flags, received.stream_id, received.payload, fields)


class Answer:
    """One stream as the client sees it."""

    def __init__(self) -> None:
        self.interim: list[tuple[tuple[bytes, bytes], ...]] = []
        self.fields: tuple[tuple[bytes, bytes], ...] = ()
        self.octets = bytearray()
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.fields)[b":status"])

    @property
    def content(self) -> bytes:
        return bytes(self.octets)

    def receive(self, received: Frame) -> None:
        """A frame of this stream, in the order of RFC 9113 §8.1, and none behind its end (§5.1)."""
        assert self.reset is None, f"{received.name} behind RST_STREAM"
        if received.kind == RST_STREAM:
            self.reset = received.code
        elif received.kind not in (WINDOW_UPDATE, PUSH_PROMISE):
            assert not self.ended, f"{received.name} behind END_STREAM"
            if received.kind == DATA:
                assert self.fields, "DATA in front of HEADERS"
                self.octets += received.payload
            elif self.fields:
                assert received.ends_stream, "trailers without END_STREAM"
                assert not any(name.startswith(b":") for name, _ in received.fields)
                self.trailers = received.fields
            elif received.fields[0][1].startswith(b"1"):
                assert not received.ends_stream
                self.interim.append(received.fields)
            else:
                self.fields = received.fields
            self.ended = received.ends_stream


class Dialogue(BaseDialogue[H2Connection]):
    """HTTP/2; `limits` are those of `H2Limits`.

    `frames` holds every frame that the client has received, `answers` what they make of each stream.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        client: tuple[tuple[int, int], ...] = (),
        greet: bool = True,
        refuse: RequestError | None = None,
        handler_class: type[RecordingHandler] = RecordingHandler,
        **limits: Any,
    ) -> None:
        super().__init__(script, refuse, handler_class)
        self.parser = FrameParser()
        self.frames: list[Frame] = []
        self.answers: dict[int, Answer] = {}
        self.connect(H2Connection, H2Limits(**limits))
        if greet:
            self.receive(PREFACE + settings(*client), SETTINGS_ACK)
            self.frames.clear()

    def receive(self, *pieces: bytes) -> Self:
        """Bytes of the client; what the connection writes is read, and the event loop goes round."""
        for piece in pieces:
            self.connection.receive_data(piece, self.now)
            self.flush_due()
            self.collect()
        return self

    def collect(self) -> list[Frame]:
        """The frames that were written since the last time, checked."""
        received = self.parser.receive(self.wire.take())
        assert not self.parser.buffer, "an incomplete frame was written"
        self.frames += received
        for each in received:
            if each.stream_id:
                self.answers.setdefault(each.stream_id, Answer()).receive(each)
        return received

    def wait(self, seconds: float) -> Self:
        super().wait(seconds)
        self.collect()
        return self

    def of(self, kind: int) -> list[Frame]:
        """The frames of this kind that were received."""
        return [each for each in self.frames if each.kind == kind]

    @property
    def resets(self) -> dict[int, int]:
        """The error codes of the streams that were reset."""
        return {each.stream_id: each.code for each in self.of(RST_STREAM)}

    def is_over(self, handler: RecordingHandler) -> bool:
        """Whether the handler's exchange had its end, on both sides."""
        request_over = handler.request.content_length == NO_CONTENT or "end" in handler.names
        answer = self.answers.get(handler.stream.stream_id)  # type: ignore[attr-defined]
        return request_over and answer is not None and answer.ended

    @property
    def alive(self) -> bool:
        """Whether the connection still serves: a PING is answered."""
        if self.wire.ended is not None or self.of(GOAWAY):
            return False
        before = len(self.of(PING))
        self.receive(ping(b"is alive"))
        return len(self.of(PING)) == before + 1


def connection_error(*pieces: bytes, **options: Any) -> int:
    """The error code with which `pieces` end the connection; checks all that every such end shares.

    That it is the same however they are split; that GOAWAY names the last stream that was opened, and is the
    last frame; that the connection closes so that GOAWAY arrives (RFC 9113 §5.4.1); that the applications see
    their clients gone; that nothing which follows is taken.
    """
    codes = set()
    for split in (False, True):
        dialogue = Dialogue(**options)
        stream = b"".join(pieces)
        dialogue.receive(*(octets(stream) if split else [stream]))
        (last,) = dialogue.of(GOAWAY)
        assert dialogue.frames[-1] is last
        assert dialogue.wire.ended in (LINGERING, CLOSED), dialogue.wire.ended
        for handler in dialogue.handlers:
            # One that was never started hears nothing.
            assert "start" not in handler.names or handler.names[-1] == "reset" or dialogue.is_over(handler)
        seen = len(dialogue.handlers)
        dialogue.receive(headers(999)).wait(1000)
        assert dialogue.of(GOAWAY) == [last]
        assert len(dialogue.handlers) == seen
        for handler in dialogue.handlers:
            handler.send(b"late", True)
        dialogue.connection.connection_lost()
        dialogue.collect()
        assert dialogue.frames[-1] is last
        codes.add((last.code, last.number))
    assert len(codes) == 1, codes
    return codes.pop()[0]


def stream_error(*pieces: bytes, stream_id: int = 1, **options: Any) -> int:
    """The error code with which `pieces` end stream `stream_id` alone; checks all that every such end shares.

    That it is the same however they are split; that the application hears of it; that the connection goes on,
    with the tables of its header compression and its windows intact.
    """
    codes = set()
    for split in (False, True):
        dialogue = Dialogue(**options)
        stream = b"".join(pieces)
        dialogue.receive(*(octets(stream) if split else [stream]))
        assert list(dialogue.resets) == [stream_id], dialogue.frames
        codes.add(dialogue.resets[stream_id])
        assert dialogue.alive
        for handler in dialogue.handlers:
            assert "start" not in handler.names or handler.names[-1] == "reset"
        seen = len(dialogue.handlers)
        dialogue.receive(headers(stream_id + 1000))
        assert len(dialogue.handlers) == seen + 1
        dialogue.handler.answer()
        dialogue.collect()
        answer = dialogue.answers[stream_id + 1000]
        assert (answer.status, answer.content, answer.ended, answer.reset) == (200, b"ok", True, None)
        assert len(dialogue.of(RST_STREAM)) == 1
    assert len(codes) == 1, codes
    return codes.pop()


def codes(dialogue: Dialogue) -> list[int]:
    return [each.code for each in dialogue.of(GOAWAY)]


def urgencies(dialogue: Dialogue) -> list[int]:
    return [handler.stream.urgency for handler in dialogue.handlers]  # type: ignore[attr-defined]
