"""Each process' share of the connections that come to a socket from which several of them accept.

They accept as they wake up, and the first to wake up takes more. So each tells the others how many connections it has,
in memory that they share, and one that has more than its share leaves the next connection to the others.
"""

import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES: Final = 2048  # processes at a time: twice as many as workers, since each may have a successor
WORD: Final = 8  # octets
TABLE_SIZE: Final = (1 + 2 * PLACES) * WORD
ABSENT: Final = -1  # as the number of connections of a process that accepts none
# More than the mean of all that accept, by an eighth and a few: a handful of connections is not worth a wait.
SHARE: Final = 9 / 8
MARGIN: Final = 4


class ConnectionTable:
    """Memory for up to `PLACES` processes, given out by the one that starts them; `descriptor` is what they open.

    The highest place in use, then for each its open connections and how many it has accepted: words that only their
    own process writes, so that there is nothing to lock. Who reads an old one is a little less even.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("tidegate-connections")
        else:
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        os.truncate(self.descriptor, TABLE_SIZE)
        self._words = _map(self.descriptor)
        self._taken: set[int] = set()

    def take(self) -> int | None:
        """A place for a process; None where there is none left."""
        place = next((place for place in range(PLACES) if place not in self._taken), None)
        if place is not None:
            self._taken.add(place)
            self.hide(place)
            self._words[0] = max(self._taken) + 1
        return place

    def hide(self, place: int) -> None:
        """The process at `place` does not accept now: the others are not to wait for it."""
        self._words[1 + 2 * place] = ABSENT

    def free(self, place: int) -> None:
        """The process has ended."""
        self.hide(place)
        self._taken.discard(place)

    def close(self) -> None:
        self._words.release()
        os.close(self.descriptor)


class Share:
    """One process at its `place` of the table that `descriptor` is of. `count` says how many connections it has."""

    def __init__(self, descriptor: int, place: int) -> None:
        self._words = _map(descriptor)
        self._own = 1 + 2 * place
        self.count: Callable[[], int] = int

    def publish(self) -> None:
        """The number of connections has changed."""
        self._words[self._own] = self.count()

    def accepted(self) -> None:
        self._words[self._own + 1] += 1
        self.publish()

    def leave(self) -> None:
        """Accept no more."""
        self.count = lambda: ABSENT
        self.publish()

    def may_accept(self) -> bool:
        """Whether the next connection is this process' own to take."""
        self.publish()
        words = self._words
        present = [count for count in words[1 : 1 + 2 * words[0] : 2].tolist() if count >= 0]
        return bool(words[self._own] * len(present) <= sum(present) * SHARE + MARGIN * len(present))

    def taken_by_others(self) -> int:
        """How many the others have accepted so far."""
        words = self._words
        return sum(words[2 : 2 + 2 * words[0] : 2].tolist()) - int(words[self._own + 1])


def _map(descriptor: int) -> memoryview:
    return memoryview(mmap.mmap(descriptor, TABLE_SIZE)).cast("q")
