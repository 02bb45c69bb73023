"""--preload: a fork server imports the application once; each worker is forked from it and shares its memory.

The supervisor's side. A reload starts another fork server, which imports the new code; the old one, whose children its
workers are, stays until the last of them has ended.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from tidegate.config import Config
from tidegate.supervisor.channel import Channel, Drain, Ended, Fork, Forked, Message, Start
from tidegate.supervisor.launcher import Credentials, FreshProcess, ProcessEvents, spawn

logger = logging.getLogger("tidegate")

UNKNOWN: Final = 255  # the status of a process whose parent cannot tell


class ForkedProcess:
    """A worker that is forked, or is to be. What is signalled before it is there comes when it is."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pid = 0
        self._signals: list[int] = []

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self.channel.send(message, descriptors)

    def signal(self, number: int) -> None:
        if not self.pid:
            self._signals.append(number)
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def forked(self, pid: int) -> None:
        self.pid = pid
        for number in self._signals:
            self.signal(number)
        self._signals.clear()


class ForkServer:
    """One fork server, and the workers that it was asked for."""

    def __init__(self, config: Config, process: FreshProcess) -> None:
        self.config = config
        self.process = process
        self.workers: dict[int, ForkedProcess] = {}


class PreloadingEvents(ProcessEvents, Protocol):
    """Who is told of workers and of fork servers."""

    def serving(self, channel: Channel, server: ForkServer) -> None:
        """There is a fork server: its messages go to `ForkLauncher.message_received`."""


class ForkLauncher:
    """Has workers forked. `command` runs a fork server, with its channel's descriptor as the last argument."""

    def __init__(self, command: Sequence[str], credentials: Credentials, events: PreloadingEvents) -> None:
        self._command = command
        self._credentials = credentials
        self._events = events
        self._servers: list[ForkServer] = []

    def launch(self, number: int, start: Start, descriptors: Sequence[int]) -> ForkedProcess:
        server = self._server(start)
        channel, theirs = Channel.pair()
        with theirs:
            process = ForkedProcess(channel)
            server.workers[number] = process
            server.process.send(Fork(number), [theirs.fileno()])
        process.send(start, descriptors)
        self._events.launched(number, channel)
        return process

    def _server(self, start: Start) -> ForkServer:
        last = self._servers[-1] if self._servers else None
        if last is not None and last.config is start.config and last.process.status() is None:
            return last
        process = spawn(self._command, self._credentials)
        process.send(Start(start.config, start.search_path, "fork server", []))
        if last is not None:
            last.process.send(Drain(False))  # it goes with the last of its workers
        server = ForkServer(start.config, process)
        self._servers.append(server)
        self._events.serving(process.channel, server)
        return server

    def message_received(self, server: ForkServer, message: Message) -> None:
        if isinstance(message, Forked) and message.number in server.workers:
            server.workers[message.number].forked(message.pid)
        elif isinstance(message, Ended) and message.number in server.workers:
            del server.workers[message.number]
            self._events.ended(message.number, message.status)

    def channel_ended(self, number: int) -> None:
        """A worker's channel has ended: where nobody is left to tell of its end, that is its end."""
        for server in self._servers:
            if number in server.workers and server.process.status() is not None:
                del server.workers[number]
                self._events.ended(number, UNKNOWN)

    def reap(self) -> None:
        """Look for fork servers that have ended."""
        for server in list(self._servers):
            status = server.process.status()
            if status is None:
                continue
            for number, process in list(server.workers.items()):
                if not process.pid:
                    del server.workers[number]
                    self._events.ended(number, status or UNKNOWN)
            if not server.workers:
                self._servers.remove(server)

    def close(self) -> None:
        """All workers have ended: the fork servers go too."""
        for server in self._servers:
            server.process.channel.close()
        for server in self._servers:
            server.process.wait()
