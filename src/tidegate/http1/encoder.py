"""Response heads, chunks and trailer sections in HTTP/1.1's form (RFC 9112 §4, §6, §7.1)."""

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import RequestError
from tidegate.http.head import ResponseHead
from tidegate.http.status import REASONS

# RFC 9112 §4: the space before an empty reason phrase stays.
STATUS_LINES = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"")) for status in range(100, 1000)
}


def encode_head(head: ResponseHead, framing: bytes, defaults: ResponseDefaults) -> bytes:
    """The final response's head. `framing` holds the complete lines that HTTP/1.1 itself needs."""
    parts: list[bytes] = [STATUS_LINES[head.status]]
    for name, value in head.fields:
        parts.append(name)
        parts.append(b": ")
        parts.append(value)
        parts.append(b"\r\n")
    if defaults.extra:
        sent = {name.lower() for name, value in head.fields}
        for name, value in defaults.extra:
            if name.lower() not in sent:
                parts.append(b"%b: %b\r\n" % (name, value))
    parts.append(framing)
    parts.append(defaults.lines(head.has_date, head.has_server))
    parts.append(b"\r\n")
    return b"".join(parts)


def encode_interim(status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
    """An interim response (RFC 9110 §15.2)."""
    lines = b"".join([b"%b: %b\r\n" % (name, value) for name, value in fields])
    return b"%b%b\r\n" % (STATUS_LINES[status], lines)


def encode_trailers(fields: list[tuple[bytes, bytes]]) -> bytes:
    """The last chunk and the trailer section (RFC 9112 §7.1)."""
    lines = b"".join([b"%b: %b\r\n" % (name, value) for name, value in fields])
    return b"0\r\n%b\r\n" % lines


def encode_error(error: RequestError, with_content: bool, defaults: ResponseDefaults) -> bytes:
    """A whole answer to a request that goes no further; the connection closes behind it."""
    head = ResponseHead(error.status)
    content = error.content
    head.fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(content)),
        *error.fields,
    ]
    return encode_head(head, b"connection: close\r\n", defaults) + (content if with_content else b"")
