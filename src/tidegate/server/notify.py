"""sd_notify(3): tells a service manager how the service is. Nothing happens where none asked for it."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

PATIENCE: Final = 1.0  # seconds


class ServiceManager:
    """The one that NOTIFY_SOCKET names. `watchdog` is how often, in seconds, `alive` is due; None for never."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # An abstract name begins with @ there, with NUL for the kernel; other kinds (vsock) are not for services.
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else None
        self.watchdog = _watchdog(environ) if self._address else None

    def send(self, *lines: str) -> None:
        """Send assignments such as READY=1. A manager that does not listen is not waited for."""
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(PATIENCE)
            connection.sendto("\n".join(lines).encode(), self._address)

    def ready(self) -> None:
        self.send("READY=1")

    def reloading(self) -> None:
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self.send("STOPPING=1")

    def alive(self) -> None:
        self.send("WATCHDOG=1")

    def main_process(self, pid: int) -> None:
        """Another process is the service's main one from now on."""
        self.send(f"MAINPID={pid}")


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Half of what sd_watchdog_enabled(3) says, as it advises."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isascii() or not microseconds.isdigit() or not int(microseconds):
        return None
    return int(microseconds) / 2_000_000
