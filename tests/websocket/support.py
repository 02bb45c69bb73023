"""Both ends of a connection without a network: the server's, on tape, and frames as a client makes them."""

from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream
from tidegate.websocket.allowance import Allowance
from tidegate.websocket.connection import WebSocketConnection, WebSocketHandler, WebSocketLimits
from tidegate.websocket.deflate import DeflateParameters, negotiate
from tidegate.websocket.sender import MessageSender

KEY = b"\x37\xfa\x21\x3d"

Event = tuple[object, ...]


class Tape(Stream):
    """A stream that records what is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.ended = False
        self.was_reset = False
        self.reading = True
        self.waiting = 0  # octets that the peer has not taken

    def send_data(self, data: bytes, end_stream: bool) -> None:
        assert not self.ended
        assert not self.was_reset
        self.sent += data
        self.ended = end_stream

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def unacknowledged(self) -> int:
        return self.waiting

    def reset(self) -> None:
        self.was_reset = True


class Events(WebSocketHandler):
    """A handler that records its events, and after `pause_after` messages asks for a pause."""

    def __init__(self, pause_after: int = -1) -> None:
        self.events: list[Event] = []
        self.connection: WebSocketConnection | None = None
        self.pause_after = pause_after
        self.closed = False
        self.spent = 0
        self.turns_wanted = 0

    def message_received(self, message: str | bytes) -> None:
        self.events.append(("message", message))
        self.pause_after -= 1
        if self.pause_after == 0:
            assert self.connection is not None
            self.connection.pause_reading()

    def close_received(self, code: int, reason: str) -> None:
        assert not self.closed
        self.events.append(("close", code, reason))

    def connection_closed(self) -> None:
        assert not self.closed
        self.closed = True

    def allowance_spent(self) -> None:
        self.spent += 1

    def turn_wanted(self) -> None:
        self.turns_wanted += 1


class Server:
    """A connection with its tape and its events; attributes of the connection are its own."""

    def __init__(
        self,
        *,
        deflate: DeflateParameters | None = None,
        pause_after: int = -1,
        sender: MessageSender | None = None,
        allowance: Allowance | None = None,
        **limits: float,
    ) -> None:
        self.stream = Tape()
        self.handler = Events(pause_after)
        self.allowance = Allowance() if allowance is None else allowance
        self.connection = WebSocketConnection(
            self.stream,
            self.handler,
            WebSocketLimits(**limits),  # type: ignore[arg-type]
            MessageSender(level=2, mem_level=5, min_text=0, min_binary=0) if sender is None else sender,
            deflate,
            self.allowance,
            0.0,
        )
        self.handler.connection = self.connection

    @property
    def events(self) -> list[Event]:
        return self.handler.events

    def receive(self, data: bytes, now: float = 0.0) -> list[Event]:
        """Feed `data`; the events since the last call."""
        before = len(self.events)
        self.connection.receive_data(data, now)
        return self.events[before:]

    def take(self) -> bytes:
        """What was sent since the last call."""
        sent = self.stream.sent
        self.stream.sent = b""
        return sent


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, key: bytes | None = KEY
) -> bytes:
    """A frame as a client sends it; `rsv` is the three reserved bits in place (0x40, 0x20, 0x10)."""
    size = len(payload)
    mask = 0x80 if key is not None else 0
    if size < 126:
        length = bytes((mask | size,))
    elif size < 65536:
        length = bytes((mask | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((mask | 127,)) + size.to_bytes(8, "big")
    head = bytes(((0x80 if fin else 0) | rsv | opcode,)) + length
    if key is None:
        return head + payload
    repeated = (key * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
    return head + key + masked


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(8, code.to_bytes(2, "big") + reason.encode())


def agreed(offer: str = "", window_bits: int = 12, takeover: bool = True) -> DeflateParameters:
    """What is agreed on for an `offer` such as "server_no_context_takeover; client_max_window_bits=10"."""
    parameters: list[tuple[str, str | None]] = []
    for item in filter(None, offer.split("; ")):
        name, _, value = item.partition("=")
        parameters.append((name, value or None))
    deflate = negotiate(parameters, window_bits, takeover)
    assert deflate is not None
    return deflate


def request(*fields: tuple[bytes, bytes], **attributes: object) -> RequestHead:
    """The head of a handshake, right but for what is given."""
    head = RequestHead()
    head.method = "GET"
    head.http_version = "1.1"
    head.protocol = b"websocket"
    head.headers = [
        (b"host", b"example.com"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"sec-websocket-version", b"13"),
    ]
    names = {name for name, _ in fields}
    head.headers = [field for field in head.headers if field[0] not in names] + [
        field for field in fields if field[1] != b"absent"
    ]
    for name, value in attributes.items():
        setattr(head, name, value)
    return head
