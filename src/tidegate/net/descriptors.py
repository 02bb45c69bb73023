"""The open files of a process (RLIMIT_NOFILE), and how those who wait for a peer share them."""

import resource
from contextlib import suppress
from dataclasses import dataclass

# Left for listeners, logs and the application.
RESERVED = 128
# Of what is left, how much those get at least who are not connections yet: one part in so many for each kind.
PART = 8


@dataclass(frozen=True, slots=True)
class Room:
    """How many there may be at a time of connections, of TLS handshakes, and of PROXY headers that are awaited."""

    connections: int
    handshakes: int
    greetings: int


def make_room(wanted: Room) -> Room:
    """Raise the soft limit of open files as far as `wanted` needs; what it bears of that, one of each at least."""
    total = wanted.connections + wanted.handshakes + wanted.greetings
    return divide(wanted, _raise_limit(total + RESERVED) - RESERVED)


def divide(wanted: Room, descriptors: int) -> Room:
    """As many of `wanted` as so many descriptors bear."""
    if wanted.connections + wanted.handshakes + wanted.greetings <= descriptors:
        return wanted
    part = max(1, descriptors // PART)
    handshakes = min(wanted.handshakes, part)
    greetings = min(wanted.greetings, part)
    connections = max(1, descriptors - handshakes - greetings)
    return Room(min(wanted.connections, connections), handshakes, greetings)


def _raise_limit(needed: int) -> int:
    """The limit as it is then, or `needed` where it is no less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        target = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return needed if soft == resource.RLIM_INFINITY else min(soft, needed)
