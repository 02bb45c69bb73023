"""One HTTP/2 stream: an exchange's request and answer (RFC 9113 §5, §8.1)."""

from collections import deque
from typing import TYPE_CHECKING, Any

from tidegate.http.errors import ProtocolError
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http2 import frames, state
from tidegate.http2.sender import FrameSender, SendingStream

if TYPE_CHECKING:
    from tidegate.http.stream import StreamHandler

# How far the answer is.
WAITING = 0  # no final head yet
SENDING = 1  # its head, and not all of its content, has been given
TUNNELLING = 2
ENDING = 3  # all of it has been given
SENT = 4  # and sent; or the stream was cut

COLUMNS = state.COLUMNS
TABLE = state.TABLE
BAD = state.BAD
OPEN = state.OPEN
RESERVED = state.RESERVED
HALF_CLOSED_REMOTE = state.HALF_CLOSED_REMOTE
SEND_HEADERS = state.SEND_HEADERS
SEND_END = state.SEND_END
INTERNAL_ERROR = frames.INTERNAL_ERROR
CANCEL = frames.CANCEL
UNSET = -1.0


class FileSource:
    """What is still to be sent of an open file."""

    __slots__ = ("count", "descriptor", "offset")

    def __init__(self, descriptor: int, offset: int, count: int) -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.count = count


