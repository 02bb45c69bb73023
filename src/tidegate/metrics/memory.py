"""How much memory this process has."""

import resource
import sys
from typing import Final

PAGE: Final = resource.getpagesize()


def resident_memory() -> int:
    """This process's, in octets."""
    try:
        with open("/proc/self/statm", "rb") as file:  # proc(5): the second number is in pages
            return int(file.read().split()[1]) * PAGE
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
