"""An HTTP/2 connection, server side, with no I/O (RFC 9113, 9218, 8441).

Bytes in: `receive_data`, `receive_eof`. Calls out: `open_handler` for each request, then its `StreamHandler`.
Bytes out: the `Wire`.
"""

from collections.abc import Callable

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ProtocolError, RequestError, StreamError
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, StreamHandler, Wire
from tidegate.http2 import frames, receiver, settings, state
from tidegate.http2.frames import encode_frame, encode_goaway, encode_window_update
from tidegate.http2.limits import H2Limits
from tidegate.http2.receiver import FrameReceiver
from tidegate.http2.settings import encode_settings
from tidegate.http2.stream import H2Stream

NEVER = float("inf")
# A clock that starts when the wire next says what time it is: an application that answers cannot tell.
UNSET = -1.0

SERVING = state.SERVING
DRAINING = state.DRAINING
LEAVING = state.LEAVING
ENDED = state.ENDED
SHUTDOWN_PING = receiver.SHUTDOWN_PING
LIVENESS_PING = receiver.LIVENESS_PING

OPEN_STREAM = state.OPEN
HALF_CLOSED_REMOTE = state.HALF_CLOSED_REMOTE
HALF_CLOSED_LOCAL = state.HALF_CLOSED_LOCAL
CLOSED_STREAM = state.CLOSED

NO_ERROR = frames.NO_ERROR
SETTINGS_TIMEOUT = frames.SETTINGS_TIMEOUT
CANCEL = frames.CANCEL
ENHANCE_YOUR_CALM = frames.ENHANCE_YOUR_CALM
MAX_STREAM_ID = frames.MAX_STREAM_ID

# Octets that are not content and that a client which reads nothing may make us hold.
MAX_UNREAD_FRAMES = 65536
# Seconds for the rest of a request that is answered already; most are on their way, and end without RST_STREAM.
REST_OF_REQUEST = 0.25


