"""A connection's streams: which there are, what events on the others mean (RFC 9113 §5.1), and how they end."""

from typing import Any

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ProtocolError
from tidegate.http.stream import Wire
from tidegate.http2 import frames, state
from tidegate.http2.budget import Budget
from tidegate.http2.frames import encode_reset
from tidegate.http2.sender import FrameSender, SendingStream
from tidegate.http2.stream import H2Stream

IDLE = state.IDLE
CLOSED = state.CLOSED
CANCELLED = state.CANCELLED
RECV_DATA = state.RECV_DATA
SEND_RESET = state.SEND_RESET
UNEXPECTED = state.UNEXPECTED
STREAM_ENDED = state.STREAM_ENDED
LONG_CLOSED = state.LONG_CLOSED
TABLE = state.TABLE
COLUMNS = state.COLUMNS

PROTOCOL_ERROR = frames.PROTOCOL_ERROR
STREAM_CLOSED = frames.STREAM_CLOSED
ENHANCE_YOUR_CALM = frames.ENHANCE_YOUR_CALM

# Streams that we have reset, at the least, and gaps in the client's identifiers, that are remembered; the latest count.
MIN_CANCELLED = 256
MAX_GAPS = 16
REFILL = 10.0  # seconds, of the budgets


class StreamTable(FrameSender):
    """`control` is what a client may do that is of no use: `useful` work gives some of it back."""

    __slots__ = (
        "_abandoned",
        "_cancelled",
        "_control",
        "_gaps",
        "_last_id",
        "_last_pushed",
        "_max_cancelled",
        "_now",
        "_resets",
        "_streams",
    )

    def __init__(
        self,
        wire: Wire,
        defaults: ResponseDefaults,
        write_buffer: int,
        max_resets: int,
        max_control: int,
        max_streams: int,
        now: float,
    ) -> None:
        FrameSender.__init__(self, wire, defaults, write_buffer)
        self._streams: dict[int, H2Stream] = {}
        self._last_id = 0  # the client's highest
        self._last_pushed = 0
        self._cancelled: dict[int, bool] = {}
        # §5.1: frames may be on their way to all that were open, and to those that took their places.
        self._max_cancelled = max(MIN_CANCELLED, 2 * max_streams)
        self._gaps: list[tuple[int, int]] = []  # identifiers that were skipped
        self._abandoned = 0
        self._now = now  # when something was last received
        self._resets = Budget(max_resets, REFILL)
        self._control = Budget(max_control, REFILL)

    # --- what a client may cost

    def spend(self, cost: int) -> None:
        """The client did what is of no use. Raises ProtocolError where that is too much."""
        if self.useful:
            self._control.earn(self.useful)
            self.useful = 0
        if not self._control.spend(cost, self._now):
            raise ProtocolError(ENHANCE_YOUR_CALM, "too many frames without use")

    def spend_reset(self) -> None:
        """The client has reset a stream, or made us do so. Raises ProtocolError where that is too often."""
        if not self._resets.spend(1, self._now):
            raise ProtocolError(ENHANCE_YOUR_CALM, "too many streams reset")

    def abandoned(self, change: int) -> None:
        self._abandoned += change

    # --- states

    def find(self, stream_id: int, event: int) -> H2Stream | None:
        """The stream on which `event` may happen; None where it is ignored, or answered here (§5.1). What is ignored is
        of no use, but for RECV_DATA, of which a frame may be several."""
        stream = self._streams.get(stream_id)
        now = self.state_of(stream_id) if stream is None else stream.state
        table = TABLE
        after = table[now * COLUMNS + event]
        if after < LONG_CLOSED:
            return stream
        if after == UNEXPECTED:
            raise ProtocolError(PROTOCOL_ERROR, f"{state.EVENTS[event]} in state {state.STATES[now]}")
        if after == LONG_CLOSED:
            raise ProtocolError(STREAM_CLOSED, f"{state.EVENTS[event]} in state {state.STATES[now]}")
        if after == STREAM_ENDED:
            self.fail_stream(stream_id, stream, STREAM_CLOSED)
            self.cancelled(stream_id)  # the rest of that frame, and others that are on their way
        elif event != RECV_DATA:
            self.spend(1)
        return None

    def state_of(self, stream_id: int) -> int:
        """The state of a stream that is not in the table."""
        if stream_id in self._cancelled:
            return CANCELLED
        if stream_id & 1:
            return CLOSED if stream_id <= self._last_id else IDLE
        return CLOSED if stream_id <= self._last_pushed else IDLE

    def take_id(self, stream_id: int) -> None:
        """The client opens stream `stream_id` (§5.1.1). Raises ProtocolError."""
        if stream_id > self._last_id and stream_id & 1:
            if stream_id - self._last_id > 2:
                self._gaps.append((self._last_id, stream_id))
                if len(self._gaps) > MAX_GAPS:
                    del self._gaps[0]
            self._last_id = stream_id
            return
        for low, high in self._gaps:
            if low < stream_id < high:
                raise ProtocolError(PROTOCOL_ERROR, "a stream identifier that was passed over")
        if stream_id & 1 == 0:
            raise ProtocolError(PROTOCOL_ERROR, "a stream identifier of the server's")
        raise ProtocolError(STREAM_CLOSED, "HEADERS on a closed stream")

    # --- ends

    def cancelled(self, stream_id: int) -> None:
        """What the client may have sent on this stream, and may yet send, is ignored (§5.1)."""
        known = self._cancelled
        known[stream_id] = True
        if len(known) > self._max_cancelled:
            del known[next(iter(known))]

    def fail_stream(self, stream_id: int, stream: H2Stream | None, code: int) -> None:
        """A stream error (§5.4.2); the stream may be one that was never opened. Raises ProtocolError."""
        self.spend_reset()
        if stream is not None:
            self.cut_stream(stream, code)
        else:
            self.send_frame(encode_reset(stream_id, code))
        self.cancelled(stream_id)

    def reset_stream(self, stream: SendingStream, code: int) -> None:
        known: Any = stream
        self.send_frame(encode_reset(known.stream_id, code))
        known.advance(SEND_RESET)
        if known.state == CANCELLED:
            self.cancelled(known.stream_id)
        known.abandon()
        self.forget(known)

    def cut_stream(self, stream: SendingStream, code: int) -> None:
        known: Any = stream
        handler = known.handler
        self.reset_stream(known, code)
        if handler is not None and known.started:
            handler.stream_reset()

    def answer_ended(self, stream: SendingStream) -> None:
        known: Any = stream
        if known.state == CLOSED:
            self.forget(known)
        else:
            if not known.tunnel:
                # §8.1: of the rest of the request nothing is wanted; it may be on its way, and is judged all the same.
                known.detach()
            self.clock_started()

    def forget(self, stream: H2Stream) -> None:
        """The stream is closed."""
        self._streams.pop(stream.stream_id, None)
        stream.detach()
        if not self._streams:
            self.became_idle()

    def became_idle(self) -> None:
        """There is no stream left."""
