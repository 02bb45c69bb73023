"""Files on a connection, in their place among what else is written: by the kernel's sendfile, or copied where TLS is
not the kernel's."""

import asyncio
import os
import socket
from typing import Any

from tidegate.net.acceptor import AcceptedConnection

# One call of sendfile, or one turn of the copying path, moves at most this much before other connections have a turn.
MAX_TURN = 1 << 20
COPY_SIZE = 1 << 16
COPY_DELAY = 0.005  # seconds


class FileTransfer:
    """What is still to be sent of an open file; `copying` where sendfile cannot be used, `encrypting` where it is the
    kernel's TLS that sends it."""

    __slots__ = ("copying", "count", "descriptor", "encrypting", "offset", "scheduled")

    def __init__(self, descriptor: int, offset: int, count: int) -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.count = count
        self.copying = False
        self.encrypting = False
        self.scheduled = False


class FileSender:
    """Sends the files of one connection. While it is `busy`, what else is written has to be given to it; `wire` is
    paused where a file does not go at once, and resumed behind the last."""

    __slots__ = ("_file", "_loop", "_queue", "_secure", "_socket", "_transport", "_wire", "_writer_added")

    def __init__(
        self, wire: AcceptedConnection, transport: Any, loop: asyncio.AbstractEventLoop, secure: bool
    ) -> None:
        self._wire = wire
        self._transport = transport
        self._loop = loop
        self._secure = secure
        self._file: FileTransfer | None = None
        self._queue: list[Any] | None = None
        self._socket: socket.socket | None = None
        self._writer_added = False

    def busy(self) -> bool:
        """Whether a file is being sent."""
        return self._file is not None

    def send(self, data: bytes, descriptor: int, offset: int, count: int) -> None:
        """Send `data`, then the file; owns the descriptor."""
        file = FileTransfer(descriptor, offset, count)
        if self._file is not None:
            self.enqueue(data)
            self.enqueue(file)
        else:
            self._start(data, file)

    def enqueue(self, item: Any) -> None:
        """While busy: send octets, or close the connection where `item` is a bool (to linger or not), behind the
        files."""
        if self._queue is None:
            self._queue = []
        self._queue.append(item)

    def resume(self) -> None:
        """The transport takes more."""
        if self._file is not None and self._file.copying:
            self._copy()

    def close(self) -> None:
        """The connection is lost: close what is open."""
        self._remove_writer()
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None
        if self._queue is not None:
            for item in self._queue:
                if isinstance(item, FileTransfer):
                    os.close(item.descriptor)
            self._queue = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _start(self, data: bytes, file: FileTransfer) -> None:
        self._file = file
        if not self._secure and self._transport.get_write_buffer_size() == 0:
            # Straight to the socket, since nothing waits in the transport before it.
            try:
                if self._send_data(data):
                    self._send_file()
                    return
            except OSError:
                self._transport.abort()
                return
        elif data:
            self._wire.count_written(len(data))
            self._transport.write(data)
        self._wire.pause_writing()
        if self._secure and self._transport.get_extra_info("ktls_send_enabled"):
            self._send_encrypted()
        else:
            file.copying = True
            self._copy()

    def _send_data(self, data: bytes) -> bool:
        # Past the transport; False where only the transport could take (the rest of) it.
        connected = self._socket
        if connected is None:
            # uvloop has no loop.sendfile, and lets no one watch its transport's own descriptor.
            original = self._transport.get_extra_info("socket")
            descriptor = os.dup(original.fileno())
            connected = socket.socket(original.family, socket.SOCK_STREAM, original.proto, fileno=descriptor)
            self._socket = connected
        sent = 0
        if data:
            try:
                sent = connected.send(data, socket.MSG_MORE | socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            self._wire.count_written(len(data))
            if sent < len(data):
                self._transport.write(data[sent:])
                return False
        return True

    def _send_file(self) -> None:
        file = self._file
        connected = self._socket
        if file is None or connected is None:
            return
        turn = MAX_TURN
        out = connected.fileno()
        try:
            while file.count > 0 and turn > 0:
                sent = os.sendfile(out, file.descriptor, file.offset, min(file.count, turn))
                if sent == 0:
                    # The file has become shorter than what was announced.
                    self._wire.abort()
                    return
                turn -= sent
                self._wire.count_written(sent)
                file.offset += sent
                file.count -= sent
        except BlockingIOError:
            pass
        except OSError:
            self._transport.abort()
            return
        if file.count > 0:
            if not self._writer_added:
                self._writer_added = True
                self._loop.add_writer(out, self._send_file)
                self._wire.pause_writing()
        else:
            self._end()

    def _send_encrypted(self, done: Any = None) -> None:
        # By the kernel, behind what waits in the transport; called again when a piece has gone.
        file = self._file
        if file is None or (done is not None and (done.cancelled() or done.exception())):
            return
        file.encrypting = True
        piece = min(file.count, MAX_TURN)
        if piece == 0:
            self._end()
            return
        file.count -= piece
        self._wire.count_written(piece)
        try:
            with open(file.descriptor, "rb", closefd=False, buffering=0) as opened:
                waiter = self._transport.sendfile(opened, file.offset, piece)
        except (OSError, ValueError, RuntimeError):
            # The file has become shorter than what was announced, or the peer has gone.
            self._wire.abort()
            return
        file.offset += piece
        if waiter is None:
            self._loop.call_soon(self._send_encrypted)
        else:
            waiter.add_done_callback(self._send_encrypted)

    def _copy(self) -> None:
        # The transport's own pause and resume drive this, and `_copy_more`, since a transport that was paused all along
        # does not say so again.
        file = self._file
        turn = MAX_TURN
        while file is not None and file.count > 0:
            waiting = self._transport.get_write_buffer_size() >= COPY_SIZE
            if waiting or turn <= 0:
                if not file.scheduled:
                    file.scheduled = True
                    self._loop.call_later(COPY_DELAY if waiting else 0, self._copy_more, file)
                return
            try:
                data = os.pread(file.descriptor, min(COPY_SIZE, file.count), file.offset)
            except OSError:
                data = b""
            if not data:
                self._wire.abort()
                return
            file.offset += len(data)
            file.count -= len(data)
            turn -= len(data)
            self._wire.count_written(len(data))
            self._transport.write(data)
        if file is not None:
            self._end()

    def _copy_more(self, file: FileTransfer) -> None:
        file.scheduled = False
        if self._file is file:
            self._copy()

    def _end(self) -> None:
        file = self._file
        self._file = None
        if file is not None:
            os.close(file.descriptor)
            paused = file.copying or file.encrypting or self._writer_added
            self._remove_writer()
            queue = self._queue
            self._queue = None
            while queue and self._file is None:
                item = queue.pop(0)
                if isinstance(item, FileTransfer):
                    self._start(b"", item)
                elif isinstance(item, bytes):
                    self._wire.write(item)
                else:
                    self._wire.close(item)
            if queue:
                self._queue = queue
            elif paused and self._file is None:
                self._wire.resume_writing()

    def _remove_writer(self) -> None:
        if self._writer_added and self._socket is not None:
            self._writer_added = False
            self._loop.remove_writer(self._socket.fileno())
