"""What runs, and within which limits, in words."""

import platform
from importlib.util import find_spec

from tidegate.config import Config
from tidegate.config.option import Size
from tidegate.http import head
from tidegate.metrics.board import Build
from tidegate.version import __version__


def build_of(loop: str) -> Build:
    """`loop` is the configuration's word for the event loop."""
    kind = "pure Python" if (head.__file__ or "").endswith(".py") else "compiled"
    if loop == "auto":
        loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return Build(__version__, kind, platform.python_version(), loop)


def limits_of(config: Config, connections: int) -> str:
    """Those that an operator asks for first; each process has them for itself. `connections`: how many there may be."""
    limits, timeouts = config.limits, config.timeouts
    size = Size().format

    def known(value: int | None, unit: str) -> str:
        return f"{'any number of' if value is None else value} {unit}"

    at_most = f"{connections} connections"
    if connections < limits.connections:
        at_most += f" (not {limits.connections}: the limit of open files is too low)"
    return ", ".join(
        [
            at_most,
            known(limits.concurrency, "requests at once"),
            f"heads of {size(limits.head)}",
            "bodies of any size" if limits.body is None else f"bodies of {size(limits.body)}",
            f"head {timeouts.head:g} s, idle {timeouts.keep_alive:g} s, shutdown {timeouts.graceful_shutdown:g} s",
        ]
    )
