"""What a client's frames mean: requests opened, content delivered, windows and priorities changed (RFC 9113 §6, §8;
RFC 9218 §7)."""

from collections.abc import Callable

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ProtocolError, RequestError, StreamError
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.stream import Stream, StreamHandler, Wire
from tidegate.http2 import frames, state
from tidegate.http2.frames import encode_window_update
from tidegate.http2.hpack import Decoder
from tidegate.http2.limits import H2Limits
from tidegate.http2.priority import parse_priority
from tidegate.http2.reader import FrameReader
from tidegate.http2.request import RequestReader, list_size, receive_trailers, refused_head
from tidegate.http2.sender import SendingStream
from tidegate.http2.stream import H2Stream
from tidegate.http2.streams import StreamTable

NEVER = float("inf")
# A clock that starts when the wire next says what time it is: an application that answers cannot tell.
UNSET = -1.0

RECV_HEADERS = state.RECV_HEADERS
RECV_DATA = state.RECV_DATA
RECV_END = state.RECV_END
RECV_RESET = state.RECV_RESET
RECV_WINDOW = state.RECV_WINDOW
CLOSED_STREAM = state.CLOSED
HALF_CLOSED_REMOTE = state.HALF_CLOSED_REMOTE
RESERVED = state.RESERVED
SERVING = state.SERVING
DRAINING = state.DRAINING
LEAVING = state.LEAVING

PROTOCOL_ERROR = frames.PROTOCOL_ERROR
FLOW_CONTROL_ERROR = frames.FLOW_CONTROL_ERROR
FRAME_SIZE_ERROR = frames.FRAME_SIZE_ERROR
REFUSED_STREAM = frames.REFUSED_STREAM
CANCEL = frames.CANCEL
PUSH_PROMISE = frames.PUSH_PROMISE
MAX_WINDOW = frames.MAX_WINDOW

SHUTDOWN_PING = b"shutdown"
LIVENESS_PING = b"tidegate"
PING_ACK = frames.encode_header(8, frames.PING, frames.ACK, 0)
SETTINGS_ACK = frames.encode_header(0, frames.SETTINGS, frames.ACK, 0)

# Answers that are made at once keep the other connections waiting: as many requests of one read, then it is their turn.
MAX_AT_ONCE = 64
# A header block, encoded, may be as much longer than a list that is taken: so far the tables are kept in step.
BLOCK_FACTOR = 4
MAX_PIECES = 128  # frames of one header block
# Frames without use of their own that a client may send for each request, and for each piece of content.
USE_OF_REQUEST = 8
USE_OF_DATA = 2


