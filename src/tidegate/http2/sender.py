"""The output of a connection: frames held for one write, flow control (RFC 9113 §5.2, §6.9), and whose turn it is
(RFC 9218 §10)."""

from typing import Any

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.head import ResponseHead
from tidegate.http.stream import Wire
from tidegate.http2 import frames
from tidegate.http2.frames import encode_header
from tidegate.http2.hpack import Encoder
from tidegate.http2.priority import ScheduledStream, Scheduler
from tidegate.http2.reader import FrameHandler
from tidegate.http2.settings import PeerSettings

DATA = frames.DATA
HEADERS = frames.HEADERS
CONTINUATION = frames.CONTINUATION
PUSH_PROMISE = frames.PUSH_PROMISE
END_STREAM = frames.END_STREAM
END_HEADERS = frames.END_HEADERS

# Output is held back for one write at most up to this many octets.
MAX_HELD = 65536
# A DATA frame that the client's window, and not the application, has made smaller than this is no useful work.
SMALL_FRAME = 1024
FRAMES_PER_DATA = 4  # WINDOW_UPDATEs and PINGs that a client may send for each DATA frame


class SendingStream(ScheduledStream):
    """A stream as its connection's output knows it: octets that wait, and the client's window for them."""

    __slots__ = ("ends_with_data", "unsent", "window")

    def __init__(self, stream_id: int, window: int) -> None:
        ScheduledStream.__init__(self, stream_id)
        self.window = window
        self.unsent = 0
        self.ends_with_data = False  # END_STREAM goes with the last of the unsent octets

    def take(self, limit: int) -> bytes:
        """The next octets to send, at most `limit`; none where the stream has just been cut."""
        raise NotImplementedError

    def piece_sent(self) -> None:
        """What was taken is sent."""


