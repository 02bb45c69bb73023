"""An HTTP/1.1 or HTTP/1.0 connection, server side, with no I/O (RFC 9112).

Bytes in: `receive_data`, `receive_eof`. Calls out: `open_handler` for each request, then its `StreamHandler`.
Bytes out: the `Wire`. Requests are answered one at a time, in order; what a client pipelines behind the
current one waits here, bounded, and past the bound the wire stops reading.
"""

from collections.abc import Callable

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ProtocolError, RequestError
from tidegate.http.head import NO_CONTENT, RequestHead
from tidegate.http.stream import StreamHandler, Wire
from tidegate.http1 import state
from tidegate.http1.body import ChunkedDecoder
from tidegate.http1.encoder import encode_error
from tidegate.http1.limits import H1Limits
from tidegate.http1.parser import HeadParser
from tidegate.http1.sender import H1Sender
from tidegate.http1.stream import H1Stream

NEVER = float("inf")
# A clock that starts when the wire next says what time it is: an application that answers cannot tell.
UNSET = -1.0

IDLE = state.IDLE
HEAD = state.HEAD
CONTENT = state.CONTENT
COMPLETE = state.COMPLETE
TUNNEL = state.TUNNEL
CLOSED = state.CLOSED
RECEIVING = state.RECEIVING
COLUMNS = state.COLUMNS
BAD = state.BAD
HEAD_STARTED = state.HEAD_STARTED
HEAD_RECEIVED = state.HEAD_RECEIVED
END_RECEIVED = state.END_RECEIVED
NEXT_REQUEST = state.NEXT_REQUEST
SWITCHED = state.SWITCHED
STOPPED = state.STOPPED


