"""One HTTP/1.1 exchange's answer: its framing (RFC 9112 §6.3) and the order of what is sent."""

from tidegate.http.connection import Connection
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ProtocolError
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.stream import Stream
from tidegate.http1 import state
from tidegate.http1.encoder import encode_head, encode_interim, encode_trailers

WAITING = state.WAITING
SENDING = state.SENDING
SENT = state.SENT
SEND_INTERIM = state.SEND_INTERIM
SEND_HEAD = state.SEND_HEAD
SEND_CONTENT = state.SEND_CONTENT
SEND_END = state.SEND_END
SEND_SWITCH = state.SEND_SWITCH
SEND_RESET = state.SEND_RESET
SENDING_TABLE = state.SENDING_TABLE
COLUMNS = state.COLUMNS
BAD = state.BAD

# How the end of the content is told.
BY_LENGTH = 0
BY_CHUNKS = 1
BY_CLOSE = 2
NO_BODY = 3
AS_TUNNEL = 4

# Above this, copying a chunk next to its size costs more than another write.
MAX_COPIED_CHUNK = 16384


class StreamOwner(Connection):
    """A connection as its stream knows it."""

    __slots__ = ("defaults", "shutting_down")

    def __init__(self, defaults: ResponseDefaults) -> None:
        self.defaults = defaults
        self.shutting_down = False

    def send(self, data: bytes) -> None:
        """Hold `data` for the next flush."""

    def send_file(self, descriptor: int, offset: int, count: int) -> None:
        """Send part of a file behind what is held; the wire owns the descriptor."""

    def flush(self) -> None:
        """Write what is held: a step of the application has ended."""

    def stream_ended(self, keep_alive: bool) -> None:
        """The answer is complete, and its stream detached."""

    def stream_cut(self, tell: bool) -> None:
        """The answer stays incomplete. `tell`: only a TCP reset says so."""

    def switch(self) -> None:
        """The stream has become a tunnel."""

    def set_reading(self, paused: bool) -> None:
        """Let the peer wait with its content, or go on."""

    def start_clock(self) -> None:
        """The client has been asked for its content."""

    def unacknowledged(self) -> int:
        """Octets sent that the peer is not known to have."""
        raise NotImplementedError  # pragma: no cover

    def content_left_over(self) -> bool:
        """Whether more of the content is to come than would be drained behind an answer."""
        raise NotImplementedError  # pragma: no cover


