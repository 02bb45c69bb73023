"""From octets to messages (RFC 6455 §5, RFC 7692 §7.2.2): frames parsed in place, fragments joined, UTF-8
checked.

A frame's payload is taken as it comes, so that nothing is kept twice and bad UTF-8 is found at its first
octet (§8.1).
"""

from codecs import utf_8_decode

from tidegate.http.errors import ProtocolError
from tidegate.websocket.allowance import Allowance
from tidegate.websocket.codes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID_DATA,
    MAX_CONTROL_PAYLOAD,
    MESSAGE_TOO_BIG,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    TEXT,
)
from tidegate.websocket.deflate import Inflater
from tidegate.websocket.mask import rotate, unmask

# Octets that are inflated at once, to 2 MiB at most (DEFLATE makes 1,032 octets of one), and behind the allowance.
PIECE = 2048
SMALL_PIECE = 64
# What starting another DEFLATE stream costs, as octets that are inflated.
STREAM_COST = 4096


class MessageReader:
    """Parses what a client sends. Subclasses take the results by overriding the methods at the end.

    `stopped` says that what comes is kept for later.

    `max_message` is in octets, after inflation; `max_frames` and `max_empty_frames` are counts for one
    message.
    """

    __slots__ = (
        "_allowance",
        "_compressed",
        "_data",
        "_empty_frames",
        "_final",
        "_frames",
        "_inflated",
        "_inflater",
        "_key",
        "_left",
        "_max_empty_frames",
        "_max_frames",
        "_max_message",
        "_message",
        "_partial",
        "_position",
        "_started",
        "_text",
        "_turn",
        "_wire_octets",
        "stopped",
    )

    def __init__(
        self,
        max_message: int,
        max_frames: int,
        max_empty_frames: int,
        inflater: Inflater | None,
        allowance: Allowance,
    ) -> None:
        self._max_message = max_message
        self._max_frames = max_frames
        self._max_empty_frames = max_empty_frames
        self._inflater = inflater
        self._allowance = allowance
        self._turn = 0
        self._inflated = 0  # octets, in this turn
        # What is not parsed yet: an incomplete header or control frame, or all that came behind a stop.
        self._data = b""
        self._position = 0
        self.stopped = False
        # The data frame whose payload is coming: octets left, key for the next of them, FIN.
        self._left = 0
        self._key = 0
        self._final = False
        # The message whose frames are coming.
        self._started = False
        self._message = bytearray()
        self._text = False
        self._compressed = False
        self._partial = b""  # the start of a code point
        self._frames = 0
        self._empty_frames = 0
        self._wire_octets = 0

    def parse(self, data: bytes) -> None:
        """Parse `data` behind what is left from before. Raises ProtocolError with a close code."""
        if self._data:
            data = self._data[self._position :] + data
            self._data = b""
            self._position = 0
        i = 0 if self.stopped else self._parse(data)
        if i < len(data):
            if self.stopped:
                self._data = data
                self._position = i
            else:
                self._data = data[i:]

    def _parse(self, data: bytes) -> int:
        i = 0
        n = len(data)
        p = data
        while i < n and not self.stopped:
            if self._left > 0:
                if self._compressed and self._is_others_turn():
                    self.rest()
                    break
                i = self._receive_payload(data, i)
                continue
            if n - i < 2:
                break
            first = p[i]
            second = p[i + 1]
            opcode = first & 15
            if first & 0x30:
                raise ProtocolError(PROTOCOL_ERROR, "reserved bits set")
            if second & 128 == 0:
                # RFC 6455 §5.1
                raise ProtocolError(PROTOCOL_ERROR, "frame not masked")
            size = second & 127
            at = i + 2
            if opcode >= CLOSE:
                if opcode > 10:
                    raise ProtocolError(PROTOCOL_ERROR, "unknown opcode")
                if first & 0x40:
                    raise ProtocolError(PROTOCOL_ERROR, "reserved bits set")
                if first & 128 == 0:
                    raise ProtocolError(PROTOCOL_ERROR, "control frame fragmented")
                if size > MAX_CONTROL_PAYLOAD:
                    raise ProtocolError(PROTOCOL_ERROR, "control frame too long")
                if n - at < 4 + size:
                    break
            else:
                if opcode > BINARY:
                    raise ProtocolError(PROTOCOL_ERROR, "unknown opcode")
                # RFC 6455 §5.2: the shortest form, and the most significant bit 0
                if size == 126:
                    if n - at < 2:
                        break
                    size = p[at] << 8 | p[at + 1]
                    at += 2
                    if size < 126:
                        raise ProtocolError(PROTOCOL_ERROR, "length not in its shortest form")
                elif size == 127:
                    if n - at < 8:
                        break
                    if p[at] & 128:
                        raise ProtocolError(PROTOCOL_ERROR, "length out of range")
                    size = 0
                    for j in range(8):
                        size = size << 8 | p[at + j]
                    at += 8
                    if size < 65536:
                        raise ProtocolError(PROTOCOL_ERROR, "length not in its shortest form")
                if n - at < 4:
                    break
            # Step by step: in one expression C would compute it as an int, and overflow.
            key = p[at + 3]
            key = key << 8 | p[at + 2]
            key = key << 8 | p[at + 1]
            key = key << 8 | p[at]
            at += 4
            if opcode >= CLOSE:
                i = at + size
                self.control_received(opcode, unmask(data, at, i, key))
            elif (
                first >= 128
                and opcode != CONTINUATION
                and not self._started
                and size <= n - at
                and (first & 0x40 == 0 or size <= SMALL_PIECE or (size <= PIECE and self._allowance.left > 0))
                and not (first & 0x40 and self._is_others_turn())
            ):
                # Most messages: one frame, all of it here.
                i = at + size
                self._receive_whole(unmask(data, at, i, key), opcode == TEXT, first & 0x40 != 0)
            else:
                self._start_frame(opcode, first, size)
                self._left = size
                self._key = key
                i = at
                if size == 0 and first >= 128:
                    self._end_message()
        return i

    def _receive_whole(self, payload: bytes, text: bool, compressed: bool) -> None:
        if len(payload) > self._max_payload(compressed):
            raise ProtocolError(MESSAGE_TOO_BIG, "message too big")
        if compressed:
            payload = self._inflate(payload, self._max_message, True)
        if not text:
            self.message_received(payload)
            return
        try:
            message = payload.decode()
        except UnicodeDecodeError:
            raise ProtocolError(INVALID_DATA, "text is not UTF-8") from None
        self.message_received(message)

    def _max_payload(self, compressed: bool) -> int:
        # What cannot be compressed grows, by an eighth at the very most.
        return self._max_message + (self._max_message >> 3) + 1024 if compressed else self._max_message

    def _agreed_inflater(self) -> Inflater:
        if self._inflater is None:
            # RFC 6455 §5.2: RSV1 without an extension that defines it
            raise ProtocolError(PROTOCOL_ERROR, "reserved bits set")
        return self._inflater

    def _inflate(self, data: bytes, room: int, last: bool) -> bytes:
        inflater = self._agreed_inflater()
        started = inflater.started
        out = inflater.inflate(data, room, last)
        cost = len(out) + (inflater.started - started) * STREAM_COST
        allowance = self._allowance
        if self._turn != allowance.turn:
            self._turn = allowance.turn
            self._inflated = 0
        self._inflated += cost
        left = allowance.left
        allowance.left = left - cost
        if left > 0 >= left - cost:
            self.allowance_spent()
        return out

    def _is_others_turn(self) -> bool:
        allowance = self._allowance
        return allowance.left <= 0 and self._turn == allowance.turn and self._inflated >= allowance.each

    def _start_frame(self, opcode: int, first: int, size: int) -> None:
        if opcode == CONTINUATION:
            if not self._started:
                raise ProtocolError(PROTOCOL_ERROR, "continuation of no message")
            if first & 0x40:
                # RFC 7692 §6.1: only on a message's first frame
                raise ProtocolError(PROTOCOL_ERROR, "reserved bits set")
        else:
            if self._started:
                raise ProtocolError(PROTOCOL_ERROR, "new message within a message")
            if first & 0x40:
                self._agreed_inflater()
            self._started = True
            self._text = opcode == TEXT
            self._compressed = first & 0x40 != 0
            self._frames = 0
            self._empty_frames = 0
            self._wire_octets = 0
        self._final = first >= 128
        self._frames += 1
        if size == 0:
            self._empty_frames += 1
        if self._frames > self._max_frames or self._empty_frames > self._max_empty_frames:
            raise ProtocolError(POLICY_VIOLATION, "too many fragments")
        if size > self._max_payload(self._compressed) - self._wire_octets:
            raise ProtocolError(MESSAGE_TOO_BIG, "message too big")
        self._wire_octets += size

    def _receive_payload(self, data: bytes, i: int) -> int:
        end = len(data)
        if end - i > self._left:
            end = i + self._left
        if self._compressed:
            most = PIECE if self._allowance.left > 0 else SMALL_PIECE
            if end - i > most:
                end = i + most
        size = end - i
        chunk = unmask(data, i, end, self._key)
        self._key = rotate(self._key, size)
        self._left -= size
        last = self._left == 0 and self._final
        if self._compressed:
            chunk = self._inflate(chunk, self._max_message - len(self._message), last)
        if self._text:
            self._check_text(chunk)
        self._message += chunk
        if last:
            self._deliver()
        return end

    def _check_text(self, chunk: bytes) -> None:
        if self._partial:
            chunk = self._partial + chunk
        elif chunk.isascii():
            return
        try:
            used = utf_8_decode(chunk, "strict", False)[1]
        except UnicodeDecodeError:
            raise ProtocolError(INVALID_DATA, "text is not UTF-8") from None
        self._partial = chunk[used:]
        if b"\xed\xa0" <= self._partial < b"\xee":
            # A surrogate: Python's decoder waits for its third octet.
            raise ProtocolError(INVALID_DATA, "text is not UTF-8")

    def _end_message(self) -> None:
        # By an empty frame: no payload comes that would end it.
        if self._compressed:
            chunk = self._inflate(b"", self._max_message - len(self._message), True)
            if self._text:
                self._check_text(chunk)
            self._message += chunk
        self._deliver()

    def _deliver(self) -> None:
        message = self._message
        self._message = bytearray()
        self._started = False
        if not self._text:
            self.message_received(bytes(message))
        elif self._partial:
            raise ProtocolError(INVALID_DATA, "text is not UTF-8")
        else:
            self.message_received(message.decode())

    def message_received(self, message: str | bytes) -> None:
        """A whole message: str for text, bytes for binary."""

    def control_received(self, opcode: int, payload: bytes) -> None:
        """A control frame: CLOSE, PING or PONG."""

    def allowance_spent(self) -> None:
        """The allowance is to be refilled in the event loop's next turn."""

    def rest(self) -> None:
        """Others are to have their turn: set `stopped` until then."""
