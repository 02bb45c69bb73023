"""One server process: lifespan, listeners, and a shutdown in which nothing is lost."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tidegate.asgi import ASGIApplication
from tidegate.config import Bind, Config
from tidegate.gateway.application import Gateway
from tidegate.gateway.asgi2 import ASGI2Application
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.forwarded import Forwarding, TrustedPeers
from tidegate.gateway.lifespan import Lifespan, LifespanError
from tidegate.gateway.scope import Peers
from tidegate.http import head
from tidegate.http.connection import Connection
from tidegate.http.date import format_date
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import RequestError
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, StreamHandler, Wire
from tidegate.http1.limits import H1Limits
from tidegate.net.delay import DelayProbe, QueueDelay
from tidegate.net.listeners import Listener, connection_limit, open_listener
from tidegate.net.tcp import Acceptor, OpenHandler, OpenHTTP2, RequestRefused
from tidegate.net.timers import TimerWheel
from tidegate.server.access_log import AccessLog, AccessRecord, request_id
from tidegate.server.listening import Listening
from tidegate.server.loader import detect_interface, load_application
from tidegate.server.notify import ServiceManager
from tidegate.version import __version__

if TYPE_CHECKING:
    from tidegate.gateway.websocket import WebSocketSettings
    from tidegate.http2.limits import H2Limits

logger = logging.getLogger("tidegate")

SERVER = b"tidegate"
POLL = 0.02  # seconds between two looks at what shutdown waits for
BUSY_SHARE = 0.8  # of the connection limit
RECHECK = 0.25  # seconds between two looks for idle connections, while accepting pauses
HEAP_BLOCK = 1 << 22  # octets of memory that is kept for what comes next
DRAIN_BACKLOG = 1.0  # seconds, for connections that the kernel has queued when shutdown begins


class StartupError(Exception):
    """The application failed to start; the message is one line."""


class ShutdownError(Exception):
    """The application's lifespan shutdown failed or took too long; it was logged."""


