"""Development: the application in a child process, started anew when its files change.

The listening sockets are this process's, and stay open: while no child is there, connections wait in the
kernel. A pipe goes to the child. It carries what the child needs to begin (see `Start`), then what asks it to stop:
an octet, or the pipe's end, which also comes when this process dies. The first of these means gracefully, the
second at once.
"""

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath
from types import FrameType
from typing import Final

from watchfiles import Change, DefaultFilter, watch

from tidegate.config import Config

logger = logging.getLogger("tidegate")

# A developer waits for a reload; a page that is left open must not make that long.
MAX_IDLE: Final = 0.2
MAX_GRACE: Final = 2.0
MAX_CANCEL: Final = 1.0
SLACK: Final = 1.0  # what the child has beyond its own timeouts, and between "at once" and the end by force
LENGTH: Final = 8  # octets, before the pickle
POLL: Final = 500  # milliseconds between looks at the child, while no file changes


@dataclass(frozen=True, slots=True)
class Start:
    """What the child process begins with."""

    config: Config
    search_path: list[str]  # sys.path
    descriptors: list[int]  # of the listening sockets, which it inherits

    def write(self, pipe: int) -> None:
        """Raises BrokenPipeError where the child is gone."""
        content = pickle.dumps(self)
        left = len(content).to_bytes(LENGTH, "big") + content
        while left:
            left = left[os.write(pipe, left) :]

    @staticmethod
    def read(pipe: int) -> "Start":
        """Raises EOFError where the parent is gone."""
        start = pickle.loads(_read_exactly(pipe, int.from_bytes(_read_exactly(pipe, LENGTH), "big")))
        assert isinstance(start, Start)
        return start


class SourceFilter(DefaultFilter):
    """Passes files that match an include and no exclude, and nothing in directories such as .git."""

    def __init__(self, includes: Sequence[str], excludes: Sequence[str]) -> None:
        super().__init__()
        self._includes = includes
        self._excludes = excludes

    def __call__(self, change: Change, path: str) -> bool:
        if not super().__call__(change, path):
            return False
        file = PurePath(path)
        if any(place.match(pattern) for pattern in self._excludes for place in (file, *file.parents)):
            return False
        return any(file.match(pattern) for pattern in self._includes)


class Reloader:
    """Runs `command` as the child, with the number of the pipe's descriptor as its last argument."""

    def __init__(self, config: Config, sockets: Sequence[socket.socket], command: Sequence[str]) -> None:
        timeouts = config.timeouts
        self._config = replace(
            config,
            timeouts=replace(
                timeouts,
                shutdown_idle=min(timeouts.shutdown_idle, MAX_IDLE),
                graceful_shutdown=min(timeouts.graceful_shutdown, MAX_GRACE),
                shutdown_cancel=min(timeouts.shutdown_cancel, MAX_CANCEL),
            ),
        )
        self._sockets = sockets
        self._command = command
        self._directories = config.reload_dirs or (config.app_dir,)
        self._filter = SourceFilter(config.reload_includes, config.reload_excludes)
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None

    def run(self) -> None:
        """Serve and reload until SIGINT or SIGTERM."""
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            logger.info("Watching %s for changes", ", ".join(map(os.path.abspath, self._directories)))
            self._start()
            for changes in watch(
                *self._directories,
                watch_filter=self._filter,
                stop_event=self._stop,
                rust_timeout=POLL,
                yield_on_timeout=True,
                raise_interrupt=False,
            ):
                if changes:
                    logger.info("%s: reloading", _told(changes))
                    self._end()
                    if not self._stop.is_set():
                        self._start()
                else:
                    self._look()
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        reading, writing = os.pipe()
        descriptors = [listener.fileno() for listener in self._sockets]
        self._child = subprocess.Popen([*self._command, str(reading)], pass_fds=(reading, *descriptors))
        os.close(reading)
        self._pipe = writing
        with suppress(BrokenPipeError):  # the child is gone already; `_look` tells
            Start(self._config, sys.path, descriptors).write(writing)

    def _look(self) -> None:
        """Tell, once, that the child has ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            logger.warning("The application ended (status %d): waiting for a change", self._child.returncode)
            self._end()

    def _end(self) -> None:
        """End the child: gracefully, then at once, then by force."""
        child = self._child
        if child is None:
            return
        pipe = self._pipe
        if pipe is not None:
            with suppress(OSError):  # the child is gone, or a second signal has closed the pipe
                os.write(pipe, b"\0")
        timeouts = self._config.timeouts
        graceful = timeouts.graceful_shutdown + timeouts.shutdown_cancel + timeouts.lifespan_shutdown + SLACK
        for seconds, harder in ((graceful, self._close_pipe), (SLACK, child.kill)):
            try:
                child.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                logger.warning("The application does not stop: ending it")
                harder()
        child.wait()
        self._close_pipe()
        self._child = None

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            if self._pipe is not None:  # the second one: at once
                self._close_pipe()
            elif self._child is not None:  # the third: by force
                self._child.kill()
        self._stop.set()


def _told(changes: set[tuple[Change, str]]) -> str:
    names = sorted({os.path.relpath(path) for _, path in changes})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read_exactly(pipe: int, count: int) -> bytes:
    content = b""
    while len(content) < count:
        read = os.read(pipe, count - len(content))
        if not read:
            raise EOFError("the pipe ended")
        content += read
    return content
