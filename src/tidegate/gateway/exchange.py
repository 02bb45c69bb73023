"""One HTTP exchange: ASGI's receive and send over a `Stream` (ASGI www 2.5, "HTTP").

The application runs as its own Task with its own context. What it sends within one of its steps goes out in one write
at the step's end at the latest.
"""

import os
import stat
from collections import deque
from collections.abc import Awaitable
from time import perf_counter
from typing import Any

from tidegate.asgi import ASGIApplication
from tidegate.gateway import response
from tidegate.gateway.application import MAX_WITHOUT_YIELD, Exchange, Gateway, is_disconnect
from tidegate.gateway.awaitable import READY, Receiver, Waiter
from tidegate.gateway.scope import Peers
from tidegate.http.errors import ApplicationError, ClientDisconnected, RequestError
from tidegate.http.fields import checked_field, link_fields, response_fields, trailer_fields
from tidegate.http.head import NO_CONTENT, UNKNOWN_LENGTH, RequestHead, ResponseHead
from tidegate.http.stream import Stream

EXPECT_START = response.EXPECT_START
HELD = response.HELD
STREAMING = response.STREAMING
EXPECT_TRAILERS = response.EXPECT_TRAILERS
COMPLETE = response.COMPLETE
GONE = response.GONE
START = response.START
BODY = response.BODY
PATHSEND = response.PATHSEND
ZEROCOPYSEND = response.ZEROCOPYSEND
EARLY_HINT = response.EARLY_HINT
PUSH = response.PUSH
GO = response.GO
IGNORE = response.IGNORE
TELL = response.TELL
ACTIONS = response.ACTIONS
COLUMNS = response.COLUMNS
MESSAGES = response.MESSAGES

# Of pieces of content that wait, those below the first are joined to messages of at most the second, in octets: what an
# object costs is much more than a client spends on an octet.
SMALL_PIECE = 1024
MAX_JOINED = 16384


