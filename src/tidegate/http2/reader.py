"""Bytes into frames (RFC 9113 §4): sizes, padding, header blocks over several frames, and stream 0 or not.

What a frame means for its stream is the `FrameHandler`'s to say.
"""

from tidegate.http.connection import Connection
from tidegate.http.errors import ProtocolError
from tidegate.http2 import frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # §3.4
PREFACE_SIZE = 24

DATA = frames.DATA
HEADERS = frames.HEADERS
PRIORITY = frames.PRIORITY
RST_STREAM = frames.RST_STREAM
SETTINGS = frames.SETTINGS
PUSH_PROMISE = frames.PUSH_PROMISE
PING = frames.PING
GOAWAY = frames.GOAWAY
WINDOW_UPDATE = frames.WINDOW_UPDATE
CONTINUATION = frames.CONTINUATION
PRIORITY_UPDATE = frames.PRIORITY_UPDATE
ACK = frames.ACK
END_STREAM = frames.END_STREAM
END_HEADERS = frames.END_HEADERS
PADDED = frames.PADDED
WITH_PRIORITY = frames.WITH_PRIORITY
HEADER_SIZE = frames.HEADER_SIZE
PROTOCOL_ERROR = frames.PROTOCOL_ERROR
FRAME_SIZE_ERROR = frames.FRAME_SIZE_ERROR
ENHANCE_YOUR_CALM = frames.ENHANCE_YOUR_CALM


class FrameHandler(Connection):
    """What a FrameReader calls. Stream identifiers are of streams (not 0) unless it says otherwise; methods may
    raise ProtocolError."""

    __slots__ = ()

    def data_received(self, stream_id: int, data: bytes, octets: int, end_stream: bool) -> None:
        """Part of a DATA frame, or all of it; `octets`, padding included, count for flow control."""

    def headers_received(self, stream_id: int, block: bytes, end_stream: bool, depends_on: int) -> None:
        """A whole header block; `depends_on` is 0 without RFC 7540's priority."""

    def priority_received(self, stream_id: int, depends_on: int, well_sized: bool) -> None:
        """PRIORITY of RFC 7540, of 5 octets unless not `well_sized`."""

    def reset_received(self, stream_id: int) -> None:
        """RST_STREAM."""

    def settings_received(self, payload: bytes) -> None:
        """SETTINGS: a multiple of 6 octets."""

    def settings_acknowledged(self) -> None:
        """SETTINGS with ACK."""

    def ping_received(self, payload: bytes, ack: bool) -> None:
        """PING: 8 octets."""

    def goaway_received(self) -> None:
        """GOAWAY."""

    def window_update_received(self, stream_id: int, increment: int) -> None:
        """WINDOW_UPDATE; `stream_id` may be 0, and so may `increment`."""

    def priority_update_received(self, stream_id: int, value: bytes) -> None:
        """PRIORITY_UPDATE of RFC 9218, about `stream_id`."""

    def unknown_received(self) -> None:
        """A frame of a type that we do not know."""


_NOBODY = FrameHandler()


