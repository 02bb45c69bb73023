"""Drive an `H1Connection` with no network: a wire that records, handlers that record and answer on demand."""

import os
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from tidegate.http.connection import Connection
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import RequestError
from tidegate.http.fields import response_fields
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.stream import Stream, StreamHandler, Wire
from tidegate.http1.connection import H1Connection
from tidegate.http1.limits import H1Limits

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

# How a wire ends.
CLOSED = "closed"
LINGERING = "closed, lingering"
ABORTED = "aborted"


class RecordingWire(Wire):
    """Keeps what is written, and what else the connection asked for."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = True
        self.ended: str | None = None
        self.waiting = 0  # octets that the peer has not taken
        self.flushes_wanted = 0
        self.timeouts_changed = 0
        self.connection: Connection | None = None

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)

    def take(self) -> bytes:
        """What was written since the last take."""
        sent = self.sent
        self.writes.clear()
        return sent

    def write(self, data: bytes) -> None:
        if self.ended is None:
            assert data
            self.writes.append(data)

    def send_file(self, data: bytes, descriptor: int, offset: int, count: int) -> None:
        self.write(data + os.pread(descriptor, count, offset)) if data or count else None
        os.close(descriptor)

    def read_file(self, descriptor: int, offset: int, count: int) -> bytes:
        return os.pread(descriptor, count, offset)

    def close_file(self, descriptor: int) -> None:
        os.close(descriptor)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def unacknowledged(self) -> int:
        return self.waiting

    def flush_soon(self) -> None:
        self.flushes_wanted += 1

    def timeout_changed(self) -> None:
        self.timeouts_changed += 1
        assert self.connection is not None
        assert self.connection.next_timeout() < float("inf")

    def close(self, linger: bool) -> None:
        if self.ended is None:
            self.ended = LINGERING if linger else CLOSED

    def abort(self) -> None:
        self.ended = ABORTED


class RecordingHandler(StreamHandler):
    """Keeps what the stream says as tuples; answers when the test, or its `script`, says so."""

    def __init__(self, stream: Stream, request: RequestHead, script: "Script | None") -> None:
        self.stream = stream
        self.request = request
        self.script = script
        self.events: list[tuple[Any, ...]] = []
        self.discards = 0
        self.refusals: list[tuple[RequestError, RequestHead | None]] = []

    @property
    def content(self) -> bytes:
        return b"".join(event[1] for event in self.events if event[0] == "data")

    @property
    def names(self) -> list[str]:
        return [event[0] for event in self.events]

    def start(self) -> None:
        self.events.append(("start",))
        if self.script is not None:
            self.script(self)

    def discarded(self) -> None:
        assert "start" not in self.names
        self.discards += 1

    def data_received(self, data: bytes) -> None:
        assert data
        self.events.append(("data", data))

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self.events.append(("end", trailers))

    def peer_closed(self) -> None:
        self.events.append(("peer closed",))

    def request_refused(self, error: RequestError) -> None:
        self.refusals.append((error, self.request))

    def stream_reset(self) -> None:
        self.events.append(("reset",))

    def pause_writing(self) -> None:
        self.events.append(("pause",))

    def resume_writing(self) -> None:
        self.events.append(("resume",))

    def shutdown_started(self) -> None:
        self.events.append(("shutdown",))

    def send_head(self, status: int = 200, *fields: tuple[bytes, bytes], trailers: bool = False) -> None:
        head = ResponseHead(status)
        response_fields(head, fields)
        head.trailers = trailers
        self.stream.send_head(head)

    def send(self, data: bytes, end: bool = False) -> None:
        self.stream.send_data(data, end)
        self.stream.flush()

    def answer(self, content: bytes = b"ok", status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        """A whole answer with its Content-Length, and the end of the application's step."""
        self.send_head(status, *fields, (b"content-length", b"%d" % len(content)))
        self.send(content, True)


Script = Callable[[RecordingHandler], None]
C = TypeVar("C", bound=Connection)


def answer_at_once(handler: RecordingHandler) -> None:
    """The script of an application that answers inside `start`, as with eager tasks."""
    handler.answer()


