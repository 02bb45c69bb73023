"""The processes that a supervisor starts: `python -m tidegate.cli.child worker|fork-server DESCRIPTOR`.

The descriptor is of the channel, over which a process is told all that it needs.
"""

import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tidegate.cli.logging import (
    log_all_as_json,
    log_traceback,
    logs_json,
    reopen_log_files,
    set_up_logging,
)
from tidegate.cli.main import APPLICATION, CONFIGURATION, INTERRUPTED, fail, leave, load_environment, serve
from tidegate.config import ConfigError
from tidegate.net.share import Share
from tidegate.server.loader import LoadError, load_application
from tidegate.supervisor.channel import Channel, Drain, Ended, Fork, Forked, Message, Start
from tidegate.supervisor.child import Link, SupervisedServer, prepare
from tidegate.supervisor.title import set_title

if TYPE_CHECKING:
    from tidegate.metrics.recorder import Recorder

logger = logging.getLogger("tidegate")


def work(connection: socket.socket, app: Any = None) -> int:
    """Be the worker that `connection` says; returns the exit code. `app` is the application where it is loaded."""
    link = Link(connection)
    prepare()
    try:
        start, descriptors = link.start()
        config = start.config
        if config.logging.config is None:  # such a file may run anybody's code, for as long as that takes
            set_up_logging(config.logging)
            if logs_json():
                log_all_as_json()
        link.listen()
        sys.path[:] = start.search_path
        set_title(f"{start.name} [{config.app}]")
        recorder = recorder_of(descriptors.pop()) if start.measured else None
        share = None
        if start.place is not None:
            table = descriptors.pop()
            share = Share(table, start.place)
            os.close(table)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        return serve(
            config.app if app is None else app,
            config if app is None else replace(config, factory=False),
            SupervisedServer,
            sockets=sockets,
            binds=[config.binds[index] for _, index in start.sockets],
            keys=[key for key, _ in start.sockets],
            shared=start.shared,
            share=share,
            name=start.name,
            link=link,
            reopen_logs=reopen_log_files,
            recorder=recorder,
        )
    except (EOFError, KeyboardInterrupt):
        return INTERRUPTED


def recorder_of(descriptor: int) -> "Recorder":
    """What counts in the memory of `descriptor`."""
    from tidegate.metrics.recorder import Recorder
    from tidegate.metrics.region import Region

    region = Region(descriptor)
    recorder = Recorder(region)
    region.close()
    return recorder


def fork_workers(connection: socket.socket) -> int:
    """Load the application and fork workers as `connection` says; returns the exit code, of each process."""
    server = ForkServer(connection)
    try:
        app = server.load()
        forked = server.run()
    except LoadError as error:
        if logs_json():
            log_traceback(str(error), error.traceback)
            return APPLICATION
        sys.stderr.write(error.traceback or "")
        return fail(error, APPLICATION)
    except ConfigError as error:
        return fail(error, CONFIGURATION)
    except (EOFError, KeyboardInterrupt):
        return INTERRUPTED
    return 0 if forked is None else work(forked, app)


class ForkServer:
    """Has one thread, or its workers would lack the others."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._channel = Channel(connection, reports=False)
        self._messages: deque[tuple[Message, list[int]]] = deque()
        self._children: dict[int, int] = {}  # process id to number

    def load(self) -> Any:
        """Wait for the configuration, and load its application. Raises LoadError, ConfigError, EOFError."""
        while not self._messages:
            self._messages += self._channel.receive(wait=True)
        start, _ = self._messages.popleft()
        if not isinstance(start, Start) or start.config.app is None:
            raise EOFError
        config = start.config
        sys.path[:] = start.search_path
        set_title(f"{start.name} [{config.app}]")
        set_up_logging(config.logging)
        if logs_json():
            log_all_as_json()
        load_environment(config)
        app = load_application(start.config.app, config.app_dir, config.factory)
        if threading.active_count() > 1:
            logger.warning("Importing the application started threads, which forked workers do not have")
        return app

    def run(self) -> socket.socket | None:
        """Fork until told otherwise, and reap; in a worker, its channel's socket comes back at once."""
        gc.collect()
        gc.freeze()  # the collector is not to write to what is shared
        waking, wakes = os.pipe()
        os.set_blocking(waking, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: None)  # as for workers: its supervisor tells it
        signal.set_wakeup_fd(wakes)
        forking = True
        while forking or self._children:
            while self._messages:
                message, descriptors = self._messages.popleft()
                if isinstance(message, Fork):
                    connection = self._fork(message.number, socket.socket(fileno=descriptors[0]))
                    if connection is not None:
                        signal.set_wakeup_fd(-1)
                        os.close(waking)
                        os.close(wakes)
                        return connection
                elif isinstance(message, Drain):
                    forking = False
            watched: list[Any] = [waking, self._connection] if self._connection.fileno() >= 0 else [waking]
            for ready in select.select(watched, [], [])[0]:
                if ready is waking:
                    with suppress(BlockingIOError):
                        os.read(waking, 4096)
                    self._reap()
                    continue
                try:
                    self._messages += self._channel.receive()
                except EOFError:  # the supervisor has gone, and its workers will
                    self._channel.close()
                    forking = False
        return None

    def _fork(self, number: int, connection: socket.socket) -> socket.socket | None:
        try:
            pid = os.fork()
        except OSError as error:
            logger.error("No process for a worker: %s", error.strerror)
            connection.close()
            self._channel.send(Ended(number, 1))
            return None
        if pid == 0:
            self._channel.close()
            for signalled in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(signalled, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return connection
        connection.close()
        self._children[pid] = number
        self._channel.send(Forked(number, pid))
        return None

    def _reap(self) -> None:
        for pid, number in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                self._channel.send(Ended(number, os.waitstatus_to_exitcode(status)))


def main(role: str, descriptor: int) -> int:
    """Returns the exit code."""
    os.set_inheritable(descriptor, False)  # the application's own children do not get it
    connection = socket.socket(fileno=descriptor)
    return work(connection) if role == "worker" else fork_workers(connection)


if __name__ == "__main__":
    leave(main(sys.argv[1], int(sys.argv[2])))
