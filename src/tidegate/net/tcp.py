"""A TCP or Unix socket connection: moves bytes, timers and flow control between asyncio and a wire protocol."""

import asyncio
import fcntl
import os
import socket
import sys
import termios
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from tidegate.gateway.scope import Peers
from tidegate.http.connection import Connection
from tidegate.http.errors import ProtocolError, RequestError, StreamError
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, StreamHandler
from tidegate.http1.connection import H1Connection
from tidegate.net.acceptor import AcceptedConnection, Acceptor
from tidegate.net.address import address_of
from tidegate.net.files import FileSender
from tidegate.net.negotiate import PREFACE, PrefaceReader, alpn_protocol, begins_preface
from tidegate.net.proxy_protocol import ProxyHeader
from tidegate.net.redirect import https_location
from tidegate.net.upgrade import Upgrade, upgrade_settings

if TYPE_CHECKING:
    from tidegate.gateway.application import Exchange

NEVER = float("inf")
UNSET = -1.0
# The high-water mark that transports have of themselves.
DEFAULT_WRITE_BUFFER = 1 << 16
# Where so many octets were read, there may be more, and uvloop would read up to 31 times again, 256,000 octets each,
# before any other connection has its turn: not where dealing with them took so many seconds.
FULL_READ = 1 << 17
MAX_READ_TIME = 0.001

OPEN = 0
CLOSING = 1  # what is queued is sent, then the transport closes
LINGERING = 2  # our side has ended; input is discarded
LOST = 3


