"""The server's configuration: frozen dataclasses, validated once, when they are built.

Every option is written once, here, on its field: name, default, kind (type and validation), help and group.
The command line, the TIDEGATE_* environment, the TOML file and docs/settings.md are all derived from these
fields by `tidegate.cli.options`.
"""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from tidegate.config.option import (
    Choice,
    ConfigError,
    FieldName,
    Flag,
    ForwardedField,
    HeaderField,
    ImportString,
    Integer,
    Kind,
    Number,
    Octal,
    Option,
    Seconds,
    Section,
    Size,
    Text,
    TrustedPeer,
    did_you_mean,
    option,
    option_of,
)
from tidegate.config.tls import TLS

__all__ = [
    "OPTIONS",
    "SECTIONS",
    "TLS",
    "Bind",
    "Config",
    "ConfigError",
    "Limits",
    "Logging",
    "Option",
    "Proxies",
    "Timeouts",
    "WebSockets",
    "Workers",
]

ADDRESS_FORMS: Final = "HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N"
PROXY_PROTOCOLS: Final = ("off", "v1", "v2", "any")
_PROXY_PROTOCOL_SUFFIX: Final = "?proxy-protocol="
Scheme = Literal["", "http", "https", "redirect"]
SCHEMES: Final[dict[str, Scheme]] = {"http": "http", "https": "https", "redirect": "redirect"}