class FrameReceiver(StreamTable):
    """`open_handler` and `request_refused` are as an H1Connection's; the latter is told of malformed requests too, by a
    StreamError: those are not answered."""

    __slots__ = (
        "_credit",
        "_decoder",
        "_early_priorities",
        "_grown",
        "_limits",
        "_open_handler",
        "_opened",
        "_overshoot",
        "_peer_going",
        "_ping_since",
        "_pushed",
        "_reader",
        "_receive_window",
        "_request_refused",
        "_requests",
        "_served_id",
        "_settings_acknowledged",
        "_starting",
        "_state",
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
        StreamTable.__init__(
            self,
            wire,
            defaults,
            limits.write_buffer,
            limits.max_resets,
            limits.max_control,
            limits.max_streams,
            now,
        )
        self._limits = limits
        self._open_handler = open_handler
        self._request_refused = request_refused
        self._reader = FrameReader(self, limits.max_frame, limits.max_header_list * BLOCK_FACTOR, MAX_PIECES)
        self._decoder = Decoder(4096, limits.max_header_list, limits.max_fields)
        self._requests = RequestReader(limits.max_target)
        self._state = SERVING
        self._settings_acknowledged = False
        self._starting: list[H2Stream] = []  # opened, and not started before their content has been seen
        self._opened = 0  # in this read
        self._receive_window = limits.connection_window
        # By how much our window for streams is less than what it is before SETTINGS.
        self._overshoot = max(0, frames.DEFAULT_WINDOW - limits.window)
        self._served_id = 0  # the client's last stream that may have been processed
        self._credit = 0  # what has come, and was not yet allowed again
        self._grown = 0  # by how much streams' windows have grown
        self._early_priorities: dict[int, tuple[int, int]] = {}  # of streams that are still idle
        self._pushed = 0  # open streams that we have promised
        self._ping_since = UNSET
        self._peer_going = False

    # --- requests

    def headers_received(self, stream_id: int, block: bytes, end_stream: bool, depends_on: int) -> None:
        # Whatever becomes of the block, it is decoded, to keep the tables in step (§4.3).
        fields = self._decoder.decode(block)
        if stream_id in self._streams or stream_id in self._cancelled:
            self._trailers_received(stream_id, fields, end_stream)
            return
        self.take_id(stream_id)
        if self._early_priorities:
            # RFC 9113 §5.1.1: those that are passed over will never be opened.
            for idle in [each for each in self._early_priorities if each < stream_id]:
                del self._early_priorities[idle]
        if self._state >= LEAVING:
            self.cancelled(stream_id)  # §6.8: beyond the last one that we said we serve
            return
        self._served_id = stream_id
        if depends_on == stream_id:
            self.fail_stream(stream_id, None, PROTOCOL_ERROR)  # RFC 7540 §5.3.1
            return
        limits = self._limits
        count = len(self._streams) - self._pushed
        if count >= limits.max_streams or count + self._abandoned >= 2 * limits.max_streams:
            self.fail_stream(stream_id, None, REFUSED_STREAM)  # §5.1.2
            return
        self.useful += USE_OF_REQUEST
        self._opened += 1
        if self._opened == MAX_AT_ONCE:
            self._reader.stopped = True
        self._open_stream(stream_id, fields, end_stream)

    def open_upgraded(self, request: RequestHead) -> None:
        """Open stream 1, half-closed (remote), for the request that asked for HTTP/2 (RFC 7540 §3.2)."""
        self._last_id = self._served_id = 1
        self._requests.priority = request.field(b"priority")
        self._open_request(1, request, True)

    def _open_stream(self, stream_id: int, fields: list[tuple[bytes, bytes]], end_stream: bool) -> None:
        limits = self._limits
        head: RequestHead | None = None
        try:
            if self._decoder.oversized:
                self.spend(USE_OF_REQUEST)
                # RFC 6585 §5
                raise RequestError(431, "The request's header section is too large.")
            head = self._requests.receive(fields, end_stream)
            if 0 <= limits.max_content < head.content_length:
                raise RequestError(413, "The request's content is too large.")
        except StreamError as error:
            self._request_refused(error, refused_head(fields, limits.max_target))
            self.fail_stream(stream_id, None, error.code)
        except RequestError as error:
            self._refuse_unopened(stream_id, fields, head, end_stream, error)
        else:
            self._open_request(stream_id, head, end_stream)

    def _open_request(self, stream_id: int, head: RequestHead, end_stream: bool) -> None:
        stream = self._make_stream(stream_id, head)
        self._prioritise(stream)
        try:
            handler = self._open_handler(stream, head)
        except RequestError as error:
            self._refuse_unopened(stream_id, [], head, end_stream, error)
            return
        stream.handler = handler
        self._streams[stream_id] = stream
        if end_stream:
            stream.state = HALF_CLOSED_REMOTE
            self._start(stream)
        else:
            stream.continue_due = head.expect_continue
            if not head.protocol and not head.field(b"content-type").startswith(b"application/grpc"):
                stream.clocked = True
                self.clock_started()
            self._starting.append(stream)

    def _make_stream(self, stream_id: int, head: RequestHead) -> H2Stream:
        stream = H2Stream(self, stream_id, head, self._limits.window)
        if self._overshoot and not self._settings_acknowledged:
            # RFC 9113 §6.9.3: sent before our SETTINGS arrived, its content goes by the default.
            stream.receive_window += self._overshoot
        return stream

    def _start(self, stream: H2Stream) -> None:
        handler = stream.handler
        if handler is not None:
            stream.started = True
            if self.shutting_down:
                handler.shutdown_started()
            handler.start()

    def _prioritise(self, stream: H2Stream) -> None:
        """RFC 9218 §5, §7: a frame overrides the field."""
        if self._early_priorities:
            early = self._early_priorities.pop(stream.stream_id, None)
            if early is not None:
                stream.urgency, stream.incremental = early
                return
        if self._requests.priority:
            stream.urgency, stream.incremental = parse_priority(self._requests.priority)

    def _refuse_unopened(
        self,
        stream_id: int,
        fields: list[tuple[bytes, bytes]],
        head: RequestHead | None,
        end_stream: bool,
        error: RequestError,
    ) -> None:
        """Answer on a stream without handler; `head` is None where it could not be made of `fields`."""
        if head is None:
            head = refused_head(fields, self._limits.max_target)
        self._request_refused(error, head)
        stream = self._make_stream(stream_id, head)
        if end_stream:
            stream.state = HALF_CLOSED_REMOTE
        self._streams[stream_id] = stream
        self._answer_error(stream, error)

    def _answer_error(self, stream: H2Stream, error: RequestError) -> None:
        head = ResponseHead(error.status)
        content = error.content
        head.fields = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(content)),
            *[field for field in error.fields if field[0] != b"connection" and field[0] != b"upgrade"],
        ]
        head.content_length = len(content)
        stream.send_head(head)
        stream.send_data(content, True)

    def refuse(self, stream: H2Stream, error: RequestError) -> None:
        """Answer a request that has begun with an error, or cut it where its own answer has begun."""
        handler = stream.handler
        if stream.head_sent:
            self.cut_stream(stream, CANCEL)
            return
        assert handler is not None  # until its answer has begun
        stream.handler = None
        if stream.started:
            handler.request_refused(error)
            stream.abandon()
        else:
            handler.discarded()
            self._request_refused(error, stream.request)
        self._answer_error(stream, error)
        if stream.started:
            handler.stream_reset()

    def _trailers_received(self, stream_id: int, fields: list[tuple[bytes, bytes]], end_stream: bool) -> None:
        stream = self.find(stream_id, RECV_HEADERS)
        if stream is None:
            return
        try:
            if not end_stream:
                raise StreamError(PROTOCOL_ERROR, "trailers that do not end the stream")  # §8.1
            trailers = receive_trailers(fields)
        except StreamError as error:
            self.fail_stream(stream_id, stream, error.code)
            return
        if self._decoder.oversized or list_size(fields) > self._limits.max_trailers:
            self.spend(USE_OF_REQUEST)
            if not stream.head_sent:
                stream.advance(RECV_END)
            self.refuse(stream, RequestError(431, "The request's trailer section is too large."))
            return
        self._end_request(stream, trailers)

    # --- content

    def data_received(self, stream_id: int, data: bytes, octets: int, end_stream: bool) -> None:
        if octets:
            # §6.9: it counts for the connection, whatever becomes of the stream; and is given back at once, so that
            # no stream's application keeps the others waiting.
            self._receive_window -= octets
            if self._receive_window < 0:
                raise ProtocolError(FLOW_CONTROL_ERROR, "more DATA than the connection's window")
            self._credit += octets
            if self._credit >= self._limits.connection_window >> 1:
                self.send_frame(encode_window_update(0, self._credit))
                self._receive_window += self._credit
                self._credit = 0
        stream = self.find(stream_id, RECV_DATA)
        if stream is None:
            if not self._reader.in_data:
                self.spend(1)
            return
        size = len(data)
        stream.receive_window -= octets
        if octets and stream.receive_window < 0:
            self.fail_stream(stream_id, stream, FLOW_CONTROL_ERROR)
            return
        if size:
            self.useful += USE_OF_DATA
            self._content_received(stream, data, size)
            if stream.state >= CLOSED_STREAM:
                return
        elif not end_stream and self._reader.empty and not self._reader.in_data:
            self.spend(1)
        if end_stream:
            self._end_request(stream, [])
        elif stream.handler is not None:
            self._give_credit(stream, octets)

    def _content_received(self, stream: H2Stream, data: bytes, size: int) -> None:
        stream.content_received += size
        stream.window_octets += size
        if stream.content_left >= 0:
            stream.content_left -= size
            if stream.content_left < 0:
                # §8.1.1
                self.fail_stream(stream.stream_id, stream, PROTOCOL_ERROR)
                return
        if stream.handler is None:
            return
        if 0 <= self._limits.max_content < stream.content_received and not stream.request.protocol:
            self.refuse(stream, RequestError(413, "The request's content is too large."))
            return
        if stream.continue_due:
            # RFC 9110 §10.1.1: content that comes unasked makes the 100 needless.
            stream.continue_due = False
            stream.window_since = UNSET
            stream.window_octets = size
            self.clock_started()
        stream.deliver(data)

    def _end_request(self, stream: H2Stream, trailers: list[tuple[bytes, bytes]]) -> None:
        if stream.content_left > 0:
            self.fail_stream(stream.stream_id, stream, PROTOCOL_ERROR)  # §8.1.1
            return
        stream.advance(RECV_END)
        stream.continue_due = False
        handler = stream.handler
        if handler is not None and (stream.head_sent or not stream.request.protocol):
            handler.end_received(trailers)
        if stream.state == CLOSED_STREAM and stream.stream_id in self._streams:
            self.forget(stream)

    def _give_credit(self, stream: H2Stream, octets: int) -> None:
        """Let the client send on as far as the application takes what it sends (§5.2.2)."""
        limits = self._limits
        stream.credit += octets
        if stream.tick != self._now:
            stream.tick = self._now
            stream.since_tick = 0
        stream.since_tick += octets
        if stream.reading_paused or stream.credit < stream.window_limit >> 1:
            return
        if stream.since_tick >= stream.window_limit and stream.window_limit < limits.max_window:
            # It sends a whole window in less than the time's resolution: a wider one keeps it from waiting.
            growth = min(
                stream.window_limit,
                limits.max_window - stream.window_limit,
                limits.connection_window - self._grown,
            )
            if growth > 0:
                self._grown += growth
                stream.window_limit += growth
                stream.credit += growth
        self.send_frame(encode_window_update(stream.stream_id, stream.credit))
        stream.receive_window += stream.credit
        stream.credit = 0

    def resume_stream(self, stream: SendingStream) -> None:
        known = self._streams.get(stream.stream_id)
        if known is None or known.state == HALF_CLOSED_REMOTE:
            return
        known.window_since = UNSET
        known.window_octets = 0
        if known.clocked:
            self.clock_started()
        if known.credit >= known.window_limit >> 1:
            self._give_credit(known, 0)
            if not self.held:
                self.wire.flush_soon()

    # --- other frames

    def reset_received(self, stream_id: int) -> None:
        stream = self.find(stream_id, RECV_RESET)
        if stream is None:
            return
        stream.advance(RECV_RESET)
        handler = stream.handler
        if handler is not None:
            self.spend_reset()
        else:
            self.spend(1)
        stream.abandon()
        self.forget(stream)
        if handler is not None and stream.started:
            handler.stream_reset()

    def window_update_received(self, stream_id: int, increment: int) -> None:
        self.spend(1)
        if stream_id == 0:
            if increment == 0:
                raise ProtocolError(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")  # §6.9
            self.window += increment
            if self.window > MAX_WINDOW:
                raise ProtocolError(FLOW_CONTROL_ERROR, "window too large")  # §6.9.1
            self.pump()
            return
        stream = self.find(stream_id, RECV_WINDOW)
        if stream is None:
            return
        if increment == 0:
            self.fail_stream(stream_id, stream, PROTOCOL_ERROR)
            return
        stream.window += increment
        if stream.window > MAX_WINDOW:
            self.fail_stream(stream_id, stream, FLOW_CONTROL_ERROR)
        elif stream.unsent:
            self.schedule(stream)
            self.pump()

    def settings_received(self, payload: bytes) -> None:
        self.spend(1 + len(payload) // 64)
        self.take_settings(payload)
        self.send_frame(SETTINGS_ACK)
        self.pump()

    def take_settings(self, payload: bytes) -> None:
        """Let the client's values be these: of SETTINGS, or of HTTP2-Settings, which is not acknowledged (RFC 7540
        §3.2.1). Raises ProtocolError."""
        before = self.peer.initial_window
        self.peer.receive(payload)
        # RFC 7541 §4.2: the encoder signals the least as well as the last.
        self.encoder.set_max_table_size(self.peer.least_table_size)
        self.encoder.set_max_table_size(self.peer.header_table_size)
        change = self.peer.initial_window - before
        if change:
            # §6.9.2
            for stream in self._streams.values():
                stream.window += change
                if stream.window > MAX_WINDOW:
                    raise ProtocolError(FLOW_CONTROL_ERROR, "window too large")
                if stream.window <= 0:
                    self.unschedule(stream)
                elif stream.unsent:
                    self.schedule(stream)

    def settings_acknowledged(self) -> None:
        self.spend(1)
        if not self._settings_acknowledged:
            self._settings_acknowledged = True
            self._decoder.settings_acknowledged()
            if self._overshoot:
                # §6.9.2: from here on it goes by ours; what it has sent beyond, it owes.
                for stream in self._streams.values():
                    stream.receive_window -= self._overshoot

    def ping_received(self, payload: bytes, ack: bool) -> None:
        self.spend(1)
        if not ack:
            self.send_frame(PING_ACK + payload)
        elif payload == SHUTDOWN_PING and self._state == DRAINING:
            self.refuse_streams()

    def refuse_streams(self) -> None:
        """Open no more streams; the connection ends with those that there are."""

    def goaway_received(self) -> None:
        self.spend(1)
        self._peer_going = True

    def unknown_received(self) -> None:
        self.spend(1)

    def priority_received(self, stream_id: int, depends_on: int, well_sized: bool) -> None:
        # RFC 7540's priorities are not used (RFC 9113 §5.3.2).
        self.spend(1)
        if well_sized and depends_on != stream_id:
            return
        code = PROTOCOL_ERROR if well_sized else FRAME_SIZE_ERROR  # RFC 7540 §5.3.1, RFC 9113 §6.3
        stream = self._streams.get(stream_id)
        if stream is None:
            raise ProtocolError(code, "malformed PRIORITY")
        self.fail_stream(stream_id, stream, code)

    def priority_update_received(self, stream_id: int, value: bytes) -> None:
        # RFC 9218 §7.1
        self.spend(1)
        stream = self._streams.get(stream_id)
        if stream is not None:
            urgency, incremental = parse_priority(value)
            self._scheduler.reprioritise(stream, urgency, incremental)
        elif stream_id & 1 == 0 and stream_id > self._last_pushed:
            raise ProtocolError(PROTOCOL_ERROR, "PRIORITY_UPDATE about a stream that was not promised")
        elif stream_id & 1 and stream_id > self._last_id:
            self._keep_priority(stream_id, value)

    def _keep_priority(self, stream_id: int, value: bytes) -> None:
        """That of an idle stream, for when it is opened."""
        early = self._early_priorities
        count = len(self._streams) - self._pushed + len(early)
        if count < self._limits.max_streams or stream_id in early:
            early[stream_id] = parse_priority(value)
        elif self._settings_acknowledged:
            # RFC 9218 §7.1; a client that does not know our limit yet may not have known better.
            raise ProtocolError(PROTOCOL_ERROR, "more streams prioritised than may be open")

    # --- push

    def can_push(self, stream: SendingStream) -> bool:
        return (
            self.peer.enable_push
            and stream.stream_id & 1 == 1
            and self._pushed < min(self.peer.max_streams, self._limits.max_streams)
            and self._state == SERVING
            and not self._peer_going
        )

    def push(self, stream: SendingStream, path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        parent = self._streams.get(stream.stream_id)
        if parent is None or not self.can_push(stream):
            return
        request = [
            (b":method", b"GET"),
            (b":scheme", self._requests.scheme),
            (b":authority", parent.request.authority),
            (b":path", path),
            *fields,
        ]
        promised = self._last_pushed + 2
        try:
            head = self._requests.receive(request, True)
            pushed = H2Stream(self, promised, head, 0)
            handler = self._open_handler(pushed, head)
        except (StreamError, RequestError):
            return
        self._last_pushed = promised
        pushed.state = RESERVED
        pushed.handler = handler
        self._streams[promised] = pushed
        self._pushed += 1
        parent.flush_head()
        block = promised.to_bytes(4, "big") + self.encoder.encode(request)
        self.send_block(PUSH_PROMISE, 0, parent.stream_id, block)  # §6.6
        self._start(pushed)

    def forget(self, stream: H2Stream) -> None:
        if stream.stream_id & 1 == 0 and stream.stream_id in self._streams:
            self._pushed -= 1
        self._grown -= stream.window_limit - self._limits.window if stream.stream_id & 1 else 0
        StreamTable.forget(self, stream)
