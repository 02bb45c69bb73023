"""Request heads: the request line, and what the fields say of framing and connection (RFC 9112 §2 to §6, §9).

What two parsers could read differently is refused (§11.2).
"""

from tidegate.http.errors import RequestError
from tidegate.http.fields import FORWARDED_FIELDS, KNOWN, TOKEN, is_token, list_members
from tidegate.http.framing import parse_content_length
from tidegate.http.head import HTTP_1_1, MAX_METHOD, METHODS, NO_CONTENT, UNKNOWN_LENGTH, RequestHead
from tidegate.http.target import TARGET, decode_path, is_authority, split_absolute
from tidegate.http1.section import FieldSection

_CONNECTION = KNOWN[b"connection"]
_CONTENT_LENGTH = KNOWN[b"content-length"]
_EXPECT = KNOWN[b"expect"]
_FORWARDED_FIELDS = FORWARDED_FIELDS
_HOST = KNOWN[b"host"]
_SEC_FETCH_MODE = KNOWN[b"sec-fetch-mode"]
_TE = KNOWN[b"te"]
_TRANSFER_ENCODING = KNOWN[b"transfer-encoding"]
_UPGRADE = KNOWN[b"upgrade"]

_TOKEN = TOKEN
_METHODS = METHODS
_MAX_METHOD = MAX_METHOD

_TARGET = TARGET

# What may stand at each octet of an HTTP-version and its CRLF (RFC 9112 §2.3).
_VERSION = (b"H", b"T", b"T", b"P", b"/", b"0123456789", b".", b"0123456789", b"\r", b"\n")
_IN_METHOD, _IN_TARGET, _IN_VERSION = range(3)
_NONE = RequestHead()


