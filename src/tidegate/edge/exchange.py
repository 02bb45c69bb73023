"""An exchange with the application under a `Policy`: limits, a time for the whole, headers, compression.

Compression: an answer's head is held until its first content anyway, and then it is known whether that is all of it.
What an application sends within one of its steps is compressed together, and flushed at the step's end.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable
from typing import Any

from tidegate.asgi.compression import (
    Compressor,
    compressor,
    encoded_headers,
    field_value,
    not_modified_headers,
    vary_on_encoding,
)
from tidegate.edge.compression import LARGE, encode_piece, encode_whole
from tidegate.edge.policy import CACHEABLE, Policy
from tidegate.gateway import response
from tidegate.gateway.application import Exchange, Gateway
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.errors import ApplicationError
from tidegate.http.head import UNKNOWN_LENGTH, RequestHead, ResponseHead
from tidegate.http.status import REASONS
from tidegate.http.stream import Stream

logger = logging.getLogger("tidegate.error")

HELD = response.HELD
STREAMING = response.STREAMING
COMPLETE = response.COMPLETE
GONE = response.GONE
COPY_SIZE = 1 << 16


class EdgeExchange(HTTPExchange):
    """An HTTPExchange whose policy has let it in."""

    __slots__ = (
        "_coding",
        "_compressor",
        "_encoded",
        "_encoding",
        "_identity_left",
        "_pending",
        "_policy",
        "_received",
        "_refused",
        "_timer",
        "_turn",
        "_unflushed",
    )

    def __init__(
        self, gateway: Gateway, stream: Stream, request: RequestHead, peers: Peers, policy: Policy
    ) -> None:
        HTTPExchange.__init__(self, gateway, stream, request, peers)
        self._policy = policy
        # Its place is taken from now on: others of the same read are to see it.
        policy.active += 1
        self._pending = True
        self._received = 0
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        # The coding that the answer gets; None once there is none to be decided on, or made.
        self._coding: str | None = None
        self._compressor: Compressor | None = None
        self._unflushed = False
        # What is left of the Content-Length that the application gave.
        self._identity_left = UNKNOWN_LENGTH
        # What a thread has made of the message that is being sent, and whether one is at it.
        self._encoded: bytes | None = None
        self._encoding = False
        self._turn: asyncio.Lock | None = None

    # --- what the stream says

    def start(self) -> None:
        self._pending = False
        policy = self._policy
        if policy.timeout > 0:
            self._timer = self.loop.call_later(policy.timeout, self._timed_out)
        HTTPExchange.start(self)

    def discarded(self) -> None:
        if self._pending:
            self._pending = False
            self._policy.active -= 1
        HTTPExchange.discarded(self)

    def data_received(self, data: bytes) -> None:
        limit = self._policy.max_content
        if limit >= 0:
            self._received += len(data)
            if self._received > limit and self._response < COMPLETE:
                self._refuse(413)
                return
        HTTPExchange.data_received(self, data)

    # --- what ends it early

    def _timed_out(self) -> None:
        self._timer = None
        call = self._call
        if self._response >= COMPLETE:
            return
        logger.warning(
            "Cancelled after %g seconds, the route's timeout: %s %s %s",
            self._policy.timeout,
            self.request.method,
            self.request.path.encode("unicode_escape").decode(),
            self.identity(),
        )
        # RFC 9110 §15.6.5: the application did not answer in time.
        self._refuse(504)
        if call is not None and call.task is not None:
            call.task.cancel()

    def _refuse(self, status: int) -> None:
        """Answer in the application's place, or cut the answer that it has begun."""
        self._refused = True
        self._disconnected = True
        self._drop_coding()
        if self._response < STREAMING:
            content = b"%d %b\n" % (status, REASONS[status])
            head = ResponseHead(status)
            head.fields = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(content)),
            ]
            head.content_length = len(content)
            head.close = True
            self._head = head
            self._send_body(content, False)
            if not self._in_step:
                self._stream.flush()
        else:
            self._cut()

    def _cut(self) -> None:
        self._response = GONE
        self._finish()
        self._stream.reset()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        HTTPExchange._finish(self)

    # --- what the application's task says

    def application_ended(self, error: BaseException | None) -> None:
        self._policy.active -= 1
        if self._response < STREAMING:
            # What is sent now is not what the application began.
            self._drop_coding()
        if self._refused and error is not None:
            logger.debug("The application ended after its request was refused: %r", error)
            error = None
        HTTPExchange.application_ended(self, error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def step_ended(self) -> None:
        if self._unflushed:
            self._unflushed = False
            found = self._compressor
            if found is not None and self._response == STREAMING:
                HTTPExchange._send_body(self, found.flush(), True)
        Exchange.step_ended(self)

    # --- send

    def send(self, message: Any) -> Awaitable[None]:
        """HTTPExchange's `send`; what is large is compressed in a thread meanwhile."""
        if self._coding is not None and type(message) is dict:
            if self._encoding:
                return self._send_in_turn(message)
            body = message.get("body")
            if (
                type(body) is bytes
                and len(body) >= LARGE
                and message.get("type") == "http.response.body"
                and (self._response == HELD or self._response == STREAMING)
                and self.request.method != "HEAD"
            ):
                return self._send_in_turn(message)
        return HTTPExchange.send(self, message)

    async def _send_in_turn(self, message: dict[str, Any]) -> None:
        turn = self._turn
        if turn is None:
            turn = self._turn = asyncio.Lock()
        async with turn:
            body = message.get("body", b"")
            if self._coding is not None and type(body) is bytes and len(body) >= LARGE:
                await self._encode_in_thread(self._coding, body, bool(message.get("more_body")))
            if self.may_send():
                await HTTPExchange.send(self, message)

    async def _encode_in_thread(self, coding: str, body: bytes, more: bool) -> None:
        self._check_length(len(body), more)
        compression = self._policy.compression
        if compression is None:
            return
        self._encoding = True
        done = False
        try:
            if more or self._compressor is not None:
                self._begin_encoding(coding)
                # The thread flushes all of it; nobody else touches the compressor meanwhile.
                self._unflushed = False
                encoded = await self.loop.run_in_executor(
                    compression.executor, encode_piece, self._compressor, body, more
                )
            else:
                encoded = await self.loop.run_in_executor(compression.executor, encode_whole, coding, body)
            done = True
        finally:
            self._encoding = False
            if not done and self._response < COMPLETE:
                # Cancelled, while the thread goes on: nothing can follow what it makes.
                self._drop_coding()
                self._cut()
        self._encoded = encoded

    def _take_start(self, message: dict[str, Any]) -> None:
        HTTPExchange._take_start(self, message)
        head = self._head
        if head is None:
            return
        policy = self._policy
        if policy.fields:
            add_missing(head, policy.fields)
        if policy.cache_control is not None and head.status < CACHEABLE:
            add_missing(head, [(b"cache-control", policy.cache_control)])
        compression = policy.compression
        if compression is None:
            return
        if head.status == 304:
            known = field_value(self.request.headers, b"if-none-match")
            head.fields = not_modified_headers(head.fields, known)
        elif compression.eligible(head):
            self._coding = compression.coding(self.request) or None
            vary_on_encoding(head.fields)

    def _check_length(self, size: int, more: bool) -> None:
        if self._compressor is None:
            HTTPExchange._check_length(self, size, more)
            return
        left = self._identity_left
        if left >= 0 and (size > left or (size < left and not more)):
            raise ApplicationError("the body is not as long as its Content-Length")

    def _begin_encoding(self, coding: str) -> None:
        """Make the head that of the encoded answer, whose length nobody knows."""
        head = self._head
        if self._compressor is None and head is not None:
            self._identity_left = self._expected_length(head)
            head.fields = encoded_headers(head.fields, coding, None)
            head.content_length = UNKNOWN_LENGTH
            self._compressor = compressor(coding)

    def _send_body(self, data: bytes, more: bool) -> None:
        coding = self._coding
        if coding is None:
            HTTPExchange._send_body(self, data, more)
            return
        encoded = self._encoded
        self._encoded = None
        size = len(data)
        head = self._head
        if self._compressor is None and not more:
            self._coding = None
            compression = self._policy.compression
            if head is None or compression is None:
                return
            if self.request.method == "HEAD":
                # Else nobody knows whether GET's answer is large enough (RFC 9110 §9.3.2).
                if size >= compression.min_size or head.content_length != UNKNOWN_LENGTH:
                    self._encode_head(head, coding, UNKNOWN_LENGTH)
            elif size >= compression.min_size:
                data = encode_whole(coding, data) if encoded is None else encoded
                self._encode_head(head, coding, len(data))
            HTTPExchange._send_body(self, data, False)
            return
        self._begin_encoding(coding)
        found = self._compressor
        if found is None:
            return
        if self._identity_left >= 0:
            self._identity_left -= size
        # What is compressed away has been work all the same.
        self._since_yield += size
        if encoded is not None:
            data = encoded
        elif self.request.method == "HEAD":
            data = b""
        elif not more or not self._in_step:
            data = encode_piece(found, data, more)
        else:
            data = found.compress(data)
            self._unflushed = True
        if not more:
            self._unflushed = False
            self._coding = None
        HTTPExchange._send_body(self, data, more)

    def _encode_head(self, head: ResponseHead, coding: str, size: int) -> None:
        head.fields = encoded_headers(head.fields, coding, None if size < 0 else size)
        head.content_length = size

    def _drop_coding(self) -> None:
        self._coding = None
        self._compressor = None
        self._unflushed = False

    def _send_descriptor(self, descriptor: int, offset: int, count: int, more: bool) -> None:
        if self._compressor is None:
            # A file goes as it is, by sendfile.
            self._coding = None
            HTTPExchange._send_descriptor(self, descriptor, offset, count, more)
            return
        # Behind what was compressed.
        try:
            start = os.lseek(descriptor, 0, os.SEEK_CUR) if offset < 0 else offset
            left = max(0, os.fstat(descriptor).st_size - start)
            if 0 <= count < left:
                left = count
            self._check_length(left, more)
            while left:
                data = os.pread(descriptor, min(left, COPY_SIZE), start)
                if not data:
                    break
                start += len(data)
                left -= len(data)
                self._send_body(data, True)
        finally:
            os.close(descriptor)
        if not more:
            self._send_body(b"", False)


def add_missing(head: ResponseHead, fields: list[tuple[bytes, bytes]]) -> None:
    """Add the fields of which the answer has none of the name."""
    present = {name for name, value in head.fields}
    added = [field for field in fields if field[0] not in present]
    if added:
        head.fields = [*head.fields, *added]
