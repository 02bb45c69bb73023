"""The admin address of many processes: each worker counts in memory of its own, which the supervisor reads.

The supervisor's loop tells what it knows; a thread answers.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

from tidegate.admin.thread import AdminThread, open_admin
from tidegate.config import Config
from tidegate.metrics.board import Board
from tidegate.metrics.board import Process as Shown
from tidegate.metrics.region import Region
from tidegate.net.listeners import BindError
from tidegate.server.build import build_of
from tidegate.supervisor.channel import Start
from tidegate.supervisor.supervisor import Supervisor
from tidegate.supervisor.worker import Launcher, Process


class Admin:
    """Stands before `launcher`, to give each worker its memory. Raises BindError.

    `inherited` is the descriptor of the address's socket, from the supervisor before this one; None or -1 for none.
    """

    def __init__(self, config: Config, inherited: int | None, launcher: Launcher) -> None:
        self._launcher = launcher
        self._config = config
        self._supervisor: Supervisor | None = None
        self._listener = self._open(inherited)
        self._board: Board | None = None
        self._thread: AdminThread | None = None

    def _open(self, inherited: int | None) -> socket.socket:
        bind = self._config.admin_bind
        assert bind is not None
        if inherited is None or inherited < 0:
            return open_admin(bind)
        try:
            os.set_inheritable(inherited, False)
            return socket.socket(fileno=inherited)
        except OSError as error:
            raise BindError(f"admin: the socket that was handed over is unusable: {error}") from None

    def watch(self, supervisor: Supervisor) -> None:
        """Show this supervisor's workers."""
        self._supervisor = supervisor
        build = build_of(self._config.loop)
        self._board = Board(build, lambda: supervisor.serving, supervisor.restarts)
        self._thread = AdminThread(self._config, self._board, self._listener)

    @property
    def descriptor(self) -> int:
        """The address's socket's, for the next supervisor."""
        return self._listener.fileno()

    def start(self) -> None:
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.stop()

    def keep_path(self) -> None:
        """Leave a Unix socket's path to the next supervisor."""
        if self._thread is not None:
            self._thread.keep_path = True

    # --- Launcher

    def launch(self, number: int, start: Start, descriptors: Sequence[int]) -> Process:
        region = Region.shared()
        try:
            process = self._launcher.launch(
                number, replace(start, measured=True), [*descriptors, region.descriptor]
            )
        except OSError:
            region.close()
            raise
        if self._board is not None:
            self._board.add(number, region)
        return process

    # --- what the supervisor's loop knows

    def show(self, now: float) -> None:
        """Show the workers as they are; `now` is the supervisor's time."""
        if self._supervisor is None or self._board is None:
            return
        began = time.time() - now
        self._board.show(
            {
                number: Shown(
                    worker.slot.index + 1,
                    worker.process.pid,
                    worker.state.name.lower(),
                    round(began + worker.started_at, 1),
                )
                for number, worker in self._supervisor.workers.items()
            }
        )

    def retire(self, number: int) -> None:
        """A worker's process has ended."""
        if self._board is not None:
            self._board.retire(number)
