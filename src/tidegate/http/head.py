"""The heads of a request and of a response, in any HTTP version (RFC 9110 §6)."""

# `RequestHead.content_length` where the request has no content, and where its length is not known beforehand.
NO_CONTENT = -1
UNKNOWN_LENGTH = -2

# Methods that are looked up rather than checked: octets -> ASGI's form.
METHODS = {
    method.encode(): method
    for method in (
        *("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"),
    )
}
MAX_METHOD = 32  # octets
# ASGI's form; one object, which compares by its address.
HTTP_1_1 = "1.1"


class RequestHead:
    """A request's control data and header section, validated.

    `target` is the request target as received; `path` its percent-decoded path (UTF-8, invalid sequences
    replaced), `raw_path` and `query_string` its undecoded halves. `headers` is a list of (lower-case name,
    value) in the order received, with at most one `host`. `content_length` is a number of octets, NO_CONTENT
    or UNKNOWN_LENGTH. `protocol` is the lower-cased protocol that the client asks to switch to (an Upgrade
    that Connection names, or :protocol), else b"". `client_trailers` says that the client takes trailers (TE:
    trailers), `navigation` that a browser asks for a document (Sec-Fetch-Mode: navigate), `forwarded` that a
    proxy's field may be among the headers (True until somebody has looked).
    """

    __slots__ = (
        "authority",
        "client_trailers",
        "content_length",
        "expect_continue",
        "forwarded",
        "headers",
        "http_version",
        "keep_alive",
        "method",
        "navigation",
        "path",
        "protocol",
        "query_string",
        "raw_path",
        "target",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.path = ""
        self.raw_path = b""
        self.query_string = b""
        self.authority = b""
        self.http_version = "1.1"
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length = NO_CONTENT
        self.keep_alive = True
        self.expect_continue = False
        self.client_trailers = False
        self.forwarded = True
        self.navigation = False
        self.protocol = b""

    def field(self, name: bytes) -> bytes:
        """The value of the first field of this lower-case name; b"" where there is none."""
        for item in self.headers:
            key, value = item
            if key == name:
                return value
        return b""


class ResponseHead:
    """A response's status and header section, validated, with the hop-by-hop fields taken out (RFC 9110
    §7.6.1).

    `content_length` is a number of octets or UNKNOWN_LENGTH. `has_date` and `has_server` say that the
    application sent its own; `close` that it asked for the connection to close; `trailers` that a trailer
    section will follow.
    """

    __slots__ = ("close", "content_length", "fields", "has_date", "has_server", "status", "trailers")

    def __init__(self, status: int) -> None:
        self.status = status
        self.fields: list[tuple[bytes, bytes]] = []
        self.content_length = UNKNOWN_LENGTH
        self.has_date = False
        self.has_server = False
        self.close = False
        self.trailers = False
