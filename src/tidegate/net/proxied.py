"""Accepts connections that begin with a PROXY header.

The header is taken off the socket before there is a transport: peeked at, so that not an octet behind it is read. What
follows, TLS or HTTP, meets a connection like any other.
"""

import asyncio
import functools
import logging
import socket
import time
from typing import Any

from tidegate.gateway.forwarded import TrustedPeers
from tidegate.net.accepting import AcceptingListener
from tidegate.net.address import address_of
from tidegate.net.listeners import Listener
from tidegate.net.proxy_protocol import ProxyHeader, ProxyHeaderParser, ProxyProtocolError
from tidegate.net.share import Share

logger = logging.getLogger("tidegate")

PEEK = 4096


class ProxyListener(AcceptingListener):
    """A listener whose peers are `trusted` proxies that send a header of `version` within `timeout` seconds.

    It accepts in place of `behind`, which serves what follows. Beyond `max_greetings` connections whose header is
    awaited, others wait in the kernel's queue.
    """

    def __init__(
        self,
        behind: Listener,
        version: str,
        trusted: TrustedPeers,
        timeout: float,
        max_greetings: int,
        share: Share | None = None,
    ) -> None:
        super().__init__(
            behind.socket, behind.bind, behind.backlog, behind.acceptor, behind.redirect_port, share
        )
        self.scheme = behind.scheme
        self._behind = behind
        self._version = version
        self._trusted = trusted
        self._timeout = timeout
        self._max_greetings = max_greetings
        self._greeting: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        return len(self._greeting)

    async def drain(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        await super().drain(seconds)
        if self._greeting:
            await asyncio.wait(self._greeting, timeout=max(0.0, deadline - time.monotonic()))

    async def settle(self) -> None:
        self.pause()
        if self._greeting:
            await asyncio.wait(self._greeting)

    def close(self, unlink: bool) -> None:
        for task in self._greeting:
            task.cancel()
        super().close(unlink)

    def has_room(self) -> bool:
        return len(self._greeting) < self._max_greetings

    def accepted(self, connected: socket.socket, address: Any) -> None:
        task = self.acceptor.loop.create_task(self._greet(connected, address))
        self._greeting.add(task)
        task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[None]) -> None:
        self._greeting.discard(task)
        if len(self._greeting) == self._max_greetings - 1:
            self.go_on()

    async def _greet(self, connection: socket.socket, address: Any) -> None:
        peer = address_of(address)
        try:
            if not self._trusted.trusts(None if peer is None or peer[1] is None else peer[0]):
                raise ProxyProtocolError("it is not one of --forwarded-allow-ips")
            async with asyncio.timeout(self._timeout):
                header = await self._read_header(connection)
            if header is not None:
                await self._connect(connection, header)
                return
        except TimeoutError:
            self._refuse(peer, f"no whole header within {self._timeout:g} s")
        except ProxyProtocolError as error:
            self._refuse(peer, str(error))
        except OSError as error:
            logger.debug("PROXY protocol: %s: %s", peer, error)
        except asyncio.CancelledError:
            connection.close()
            raise
        connection.close()

    async def _read_header(self, connection: socket.socket) -> ProxyHeader | None:
        """The header; None where the peer ends the connection before it sent anything, as health checks do."""
        parser = ProxyHeaderParser(self._version)
        started = False
        while parser.header is None:
            try:
                data = connection.recv(PEEK, socket.MSG_PEEK)
            except BlockingIOError:
                await _readable(connection)
                continue
            if not data:
                if started:
                    raise ProxyProtocolError("the connection ended within the header")
                return None
            started = True
            connection.recv(parser.receive(data))
        return parser.header

    async def _connect(self, connection: socket.socket, header: ProxyHeader) -> None:
        await self._behind.greeted(connection, functools.partial(self._behind.factory, origin=header))

    def _refuse(self, peer: Any, reason: str) -> None:
        shown = "a Unix socket" if peer is None else f"{peer[0]}:{peer[1]}"
        logger.warning("PROXY protocol: closed the connection of %s: %s", shown, reason)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(connection.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection.fileno())


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
