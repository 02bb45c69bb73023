"""The life of a WebSocket connection as one table (RFC 6455 §4.1, §7).

A row is a state, a column an event; the entry is the next state and what is done on the way there.
"""

OPEN = 0
CLOSING = 1  # our Close is sent, the peer's is awaited
ENDING = 2  # the peer has closed or failed: our Close is due behind the messages that came before
CLOSED = 3
STATES = ("OPEN", "CLOSING", "ENDING", "CLOSED")

CLOSE_RECEIVED = 0  # the peer's Close frame
FAILED = 1  # the peer broke a rule or a limit (RFC 6455 §7.1.7)
LOST = 2  # the stream has ended, or was reset
CLOSE_SENT = 3  # the application closes
FINISHED = 4  # the handler has dealt with the messages before the peer's close or failure
EXPIRED = 5  # the deadline for a pong, for the peer's Close, or for FINISHED
EVENTS = ("CLOSE_RECEIVED", "FAILED", "LOST", "CLOSE_SENT", "FINISHED", "EXPIRED")

STATE = 3  # the bits of the next state
TELL = 4  # the handler is told, for the first and only time
SEND = 8  # a Close frame is sent
END = 16  # our side of the stream ends
RESET = 32  # the stream is cut

COLUMNS = 6
TABLE = bytes(
    (
        # CLOSE_RECEIVED, FAILED, LOST
        # CLOSE_SENT, FINISHED, EXPIRED
        *(ENDING | TELL, ENDING | TELL, CLOSED | TELL | END),  # OPEN
        *(CLOSING | SEND, OPEN, CLOSED | TELL | RESET),
        *(CLOSED | TELL | END, CLOSED | TELL | END, CLOSED | TELL | END),  # CLOSING
        *(CLOSING, CLOSING, CLOSED | TELL | RESET),
        *(ENDING, ENDING, CLOSED | END),  # ENDING
        *(CLOSED | SEND | END, CLOSED | SEND | END, CLOSED | SEND | END),
        *(CLOSED, CLOSED, CLOSED),  # CLOSED
        *(CLOSED, CLOSED, CLOSED),
    )
)
