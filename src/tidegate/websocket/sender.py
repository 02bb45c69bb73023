"""Messages out (RFC 6455 §5.6, RFC 7692 §7.2.1): what the sockets of one server share to send them.

A broadcast is the same object sent to many sockets, one after the other: its frame is made once. So is its compression
where no context is taken over, and then one context serves all sockets: it stays in the processor's cache, and costs
none of them any memory.
"""

from tidegate.http.stream import Stream
from tidegate.websocket.codes import BINARY, FIN, RSV1, TEXT
from tidegate.websocket.deflate import DeflateParameters, Deflater
from tidegate.websocket.frames import encode_header

# Above this, joining a header and its payload costs more than sending them apart.
MAX_JOINED = 65536


class LastFrame:
    """The frame that a message became, by `deflater` or plain. It is known by its object, which is held."""

    __slots__ = ("deflater", "frame", "message")

    def __init__(self) -> None:
        self.message: str | bytes | None = None
        self.deflater: Deflater | None = None
        self.frame = b""


class MessageSender:
    """Text of `min_text` octets or more and binary of `min_binary` is compressed where that was agreed; `level`
    and `mem_level` are zlib's. Not for several threads.
    """

    __slots__ = ("_deflated", "_deflaters", "_level", "_mem_level", "_min_binary", "_min_text", "_plain")

    def __init__(self, *, level: int, mem_level: int, min_text: int, min_binary: int) -> None:
        self._level = level
        self._mem_level = mem_level
        self._min_text = min_text
        self._min_binary = min_binary
        self._deflaters: dict[int, Deflater] = {}  # by window bits
        self._plain = LastFrame()
        self._deflated = LastFrame()

    def deflater(self, agreed: DeflateParameters) -> Deflater:
        """What compresses a connection's messages: its own where its context is taken over."""
        bits = agreed.server_max_window_bits
        if not agreed.server_no_context_takeover:
            return Deflater(bits, True, self._level, self._mem_level)
        if bits not in self._deflaters:
            self._deflaters[bits] = Deflater(bits, False, self._level, self._mem_level)
        return self._deflaters[bits]

    def send_text(self, stream: Stream, text: str, deflater: Deflater | None) -> int:
        """Send a text message; the octets of its frame. Raises UnicodeEncodeError for lone surrogates."""
        if self._is_last(text, deflater):
            return self._send_last(stream, deflater)
        return self._send(stream, text, TEXT, text.encode(), self._min_text, deflater)

    def send_binary(self, stream: Stream, data: bytes, deflater: Deflater | None) -> int:
        """Send a binary message; the octets of its frame."""
        if self._is_last(data, deflater):
            return self._send_last(stream, deflater)
        return self._send(stream, data, BINARY, data, self._min_binary, deflater)

    def _last(self, deflater: Deflater | None) -> LastFrame:
        return self._plain if deflater is None else self._deflated

    def _is_last(self, message: str | bytes, deflater: Deflater | None) -> bool:
        last = self._last(deflater)
        return message is last.message and deflater is last.deflater

    def _send_last(self, stream: Stream, deflater: Deflater | None) -> int:
        frame = self._last(deflater).frame
        stream.send_data(frame, False)
        return len(frame)

    def _send(
        self,
        stream: Stream,
        message: str | bytes,
        opcode: int,
        payload: bytes,
        least: int,
        deflater: Deflater | None,
    ) -> int:
        # `least`: the fewest octets that are compressed.
        first = FIN | opcode
        if deflater is not None and len(payload) >= least:
            first |= RSV1
            payload = deflater.deflate(payload)
        header = encode_header(first, len(payload))
        if len(payload) > MAX_JOINED:
            stream.send_data(header, False)
            stream.send_data(payload, False)
            return len(header) + len(payload)
        frame = header + payload
        if deflater is None or not deflater.takeover:
            last = self._last(deflater)
            last.message = message
            last.deflater = deflater
            last.frame = frame
        stream.send_data(frame, False)
        return len(frame)
