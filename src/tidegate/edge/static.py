"""Answers with static files: methods, conditional requests (RFC 9110 §13), ranges (§14), content codings (§12.5.3)."""

import os
from secrets import token_hex

from tidegate.asgi.compression import negotiate
from tidegate.asgi.preconditions import Answer, Preconditions
from tidegate.asgi.ranges import (
    MalformedRangeHeader,
    RangeNotSatisfiable,
    byteranges_head,
    byteranges_length,
    parse_range,
)
from tidegate.edge.answer import EdgeAnswer
from tidegate.edge.files import REDIRECT, Representation, StaticFile
from tidegate.gateway.application import Gateway
from tidegate.gateway.scope import Peers
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.stream import Stream

METHODS = b"GET, HEAD, OPTIONS"
MAX_RANGES = 32  # more are a request for the whole file (RFC 9110 §14.2: none need be honoured)
# What stays as it is in a Location; a colon would make a scheme of what stands before it.
SAFE = "!$&'()*+,;=@-._~%"


class StaticExchange(EdgeAnswer):
    """The answer to a request for `found`, a StaticFile or the status that takes its place."""

    __slots__ = ("_file",)

    def __init__(
        self, gateway: Gateway, stream: Stream, request: RequestHead, peers: Peers, found: object
    ) -> None:
        EdgeAnswer.__init__(self, gateway, stream, request, peers, 0, [])
        self._file: StaticFile | None = None
        if isinstance(found, StaticFile):
            self._file = found
        elif isinstance(found, int):
            self._status = found

    def answer(self) -> None:
        file = self._file
        method = self.request.method
        if method != "GET" and method != "HEAD":
            self._answer_method(method)
        elif file is not None:
            self._answer_file(file, method)
        elif self._status == REDIRECT:
            self._send_status(REDIRECT, [(b"location", directory_location(self.request))])
        else:
            self._send_status(self._status, [])

    def _answer_method(self, method: str) -> None:
        if self._file is None and self._status != REDIRECT:
            self._send_status(self._status, [])
        elif method == "OPTIONS":
            self._send_status(204, [(b"allow", METHODS)])
        else:
            # RFC 9110 §15.5.6
            self._send_status(405, [(b"allow", METHODS)])

    def _answer_file(self, file: StaticFile, method: str) -> None:
        accepted = b""
        ranges = b""
        conditional = False
        for item in self.request.headers:
            name, value = item
            if name == b"accept-encoding":
                accepted = accepted + b", " + value if accepted else value
            elif name == b"range":
                ranges = value
            elif name.startswith(b"if-"):
                conditional = True
        chosen = file.plain
        if accepted and file.offered:
            chosen = file.encoded.get(negotiate(accepted.decode("latin-1"), file.offered), chosen)
        if conditional:
            preconditions = Preconditions(self.request.headers)
            # RFC 9110 §13.2.2
            outcome = preconditions.evaluate(method, chosen.etag, chosen.last_modified)
            if outcome is Answer.NOT_MODIFIED:
                self._send_whole(chosen.not_modified, b"")
                return
            if outcome is Answer.PRECONDITION_FAILED:
                self._send_status(412, [])
                return
            if ranges and not preconditions.range_applies(chosen.etag, chosen.last_modified):
                ranges = b""
        # §14.2: only GET has ranges; other units than octets count for nothing.
        if len(ranges) > 6 and method == "GET" and ranges[:6].lower() == b"bytes=":
            self._answer_ranges(chosen, ranges)
        else:
            self._send_representation(chosen, chosen.head)

    def _answer_ranges(self, chosen: Representation, value: bytes) -> None:
        try:
            found = parse_range(value.decode("latin-1"), chosen.size, MAX_RANGES)
        except (MalformedRangeHeader, RangeNotSatisfiable):
            # §15.5.17
            self._send_status(416, [(b"content-range", b"bytes */%d" % chosen.size)])
            return
        if found is None:
            self._send_representation(chosen, chosen.head)
        elif len(found) == 1:
            start, end = found[0]
            head = ResponseHead(206)
            head.content_length = end - start
            head.fields = [
                (b"content-type", chosen.media.encode("ascii")),
                (b"content-length", b"%d" % (end - start)),
                (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, chosen.size)),
                *chosen.fields,
            ]
            self._head = head
            self._begin_content(end - start, False)
            self._send_part(chosen, start, end, True)
        else:
            self._send_parts(chosen, found)

    def _send_parts(self, chosen: Representation, ranges: list[tuple[int, int]]) -> None:
        # §14.6
        boundary = token_hex(12)
        size = byteranges_length(ranges, boundary, chosen.media, chosen.size)
        head = ResponseHead(206)
        head.content_length = size
        head.fields = [
            (b"content-type", b"multipart/byteranges; boundary=" + boundary.encode("ascii")),
            (b"content-length", b"%d" % size),
            *chosen.fields,
        ]
        self._head = head
        self._begin_content(size, False)
        stream = self._stream
        for start, end in ranges:
            stream.send_data(byteranges_head(boundary, chosen.media, start, end, chosen.size), False)
            self._send_part(chosen, start, end, False)
            stream.send_data(b"\r\n", False)
        stream.send_data(b"--%b--" % boundary.encode("ascii"), True)

    def _send_representation(self, chosen: Representation, head: ResponseHead) -> None:
        content = chosen.content
        if content is not None or self.request.method == "HEAD":
            self._send_whole(head, b"" if content is None else content)
            return
        self._head = head
        self._begin_content(chosen.size, False)
        self._send_part(chosen, 0, chosen.size, True)

    def _send_part(self, chosen: Representation, start: int, end: int, last: bool) -> None:
        content = chosen.content
        stream = self._stream
        if content is not None:
            stream.send_data(content[start:end], last)
            return
        # The stream closes its own.
        stream.send_file(os.dup(chosen.descriptor), start, end - start, last)


def directory_location(request: RequestHead) -> bytes:
    """The same path with a slash at its end, relative to itself: it leads to no other host, and holds behind a proxy
    that has removed a prefix."""
    from urllib.parse import quote_from_bytes

    name = request.raw_path.rpartition(b"/")[2]
    query = b"?" + request.query_string if request.query_string else b""
    return b"./" + quote_from_bytes(name, SAFE).encode("ascii") + b"/" + query
