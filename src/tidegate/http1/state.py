"""The two halves of an HTTP/1.1 connection as one table each (RFC 9112 §9).

A row is a state, a column an event; the entry is the next state, or BAD where the event cannot happen: our
own bug, since the peer's are errors of the parsers.
"""

# What has been received.
IDLE = 0  # between requests: not a byte of the next one
HEAD = 1  # part of a request's head
CONTENT = 2  # its head, and not all of its content
COMPLETE = 3  # all of a request whose answer is not complete
TUNNEL = 4  # the connection has switched to another protocol
CLOSED = 5  # nothing more is parsed
STATES = ("IDLE", "HEAD", "CONTENT", "COMPLETE", "TUNNEL", "CLOSED")

HEAD_STARTED = 0
HEAD_RECEIVED = 1
END_RECEIVED = 2
NEXT_REQUEST = 3
SWITCHED = 4
STOPPED = 5
EVENTS = ("HEAD_STARTED", "HEAD_RECEIVED", "END_RECEIVED", "NEXT_REQUEST", "SWITCHED", "STOPPED")

BAD = 255

RECEIVING = bytes(
    (
        # HEAD_STARTED, HEAD_RECEIVED, END_RECEIVED, NEXT_REQUEST, SWITCHED, STOPPED
        *(HEAD, CONTENT, BAD, BAD, BAD, CLOSED),  # IDLE
        *(HEAD, CONTENT, BAD, BAD, BAD, CLOSED),  # HEAD
        *(BAD, BAD, COMPLETE, BAD, BAD, CLOSED),  # CONTENT
        *(BAD, BAD, BAD, IDLE, TUNNEL, CLOSED),  # COMPLETE
        *(BAD, BAD, BAD, BAD, BAD, CLOSED),  # TUNNEL
        *(BAD, BAD, BAD, BAD, BAD, CLOSED),  # CLOSED
    )
)

# What has been sent of one answer. Nothing follows SENT and RESET.
WAITING = 0  # no final head yet
SENDING = 1  # its head, and not all of its content
TUNNELLING = 2
SENT = 3  # all of it
RESET = 4  # cut, or the peer is gone
SEND_STATES = ("WAITING", "SENDING", "TUNNELLING", "SENT", "RESET")

SEND_INTERIM = 0
SEND_HEAD = 1
SEND_CONTENT = 2
SEND_END = 3
SEND_SWITCH = 4
SEND_RESET = 5
SEND_EVENTS = ("SEND_INTERIM", "SEND_HEAD", "SEND_CONTENT", "SEND_END", "SEND_SWITCH", "SEND_RESET")

SENDING_TABLE = bytes(
    (
        # SEND_INTERIM, SEND_HEAD, SEND_CONTENT, SEND_END, SEND_SWITCH, SEND_RESET
        *(WAITING, SENDING, BAD, BAD, TUNNELLING, RESET),  # WAITING
        *(BAD, BAD, SENDING, SENT, BAD, RESET),  # SENDING
        *(BAD, BAD, TUNNELLING, SENT, BAD, RESET),  # TUNNELLING
        *(BAD, BAD, BAD, BAD, BAD, SENT),  # SENT
        *(BAD, BAD, BAD, BAD, BAD, RESET),  # RESET
    )
)

COLUMNS = 6