class H1Stream(Stream):
    """A `Stream` of an HTTP/1.1 connection; every call after its end or its connection's does nothing."""

    __slots__ = ("_framing", "_keep_alive", "_owner", "_state", "continue_due", "request")

    def __init__(self, owner: StreamOwner, request: RequestHead) -> None:
        self._owner = owner
        self._state = WAITING
        self._framing = BY_LENGTH
        self._keep_alive = request.keep_alive
        self.request = request
        self.continue_due = False

    @property
    def head_sent(self) -> bool:
        return self._state != WAITING

    def detach(self) -> None:
        """The connection is done with this stream."""
        self._advance(SEND_RESET)

    def _advance(self, event: int) -> None:
        table = SENDING_TABLE
        after = table[self._state * COLUMNS + event]
        if after == BAD:
            raise ProtocolError(0, f"{state.SEND_EVENTS[event]} in state {state.SEND_STATES[self._state]}")
        self._state = after

    def send_informational(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        owner = self._owner
        if self._state >= SENT:
            return
        self._advance(SEND_INTERIM)
        if self.request.http_version == "1.0":
            return  # RFC 9110 §15.2: never to an HTTP/1.0 client
        if status == 100:
            if not self.continue_due:
                return
            self.continue_due = False
            owner.start_clock()
        owner.send(encode_interim(status, fields))

    def send_head(self, head: ResponseHead) -> None:
        owner = self._owner
        if self._state >= SENT:
            return
        self._advance(SEND_HEAD)
        request = self.request
        status = head.status
        old = request.http_version == "1.0"
        lines = b""
        if status == 204 or status == 205 or status == 304 or request.method == "HEAD":
            # RFC 9110 §6.4.1
            self._framing = NO_BODY
            if status == 204 or status == 205:
                # RFC 9110 §8.6: no Content-Length in a 204; §15.3.6: a 205 says that there is no content
                head.fields = [field for field in head.fields if field[0] != b"content-length"]
                if status == 205:
                    lines = b"content-length: 0\r\n"
        elif head.content_length >= 0:
            self._framing = BY_LENGTH
        elif old:
            # RFC 9112 §6.1: no transfer coding towards HTTP/1.0
            self._framing = BY_CLOSE
            self._keep_alive = False
        else:
            self._framing = BY_CHUNKS
            lines = b"transfer-encoding: chunked\r\n"
        if head.close or owner.shutting_down or self.continue_due:
            # A client that still waits for its 100 may or may not send the content after this (RFC 9110
            # §10.1.1).
            self._keep_alive = False
        elif self._framing != BY_CHUNKS and owner.content_left_over():
            # RFC 9112 §9.6: an answer whose length is known does not depend on what is to come, so the connection will
            # close behind it: the client is to know. (One that is streamed may read the content meanwhile.)
            self._keep_alive = False
        if not self._keep_alive:
            lines = lines + b"connection: close\r\n"
        elif old:
            lines = lines + b"connection: keep-alive\r\n"
        owner.send(encode_head(head, lines, owner.defaults))

    def send_data(self, data: bytes, end_stream: bool) -> None:
        owner = self._owner
        if self._state >= SENT:
            return
        self._advance(SEND_END if end_stream else SEND_CONTENT)
        framing = self._framing
        size = len(data)
        if framing == NO_BODY:
            pass
        elif framing == BY_CHUNKS:
            if size == 0:
                if end_stream:
                    owner.send(b"0\r\n\r\n")
            elif size > MAX_COPIED_CHUNK:
                owner.send(b"%x\r\n" % size)
                owner.send(data)
                owner.send(b"\r\n0\r\n\r\n" if end_stream else b"\r\n")
            else:
                owner.send(b"%x\r\n%b%b" % (size, data, b"\r\n0\r\n\r\n" if end_stream else b"\r\n"))
        elif size:
            owner.send(data)
        if end_stream:
            owner.stream_ended(self._keep_alive)

    def send_file(self, descriptor: int, offset: int, count: int, end_stream: bool) -> None:
        owner = self._owner
        if self._state >= SENT:
            owner.send_file(descriptor, offset, 0)  # only to close it
            return
        self._advance(SEND_END if end_stream else SEND_CONTENT)
        if self._framing == NO_BODY:
            count = 0
        chunked = self._framing == BY_CHUNKS and count > 0
        if chunked:
            owner.send(b"%x\r\n" % count)
        owner.send_file(descriptor, offset, count)
        if chunked:
            owner.send(b"\r\n")
        if end_stream:
            if self._framing == BY_CHUNKS:
                owner.send(b"0\r\n\r\n")
            owner.stream_ended(self._keep_alive)

    def send_trailers(self, fields: list[tuple[bytes, bytes]]) -> None:
        owner = self._owner
        if self._state >= SENT:
            return
        self._advance(SEND_END)
        if self._framing == BY_CHUNKS:
            # RFC 9110 §6.5.1: only to a client that said it takes them
            owner.send(encode_trailers(fields) if self.request.client_trailers else b"0\r\n\r\n")
        owner.stream_ended(self._keep_alive)

    def accept_tunnel(self, fields: list[tuple[bytes, bytes]]) -> None:
        owner = self._owner
        if self._state >= SENT:
            return
        self._advance(SEND_SWITCH)
        self._framing = AS_TUNNEL
        self._keep_alive = False
        head = ResponseHead(101)
        head.fields = fields
        # RFC 9110 §7.8
        lines = b"upgrade: %b\r\nconnection: upgrade\r\n" % self.request.protocol
        owner.send(encode_head(head, lines, owner.defaults))
        owner.switch()

    def flush(self) -> None:
        # Also behind the end: what it held may still be there.
        self._owner.flush()

    def pause_reading(self) -> None:
        if self._state < SENT:
            self._owner.set_reading(True)

    def resume_reading(self) -> None:
        if self._state < SENT:
            self._owner.set_reading(False)

    def unacknowledged(self) -> int:
        return self._owner.unacknowledged()

    def reset(self) -> None:
        if self._state >= SENT:
            return
        # Content that is framed by the close itself ends there for the client, unless the close is a TCP
        # reset.
        tell = self._framing == BY_CLOSE and self._state == SENDING
        self._advance(SEND_RESET)
        self._owner.stream_cut(tell)
