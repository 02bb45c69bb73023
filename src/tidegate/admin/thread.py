"""Serves the admin address from a thread with an event loop of its own: no scrape waits for whoever serves requests.

It is this server's own HTTP/1.1, with small limits: few connections, short heads, no content, short deadlines.
"""

import asyncio
import logging
import os
import socket
import threading
from dataclasses import replace
from typing import Any, Final

from tidegate.admin.application import AdminApplication
from tidegate.config import Bind, Config, Limits, Logging, Observability, Timeouts
from tidegate.metrics.board import Board
from tidegate.net.listeners import open_listener
from tidegate.server import Server

logger = logging.getLogger("tidegate")

LIMITS: Final = Limits(
    request_line=2048,
    head=8192,
    fields=64,
    body=0,
    pipelined=4,
    connections=32,
    concurrency=16,
    read_buffer=16384,
)
TIMEOUTS: Final = Timeouts(
    idle=10.0,
    keep_alive=75.0,
    keep_alive_busy=2.0,
    head=5.0,
    write=10.0,
    linger=1.0,
    graceful_shutdown=0.5,
    shutdown_idle=0.1,
    shutdown_cancel=0.5,
)
PATIENCE: Final = 5.0  # seconds, for the thread's start and its end
MODE: Final = 0o660  # of a Unix socket: its owner and group


class AdminServer(Server):
    """One that says less of itself."""

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        for listener in [] if self._doors is None else self._doors.listeners:
            logger.info("Admin address: %s", listener.describe())

    def _announce_end(self) -> None:
        """Nothing of its own ends."""


def open_admin(bind: Bind) -> socket.socket:
    """The bound socket. Raises BindError."""
    listener = open_listener(bind)
    if bind.kind == "unix":
        os.chmod(bind.path, MODE)
    return listener


class AdminThread:
    """Serves what `board` shows on `listener`, which it owns, between `start` and `stop`."""

    def __init__(self, config: Config, board: Board, listener: socket.socket) -> None:
        bind = config.admin_bind
        assert bind is not None
        self.listener = listener
        self._path = bind.path if bind.kind == "unix" else None
        self.keep_path = False
        names = None if bind.kind == "unix" else {"localhost", bind.host, *config.observability.admin_host}
        self._app = AdminApplication(board, names)
        self._config = Config(
            binds=(replace(bind, tls=()),),
            limits=LIMITS,
            timeouts=TIMEOUTS,
            logging=Logging(access_log=False),
            observability=Observability(),
            lifespan="off",
            interface="asgi3",
            http2=False,
            h2c=False,
            server_header=False,
            early_hints_http1="off",
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidegate-admin", daemon=True)

    def start(self) -> None:
        """Returns when it accepts."""
        self._thread.start()
        self._started.wait(PATIENCE)

    def stop(self) -> None:
        """End the thread, and close the socket."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:  # it has ended by itself
                logger.debug("The admin address's thread has ended already")
            self._thread.join(PATIENCE)
        self.listener.close()
        if self._path is not None and not self.keep_path:
            try:
                os.unlink(self._path)
            except OSError as error:
                logger.debug("%s: %s", self._path, error.strerror)

    def _run(self) -> None:
        try:
            # asyncio's own loop: scrapes are few, and uvloop takes more memory.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except Exception:
            logger.exception("The admin address is served no more")
        finally:
            self._started.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        # With a factory no Task starts eagerly: on Python 3.11 that takes a hold of what all threads share.
        loop.set_task_factory(_make_task)
        self._loop = loop
        self._stop = asyncio.Event()
        async with AdminServer(self._app, self._config, sockets=[self.listener]):
            self._started.set()
            await self._stop.wait()


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    return asyncio.Task(coroutine, loop=loop, **options)
