"""What runs, in words."""

import platform
from importlib.util import find_spec

from tidegate.http import head
from tidegate.metrics.board import Build
from tidegate.version import __version__


def build_of(loop: str) -> Build:
    """`loop` is the configuration's word for the event loop."""
    kind = "pure Python" if (head.__file__ or "").endswith(".py") else "compiled"
    if loop == "auto":
        loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return Build(__version__, kind, platform.python_version(), loop)
