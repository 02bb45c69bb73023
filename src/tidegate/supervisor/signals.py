"""Which signal means what to a supervisor, and how it comes to its loop."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final


class Command(Enum):
    STOP = auto()
    QUIT = auto()
    RELOAD = auto()
    REOPEN_LOGS = auto()
    UPGRADE = auto()
    MORE = auto()
    FEWER = auto()
    REAP = auto()


SIGNALS: Final = {
    signal.SIGTERM: Command.STOP,
    signal.SIGINT: Command.STOP,
    signal.SIGQUIT: Command.QUIT,
    signal.SIGHUP: Command.RELOAD,
    signal.SIGUSR1: Command.REOPEN_LOGS,
    signal.SIGUSR2: Command.UPGRADE,
    signal.SIGTTIN: Command.MORE,
    signal.SIGTTOU: Command.FEWER,
    signal.SIGCHLD: Command.REAP,
}


class SignalPipe:
    """Readable when signals have come; only the main thread may make one."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        return self._reading

    def read(self) -> list[Command]:
        """What has been asked for since, in order."""
        try:
            numbers = os.read(self._reading, 4096)
        except BlockingIOError:
            return []
        return [SIGNALS[signal.Signals(number)] for number in numbers if number in SIGNALS]

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Catch the signals; what they did before comes back at the end."""
        previous = {number: signal.signal(number, lambda number, frame: None) for number in SIGNALS}
        descriptor = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(self._reading)
            os.close(self._writing)
