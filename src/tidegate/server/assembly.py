"""A server's parts, as its configuration says: the application behind its gateway, and what its connections share."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tidegate.asgi import ASGIApplication
from tidegate.config import Config
from tidegate.gateway.application import Exchange, Gateway
from tidegate.gateway.asgi2 import ASGI2Application
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.forwarded import Forwarding, TrustedPeers
from tidegate.gateway.lifespan import Lifespan
from tidegate.gateway.scope import Peers
from tidegate.http.connection import Connection
from tidegate.http.date import format_date
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, Wire
from tidegate.net.acceptor import Acceptor, OpenHandler, OpenHTTP2, RequestRefused
from tidegate.net.delay import QueueDelay
from tidegate.net.tcp import TCPProtocol
from tidegate.net.timers import TimerWheel
from tidegate.server.exchange_log import ExchangeLog
from tidegate.server.limits import http1_limits, http2_limits, websocket_settings
from tidegate.server.listening import Listening
from tidegate.server.loader import detect_interface, load_application

if TYPE_CHECKING:
    from tidegate.edge.edge import Edge
    from tidegate.http.errors import RequestError, StreamError
    from tidegate.metrics.recorder import Recorder

SERVER = b"tidegate"


def make_application(app: Any, config: Config) -> ASGIApplication:
    """What `app`, an application or its import string, is as ASGI 3. Raises LoadError."""
    if isinstance(app, str):
        app = load_application(app, config.app_dir, config.factory)
    interface = detect_interface(app) if config.interface == "auto" else config.interface
    if interface == "wsgi":
        from tidegate.gateway.wsgi import WSGIApplication

        app = WSGIApplication(app, config.wsgi_threads, read_ahead=config.wsgi_read_ahead)
    elif interface == "asgi2":
        app = ASGI2Application(app)
    if config.observability.otel:
        from tidegate.server.tracing import Traced

        app = Traced(app)
    made: ASGIApplication = app
    return made


def make_gateway(
    app: ASGIApplication,
    config: Config,
    loop: asyncio.AbstractEventLoop,
    lifespan: Lifespan,
    log: ExchangeLog,
    recorder: "Recorder | None",
) -> Gateway:
    make: Callable[..., Gateway] = Gateway
    completed = log.completed
    if recorder is not None:
        from tidegate.metrics.protocol import MeasuredGateway

        make = partial(MeasuredGateway, recorder)
        completed = both(recorder.completed, completed)
    return make(
        app,
        loop,
        root_path=config.root_path,
        state=lifespan.state,
        early_hints=config.early_hints_http1,
        read_buffer=config.limits.read_buffer,
        max_exchanges=config.limits.concurrency,
        cancel_after=config.cancel_on_disconnect,
        identify=log.identify,
        access_log=completed,
    )


def make_acceptor(
    config: Config,
    loop: asyncio.AbstractEventLoop,
    wheel: TimerWheel,
    gateway: Gateway,
    listening: Listening,
    log: ExchangeLog,
    connections_changed: Callable[[], None],
    edge: "Edge | None",
    recorder: "Recorder | None",
) -> Acceptor:
    limits, timeouts, proxies = config.limits, config.timeouts, config.proxies
    delay = None
    if limits.queue_delay is not None:
        delay = QueueDelay(limits.queue_delay, limits.queue_delay_interval, time.monotonic())
    forwarding = None
    if proxies.headers and proxies.trusted and proxies.fields:
        forwarding = Forwarding(
            TrustedPeers(proxies.trusted), [name.encode("ascii") for name in proxies.fields]
        )
    defaults = secure_defaults = _defaults(config)
    if config.tls.hsts is not None:
        secure_defaults = _defaults(config, (b"strict-transport-security", config.tls.hsts.encode()))
    extension = None
    if listening.secure:
        from tidegate.net.tls import tls_extension

        extension = tls_extension
    make_protocol: Callable[..., TCPProtocol] = TCPProtocol
    refused: Callable[[RequestError | StreamError, RequestHead | None, Peers], None] = log.refused
    if recorder is not None:
        from tidegate.metrics.protocol import MeasuredProtocol

        make_protocol = partial(MeasuredProtocol, recorder)
        refused = both(recorder.refused, refused)
    body = -1 if limits.body is None else limits.body
    max_content = body if edge is None else edge.max_content
    return Acceptor(
        loop,
        wheel,
        gateway,
        http1_limits(config, max_content),
        defaults,
        max_connections=listening.room.connections,
        write_timeout=timeouts.write,
        write_buffer=limits.write_buffer,
        linger=timeouts.linger,
        open_websocket=_websocket_opener(config, gateway, recorder),
        request_refused=refused,
        make_protocol=make_protocol,
        connections_changed=connections_changed,
        forwarding=forwarding,
        queue_delay=delay,
        exempt_paths=frozenset(limits.exempt),
        secure_defaults=secure_defaults,
        tls_extension=extension,
        open_http2=_http2_opener(config, max_content) if config.http2 else None,
        h2c=config.h2c,
        h2c_upgrade=config.h2c_upgrade,
        preface_timeout=timeouts.h2_settings,
        open_http=HTTPExchange if edge is None else edge.open_http,
    )


def _defaults(config: Config, *more: tuple[bytes, bytes]) -> ResponseDefaults:
    defaults = ResponseDefaults(
        SERVER if config.server_header else None, config.date_header, (*config.headers, *more)
    )
    defaults.set_date(format_date(time.time()))
    return defaults


def _http2_opener(config: Config, max_content: int) -> OpenHTTP2:
    limits: Any = None

    def open_http2(
        wire: Wire,
        defaults: ResponseDefaults,
        open_handler: OpenHandler,
        request_refused: RequestRefused,
        now: float,
    ) -> Connection:
        from tidegate.http2.connection import H2Connection

        nonlocal limits
        if limits is None:
            limits = http2_limits(config, max_content)
        return H2Connection(wire, limits, defaults, open_handler, request_refused, now)

    return open_http2


def _websocket_opener(
    config: Config, gateway: Gateway, recorder: "Recorder | None"
) -> Callable[[Stream, RequestHead, Peers], Exchange]:
    settings: Any = None
    make: Any = None

    def open_websocket(stream: Stream, head: RequestHead, peers: Peers) -> Exchange:
        from tidegate.gateway.websocket import WebSocketExchange

        nonlocal settings, make
        if settings is None:
            make = WebSocketExchange
            if recorder is not None:
                from tidegate.metrics.websocket import MeasuredWebSocketExchange

                make = partial(MeasuredWebSocketExchange, recorder)
            settings = websocket_settings(config)
        opened: Exchange = make(gateway, stream, head, peers, settings)
        return opened

    return open_websocket


def both(first: Callable[..., None], second: Callable[..., None] | None) -> Callable[..., None]:
    """Calls both, if there are two."""
    if second is None:
        return first

    def call(*arguments: Any) -> None:
        first(*arguments)
        second(*arguments)

    return call
