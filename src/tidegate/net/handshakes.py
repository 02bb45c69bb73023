"""Listening sockets of TLS: accepts, reads the ClientHello without taking it, and has the handshake made.

The ClientHello chooses the certificate (SNI), and says early what can't go on, so that it gets an alert. A client that
is silent costs a socket and little more.
"""

import asyncio
import functools
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from tidegate.config import Bind
from tidegate.net import client_hello
from tidegate.net.accepting import AcceptingListener
from tidegate.net.acceptor import AcceptedConnection, Acceptor
from tidegate.net.client_hello import ClientHello, Incomplete, Malformed, read_client_hello
from tidegate.net.share import Share
from tidegate.net.timers import TimedWire
from tidegate.net.tls import Certificates, ServerContext

logger = logging.getLogger("tidegate")

PEEK: Final = 2 * client_hello.MAX_HELLO + 5
# Seconds that a handshake has before it may be cut for another one: while silent, and after its ClientHello.
MIN_SILENCE: Final = 0.5
MIN_HANDSHAKE: Final = 3.0
# Of records with the most plaintext; what aiofastnet has of itself is four times as much for each connection.
BUFFER: Final = 4 * (client_hello.MAX_RECORD + 64)

PLAIN: Final = b"This port speaks HTTPS: ask for the same URL with https://\n"


class Handshakes:
    """Those of one server that have not come to their end: at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # In the order in which they came.
        self._silent: dict[Handshake, None] = {}
        self._begun: dict[Handshake, None] = {}
        # Told of each one's end, and whether it was a success.
        self.ended: Callable[[bool], None] | None = None

    def __len__(self) -> int:
        return len(self._silent) + len(self._begun)

    def has_room(self, now: float) -> bool:
        """Whether there is room for one more; made, where need be, by cutting the one that waits longest."""
        if len(self) < self._limit:
            return True
        for among, least in ((self._silent, MIN_SILENCE), (self._begun, MIN_HANDSHAKE)):
            oldest = next(iter(among), None)
            if oldest is not None and oldest.since <= now - least:
                oldest.cut()
                return True
        return False

    def add(self, handshake: "Handshake") -> None:
        self._silent[handshake] = None

    def begin(self, handshake: "Handshake") -> None:
        self._silent.pop(handshake, None)
        self._begun[handshake] = None

    def remove(self, handshake: "Handshake") -> None:
        if self.ended is not None and (handshake in self._silent or handshake in self._begun):
            self.ended(handshake.succeeded)
        self._silent.pop(handshake, None)
        self._begun.pop(handshake, None)

    def hurry(self, deadline: float) -> None:
        """Shutdown: those that say nothing until `deadline` are not waited for."""
        for handshake in self._silent:
            handshake.wait_until(deadline)

    def cut(self) -> None:
        """End them all."""
        for handshake in [*self._silent, *self._begun]:
            handshake.cut()


class QuietLoop:
    """The event loop, for aiofastnet, that hears nothing of clients which leave within their handshake.

    aiofastnet tells the loop's exception handler of them, which logs an error for each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # What it calls often, without the way through __getattr__.
        self.call_soon = loop.call_soon
        self.call_later = loop.call_later
        self.add_reader = loop.add_reader
        self.remove_reader = loop.remove_reader
        self.add_writer = loop.add_writer
        self.remove_writer = loop.remove_writer
        self.create_future = loop.create_future
        self.get_debug = loop.get_debug

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # The class is what it gives, in place of an instance.
        if error is not ConnectionResetError and not isinstance(error, OSError):
            self._loop.call_exception_handler(context)


class TLSListener(AcceptingListener):
    """Accepts TLS connections from one bound socket."""

    scheme = "https"

    def __init__(
        self,
        listener: socket.socket,
        bind: Bind,
        backlog: int,
        acceptor: Acceptor,
        certificates: Certificates,
        handshakes: Handshakes,
        share: Share | None = None,
    ) -> None:
        super().__init__(listener, bind, backlog, acceptor, share=share)
        self.certificates = certificates
        self.handshakes = handshakes
        self.quiet_loop = QuietLoop(acceptor.loop)
        if not logger.isEnabledFor(logging.DEBUG):
            # It logs each handshake that fails, as an error.
            logging.getLogger("aiofastnet").setLevel(logging.CRITICAL)

    def has_room(self) -> bool:
        return self.handshakes.has_room(self.acceptor.wheel.now)

    def accepted(self, connected: socket.socket, address: Any) -> None:
        Handshake(self, connected, self.factory).look()

    async def greeted(self, connected: socket.socket, factory: Callable[[], AcceptedConnection]) -> None:
        if self.has_room():
            Handshake(self, connected, factory).look()
        else:
            connected.close()


