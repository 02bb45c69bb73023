"""A WebSocket connection, server side, over a `Stream` that has become a tunnel (RFC 6455, RFC 7692), with no
I/O.

Bytes in: `receive_data`, `receive_eof`, `receive_reset`. Calls out: the `WebSocketHandler`. Bytes out: the
stream, which gathers what is sent within one `receive_data` into one write. A peer's close and a peer's error
take effect behind the messages that came before them: the handler is told, lets the application answer those,
and calls `finish`.
"""

from tidegate.http.errors import ProtocolError
from tidegate.http.stream import Stream, StreamHandler
from tidegate.websocket.allowance import Allowance
from tidegate.websocket.codes import ABNORMAL_CLOSURE, CLOSE, FIN, PING, PONG
from tidegate.websocket.deflate import DeflateParameters, Deflater, Inflater
from tidegate.websocket.frames import decode_close, encode_close, encode_header
from tidegate.websocket.reader import MessageReader
from tidegate.websocket.sender import MessageSender
from tidegate.websocket.state import (
    CLOSE_RECEIVED,
    CLOSE_SENT,
    CLOSED,
    COLUMNS,
    END,
    ENDING,
    EXPIRED,
    FAILED,
    FINISHED,
    LOST,
    OPEN,
    RESET,
    SEND,
    STATE,
    TABLE,
    TELL,
)

NEVER = float("inf")
# Pings of one read that are answered each; of those behind them, only the last (RFC 6455 §5.5.3).
MAX_PONGS = 32


class WebSocketLimits:
    """Limits in octets and counts, times in seconds (0 for none).

    `max_message` (after inflation), `max_frames` and `max_empty_frames` are for one message.
    """

    __slots__ = (
        "close_timeout",
        "max_empty_frames",
        "max_frames",
        "max_message",
        "ping_interval",
        "ping_timeout",
    )

    def __init__(
        self,
        *,
        max_message: int = 16777216,
        max_frames: int = 131072,
        max_empty_frames: int = 1000,
        ping_interval: float = 20.0,
        ping_timeout: float = 20.0,
        close_timeout: float = 10.0,
    ) -> None:
        self.max_message = max_message
        self.max_frames = max_frames
        self.max_empty_frames = max_empty_frames
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.close_timeout = close_timeout


class WebSocketHandler(StreamHandler):
    """Receives a WebSocket's events, beside those of the stream that carries it."""

    __slots__ = ()

    def message_received(self, message: str | bytes) -> None:
        """A whole message: str for text, bytes for binary."""

    def close_received(self, code: int, reason: str) -> None:
        """The last event, and always one: the peer closes, or has broken a rule or a limit (then `code` is
        ours and says which), or is gone (1006). Unless the connection is gone, the handler calls `finish`
        when the application has answered the messages before, and may send until then.
        """

    def connection_closed(self) -> None:
        """Nothing is sent any more: the very last call."""

    def allowance_spent(self) -> None:
        """The `Allowance` is to be refilled in the event loop's next turn."""

    def turn_wanted(self) -> None:
        """`take_turn` is to be called behind a `refill`, in its turn among others."""