class HeadParser:
    """Takes one request head after another, however they are split, in time linear in their octets.

    Limits are in octets: `max_request_line` without its CRLF, `max_head` the whole head; `max_fields` is a
    number of field lines. Once `receive` has returned an index, `head` is the request's; `reset` prepares for
    the next.
    """

    __slots__ = (
        "_authority",
        "_blank",
        "_count",
        "_host",
        "_in_fields",
        "_max_head",
        "_max_request_line",
        "_partial",
        "_phase",
        "_section",
        "head",
        "started",
    )

    def __init__(self, max_request_line: int, max_head: int, max_fields: int) -> None:
        self.head = RequestHead()
        self.started = False  # whether an octet of this head came, beyond the one CRLF that is skipped
        self._max_request_line = max_request_line
        self._max_head = max_head
        self._section = FieldSection(max_fields)
        self._host = b""  # the last Host that was found well-formed
        self._authority = b""  # that of an absolute-form target
        self._blank = 0  # octets seen of the CRLF that is skipped
        self._in_fields = False
        self._partial = (
            bytearray()
        )  # an unfinished request line, checked so far: in which part, and its octets
        self._phase = _IN_METHOD
        self._count = 0

    def reset(self) -> None:
        """Make ready for the next head on this connection."""
        self.started = False
        self._authority = b""
        self._blank = 0
        self._in_fields = False

    def begun(self) -> RequestHead | None:
        """What is known of a request whose head is not taken whole: its request line, or nothing yet."""
        return self.head if self._in_fields else None

    def forget(self) -> None:
        """Let go of the last head, between requests."""
        self.head = _NONE
        self._section.forget()

    def receive(self, data: bytes, start: int) -> int:
        """Take `data[start:]`; the index behind the head, or -1 where more is needed and all was taken.

        Raises RequestError 400, 414, 431, 501 or 505, as early as the first octet that shows it.
        """
        i = start
        if not self.started:
            i = self._skip_blank_line(data, i)
            if not self.started:
                return -1
        if not self._in_fields:
            i = self._receive_request_line(data, i)
            if i < 0:
                return -1
        i = self._section.receive(data, i)
        if i >= 0:
            self._finish()
        return i

    def _skip_blank_line(self, data: bytes, start: int) -> int:
        """Skip one CRLF before the request line (RFC 9112 §2.2); a second one is no request line."""
        p = data
        n = len(data)
        i = start
        if i < n and self._blank == 0 and p[i] == 0x0D:
            self._blank = 1
            i += 1
        if i < n and self._blank == 1:
            if p[i] != 0x0A:
                raise RequestError(400, "bare CR before the request line")
            self._blank = 2
            i += 1
        self.started = i < n
        return i

    def _receive_request_line(self, data: bytes, start: int) -> int:
        """The index behind the request line, or -1 where it is not whole yet."""
        room = self._max_request_line + 2 - len(self._partial)
        limit = min(len(data), start + room)
        if self._partial:
            end = data.find(b"\n", start, limit) + 1
            if end:
                self._partial += data[start:end]
                line = bytes(self._partial)
                self._partial.clear()
                self._parse_request_line(line, 0, len(line))
                return end
        else:
            end = self._parse_request_line(data, start, limit)
            if end >= 0:
                return end
            self._phase = _IN_METHOD
            self._count = 0
        self._check_unfinished(data, start, limit)
        if limit - start >= room:
            raise RequestError(414, "request line too long")
        self._partial += data[start:limit]
        return -1

    def _check_unfinished(self, data: bytes, start: int, limit: int) -> None:
        """Refuse an unfinished request line at its first wrong octet: a TLS ClientHello is not waited out."""
        i = start
        while i < limit:
            c = data[i]
            i += 1
            if self._phase == _IN_METHOD:
                if c == 0x20 and self._count:
                    self._phase = _IN_TARGET
                    self._count = 0
                    continue
                if not _TOKEN[c]:
                    raise RequestError(400, "malformed method")
                if self._count == _MAX_METHOD:
                    raise RequestError(501, "method too long")
            elif self._phase == _IN_TARGET:
                if c == 0x20 and self._count:
                    self._phase = _IN_VERSION
                    self._count = 0
                    continue
                if not _TARGET[c]:
                    raise RequestError(400, "malformed request target")
            elif c not in _VERSION[self._count]:
                raise RequestError(400, "malformed HTTP version")
            self._count += 1

    def _parse_request_line(self, data: bytes, start: int, limit: int) -> int:
        """Take the request line at `data[start:limit]`; the index behind it, or -1 where it is not whole."""
        p = data
        token = _TOKEN
        table = _TARGET
        i = start
        while i < limit and token[p[i]]:
            i += 1
        if i == limit:
            return -1
        if i - start > _MAX_METHOD:
            raise RequestError(501, "method too long")  # RFC 9112 §3
        if i == start or p[i] != 0x20:
            raise RequestError(400, "malformed method")  # RFC 9112 §3.1
        raw = p[start:i]
        method = _METHODS.get(raw)

        i += 1
        end = i
        question = -1
        encoded = False
        while end < limit:
            kind = table[p[end]]
            if kind != 1:
                if kind == 0:
                    break
                if question < 0:
                    if kind == 2:
                        question = end
                    else:
                        encoded = True
            end += 1
        if end == limit:
            return -1
        if end == i or p[end] != 0x20:
            raise RequestError(400, "malformed request target")  # RFC 9112 §3.2

        after = end + 11
        if (
            after <= limit
            and p[end + 1] == 0x48
            and p[end + 2] == 0x54
            and p[end + 3] == 0x54
            and p[end + 4] == 0x50
            and p[end + 5] == 0x2F
            and p[end + 6] == 0x31
            and p[end + 7] == 0x2E
            and p[end + 8] == 0x31
            and p[end + 9] == 0x0D
            and p[end + 10] == 0x0A
        ):
            version = HTTP_1_1
        else:
            minor = self._parse_version(data, end + 1, limit)
            if minor < 0:
                return -1
            version = HTTP_1_1 if minor else "1.0"  # RFC 9110 §2.5: a later minor version is served as ours

        head = RequestHead()
        head.method = raw.decode("ascii") if method is None else method
        head.http_version = version
        head.target = target = p[i:end]
        self.head = head
        self._in_fields = True
        if method == "CONNECT":
            # RFC 9110 §9.3.6: most origin servers do not implement it; §9.1, §15.6.2: then 501.
            raise RequestError(501, "CONNECT is not supported")
        if p[i] != 0x2F:
            self._other_form(head)
        else:
            if question < 0:
                raw = target
            else:
                raw = p[i:question]
                head.query_string = p[question + 1 : end]
            head.raw_path = raw
            head.path = decode_path(raw) if encoded else raw.decode("ascii")
        self._section.begin(self._max_head - (after - start))
        return after

    def _parse_version(self, data: bytes, start: int, limit: int) -> int:
        """The minor version of the HTTP-version at `start` (RFC 9112 §2.3), or -1 where it is not whole."""
        for i, allowed in enumerate(_VERSION, start):
            if i >= limit:
                return -1
            if data[i] not in allowed:
                raise RequestError(400, "malformed HTTP version")
        if data[start + 5] != 0x31:
            raise RequestError(505, "this server speaks HTTP/1")
        return data[start + 7] - 0x30

    def _other_form(self, head: RequestHead) -> None:
        """Take a target in asterisk-form or absolute-form (RFC 9112 §3.2.4, §3.2.2)."""
        if head.target == b"*" and head.method == "OPTIONS":
            path, query = b"*", b""
        else:
            parts = split_absolute(head.target)
            if parts is None:
                raise RequestError(400, "malformed request target")
            self._authority = parts[0]
            path, _, query = parts[1].partition(b"?")
            if not path:
                # §3.2.4: without path and query, OPTIONS asks about the server as a whole
                path = b"*" if head.method == "OPTIONS" and not parts[1] else b"/"
        head.raw_path = path
        head.query_string = query
        head.path = decode_path(path)

    def _finish(self) -> None:
        """Read framing, connection and host out of the fields."""
        head = self.head
        host = connection = codings = length = upgrade = expect = te = None
        forwarded = False
        head.headers = fields = self._section.fields
        for name, value in fields:
            if name is _HOST:
                if host is not None:
                    raise RequestError(400, "Host was sent twice")  # RFC 9112 §3.2
                host = value
            elif name is _CONNECTION:
                connection = value if connection is None else connection + b"," + value
            elif name is _CONTENT_LENGTH:
                if length is not None:
                    raise RequestError(400, "Content-Length was sent twice")  # RFC 9112 §6.3
                length = value
            elif name is _TRANSFER_ENCODING:
                codings = value if codings is None else codings + b"," + value
            elif name is _UPGRADE:
                upgrade = value if upgrade is None else upgrade + b"," + value
            elif name is _EXPECT:
                expect = value if expect is None else expect + b"," + value
            elif name is _SEC_FETCH_MODE:
                head.navigation = value == b"navigate"
            elif name is _TE:
                te = value if te is None else te + b"," + value
            elif (name[0] == 0x78 or name[0] == 0x66) and name in _FORWARDED_FIELDS:
                forwarded = True

        head.forwarded = forwarded
        self._take_host(head, host)
        persistent = head.http_version == HTTP_1_1
        if codings is not None:
            if length is not None:
                raise RequestError(400, "Transfer-Encoding with Content-Length")  # RFC 9112 §6.1
            if not persistent:
                raise RequestError(400, "Transfer-Encoding in HTTP/1.0")  # RFC 9112 §6.1
            _check_codings(codings)
            head.content_length = UNKNOWN_LENGTH
        elif length is not None:
            head.content_length = parse_content_length(length)
            if head.content_length < 0:
                raise RequestError(400, "malformed Content-Length")  # RFC 9110 §8.6
        else:
            head.content_length = NO_CONTENT

        if connection is None:
            head.keep_alive = persistent
        else:
            options = list_members(connection)
            head.keep_alive = b"close" not in options and (
                persistent or b"keep-alive" in options
            )  # RFC 9112 §9.3
            if persistent and upgrade is not None and b"upgrade" in options:  # RFC 9110 §7.8
                protocols = list_members(upgrade)
                # In the client's order of preference: one that is spoken here comes before others.
                if b"websocket" in protocols:
                    head.protocol = b"websocket"
                elif protocols:
                    head.protocol = protocols[0]
        if persistent:  # to HTTP/1.0 goes no 1xx (RFC 9110 §15.2) and no chunked coding
            if expect is not None:
                head.expect_continue = b"100-continue" in list_members(expect)  # RFC 9110 §10.1.1
            if te is not None:  # RFC 9110 §10.1.4
                head.client_trailers = any(
                    member.partition(b";")[0].rstrip(b" \t") == b"trailers" for member in list_members(te)
                )

    def _take_host(self, head: RequestHead, host: bytes | None) -> None:
        """Check Host (RFC 9112 §3.2) and set the authority, which that of the target overrides (§3.2.2)."""
        if host is None:
            if head.http_version == HTTP_1_1:
                raise RequestError(400, "Host is missing")
        elif host != self._host:
            if not is_authority(host):
                raise RequestError(400, "malformed Host")
            self._host = host
        if not self._authority:
            head.authority = host or b""
            return
        head.authority = self._authority
        field = (_HOST, self._authority)
        if host is None:
            head.headers.insert(0, field)
        else:
            head.headers[:] = [field if name is _HOST else (name, value) for name, value in head.headers]


def _check_codings(value: bytes) -> None:
    """Raise unless a Transfer-Encoding is `chunked`, the one coding decoded here (RFC 9112 §6.1, §7).

    Empty list elements are refused too: others stumble over them (§11.2).
    """
    codings = [coding.strip(b" \t") for coding in value.lower().split(b",")]
    if codings.pop() != b"chunked":
        raise RequestError(400, "Transfer-Encoding does not end in chunked")  # RFC 9112 §6.3
    if not codings:
        return
    if b"chunked" in codings:
        raise RequestError(400, "chunked was applied twice")  # RFC 9112 §6.1
    for coding in codings:
        if not is_token(coding.partition(b";")[0].rstrip(b" \t")):
            raise RequestError(400, "malformed Transfer-Encoding")
    raise RequestError(501, "transfer coding is not supported")  # RFC 9112 §6.1
