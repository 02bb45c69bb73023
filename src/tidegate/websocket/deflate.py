"""permessage-deflate (RFC 7692): the parameters, and the two contexts of a connection.

Contexts are made at the first message that needs them: most sockets are silent most of the time, and zlib's
defaults would cost each of them about 300 KiB. ISA-L compresses where it is installed: a message of 1 KiB in half of
zlib's time and to fewer octets, one of 64 KiB in a seventh. It does not inflate: that gains little, and its contexts
cost five times what zlib's do. A `Deflater` without takeover may serve any number of connections.
"""

import zlib
from collections.abc import Callable, Iterable
from typing import Any

from tidegate.http.errors import ProtocolError
from tidegate.websocket.codes import INVALID_DATA, MESSAGE_TOO_BIG, POLICY_VIOLATION

NAME = "permessage-deflate"
MAX_WINDOW_BITS = 15

# RFC 7692 §7.2.1: every message ends with these octets, which are not sent.
TAIL = b"\x00\x00\xff\xff"

# Streams may end within a message (BFINAL, RFC 7692 §7.2.3.4), and each start of a new one costs as much as
# inflating some thousand octets.
MAX_STREAMS = 64

Parameters = Iterable[tuple[str, str | None]]
MakeCompressor = Callable[[int, int, int, int], Any]  # of level, method, window bits, memory level

zlib_compressor: MakeCompressor = zlib.compressobj
try:
    from isal.isal_zlib import compressobj as isal_compressobj
except ImportError:  # pragma: no cover  (no wheel for this platform)
    default_compressor = zlib_compressor
else:

    def isal_compressor(level: int, method: int, window_bits: int, mem_level: int) -> Any:
        """ISA-L's compressor of what is zlib's `level`: its own are 1 to 3, and its 0 is not zlib's, which stores."""
        if level == 0:
            return zlib.compressobj(level, method, window_bits, mem_level)
        return isal_compressobj(min((level + 2) // 3, 3), method, window_bits, mem_level)

    default_compressor = isal_compressor


class DeflateParameters:
    """What was agreed (RFC 7692 §7.1). Window bits are 9 to 15: zlib cannot make a raw stream of 8."""

    __slots__ = (
        "client_max_window_bits",
        "client_no_context_takeover",
        "response",
        "server_max_window_bits",
        "server_no_context_takeover",
    )

    def __init__(self) -> None:
        self.server_no_context_takeover = False
        self.client_no_context_takeover = False
        self.server_max_window_bits = MAX_WINDOW_BITS
        self.client_max_window_bits = MAX_WINDOW_BITS
        self.response = NAME


def negotiate(offer: Parameters, window_bits: int, takeover: bool) -> DeflateParameters | None:
    """Accept a client's offer with windows of at most 2**`window_bits` octets; None where it cannot be
    accepted. Without `takeover` our context is never taken over, though the client may not have asked for that
    (RFC 7692 §7.1.1.1).
    """
    agreed = DeflateParameters()
    agreed.server_max_window_bits = window_bits
    answer = [NAME]
    seen: set[str] = set()
    for name, value in offer:
        if name in seen:
            return None
        seen.add(name)
        if name == "server_no_context_takeover" and value is None:
            agreed.server_no_context_takeover = True
            answer.append(name)
        elif name == "client_no_context_takeover" and value is None:
            agreed.client_no_context_takeover = True
            answer.append(name)
        elif name == "server_max_window_bits":
            bits = _window_bits(value)
            if bits < 9:
                return None
            agreed.server_max_window_bits = min(bits, window_bits)
            answer.append(f"{name}={agreed.server_max_window_bits}")
        elif name == "client_max_window_bits":
            bits = MAX_WINDOW_BITS if value is None else _window_bits(value)
            if bits < 8:
                return None
            # RFC 7692 §7.1.2.2: only to a client that offered it can we name a smaller window.
            agreed.client_max_window_bits = min(bits, window_bits)
            answer.append(f"{name}={agreed.client_max_window_bits}")
        else:
            return None
    if not takeover and not agreed.server_no_context_takeover:
        agreed.server_no_context_takeover = True
        answer.append("server_no_context_takeover")
    agreed.response = "; ".join(answer)
    return agreed


def _window_bits(value: str | None) -> int:
    # RFC 7692 §7.1.2.1: 8 to 15, no leading zeros; 0 for anything else
    return int(value) if value in ("8", "9", "10", "11", "12", "13", "14", "15") else 0


class Deflater:
    """Compresses messages, one after the other; each by itself where the context is not taken over."""

    __slots__ = ("_flush", "_level", "_make", "_mem_level", "_stream", "_window_bits", "takeover")

    def __init__(
        self,
        window_bits: int,
        takeover: bool,
        level: int,
        mem_level: int,
        make: MakeCompressor = default_compressor,
    ) -> None:
        self._window_bits = window_bits
        self.takeover = takeover
        # zlib's manual: behind a full flush nothing refers to what was before it. A new stream would cost more.
        self._flush = zlib.Z_SYNC_FLUSH if takeover else zlib.Z_FULL_FLUSH
        self._level = level
        self._mem_level = mem_level
        self._make = make
        self._stream: Any = None

    def deflate(self, data: bytes) -> bytes:
        """The payload of `data`'s message (RFC 7692 §7.2.1)."""
        stream = self._stream
        if stream is None:
            stream = self._make(self._level, zlib.DEFLATED, -self._window_bits, self._mem_level)
        # A stream that fails (for want of memory) holds part of a message, perhaps another connection's next.
        self._stream = None
        out: bytes = stream.compress(data) + stream.flush(self._flush)
        self._stream = stream
        return out[: len(out) - 4]


class Inflater:
    """Inflates messages, one after the other, and never makes more octets of one than it is told."""

    __slots__ = ("_stream", "_streams", "_takeover", "_window_bits", "started")

    def __init__(self, window_bits: int, takeover: bool) -> None:
        # A window larger than the peer's does no harm, and zlib has none of 8 bits.
        self._window_bits = max(window_bits, 9)
        self._takeover = takeover
        self._stream: zlib._Decompress | None = None
        self._streams = 0
        self.started = 0  # streams, ever

    def inflate(self, data: bytes, room: int, last: bool) -> bytes:
        """What `data`, the next octets of a message and perhaps its `last`, inflates to: at most `room`
        octets.

        Raises ProtocolError: 1009 past `room`, 1007 where `data` is not DEFLATE.
        """
        if last:
            data = data + TAIL
        stream = self._stream
        if stream is None:
            stream = self._start()
        try:
            out = stream.decompress(data, room + 1)
            while stream.eof:
                # RFC 7692 §7.2.3.4: a block with BFINAL ended the stream; what follows starts another.
                rest = stream.unused_data
                stream = self._start()
                out += stream.decompress(rest, max(room + 1 - len(out), 1))
        except zlib.error:
            raise ProtocolError(INVALID_DATA, "invalid compressed data") from None
        if len(out) > room:
            raise ProtocolError(MESSAGE_TOO_BIG, "message too big")
        if last:
            self._streams = 0
            if not self._takeover:
                self._stream = None
        return out

    def _start(self) -> "zlib._Decompress":
        self._streams += 1
        self.started += 1
        if self._streams > MAX_STREAMS:
            raise ProtocolError(POLICY_VIOLATION, "too many DEFLATE streams in a message")
        stream = zlib.decompressobj(-self._window_bits)
        self._stream = stream
        return stream