class TCPProtocol(AcceptedConnection):
    """One connection.

    `server` is the address that it came to, None where only the connection itself knows it; `scheme` is http, or https
    behind a TLS transport; `redirect_port`, where it is not 0, the port of https that all requests are sent to;
    `origin` what a PROXY header in front of it said.
    """

    __slots__ = (
        "_acceptor",
        "_connection",
        "_eof",
        "_files",
        "_flush_scheduled",
        "_flushing",
        "_held",
        "_linger_until",
        "_local_size",
        "_origin",
        "_paused",
        "_peers",
        "_progress",
        "_redirect_port",
        "_resting",
        "_scheme",
        "_secure",
        "_server",
        "_stalled_since",
        "_state",
        "_transport",
        "_undecided",
        "_written",
    )

    def __init__(
        self,
        acceptor: Acceptor,
        server: tuple[str, int | None] | None,
        scheme: str,
        redirect_port: int = 0,
        origin: ProxyHeader | None = None,
    ) -> None:
        AcceptedConnection.__init__(self)
        self._acceptor = acceptor
        self._server = server
        self._origin = origin
        self._scheme = scheme
        self._secure = scheme == "https"
        self._redirect_port = redirect_port
        self._transport: Any = None
        self._connection: Connection | None = None
        # Whether what comes first may be of HTTP/2.
        self._undecided = False
        self._peers: Peers | None = None
        self._state = OPEN
        self._eof = False
        # Over TLS: what came before there was room.
        self._held = b""
        # Reading is paused: because the connection asked for it; until the event loop's next turn.
        self._paused = False
        self._resting = False
        self._flush_scheduled = False
        self._linger_until = NEVER
        # TLS: closes once what is queued has gone.
        self._flushing = False
        # How many octets a TLS transport holds, with those that it has encrypted, where it says so.
        self._local_size: Any = None
        # Octets given to the transport or to sendfile, and how many had gone when the peer was last seen to take some.
        self._written = 0
        self._progress = 0
        self._stalled_since = UNSET
        self._files: FileSender | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        acceptor = self._acceptor
        self._transport = transport
        if self._secure:
            self._local_size = getattr(transport, "get_local_write_buffer_size", None)
        if acceptor.write_buffer != DEFAULT_WRITE_BUFFER:
            transport.set_write_buffer_limits(high=acceptor.write_buffer)
        acceptor.connections.add(self)
        if len(acceptor.connections) > acceptor.max_connections:
            acceptor.parked.append(self)
            if not self._secure:
                transport.pause_reading()
            # Else not before something comes: what came together with the end of the handshake, aiofastnet tells a
            # transport that was paused meanwhile only once more comes.
        else:
            self._begin()
        if len(acceptor.connections) >= acceptor.max_connections:
            acceptor.connections_changed()

    def _begin(self) -> None:
        # There is room: from now on it has its time for a request.
        acceptor = self._acceptor
        now = acceptor.wheel.now
        if self._secure and acceptor.open_http2 is not None and alpn_protocol(self._transport) == "h2":
            self._connection = self._open_http2(now)
        else:
            defaults = acceptor.secure_defaults if self._secure else acceptor.defaults
            connection = H1Connection(self, acceptor.limits, defaults, self.open_handler, self.refused, now)
            self._connection = connection
            self._undecided = acceptor.h2c and not self._secure
            if acceptor.shutting_down:
                connection.shutdown(now)
        self.timeout_changed()

    def unpark(self) -> None:
        if self._state != OPEN:
            return
        self._begin()
        held, self._held = self._held, b""
        if held or not self._secure:
            self.resume_reading()
        if held:
            TCPProtocol.data_received(self, held)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        if self._state == OPEN and connection is not None:
            if self._undecided:
                self._undecided = False
                if data[0] == 0x50 and begins_preface(data):
                    self._begin_http2(data)
                    return
            if self._secure:
                written = self._written
                connection.receive_data(data, self._acceptor.wheel.now)
                if self._written == written and self._state == OPEN:
                    self._look_for_reset()
            elif len(data) < FULL_READ:
                connection.receive_data(data, self._acceptor.wheel.now)
            else:
                # Not the loop's time, which stands still within a turn.
                begun = monotonic()
                connection.receive_data(data, self._acceptor.wheel.now)
                if monotonic() - begun > MAX_READ_TIME and self._state == OPEN:
                    self._resting = True
                    self._transport.pause_reading()
                    self._acceptor.loop.call_soon(self._rested)
        elif self._state == OPEN:
            self._held += data
            self._transport.pause_reading()

    def _rested(self) -> None:
        self._resting = False
        if not self._paused:
            self.resume_reading()

    def _look_for_reset(self) -> None:
        # A reset right behind data: uvloop calls a reader once for both, and never again; aiofastnet, which reads once
        # and counts on being called again, does not see it. (What is written next would.)
        connected = self._transport.get_extra_info("socket")
        if connected is not None and connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._transport.pause_reading()
            self._transport.abort()

    def _begin_http2(self, data: bytes) -> None:
        # `data`, the first that came, is HTTP/2's preface, or the beginning of it.
        now = self._acceptor.wheel.now
        if len(data) < len(PREFACE) and self._connection is not None:
            timeout = self._acceptor.preface_timeout
            reader = PrefaceReader(self, self._connection, self._open_http2, self.switch, now, timeout)
            self._connection = reader
            reader.receive_data(data, now)
            self.timeout_changed()
        else:
            self.switch(self._open_http2(now), data, now)

    def _open_http2(self, now: float) -> Connection:
        acceptor = self._acceptor
        opened: Any = acceptor.open_http2
        defaults = acceptor.secure_defaults if self._secure else acceptor.defaults
        connection: Connection = opened(self, defaults, self.open_handler, self.refused, now)
        if acceptor.shutting_down:
            connection.shutdown(now)
        return connection

    def switch(self, connection: Connection, data: bytes, now: float) -> None:
        """Let `connection` take over, and `data` be the first that it receives."""
        self._connection = connection
        connection.receive_data(data, now)
        self.timeout_changed()

    def eof_received(self) -> bool:
        self._eof = True
        if self._state == LINGERING:
            if not self._secure:
                self._transport.close()
        elif self._state == OPEN:
            connection = self._connection
            if connection is not None:
                connection.receive_eof(self._acceptor.wheel.now)
        # The transport stays open for the answer; one of TLS closes in any case, once it has sent what it holds.
        return not self._secure

    def connection_lost(self, error: Exception | None) -> None:
        acceptor = self._acceptor
        self._state = LOST
        files = self._files
        if files is not None:
            files.close()
        acceptor.wheel.cancel(self)
        acceptor.connections.discard(self)
        if acceptor.share is not None:
            acceptor.share.publish()
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.connection_lost()
        if len(acceptor.connections) >= acceptor.max_connections - 1:
            acceptor.make_room(self)

    def pause_writing(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.pause_writing()
        self._acceptor.wheel.schedule(self, UNSET)

    def resume_writing(self) -> None:
        connection = self._connection
        files = self._files
        if self._flushing:
            # Not within the transport's own call.
            self._acceptor.loop.call_soon(self.timeout_due, self._acceptor.wheel.now)
        elif files is not None and files.busy():
            files.resume()
        elif connection is not None:
            connection.resume_writing()

    # --- Wire

    def write(self, data: bytes) -> None:
        if self._state >= CLOSING:
            return
        files = self._files
        if files is not None and files.busy():
            files.enqueue(data)
        else:
            self._written += len(data)
            self._transport.write(data)

    def send_file(self, data: bytes, descriptor: int, offset: int, count: int) -> None:
        if self._state >= CLOSING or count == 0:
            os.close(descriptor)
            if data:
                self.write(data)
            return
        files = self._files
        if files is None:
            files = self._files = FileSender(self, self._transport, self._acceptor.loop, self._secure)
        files.send(data, descriptor, offset, count)

    def read_file(self, descriptor: int, offset: int, count: int) -> bytes:
        try:
            return os.pread(descriptor, count, offset)
        except OSError:
            return b""

    def close_file(self, descriptor: int) -> None:
        os.close(descriptor)

    def count_written(self, count: int) -> None:
        self._written += count

    def unacknowledged(self) -> int:
        if self._state == LOST:
            return 0
        return self._unsent() + self._queued_by_kernel()

    def pause_reading(self) -> None:
        self._paused = True
        if self._state == OPEN and not self._eof:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self._state == OPEN and not self._eof and not self._resting:
            try:
                self._transport.resume_reading()
            except RuntimeError:
                # uvloop has seen a reset (see `_look_for_reset`), and will not watch the connection again.
                self._transport.abort()

    def flush_soon(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._acceptor.loop.call_soon(self.flush_due)

    def flush_due(self) -> None:
        """The loop's callback for `flush_soon`."""
        self._flush_scheduled = False
        connection = self._connection
        if connection is not None and self._state == OPEN:
            connection.flush_due()

    def timeout_changed(self) -> None:
        connection = self._connection
        if connection is not None:
            self._acceptor.wheel.schedule(self, connection.next_timeout())

    def close(self, linger: bool) -> None:
        if self._state >= CLOSING:
            return
        files = self._files
        if files is not None and files.busy():
            # Behind the file.
            files.enqueue(linger)
            return
        acceptor = self._acceptor
        linger = linger and not self._eof and acceptor.linger > 0
        if self._secure:
            self._close_secure(linger)
        elif linger:
            self._state = LINGERING
            self._linger_until = acceptor.wheel.now + acceptor.linger
            acceptor.wheel.schedule(self, self._linger_until)
            try:
                self._transport.write_eof()
                self._transport.resume_reading()
            except OSError:
                # The peer has reset the connection, and the loop has not said so yet.
                self._transport.abort()
        else:
            self._state = CLOSING
            self._transport.close()
            acceptor.wheel.schedule(self, UNSET)

    def _close_secure(self, linger: bool) -> None:
        # A transport of TLS closes both ways at once, and within a time that is no slow peer's: so it is asked to when
        # all that it holds has gone.
        self._state = LINGERING if linger else CLOSING
        transport = self._transport
        transport.resume_reading()
        self._flushing = True
        if self._unsent():
            transport.set_write_buffer_limits(0)
            self._acceptor.wheel.schedule(self, UNSET)
        else:
            self._end_secure()

    def _end_secure(self) -> None:
        self._flushing = False
        acceptor = self._acceptor
        if (
            self._state == LINGERING
            and self._local_size is None
            and isinstance(acceptor.loop, asyncio.BaseEventLoop)
        ):
            # asyncio's own TLS takes what comes behind its close_notify for an error, and resets the connection.
            self._linger_until = acceptor.wheel.now + acceptor.linger
            acceptor.wheel.schedule(self, self._linger_until)
            return
        # Sends close_notify (RFC 8446 §6.1), then discards what comes until the peer's. Not aborted then, where nobody
        # has to linger: aiofastnet's transports, with their buffers, live on until the time for it is over.
        self._transport.close()

    def _unsent(self) -> int:
        unsent: int = (
            self._transport.get_write_buffer_size() if self._local_size is None else self._local_size()
        )
        return unsent

    def abort(self) -> None:
        if self._state == LOST:
            return
        self._state = CLOSING
        self._flushing = False
        self._reset()

    def _reset(self) -> None:
        if self._secure:
            # aiofastnet would go on reading what has come.
            self._transport.pause_reading()
        # A TCP reset tells the peer that what it has is not all.
        connected = self._transport.get_extra_info("socket")
        if connected is not None and connected.family != socket.AF_UNIX:
            with suppress(OSError):  # already gone
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._transport.abort()

    # --- time

    @property
    def idle_since(self) -> float:
        connection = self._connection
        if connection is None or self._state != OPEN:
            return NEVER
        return connection.idle_since

    def timeout_due(self, now: float) -> None:
        if self._state == LOST:
            return
        acceptor = self._acceptor
        unsent = self._unsent()
        files = self._files
        sending = files is not None and files.busy()
        if self._flushing:
            if not unsent and not sending:
                self._end_secure()
                return
            # Looked at again soon: a transport of TLS does not say when the last encrypted octets have gone.
            acceptor.wheel.schedule(self, UNSET)
        if unsent:
            # A slow peer takes from the kernel's buffer long before there is room in it for more.
            unsent += self._queued_by_kernel()
        if unsent or sending:
            gone = self._written - unsent
            if gone != self._progress or self._stalled_since == UNSET:
                self._progress = gone
                self._stalled_since = now
            elif now >= self._stalled_since + acceptor.write_timeout:
                self.abort()
                return
            after = self._stalled_since + acceptor.write_timeout
            if self._linger_until < NEVER:
                # It begins when all has gone.
                self._linger_until = now + acceptor.linger
        else:
            self._stalled_since = UNSET
            after = now + acceptor.write_timeout
            if self._state == LINGERING and now >= self._linger_until:
                if self._secure:
                    self._linger_until = NEVER
                    self._transport.close()
                else:
                    self._transport.abort()
                return
        connection = self._connection
        if self._state == OPEN and connection is not None:
            if not unsent and connection.next_timeout() <= now and self._is_asked():
                acceptor.wheel.schedule(self, UNSET)
                return
            connection.handle_timeout(now)
            connection = self._connection
            if self._state == OPEN and connection is not None:
                due = connection.next_timeout()
                if due < after:
                    after = due
        elif self._state == LINGERING and now < self._linger_until < after:
            after = self._linger_until
        acceptor.wheel.schedule(self, after)

    def _is_asked(self) -> bool:
        """Whether an idle connection has something to read: it is the loop that is late. To close it now would lose a
        request, which for a POST proxies don't send again (RFC 9110 §9.2.2)."""
        if self.idle_since == NEVER:
            return False
        connected = self._transport.get_extra_info("socket")
        try:
            return connected is not None and any(
                fcntl.ioctl(connected.fileno(), termios.FIONREAD, b"\0\0\0\0")
            )
        except OSError:
            return False

    def _queued_by_kernel(self) -> int:
        connected = self._transport.get_extra_info("socket")
        if connected is None or connected.family == socket.AF_UNIX:
            return 0
        try:
            answer = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return 0
        return int.from_bytes(answer, sys.byteorder)

    # --- exchanges

    def open_handler(self, stream: Stream, head: RequestHead) -> StreamHandler:
        """The connection's `open_handler`. Raises RequestError."""
        acceptor = self._acceptor
        gateway = acceptor.gateway
        if self._redirect_port:
            raise RequestError(308, "This is served over HTTPS.", https_location(head, self._redirect_port))
        if gateway.full() or acceptor.queue_delay is not None:
            acceptor.admit(head, self._transport)
        peers = self._peers
        if peers is None:
            peers = self._find_peers()
        if head.forwarded and peers.trusted and acceptor.forwarding is not None:
            peers = acceptor.forwarding.peers(head, peers)
        if head.protocol == b"h2c" and acceptor.h2c_upgrade and peers.scheme == "http":
            upgrade = self._find_upgrade(stream, head)
            if upgrade is not None:
                return upgrade
        handler: Exchange
        if head.protocol == b"websocket" and acceptor.open_websocket is not None:
            handler = acceptor.open_websocket(stream, head, peers)
        else:
            handler = acceptor.open_http(gateway, stream, head, peers)
        if gateway.max_exchanges >= 0:
            handler.reserve()
        return handler

    def _find_upgrade(self, stream: Stream, head: RequestHead) -> StreamHandler | None:
        # What lets HTTP/2 take over from the connection that asks; None where the request is to be served as it is.
        acceptor = self._acceptor
        settings = None if acceptor.shutting_down else upgrade_settings(head)
        if settings is None:
            return None
        connection: Any = self._open_http2(acceptor.wheel.now)
        try:
            connection.take_settings(settings)
        except ProtocolError:
            return None  # malformed too (RFC 7540 §3.2.1)
        return Upgrade(stream, connection, head, acceptor.loop.call_soon, self._upgrade)

    def _upgrade(self, connection: Any, head: RequestHead, data: bytes, paused: bool, ended: bool) -> None:
        now = self._acceptor.wheel.now
        self._connection = connection
        if paused:
            connection.pause_writing()
        connection.upgrade(head)
        if self._acceptor.shutting_down:
            connection.shutdown(now)
        self.resume_reading()
        if data:
            connection.receive_data(data, now)
        if ended:
            connection.receive_eof(now)
        self.timeout_changed()

    def refused(self, error: RequestError | StreamError, head: RequestHead | None) -> None:
        """The connection's `request_refused`."""
        peers = self._find_peers()
        forwarding = self._acceptor.forwarding
        if head is not None and head.forwarded and peers.trusted and forwarding is not None:
            peers = forwarding.peers(head, peers)
        self._acceptor.request_refused(error, head, peers)

    def _find_peers(self) -> Peers:
        peers = self._peers
        if peers is None:
            scheme = self._scheme
            origin = self._origin
            server = self._server
            if origin is not None and origin.secure:
                scheme = "https"
            if origin is not None and origin.known:
                client, server = origin.source, origin.destination
            else:
                client = address_of(self._transport.get_extra_info("peername"))
                if server is None:
                    server = address_of(self._transport.get_extra_info("sockname"))
            forwarding = self._acceptor.forwarding
            trusted = forwarding is not None and forwarding.trusts(None if client is None else client[0])
            peers = Peers(client, server, scheme, None, trusted)
            if self._secure and self._acceptor.tls_extension is not None:
                peers.tls = self._acceptor.tls_extension(self._transport)
            self._peers = peers
        return peers

    def shutdown(self) -> None:
        connection = self._connection
        if connection is not None and self._state == OPEN:
            connection.shutdown(self._acceptor.wheel.now)

    def close_idle(self) -> None:
        connection = self._connection
        if connection is not None and self._state == OPEN and not self._is_asked():
            connection.close_idle()

    def cut(self) -> None:
        connection = self._connection
        if connection is not None and self._state == OPEN:
            connection.cut()
        elif self._state != LOST:
            self._transport.abort()