class H2Stream(SendingStream):
    """A `Stream` of an HTTP/2 connection; every call after its end or its connection's does nothing.

    The attributes without underscore are the connection's: `content_left` is -1 where no Content-Length says it;
    `credit` what the client has sent and was not yet allowed again.
    """

    __slots__ = (
        "_early",
        "_head",
        "_offset",
        "_owner",
        "_phase",
        "_queue",
        "_released",
        "_trailers",
        "_writing_paused",
        "abandoned",
        "clocked",
        "content_left",
        "content_received",
        "continue_due",
        "credit",
        "handler",
        "reading_paused",
        "receive_window",
        "request",
        "since_tick",
        "stalled_mark",
        "stalled_since",
        "started",
        "state",
        "taken",
        "tick",
        "tunnel",
        "window_limit",
        "window_octets",
        "window_since",
    )

    def __init__(self, owner: FrameSender, stream_id: int, request: RequestHead, receive_window: int) -> None:
        SendingStream.__init__(self, stream_id, owner.peer.initial_window)
        self._owner = owner
        self.request = request
        self.handler: StreamHandler | None = None
        self.state = OPEN
        self._phase = WAITING
        self._head: ResponseHead | None = None
        self._queue: deque[Any] | None = None
        self._offset = 0  # in its first piece
        self._trailers: list[tuple[bytes, bytes]] | None = None
        self._early: bytearray | None = None  # what came before a tunnel was accepted
        self._writing_paused = False
        self._released = False
        self.started = False
        self.abandoned = False
        self.reading_paused = False
        self.continue_due = False
        self.tunnel = False
        self.clocked = False  # whether its content is expected at a rate
        self.content_left = request.content_length if request.content_length >= 0 else -1
        self.content_received = 0
        self.receive_window = receive_window
        self.window_limit = receive_window
        self.credit = 0
        self.tick = UNSET  # a time, and what has come since
        self.since_tick = 0
        self.window_since = UNSET
        self.window_octets = 0
        self.taken = 0  # octets of content sent
        self.stalled_since = UNSET
        self.stalled_mark = 0

    # --- what the connection asks

    @property
    def head_sent(self) -> bool:
        """Whether the answer has begun."""
        return self._phase != WAITING

    def advance(self, event: int) -> None:
        """Take an event that can happen; what the client does is looked up by the connection."""
        table = TABLE
        after = table[self.state * COLUMNS + event]
        if after == BAD:
            raise ProtocolError(INTERNAL_ERROR, f"{state.EVENTS[event]} in state {state.STATES[self.state]}")
        self.state = after

    def deliver(self, data: bytes) -> None:
        """Content, not empty, for the handler, which there is."""
        handler = self.handler
        assert handler is not None
        if self._phase == WAITING and self.request.protocol:
            # The client does not wait for the tunnel to be accepted (RFC 8441 §5).
            if self._early is None:
                self._early = bytearray()
            self._early += data
            self.reading_paused = True
        else:
            handler.data_received(data)

    def detach(self) -> None:
        """Let go of everything: the stream is closed."""
        self._phase = SENT
        self._head = None
        self._trailers = None
        self._early = None
        handler = self.handler
        if handler is not None and not self.started:
            handler.discarded()
        self.handler = None
        self._owner.unschedule(self)
        self.unsent = 0
        queue = self._queue
        self._queue = None
        if queue is not None:
            for item in queue:
                if isinstance(item, FileSource):
                    self._owner.wire.close_file(item.descriptor)

    def abandon(self) -> None:
        """The stream was cut: its application goes on, perhaps."""
        if self.started and not self._released:
            self.abandoned = True
            self._owner.abandoned(1)

    # --- Stream

    def send_informational(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        if self._phase != WAITING:
            return
        if status == 100:
            if not self.continue_due:
                return
            self.continue_due = False
            self.window_since = UNSET
            self._owner.clock_started()
        self._owner.send_fields(self.stream_id, status, fields)

    def send_head(self, head: ResponseHead) -> None:
        if self._phase != WAITING:
            return
        self._phase = SENDING
        if self.state == RESERVED:
            self.advance(SEND_HEADERS)
        status = head.status
        if status == 204 or status == 205 or status == 304 or self.request.method == "HEAD":
            # RFC 9110 §6.4.1
            if status == 204 or status == 205:
                # RFC 9110 §8.6: no Content-Length in a 204; §15.3.6: a 205 has no content
                head.fields = [field for field in head.fields if field[0] != b"content-length"]
            self._owner.send_head(head, self.stream_id, True)
            self._end()
        else:
            self._head = head  # held, since it may be all there is

    def send_data(self, data: bytes, end_stream: bool) -> None:
        if self._phase >= ENDING:
            return
        owner = self._owner
        size = len(data)
        head = self._head
        if head is not None:
            self._head = None
            if end_stream and size == 0:
                owner.send_head(head, self.stream_id, True)
                self._end()
                return
            owner.send_head(head, self.stream_id, False)
        if end_stream:
            self._phase = ENDING
        elif size == 0:
            return
        if self.unsent == 0 and owner.send_at_once(self, data, end_stream):
            self.taken += size
            if end_stream:
                self._end()
            return
        self.ends_with_data = end_stream
        if size:
            self._enqueue(data, size)
        self._push_out()

    def send_file(self, descriptor: int, offset: int, count: int, end_stream: bool) -> None:
        owner = self._owner
        if self._phase >= ENDING or count == 0:
            owner.wire.close_file(descriptor)
            self.send_data(b"", end_stream)
            return
        self.flush_head()
        if end_stream:
            self._phase = ENDING
            self.ends_with_data = True
        self._enqueue(FileSource(descriptor, offset, count), count)
        self._set_writing(True)
        self._push_out()

    def send_trailers(self, fields: list[tuple[bytes, bytes]]) -> None:
        if self._phase >= ENDING:
            return
        if not fields:
            self.send_data(b"", True)
            return
        self.flush_head()
        self._phase = ENDING
        self._trailers = fields
        if self.unsent == 0:
            self._send_trailers(fields)

    def accept_tunnel(self, fields: list[tuple[bytes, bytes]]) -> None:
        if self._phase != WAITING:
            return
        self._phase = TUNNELLING
        self.tunnel = True
        # RFC 8441 §5
        head = ResponseHead(200)
        head.fields = fields
        self._owner.send_head(head, self.stream_id, False)
        early = self._early
        self._early = None
        self.reading_paused = False
        handler = self.handler
        if early and handler is not None:
            handler.data_received(bytes(early))
            handler = self.handler
        if self.state == HALF_CLOSED_REMOTE and handler is not None:
            handler.end_received([])
        else:
            self._owner.resume_stream(self)

    def flush(self) -> None:
        if self._head is not None:
            self.flush_head()
        self._owner.flush()

    def flush_head(self) -> None:
        """Send the head that is held."""
        head = self._head
        if head is not None:
            self._head = None
            self._owner.send_head(head, self.stream_id, False)

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        if self.reading_paused and self._early is None:
            self.reading_paused = False
            if self.handler is not None:
                self._owner.resume_stream(self)

    def unacknowledged(self) -> int:
        return self.unsent + self._owner.wire.unacknowledged()

    def reset(self) -> None:
        if self._phase < SENT:
            # RFC 8441 §5 names CANCEL for tunnels.
            self._owner.reset_stream(self, CANCEL if self._phase == TUNNELLING else INTERNAL_ERROR)

    def can_push(self) -> bool:
        return self._phase < ENDING and self._owner.can_push(self)

    def push(self, path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        if self._phase < ENDING:
            self._owner.push(self, path, fields)

    def release(self) -> None:
        self._released = True
        if self.abandoned:
            self.abandoned = False
            self._owner.abandoned(-1)

    # --- octets that wait

    def _enqueue(self, item: Any, size: int) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(item)
        self.unsent += size

    def _push_out(self) -> None:
        owner = self._owner
        owner.schedule(self)
        owner.pump()
        if self.unsent > owner.write_buffer:
            self._set_writing(True)
        if self.unsent and self.stalled_since == UNSET:
            owner.clock_started()

    def take(self, limit: int) -> bytes:
        queue: Any = self._queue
        first = queue[0]
        if isinstance(first, FileSource):
            data = self._take_file(first, limit)
        else:
            left = len(first) - self._offset
            if left > limit:
                data = first[self._offset : self._offset + limit]
                self._offset += limit
            else:
                data = first[self._offset :] if self._offset else first
                self._offset = 0
                queue.popleft()
                if left < limit and queue:
                    data = self._join(data, limit)
        size = len(data)
        self.unsent -= size
        self.taken += size
        return data

    def _join(self, data: bytes, limit: int) -> bytes:
        # Small pieces go in one frame.
        queue: Any = self._queue
        pieces = [data]
        room = limit - len(data)
        while queue and not isinstance(queue[0], FileSource) and len(queue[0]) <= room:
            room -= len(queue[0])
            pieces.append(queue.popleft())
        return b"".join(pieces)

    def _take_file(self, file: FileSource, limit: int) -> bytes:
        wire = self._owner.wire
        data = wire.read_file(file.descriptor, file.offset, min(limit, file.count))
        if not data:
            # The file has become shorter than what was announced.
            self._owner.cut_stream(self, INTERNAL_ERROR)
            return b""
        file.offset += len(data)
        file.count -= len(data)
        if file.count == 0:
            queue: Any = self._queue
            queue.popleft()
            wire.close_file(file.descriptor)
        return data

    def piece_sent(self) -> None:
        if self.unsent == 0:
            self.stalled_since = UNSET
        if self.unsent <= self._owner.write_buffer >> 2:
            self._set_writing(False)
        if self.unsent == 0 and self._phase == ENDING:
            if self._trailers is not None:
                self._send_trailers(self._trailers)
            else:
                self._end()

    def _set_writing(self, paused: bool) -> None:
        handler = self.handler
        if handler is not None and paused != self._writing_paused:
            self._writing_paused = paused
            if paused:
                handler.pause_writing()
            else:
                handler.resume_writing()

    def _send_trailers(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._owner.send_fields(self.stream_id, 0, fields)
        self._end()

    def _end(self) -> None:
        """END_STREAM is sent."""
        self._phase = SENT
        self.advance(SEND_END)
        self._owner.answer_ended(self)