class H2Connection(FrameReceiver):
    """One connection. `open_handler` and `request_refused` are as an H1Connection's. Times are seconds on the caller's
    monotonic clock."""

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_began",
        "_block_since",
        "_frames_seen",
        "_idle_since",
        "_peer_closed",
        "_reading_stopped",
        "_shutdown_since",
        "_streams_due",
        "_unread",
    )

    def __init__(
        self,
        wire: Wire,
        limits: H2Limits,
        defaults: ResponseDefaults,
        open_handler: Callable[[Stream, RequestHead], StreamHandler],
        request_refused: Callable[[RequestError | StreamError, RequestHead | None], None],
        now: float,
    ) -> None:
        FrameReceiver.__init__(self, wire, limits, defaults, open_handler, request_refused, now)
        self._began = now
        self._frames_seen = 0
        self._block_since = UNSET
        self._backlog: list[bytes] = []  # what a read had more than we take at once
        self._backlog_size = 0
        self._reading_stopped = False
        self._unread = 0  # octets written since the client stopped reading
        self._idle_since = now
        self._streams_due = NEVER
        self._shutdown_since = UNSET
        self._peer_closed = False
        self._send_preface()

    def _send_preface(self) -> None:
        """Our SETTINGS (RFC 9113 §3.4); written with the first answer to what the client sends."""
        limits = self._limits
        values = [
            (settings.NO_RFC7540_PRIORITIES, 1),
            (settings.MAX_CONCURRENT_STREAMS, limits.max_streams),
            (settings.INITIAL_WINDOW_SIZE, limits.window),
            (settings.MAX_FRAME_SIZE, limits.max_frame),
            (settings.MAX_HEADER_LIST_SIZE, limits.max_header_list),
            (settings.ENABLE_CONNECT_PROTOCOL, 1),
        ]
        self.send_frame(encode_frame(frames.SETTINGS, 0, 0, encode_settings(values)))
        increment = limits.connection_window - frames.DEFAULT_WINDOW
        if increment > 0:
            self.send_frame(encode_window_update(0, increment))

    def upgrade(self, request: RequestHead) -> None:
        """Serve as stream 1 the request that asked for HTTP/2 (RFC 7540 §3.2), behind the 101; the client's preface is
        yet to come."""
        self.held = True
        try:
            self.open_upgraded(request)
        finally:
            self.held = False
        self.write_out()
        self.wire.timeout_changed()

    # --- what the wire says

    def receive_data(self, data: bytes, now: float) -> None:
        self._now = now
        self._ping_since = UNSET
        if self._backlog_size:
            self._backlog.append(data)
            self._backlog_size += len(data)
            return
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self._state == ENDED:
            return
        reader = self._reader
        self.held = True
        self._opened = 0
        reader.stopped = False
        try:
            i = reader.receive(data, 0)
            if self._starting:
                self._start_handlers()
            if i < len(data) and self._state != ENDED:
                self._backlog.append(data[i:])
                self._backlog_size = len(data) - i
                self.wire.flush_soon()
            self._watch_block()
            self._set_reading()
            if not self._streams:
                self._end_if_done(self._now)
        except ProtocolError as error:
            self._starting.clear()
            self._fail(error)
        finally:
            self.held = False
        if self._out_size:
            self.write_out()

    def _start_handlers(self) -> None:
        starting = self._starting
        self._starting = []
        for stream in starting:
            self._start(stream)

    def _watch_block(self) -> None:
        reader = self._reader
        if not reader.waiting:
            self._block_since = UNSET
        elif self._block_since == UNSET or (reader.frames != self._frames_seen and not reader.in_block):
            self._block_since = self._now
            self._frames_seen = reader.frames
            self.wire.timeout_changed()

    def _set_reading(self) -> None:
        stop = self._backlog_size > 0 or self._unread > MAX_UNREAD_FRAMES
        if stop != self._reading_stopped:
            self._reading_stopped = stop
            if stop:
                self.wire.pause_reading()
            else:
                self.wire.resume_reading()

    def receive_eof(self, now: float) -> None:
        self._now = now
        self._peer_closed = True
        if not self._backlog_size:
            self._input_ended()

    def _input_ended(self) -> None:
        for stream in list(self._streams.values()):
            handler = stream.handler
            if stream.state != HALF_CLOSED_REMOTE:
                # RFC 9113 §8.1: an incomplete request
                self.cut_stream(stream, CANCEL)
            elif handler is not None:
                handler.peer_closed()
        self.flush()
        if not self._streams and self._state != ENDED:
            self._close(False)

    def connection_lost(self) -> None:
        self._state = ENDED
        self._out.clear()
        self._out_size = 0
        self._backlog.clear()
        self._backlog_size = 0
        self._cut_streams()
        self._reader.detach()

    def pause_writing(self) -> None:
        self.writing_paused = True
        self._unread = 0

    def resume_writing(self) -> None:
        self.writing_paused = False
        self._unread = 0
        if self._state != ENDED:
            self._set_reading()
            self.pump()
            if self._streams:
                self.clock_started()
            self.flush()

    def flush_due(self) -> None:
        if self._backlog_size and self._state != ENDED:
            data = b"".join(self._backlog)
            self._backlog.clear()
            self._backlog_size = 0
            self._receive(data)
            if self._peer_closed and not self._backlog_size and self._state != ENDED:
                self._input_ended()
        self.flush()

    def write_out(self) -> None:
        if self.writing_paused:
            self._unread += self._out_size
        FrameReceiver.write_out(self)

    def shutdown(self, now: float) -> None:
        """RFC 9113 §6.8: first a GOAWAY that refuses nothing, then, when it must have arrived, one that says what was
        served."""
        if self._state != SERVING:
            return
        self.shutting_down = True
        self._state = DRAINING
        self._shutdown_since = now
        for stream in list(self._streams.values()):
            handler = stream.handler
            if handler is not None:
                handler.shutdown_started()
        self.send_frame(encode_goaway(MAX_STREAM_ID, NO_ERROR, b""))
        self.send_frame(encode_frame(frames.PING, 0, 0, SHUTDOWN_PING))
        self.flush()
        self.wire.timeout_changed()

    def refuse_streams(self) -> None:
        self._state = LEAVING
        self.send_frame(encode_goaway(self._served_id, NO_ERROR, b""))
        if not self._streams:
            self._close(True)

    def cut(self) -> None:
        self._state = ENDED
        self._reader.stopped = True
        self._cut_streams()
        self.wire.abort()

    def close_idle(self) -> None:
        if self.idle_since < NEVER:
            self.send_frame(encode_goaway(self._served_id, NO_ERROR, b""))
            self._close(True)

    @property
    def idle_since(self) -> float:
        """Since when the connection has no streams, or infinity where it has."""
        if self._streams or self._state == ENDED or self._idle_since == UNSET:
            return NEVER
        return self._idle_since

    def _close(self, linger: bool) -> None:
        self._state = ENDED
        self._reader.stopped = True
        self.write_out()
        self.wire.close(linger)

    def _fail(self, error: ProtocolError) -> None:
        """A connection error (RFC 9113 §5.4.1)."""
        self._state = ENDED
        self._reader.stopped = True
        self.send_frame(encode_goaway(self._served_id, error.code, error.detail.encode("ascii", "replace")))
        self._cut_streams()
        self.write_out()
        self.wire.close(True)

    def _cut_streams(self) -> None:
        for stream in list(self._streams.values()):
            handler = stream.handler
            stream.state = CLOSED_STREAM
            stream.abandon()
            self.forget(stream)
            if handler is not None and stream.started:
                handler.stream_reset()

    def became_idle(self) -> None:
        if self._state != ENDED:
            self._idle_since = UNSET
            if not self.held:
                self._end_if_done(UNSET)

    def _end_if_done(self, now: float) -> None:
        """There is no stream: close, if no more are to come."""
        if self._state == ENDED or self._backlog_size:
            return
        if self._state == LEAVING or self._peer_closed or self._peer_going:
            self._close(not self._peer_closed)
        elif self._idle_since == UNSET:
            self._idle_since = now
            self.wire.timeout_changed()

    # --- time

    def next_timeout(self) -> float:
        if self._state == ENDED:
            return NEVER
        limits = self._limits
        due = self._streams_due
        if not self._settings_acknowledged:
            due = min(due, self._began + limits.settings_timeout)
        if self._block_since != UNSET:
            due = min(due, self._block_since + limits.head_timeout)
        if self._state == DRAINING:
            due = min(due, self._shutdown_since + limits.shutdown_idle)
        if not self._streams:
            due = min(due, UNSET if self._idle_since == UNSET else self._idle_since + limits.idle_timeout)
        elif limits.ping_interval > 0:
            if self._ping_since != UNSET:
                due = min(due, self._ping_since + limits.ping_timeout)
            else:
                due = min(due, self._now + limits.ping_interval)
        return due

    def handle_timeout(self, now: float) -> None:
        if self._state == ENDED:
            return
        self.held = True
        try:
            self._handle_timeout(now)
        except ProtocolError as error:
            self._fail(error)
        finally:
            self.held = False
        self.flush()

    def _handle_timeout(self, now: float) -> None:
        limits = self._limits
        if not self._settings_acknowledged and now >= self._began + limits.settings_timeout:
            raise ProtocolError(SETTINGS_TIMEOUT, "SETTINGS was not sent or not acknowledged")  # §6.5.3
        if self._block_since != UNSET and now >= self._block_since + limits.head_timeout:
            raise ProtocolError(ENHANCE_YOUR_CALM, "a frame took too long")
        if self._state == DRAINING and now >= self._shutdown_since + limits.shutdown_idle:
            self.refuse_streams()
            if self._state == ENDED:
                return
        if not self._streams:
            if self._idle_since == UNSET:
                self._idle_since = now
            elif now >= self._idle_since + limits.idle_timeout:
                self.send_frame(encode_goaway(self._served_id, NO_ERROR, b""))
                self._close(True)
            self._streams_due = NEVER
            return
        if limits.ping_interval > 0:
            if self._ping_since != UNSET:
                if now >= self._ping_since + limits.ping_timeout:
                    self.cut()
                    return
            elif now >= self._now + limits.ping_interval:
                self._ping_since = now
                self.send_frame(encode_frame(frames.PING, 0, 0, LIVENESS_PING))
        due = NEVER
        for stream in list(self._streams.values()):
            due = min(due, self._check_clocks(stream, now))
        self._streams_due = due
        if not self._streams:
            self._end_if_done(now)

    def _check_clocks(self, stream: H2Stream, now: float) -> float:
        """Cut or refuse a stream whose client is too slow; when to look again."""
        limits = self._limits
        due = NEVER
        if self._clock_runs(stream):
            if stream.window_since == UNSET:
                stream.window_since = now
            elif now >= stream.window_since + limits.body_window:
                if stream.window_octets < limits.body_rate * limits.body_window:
                    self.refuse(stream, RequestError(408, "The request's content came too slowly."))
                    return due
                stream.window_since = now
                stream.window_octets = 0
            due = stream.window_since + limits.body_window
        if stream.unsent and not self.writing_paused:
            # It is the client's window that the content waits for; where it is the transport, its own clock runs.
            if stream.stalled_since == UNSET:
                stream.stalled_since = now
                stream.stalled_mark = stream.taken
            elif now >= stream.stalled_since + limits.write_timeout:
                gone = stream.taken - stream.stalled_mark
                if gone == 0 or gone < limits.body_rate * limits.write_timeout:
                    self.cut_stream(stream, CANCEL)
                    return due
                stream.stalled_since = now
                stream.stalled_mark = stream.taken
            due = min(due, stream.stalled_since + limits.write_timeout)
        elif stream.head_sent and stream.state == HALF_CLOSED_LOCAL:
            # A request, or a tunnel, whose client does not end its side.
            patience = limits.body_window if stream.tunnel else REST_OF_REQUEST
            if stream.stalled_since == UNSET:
                stream.stalled_since = now
            elif now >= stream.stalled_since + patience:
                self.cut_stream(stream, NO_ERROR)  # §8.1
                return due
            due = min(due, stream.stalled_since + patience)
        else:
            stream.stalled_since = UNSET
        return due

    def _clock_runs(self, stream: H2Stream) -> bool:
        # Only while it is the client that keeps us waiting.
        return (
            stream.clocked
            and stream.state == OPEN_STREAM
            and not stream.reading_paused
            and not stream.continue_due
            and not stream.head_sent
        )

    def clock_started(self) -> None:
        if self._streams_due > 0:
            self._streams_due = UNSET
            self.wire.timeout_changed()
