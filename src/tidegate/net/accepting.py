"""Accepting connections by ourselves, where the event loop's own server will not do."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from tidegate.config import Bind
from tidegate.net.acceptor import Acceptor
from tidegate.net.listeners import Listener
from tidegate.net.share import Share

logger = logging.getLogger("tidegate")

ACCEPTS: Final = 32  # in one turn of the loop
RETRY: Final = 0.25  # seconds until accepting goes on, where there was no room
LOOK: Final = 0.002  # seconds between two looks at what the others have
PATIENCE: Final = 0.02  # seconds that a connection is left to the others
# Connections that are taken beyond the share once nobody else took any: more and more while that lasts.
FIRST_GRANT: Final = 4
MAX_GRANT: Final = 256


class AcceptingListener(Listener):
    """Accepts connections from one bound socket itself; those beyond its `share` once nobody else has taken them."""

    def __init__(
        self,
        listener: socket.socket,
        bind: Bind,
        backlog: int,
        acceptor: Acceptor,
        redirect_port: int = 0,
        share: Share | None = None,
    ) -> None:
        super().__init__(listener, bind, backlog, acceptor, redirect_port)
        self._share = share
        self._reading = False
        self._retry: asyncio.TimerHandle | None = None
        self._grant = 0
        self._granted = 0

    def has_room(self) -> bool:
        """Whether one more can be accepted now; else `go_on` is called when it can, or it is tried again later."""
        return True

    def accepted(self, connected: socket.socket, address: Any) -> None:
        """A connection has come."""
        raise NotImplementedError

    async def start(self) -> None:
        if not self._accepting:
            self._accepting = True
            self.socket.listen(self.backlog)
            self.go_on()

    def pause(self) -> None:
        self._accepting = False
        self._rest()

    async def drain(self, seconds: float) -> None:
        self._share = None  # all that is queued is this process' own
        self.go_on()
        await super().drain(seconds)

    def close(self, unlink: bool) -> None:
        self.pause()
        super().close(unlink)

    def go_on(self) -> None:
        """There is room."""
        if self._accepting and not self._reading:
            self._rest()
            self._reading = True
            self.acceptor.loop.add_reader(self.socket.fileno(), self.accept)

    def accept(self) -> None:
        """The socket is readable."""
        for _ in range(ACCEPTS):
            if not self._reading:
                return
            if not self.has_room():
                self._rest(RETRY, self.go_on)
                return
            if self._share is not None and not self._is_ours(self._share):
                self._leave_to_others(self._share, self._share.taken_by_others(), PATIENCE)
                return
            try:
                connected, address = self.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    logger.warning("Accepting pauses: %s", error.strerror)
                    self._rest(RETRY, self.go_on)
                return
            connected.setblocking(False)
            self.accepted(connected, address)
            if self._share is not None:
                self._share.accepted()

    def _is_ours(self, share: Share) -> bool:
        if share.may_accept():
            return True
        self._granted -= 1
        return self._granted >= 0

    def _leave_to_others(self, share: Share, taken: int, seconds: float) -> None:
        """Have them accept, who have accepted `taken` so far; go on where they don't in so many seconds."""
        if share.may_accept() or share.taken_by_others() != taken:
            self._grant = self._granted = 0
            self.go_on()
        elif seconds > 0:
            self._rest(LOOK, self._leave_to_others, share, taken, seconds - LOOK)
        else:
            self._grant = self._granted = min(max(FIRST_GRANT, 2 * self._grant), MAX_GRANT)
            self.go_on()

    def _rest(self, seconds: float = 0.0, then: Callable[..., None] | None = None, *arguments: Any) -> None:
        """Accept no more, with `then` until it is called."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._reading:
            self._reading = False
            self.acceptor.loop.remove_reader(self.socket.fileno())
        if then is not None:
            self._retry = self.acceptor.loop.call_later(seconds, then, *arguments)


class SharedListener(AcceptingListener):
    """Accepts connections without TLS from a socket that other processes accept from too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        return len(self._connecting)

    def accepted(self, connected: socket.socket, address: Any) -> None:
        task = self.acceptor.loop.create_task(self._connect(connected))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def settle(self) -> None:
        self.pause()
        if self._connecting:
            await asyncio.wait(self._connecting)

    async def _connect(self, connected: socket.socket) -> None:
        try:
            await self.greeted(connected, self.factory)
        except OSError as error:
            logger.debug("A connection ended as it began: %s", error)
            connected.close()
