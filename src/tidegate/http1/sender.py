"""An HTTP/1.1 connection's output: pieces held for one write, by whoever makes them within one turn."""

from tidegate.http.defaults import ResponseDefaults
from tidegate.http.stream import Wire
from tidegate.http1.stream import StreamOwner

# Output is held back for one write at most up to this many octets.
MAX_HELD = 65536
# Above this, joining pieces into one costs more than writing them apart.
MAX_JOINED = 32768


class H1Sender(StreamOwner):
    """What a connection sends to its wire."""

    __slots__ = ("_first", "_out_size", "_pipelining", "_receiving", "_rest", "_wire")

    def __init__(self, wire: Wire, defaults: ResponseDefaults) -> None:
        StreamOwner.__init__(self, defaults)
        self._wire = wire
        # Held: often one piece, which then needs no list.
        self._first = b""
        self._rest: list[bytes] = []
        self._out_size = 0
        # What was read is being dealt with: what is sent meanwhile is written at the end of that.
        self._receiving = False
        # A pipelined request was opened in the event loop's next turn.
        self._pipelining = False

    def send(self, data: bytes) -> None:
        """Hold `data` for the next flush."""
        if self._out_size == 0:
            self._first = data
        else:
            self._rest.append(data)
        self._out_size += len(data)
        if self._out_size >= MAX_HELD:
            self._write_out()

    def send_file(self, descriptor: int, offset: int, count: int) -> None:
        """Send part of a file behind what is held; the wire owns the descriptor."""
        data = self._first + b"".join(self._rest)
        self._drop_out()
        self._wire.send_file(data, descriptor, offset, count)

    def flush(self) -> None:
        """Write what is held: a step of the application has ended."""
        if self._receiving or self._out_size == 0:
            return
        if self._pipelining:
            # The next request's application is already in the event loop's queue: its answer goes in the same
            # write.
            self._wire.flush_soon()
        else:
            self._write_out()

    def unacknowledged(self) -> int:
        return self._wire.unacknowledged()

    def _drop_out(self) -> None:
        self._first = b""
        self._rest.clear()
        self._out_size = 0

    def _write_out(self) -> None:
        size = self._out_size
        if size == 0:
            return
        first = self._first
        rest = self._rest
        self._first = b""
        self._out_size = 0
        self._pipelining = False
        if not rest:
            self._wire.write(first)
            return
        self._rest = []
        if size > MAX_JOINED:
            self._wire.write(first)
            for data in rest:
                self._wire.write(data)
        elif len(rest) == 1:
            self._wire.write(first + rest[0])
        else:
            rest.insert(0, first)
            self._wire.write(b"".join(rest))
