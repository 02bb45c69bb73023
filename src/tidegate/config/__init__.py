"""The server's configuration: frozen dataclasses, validated once, when they are built.

Every option is written once, here, on its field: name, default, kind (type and validation), help and group.
The command line, the TIDEGATE_* environment, the TOML file and docs/settings.md are all derived from these
fields by `tidegate.cli.options`.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

from tidegate.config.bind import ADDRESS_FORMS, PROXY_PROTOCOLS, Address, Bind
from tidegate.config.edge import Edge
from tidegate.config.limits import Limits, Timeouts
from tidegate.config.observability import Observability
from tidegate.config.option import (
    Choice,
    ConfigError,
    FieldName,
    Flag,
    ForwardedField,
    HeaderField,
    ImportString,
    Integer,
    Number,
    Option,
    Seconds,
    Section,
    Size,
    Text,
    TrustedPeer,
    option,
    option_of,
)
from tidegate.config.tls import TLS
from tidegate.config.workers import Workers

__all__ = [
    "OPTIONS",
    "SECTIONS",
    "TLS",
    "Bind",
    "Config",
    "ConfigError",
    "Edge",
    "Limits",
    "Logging",
    "Observability",
    "Option",
    "Proxies",
    "Timeouts",
    "WebSockets",
    "Workers",
]


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
    deflate_level: int = option(2, Integer(0, 9), "Level of the compression, as zlib's; 0 stores.")
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
    access_log_sample: float = option(
        1.0,
        Number(0.0, 1.0),
        "Log this share of the requests, such as 0.01; those that end with 5xx, or without an answer, always.",
    )
    access_log_exclude: tuple[str, ...] = option(
        (),
        Text("PATH", r"/[^\s?#]*", "a path, such as /healthz"),
        "Do not log requests for this path; nor those below it where it ends with a slash.",
        repeatable=True,
    )
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
    wsgi_read_ahead: int = option(
        2**20,
        Size(0, 2**30),
        "Request body that is read before a WSGI application gets a thread for it; in all 64 times this.",
    )
    cancel_on_disconnect: float | None = option(
        None,
        Seconds(),
        "Cancel an application this long after its client has gone, or has ended its side.",
        none="off",
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
    h2c_upgrade: bool = option(
        False,
        Flag(),
        "Switch to HTTP/2 where a request without content asks so (Upgrade: h2c, deprecated); never behind a proxy.",
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
    edge: Edge = field(default_factory=Edge)
    observability: Observability = field(default_factory=Observability)

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
        _ = self.admin_bind

    @property
    def admin_bind(self) -> Bind | None:
        """Where metrics are told; None where nowhere. Raises ConfigError."""
        text = self.observability.admin
        if text is None:
            return None
        try:
            bind = Bind.parse(text)
        except ValueError as error:
            raise ConfigError(f"admin: {error}") from None
        if bind.scheme not in ("", "http") or bind.proxy_protocol or bind.kind == "fd":
            raise ConfigError(f"admin: {text!r} is not HOST:PORT, [IPv6]:PORT or unix:PATH")
        if bind.kind == "tcp":
            self.observability.check_host(bind.host)
        return dataclasses.replace(bind, scheme="http")

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
    "edge": Edge,
    "observability": Observability,
}
"""What `Config` holds beside its own options, by attribute."""


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
