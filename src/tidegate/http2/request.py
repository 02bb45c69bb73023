"""Field sections into requests (RFC 9113 §8.2, §8.3, RFC 8441 §4): what is malformed, and what is refused."""

from tidegate.http.errors import RequestError, StreamError
from tidegate.http.fields import FORBIDDEN_TRAILERS, KNOWN, TOKEN, VALUE, is_token, list_members
from tidegate.http.framing import parse_content_length
from tidegate.http.head import MAX_METHOD, METHODS, NO_CONTENT, UNKNOWN_LENGTH, RequestHead
from tidegate.http.target import TARGET, decode_path, is_authority
from tidegate.http2.frames import PROTOCOL_ERROR
from tidegate.http2.hpack import NAMES
from tidegate.http2.priority import MAX_VALUE

_HOST = KNOWN[b"host"]
_COOKIE = KNOWN[b"cookie"]
_TOKEN = TOKEN
_VALUE = VALUE
_TARGET = TARGET
_METHODS = METHODS
_FORBIDDEN_TRAILERS = FORBIDDEN_TRAILERS

# What a name means here; a pseudo-header field's is below PLAIN.
METHOD, PATH, SCHEME, AUTHORITY, PROTOCOL, PLAIN, HOST, LENGTH, COOKIE, TE, EXPECT, URGENCY, FORBIDDEN = (
    range(13)
)
FIELD_OVERHEAD = 32  # octets, RFC 9113 §6.5.2
# Octets of lists that are read here: repeated by HPACK, a long one costs its sender next to nothing.
MAX_LIST = MAX_VALUE

_KINDS: dict[bytes, int] = dict.fromkeys(KNOWN.values(), PLAIN)
_KINDS.update(
    {
        b":method": METHOD,
        b":path": PATH,
        b":scheme": SCHEME,
        b":authority": AUTHORITY,
        b":protocol": PROTOCOL,
        b"host": HOST,
        b"content-length": LENGTH,
        b"cookie": COOKIE,
        b"te": TE,
        b"expect": EXPECT,
        b"priority": URGENCY,
        # RFC 9113 §8.2.2, RFC 7540 §3.2.1
        b"connection": FORBIDDEN,
        b"keep-alive": FORBIDDEN,
        b"proxy-connection": FORBIDDEN,
        b"transfer-encoding": FORBIDDEN,
        b"upgrade": FORBIDDEN,
        b"http2-settings": FORBIDDEN,
    }
)
_KINDS = {NAMES.get(name, name): kind for name, kind in _KINDS.items()}


