"""HTTP/2's frames: their types, flags and errors, and how they are written (RFC 9113 §4, §6, §7)."""

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
PRIORITY_UPDATE = 0x10  # RFC 9218 §7.1

ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

# RFC 9113 §7
NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
SETTINGS_TIMEOUT = 0x4
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
ENHANCE_YOUR_CALM = 0xB

HEADER_SIZE = 9
MIN_FRAME_SIZE = 16384  # §4.2: the largest payload that every peer takes, and the default
MAX_FRAME_SIZE = 16777215
MAX_WINDOW = 2147483647  # §6.9.1
MAX_STREAM_ID = 2147483647
DEFAULT_WINDOW = 65535  # §6.9.2


def encode_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """A frame's header (§4.1); `length` is that of its payload in octets."""
    header = bytearray(9)
    header[0] = length >> 16 & 0xFF
    header[1] = length >> 8 & 0xFF
    header[2] = length & 0xFF
    header[3] = kind
    header[4] = flags
    header[5] = stream_id >> 24 & 0x7F
    header[6] = stream_id >> 16 & 0xFF
    header[7] = stream_id >> 8 & 0xFF
    header[8] = stream_id & 0xFF
    return bytes(header)


def encode_frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A whole frame."""
    return encode_header(len(payload), kind, flags, stream_id) + payload


def encode_reset(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame (§6.4)."""
    return encode_header(4, RST_STREAM, 0, stream_id) + code.to_bytes(4, "big")


def encode_window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame (§6.9)."""
    return encode_header(4, WINDOW_UPDATE, 0, stream_id) + increment.to_bytes(4, "big")


def encode_goaway(last_stream_id: int, code: int, detail: bytes) -> bytes:
    """A GOAWAY frame (§6.8); `detail` is our own words."""
    payload = last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + detail
    return encode_frame(GOAWAY, 0, 0, payload)
