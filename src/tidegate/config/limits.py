"""How much the server takes, and for how long it waits."""

from dataclasses import dataclass

from tidegate.config.option import Integer, Number, Seconds, Section, Size, Text, option


@dataclass(frozen=True, slots=True)
class Limits(Section):
    """Counts, and sizes in octets. None is unlimited."""

    group = "Limits"
    prefix = "limit_"

    request_line: int = option(8192, Size(16, 2**20), "Longest request line; a longer one is answered 414.")
    head: int = option(
        65536,
        Size(128, 2**24),
        "Largest header section, request line included; a larger one is answered 431.",
        aliases=("h11_max_incomplete_event_size",),
    )
    fields: int = option(100, Integer(1, 65536), "Most header fields in a request; more are answered 431.")
    body: int | None = option(
        None, Size(), "Largest request body; a larger one is answered 413.", none="unlimited"
    )
    trailers: int = option(8192, Size(0, 2**24), "Largest trailer section of a request.")
    pipelined: int = option(
        16, Integer(1, 65536), "Most requests that wait for their turn on one connection."
    )
    connections: int = option(
        10_000,
        Integer(1),
        "Most open connections; at the limit the one that was idle longest is closed, then accepting pauses.",
    )
    concurrency: int | None = option(
        None, Integer(1), "Most requests in the application at once; more are answered 503.", none="unlimited"
    )
    queue_delay: float | None = option(
        None,
        Number(0.005, 60.0),
        "In an overload, answer 503 to requests that waited longer than this many seconds for the event loop.",
        none="off",
    )
    queue_delay_interval: float = option(
        0.1,
        Number(0.01, 60.0),
        "Overload is when all requests waited longer than --limit-queue-delay for so many seconds.",
    )
    exempt: tuple[str, ...] = option(
        (),
        Text("PATH", r"/[^\x00?#]*", "a path, such as /healthz"),
        "Serve requests for this path beyond --limit-concurrency and --limit-queue-delay.",
        repeatable=True,
    )
    read_buffer: int = option(
        65536, Size(1024, 2**30), "Unread body at which reading from a connection pauses."
    )
    write_buffer: int = option(
        65536, Size(1024, 2**30), "Unsent octets at which the application's send() waits."
    )
    drain: int = option(
        65536,
        Size(0, 2**30),
        "Most of a body the application left unread that is read to keep the connection.",
    )
    h2_streams: int = option(100, Integer(1, 65536), "Most concurrent requests on one HTTP/2 connection.")
    h2_frame: int = option(16384, Size(16384, 2**20), "Largest HTTP/2 frame that is taken.")
    h2_window: int = option(
        65535,
        Size(1, 2**31 - 1),
        "Unread body that an HTTP/2 client may send for one request, to begin with.",
    )
    h2_max_window: int = option(
        2**20,
        Size(1, 2**31 - 1),
        "The same, for a client that sends fast and an application that reads as fast.",
    )
    h2_connection_window: int = option(
        4 * 2**20,
        Size(65535, 2**31 - 1),
        "What an HTTP/2 client may send at once on one connection, and the most that its windows grow together.",
    )
    h2_resets: int = option(
        500, Integer(1), "Most HTTP/2 requests that a client may cancel, or break, in 10 seconds."
    )
    h2_control: int = option(
        2000,
        Integer(100),
        "Most HTTP/2 frames of no use (as PING and SETTINGS) in 10 seconds, beyond those that requests need.",
    )


@dataclass(frozen=True, slots=True)
class Timeouts(Section):
    """Seconds, but for `min_body_rate`, which is octets per second."""

    group = "Timeouts"
    prefix = "timeout_"

    idle: float = option(75.0, Seconds(above=True), "Close a connection that sent nothing for this long.")
    keep_alive: float = option(75.0, Seconds(above=True), "Close a connection that is idle between requests.")
    keep_alive_busy: float = option(
        10.0, Seconds(above=True), "Both of these, while more than 80 % of --limit-connections are open."
    )
    head: float = option(
        30.0,
        Seconds(above=True),
        "Time from a request's first byte to the end of its header section; then 408.",
    )
    min_body_rate: float = option(
        240.0,
        Number(0.0, 1e12),
        "Slowest request body, in octets per second, while the server waits for it; 0 is no limit.",
        name="min_body_rate",
    )
    body_rate_window: float = option(
        30.0, Seconds(above=True), "Time over which --min-body-rate is averaged.", name="body_rate_window"
    )
    proxy_header: float = option(
        5.0, Seconds(above=True), "Close a connection whose PROXY header is not whole by then."
    )
    write: float = option(
        60.0, Seconds(above=True), "Cut a connection whose peer takes nothing for this long."
    )
    linger: float = option(
        2.0, Seconds(), "Discard input after the last answer for this long, so that a reset does not eat it."
    )
    h2_settings: float = option(
        10.0, Seconds(above=True), "Time for an HTTP/2 client's preface, and for it to acknowledge ours."
    )
    h2_ping: float | None = option(
        30.0,
        Seconds(above=True),
        "Ping an HTTP/2 client that has open requests, and sends nothing.",
        none="off",
    )
    h2_ping_answer: float = option(
        20.0, Seconds(above=True), "Time for the answer to such a ping; then the connection is cut."
    )
    graceful_shutdown: float = option(
        15.0,
        Seconds(),
        "On shutdown, wait this long for answers in flight; then applications see a disconnect.",
    )
    shutdown_idle: float = option(
        2.0, Seconds(), "On shutdown, leave idle connections this long for one more request."
    )
    shutdown_cancel: float = option(
        5.0, Seconds(), "Cancel what still runs this long after --timeout-graceful-shutdown."
    )
    lifespan_shutdown: float = option(
        5.0, Seconds(), "Wait this long for the application's lifespan shutdown."
    )
