"""The listeners of a server that runs: opened together, closed while it has as many connections as it bears."""

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidegate.config import Bind
from tidegate.net.acceptor import Acceptor
from tidegate.net.listeners import Listener, duplicate
from tidegate.net.share import Share
from tidegate.server.listening import Listening

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("tidegate")

RECHECK = 0.25  # seconds between two looks for idle connections, while accepting pauses


class Doors:
    """The listeners of `listening`, whose connections are `acceptor`'s.

    Each is of a socket of its own, and remembers the `origin` it was asked for by. `share` is for sockets that other
    processes accept from too.
    """

    def __init__(
        self, listening: Listening, acceptor: Acceptor, https_port: int, share: Share | None = None
    ) -> None:
        self._listening = listening
        self._acceptor = acceptor
        self._https_port = https_port
        self._origins: dict[Listener, socket.socket] = {}
        self._open = False
        self._closed = False
        self._switching: asyncio.Task[None] | None = None
        self._share = share
        if share is not None:
            share.count = self._count
            acceptor.share = share

    @property
    def listeners(self) -> Sequence[Listener]:
        return list(self._origins)

    @property
    def addresses(self) -> list[Any]:
        """Where it listens: (host, port) each, or a Unix socket's path."""
        names = [listener.socket.getsockname() for listener in self._origins]
        return [name if isinstance(name, str | bytes) else tuple(name[:2]) for name in names]

    def _count(self) -> int:
        pending = sum(listener.pending for listener in self._origins)
        return len(self._acceptor.connections) + self._listening.handshakes + pending

    def put(self, bound: socket.socket, bind: Bind, origin: socket.socket, *, shared: bool) -> Listener:
        """One more, of `bound`, which is its own from now on."""
        share = self._share if shared else None
        listener = self._listening.make(bound, bind, self._acceptor, self._https_port, share)
        self._origins[listener] = origin
        return listener

    async def open(self) -> None:
        """Accept."""
        self._open = True
        for listener in self.listeners:
            await listener.start()

    async def add(self, origin: socket.socket, bind: Bind, *, shared: bool) -> None:
        """Accept from one more socket; it stays the caller's to close."""
        if not self._closed:
            listener = self.put(duplicate(origin), bind, origin, shared=shared)
            if self._open:
                await listener.start()

    async def remove(self, origin: socket.socket) -> None:
        """Accept no more from a socket: somebody else does."""
        for listener in [each for each, known in self._origins.items() if known is origin]:
            del self._origins[listener]
            await listener.settle()
            listener.close(unlink=False)

    async def close(self, *, backlog: float, unlink: bool) -> None:
        """Accept no more, but what the kernel has queued, for at most `backlog` seconds each."""
        self._closed = True
        if self._share is not None:
            self._share.leave()
        for listener in self.listeners:
            if backlog:
                await listener.drain(backlog)
            await listener.settle()
            listener.close(unlink)

    def connections_changed(self) -> None:
        """There are as many connections as may be, or no more: an idle one makes room, else accepting pauses."""
        acceptor = self._acceptor
        if self._closed:
            return
        idle = None
        if len(acceptor.connections) >= acceptor.max_connections:
            idle = acceptor.longest_idle()
            if idle is not None and len(acceptor.connections) > acceptor.max_connections:
                idle.close_idle()
        full = len(acceptor.connections) >= acceptor.max_connections and idle is None
        if full == self._open:
            self._open = not full
            if full:
                logger.warning("%d connections: accepting pauses", len(acceptor.connections))
                acceptor.loop.call_later(RECHECK, self._look_for_idle)
            if self._switching is None or self._switching.done():
                self._switching = acceptor.loop.create_task(self._switch())

    def _look_for_idle(self) -> None:
        # Connections become idle, and so may be closed for others, without saying so.
        if not self._open and not self._closed:
            self.connections_changed()
            self._acceptor.loop.call_later(RECHECK, self._look_for_idle)

    async def _switch(self) -> None:
        wanted = not self._open
        while wanted != self._open:
            wanted = self._open
            for listener in self.listeners:
                if wanted:
                    await listener.start()
                else:
                    listener.pause()