class Address(Kind):
    """A `Bind`, as text: HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N, behind http://, https:// or redirect://.

    In TOML also as a table: that text as `address`, with options of TLS that hold for this address alone.
    """

    metavar = "ADDRESS"

    def parse(self, text: str) -> "Bind":
        return Bind.parse(text)

    def convert(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        settings = {}
        for key, setting in value.items():
            if key != "address":
                settings[key.replace("-", "_")] = setting
        if not isinstance(value.get("address"), str):
            raise ValueError(f"{value!r} has no address: give address = {ADDRESS_FORMS}")
        known = {option.name: (option, name) for name, option in _tls_options()}
        own = []
        for name, setting in settings.items():
            if name not in known:
                key = name.replace("_", "-")
                close = did_you_mean(key, (option.key for option, _ in known.values()))
                raise ValueError(f'"{key}" is not an option of an address{close or ": give those of TLS"}')
            option, attribute = known[name]
            try:
                own.append((attribute, option.read(setting)))
            except ValueError as error:
                raise ValueError(f"{option.key}: {error}") from None
        return dataclasses.replace(Bind.parse(value["address"]), tls=tuple(own))

    def check(self, value: Any) -> None:
        if not isinstance(value, Bind):
            raise ValueError(f"{value!r} is not an address: give {ADDRESS_FORMS}")


@dataclass(frozen=True, slots=True)
class Bind(Section):
    """One address to listen on: `host` and `port` where `kind` is tcp, `path` where unix, `fd` where fd.

    `scheme` is what is spoken there: http, https, or redirect, which sends clients to https; where it is empty, https
    if there is a certificate, else http. `tls` has fields of `TLS` that are this address's own, and their values.
    `proxy_protocol` is this address's own, or empty for `--proxy-protocol`; as text it stands behind the address:
    HOST:PORT?proxy-protocol=v2.
    Its options are the shorthands for a single address.
    """

    group = "Binding"

    kind: Literal["tcp", "unix", "fd"] = "tcp"
    host: str = option(
        "127.0.0.1",
        Text("HOST", r"[^\s\x00\[\]/]+", "a host name or an IP address, such as 0.0.0.0 or ::"),
        "Listen on this host name or IP address; `::` takes IPv4 too.",
    )
    port: int = option(8000, Integer(0, 65535), "Listen on this port; 0 takes a free one and prints it.")
    path: str = option("", Text("PATH"), "Listen on a Unix socket at this path.", name="uds")
    fd: int = option(-1, Integer(-1), "Listen on this inherited file descriptor, a bound socket.")
    proxy_protocol: str = ""
    scheme: Scheme = ""
    tls: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        # Named, since the zero-argument form looks for the class that slots=True replaced.
        Section.__post_init__(self)
        if self.kind not in ("tcp", "unix", "fd"):
            raise ConfigError(f"kind: {self.kind!r} is not a kind of address: give tcp, unix or fd")
        if self.proxy_protocol and self.proxy_protocol not in PROXY_PROTOCOLS:
            raise ConfigError(
                f"proxy_protocol: {self.proxy_protocol!r} is not a choice: give {' or '.join(PROXY_PROTOCOLS)}"
            )
        if self.scheme and self.scheme not in SCHEMES:
            raise ConfigError(f"scheme: {self.scheme!r} is not known: give {' or '.join(SCHEMES)}")
        if self.kind == "unix" and not self.path:
            raise ConfigError("uds: the path is empty: give the path of the Unix socket")
        if (
            self.kind == "unix" and len(os.fsencode(self.path)) > 107
        ):  # unix(7): sun_path is 108 octets, NUL included
            raise ConfigError(
                f"uds: {self.path!r} is longer than the 107 octets that a Unix socket's path may have"
            )
        if self.kind == "fd" and self.fd < 0:
            raise ConfigError("fd: the descriptor is missing: give its number, 0 or more")

    @classmethod
    def parse(cls, text: str) -> "Bind":
        """The address in `text`, as `Address` describes it. Raises ValueError."""
        text = text.strip()
        before, separator, rest = text.partition("://")
        if separator and before in SCHEMES:
            return dataclasses.replace(cls.parse(rest), scheme=SCHEMES[before])
        try:
            before, separator, version = text.rpartition(_PROXY_PROTOCOL_SUFFIX)
            if separator:
                return dataclasses.replace(cls.parse(before), proxy_protocol=version)
            if text.startswith("unix:"):
                return cls(kind="unix", path=text.removeprefix("unix:"))
            if text.startswith("fd://"):
                return cls(kind="fd", fd=Integer().parse(text.removeprefix("fd://")))
            host, _, port = text.rpartition(":")
            if not host:
                raise ValueError(
                    f"{text!r} has no host or no port: give {ADDRESS_FORMS}, such as 0.0.0.0:8000"
                )
            if host.startswith("[") and host.endswith("]"):
                host = host[1:-1]
            elif ":" in host:
                raise ValueError(
                    f"{text!r} is ambiguous: write an IPv6 address in brackets, such as [::1]:8000"
                )
            return cls(host=host, port=Integer(0, 65535).parse(port))
        except ConfigError as error:
            raise ValueError(str(error).partition(": ")[2]) from None

    @property
    def address(self) -> str:
        """Where it listens, without the scheme."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd://{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        text = f"{self.scheme}://{self.address}" if self.scheme else self.address
        return f"{text}{_PROXY_PROTOCOL_SUFFIX}{self.proxy_protocol}" if self.proxy_protocol else text


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


class WorkerCount(Integer):
    """A number of worker processes; 0 is as many as this process may use processors: `auto`."""

    metavar = "NUMBER|auto"

    def __init__(self) -> None:
        super().__init__(0, 1024)

    def parse(self, text: str) -> int:
        return 0 if text.strip().lower() == "auto" else super().parse(text)

    def format(self, value: int) -> str:
        return str(value) if value else "auto"

    @property
    def range(self) -> str:
        return f"1 to {self.maximum}, or auto"


@dataclass(frozen=True, slots=True)
class Workers(Section):
    """The processes that a supervisor starts, watches and replaces."""

    group = "Processes"

    count: int | None = option(
        None,
        WorkerCount(),
        "Serve with so many worker processes; `auto` is one for each processor.",
        name="workers",
        none="off",
    )
    preload: bool = option(
        False, Flag(), "Import the application once, in a fork server, and fork the workers from it."
    )
    requests: int | None = option(
        None,
        Integer(1),
        "Replace a worker that has begun about so many requests.",
        name="recycle_requests",
        none="off",
        aliases=("limit_max_requests", "max_requests"),
    )
    age: float | None = option(
        None, Seconds(above=True), "Replace a worker that is this old.", name="recycle_age", none="off"
    )
    memory: int | None = option(
        None,
        Size(2**20),
        "Replace a worker whose resident memory is larger than this.",
        name="recycle_memory",
        none="off",
    )
    jitter: float = option(
        0.1,
        Number(0.0, 1.0),
        "Share by which a worker's own limits may lie, at random, below --recycle-*.",
        name="recycle_jitter",
    )
    boot: float | None = option(
        None,
        Seconds(above=True),
        "End a worker that has not come up in this time.",
        name="timeout_boot",
        none="off",
    )
    stall_log: float = option(
        5.0,
        Seconds(above=True),
        "Log the stacks of a worker whose event loop has not turned for this long.",
        name="timeout_stall_log",
    )
    stall: float = option(
        30.0,
        Seconds(above=True),
        "Replace a worker whose event loop has not turned for this long.",
        name="timeout_stall",
    )
    pid_file: str | None = option(
        None, Text("FILE"), "Write the supervisor's process id to this file.", none="none"
    )
    user: str | None = option(None, Text("USER"), "Run the workers as this user, a name or id.", none="none")
    group_name: str | None = option(
        None,
        Text("GROUP"),
        "Run the workers as this group, a name or id; by default the user's.",
        name="group",
        none="none",
    )
    umask: int | None = option(
        None, Octal(), "File mode creation mask of the workers, in octal.", none="none"
    )


@dataclass(frozen=True, slots=True)
class WebSockets(Section):
    """WebSockets: sizes in octets, times in seconds."""

    group = "WebSockets"
    prefix = "ws_"

    max_size: int = option(
        16 * 2**20, Size(1, 2**40), "Largest message, after inflation; a larger one closes with 1009."
    )
    max_frames: int = option(
        131_072, Integer(1, 2**31), "Most fragments of one message; more of them close with 1008."
    )
    max_empty_frames: int = option(
        1000, Integer(0, 2**31), "Most empty fragments of one message; more of them close with 1008."
    )
    max_queue: int = option(
        32, Integer(1, 2**31), "Unread messages at which reading from a WebSocket pauses."
    )
    max_queue_size: int = option(
        65536, Size(1, 2**40), "Octets of unread messages at which reading from a WebSocket pauses."
    )
    ping_interval: float | None = option(
        20.0, Seconds(above=True), "Ping a client that sent nothing for this long.", none="off"
    )
    ping_timeout: float | None = option(
        20.0,
        Seconds(above=True),
        "Give up a client that sends nothing for this long after a ping.",
        none="off",
    )
    close_timeout: float = option(
        10.0, Seconds(above=True), "Wait this long for the other side, once one side has closed."
    )
    handshake_timeout: float | None = option(
        60.0,
        Seconds(above=True),
        "Give the application this long to accept a WebSocket; then 503.",
        none="off",
    )
    per_message_deflate: bool = option(True, Flag(), "Agree to compress messages (permessage-deflate).")
    deflate_takeover: bool = option(
        False,
        Flag(),
        "Compress messages by what is in those before: they are smaller, for 32 KiB and more time a socket.",
    )
    deflate_window_bits: int = option(
        12, Integer(9, 15), "Window of the compression, as a power of 2: memory for each socket against size."
    )
    deflate_mem_level: int = option(5, Integer(1, 9), "zlib's memory level of the compression.")
    deflate_level: int = option(2, Integer(0, 9), "zlib's level of the compression.")
    deflate_min_text: int = option(128, Size(), "Smallest text message that is compressed.")
    deflate_min_binary: int = option(
        1024, Size(), "Smallest binary message that is compressed; it often is so already."
    )


@dataclass(frozen=True, slots=True)
class Proxies(Section):
    """Whose word is taken for where a request comes from."""

    group = "Proxies"

    headers: bool = option(True, Flag(), "Believe trusted proxies' --forwarded-fields.", name="proxy_headers")
    trusted: tuple[str, ...] = option(
        ("127.0.0.1",),
        TrustedPeer(),
        "Trust the proxies at this address or network, at Unix sockets (`unix`), or everywhere (`*`).",
        name="forwarded_allow_ips",
        repeatable=True,
    )
    fields: tuple[str, ...] = option(
        ("x-forwarded-for", "x-forwarded-proto"),
        ForwardedField(
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "forwarded",
        ),
        "Fields to believe: x-forwarded-for, -proto, -host, -port, -prefix, forwarded; only those your proxies set.",
        name="forwarded_fields",
        repeatable=True,
    )
    protocol: str = option(
        "off",
        Choice(*PROXY_PROTOCOLS),
        "Connections begin with a PROXY header of this version, from trusted proxies alone.",
        name="proxy_protocol",
    )

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if "forwarded" in self.fields:
            both = [name for name in self.fields if name not in ("forwarded", "x-forwarded-prefix")]
            if both:
                # A proxy that writes the one passes on what its client wrote in the other.
                raise ConfigError(
                    f"forwarded_fields: forwarded and {both[0]} say the same: give what your proxies write"
                )


@dataclass(frozen=True, slots=True)
class Logging(Section):
    """What is logged, and how."""

    group = "Logging"

    level: str = option(
        "info",
        Choice("critical", "error", "warning", "info", "debug", "trace"),
        "Least severe level that is logged.",
        name="log_level",
    )
    config: str | None = option(
        None,
        Text("FILE"),
        "Configure logging from this file: JSON, TOML or YAML by its suffix, else INI.",
        name="log_config",
        none="none",
    )
    access_log: bool = option(True, Flag(), "Log each request when it is complete.")
    format: str = option(
        "text", Choice("text", "json"), "Write log lines as text or as JSON.", name="log_format"
    )
    template: str = option(
        '{client} "{method} {target} HTTP/{version}" {status} {bytes} {ttfb} {duration} {request_id}',
        Text("TEMPLATE"),
        "Line of the access log, with named atoms.",
        name="access_log_template",
    )
    websocket_template: str = option(
        '{client} "{method} {target} HTTP/{version}" {status} closed={close_code}'
        " received={messages_received}/{bytes_received} sent={messages_sent}/{bytes} {duration} {request_id}",
        Text("TEMPLATE"),
        "The same for a WebSocket, when it is closed: messages and octets of frames each way.",
        name="access_log_websocket_template",
    )
    use_colors: bool | None = option(
        None, Flag(), "Colour the log; by default on a terminal only.", none="auto"
    )
    request_id_header: str | None = option(
        "x-request-id",
        FieldName(),
        "Take a request's id from this header field, where it is well-formed.",
        none="none",
    )


@dataclass(frozen=True, slots=True)
class Config(Section):
    """Everything that the server can be told. Raises ConfigError."""

    group = "Application"

    app: str | None = option(
        None,
        ImportString(),
        "The application, as module:attribute.",
        none="none",
    )
    app_dir: str = option(
        ".", Text("DIR"), "Look for the application in this directory, before the rest of sys.path."
    )
    factory: bool = option(False, Flag(), "Call the attribute, without arguments, to get the application.")
    interface: str = option(
        "auto", Choice("auto", "asgi3", "asgi2", "wsgi"), "The interface that the application speaks."
    )
    lifespan: str = option(
        "auto",
        Choice("auto", "on", "off"),
        "Run the application's lifespan; `auto` goes on without, where the application has none.",
    )
    loop: str = option(
        "auto", Choice("auto", "uvloop", "asyncio"), "The event loop; `auto` takes uvloop where it is."
    )
    env_file: str | None = option(
        None, Text("FILE"), "Set environment variables for the application from this .env file.", none="none"
    )
    root_path: str = option(
        "",
        Text("PATH", r"(?:/[^\x00?#]*[^\x00?#/])?", "a path that starts with / and does not end with it"),
        "Path below which the application is mounted, as ASGI's root_path.",
    )
    wsgi_threads: int = option(40, Integer(1, 10_000), "Threads that run a WSGI application.")
    cancel_on_disconnect: float | None = option(
        None, Seconds(), "Cancel an application this long after its client has gone.", none="off"
    )

    binds: tuple[Bind, ...] = option(
        (Bind(),),
        Address(),
        f"Listen on this address: {ADDRESS_FORMS}; https:// or http:// before it says what is spoken there.",
        name="bind",
        repeatable=True,
        group="Binding",
    )
    backlog: int = option(
        2048, Integer(1, 65535), "Connections that the kernel keeps until they are accepted.", group="Binding"
    )

    server_header: bool = option(True, Flag(), "Send the Server field.", group="HTTP")
    date_header: bool = option(True, Flag(), "Send the Date field.", group="HTTP")
    headers: tuple[tuple[bytes, bytes], ...] = option(
        (),
        HeaderField(),
        "Send this field with every response.",
        name="header",
        repeatable=True,
        group="HTTP",
    )
    early_hints_http1: str = option(
        "navigate",
        Choice("all", "navigate", "off"),
        "Who is offered 103 Early Hints over HTTP/1.1; `navigate` is browsers that open a page.",
        group="HTTP",
    )

    http2: bool = option(True, Flag(), "Speak HTTP/2.", group="HTTP")
    h2c: bool = option(
        True,
        Flag(),
        "Speak HTTP/2 without TLS too, to clients that begin with it (prior knowledge).",
        group="HTTP",
    )

    reload: bool = option(
        False,
        Flag(),
        "Start the application anew when its files change (for development).",
        group="Development",
    )
    reload_dirs: tuple[str, ...] = option(
        (),
        Text("DIR"),
        "Watch this directory, rather than --app-dir.",
        name="reload_dir",
        repeatable=True,
        group="Development",
    )
    reload_includes: tuple[str, ...] = option(
        ("*.py",),
        Text("GLOB"),
        "Files to watch.",
        name="reload_include",
        repeatable=True,
        group="Development",
    )
    reload_excludes: tuple[str, ...] = option(
        (),
        Text("GLOB"),
        "Files and directories not to watch.",
        name="reload_exclude",
        repeatable=True,
        group="Development",
    )

    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    workers: Workers = field(default_factory=Workers)
    websockets: WebSockets = field(default_factory=WebSockets)
    proxies: Proxies = field(default_factory=Proxies)
    logging: Logging = field(default_factory=Logging)
    tls: TLS = field(default_factory=TLS)

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if not self.binds:
            raise ConfigError(f"bind: there is no address to listen on: give {ADDRESS_FORMS}")
        for bind in self.binds:
            if self.scheme_of(bind) == "https" and not self.tls_of(bind).certfile:
                raise ConfigError(f"bind: {bind} has no certificate: give --ssl-certfile")
            if bind.scheme == "redirect" and self.tls.redirect_port is None and not self._https_port():
                raise ConfigError(
                    f"bind: {bind} leads nowhere: give an https:// address, or --ssl-redirect-port"
                )
        taken = [
            bind.address for bind in self.binds if bind.kind != "tcp" or bind.port
        ]  # port 0 may come twice
        if any(name == b"server" for name, _ in self.headers):
            object.__setattr__(self, "server_header", False)  # the operator's own takes its place
        for address in taken:
            if taken.count(address) > 1:
                raise ConfigError(f"bind: {address} is there twice: leave one out")
        if not self.proxies.trusted and any(self.proxy_protocol_of(bind) != "off" for bind in self.binds):
            raise ConfigError("proxy_protocol: nobody is trusted to use it: give --forwarded-allow-ips")

    def proxy_protocol_of(self, bind: Bind) -> str:
        """The version of the PROXY protocol that is spoken at this address."""
        return bind.proxy_protocol or self.proxies.protocol

    def tls_of(self, bind: Bind) -> TLS:
        """The settings of TLS at this address. Raises ConfigError."""
        return dataclasses.replace(self.tls, **dict(bind.tls)) if bind.tls else self.tls

    def scheme_of(self, bind: Bind) -> str:
        """http, https or redirect: what is spoken at this address."""
        return bind.scheme or ("https" if self.tls_of(bind).certfile else "http")

    def _https_port(self) -> bool:
        return any(self.scheme_of(bind) == "https" and bind.kind != "unix" for bind in self.binds)


SECTIONS: Final[dict[str, type[Any]]] = {
    "limits": Limits,
    "timeouts": Timeouts,
    "workers": Workers,
    "websockets": WebSockets,
    "proxies": Proxies,
    "logging": Logging,
    "tls": TLS,
}
"""What `Config` holds beside its own options, by attribute."""


def _tls_options() -> Iterator[tuple[str, Option]]:
    for declared in fields(TLS):
        yield declared.name, option_of(TLS, declared, ("tls",))


def _options() -> Iterator[Option]:
    for declared in fields(Config):
        if "option" in declared.metadata:
            yield option_of(Config, declared)
        if declared.name == "binds":
            yield from (
                option_of(Bind, each, ("binds",)) for each in fields(Bind) if "option" in each.metadata
            )
    for name, section in SECTIONS.items():
        yield from (option_of(section, declared, (name,)) for declared in fields(section))


OPTIONS: Final[dict[str, Option]] = {each.name: each for each in _options()}
"""Every option by its flat name, in the order in which they are shown."""
