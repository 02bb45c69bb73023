"""The limits of an HTTP/2 connection."""


class H2Limits:
    """A connection's limits, in octets, counts and seconds. `max_content` is -1 for none; 0 `ping_interval` for none.

    `window` is what a stream's client may send ahead of the application; it grows with the stream's rate up to
    `max_window`, those of all streams together by no more than `connection_window`. `max_resets` and `max_control`
    (frames of no use) are per 10 seconds.
    """

    __slots__ = (
        "body_rate",
        "body_window",
        "connection_window",
        "head_timeout",
        "idle_timeout",
        "max_content",
        "max_control",
        "max_fields",
        "max_frame",
        "max_header_list",
        "max_resets",
        "max_streams",
        "max_target",
        "max_trailers",
        "max_window",
        "ping_interval",
        "ping_timeout",
        "settings_timeout",
        "shutdown_idle",
        "window",
        "write_buffer",
        "write_timeout",
    )

    def __init__(
        self,
        *,
        max_streams: int = 100,
        max_header_list: int = 65536,
        max_fields: int = 100,
        max_target: int = 8192,
        max_content: int = -1,
        max_trailers: int = 8192,
        max_frame: int = 16384,
        window: int = 65535,
        max_window: int = 1 << 20,
        connection_window: int = 4 << 20,
        write_buffer: int = 65536,
        max_resets: int = 500,
        max_control: int = 2000,
        settings_timeout: float = 10.0,
        head_timeout: float = 30.0,
        idle_timeout: float = 75.0,
        ping_interval: float = 30.0,
        ping_timeout: float = 20.0,
        write_timeout: float = 60.0,
        body_rate: float = 240.0,
        body_window: float = 30.0,
        shutdown_idle: float = 2.0,
    ) -> None:
        self.max_streams = max_streams
        self.max_header_list = max_header_list
        self.max_fields = max_fields
        self.max_target = max_target
        self.max_content = max_content
        self.max_trailers = max_trailers
        self.max_frame = max_frame
        self.window = window
        self.max_window = max_window
        self.connection_window = connection_window
        self.write_buffer = write_buffer
        self.max_resets = max_resets
        self.max_control = max_control
        self.settings_timeout = settings_timeout
        self.head_timeout = head_timeout
        self.idle_timeout = idle_timeout
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.write_timeout = write_timeout
        self.body_rate = body_rate
        self.body_window = body_window
        self.shutdown_idle = shutdown_idle