class HTTPExchange(Exchange):
    """Built by the connection's `open_handler`; `start` runs the application."""

    __slots__ = (
        "_buffered",
        "_chunks",
        "_content_left",
        "_delivered_end",
        "_disconnected",
        "_due",
        "_ended",
        "_head",
        "_reading_paused",
        "_response",
        "_told",
        "_trailers",
        "body_sent",
    )

    def __init__(self, gateway: Gateway, stream: Stream, request: RequestHead, peers: Peers) -> None:
        self._open(gateway, stream, request, peers)
        self._response = EXPECT_START
        self._head: ResponseHead | None = None
        self._trailers: list[tuple[bytes, bytes]] | None = None
        self._content_left = UNKNOWN_LENGTH
        self._chunks: deque[bytes | bytearray] | None = None
        self._buffered = 0
        # Whether all of the request's content is here, and whether the application has been told so.
        self._ended = request.content_length == NO_CONTENT or request.content_length == 0
        self._delivered_end = False
        self._disconnected = False
        self._told = False  # the application, of that
        self._reading_paused = False
        # What is left of the request's content, where its head tells its length.
        self._due = request.content_length
        self.body_sent = 0

    # --- what the stream says

    def data_received(self, data: bytes) -> None:
        if self._response >= COMPLETE:
            return
        size = len(data)
        chunks = self._chunks
        if chunks is None:
            chunks = self._chunks = deque()
        if size >= SMALL_PIECE or not chunks or not self._joined(data, size):
            chunks.append(data)
        self._buffered += size
        if self._due > 0:
            self._due -= size
        if self._waiters is not None:
            # With the last of it comes the end: both are one message then.
            self._turns = 1 if self._due else 0
            self._wake()
            self._turns = 0
        if self._buffered >= self._gateway.read_buffer and not self._reading_paused:
            self._reading_paused = True
            self._stream.pause_reading()

    def _joined(self, data: bytes, size: int) -> bool:
        """Whether `data`, of `size` octets, went into the last piece that waits."""
        chunks: Any = self._chunks
        last = chunks[len(chunks) - 1]
        if len(last) + size > MAX_JOINED:
            return False
        if type(last) is bytes:
            last = bytearray(last)
            chunks[len(chunks) - 1] = last
        last += data
        return True

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._ended = True
        if self._waiters is not None:
            self._turns = 1
            self._wake()
            self._turns = 0

    def peer_closed(self) -> None:
        if not self._disconnected and self._call is not None:
            self._gateway.client_gone(self._call)
        self._disconnected = True
        if self._waiters is not None:
            self._wake()

    def request_refused(self, error: RequestError) -> None:
        self.status = error.status
        if self.request.method != "HEAD":
            self.body_sent = len(error.content)

    def stream_reset(self) -> None:
        known = self._disconnected
        self._disconnected = True
        if self._response < COMPLETE:
            self._response = GONE
            self._finish()
        if not known and self._call is not None:
            self._gateway.client_gone(self._call)

    def shutdown_started(self) -> None:
        """Applications are told through the gateway's notice, which all exchanges share."""

    # --- what the application's task says

    def call_application(self, app: ASGIApplication) -> Any:
        gateway = self._gateway
        request = self.request
        extensions = gateway.extensions(request)
        if self._stream.can_push():
            extensions["http.response.push"] = {}
        scope = self.peers.http_scope(request, gateway.root_path, gateway.state, extensions)
        return app(scope, self.receive, self.send)

    def application_ended(self, error: BaseException | None) -> None:
        self._call = None
        state = self._response
        # It may end as it likes where its client has, and it knows.
        gone = self._disconnected and (
            self._told if error is None else is_disconnect(error) or self._gateway.cancels(error)
        )
        if error is not None:
            if not gone:
                self._log_failure(error)
        elif state < COMPLETE and not gone:
            self._log_failure(ApplicationError(response.unfinished(state)))
        if state < STREAMING and not gone:
            self._answer_500()
        elif state < COMPLETE:
            # The client must be able to tell that this is not the whole answer.
            self._response = GONE
            self._finish()
            self._stream.reset()
        self._stream.release()

    def _answer_500(self) -> None:
        head = ResponseHead(500)
        content = b"Internal Server Error"
        head.fields = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(content)),
        ]
        head.content_length = len(content)
        head.close = True
        self._head = head
        self._send_body(content, False)

    # --- receive

    def take_message(self) -> dict[str, Any] | None:
        if self._response >= COMPLETE:
            return {"type": "http.disconnect"}
        if self._disconnected and self._delivered_end:
            self._told = True
            return {"type": "http.disconnect"}
        chunks = self._chunks
        if chunks:
            data = chunks.popleft()
            if type(data) is bytearray:
                data = bytes(data)
            self._buffered -= len(data)
            more = not self._ended or len(chunks) > 0
            if not more:
                self._delivered_end = True
            if self._reading_paused and self._buffered < self._gateway.read_buffer:
                self._reading_paused = False
                self._stream.resume_reading()
            return {"type": "http.request", "body": data, "more_body": more}
        if self._ended and not self._delivered_end:
            self._delivered_end = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return None

    def new_waiter(self) -> Waiter:
        if self.request.expect_continue and not self._ended and self._response <= HELD:
            # RFC 9110 §10.1.1: the application wants the content.
            self._stream.send_informational(100, [])
            if not self._in_step:
                self._stream.flush()
        return Receiver.new_waiter(self)

    # --- send

    def send(self, message: Any) -> Awaitable[None]:
        """ASGI's send. Raises ApplicationError for a message that cannot come now, ClientDisconnected once the client
        has gone."""
        try:
            checked: dict[str, Any] = message if type(message) is dict else dict(message)
            kind = MESSAGES.get(checked["type"], -1)
        except (KeyError, TypeError, ValueError):
            kind = -1
        state = self._response
        if kind < 0:
            if state == COMPLETE:
                return READY
            if state == GONE:
                raise ClientDisconnected("the client has disconnected")
            raise ApplicationError(response.unexpected(state, message))
        table = ACTIONS
        action = table[state * COLUMNS + kind]
        if action == IGNORE:
            return READY
        if action == TELL:
            raise ClientDisconnected("the client has disconnected")
        if action != GO:
            raise ApplicationError(response.unexpected(state, message))
        if kind == START:
            self._take_start(checked)
            return READY
        if kind == BODY:
            self._take_body(checked)
        elif kind == PATHSEND:
            self._take_path(checked)
        elif kind == ZEROCOPYSEND:
            self._take_file(checked)
        elif kind == EARLY_HINT:
            self._take_early_hint(checked)
        elif kind == PUSH:
            self._take_push(checked)
        else:
            self._take_trailers(checked)
        if not self._in_step:
            self._stream.flush()
        if self._response == COMPLETE:
            return READY
        if self._writing_paused or self._since_yield >= MAX_WITHOUT_YIELD:
            self._stream.flush()
            return self._yield()
        return READY

    def may_send(self) -> bool:
        if self._response == GONE:
            raise ClientDisconnected("the client has disconnected")
        return self._response < COMPLETE

    def _take_start(self, message: dict[str, Any]) -> None:
        try:
            status = message["status"]
        except KeyError:
            raise ApplicationError("'http.response.start' has no 'status'") from None
        # RFC 9110 §15: a final status has three digits and is not 1xx.
        if type(status) is not int:
            if not isinstance(status, int) or isinstance(status, bool):
                raise ApplicationError(f"'status' is an int, not {type(status).__name__}")
            status = int(status)
        if not 200 <= status <= 999:
            raise ApplicationError(f"{status} is not the status of a final response")
        head = ResponseHead(status)
        headers = message.get("headers")
        if headers is not None:
            response_fields(head, headers)
        if message.get("trailers"):
            head.trailers = True
        self._head = head
        self._response = HELD

    def _take_body(self, message: dict[str, Any]) -> None:
        data = message.get("body", b"")
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise ApplicationError(f"'body' is bytes, not {type(data).__name__}")
            data = bytes(data)
        more = message.get("more_body", False)
        self._check_length(len(data), more)
        self._send_body(data, more)

    def _send_body(self, data: bytes, more: bool) -> None:
        end = self._begin_content(len(data), more)
        self._stream.send_data(data, end)

    def _check_length(self, size: int, more: bool) -> None:
        # RFC 9110 §8.6: Content-Length is what is sent, neither more nor less.
        head = self._head
        left = self._content_left if head is None else self._expected_length(head)
        if left >= 0:
            if size > left:
                raise ApplicationError(f"the body is longer than its Content-Length, by {size - left} octets")
            if size < left and not more:
                raise ApplicationError(
                    f"the body is shorter than its Content-Length, by {left - size} octets"
                )

    def _expected_length(self, head: ResponseHead) -> int:
        # The Content-Length of an answer to HEAD, or of a 304, is that of content that is not sent (RFC 9110 §8.6).
        status = head.status
        if status == 204 or status == 205 or status == 304 or self.request.method == "HEAD":
            return UNKNOWN_LENGTH
        return head.content_length

    def _begin_content(self, size: int, more: bool) -> bool:
        """Account for `size` octets, behind the head if that is still held; whether the answer ends with them."""
        head = self._head
        if head is not None:
            self._head = None
            self._response = STREAMING
            self.status = head.status
            self._content_left = self._expected_length(head)
            if head.trailers:
                self._trailers = []
            if self.started_at:
                self.first_byte_at = perf_counter()
                if not more:
                    self.ended_at = self.first_byte_at
            self._stream.send_head(head)
        if self._content_left >= 0:
            self._content_left -= size
        self.body_sent += size
        self._since_yield += size
        if more:
            return False
        if self._trailers is not None:
            self._response = EXPECT_TRAILERS
            return False
        self._response = COMPLETE
        self._finish()
        return True

    def _take_path(self, message: dict[str, Any]) -> None:
        path = message.get("path")
        if not isinstance(path, str | bytes | os.PathLike):
            raise ApplicationError("'http.response.pathsend' has no 'path'")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            # Not as an OSError: frameworks take that for a client that has gone.
            raise ApplicationError(f"cannot open the file to send: {error}") from error
        self._send_descriptor(descriptor, 0, -1, False)

    def _take_file(self, message: dict[str, Any]) -> None:
        file: Any = message.get("file")
        try:
            descriptor = os.dup(file if isinstance(file, int) else file.fileno())
        except (AttributeError, OSError, ValueError) as error:
            raise ApplicationError(f"'file' has no open file descriptor: {error}") from error
        offset = message.get("offset")
        count = message.get("count")
        for name, number in (("offset", offset), ("count", count)):
            if number is not None and (not isinstance(number, int) or number < 0):
                os.close(descriptor)
                raise ApplicationError(f"'{name}' is an int of 0 or more")
        self._send_descriptor(
            descriptor,
            -1 if offset is None else offset,
            -1 if count is None else count,
            bool(message.get("more_body")),
        )

    def _send_descriptor(self, descriptor: int, offset: int, count: int, more: bool) -> None:
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ApplicationError("only a regular file can be sent")
            start = os.lseek(descriptor, 0, os.SEEK_CUR) if offset < 0 else offset
            size = max(0, status.st_size - start)
            if 0 <= count < size:
                size = count
            self._check_length(size, more)
            if offset < 0:
                # As sendfile without an offset leaves it (extensions, "Zero Copy Send").
                os.lseek(descriptor, start + size, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        end = self._begin_content(size, more)
        self._stream.send_file(descriptor, start, size, end)

    def _take_early_hint(self, message: dict[str, Any]) -> None:
        links = link_fields(message.get("links", ()))
        if links and self._gateway.hints_allowed(self.request):
            self._stream.send_informational(103, links)
            self._stream.flush()

    def _take_push(self, message: dict[str, Any]) -> None:
        path = message.get("path")
        if not isinstance(path, str) or not path.startswith("/") or not path.isascii():
            raise ApplicationError("'path' is a str of ASCII that begins with '/'")
        fields = [checked_field(item) for item in message.get("headers", ())]
        self._stream.push(path.encode("ascii"), fields)

    def _take_trailers(self, message: dict[str, Any]) -> None:
        fields = self._trailers
        if fields is None:
            return
        fields.extend(trailer_fields(message.get("headers", ())))
        if not message.get("more_trailers"):
            self._response = COMPLETE
            self._finish()
            self._stream.send_trailers(fields)

    def _finish(self) -> None:
        # Of the content nothing is wanted any more, and whoever waits is told.
        self._chunks = None
        self._buffered = 0
        if self._waiters is not None:
            self._wake()
        if self._send_waiters is not None:
            self._wake_senders()
        log = self._gateway.access_log
        if log is not None:
            log(self)
