"""The listening sockets, which are the supervisor's from its start to its end.

A TCP address has one socket for each worker slot where the kernel spreads connections over sockets (SO_REUSEPORT,
socket(7)); all else (a Unix socket, an inherited one, a system without) is one socket that all the workers share.
Sockets are handed in by a service manager (sd_listen_fds(3)) and from one supervisor to the next.
"""

import errno
import logging
import os
import socket
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tidegate.config import Bind, Config
from tidegate.net.listeners import BindError, describe, open_listener
from tidegate.net.share import ConnectionTable

logger = logging.getLogger("tidegate")

FIRST_DESCRIPTOR: Final = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START
SPREADS: Final = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")  # BSD's gives all to the last
SHARED: Final = -1


@dataclass(frozen=True, slots=True)
class Place:
    """A listening socket, the index of its address, and the slot whose it is: SHARED where it is everybody's."""

    listener: socket.socket
    bind: int
    slot: int


class SocketTable:
    """Opens the sockets of `binds`, but for those in `inherited`. Raises BindError."""

    def __init__(self, binds: Sequence[Bind], backlog: int, inherited: Sequence[Place] = ()) -> None:
        self.binds = binds
        self._backlog = backlog
        self._places: dict[int, Place] = dict(enumerate(inherited))
        self._paths = [binds[place.bind].path for place in inherited if binds[place.bind].kind == "unix"]
        self.table: ConnectionTable | None = None
        try:
            for index, bind in enumerate(binds):
                if not any(place.bind == index for place in inherited):
                    self._open(index, bind)
            if any(place.slot == SHARED for place in self._places.values()):
                self.table = ConnectionTable()
        except BaseException:
            self.close()
            raise

    def _open(self, index: int, bind: Bind) -> None:
        listener = open_listener(bind)
        if bind.kind == "tcp" and SPREADS:
            # Only now: bound with it, a second server would be taken for another slot, not for a busy port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._add(Place(listener, index, 0))
        else:
            self._add(Place(listener, index, SHARED))
            if bind.kind == "unix":
                self._paths.append(bind.path)

    def _add(self, place: Place) -> None:
        self._places[max(self._places, default=-1) + 1] = place

    def open_slot(self, index: int) -> None:
        """Open the slot's own sockets beside those of the first slot; where that fails, it shares theirs."""
        for place in list(self._places.values()):
            if place.slot != 0 or any(each.bind == place.bind and each.slot == index for each in self.all()):
                continue
            try:
                self._add(Place(_beside(place.listener), place.bind, index))
            except OSError as error:
                logger.warning("Worker %d shares a socket: %s", index + 1, error.strerror)

    def all(self) -> Sequence[Place]:
        return list(self._places.values())

    def keys(self) -> Sequence[int]:
        return list(self._places)

    def of_slot(self, index: int) -> Sequence[int]:
        """The keys of the slot's sockets: its own, else the first slot's, and the shared ones."""
        found: list[int] = []
        for bind in {place.bind for place in self._places.values()}:
            here = {key: place.slot for key, place in self._places.items() if place.bind == bind}
            own = [key for key, slot in here.items() if slot in (index, SHARED)]
            found += own or [key for key, slot in here.items() if slot == 0]
        return sorted(found)

    def shared(self) -> Sequence[int]:
        return [key for key, place in self._places.items() if place.slot == SHARED]

    def bind_index(self, key: int) -> int:
        return self._places[key].bind

    def descriptor(self, key: int) -> int:
        return self._places[key].listener.fileno()

    def listen(self) -> None:
        """Let connections queue before any worker is up."""
        for place in self._places.values():
            place.listener.listen(self._backlog)

    def describe(self, config: Config) -> Sequence[str]:
        """Each address once, as a URL."""
        shown = (
            describe(place.listener, config.scheme_of(self.binds[place.bind]))
            for place in self._places.values()
        )
        return list(dict.fromkeys(shown))

    def keep_paths(self) -> None:
        """Leave the Unix sockets' paths to the next supervisor."""
        self._paths.clear()

    def close(self) -> None:
        """Close all here; the workers' own stay open. A Unix socket's path goes, so that nobody waits in vain."""
        for place in self._places.values():
            place.listener.close()
        if self.table is not None:
            self.table.close()
            self.table = None
        for path in self._paths:
            with suppress(OSError):
                os.unlink(path)
        self._paths.clear()


def _beside(first: socket.socket) -> socket.socket:
    """Another socket of the same address, among which the kernel spreads connections. Raises OSError."""
    listener = socket.socket(first.family, first.type, first.proto)
    try:
        for level, name in (
            (socket.SOL_SOCKET, socket.SO_REUSEADDR),
            (socket.SOL_SOCKET, socket.SO_REUSEPORT),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        ):
            listener.setsockopt(level, name, 1)
        if first.family == socket.AF_INET6:
            only = first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        listener.bind(first.getsockname())
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


# --- handed in


def activated(environ: MutableMapping[str, str]) -> list[int]:
    """The descriptors that a service manager has opened for this process; the variables go (sd_listen_fds(3))."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return []
    if not count.isascii() or not count.isdigit() or not 0 < int(count) < 1024:
        raise BindError(f"LISTEN_FDS: {count!r} is not a number of sockets")
    descriptors = list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
            socket.socket(fileno=os.dup(descriptor)).close()
        except OSError as error:
            reason = "it is not a socket" if error.errno == errno.ENOTSOCK else os.strerror(error.errno or 0)
            raise BindError(f"LISTEN_FDS: descriptor {descriptor}: {reason}") from None
    return descriptors


def hand_over(table: SocketTable) -> list[list[Any]]:
    """What `take_over` reads, as JSON: the descriptor, address and slot of each socket."""
    return [[place.listener.fileno(), _address(table.binds[place.bind]), place.slot] for place in table.all()]


def take_over(content: list[list[Any]], binds: Sequence[Bind]) -> list[Place]:
    """The sockets of the supervisor before this one, for the addresses that are still wanted. Raises BindError."""
    places = []
    try:
        for descriptor, address, slot in content:
            os.set_inheritable(descriptor, False)
            listener = socket.socket(fileno=descriptor)
            listener.setblocking(False)
            index = next((n for n, bind in enumerate(binds) if _address(bind) == address), None)
            if index is None:
                listener.close()
            else:
                places.append(Place(listener, index, int(slot)))
    except (ValueError, TypeError, OSError) as error:
        raise BindError(f"the sockets that were handed over are unusable: {error}") from None
    return places


def _address(bind: Bind) -> list[Any]:
    return [bind.kind, bind.host, bind.port, bind.path, bind.fd]
