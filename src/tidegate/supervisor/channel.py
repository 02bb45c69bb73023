"""What a supervisor and its workers say to each other: small typed messages over a pair of Unix stream sockets.

A message is a tag, the length of its content and how many descriptors go with it (SCM_RIGHTS, unix(7)), then the
content: JSON, but for `Start`, which carries the configuration and is pickled. Nothing that comes from a worker is
unpickled: the supervisor may have rights that its workers have not. Sending never blocks; both directions are bounded.
"""

import array
import json
import pickle
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from tidegate.config import Config

HEADER: Final = struct.Struct("!BIH")
MAX_CONTENT: Final = 1 << 20  # octets of one message: a configuration is a few thousand
MAX_REPORT: Final = 4096  # octets of one message of a worker
MAX_DESCRIPTORS: Final = 250  # in one message; Linux' SCM_MAX_FD is 253
MAX_QUEUED: Final = 4096  # messages that wait for a worker that does not read
READ_SIZE: Final = 1 << 16
ANCILLARY: Final = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)


class ChannelError(Exception):
    """The other side does not keep to the protocol, or does not read."""


class Message:
    """Base of the messages."""

    __slots__ = ()


class Report(Message):
    """Base of what workers and fork servers send: whole numbers, and nothing else."""

    __slots__ = ()


# --- to a worker


@dataclass(frozen=True, slots=True)
class Start(Message):
    """What a worker begins with; the descriptors are its listening sockets', and last the table of connections'.

    `sockets` has each one's key and the index of its address in `config.binds`. The keys in `shared` are of those that
    all workers accept from, of which the worker at `place` of the table takes its share; where `place` is None there
    is no table. `measured` says that one more descriptor
    follows all these: of the memory in which the worker counts.
    """

    config: Config
    search_path: list[str]  # sys.path
    name: str
    sockets: list[tuple[int, int]]
    shared: Sequence[int] = ()
    place: int | None = None
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Adopt(Message):
    """Accept on these sockets too, which have no worker of their own now; the descriptors are theirs."""

    sockets: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Release(Message):
    """Accept no more on these sockets: another worker does."""

    keys: list[int]


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Finish what you have, and go. With `backlog`, first accept what the kernel has queued: nobody else will."""

    backlog: bool


@dataclass(frozen=True, slots=True)
class Hurry(Message):
    """Go now; lifespan shutdown runs."""


@dataclass(frozen=True, slots=True)
class ReopenLogs(Message):
    """Open the log files anew: they have been moved away."""


@dataclass(frozen=True, slots=True)
class DumpStacks(Message):
    """Write the stacks of the threads and tasks to the log, and say so."""


@dataclass(frozen=True, slots=True)
class Fork(Message):
    """To a fork server: fork a worker, whose channel the descriptor is."""

    number: int


# --- from a worker


@dataclass(frozen=True, slots=True)
class Ready(Report):
    """The application's startup is complete, and connections are accepted."""


@dataclass(frozen=True, slots=True)
class Beat(Report):
    """The event loop turns. Connections that are open, requests begun so far, resident memory in octets."""

    connections: int
    requests: int
    resident: int


@dataclass(frozen=True, slots=True)
class Dumped(Report):
    """The stacks are in the log."""


@dataclass(frozen=True, slots=True)
class AskToLeave(Report):
    """The worker was told to stop by somebody else (SIGTERM): replace it."""


