"""Where a request that came without TLS is to be made again."""

from tidegate.http.errors import RequestError
from tidegate.http.head import RequestHead

HTTPS_PORT = 443


def https_location(head: RequestHead, port: int) -> tuple[tuple[bytes, bytes], ...]:
    """The Location field of the redirection to https at `port`. Raises RequestError.

    The host is the request's own, which is known to be one (RFC 9110 §7.2), without its port. The target is kept as it
    is: it begins with a slash, and can't become part of the authority.
    """
    authority = head.field(b"host")
    host, colon, after = authority.rpartition(b":")
    if not colon or not (after.isdigit() or not after):
        host = authority
    if not host or not head.raw_path.startswith(b"/"):
        raise RequestError(400, "The request names no host to be redirected to.")
    if port != HTTPS_PORT:
        host += b":%d" % port
    target = head.target
    if not target.startswith(b"/"):  # the absolute form
        target = head.raw_path + (b"?" + head.query_string if head.query_string else b"")
    return ((b"location", b"https://" + host + target),)
