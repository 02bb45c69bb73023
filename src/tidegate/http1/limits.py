"""What an HTTP/1.1 connection lets its client do (RFC 9112 leaves it to the server)."""


class H1Limits:
    """A connection's limits, in octets, counts and seconds. `max_content` is -1 for none."""

    __slots__ = (
        "body_rate",
        "body_window",
        "head_timeout",
        "idle_timeout",
        "keep_alive_timeout",
        "max_content",
        "max_drain",
        "max_fields",
        "max_head",
        "max_pipelined",
        "max_request_line",
        "max_trailers",
        "max_unread",
        "shutdown_idle",
    )

    def __init__(
        self,
        *,
        max_request_line: int = 8192,
        max_head: int = 65536,
        max_fields: int = 100,
        max_content: int = -1,
        max_trailers: int = 8192,
        max_pipelined: int = 16,
        max_unread: int = 65536,
        max_drain: int = 65536,
        idle_timeout: float = 75.0,
        keep_alive_timeout: float = 75.0,
        head_timeout: float = 30.0,
        body_rate: float = 240.0,
        body_window: float = 30.0,
        shutdown_idle: float = 2.0,
    ) -> None:
        self.max_request_line = max_request_line
        self.max_head = max_head
        self.max_fields = max_fields
        self.max_content = max_content
        self.max_trailers = max_trailers
        self.max_pipelined = max_pipelined
        self.max_unread = max_unread
        self.max_drain = max_drain
        self.idle_timeout = idle_timeout
        self.keep_alive_timeout = keep_alive_timeout
        self.head_timeout = head_timeout
        self.body_rate = body_rate
        self.body_window = body_window
        self.shutdown_idle = shutdown_idle