@dataclass(frozen=True, slots=True)
class Forked(Report):
    """Of a fork server: the process id of what it forked."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class Ended(Report):
    """Of a fork server: the exit status of what it forked, negative for a signal."""

    number: int
    status: int


KINDS: Final[tuple[type[Message], ...]] = (
    Start, Adopt, Release, Drain, Hurry, ReopenLogs, DumpStacks, Fork, Ready, Beat, Dumped, AskToLeave, Forked, Ended,
)  # fmt: skip
TAGS: Final = {kind: tag for tag, kind in enumerate(KINDS)}


def encode(message: Message, descriptors: int = 0) -> bytes:
    """The message as it goes over the channel. Raises ChannelError where it is too long."""
    if isinstance(message, Start):
        content = pickle.dumps(message)
    else:
        content = json.dumps(asdict(message)).encode()  # type: ignore[call-overload]  # each one is a dataclass
    if len(content) > MAX_CONTENT or descriptors > MAX_DESCRIPTORS:
        raise ChannelError(f"{type(message).__name__} is too long: {len(content)} octets")
    return HEADER.pack(TAGS[type(message)], len(content), descriptors) + content


class Decoder:
    """Messages out of octets and descriptors. `reports` takes what workers may send, and nothing else."""

    def __init__(self, *, reports: bool) -> None:
        self._reports = reports
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> list[tuple[Message, list[int]]]:
        """The messages that are complete, with their descriptors. Raises ChannelError."""
        self._buffer += data
        self._descriptors.extend(descriptors)
        found: list[tuple[Message, list[int]]] = []
        while len(self._buffer) >= HEADER.size:
            tag, length, count = HEADER.unpack_from(self._buffer)
            if tag >= len(KINDS) or issubclass(KINDS[tag], Report) != self._reports:
                raise ChannelError(f"message {tag} is not known here")
            if length > (MAX_REPORT if self._reports else MAX_CONTENT):
                raise ChannelError(f"a message of {length} octets")
            if len(self._buffer) < HEADER.size + length:
                break
            if count > len(self._descriptors):
                raise ChannelError("descriptors are missing")
            content = bytes(self._buffer[HEADER.size : HEADER.size + length])
            del self._buffer[: HEADER.size + length]
            found.append((_decode(KINDS[tag], content), [self._descriptors.popleft() for _ in range(count)]))
        return found


def _decode(kind: type[Message], content: bytes) -> Message:
    if kind is Start:
        start = pickle.loads(content)
        assert isinstance(start, Start)
        return start
    try:
        fields = json.loads(content)
        message = kind(**fields)
        if issubclass(kind, Report) and not all(type(value) is int for value in fields.values()):
            raise ChannelError(f"{kind.__name__}: not numbers")
    except (ValueError, TypeError, RecursionError):
        raise ChannelError(f"{kind.__name__} is malformed") from None
    return message


class Channel:
    """One end. `reports` says that this end receives a worker's messages: it is the supervisor's."""

    def __init__(self, connection: socket.socket, *, reports: bool) -> None:
        self._connection = connection
        self._decoder = Decoder(reports=reports)
        self._queue: deque[tuple[bytes, tuple[int, ...]]] = deque()

    @classmethod
    def pair(cls) -> tuple["Channel", socket.socket]:
        """The supervisor's end, and the socket that goes to the worker."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(ours, reports=True), theirs

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def waiting(self) -> bool:
        """Whether something waits to be sent: call `flush` when the socket is writable."""
        return bool(self._queue)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send, or queue, without ever blocking; silently dropped where the other side is gone.

        Raises ChannelError where the other side does not read.
        """
        if len(self._queue) >= MAX_QUEUED:
            raise ChannelError("the other side does not read")
        self._queue.append((encode(message, len(descriptors)), tuple(descriptors)))
        self.flush()

    def flush(self) -> None:
        """Send of the queue what goes without blocking."""
        while self._queue:
            data, descriptors = self._queue[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            try:
                sent = self._connection.sendmsg(
                    [data], rights if descriptors else [], socket.MSG_DONTWAIT | _NO_SIGNAL
                )
            except BlockingIOError:
                return
            except OSError:  # the other side is gone, which its exit or the channel's end tells
                self._queue.clear()
                return
            if sent < len(data):
                self._queue[0] = (data[sent:], ())
            else:
                self._queue.popleft()

    def receive(self, *, wait: bool = False) -> list[tuple[Message, list[int]]]:
        """The messages that have come; with `wait`, once something has. Raises EOFError, ChannelError."""
        try:
            # Not socket.recv_fds, which drops its flags.
            data, ancillary, _, _ = self._connection.recvmsg(
                READ_SIZE, ANCILLARY, _CLOSE_ON_EXEC | (0 if wait else socket.MSG_DONTWAIT)
            )
        except BlockingIOError:
            return []
        except ConnectionError:
            raise EOFError from None
        if not data:
            raise EOFError
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        return self._decoder.feed(data, descriptors)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()


# Not everywhere.
_NO_SIGNAL: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)
_CLOSE_ON_EXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