class RequestReader:
    """Makes requests of a connection's field sections. `max_target` is in octets.

    After `receive`, `priority` is the request's Priority field (RFC 9218), b"" where it has none, and `scheme` what it
    says.
    """

    __slots__ = ("_host", "_max_target", "priority", "scheme")

    def __init__(self, max_target: int) -> None:
        self._max_target = max_target
        # The last authority: a client's requests mostly have the same one.
        self._host: tuple[bytes, bytes] = (_HOST, b"")
        self.priority = b""
        self.scheme = b"http"

    def receive(self, fields: list[tuple[bytes, bytes]], end_stream: bool) -> RequestHead:
        """The request whose decoded fields these are.

        Raises StreamError where it is malformed (RFC 9113 §8.1.1), RequestError where it is well-formed but is
        refused.
        """
        head = RequestHead()
        headers: list[tuple[bytes, bytes]] = []
        method = path = scheme = authority = protocol = host = length = None
        cookies: list[bytes] | None = None
        cookie_at = -1
        self.priority = b""
        for field in fields:
            name, value = field
            kind = _KINDS.get(name, -1)
            check_value(value)
            if kind == PLAIN:
                pass
            elif kind == -1:
                check_name(name)
            elif kind < PLAIN:
                # §8.3: before all others, each at most once
                if headers or host is not None:
                    raise malformed("a pseudo-header field behind others")
                if kind == METHOD:
                    if method is not None:
                        raise malformed(":method twice")
                    method = value
                elif kind == PATH:
                    if path is not None:
                        raise malformed(":path twice")
                    path = value
                elif kind == SCHEME:
                    if scheme is not None:
                        raise malformed(":scheme twice")
                    scheme = value
                elif kind == AUTHORITY:
                    if authority is not None:
                        raise malformed(":authority twice")
                    authority = value
                else:
                    if protocol is not None:
                        raise malformed(":protocol twice")
                    protocol = value
                continue
            elif kind == HOST:
                if host is not None:
                    raise malformed("Host twice")
                host = value
                continue
            elif kind == COOKIE:
                # §8.2.3: crumbs are joined
                if cookie_at < 0:
                    cookie_at = len(headers)
                else:
                    if cookies is None:
                        cookies = [headers[cookie_at][1]]
                    cookies.append(value)
                    continue
            elif kind == LENGTH:
                if length is not None:
                    raise malformed("Content-Length twice")
                length = value
            elif kind == TE:
                if value.lower() != b"trailers":
                    raise malformed("TE is not trailers")  # §8.2.2
            elif kind == EXPECT:
                if not end_stream and len(value) <= MAX_LIST and b"100-continue" in list_members(value):
                    head.expect_continue = True
            elif kind == URGENCY:
                if len(self.priority) <= MAX_LIST:  # longer than that it does not count
                    self.priority = self.priority + b", " + value if self.priority else value
            else:
                raise malformed("a field of HTTP/1.1's connections")  # §8.2.2
            headers.append(field)
        if cookies is not None:
            headers[cookie_at] = (_COOKIE, b"; ".join(cookies))
        head.http_version = "2"
        # §8.1: trailers need no leave.
        head.client_trailers = True
        head.headers = headers
        self._take_authority(head, authority, host)
        self._take_control_data(head, method, scheme, path, protocol, authority)
        if length is not None:
            head.content_length = parse_content_length(length)
            if head.content_length < 0 or (end_stream and head.content_length > 0):
                raise malformed("Content-Length is not that of the content")  # §8.1.1
        else:
            head.content_length = NO_CONTENT if end_stream else UNKNOWN_LENGTH
        return head

    def _take_authority(self, head: RequestHead, authority: bytes | None, host: bytes | None) -> None:
        """Let :authority be Host (§8.3.1)."""
        known = self._host
        value = host if authority is None else authority
        if value is None:
            raise malformed("neither :authority nor Host")
        if host is not None and authority is not None and host.lower() != authority.lower():
            raise malformed("Host differs from :authority")
        if value != known[1] or not value:
            if not value or value[0] == 0x3A or not is_authority(value):
                raise malformed("malformed authority")
            known = (_HOST, value)
            self._host = known
        head.authority = value
        head.headers.insert(0, known)

    def _take_control_data(
        self,
        head: RequestHead,
        method: bytes | None,
        scheme: bytes | None,
        path: bytes | None,
        protocol: bytes | None,
        authority: bytes | None,
    ) -> None:
        if method is None:
            raise malformed(":method is missing")
        name = _METHODS.get(method)
        if name is None:
            if not is_token(method):
                raise malformed("malformed :method")
            if len(method) > MAX_METHOD:
                raise RequestError(501, "method too long")
            name = method.decode("ascii")
        head.method = name
        if protocol is not None:
            # RFC 8441 §4
            if name != "CONNECT" or authority is None or not is_token(protocol):
                raise malformed(":protocol without CONNECT")
            head.protocol = protocol.lower()
        elif name == "CONNECT":
            # RFC 9113 §8.5
            if path is not None or scheme is not None or authority is None:
                raise malformed("CONNECT with :path or :scheme")
            head.target = authority
            # RFC 9110 §9.3.6: most origin servers do not implement it; §9.1, §15.6.2: then 501.
            raise RequestError(501, "CONNECT is not supported")
        if path is None or scheme is None:
            raise malformed(":path or :scheme is missing")
        if scheme != b"http" and scheme != b"https" and not is_token(scheme):
            raise malformed("malformed :scheme")
        self.scheme = scheme
        self._take_path(head, path)
        if protocol is not None and head.protocol != b"websocket":
            raise RequestError(501, "this :protocol is not supported")

    def _take_path(self, head: RequestHead, path: bytes) -> None:
        p = path
        n = len(path)
        table = _TARGET
        # RFC 9113 §8.3.1
        if (n == 0 or p[0] != 0x2F) and (path != b"*" or head.method != "OPTIONS"):
            raise malformed("malformed :path")
        if n > self._max_target:
            raise RequestError(414, "request target too long")
        question = -1
        encoded = False
        i = 0
        while i < n:
            kind = table[p[i]]
            if kind != 1:
                if kind == 0:
                    raise malformed("malformed :path")
                if question < 0:
                    if kind == 2:
                        question = i
                    else:
                        encoded = True
            i += 1
        head.target = raw = path
        if question >= 0:
            raw = p[:question]
            head.query_string = p[question + 1 : n]
        head.raw_path = raw
        head.path = decode_path(raw) if encoded else raw.decode("ascii")