class Handshake(TimedWire):
    """A connection, from its accept to the end of its handshake."""

    __slots__ = (
        "_deadline",
        "_discarding",
        "_factory",
        "_listener",
        "_needed",
        "_reading",
        "_socket",
        "_task",
        "since",
        "succeeded",
    )

    def __init__(
        self, listener: TLSListener, connected: socket.socket, factory: Callable[[], AcceptedConnection]
    ) -> None:
        super().__init__()
        self._factory = factory
        acceptor = listener.acceptor
        self._listener = listener
        self._socket: socket.socket | None = connected
        self._task: asyncio.Task[None] | None = None
        self._needed = 1
        self._reading = False
        self._discarding = False
        self.succeeded = False
        self.since = acceptor.wheel.now
        self._deadline = self.since + listener.certificates.settings.handshake_timeout
        listener.handshakes.add(self)
        acceptor.wheel.schedule(self, self._deadline)

    def look(self) -> None:
        """Something may have come."""
        connected = self._socket
        if connected is None:
            return
        try:
            data = connected.recv(PEEK, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._wait_for(1)
            return
        except OSError:
            self.cut()
            return
        if len(data) < self._needed:
            # The loop was to say so when there is enough: the peer has ended its side.
            self.cut()
            return
        try:
            hello = read_client_hello(data)
        except Incomplete as missing:
            if connected.family == socket.AF_UNIX:  # has no low-water mark
                self._begin(self._listener.certificates.context_for(""))
            else:
                self._wait_for(missing.needed)
        except Malformed as error:
            self._answer(self._plain() if data[:1].isalpha() else client_hello.alert(error.alert))
        else:
            self._choose(hello)

    def _wait_for(self, octets: int) -> None:
        if octets != self._needed and self._socket is not None:
            # Woken for what is there already, the loop would never sleep.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)
            self._needed = octets
        self._read(self.look)

    def _choose(self, hello: ClientHello) -> None:
        certificates = self._listener.certificates
        if hello.version < certificates.minimum:
            self._answer(client_hello.alert(client_hello.PROTOCOL_VERSION))
        elif hello.alpn and not any(name in certificates.alpn for name in hello.alpn):
            # RFC 7301 §3.2; Python's ssl would go on without.
            self._answer(client_hello.alert(client_hello.NO_APPLICATION_PROTOCOL))
        else:
            self._begin(certificates.context_for(hello.server_name))

    def _begin(self, context: ServerContext) -> None:
        self._stop_reading()
        listener = self._listener
        connected = self._socket
        if connected is None:
            return
        if self._needed > 1:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        listener.handshakes.begin(self)
        self._task = listener.acceptor.loop.create_task(self._shake_hands(connected, context))

    async def _shake_hands(self, connected: socket.socket, context: ServerContext) -> None:
        listener = self._listener
        acceptor = listener.acceptor
        options: dict[str, Any] = {
            "ssl": context,
            "ssl_handshake_timeout": max(0.1, self._deadline - acceptor.wheel.now),
            # What waits to be sent has gone before it begins (see TCPProtocol.close).
            "ssl_shutdown_timeout": max(0.5, acceptor.linger),
        }
        try:
            connect = None if context.needs_python else _fast_connect()
            if connect is None:
                # Where OpenSSL calls Python's ssl module back, the connection has to be the module's own.
                await acceptor.loop.connect_accepted_socket(self._factory, connected, **options)
            else:
                options |= {"ssl_incoming_bio_size": BUFFER, "ssl_outgoing_bio_size": BUFFER}
                transport, _ = await connect(listener.quiet_loop, self._factory, connected, **options)
                context.look_for_kernel_tls(transport)
            self.succeeded = True
        except OSError as error:
            logger.debug("A TLS handshake failed: %s", error or type(error).__name__)
            connected.close()
        except asyncio.CancelledError:
            connected.close()
        except Exception:
            logger.exception("A TLS handshake failed")
            connected.close()
        finally:
            self._socket = None
            self._task = None
            self._forget()

    # --- refusals

    def _plain(self) -> bytes:
        fields = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n" % len(PLAIN)
        defaults = self._listener.acceptor.defaults.lines(False, False)
        return b"HTTP/1.1 400 Bad Request\r\n" + defaults + fields + b"\r\n" + PLAIN

    def _answer(self, data: bytes) -> None:
        connected = self._socket
        if connected is None:
            return
        try:
            connected.send(data)
            connected.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()
            return
        # What is unread when a socket is closed makes it reset the connection, and that eats the answer.
        if self._needed > 1:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self.wait_until(self._listener.acceptor.wheel.now + self._listener.acceptor.linger)
        self._stop_reading()
        self._discarding = True
        self._read(self.discard)

    def discard(self) -> None:
        """Something has come behind the answer, or the end."""
        try:
            more = self._socket is not None and self._socket.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            more = b""
        if not more:
            self.cut()

    # --- its end

    def timeout_due(self, now: float) -> None:
        if self._task is None:
            if now >= self._deadline:
                self.cut()
            else:
                self._listener.acceptor.wheel.schedule(self, self._deadline)

    def wait_until(self, deadline: float) -> None:
        """Go on no longer than that."""
        if deadline < self._deadline:
            self._deadline = deadline
            self._listener.acceptor.wheel.schedule(self, deadline)

    def cut(self) -> None:
        """End it now."""
        if self._task is not None:
            self._task.cancel()
        elif self._socket is not None:
            self._stop_reading()
            with suppress(OSError):
                self._socket.close()
            self._socket = None
        self._forget()

    def _forget(self) -> None:
        self._listener.handshakes.remove(self)
        self._listener.acceptor.wheel.cancel(self)

    def _read(self, callback: Any) -> None:
        if not self._reading and self._socket is not None:
            self._reading = True
            self._listener.acceptor.loop.add_reader(self._socket.fileno(), callback)

    def _stop_reading(self) -> None:
        if self._reading and self._socket is not None:
            self._reading = False
            self._listener.acceptor.loop.remove_reader(self._socket.fileno())


@functools.cache
def _fast_connect() -> Any:
    """aiofastnet's connect_accepted_socket; None where it can't be had on this Python."""
    try:
        from aiofastnet import OPENSSL_DYN_LIBS, connect_accepted_socket
    except ImportError:
        return None
    return None if OPENSSL_DYN_LIBS is None else connect_accepted_socket
