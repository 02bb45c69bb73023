"""One server process."""

from tidegate.net.listeners import BindError
from tidegate.server.server import Server, ShutdownError, StartupError

__all__ = ["BindError", "Server", "ShutdownError", "StartupError"]