class Server:
    """Serves `app`, an ASGI or WSGI application or its import string.

    `sockets` are bound sockets to use in place of the configuration's addresses; they stay the caller's to close.
    `binds` says for each of them which address it was opened for; without it, the first of `config.binds`, or, where
    they are as many, the one in its place.
    Either `await serve()`, which returns once a shutdown is complete; or, inside a loop that runs already:

        async with Server(app, Config(binds=(Bind(port=0),))) as server:
            print(server.addresses)

    Raises ConfigError, LoadError, BindError or StartupError before it accepts.
    """

    def __init__(
        self,
        app: Any,
        config: Config | None = None,
        *,
        sockets: Sequence[socket.socket] | None = None,
        binds: Sequence[Bind] | None = None,
    ) -> None:
        self._app = app
        self._config = Config() if config is None else config
        self._given = sockets
        if binds is None:
            binds = self._config.binds
            if sockets is not None and len(sockets) != len(binds):
                binds = [binds[0]] * len(sockets)
        self._binds = binds
        self._listening: Listening | None = None
        self._https_port = 0
        self._listeners: list[Listener] = []
        self._origins: dict[Listener, socket.socket] = {}
        self._lifespan: Lifespan | None = None
        self._gateway: Gateway | None = None
        self._acceptor: Acceptor | None = None
        self._wheel: TimerWheel | None = None
        self._housekeeping: asyncio.TimerHandle | None = None
        self._delay_probe: DelayProbe | None = None
        self._accepting = False
        self._switching: asyncio.Task[None] | None = None
        self._shutdown_asked = asyncio.Event()
        self._hurry = False
        self._drains_backlog = True

    @property
    def addresses(self) -> list[Any]:
        """Where it listens: (host, port) each, or a Unix socket's path."""
        names = [listener.socket.getsockname() for listener in self._listeners]
        return [name if isinstance(name, str | bytes) else tuple(name[:2]) for name in names]

    @property
    def open_connections(self) -> int:
        return 0 if self._acceptor is None else len(self._acceptor.connections)

    @property
    def requests_begun(self) -> int:
        """How many requests and WebSockets the application was called for."""
        return 0 if self._gateway is None else self._gateway.calls_begun

    def shutdown(self, *, drain_backlog: bool = True) -> None:
        """Ask for a graceful shutdown; asked a second time, for one now. Lifespan shutdown runs in both.

        Without `drain_backlog`, connections that the kernel has queued are left to who else accepts from the sockets.
        """
        if self._shutdown_asked.is_set():
            self._hurry = True
        else:
            self._drains_backlog = drain_backlog
        self._shutdown_asked.set()

    async def serve(self) -> None:
        """Serve until `shutdown` is called or SIGINT or SIGTERM comes. Raises ShutdownError."""
        loop = asyncio.get_running_loop()
        handled: list[signal.Signals] = []
        # The application's import can block: until it is done a signal has its usual effect.
        sockets, app = self._prepare()
        try:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    with suppress(NotImplementedError):
                        loop.add_signal_handler(number, self._on_signal, number)
                        handled.append(number)
                if self._listening is not None and self._listening.secure:
                    # Without certificates a hang-up has its usual effect.
                    loop.add_signal_handler(signal.SIGHUP, self.reload_certificates)
                    handled.append(signal.SIGHUP)
            await self._start(sockets, app)
            manager = ServiceManager(os.environ)
            manager.ready()
            if manager.watchdog is not None:
                self._say_alive(loop, manager, manager.watchdog)
            await self._shutdown_asked.wait()
            manager.stopping()
            await self._stop()
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def reload_certificates(self) -> bool:
        """Take the certificates as they are on disk now, for new connections; the others go on with theirs.

        False where one of them is faulty: that is logged, and it stays as it was.
        """
        return self._listening is None or self._listening.reload()

    async def __aenter__(self) -> "Server":
        await self._start(*self._prepare())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shutdown_asked.set()
        await self._stop()

    def _say_alive(self, loop: asyncio.AbstractEventLoop, manager: ServiceManager, interval: float) -> None:
        manager.alive()
        loop.call_later(interval, self._say_alive, loop, manager, interval)

    def _on_signal(self, number: int) -> None:
        again = self._shutdown_asked.is_set()
        logger.info(
            "%s: %s", signal.Signals(number).name, "closing now" if again else "shutting down gracefully"
        )
        self.shutdown()

    # --- start

    def _prepare(self) -> tuple[list[socket.socket], ASGIApplication]:
        # Bound first, so that a busy port is told before the application starts; listened on last.
        sockets: list[socket.socket] = []
        # And before that, the certificates are looked at.
        self._listening = Listening(self._config, self._binds, http2=self._config.http2)
        try:
            if self._given is None:
                sockets.extend(open_listener(bind) for bind in self._config.binds)
            else:
                sockets.extend(listener.dup() for listener in self._given)
            return sockets, self._load()
        except BaseException:
            for opened in sockets:
                opened.close()
            raise

    async def _start(self, sockets: list[socket.socket], app: ASGIApplication) -> None:
        config = self._config
        loop = asyncio.get_running_loop()
        try:
            lifespan = Lifespan(app, config.lifespan)
            self._lifespan = lifespan
            startup = asyncio.ensure_future(lifespan.startup())
            asked = asyncio.ensure_future(self._shutdown_asked.wait())
            try:
                await asyncio.wait((startup, asked), return_when=asyncio.FIRST_COMPLETED)
                if not startup.done():
                    startup.cancel()
                    await lifespan.shutdown(config.timeouts.lifespan_shutdown)
                    raise StartupError("stopped before the application's startup was complete")
                await startup
            except LifespanError as error:
                raise StartupError(f"the application failed to start: {error}") from None
            finally:
                asked.cancel()
        except BaseException:
            for opened in sockets:
                opened.close()
            raise
        self._gateway = self._make_gateway(app, loop, lifespan)
        self._wheel = TimerWheel(loop)
        self._wheel.start()
        self._acceptor = self._make_acceptor(loop, self._wheel, self._gateway)
        listening = self._listening or Listening(config, self._binds, http2=self._config.http2)
        self._https_port = listening.https_port(sockets, self._binds)
        self._listeners = [
            listening.make(each, bind, self._acceptor, self._https_port)
            for each, bind in zip(sockets, self._binds, strict=True)
        ]
        listening.watch(loop)
        self._origins = dict(zip(self._listeners, self._given or sockets, strict=True))
        self._accepting = True
        for listener in self._listeners:
            await listener.start()
        self._keep_house()
        self._announce(loop)
        # What start-up left behind goes now, rather than in the middle of a request.
        gc.collect()
        _learn_heap_size()

    def _load(self) -> ASGIApplication:
        config = self._config
        app = self._app
        if isinstance(app, str):
            app = load_application(app, config.app_dir, config.factory)
        interface = detect_interface(app) if config.interface == "auto" else config.interface
        if interface == "wsgi":
            from tidegate.gateway.wsgi import WSGIApplication

            app = WSGIApplication(app, config.wsgi_threads)
        elif interface == "asgi2":
            app = ASGI2Application(app)
        loaded: ASGIApplication = app
        return loaded

    def _make_gateway(
        self, app: ASGIApplication, loop: asyncio.AbstractEventLoop, lifespan: Lifespan
    ) -> Gateway:
        config = self._config
        header = config.logging.request_id_header
        name = None if header is None else header.lower().encode("ascii")
        return Gateway(
            app,
            loop,
            root_path=config.root_path,
            state=lifespan.state,
            early_hints=config.early_hints_http1,
            read_buffer=config.limits.read_buffer,
            max_exchanges=config.limits.concurrency,
            cancel_after=config.cancel_on_disconnect,
            identify=lambda request: request_id(request.headers, name),
            access_log=self._access_logger(),
        )

    def _access_log(self, *, websocket: bool = False) -> AccessLog | None:
        settings = self._config.logging
        access = logging.getLogger("tidegate.access")
        if not settings.access_log or not access.isEnabledFor(logging.INFO):
            return None
        template = settings.websocket_template if websocket else settings.template
        return AccessLog(access, settings.format, template)

    def _access_logger(self) -> Callable[[Any], None] | None:
        requests = self._access_log()
        sessions = self._access_log(websocket=True)
        if requests is None or sessions is None:
            return None

        def completed(exchange: Any) -> None:
            request = exchange.request
            begun = exchange.started_at
            session = None if isinstance(exchange, HTTPExchange) else exchange
            log = requests if session is None else sessions
            log.log(
                AccessRecord(
                    exchange.peers.client,
                    request.method,
                    request.target,
                    request.http_version,
                    exchange.status,
                    exchange.body_sent,
                    exchange.first_byte_at - begun if exchange.first_byte_at else None,
                    time.perf_counter() - begun,
                    exchange.identity(),
                    request.headers,
                    session,
                )
            )

        return completed

    def _make_acceptor(
        self, loop: asyncio.AbstractEventLoop, wheel: TimerWheel, gateway: Gateway
    ) -> Acceptor:
        config = self._config
        limits = config.limits
        timeouts = config.timeouts
        wire_limits = H1Limits(
            max_request_line=limits.request_line,
            max_head=limits.head,
            max_fields=limits.fields,
            max_content=-1 if limits.body is None else limits.body,
            max_trailers=limits.trailers,
            max_pipelined=limits.pipelined,
            max_unread=limits.read_buffer,
            max_drain=limits.drain,
            idle_timeout=timeouts.idle,
            keep_alive_timeout=timeouts.keep_alive,
            head_timeout=timeouts.head,
            body_rate=timeouts.min_body_rate,
            body_window=timeouts.body_rate_window,
            shutdown_idle=timeouts.shutdown_idle,
        )
        defaults = ResponseDefaults(
            SERVER if config.server_header else None, config.date_header, config.headers
        )
        delay = None
        if limits.queue_delay is not None:
            delay = QueueDelay(limits.queue_delay, limits.queue_delay_interval, time.monotonic())
            self._delay_probe = DelayProbe(loop, delay)
        proxies = config.proxies
        forwarding = None
        if proxies.headers and proxies.trusted and proxies.fields:
            forwarding = Forwarding(
                TrustedPeers(proxies.trusted), [name.encode("ascii") for name in proxies.fields]
            )
        secure_defaults = defaults
        if config.tls.hsts is not None:
            hsts = (b"strict-transport-security", config.tls.hsts.encode())
            secure_defaults = ResponseDefaults(
                SERVER if config.server_header else None, config.date_header, (*config.headers, hsts)
            )
        for each in (defaults, secure_defaults):
            each.set_date(format_date(time.time()))
        handshakes = 0
        extension = None
        if self._listening is not None and self._listening.secure:
            from tidegate.net.tls import tls_extension

            extension = tls_extension
            handshakes = self._listening.max_handshakes
        return Acceptor(
            loop,
            wheel,
            gateway,
            wire_limits,
            defaults,
            max_connections=max(1, connection_limit(limits.connections + handshakes) - handshakes),
            write_timeout=timeouts.write,
            write_buffer=limits.write_buffer,
            linger=timeouts.linger,
            open_websocket=self._websocket_opener(gateway),
            request_refused=self._refusal_logger(),
            connections_changed=self._connections_changed,
            forwarding=forwarding,
            queue_delay=delay,
            exempt_paths=frozenset(limits.exempt),
            secure_defaults=secure_defaults,
            tls_extension=extension,
            open_http2=self._http2_opener() if config.http2 else None,
            h2c=config.h2c,
            preface_timeout=timeouts.h2_settings,
        )

    def _http2_opener(self) -> OpenHTTP2:
        limits: Any = None

        def open_http2(
            wire: Wire,
            defaults: ResponseDefaults,
            open_handler: OpenHandler,
            request_refused: RequestRefused,
            now: float,
        ) -> Connection:
            # Loaded with the first connection: a server without any is to be small.
            from tidegate.http2.connection import H2Connection

            nonlocal limits
            if limits is None:
                limits = self._http2_limits()
            return H2Connection(wire, limits, defaults, open_handler, request_refused, now)

        return open_http2

    def _http2_limits(self) -> "H2Limits":
        from tidegate.http2.limits import H2Limits

        limits = self._config.limits
        timeouts = self._config.timeouts
        return H2Limits(
            max_streams=limits.h2_streams,
            max_header_list=limits.head,
            max_fields=limits.fields,
            max_target=limits.request_line,
            max_content=-1 if limits.body is None else limits.body,
            max_trailers=limits.trailers,
            max_frame=limits.h2_frame,
            window=limits.h2_window,
            max_window=max(limits.h2_window, limits.h2_max_window),
            connection_window=limits.h2_connection_window,
            write_buffer=limits.write_buffer,
            max_resets=limits.h2_resets,
            max_control=limits.h2_control,
            settings_timeout=timeouts.h2_settings,
            head_timeout=timeouts.head,
            idle_timeout=timeouts.keep_alive,
            ping_interval=timeouts.h2_ping or 0.0,
            ping_timeout=timeouts.h2_ping_answer,
            write_timeout=timeouts.write,
            body_rate=timeouts.min_body_rate,
            body_window=timeouts.body_rate_window,
            shutdown_idle=timeouts.shutdown_idle,
        )

    def _websocket_opener(self, gateway: Gateway) -> Callable[[Stream, RequestHead, Peers], StreamHandler]:
        settings: Any = None

        def open_websocket(stream: Stream, head: RequestHead, peers: Peers) -> StreamHandler:
            # Loaded with the first WebSocket: a server without any is to be small.
            from tidegate.gateway.websocket import WebSocketExchange

            nonlocal settings
            if settings is None:
                settings = self._websocket_settings()
            return WebSocketExchange(gateway, stream, head, peers, settings)

        return open_websocket

    def _websocket_settings(self) -> "WebSocketSettings":
        from tidegate.gateway.websocket import WebSocketSettings
        from tidegate.websocket.connection import WebSocketLimits

        options = self._config.websockets
        limits = WebSocketLimits(
            max_message=options.max_size,
            max_frames=options.max_frames,
            max_empty_frames=options.max_empty_frames,
            ping_interval=options.ping_interval or 0.0,
            ping_timeout=options.ping_timeout or 0.0,
            close_timeout=options.close_timeout,
        )
        return WebSocketSettings(
            limits,
            window_bits=options.deflate_window_bits if options.per_message_deflate else 0,
            takeover=options.deflate_takeover,
            level=options.deflate_level,
            mem_level=options.deflate_mem_level,
            min_text=options.deflate_min_text,
            min_binary=options.deflate_min_binary,
            max_queue=options.max_queue,
            max_queued=options.max_queue_size,
            handshake_timeout=options.handshake_timeout or 0.0,
        )

    def _refusal_logger(self) -> Callable[[RequestError, RequestHead | None, Peers], None]:
        log = self._access_log()
        header = self._config.logging.request_id_header
        name = None if header is None else header.lower().encode("ascii")

        def refused(error: RequestError, request: RequestHead | None, peers: Peers) -> None:
            client = peers.client or "-"
            logger.debug("Refused a request of %s with %d: %s", client, error.status, error.detail)
            if log is not None:
                known = RequestHead() if request is None else request
                log.log(
                    AccessRecord(
                        peers.client,
                        known.method or "-",
                        known.target or b"-",
                        known.http_version,
                        error.status,
                        0,
                        None,
                        0.0,
                        request_id(known.headers, name),
                        known.headers,
                    )
                )

        return refused

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        build = "pure Python" if (head.__file__ or "").endswith(".py") else "compiled"
        kind = type(loop).__module__.partition(".")[0]
        version = ".".join(map(str, sys.version_info[:3]))
        for listener in self._listeners:
            logger.info("Listening on %s", listener.describe())
        logger.info(
            "Tidegate %s (%s), Python %s, %s, process %d: ready",
            __version__,
            build,
            version,
            kind,
            os.getpid(),
        )

    # --- while it serves

    def _keep_house(self) -> None:
        acceptor = self._acceptor
        wheel = self._wheel
        if acceptor is None or wheel is None:
            return
        now = time.time()
        date = format_date(now)
        acceptor.defaults.set_date(date)
        if acceptor.secure_defaults is not acceptor.defaults:
            acceptor.secure_defaults.set_date(date)
        if len(acceptor.connections) > BUSY_SHARE * acceptor.max_connections:
            acceptor.close_idle(wheel.now, self._config.timeouts.keep_alive_busy)
        # At the turn of each second, when the date changes.
        self._housekeeping = acceptor.loop.call_later(1.001 - now % 1, self._keep_house)

    def _connections_changed(self) -> None:
        acceptor = self._acceptor
        if acceptor is None or self._shutdown_asked.is_set():
            return
        idle = None
        if len(acceptor.connections) >= acceptor.max_connections:
            idle = acceptor.longest_idle()
            if idle is not None and len(acceptor.connections) > acceptor.max_connections:
                idle.close_idle()
        full = len(acceptor.connections) >= acceptor.max_connections and idle is None
        if full == self._accepting:
            self._accepting = not full
            if full:
                logger.warning("%d connections: accepting pauses", len(acceptor.connections))
                acceptor.loop.call_later(RECHECK, self._look_for_idle)
            if self._switching is None or self._switching.done():
                self._switching = acceptor.loop.create_task(self._switch_accepting())

    def _look_for_idle(self) -> None:
        # Connections become idle, and so may be closed for others, without saying so.
        if not self._accepting and self._acceptor is not None and not self._shutdown_asked.is_set():
            self._connections_changed()
            self._acceptor.loop.call_later(RECHECK, self._look_for_idle)

    async def _switch_accepting(self) -> None:
        wanted = not self._accepting
        while wanted != self._accepting:
            wanted = self._accepting
            for listener in list(self._listeners):
                if wanted:
                    await listener.start()
                else:
                    listener.pause()

    async def add_listener(self, listener: socket.socket, bind: Bind) -> None:
        """Accept from one more socket, while it serves; it stays the caller's to close."""
        if self._acceptor is None or self._listening is None or self._shutdown_asked.is_set():
            return
        added = self._listening.make(listener.dup(), bind, self._acceptor, self._https_port)
        self._listeners.append(added)
        self._origins[added] = listener
        if self._accepting:
            await added.start()

    async def remove_listener(self, listener: socket.socket) -> None:
        """Accept no more from a socket that was given: somebody else does."""
        for removed in [each for each, origin in self._origins.items() if origin is listener]:
            del self._origins[removed]
            self._listeners.remove(removed)
            await removed.settle()
            removed.close(unlink=False)

    # --- stop

    async def _stop(self) -> None:
        config = self._config
        timeouts = config.timeouts
        acceptor, gateway, wheel, lifespan = self._acceptor, self._gateway, self._wheel, self._lifespan
        listening = self._listening
        if acceptor is None or gateway is None or wheel is None or lifespan is None or listening is None:
            return
        acceptor.shutting_down = True
        gateway.shutdown_started()
        for listener in self._listeners:
            if self._drains_backlog:
                await listener.drain(DRAIN_BACKLOG)
            await listener.settle()
            listener.close(unlink=self._given is None)
        listening.hurry(wheel.now + timeouts.shutdown_idle)
        for protocol in list(acceptor.connections):
            protocol.shutdown()
        await self._wait(
            lambda: not acceptor.connections and not gateway.calls and not listening.handshakes,
            timeouts.graceful_shutdown,
        )
        listening.close()
        if acceptor.connections or gateway.calls:
            logger.warning(
                "Closing %d connections; %d requests are unfinished",
                len(acceptor.connections),
                len(gateway.calls),
            )
            for protocol in list(acceptor.connections):
                protocol.cut()
            await self._wait(lambda: not gateway.calls, timeouts.shutdown_cancel)
            await self._cancel(gateway)
        sound = await lifespan.shutdown(timeouts.lifespan_shutdown)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._delay_probe is not None:
            self._delay_probe.stop()
        wheel.stop()
        logger.info("Shutdown is complete")
        if not sound:
            raise ShutdownError("the application's lifespan shutdown failed")

    async def _cancel(self, gateway: Gateway) -> None:
        gateway.cancelling = True
        tasks = [call.task for call in gateway.calls if call.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._config.timeouts.shutdown_cancel)
            if gateway.calls:
                logger.error("%d requests did not end when they were cancelled", len(gateway.calls))

    async def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and not self._hurry and time.monotonic() < deadline:
            await asyncio.sleep(POLL)


def _learn_heap_size() -> None:
    # glibc gives what is freed back to the kernel from 128 KiB on, and each page that it takes again is a fault: twice
    # the cost of receiving an upload. Its thresholds follow the largest block that was freed (mallopt(3),
    # M_MMAP_THRESHOLD): let it keep up to twice this.
    bytes(HEAP_BLOCK)
