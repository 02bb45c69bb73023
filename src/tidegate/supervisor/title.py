"""What `ps` shows of a process, where setproctitle is installed."""

from importlib import import_module


def set_title(text: str) -> None:
    """`tidegate: TEXT`."""
    try:
        module = import_module("setproctitle")
    except ImportError:
        return
    module.setproctitle(f"tidegate: {text}")