class H1Connection(H1Sender):
    """One connection. `open_handler(stream, head)` is called for each request and returns its handler; it may
    raise `RequestError`. `request_refused(error, head)` is told of each request that was answered here
    and has no handler (`head` is None where its request line could not be parsed, and where the rest could not
    has that line only). Times are seconds on the caller's monotonic clock.
    """

    __slots__ = (
        "_chunked",
        "_content_left",
        "_content_received",
        "_decoder",
        "_drain_left",
        "_excess",
        "_handler",
        "_idle_since",
        "_idle_timeout",
        "_limits",
        "_open_handler",
        "_parser",
        "_peer_closed",
        "_pending",
        "_pending_full",
        "_pending_heads",
        "_pending_size",
        "_pending_start",
        "_reading_paused",
        "_request_refused",
        "_state",
        "_stream",
        "_window_octets",
        "_window_since",
        "_writing_paused",
    )

    def __init__(
        self,
        wire: Wire,
        limits: H1Limits,
        defaults: ResponseDefaults,
        open_handler: Callable[[H1Stream, RequestHead], StreamHandler],
        request_refused: Callable[[RequestError, RequestHead | None], None],
        now: float,
    ) -> None:
        H1Sender.__init__(self, wire, defaults)
        self._limits = limits
        self._open_handler = open_handler
        self._request_refused = request_refused
        self._parser = HeadParser(limits.max_request_line, limits.max_head, limits.max_fields)
        self._decoder: ChunkedDecoder | None = None
        self._excess = False  # whether more than one request came in one piece
        self._state = IDLE
        self._stream: H1Stream | None = None
        self._handler: StreamHandler | None = None
        self._pending: list[bytes] = []
        self._pending_start = 0  # in its first piece
        self._pending_size = 0
        self._pending_heads = 0
        self._pending_full = False
        self._chunked = False
        self._content_left = 0
        self._content_received = 0
        self._drain_left = 0
        self._idle_since = now
        self._idle_timeout = limits.idle_timeout
        self._window_since = UNSET
        self._window_octets = 0
        self._reading_paused = False
        self._writing_paused = False
        self._peer_closed = False

    # --- what the wire says

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes arrived. Output made meanwhile is written once, before this returns."""
        if self._state == COMPLETE or self._pending_size:
            self._keep_pending(data, 0)
            return
        self._receiving = True
        try:
            self._receive(data, 0, now)
        finally:
            self._receiving = False
        if self._out_size:
            self._write_out()

    def receive_eof(self, now: float) -> None:
        """The peer has ended its side (a FIN). Whether it still reads is not known (RFC 9112 §9.6)."""
        self._peer_closed = True
        self._input_ended()

    def _input_ended(self) -> None:
        handler = self._handler
        if self._state == COMPLETE and handler is not None:
            # It may have gone, or have shut down only its writing side and wait for the answer.
            handler.peer_closed()
        elif self._state == TUNNEL and handler is not None:
            handler.end_received([])
        elif self._state == CONTENT:
            # RFC 9112 §8: an incomplete request
            self._refuse(RequestError(400, "The request ended before its content did."), None)
        elif self._pending_size == 0:
            self._close(False)

    def connection_lost(self) -> None:
        """The transport is gone, whatever the reason."""
        self._state = CLOSED
        self._drop_out()
        self._take_pending()
        self._cut_stream()

    def pause_writing(self) -> None:
        """The peer is not keeping up with what was written."""
        self._writing_paused = True
        handler = self._handler
        if handler is not None:
            handler.pause_writing()

    def resume_writing(self) -> None:
        """Undo `pause_writing`."""
        self._writing_paused = False
        handler = self._handler
        if handler is not None:
            handler.resume_writing()
        elif self._pending_size and self._state == IDLE:
            self._receive_pending()
            self.flush()

    def shutdown(self, now: float) -> None:
        """Let the current exchange end, and an idle client send one more request, then close (RFC 9112
        §9.6)."""
        self.shutting_down = True
        handler = self._handler
        if handler is not None:
            handler.shutdown_started()
        elif self._state == IDLE:
            self._idle_since = now
            self._idle_timeout = self._limits.shutdown_idle
            self._timeout_changed()

    def cut(self) -> None:
        """End the connection now; the application sees its client gone."""
        self._state = CLOSED
        self._cut_stream()
        self._wire.abort()

    def close_idle(self) -> None:
        """Its place is wanted: close, where it waits for a request."""
        if self.idle_since < NEVER:
            self._close(False)

    @property
    def idle_since(self) -> float:
        """Since when the connection waits for a request, or infinity where it does not."""
        if self._state != IDLE or self._idle_since == UNSET or self._pending_size:
            return NEVER
        return self._idle_since

    def flush_due(self) -> None:
        """The callback that `Wire.flush_soon` promises."""
        if self._pending_size and self._state == IDLE and not self._writing_paused:
            self._receive_pending()
        if self._pipelining and self._out_size:
            # Another request was opened meanwhile. Each is waited for once, so at most one step of each.
            self._pipelining = False
            self._wire.flush_soon()
        else:
            self._write_out()

    # --- time

    def next_timeout(self) -> float:
        """When to call `handle_timeout`: a time, infinity, or one in the past for as soon as the time is
        known."""
        limits = self._limits
        if self._state == IDLE:
            if self._pending_size:
                return NEVER  # it is not the client that keeps us waiting
            return UNSET if self._idle_since == UNSET else self._idle_since + self._idle_timeout
        if self._state == HEAD:
            return UNSET if self._idle_since == UNSET else self._idle_since + limits.head_timeout
        if self._state == CONTENT:
            if self._stream is None:
                return UNSET if self._idle_since == UNSET else self._idle_since + limits.keep_alive_timeout
            if self._clock_runs():
                return UNSET if self._window_since == UNSET else self._window_since + limits.body_window
        return NEVER

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""
        limits = self._limits
        if self._state == IDLE or (self._state == CONTENT and self._stream is None):
            if self._idle_since == UNSET:
                self._idle_since = now
                self._parser.forget()  # an idle connection is to be small
            elif now >= self.next_timeout():
                # Silently: balancers and browsers open connections ahead of need, and take a 408 for an
                # answer.
                # At shutdown a request may cross the close: it is read, so that no reset comes back.
                self._close(self.shutting_down)
        elif self._state == HEAD:
            if self._idle_since == UNSET:
                self._idle_since = now
            elif now >= self._idle_since + limits.head_timeout:
                self._refuse(RequestError(408, "The request took too long to arrive."), self._parser.begun())
        elif self._state == CONTENT and self._clock_runs():
            if self._window_since == UNSET:
                self._window_since = now
            elif now >= self._window_since + limits.body_window:
                if self._window_octets < limits.body_rate * limits.body_window:
                    self._refuse(RequestError(408, "The request's content came too slowly."), None)
                else:
                    self._window_since = now
                    self._window_octets = 0

    def _timeout_changed(self) -> None:
        if self.next_timeout() < NEVER:
            self._wire.timeout_changed()

    def _clock_runs(self) -> bool:
        # Only while it is the client that keeps us waiting.
        stream = self._stream
        return (
            self._limits.body_rate > 0
            and not self._reading_paused
            and stream is not None
            and not stream.continue_due
            and not stream.head_sent
        )

    # --- requests

    def _advance(self, event: int) -> None:
        table = RECEIVING
        after = table[self._state * COLUMNS + event]
        if after == BAD:
            raise ProtocolError(0, f"{state.EVENTS[event]} in state {state.STATES[self._state]}")
        self._state = after

    def _receive(self, data: bytes, start: int, now: float) -> None:
        i = start
        n = len(data)
        opened = 0
        try:
            while i < n:
                if self._state == IDLE or self._state == HEAD:
                    if self._state == IDLE:
                        if self._writing_paused:
                            # The answers so far are not read: no more are made.
                            self._keep_pending(data, i)
                            return
                        if opened == self._limits.max_pipelined:
                            # Answers that are made at once keep the other connections waiting.
                            self._keep_pending(data, i)
                            self._wire.flush_soon()
                            return
                    i = self._parser.receive(data, i)
                    if i < 0:
                        if self._state == IDLE and self._parser.started:
                            self._idle_since = now
                            self._advance(HEAD_STARTED)
                            self._timeout_changed()
                        return
                    i = self._open_stream(data, i)
                    opened += 1
                elif self._state == CONTENT:
                    i = self._receive_content(data, i)
                elif self._state == COMPLETE:
                    self._keep_pending(data, i)
                    return
                else:
                    handler = self._handler
                    if self._state == TUNNEL and handler is not None:
                        handler.data_received(data[i:] if i else data)
                    return
        except RequestError as error:
            self._refuse(error, self._parser.begun())

    def _open_stream(self, data: bytes, i: int) -> int:
        head = self._parser.head
        self._parser.reset()
        self._advance(HEAD_RECEIVED)
        length = head.content_length
        if 0 <= self._limits.max_content < length:
            self._refuse(RequestError(413, "The request's content is too large."), head)
            return i
        stream = H1Stream(self, head)
        self._stream = stream
        if length == NO_CONTENT or length == 0:
            self._advance(END_RECEIVED)
        else:
            self._chunked = length < 0
            self._content_left = length
            self._content_received = 0
            self._window_since = UNSET
            self._window_octets = 0
            stream.continue_due = head.expect_continue
        try:
            handler = self._open_handler(stream, head)
        except RequestError as error:
            self._refuse(error, head)
            return i
        self._handler = handler
        if self._writing_paused:
            handler.pause_writing()
        if self._state == CONTENT:
            if i < len(data):
                try:
                    i = self._receive_content(data, i)
                except RequestError:
                    self._handler = None
                    handler.discarded()
                    raise
            if self._state == CONTENT:
                self._timeout_changed()
        if self.shutting_down:
            handler.shutdown_started()
        self._excess = i < len(data)
        handler.start()
        return i

    def _receive_content(self, data: bytes, i: int) -> int:
        start = i
        n = len(data)
        if self._chunked:
            decoder = self._decoder
            if decoder is None:
                decoder = ChunkedDecoder(self._limits.max_trailers, self._limits.max_fields)
                self._decoder = decoder
            chunks: list[bytes] = []
            i = decoder.receive(data, i, chunks)
            self._window_octets += i - start
            for chunk in chunks:
                if self._state != CONTENT:
                    return n
                self._content_received += len(chunk)
                if 0 <= self._limits.max_content < self._content_received:
                    raise RequestError(413, "The request's content is too large.")
                self._deliver(chunk)
            if decoder.complete:
                trailers = decoder.trailers
                decoder.reset()
                self._end_content(trailers)
        else:
            i = n if n - i <= self._content_left else i + self._content_left
            self._window_octets += i - start
            self._content_left -= i - start
            self._deliver(data if i == n and start == 0 else data[start:i])
            if self._content_left == 0:
                self._end_content([])
        return i

    def _deliver(self, data: bytes) -> None:
        stream = self._stream
        if stream is not None and stream.continue_due:
            # RFC 9110 §10.1.1: content that comes unasked makes the 100 needless.
            stream.continue_due = False
            self.start_clock()
        handler = self._handler
        if handler is not None:
            handler.data_received(data)
        else:
            self._drain_left -= len(data)
            if self._drain_left < 0:
                self._close(True)

    def _end_content(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._state != CONTENT:
            return
        self._advance(END_RECEIVED)
        if self._reading_paused:
            # There is nothing more to hold back, and a client that goes is seen only while it is read.
            self._reading_paused = False
            self._wire.resume_reading()
        if self._stream is not None:
            self._stream.continue_due = False
        handler = self._handler
        if handler is not None:
            handler.end_received(trailers)
        else:
            self._next_request()

    def _keep_pending(self, data: bytes, start: int) -> None:
        if not self._pending:
            self._pending_start = start
            self._pending_heads = 0
        self._pending.append(data)
        self._pending_size += len(data) - start
        full = (
            self._pending_size >= self._limits.max_unread
            or len(self._pending) >= self._limits.max_unread >> 6
        )
        if not full:
            # An upper bound of the requests in it, without parsing what may still be refused.
            self._pending_heads += data.count(b"\r\n\r\n", start)
            full = self._pending_heads >= self._limits.max_pipelined
        if full:
            self._pending_full = True
            self._wire.pause_reading()

    def _take_pending(self) -> bytes:
        """What waits, from `_pending_start` on."""
        pending = self._pending
        if not pending:
            return b""
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        pending.clear()
        self._pending_size = 0
        if self._pending_full:
            self._pending_full = False
            if self._state != CLOSED:
                self._wire.resume_reading()
        return data

    def _receive_pending(self) -> None:
        data = self._take_pending()
        self._receiving = True
        try:
            self._receive(data, self._pending_start, UNSET)
        finally:
            self._receiving = False
        # Where it has switched, no answers are to come in one write any more.
        self._pipelining = self._stream is not None and self._state != TUNNEL
        if self._peer_closed:
            self._input_ended()

    def _refuse(self, error: RequestError, head: RequestHead | None) -> None:
        # After a refusal nothing that follows on the connection is parsed (RFC 9112 §9.6, §11.2).
        stream = self._stream
        if stream is not None:
            head = stream.request
        elif self._state == CONTENT and head is None:
            # Content that is drained: its request has been answered.
            self._close(True)
            return
        answered = stream is not None and stream.head_sent
        handler = self._handler
        if handler is not None and not answered:
            handler.request_refused(error)
        self._advance(STOPPED)
        self._cut_stream()
        if answered:
            # The answer that is under way stays visibly incomplete.
            self._write_out()
            self._wire.abort()
        else:
            if handler is None:
                self._request_refused(error, head)
            self.send(encode_error(error, head is None or head.method != "HEAD", self.defaults))
            self._write_out()
            self._wire.close(True)

    def _cut_stream(self) -> None:
        stream = self._stream
        handler = self._handler
        self._stream = None
        self._handler = None
        if stream is not None:
            stream.detach()
        if handler is not None:
            handler.stream_reset()

    def _close(self, linger: bool) -> None:
        self._advance(STOPPED)
        self._take_pending()
        self._write_out()
        self._wire.close(linger)

    # --- what the stream says

    def stream_ended(self, keep_alive: bool) -> None:
        """The answer is complete; its stream is detached."""
        stream = self._stream
        self._stream = None
        self._handler = None
        if not keep_alive:
            # A client that may still be sending must not lose the answer to a reset.
            self._close(
                self._state == CONTENT
                or self._excess
                or self._pending_size > 0
                or (stream is not None and stream.request.keep_alive)
            )
        elif self._state == COMPLETE:
            self._next_request()
        else:
            # The rest of the content is drained to keep the connection, if it is short.
            self._drain_left = self._limits.max_drain
            if stream is not None and (stream.continue_due or self._content_left > self._drain_left):
                self._close(True)
                return
            self._idle_since = UNSET
            self._reading_paused = False
            self._wire.resume_reading()
            self._timeout_changed()

    def stream_cut(self, tell: bool) -> None:
        """The answer stays incomplete, and the connection closes so that the client can tell (RFC 9112
        §8)."""
        self._stream = None
        self._handler = None
        if tell:
            # Framed by the close itself: only a reset is not its regular end.
            self._advance(STOPPED)
            self._write_out()
            self._wire.abort()
        else:
            self._close(True)

    def _next_request(self) -> None:
        self._advance(NEXT_REQUEST)
        self._idle_since = UNSET
        self._idle_timeout = (
            self._limits.shutdown_idle if self.shutting_down else self._limits.keep_alive_timeout
        )
        if self._pending_size and not self._receiving and not self._writing_paused:
            self._receive_pending()
        if self._state == IDLE:
            if self._peer_closed and not self._receiving:
                self._input_ended()
            else:
                self._timeout_changed()

    def switch(self) -> None:
        """The stream has become a tunnel; what came behind the request is its first data."""
        self._advance(SWITCHED)
        self._pipelining = False
        handler = self._handler
        if self._pending_size and handler is not None:
            data = self._take_pending()
            handler.data_received(data[self._pending_start :])

    def set_reading(self, paused: bool) -> None:
        """Let the peer wait with the request's content, or go on."""
        if self._state != CONTENT and self._state != TUNNEL:
            return
        self._reading_paused = paused
        if paused:
            self._wire.pause_reading()
        else:
            self._wire.resume_reading()
            self.start_clock()

    def content_left_over(self) -> bool:
        """See StreamOwner."""
        return self._state == CONTENT and self._content_left > self._limits.max_drain

    def start_clock(self) -> None:
        """The client has been asked for its content: from now on it is expected at a rate."""
        self._window_since = UNSET
        self._window_octets = 0
        self._timeout_changed()
