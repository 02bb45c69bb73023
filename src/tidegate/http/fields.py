"""Field names, values and lists (RFC 9110 §5), and the fields that an application sends."""

from collections.abc import Iterable
from typing import Any

from tidegate.http.errors import ApplicationError
from tidegate.http.framing import parse_content_length
from tidegate.http.head import UNKNOWN_LENGTH, ResponseHead

_ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# 256-byte tables, indexed by an octet, 1 where it may stand.
TOKEN = bytes(c in b"!#$%&'*+-.^_`|~" + _ALPHANUMERIC for c in range(256))  # tchar: RFC 9110 §5.6.2
VALUE = bytes(c == 0x09 or (c >= 0x20 and c != 0x7F) for c in range(256))  # field-content, SP, HTAB: §5.5

# Canonical spellings of the names that are looked up, as received, rather than lower-cased each time.
_SPELLINGS = (
    b"Accept Accept-CH Accept-Charset Accept-Encoding Accept-Language Accept-Patch Accept-Ranges"
    b" Access-Control-Allow-Credentials Access-Control-Allow-Headers Access-Control-Allow-Methods"
    b" Access-Control-Allow-Origin Access-Control-Expose-Headers Access-Control-Max-Age"
    b" Access-Control-Request-Headers Access-Control-Request-Method Access-Control-Request-Private-Network"
    b" Age Allow Alt-Svc Authorization Baggage Cache-Control CF-Connecting-IP CF-Ray Clear-Site-Data"
    b" Connection Content-Disposition Content-Encoding Content-Language Content-Length Content-Location"
    b" Content-Range Content-Security-Policy Content-Security-Policy-Report-Only Content-Type Cookie"
    b" Cross-Origin-Embedder-Policy Cross-Origin-Opener-Policy Cross-Origin-Resource-Policy Date"
    b" Device-Memory DNT Early-Data ETag Expect Expires Forwarded From Host HTTP2-Settings HX-Request"
    b" Idempotency-Key If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive"
    b" Last-Event-ID Last-Modified Link Location Max-Forwards Mcp-Protocol-Version Mcp-Session-Id Origin"
    b" Permissions-Policy Ping-From Ping-To Pragma Prefer Priority Proxy-Authenticate Proxy-Authorization"
    b" Proxy-Connection Purpose Range Referer Referrer-Policy Report-To Retry-After RTT Save-Data Sec-CH-UA"
    b" Sec-CH-UA-Arch Sec-CH-UA-Bitness Sec-CH-UA-Full-Version Sec-CH-UA-Full-Version-List Sec-CH-UA-Mobile"
    b" Sec-CH-UA-Model Sec-CH-UA-Platform Sec-CH-UA-Platform-Version Sec-Fetch-Dest Sec-Fetch-Mode"
    b" Sec-Fetch-Site Sec-Fetch-User Sec-GPC Sec-Purpose Sec-WebSocket-Accept Sec-WebSocket-Extensions"
    b" Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version Server Server-Timing Service-Worker"
    b" Set-Cookie SourceMap Strict-Transport-Security TE Timing-Allow-Origin Traceparent Tracestate Trailer"
    b" Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Vary Via Warning WWW-Authenticate"
    b" X-API-Key X-Content-Type-Options X-Correlation-ID X-CSRF-Token X-CSRFToken X-Forwarded-For"
    b" X-Forwarded-Host X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Proto X-Frame-Options X-Process-Time X-Real-IP"
    b" X-Request-ID X-Requested-With X-XSS-Protection"
).split()

# A name as it is commonly spelt -> its lower-case form, always the same object: `is` compares known names.
KNOWN: dict[bytes, bytes] = {name.lower(): name.lower() for name in _SPELLINGS}
KNOWN.update({name: KNOWN[name.lower()] for name in _SPELLINGS})

# What proxies say of a request's origin; each begins with an x or an f.
FORWARDED_FIELDS = frozenset(
    b"x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-prefix forwarded".split()
)

_KNOWN = KNOWN
_CONNECTION = KNOWN[b"connection"]
_CONTENT_LENGTH = KNOWN[b"content-length"]
_DATE = KNOWN[b"date"]
_KEEP_ALIVE = KNOWN[b"keep-alive"]
_PROXY_CONNECTION = KNOWN[b"proxy-connection"]
_SERVER = KNOWN[b"server"]
_TE = KNOWN[b"te"]
_TRANSFER_ENCODING = KNOWN[b"transfer-encoding"]
_UPGRADE = KNOWN[b"upgrade"]

# Fields for framing, routing, request modifiers, authentication and response control, and those that say how
# to read the content, make no sense behind it (RFC 9110 §6.5.1).
FORBIDDEN_TRAILERS = frozenset(
    b"accept accept-charset accept-encoding accept-language age authorization cache-control connection"
    b" content-encoding content-language content-length content-location content-range content-type cookie"
    b" date expect expires forwarded host if-match if-modified-since if-none-match if-range"
    b" if-unmodified-since keep-alive location max-forwards pragma proxy-authenticate proxy-authorization"
    b" proxy-connection range retry-after set-cookie te trailer transfer-encoding upgrade vary via warning"
    b" www-authenticate x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip".split()
)