class WebSocketConnection(MessageReader):
    """One connection. Times are seconds on the caller's monotonic clock. Once the peer is gone, sending does
    nothing.
    """

    __slots__ = (
        "_close_payload",
        "_deadline",
        "_deflater",
        "_eof",
        "_handler",
        "_heard_at",
        "_limits",
        "_ping_end",
        "_pinged_at",
        "_pings",
        "_pong",
        "_resting",
        "_sender",
        "_state",
        "_stream",
        "_taken",
        "_writing_paused",
        "messages_received",
        "messages_sent",
        "octets_received",
        "octets_sent",
        "pinged",
    )

    def __init__(
        self,
        stream: Stream,
        handler: WebSocketHandler,
        limits: WebSocketLimits,
        sender: MessageSender,
        deflate: DeflateParameters | None,
        allowance: Allowance,
        now: float,
    ) -> None:
        inflater = None
        self._deflater: Deflater | None = None
        if deflate is not None:
            inflater = Inflater(deflate.client_max_window_bits, not deflate.client_no_context_takeover)
            self._deflater = sender.deflater(deflate)
        MessageReader.__init__(
            self, limits.max_message, limits.max_frames, limits.max_empty_frames, inflater, allowance
        )
        self._stream = stream
        self._handler = handler
        self._limits = limits
        self._sender = sender
        self._state = OPEN
        self._close_payload = b""
        self._deadline = NEVER  # of the close handshake
        self._eof = False  # waits for `resume_reading`
        self._resting = False  # until `take_turn`
        self._heard_at = now
        # Whether a pong is awaited: `receive_data` then makes the next timeout earlier, perhaps.
        self.pinged = False
        self._pinged_at = 0.0
        # Octets sent up to the ping's end, and how many of them the peer had taken when that was last looked at.
        self._ping_end = 0
        self._taken = 0
        self._pings = 0  # in this read
        self._pong: bytes | None = None
        self._writing_paused = False
        self.messages_received = 0
        self.messages_sent = 0
        self.octets_received = 0
        self.octets_sent = 0

    @property
    def closing(self) -> bool:
        """Whether messages can no longer be sent."""
        return self._state != OPEN and self._state != ENDING

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent or received any more."""
        return self._state == CLOSED

    # --- what the stream says

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes arrived. RFC 6455 §5, and §1.4: what comes behind a Close is discarded."""
        self._heard_at = now
        self.pinged = False
        self.octets_received += len(data)
        if self._state < ENDING:
            self._receive(data, now)

    def receive_eof(self) -> None:
        """The peer has ended its side: with no Close, it is lost, behind the messages that came before. Behind its
        Close it may still read what it is owed."""
        if self.stopped and self._state == OPEN:
            self._eof = True
        elif self._state != ENDING:
            self.receive_reset()

    def receive_reset(self) -> None:
        """The stream was reset."""
        self._close_payload = b""
        self._happened(LOST, ABNORMAL_CLOSURE, "", 0.0)

    def pause_writing(self) -> None:
        """The peer is not keeping up: of the pings that come now, the last is answered later (RFC 6455
        §5.5.3).
        """
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Undo `pause_writing`."""
        self._writing_paused = False
        if self._pong is not None:
            self._send_pong()

    def pause_reading(self) -> None:
        """Deliver no more messages, and let the peer wait. The clock for its pongs stops: we would not read
        them. It is pinged all the same: of one that has gone, only what is sent to it will tell.
        """
        if not self.stopped and self._state == OPEN:
            self.stopped = True
            self._stream.pause_reading()

    def resume_reading(self, now: float) -> None:
        """Undo `pause_reading`; messages that are here already are delivered before this returns."""
        if self.stopped and not self._resting and self._state < ENDING:
            self.stopped = False
            self._heard_at = now
            self.pinged = False
            self._receive(b"", now)
            if self._eof and not self.stopped:
                self.receive_reset()
            elif not self.stopped or self._state >= ENDING:
                self._stream.resume_reading()

    def rest(self) -> None:
        self.stopped = True
        self._resting = True
        self._stream.pause_reading()
        self._handler.turn_wanted()

    def take_turn(self, now: float) -> None:
        """Go on with what was left when others had to have their turn."""
        self._resting = False
        self.resume_reading(now)

    def allowance_spent(self) -> None:
        self._handler.allowance_spent()

    # --- time

    def next_timeout(self) -> float:
        """When to call `handle_timeout`: a time or infinity. It becomes earlier only by `receive_data`,
        `resume_reading`, `take_turn` and `send_close`."""
        if self._state != OPEN:
            return self._deadline
        limits = self._limits
        if limits.ping_interval <= 0:
            return NEVER
        if self.pinged and not self.stopped:
            return self._pinged_at + limits.ping_timeout
        return self._heard_at + limits.ping_interval

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`: a ping, or the end of a peer that did not answer in time."""
        if now < self.next_timeout():
            return
        if self._state != OPEN:
            self._happened(EXPIRED, ABNORMAL_CLOSURE, "", now)
        elif self.stopped or self._limits.ping_timeout <= 0:
            # No pong is awaited.
            self._heard_at = now
            if not self._writing_paused:
                self._send_control(PING, b"")
        elif not self.pinged:
            waiting = self._stream.unacknowledged()
            self._taken = self.octets_sent - waiting
            self.pinged = True
            self._pinged_at = now
            self._send_control(PING, b"")
            self._ping_end = self.octets_sent
            if waiting == 0:
                self._taken = self._ping_end
        elif self._is_taking():
            self._pinged_at = now
        else:
            self._happened(EXPIRED, ABNORMAL_CLOSURE, "", now)

    def _is_taking(self) -> bool:
        # Whether the ping stood behind what a slow peer was still taking, and goes on to take.
        before = self._taken
        self._taken = self.octets_sent - self._stream.unacknowledged()
        return before < self._ping_end and before < self._taken

    # --- what the application says

    def send_text(self, text: str) -> None:
        """Send a text message. Raises UnicodeEncodeError for lone surrogates."""
        if self._state == OPEN or self._state == ENDING:
            self.octets_sent += self._sender.send_text(self._stream, text, self._deflater)
            self.messages_sent += 1

    def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        if self._state == OPEN or self._state == ENDING:
            self.octets_sent += self._sender.send_binary(self._stream, data, self._deflater)
            self.messages_sent += 1

    def send_close(self, code: int, reason: str, now: float) -> None:
        """Begin the close handshake (RFC 6455 §7.1.2), or end it where the peer has begun.

        Raises ValueError where `code` must not be sent, or `reason` has more than 123 octets of UTF-8.
        """
        payload = encode_close(code, reason)
        if self._state == OPEN:
            self._close_payload = payload
        self._happened(CLOSE_SENT, code, reason, now)
        # The peer's Close is to be read, and the messages before it are not delivered any more.
        self.resume_reading(now)

    def finish(self) -> None:
        """The messages before `close_received` are dealt with: let the close or the error take effect."""
        self._happened(FINISHED, 0, "", 0.0)

    # --- inside

    def _happened(self, event: int, code: int, reason: str, now: float) -> None:
        table = TABLE
        before = self._state
        entry = table[before * COLUMNS + event]
        after = entry & STATE
        if after != before:
            self._state = after
            if after == CLOSED:
                self._deadline = NEVER
            else:
                self._deadline = now + self._limits.close_timeout
        if entry & SEND:
            frame = encode_header(FIN | CLOSE, len(self._close_payload)) + self._close_payload
            self.octets_sent += len(frame)
            self._stream.send_data(frame, entry & END != 0)
        elif entry & END:
            self._stream.send_data(b"", True)
        elif entry & RESET:
            self._stream.reset()
        if after >= ENDING:
            self.stopped = True
        if entry & TELL:
            self._handler.close_received(code, reason)
        if after == CLOSED and before != CLOSED:
            self._handler.connection_closed()

    def _send_pong(self) -> None:
        payload = self._pong
        assert payload is not None  # the caller has looked
        self._pong = None
        self._send_control(PONG, payload)

    def _receive(self, data: bytes, now: float) -> None:
        self._pings = 0
        code = 0
        detail = ""
        try:
            self.parse(data)
        except ProtocolError as error:
            code = error.code
            detail = error.detail
        if code:
            # Not within `except`: the application may go on at once, and it is none of its errors' context.
            self._close_payload = encode_close(code, detail)
            self._happened(FAILED, code, detail, now)
        if self._state >= ENDING:
            # What came behind is discarded.
            self._data = b""
        elif self._pong is not None and not self._writing_paused:
            self._send_pong()

    def message_received(self, message: str | bytes) -> None:
        if self._state == OPEN:
            self.messages_received += 1
            self._handler.message_received(message)

    def control_received(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            code, reason = decode_close(payload)
            # RFC 6455 §5.5.1: the code comes back; with its reason, which browsers show to the page that closed
            self._close_payload = payload
            self._happened(CLOSE_RECEIVED, code, reason, self._heard_at)
        elif opcode == PING and self._state < ENDING:
            # RFC 6455 §5.5.2: until the peer's Close, so behind ours too
            self._pings += 1
            if self._writing_paused or self._pings > MAX_PONGS:
                self._pong = payload
            else:
                self._send_control(PONG, payload)

    def _send_control(self, opcode: int, payload: bytes) -> None:
        if self._state != CLOSED:
            frame = encode_header(FIN | opcode, len(payload)) + payload
            self.octets_sent += len(frame)
            self._stream.send_data(frame, False)
