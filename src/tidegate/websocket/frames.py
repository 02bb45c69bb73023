"""Frames as octets (RFC 6455 §5.2, §5.5.1, §7.4): opcodes, the frames that we send, and what a Close frame
says.
"""

from tidegate.http.errors import ProtocolError
from tidegate.websocket import codes
from tidegate.websocket.codes import INVALID_DATA, MAX_REASON, NO_STATUS_RECEIVED, PROTOCOL_ERROR

BINARY_FRAME = codes.FIN | codes.BINARY
TEXT_FRAME = codes.FIN | codes.TEXT

# First octet -> the first two octets of a frame by its length, for the frames that are most of all traffic.
SHORT_TEXT = [bytes((TEXT_FRAME, size)) for size in range(126)]
SHORT_BINARY = [bytes((BINARY_FRAME, size)) for size in range(126)]


def encode_header(first: int, size: int) -> bytes:
    """The header of an unmasked frame (RFC 6455 §5.2): `first` is FIN, RSV1 and opcode, `size` the payload's
    octets.
    """
    if size < 126:
        if first == TEXT_FRAME:
            return SHORT_TEXT[size]
        if first == BINARY_FRAME:
            return SHORT_BINARY[size]
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 255))
    return bytes((first, 127)) + size.to_bytes(8, "big")


def encode_close(code: int, reason: str) -> bytes:
    """A Close frame's payload (RFC 6455 §5.5.1); empty for 1005, which stands for a Close without a code.

    Raises ValueError where `code` must not be sent, or `reason` has more than 123 octets of UTF-8.
    """
    if code == NO_STATUS_RECEIVED:
        return b""
    if not is_close_code(code):
        raise ValueError(f"{code} is no close code that can be sent")
    text = reason.encode()
    if len(text) > MAX_REASON:
        raise ValueError(f"a close reason has at most {MAX_REASON} octets of UTF-8, not {len(text)}")
    return code.to_bytes(2, "big") + text


def decode_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason of a Close frame's payload; 1005 and "" where it is empty (RFC 6455 §7.1.5,
    §7.1.6).
    """
    if not payload:
        return NO_STATUS_RECEIVED, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_close_code(code):
        raise ProtocolError(PROTOCOL_ERROR, "invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(INVALID_DATA, "close reason is not UTF-8") from None


def is_close_code(code: int) -> bool:
    """Whether `code` may be in a Close frame (RFC 6455 §7.4)."""
    # 1004 is reserved, 1005, 1006 and 1015 stand for the want of a code; §7.4.2 gives 3000 to 4999 away.
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
