"""A process's cells, in memory that it shares with whoever reads them.

One process writes, in the thread of its event loop, by plain stores; there is no lock. No reader sees half a value:
each cell is one aligned word of 8 octets, which a 64-bit processor stores and loads whole (Intel SDM 3A §9.1.1; Arm ARM
B2.2.1). Two cells may be read a moment apart; so what has to agree is derived from the same cells: the count of a
histogram is the sum of its buckets.
"""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tidegate.metrics.layout import CELLS, IDENTITY, REALS

SIZE: Final = -(-CELLS * 8 // mmap.PAGESIZE) * mmap.PAGESIZE
_SEALS: Final = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")


class Region:
    """`descriptor` is the memory's, for another process; -1 where it is this one's alone."""

    __slots__ = ("descriptor", "integers", "reals")

    def __init__(self, descriptor: int = -1) -> None:
        """Map the memory of `descriptor`, which the region owns from now on; or make some. Raises OSError."""
        self.descriptor = descriptor
        memory = memoryview(mmap.mmap(descriptor, SIZE))
        self.integers = memory.cast("q")
        self.reals = memory.cast("d")

    @classmethod
    def shared(cls) -> "Region":
        """One whose descriptor can be given to another process. Raises OSError."""
        return cls(_shared_memory())

    def claim(self) -> "Region":
        """Say that the cells are as this version lays them out; who writes them does it."""
        self.integers[0] = IDENTITY
        return self

    def read(self) -> list[float]:
        """All cells, as they are now; zeros where they are not laid out as here."""
        integers = self.integers[:CELLS].tolist()
        if integers[0] != IDENTITY:
            return [0] * CELLS
        cells: list[float] = list(integers)
        for cell in REALS:
            cells[cell] = self.reals[cell]
        return cells

    def close(self) -> None:
        """Close the descriptor; the memory goes with its last reader."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def added(cells: Sequence[float], more: Sequence[float]) -> list[float]:
    """Cell by cell."""
    return [one + other for one, other in zip(cells, more, strict=True)]


def _shared_memory() -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tidegate-metrics", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, SIZE)
        # A worker that made it smaller would take the supervisor's pages away: SIGBUS.
        with suppress(AttributeError, OSError):
            seals = sum(getattr(fcntl, name) for name in _SEALS)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return descriptor
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), SIZE)
        return os.dup(file.fileno())
