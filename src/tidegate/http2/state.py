"""A stream's states as one table (RFC 9113 §5.1), seen from the server; and a connection's.

A row is a state, a column an event; the entry is the next state, or what the event is answered with.
"""

IDLE = 0
RESERVED = 1  # reserved (local): promised to the client
OPEN = 2
HALF_CLOSED_REMOTE = 3  # the request is complete
HALF_CLOSED_LOCAL = 4  # the answer is
CLOSED = 5
CANCELLED = 6  # closed by our RST_STREAM, which may cross what the client has sent: that is ignored
STATES = ("IDLE", "RESERVED", "OPEN", "HALF_CLOSED_REMOTE", "HALF_CLOSED_LOCAL", "CLOSED", "CANCELLED")

RECV_HEADERS = 0
RECV_DATA = 1
RECV_END = 2  # END_STREAM, behind HEADERS or DATA
RECV_RESET = 3
RECV_WINDOW = 4
SEND_HEADERS = 5
SEND_END = 6
SEND_RESET = 7
EVENTS = (
    "RECV_HEADERS",
    "RECV_DATA",
    "RECV_END",
    "RECV_RESET",
    "RECV_WINDOW",
    "SEND_HEADERS",
    "SEND_END",
    "SEND_RESET",
)
COLUMNS = 8

BAD = 255  # cannot happen: our own bug
IGNORE = 254
UNEXPECTED = 253  # a connection error, PROTOCOL_ERROR
STREAM_ENDED = 252  # a stream error, STREAM_CLOSED
LONG_CLOSED = 251  # a connection error, STREAM_CLOSED

TABLE = bytes(
    (
        # RECV_HEADERS, RECV_DATA, RECV_END, RECV_RESET, RECV_WINDOW, SEND_HEADERS, SEND_END, SEND_RESET
        *(OPEN, UNEXPECTED, BAD, UNEXPECTED, UNEXPECTED, BAD, BAD, BAD),  # IDLE
        *(UNEXPECTED, UNEXPECTED, BAD, CLOSED, RESERVED, HALF_CLOSED_REMOTE, BAD, CLOSED),  # RESERVED
        *(OPEN, OPEN, HALF_CLOSED_REMOTE, CLOSED, OPEN, OPEN, HALF_CLOSED_LOCAL, CANCELLED),  # OPEN
        *(STREAM_ENDED, STREAM_ENDED, BAD, CLOSED),  # HALF_CLOSED_REMOTE
        *(HALF_CLOSED_REMOTE, HALF_CLOSED_REMOTE, CLOSED, CLOSED),
        *(HALF_CLOSED_LOCAL, HALF_CLOSED_LOCAL, CLOSED, CLOSED),  # HALF_CLOSED_LOCAL
        *(HALF_CLOSED_LOCAL, BAD, BAD, CANCELLED),
        *(LONG_CLOSED, LONG_CLOSED, BAD, IGNORE, IGNORE, BAD, BAD, BAD),  # CLOSED
        *(IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, BAD, BAD, BAD),  # CANCELLED
    )
)

# How far a connection is.
SERVING = 0
DRAINING = 1  # the client has been told to open no more streams; those that cross that are served (§6.8)
LEAVING = 2  # and which stream was the last
ENDED = 3
