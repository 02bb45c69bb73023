"""SETTINGS: what the peer asks for, and what we ask for (RFC 9113 §6.5, RFC 8441 §3, RFC 9218 §2.1)."""

from tidegate.http.errors import ProtocolError
from tidegate.http2 import frames

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6
ENABLE_CONNECT_PROTOCOL = 0x8
NO_RFC7540_PRIORITIES = 0x9

# Larger frames than this would only keep other streams waiting.
MAX_SENT_FRAME = 32768

_BOOLEANS = (ENABLE_PUSH, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES)


class PeerSettings:
    """The peer's values, which are the defaults of RFC 9113 §6.5.2 until it sends others.

    `max_frame` is the largest payload that we send: the peer's limit, or our own.
    """

    __slots__ = (
        "enable_push",
        "header_table_size",
        "initial_window",
        "least_table_size",
        "max_frame",
        "max_streams",
    )

    def __init__(self) -> None:
        self.header_table_size = 4096
        self.least_table_size = 4096  # since the frame before the last one
        self.enable_push = True
        self.max_streams = frames.MAX_STREAM_ID
        self.initial_window = frames.DEFAULT_WINDOW
        self.max_frame = frames.MIN_FRAME_SIZE

    def receive(self, payload: bytes) -> None:
        """Take a SETTINGS frame's payload, a multiple of 6 octets. Raises ProtocolError."""
        self.least_table_size = self.header_table_size
        for i in range(0, len(payload), 6):
            key = int.from_bytes(payload[i : i + 2], "big")
            value = int.from_bytes(payload[i + 2 : i + 6], "big")
            if key in _BOOLEANS and value > 1:
                raise ProtocolError(frames.PROTOCOL_ERROR, f"SETTINGS {key} is neither 0 nor 1")
            if key == HEADER_TABLE_SIZE:
                self.header_table_size = value
                self.least_table_size = min(value, self.least_table_size)
            elif key == ENABLE_PUSH:
                self.enable_push = value == 1
            elif key == MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            elif key == INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW:
                    raise ProtocolError(frames.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
                self.initial_window = value
            elif key == MAX_FRAME_SIZE:
                if not frames.MIN_FRAME_SIZE <= value <= frames.MAX_FRAME_SIZE:
                    raise ProtocolError(frames.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range")
                self.max_frame = min(value, MAX_SENT_FRAME)


def encode_settings(values: list[tuple[int, int]]) -> bytes:
    """The payload of a SETTINGS frame of (identifier, value) pairs, in order."""
    return b"".join([key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values])
