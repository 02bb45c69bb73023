"""One server process: lifespan, listeners, and a shutdown in which nothing is lost."""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tidegate.asgi import ASGIApplication
from tidegate.config import Bind, Config
from tidegate.gateway.application import Gateway
from tidegate.gateway.lifespan import Lifespan, LifespanError
from tidegate.http.date import format_date
from tidegate.net.delay import DelayProbe
from tidegate.net.listeners import duplicate, open_listener
from tidegate.net.share import Share
from tidegate.net.timers import TimerWheel
from tidegate.server.assembly import make_acceptor, make_application, make_gateway
from tidegate.server.build import build_of, limits_of
from tidegate.server.doors import Doors
from tidegate.server.exchange_log import ExchangeLog
from tidegate.server.listening import Listening
from tidegate.server.notify import ServiceManager
from tidegate.server.room import room_for

if TYPE_CHECKING:
    from tidegate.edge.edge import Edge
    from tidegate.metrics.recorder import Recorder
    from tidegate.metrics.sampler import Sampler
    from tidegate.net.acceptor import Acceptor

logger = logging.getLogger("tidegate")

POLL = 0.02  # seconds between two looks at what shutdown waits for
BUSY_SHARE = 0.8  # of the connection limit
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
    they are as many, the one in its place. From those of them that are `shared` other processes accept too: this one
    accepts its `share`. `recorder` counts what it does.
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
        share: Share | None = None,
        shared: Sequence[socket.socket] = (),
        recorder: "Recorder | None" = None,
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._sampler: Sampler | None = None
        self._config = Config() if config is None else config
        self._given = sockets
        if binds is None:
            binds = self._config.binds
            if sockets is not None and len(sockets) != len(binds):
                binds = [binds[0]] * len(sockets)
        self._binds = binds
        self._listening: Listening | None = None
        self._share = share
        self._shared = shared
        self._doors: Doors | None = None
        self._lifespan: Lifespan | None = None
        self._gateway: Gateway | None = None
        self._acceptor: Acceptor | None = None
        self._edge: Edge | None = None
        self._wheel: TimerWheel | None = None
        self._housekeeping: asyncio.TimerHandle | None = None
        self._delay_probe: DelayProbe | None = None
        self._accepting_since = 0.0
        self._shutdown_asked = asyncio.Event()
        self._hurry = False
        self._drains_backlog = True

    @property
    def addresses(self) -> list[Any]:
        """Where it listens: (host, port) each, or a Unix socket's path."""
        return [] if self._doors is None else self._doors.addresses

    @property
    def open_connections(self) -> int:
        return 0 if self._acceptor is None else len(self._acceptor.connections)

    @property
    def requests_begun(self) -> int:
        """How many requests and WebSockets the application was called for."""
        return 0 if self._gateway is None else self._gateway.calls_begun

    @property
    def ready(self) -> bool:
        """Whether it serves: its start is complete, and its end has not begun."""
        return self._accepting_since > 0 and not self._shutdown_asked.is_set()

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
        config = self._config
        room = room_for(config, self._binds)
        self._listening = Listening(config, self._binds, http2=config.http2, room=room)
        try:
            if self._given is None:
                sockets.extend(open_listener(bind) for bind in config.binds)
            else:
                sockets.extend(duplicate(listener) for listener in self._given)
            return sockets, make_application(self._app, config)
        except BaseException:
            for opened in sockets:
                opened.close()
            raise

    async def _start(self, sockets: list[socket.socket], app: ASGIApplication) -> None:
        config = self._config
        loop = asyncio.get_running_loop()
        lifespan = Lifespan(app, config.lifespan)
        try:
            await self._start_up(lifespan)
        except BaseException:
            for opened in sockets:
                opened.close()
            raise
        listening = self._listening or Listening(config, self._binds, http2=config.http2)
        log = ExchangeLog(config.logging)
        wheel = TimerWheel(loop)
        wheel.start()
        gateway = make_gateway(app, config, loop, lifespan, log, self._recorder)
        if config.edge:
            # Loaded where there is something to do.
            from tidegate.edge.edge import Edge

            self._edge = Edge(config.edge, config.limits.body)
        acceptor = make_acceptor(
            config,
            loop,
            wheel,
            gateway,
            listening,
            log,
            self._connections_changed,
            self._edge,
            self._recorder,
        )
        doors = Doors(listening, acceptor, listening.https_port(sockets, self._binds), self._share)
        self._lifespan, self._wheel, self._gateway = lifespan, wheel, gateway
        self._acceptor, self._doors = acceptor, doors
        if acceptor.queue_delay is not None:
            self._delay_probe = DelayProbe(loop, acceptor.queue_delay)
        for bound, bind, origin in zip(sockets, self._binds, self._given or sockets, strict=True):
            doors.put(bound, bind, origin, shared=origin in self._shared)
        listening.watch(loop)
        await doors.open()
        self._accepting_since = time.time()
        self._keep_house()
        if self._recorder is not None:
            self._sample(loop, self._recorder, acceptor, gateway, listening)
        self._announce(loop)
        # What start-up left behind goes now, rather than in the middle of a request.
        gc.collect()
        _learn_heap_size()

    def _sample(
        self,
        loop: asyncio.AbstractEventLoop,
        recorder: "Recorder",
        acceptor: "Acceptor",
        gateway: Gateway,
        listening: Listening,
    ) -> None:
        from tidegate.metrics.protocol import connection_states
        from tidegate.metrics.sampler import Sampler

        listening.tell_handshakes(recorder.handshake_ended)

        def look() -> tuple[Sequence[int], int]:
            return connection_states(acceptor, listening.handshakes), len(gateway.calls)

        self._sampler = Sampler(loop, recorder, look)

    async def _start_up(self, lifespan: Lifespan) -> None:
        startup = asyncio.ensure_future(lifespan.startup())
        asked = asyncio.ensure_future(self._shutdown_asked.wait())
        try:
            await asyncio.wait((startup, asked), return_when=asyncio.FIRST_COMPLETED)
            if not startup.done():
                startup.cancel()
                await lifespan.shutdown(self._config.timeouts.lifespan_shutdown)
                raise StartupError("stopped before the application's startup was complete")
            await startup
        except LifespanError as error:
            raise StartupError(f"the application failed to start: {error}") from None
        finally:
            asked.cancel()

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        kind = type(loop).__module__.partition(".")[0]
        for listener in [] if self._doors is None else self._doors.listeners:
            logger.info("Listening on %s", listener.describe())
        if self._acceptor is not None:
            logger.info("Limits: %s", limits_of(self._config, self._acceptor.max_connections))
        logger.info("%s, process %d: ready", build_of(kind), os.getpid())

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
        if self._share is not None:
            self._share.publish()
        # At the turn of each second, when the date changes.
        self._housekeeping = acceptor.loop.call_later(1.001 - now % 1, self._keep_house)

    def _connections_changed(self) -> None:
        if self._doors is not None and not self._shutdown_asked.is_set():
            self._doors.connections_changed()

    async def add_listener(self, listener: socket.socket, bind: Bind, *, shared: bool = False) -> None:
        """Accept from one more socket, while it serves; it stays the caller's to close."""
        if self._doors is not None and not self._shutdown_asked.is_set():
            await self._doors.add(listener, bind, shared=shared)

    async def remove_listener(self, listener: socket.socket) -> None:
        """Accept no more from a socket that was given: somebody else does."""
        if self._doors is not None:
            await self._doors.remove(listener)

    # --- stop

    async def _stop(self) -> None:
        config = self._config
        timeouts = config.timeouts
        acceptor, gateway, wheel, lifespan = self._acceptor, self._gateway, self._wheel, self._lifespan
        doors, listening = self._doors, self._listening
        if acceptor is None or gateway is None or wheel is None or lifespan is None:
            return
        assert doors is not None
        assert listening is not None
        acceptor.shutting_down = True
        gateway.shutdown_started()
        await doors.close(backlog=DRAIN_BACKLOG if self._drains_backlog else 0.0, unlink=self._given is None)
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
        if self._sampler is not None:
            self._sampler.stop()
        if self._edge is not None:
            self._edge.close()
        wheel.stop()
        self._announce_end()
        if not sound:
            raise ShutdownError("the application's lifespan shutdown failed")

    def _announce_end(self) -> None:
        logger.info("Shutdown is complete (process %d)", os.getpid())

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