class BaseDialogue(Generic[C]):
    """A connection of either version, and everything that it did. `now` is its clock."""

    connection: C

    def __init__(
        self,
        script: Script | None = None,
        refuse: RequestError | None = None,
        handler_class: type[RecordingHandler] = RecordingHandler,
    ) -> None:
        self.wire = RecordingWire()
        self.handlers: list[RecordingHandler] = []
        self.refusals: list[tuple[RequestError, RequestHead | None]] = []
        self.script = script
        self.refuse = refuse
        self.handler_class = handler_class
        self.now = 1000.0

    def connect(self, connection: type[C], limits: Any) -> None:
        """Begin the `connection` that is spoken to."""
        self.connection = connection(
            self.wire,
            limits,
            ResponseDefaults(None, False, ()),
            self._open_handler,
            lambda error, head: self.refusals.append((error, head)),
            self.now,
        )
        self.wire.connection = self.connection

    def _open_handler(self, stream: Stream, head: RequestHead) -> StreamHandler:
        if self.refuse is not None:
            raise self.refuse
        handler = self.handler_class(stream, head, self.script)
        handler.refusals = self.refusals
        self.handlers.append(handler)
        return handler

    @property
    def handler(self) -> RecordingHandler:
        """The latest request's."""
        return self.handlers[-1]

    def wait(self, seconds: float) -> Self:
        """Let time pass as the timer wheel does: late, and only where something is due."""
        until = self.now + seconds
        while (due := self.connection.next_timeout()) <= until:
            self.now = max(self.now, due)
            self.connection.handle_timeout(self.now)
            assert self.connection.next_timeout() > self.now, "due again at once"
        self.now = until
        return self

    def flush_due(self) -> None:
        """Run the callbacks that `flush_soon` asked for, until there are none."""
        while self.wire.flushes_wanted:
            self.wire.flushes_wanted -= 1
            self.connection.flush_due()


class Dialogue(BaseDialogue[H1Connection]):
    """HTTP/1.1; `limits` are those of `H1Limits`."""

    def __init__(
        self,
        script: Script | None = None,
        refuse: RequestError | None = None,
        handler_class: type[RecordingHandler] = RecordingHandler,
        **limits: Any,
    ) -> None:
        super().__init__(script, refuse, handler_class)
        self.connect(H1Connection, H1Limits(**limits))

    def receive(self, *pieces: bytes) -> Self:
        """Bytes of the client."""
        for piece in pieces:
            self.connection.receive_data(piece, self.now)
        return self

    def receive_eof(self) -> Self:
        """The client ends its side."""
        self.connection.receive_eof(self.now)
        return self


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def error_answer(data: bytes) -> tuple[int, bytes]:
    """The status and the content of one whole answer of the connection's own."""
    head, _, content = data.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    assert fields[b"connection"] == b"close"
    assert fields[b"content-type"].startswith(b"text/plain")
    assert int(fields[b"content-length"]) == len(content)
    version, status, _ = status_line.split(b" ", 2)
    assert version == b"HTTP/1.1"
    return int(status), content


def refusal(data: bytes, **limits: Any) -> int:
    """The status with which `data` is refused, and 0 where it is not; checks all that every refusal shares.

    That it is the same however `data` is split; that a good request before it is answered first; that the
    connection closes so that the answer arrives; that nothing which follows is parsed (RFC 9112 §9.6, §11.2).
    """
    statuses = set()
    for before in (b"", GET):
        for pieces in ([before + data + GET], [*octets(before + data), GET]):
            dialogue = Dialogue(**limits)
            dialogue.receive(*pieces)
            if before:
                assert len(dialogue.handlers) == 1
                assert dialogue.wire.ended is None
                dialogue.handlers.pop().answer()
                dialogue.flush_due()
                assert dialogue.wire.sent.startswith(OK)
            sent = dialogue.wire.sent.removeprefix(OK if before else b"")
            if dialogue.wire.ended is None:
                statuses.add(0)
                continue
            assert dialogue.wire.ended == LINGERING
            status, content = error_answer(sent)
            statuses.add(status)
            assert len(dialogue.refusals) == 1
            assert dialogue.refusals[0][0].status == status
            assert not any(b"zqz" in part for part in (sent, content)), "request bytes are echoed"
            seen = len(dialogue.handlers)
            dialogue.receive(GET).wait(1000)
            assert len(dialogue.handlers) == seen <= 1
            assert all("start" not in h.names or h.names[-1] == "reset" for h in dialogue.handlers)
    assert len(statuses) == 1, statuses
    return statuses.pop()