def is_token(value: bytes) -> bool:
    """Whether `value` is a token (RFC 9110 §5.6.2)."""
    p = value
    n = len(value)
    token = TOKEN
    i = 0
    while i < n and token[p[i]]:
        i += 1
    return i == n and n > 0


def list_members(value: bytes) -> list[bytes]:
    """The members, trimmed and lower-cased, of a list that holds no quoted string; empty ones are skipped
    (RFC 9110 §5.6.1.2)."""
    if b"," not in value:
        member = value.strip(b" \t").lower()
        return [member] if member else []
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def response_fields(head: ResponseHead, headers: Iterable[Iterable[bytes]]) -> None:
    """Fill `head` with an application's header section: any iterable of (name, value) iterables of bytes.

    Names are lower-cased, values trimmed, hop-by-hop fields dropped (RFC 9110 §7.6.1), a repeated equal
    Content-Length collapsed. Sets `content_length`, `close`, `has_date` and `has_server`.
    Raises ApplicationError, naming the field, for what must not go on the wire.
    """
    fields = head.fields
    if type(headers) is not list:
        headers = _iterable(headers)
    for item in headers:
        field = checked_field(item)
        name = field[0]
        if name is _CONTENT_LENGTH:
            length = parse_content_length(field[1])
            if length < 0:
                raise ApplicationError("header content-length must be a number of octets in decimal digits")
            if head.content_length != UNKNOWN_LENGTH:
                if head.content_length != length:
                    raise ApplicationError("header content-length was sent twice, with different values")
                continue
            head.content_length = length
        elif name is _DATE:
            head.has_date = True
        elif name is _SERVER:
            head.has_server = True
        elif name is _CONNECTION:
            if b"close" in list_members(field[1]):
                head.close = True
            continue
        elif (
            name is _TRANSFER_ENCODING
            or name is _KEEP_ALIVE
            or name is _UPGRADE
            or name is _PROXY_CONNECTION
            or name is _TE
        ):
            continue
        fields.append(field)


def trailer_fields(headers: Iterable[Iterable[bytes]]) -> list[tuple[bytes, bytes]]:
    """An application's trailer section, checked as `response_fields` does.

    Raises ApplicationError also for a field that cannot stand in trailers (RFC 9110 §6.5.1).
    """
    fields = []
    for item in _iterable(headers):
        field = checked_field(item)
        if field[0] in FORBIDDEN_TRAILERS:
            raise ApplicationError(f"header {field[0].decode()} cannot be sent as a trailer")
        fields.append(field)
    return fields


def link_fields(links: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """The Link fields of an early hint (RFC 8297), one per value. Raises ApplicationError."""
    return [checked_field((b"link", link)) for link in _iterable(links)]


def checked_field(item: Any) -> tuple[bytes, bytes]:
    """One (name, value) from an application: name lower-cased (and KNOWN's own object), value trimmed.

    Raises ApplicationError for anything but a token and a field value in bytes (RFC 9110 §5.1, §5.5).
    """
    if type(item) is tuple and len(item) == 2:
        key, content = item
    else:
        key, content = _pair(item)
    if type(key) is not bytes:
        key = _octets(key, "name", key)
    if type(content) is not bytes:
        content = _octets(content, "value", key)

    name = _KNOWN.get(key)
    if name is None:
        if not is_token(key):
            raise ApplicationError(f"header name {_shown(key)} is not a token")
        name = key.lower()
        name = _KNOWN.get(name, name)

    p = value = content
    n = len(value)
    allowed = VALUE
    i = 0
    while i < n and allowed[p[i]]:
        i += 1
    if i < n:
        raise ApplicationError(f"header {name.decode()} has a control character in its value")
    if n and (p[0] == 0x20 or p[0] == 0x09 or p[n - 1] == 0x20 or p[n - 1] == 0x09):
        value = value.strip(b" \t")
    return name, value


def _iterable(headers: Any) -> Any:
    try:
        return iter(headers)
    except TypeError:
        raise ApplicationError(f"headers must be an iterable, not {type(headers).__name__}") from None


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, (str, bytes, bytearray, memoryview)):
        try:
            pair = tuple(item)
        except TypeError:
            pass
        else:
            if len(pair) == 2:
                return pair
            raise ApplicationError(f"a header must be a (name, value) pair, not {len(pair)} items")
    raise ApplicationError(f"a header must be a (name, value) pair, not {type(item).__name__}")


def _octets(item: Any, part: str, name: Any) -> bytes:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    raise ApplicationError(f"header {_shown(name)}: its {part} must be bytes, not {type(item).__name__}")


def _shown(name: Any) -> str:
    """A name for an error message: escaped, and no longer than a log line bears."""
    return ascii(bytes(name) if isinstance(name, (bytearray, memoryview)) else name)[:80]