def refused_head(fields: list[tuple[bytes, bytes]], max_target: int) -> RequestHead:
    """What can be told of a request, for the log, where `RequestReader.receive` did not make a head of its `fields`."""
    head = RequestHead()
    head.http_version = "2"
    for name, value in fields:
        if name == b":method" and is_token(value) and len(value) <= MAX_METHOD:
            head.method = value.decode("ascii")
        elif name == b":path" and len(value) <= max_target and all(_TARGET[octet] for octet in value):
            head.target = value
            head.raw_path, _, head.query_string = value.partition(b"?")
            head.path = decode_path(head.raw_path)
        elif name == b":authority" and is_authority(value):
            head.authority = value
        elif name[:1] != b":":
            break
    if head.method == "CONNECT" and not head.target:
        head.target = head.authority  # RFC 9113 §8.5
    return head


def malformed(detail: str) -> StreamError:
    """What a malformed message is answered with (RFC 9113 §8.1.1)."""
    return StreamError(PROTOCOL_ERROR, detail)


def check_name(name: bytes) -> None:
    """Raise unless an unknown `name` is a token without capitals (RFC 9113 §8.2.1)."""
    p = name
    n = len(name)
    token = _TOKEN
    i = 0
    while i < n and token[p[i]] and (p[i] < 0x41 or p[i] > 0x5A):
        i += 1
    if i < n or n == 0:
        raise malformed("malformed field name")


def check_value(value: bytes) -> None:
    """Raise unless `value` may be a field's (RFC 9113 §8.2.1, RFC 9110 §5.5)."""
    p = value
    n = len(value)
    allowed = _VALUE
    i = 0
    while i < n and allowed[p[i]]:
        i += 1
    if i < n:
        raise malformed("control character in a field value")
    if n and (p[0] == 0x20 or p[0] == 0x09 or p[n - 1] == 0x20 or p[n - 1] == 0x09):
        raise malformed("white space around a field value")


def list_size(fields: list[tuple[bytes, bytes]]) -> int:
    """The size of a field section in octets, as RFC 9113 §6.5.2 counts it."""
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + FIELD_OVERHEAD
    return size


def receive_trailers(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A trailer section (RFC 9113 §8.1), less what cannot stand there. Raises StreamError where it is malformed."""
    trailers = []
    for field in fields:
        name, value = field
        kind = _KINDS.get(name, -1)
        check_value(value)
        if kind == -1:
            check_name(name)
        elif kind < PLAIN or kind == FORBIDDEN:
            raise malformed("a field that cannot be a trailer")
        # RFC 9110 §6.5.1
        if name not in _FORBIDDEN_TRAILERS:
            trailers.append(field)
    return trailers