class FrameReader:
    """Calls `handler` for each frame of what `receive` is given, however it is split.

    Limits: `max_frame` octets of a frame's payload, `max_block` of a header block in at most `max_pieces` frames.
    DATA is passed on as it comes, every other frame once it is whole.
    """

    __slots__ = (
        "_block",
        "_block_depends_on",
        "_block_ends_stream",
        "_block_stream",
        "_data_ends_stream",
        "_data_left",
        "_data_stream",
        "_handler",
        "_max_block",
        "_max_frame",
        "_max_pieces",
        "_needed",
        "_pad_left",
        "_pad_unknown",
        "_partial",
        "_pieces",
        "_preface_left",
        "_settings_seen",
        "empty",
        "frames",
        "in_data",
        "stopped",
    )

    def __init__(self, handler: FrameHandler, max_frame: int, max_block: int, max_pieces: int) -> None:
        self._handler = handler
        self._max_frame = max_frame
        self._max_block = max_block
        self._max_pieces = max_pieces
        self._preface_left = PREFACE_SIZE
        self._settings_seen = False
        self._partial = bytearray()  # an unfinished frame that is not DATA
        self._needed = HEADER_SIZE
        self._data_stream = 0
        self._data_left = 0
        self._pad_left = 0
        self._pad_unknown = False
        self._data_ends_stream = False
        self._block = bytearray()
        self._block_stream = 0  # not 0 while CONTINUATION is to come
        self._block_ends_stream = False
        self._block_depends_on = 0
        self._pieces = 0
        self.frames = 0  # that were received whole
        self.in_data = False  # whether more of a DATA frame is to come
        self.empty = False  # whether the last one, as far as it has come, had no content
        self.stopped = False  # set by the handler: `receive` returns

    @property
    def waiting(self) -> bool:
        """Whether a frame that is not DATA, or a header block, has begun and not ended."""
        return self._block_stream != 0 or len(self._partial) > 0

    @property
    def in_block(self) -> bool:
        """Whether a header block has begun and not ended."""
        return self._block_stream != 0

    def detach(self) -> None:
        """Call the handler no more: it is done."""
        self.stopped = True
        self._handler = _NOBODY

    def receive(self, data: bytes, start: int) -> int:
        """Take `data[start:]` until `stopped`; the index behind what was taken. Raises ProtocolError."""
        p = data
        n = len(data)
        i = start
        if self._preface_left:
            i = self._take_preface(data, i)
        while i < n and not self.stopped:
            if self.in_data:
                i = self._take_data(data, i)
            elif n - i < HEADER_SIZE or self._partial:
                i = self._take_partial(data, i)
            else:
                length = p[i] << 16 | p[i + 1] << 8 | p[i + 2]
                kind = p[i + 3]
                # §4.1: the reserved bit is ignored
                stream_id = (p[i + 5] & 0x7F) << 24 | p[i + 6] << 16 | p[i + 7] << 8 | p[i + 8]
                self._check_header(length, kind, stream_id)
                if kind == DATA:
                    self._begin_data(length, p[i + 4], stream_id)
                    i += HEADER_SIZE
                elif length <= n - i - HEADER_SIZE:
                    i += HEADER_SIZE
                    self._take_frame(kind, p[i - 5], stream_id, data, i, i + length)
                    i += length
                else:
                    self._needed = HEADER_SIZE + length
                    i = self._take_partial(data, i)
        return i

    def _take_preface(self, data: bytes, start: int) -> int:
        size = min(self._preface_left, len(data) - start)
        done = PREFACE_SIZE - self._preface_left
        if data[start : start + size] != PREFACE[done : done + size]:
            raise ProtocolError(PROTOCOL_ERROR, "malformed connection preface")  # §3.4
        self._preface_left -= size
        return start + size

    def _take_partial(self, data: bytes, start: int) -> int:
        partial = self._partial
        size = min(len(data) - start, self._needed - len(partial))
        partial += data[start : start + size]
        if len(partial) == self._needed:
            p = frame = bytes(partial)
            length = p[0] << 16 | p[1] << 8 | p[2]
            stream_id = (p[5] & 0x7F) << 24 | p[6] << 16 | p[7] << 8 | p[8]
            if self._needed == HEADER_SIZE:
                self._check_header(length, p[3], stream_id)
            if p[3] == DATA:
                partial.clear()
                self._begin_data(length, p[4], stream_id)
            elif self._needed == HEADER_SIZE + length:
                partial.clear()
                self._needed = HEADER_SIZE
                self._take_frame(p[3], p[4], stream_id, frame, HEADER_SIZE, HEADER_SIZE + length)
            else:
                self._needed = HEADER_SIZE + length
        return start + size

    def _check_header(self, length: int, kind: int, stream_id: int) -> None:
        if length > self._max_frame:
            raise ProtocolError(FRAME_SIZE_ERROR, "frame too large")  # §4.2
        if self._block_stream and (kind != CONTINUATION or stream_id != self._block_stream):
            raise ProtocolError(PROTOCOL_ERROR, "a header block is not complete")  # §4.3
        if not self._settings_seen and kind != SETTINGS:
            raise ProtocolError(PROTOCOL_ERROR, "SETTINGS is not the first frame")  # §3.4

    def _begin_data(self, length: int, flags: int, stream_id: int) -> None:
        """A DATA frame's header (§6.1)."""
        if stream_id == 0:
            raise ProtocolError(PROTOCOL_ERROR, "DATA on stream 0")
        self._pad_left = 0
        self._pad_unknown = flags & PADDED != 0
        self.empty = True
        if length == 0:
            if self._pad_unknown:
                raise ProtocolError(FRAME_SIZE_ERROR, "DATA without its padding")
            self.frames += 1
            handler = self._handler
            handler.data_received(stream_id, b"", 0, flags & END_STREAM != 0)
            return
        self.in_data = True
        self._data_stream = stream_id
        self._data_left = length
        self._data_ends_stream = flags & END_STREAM != 0

    def _take_data(self, data: bytes, start: int) -> int:
        """The index behind what `data[start:]`, not empty, has of the DATA frame."""
        p = data
        n = len(data)
        i = start
        if self._pad_unknown:
            self._pad_unknown = False
            self._pad_left = p[i]
            i += 1
            if self._pad_left >= self._data_left:
                raise ProtocolError(PROTOCOL_ERROR, "padding longer than its frame")  # §6.1
            self._data_left -= 1 + self._pad_left
        size = self._data_left if self._data_left <= n - i else n - i
        self._data_left -= size
        if size:
            self.empty = False
        begin = i
        i += size
        if self._data_left == 0:
            skipped = self._pad_left if self._pad_left <= n - i else n - i
            self._pad_left -= skipped
            i += skipped
        end = False
        if self._data_left == 0 and self._pad_left == 0:
            self.in_data = False
            self.frames += 1
            end = self._data_ends_stream
        if size == n:
            content = data
        elif size:
            content = p[begin : begin + size]
        else:
            content = b""
        handler = self._handler
        handler.data_received(self._data_stream, content, i - start, end)
        return i

    def _take_frame(self, kind: int, flags: int, stream_id: int, data: bytes, start: int, end: int) -> None:
        """A whole frame whose payload is `data[start:end]`."""
        p = data
        length = end - start
        self.frames += 1
        if kind == HEADERS:
            self._take_headers(flags, stream_id, data, start, end)
        elif kind == WINDOW_UPDATE:
            if length != 4:
                raise ProtocolError(FRAME_SIZE_ERROR, "WINDOW_UPDATE is 4 octets")  # §6.9
            increment = (p[start] & 0x7F) << 24 | p[start + 1] << 16 | p[start + 2] << 8 | p[start + 3]
            handler = self._handler
            handler.window_update_received(stream_id, increment)
        elif kind == CONTINUATION:
            self._take_continuation(flags, p[start:end])
        elif kind == PRIORITY:
            if stream_id == 0:
                raise ProtocolError(PROTOCOL_ERROR, "PRIORITY on stream 0")  # §6.3
            depends_on = 0
            if length == 5:
                depends_on = (p[start] & 0x7F) << 24 | p[start + 1] << 16 | p[start + 2] << 8 | p[start + 3]
            handler = self._handler
            handler.priority_received(stream_id, depends_on, length == 5)
        elif kind == RST_STREAM:
            if stream_id == 0:
                raise ProtocolError(PROTOCOL_ERROR, "RST_STREAM on stream 0")  # §6.4
            if length != 4:
                raise ProtocolError(FRAME_SIZE_ERROR, "RST_STREAM is 4 octets")
            handler = self._handler
            handler.reset_received(stream_id)
        elif kind == PUSH_PROMISE:
            raise ProtocolError(PROTOCOL_ERROR, "a client cannot push")  # §8.4
        elif kind in (SETTINGS, PING, GOAWAY, PRIORITY_UPDATE):
            if stream_id:
                # §6.5, §6.7, §6.8; RFC 9218 §7.1
                raise ProtocolError(PROTOCOL_ERROR, "a frame of the connection on a stream")
            self._take_connection_frame(kind, flags, p[start:end])
        else:
            handler = self._handler
            handler.unknown_received()  # §4.1, §5.5

    def _take_headers(self, flags: int, stream_id: int, data: bytes, start: int, end: int) -> None:
        """HEADERS (§6.2)."""
        p = data
        i = start
        last = end
        depends_on = 0
        if stream_id == 0:
            raise ProtocolError(PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & PADDED:
            if i == last:
                raise ProtocolError(FRAME_SIZE_ERROR, "HEADERS without its padding")
            last -= p[i]
            i += 1
        if flags & WITH_PRIORITY:
            if end - i < 5:
                raise ProtocolError(FRAME_SIZE_ERROR, "HEADERS without its priority")
            depends_on = (p[i] & 0x7F) << 24 | p[i + 1] << 16 | p[i + 2] << 8 | p[i + 3]
            i += 5
        if last < i:
            raise ProtocolError(PROTOCOL_ERROR, "padding longer than its frame")
        if flags & END_HEADERS:
            handler = self._handler
            handler.headers_received(stream_id, p[i:last], flags & END_STREAM != 0, depends_on)
            return
        self._block_stream = stream_id
        self._block_ends_stream = flags & END_STREAM != 0
        self._block_depends_on = depends_on
        self._block = bytearray(p[i:last])
        self._pieces = 0

    def _take_continuation(self, flags: int, piece: bytes) -> None:
        """CONTINUATION (§6.10); that it may come has been checked, but for one without HEADERS."""
        stream_id = self._block_stream
        if stream_id == 0:
            raise ProtocolError(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block += piece
        self._pieces += 1
        if flags & END_HEADERS:
            block = bytes(self._block)
            self._block = bytearray()
            self._block_stream = 0
            if len(block) > self._max_block:
                raise ProtocolError(ENHANCE_YOUR_CALM, "header block too large")
            handler = self._handler
            handler.headers_received(stream_id, block, self._block_ends_stream, self._block_depends_on)
        elif len(self._block) > self._max_block or self._pieces >= self._max_pieces:
            raise ProtocolError(ENHANCE_YOUR_CALM, "header block too large")

    def _take_connection_frame(self, kind: int, flags: int, payload: bytes) -> None:
        length = len(payload)
        if kind == SETTINGS:
            if flags & ACK:
                if length:
                    raise ProtocolError(FRAME_SIZE_ERROR, "SETTINGS acknowledged with a payload")  # §6.5
                if not self._settings_seen:
                    raise ProtocolError(PROTOCOL_ERROR, "SETTINGS is not the first frame")  # §3.4
                handler = self._handler
                handler.settings_acknowledged()
                return
            if length % 6:
                raise ProtocolError(FRAME_SIZE_ERROR, "SETTINGS is a multiple of 6 octets")
            self._settings_seen = True
            handler = self._handler
            handler.settings_received(payload)
        elif kind == PING:
            if length != 8:
                raise ProtocolError(FRAME_SIZE_ERROR, "PING is 8 octets")  # §6.7
            handler = self._handler
            handler.ping_received(payload, flags & ACK != 0)
        elif kind == GOAWAY:
            if length < 8:
                raise ProtocolError(FRAME_SIZE_ERROR, "GOAWAY is 8 octets or more")  # §6.8
            handler = self._handler
            handler.goaway_received()
        else:
            if length < 4:
                raise ProtocolError(FRAME_SIZE_ERROR, "PRIORITY_UPDATE is 4 octets or more")
            about = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
            if about == 0:
                raise ProtocolError(PROTOCOL_ERROR, "PRIORITY_UPDATE about stream 0")  # RFC 9218 §7.1
            handler = self._handler
            handler.priority_update_received(about, payload[4:])