class FrameSender(FrameHandler):
    """What a stream knows of its connection."""

    __slots__ = (
        "_out",
        "_out_size",
        "_pumping",
        "_scheduler",
        "_waiting",
        "defaults",
        "encoder",
        "held",
        "peer",
        "shutting_down",
        "useful",
        "window",
        "wire",
        "write_buffer",
        "writing_paused",
    )

    def __init__(self, wire: Wire, defaults: ResponseDefaults, write_buffer: int) -> None:
        self.wire = wire
        self.write_buffer = write_buffer  # unsent octets of a stream at which its handler is to pause
        self.defaults = defaults
        self.encoder = Encoder()
        self.peer = PeerSettings()
        self.window = frames.DEFAULT_WINDOW  # the client's, for the whole connection
        self.writing_paused = False
        self.shutting_down = False
        self.held = False  # output is collected: it is written when what happens now is over
        self.useful = 0  # what a client may do for what was sent
        self._out: list[bytes] = []
        self._out_size = 0
        self._scheduler = Scheduler()
        self._waiting = 0  # scheduled streams
        self._pumping = False

    # --- frames

    def send_frame(self, frame: bytes) -> None:
        """Hold a whole frame for the next write."""
        self._out.append(frame)
        self._out_size += len(frame)

    def send_block(self, kind: int, flags: int, stream_id: int, block: bytes) -> None:
        """A header block, in HEADERS or PUSH_PROMISE and CONTINUATION (§6.2, §6.6, §6.10)."""
        out = self._out
        size = len(block)
        limit = self.peer.max_frame
        if size <= limit:
            out.append(encode_header(size, kind, flags | END_HEADERS, stream_id))
            out.append(block)
            self._out_size += size + 9
            return
        start = 0
        while start < size:
            piece = block[start : start + limit]
            start += len(piece)
            if start == size:
                flags |= END_HEADERS
            out.append(encode_header(len(piece), kind, flags, stream_id))
            out.append(piece)
            self._out_size += len(piece) + 9
            kind = CONTINUATION
            flags = 0

    def send_head(self, head: ResponseHead, stream_id: int, end_stream: bool) -> None:
        """A final response's head (§8.3.2)."""
        defaults = self.defaults
        fields = head.fields
        if defaults.extra:
            sent = [name for name, _ in fields]
            fields = fields + [field for field in defaults.extra if field[0] not in sent]
        fields = fields + defaults.fields(head.has_date, head.has_server)
        block = self.encoder.encode_response(head.status, fields)
        self.send_block(HEADERS, END_STREAM if end_stream else 0, stream_id, block)

    def send_fields(self, stream_id: int, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """An interim response; or, where `status` is 0, a trailer section, which ends the stream."""
        if status:
            self.send_block(HEADERS, 0, stream_id, self.encoder.encode_response(status, fields))
        else:
            self.send_block(HEADERS, END_STREAM, stream_id, self.encoder.encode(fields))

    # --- content

    def send_at_once(self, stream: SendingStream, data: bytes, end_stream: bool) -> bool:
        """Send `data` as one DATA frame if nothing keeps it waiting; whether it did."""
        size = len(data)
        if size and (
            self.writing_paused
            or self._waiting
            or size > stream.window
            or size > self.window
            or size > self.peer.max_frame
        ):
            return False
        stream.window -= size
        self.window -= size
        self._send_data(data, size, end_stream, stream.stream_id)
        self.useful += FRAMES_PER_DATA
        return True

    def _send_data(self, data: bytes, size: int, end_stream: bool, stream_id: int) -> None:
        self._out.append(encode_header(size, DATA, END_STREAM if end_stream else 0, stream_id))
        if size:
            self._out.append(data)
        self._out_size += size + 9
        if self._out_size >= MAX_HELD:
            self.write_out()

    def schedule(self, stream: SendingStream) -> None:
        """`stream` has unsent octets, or a wider window for them."""
        if stream.window > 0 and not stream.scheduled:
            self._scheduler.add(stream)
            self._waiting += 1

    def unschedule(self, stream: SendingStream) -> None:
        """`stream` has nothing to send."""
        if stream.scheduled:
            self._scheduler.remove(stream)
            self._waiting -= 1

    def pump(self) -> None:
        """Send what can be sent, in turn."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._waiting and self.window > 0 and not self.writing_paused:
                stream: Any = self._scheduler.next()
                self._send_piece(stream)
        finally:
            self._pumping = False

    def _send_piece(self, stream: SendingStream) -> None:
        limit = self.peer.max_frame
        if limit > stream.window:
            limit = stream.window
        if limit > self.window:
            limit = self.window
        data = stream.take(limit)
        size = len(data)
        if size == 0:
            return
        stream.window -= size
        self.window -= size
        if size >= SMALL_FRAME or stream.unsent == 0:
            self.useful += FRAMES_PER_DATA
        if stream.unsent == 0 or stream.window <= 0:
            self.unschedule(stream)
        end = stream.ends_with_data and stream.unsent == 0
        self._send_data(data, size, end, stream.stream_id)
        stream.piece_sent()

    # --- writes

    def flush(self) -> None:
        """A step of the application has ended: write what is held."""
        if self._out_size and not self.held:
            self.write_out()

    def write_out(self) -> None:
        """Write what is held, now."""
        out = self._out
        if self._out_size == 0:
            return
        self._out = []
        self._out_size = 0
        self.wire.write(b"".join(out))

    # --- what a stream says

    def answer_ended(self, stream: SendingStream) -> None:
        """END_STREAM is sent."""

    def reset_stream(self, stream: SendingStream, code: int) -> None:
        """The answer stays incomplete; the stream's handler is told nothing."""

    def cut_stream(self, stream: SendingStream, code: int) -> None:
        """The same, and its handler is told."""

    def resume_stream(self, stream: SendingStream) -> None:
        """The stream's application takes content again."""

    def can_push(self, stream: SendingStream) -> bool:
        """Whether the client takes promises on this stream now."""
        return False

    def clock_started(self) -> None:
        """A stream has begun to wait for its client."""

    def abandoned(self, change: int) -> None:
        """The number of streams that were cut, and whose applications go on, has changed."""

    def push(self, stream: SendingStream, path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        """Promise the answer to another request (§8.4), and open its handler."""
