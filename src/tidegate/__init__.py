"""Tidegate: an ASGI server, and (in `tidegate.web`) an ASGI toolkit."""

from typing import TYPE_CHECKING, Any

from tidegate.version import __version__

__all__ = ["__version__", "run"]

if TYPE_CHECKING:
    from tidegate.cli.main import run


def __getattr__(name: str) -> Any:
    # Lazy, so that importing tidegate.web never loads the server.
    if name == "run":
        from tidegate.cli.main import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
