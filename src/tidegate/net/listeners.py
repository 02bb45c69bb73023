"""Listening sockets: made from addresses, and served by an event loop that can stop accepting for a while."""

import asyncio
import errno
import functools
import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tidegate.config import Bind
from tidegate.net.acceptor import AcceptedConnection, Acceptor


class BindError(Exception):
    """An address cannot be listened on; the message is one line that names the fix."""


def open_listener(bind: Bind) -> socket.socket:
    """A bound socket that does not listen yet. Raises BindError."""
    try:
        if bind.kind == "fd":
            listener = socket.socket(fileno=os.dup(bind.fd))
        elif bind.kind == "unix":
            listener = _open_unix(bind.path)
        else:
            listener = _open_tcp(bind.host, bind.port)
    except OSError as error:
        raise BindError(f"cannot listen on {bind}: {_reason(error)}") from None
    listener.setblocking(False)
    if listener.family != socket.AF_UNIX:
        # Set here, since Linux lets the accepted sockets inherit them: no system call for each connection.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def duplicate(listener: socket.socket) -> socket.socket:
    """Another descriptor of a listening socket, which does not block from now on.

    Not `socket.dup`, which makes it block if `listener` does, and so in all processes that accept from it.
    """
    made = socket.socket(fileno=os.dup(listener.fileno()))
    made.setblocking(False)
    return made


def _open_tcp(host: str, port: int) -> socket.socket:
    # Octets where they will do: a str loads the tables of IDNA, a megabyte.
    name = host.encode() if host.isascii() else host
    family, kind, proto, _, address = socket.getaddrinfo(
        name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` takes IPv4 too, whatever the system's default is.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener


def _open_unix(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            # A socket that nobody listens on is a leftover; one that is in use is not ours to take.
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
                else:
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        # As uvicorn does: a proxy of another user must be able to connect; the directory decides who may.
        os.chmod(path, 0o666)
    except BaseException:
        listener.close()
        raise
    return listener


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name is not known: give an address of this machine"
    fixes = {
        errno.EADDRINUSE: "the address is in use: stop what listens there, or give another port",
        errno.EACCES: "permission denied: give a port of 1024 or more, or run with the right to take it",
        errno.EADDRNOTAVAIL: "it is not an address of this machine: give one of its own, or 0.0.0.0",
        errno.EBADF: "it is not an open file descriptor",
        errno.ENOTSOCK: "it is not a socket",
        errno.ENOENT: "there is no such directory",
    }
    return fixes.get(error.errno or 0, error.strerror or str(error))


def describe(listener: socket.socket, scheme: str) -> str:
    """Where a client finds a socket, as a URL; `scheme` is http, https or redirect."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    if scheme == "redirect":
        return f"http://{host}:{name[1]} (redirects to https)"
    return f"{scheme}://{host}:{name[1]}"


class Listener:
    """Accepts connections from one bound socket, with pauses in which they wait in the kernel's queue.

    `bind` is the address that the socket was opened for. With a `redirect_port`, all requests are sent to https there.
    """

    scheme = "http"

    def __init__(
        self,
        listener: socket.socket,
        bind: Bind,
        backlog: int,
        acceptor: Acceptor,
        redirect_port: int = 0,
    ) -> None:
        self.socket = listener
        self.bind = bind
        self.backlog = backlog
        self.acceptor = acceptor
        self.redirect_port = redirect_port
        self.factory = self._factory()
        self._server: asyncio.AbstractServer | None = None
        self._accepting = False

    @property
    def pending(self) -> int:
        """How many connections were accepted that are not among the acceptor's yet, handshakes apart."""
        return 0

    def describe(self) -> str:
        """Where a client finds this socket, as a URL."""
        return describe(self.socket, "redirect" if self.redirect_port else self.scheme)

    def _factory(self) -> Callable[..., AcceptedConnection]:
        name = self.socket.getsockname()
        server: tuple[str, int | None] | None = None
        if self.socket.family == socket.AF_UNIX:
            server = (os.fsdecode(name), None)
        elif name[0] not in ("0.0.0.0", "::"):
            server = (name[0], name[1])
        return functools.partial(
            self.acceptor.make_protocol, self.acceptor, server, self.scheme, self.redirect_port
        )

    async def greeted(self, connected: socket.socket, factory: Callable[[], AcceptedConnection]) -> None:
        """Serve a connection that was accepted, and read from, elsewhere; `factory` makes its protocol."""
        await self.acceptor.loop.connect_accepted_socket(factory, connected)

    async def start(self) -> None:
        """Accept connections, again after a `pause`."""
        if self._accepting:
            return
        self._accepting = True
        self._close_server()
        loop = asyncio.get_running_loop()
        # A duplicate, since closing the loop's server closes its socket.
        # asyncio's own loop accepts as many at once as this says, past any limit; the kernel's queue is set behind it.
        options: dict[str, Any] = {"sock": duplicate(self.socket), "backlog": 1}
        if self.socket.family == socket.AF_UNIX:
            if sys.version_info >= (3, 13) and isinstance(loop, asyncio.BaseEventLoop):
                options["cleanup_socket"] = False
            self._server = await loop.create_unix_server(self.factory, **options)
        else:
            self._server = await loop.create_server(self.factory, **options)
        self.socket.listen(self.backlog)
        if not self._accepting:
            self.pause()

    async def drain(self, seconds: float) -> None:
        """Accept what the kernel has queued already, for at most so long."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        deadline = time.monotonic() + seconds
        while self._accepting and poll.poll(0) and time.monotonic() < deadline:
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Accept no more for now, and let what has been accepted be announced: `close` would lose it."""
        self.pause()
        # From accept to connection_made takes asyncio's own loop some turns.
        for _ in range(4):
            await asyncio.sleep(0)

    def pause(self) -> None:
        """Accept no more for now."""
        self._accepting = False
        loop = asyncio.get_running_loop()
        if isinstance(loop, asyncio.BaseEventLoop) and self._server is not None:
            # asyncio's own loop loses a connection that it has accepted and not yet announced if its server is
            # closed meanwhile: only `start` and `close` do that.
            for accepting in self._server.sockets:  # type: ignore[attr-defined]
                loop.remove_reader(accepting.fileno())
        else:
            self._close_server()

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self, unlink: bool) -> None:
        """Accept no more; `unlink` removes a Unix socket's path."""
        self._accepting = False
        self._close_server()
        path = self.socket.getsockname() if self.socket.family == socket.AF_UNIX else None
        self.socket.close()
        if path and unlink:
            with suppress(OSError):
                os.unlink(path)
