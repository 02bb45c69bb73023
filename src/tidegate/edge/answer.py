"""Answers that are given without the application."""

from time import perf_counter

from tidegate.gateway.application import Gateway
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.status import REASONS
from tidegate.http.stream import Stream


class EdgeAnswer(HTTPExchange):
    """An exchange whose answer is made here, when the request's head is complete: `status`, with `fields`.

    It is an HTTPExchange for all that comes and goes; only its application is never called.
    """

    __slots__ = ("_fields", "_status")

    def __init__(
        self,
        gateway: Gateway,
        stream: Stream,
        request: RequestHead,
        peers: Peers,
        status: int,
        fields: list[tuple[bytes, bytes]],
    ) -> None:
        HTTPExchange.__init__(self, gateway, stream, request, peers)
        self._status = status
        self._fields = fields

    def start(self) -> None:
        self.discarded()
        if self._gateway.access_log is not None and self.started_at == 0:
            self.started_at = perf_counter()
        self.answer()
        stream = self._stream
        stream.release()
        stream.flush()

    def answer(self) -> None:
        """Send the answer."""
        self._send_status(self._status, self._fields)

    def _send_status(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send an answer whose content says its status, where it may have any."""
        head = ResponseHead(status)
        content = b""
        if status == 204:
            head.fields = fields
        else:
            content = b"%d %b\n" % (status, REASONS[status])
            head.fields = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(content)),
                *fields,
            ]
            head.content_length = len(content)
        self._send_whole(head, content)

    def _send_whole(self, head: ResponseHead, content: bytes) -> None:
        self._head = head
        if self.request.method == "HEAD":
            content = b""
        end = self._begin_content(len(content), False)
        self._stream.send_data(content, end)
