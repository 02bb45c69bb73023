"""The supervisor's process: a loop to which signals, messages, the ends of processes and time come."""

import logging
import math
import os
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tidegate.config import Config, ConfigError
from tidegate.server.build import build_of, limits_of
from tidegate.server.notify import ServiceManager
from tidegate.server.room import room_for
from tidegate.supervisor.channel import Channel, ChannelError, Message
from tidegate.supervisor.development import DevelopmentSupervisor, hasty
from tidegate.supervisor.launcher import Credentials, FreshLauncher
from tidegate.supervisor.preload import ForkLauncher, ForkServer
from tidegate.supervisor.signals import Command, SignalPipe
from tidegate.supervisor.sockets import SocketTable
from tidegate.supervisor.supervisor import Supervisor
from tidegate.supervisor.title import set_title
from tidegate.supervisor.upgrade import Predecessor, Successor, working_directory
from tidegate.supervisor.worker import Launcher, Plan

if TYPE_CHECKING:
    from tidegate.supervisor.measured import Admin

logger = logging.getLogger("tidegate")

CPU_MAX: Final = "/sys/fs/cgroup/cpu.max"  # of Linux' control groups, version 2


@dataclass(frozen=True, slots=True)
class Commands:
    """How the processes are started; the channel's descriptor follows."""

    worker: Sequence[str]
    fork_server: Sequence[str]


class Host:
    """Runs a supervisor to its end.

    `load` reads the configuration anew and raises ConfigError; `activated` are the descriptors that a service
    manager opened, of which `config.binds` tell. Raises BindError and ConfigError before it starts a worker.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        commands: Commands,
        reopen_logs: Callable[[], None],
        *,
        activated: Sequence[int] = (),
        predecessor: Predecessor | None = None,
    ) -> None:
        self._config = config
        self._load = load
        self._reopen_logs = reopen_logs
        self._activated = activated
        self._predecessor = predecessor
        self._successor: Successor | None = None
        self._directory = working_directory()
        self._selector = selectors.DefaultSelector()
        self._channels: dict[int, Channel] = {}
        self._manager = ServiceManager(os.environ)
        self._alive_due = None if self._manager.watchdog is None else time.monotonic()
        self._posted: deque[Callable[[], None]] = deque()
        self._posted_reading, self._posted_writing = os.pipe()
        self._pid_file: str | None = None
        credentials = Credentials.of(config.workers)
        places = predecessor.sockets(config.binds) if predecessor is not None else ()
        self._sockets = SocketTable(config.binds, config.backlog, places)
        self._launcher: FreshLauncher | ForkLauncher
        if config.workers.preload and not config.reload:
            self._launcher = ForkLauncher(commands.fork_server, credentials, self)
        else:
            terminal = config.reload and sys.stdin is not None
            self._launcher = FreshLauncher(commands.worker, credentials, self, terminal=terminal)
        kind = DevelopmentSupervisor if config.reload else Supervisor
        plan = self._plan(hasty(config) if config.reload else config)
        self._admin: Admin | None = None
        launcher: Launcher = self._launcher
        if config.admin_bind is not None:
            from tidegate.supervisor import measured  # here, since it needs an event loop

            self._admin = measured.Admin(
                config, None if predecessor is None else predecessor.admin, self._launcher
            )
            launcher = self._admin
        self._supervisor = kind(plan, sys.path, self._sockets, launcher, self)
        if self._admin is not None:
            self._admin.watch(self._supervisor)

    def run(self) -> int:
        """Supervise until asked to stop; returns the exit code."""
        config = self._config
        set_title(f"supervisor [{config.app}]")
        signals = SignalPipe()
        supervisor = self._supervisor
        watcher = None
        try:
            with signals.catching():
                logger.info("%s: supervisor, process %d", build_of(config.loop), os.getpid())
                logger.info(
                    "Limits of each worker: %s", limits_of(config, room_for(config, config.binds).connections)
                )
                if self._predecessor is None:
                    self._write_pid_file()
                self._selector.register(signals, selectors.EVENT_READ, lambda: self._obey(signals.read()))
                self._selector.register(self._posted_reading, selectors.EVENT_READ, self._run_posted)
                if config.reload:
                    from tidegate.supervisor.reload import Watcher  # here, since it needs watchfiles

                    self._sockets.listen()
                    watcher = Watcher(config, lambda told: self._post(lambda: self._changed(told)))
                    watcher.start()
                if self._admin is not None:
                    self._admin.start()
                supervisor.start(time.monotonic())
                while not supervisor.finished:
                    self._turn()
                self._launcher.close()
        finally:
            if watcher is not None:
                watcher.stop()
            if self._admin is not None:
                self._admin.stop()
            self._sockets.close()
            self._remove_pid_file()
            self._selector.close()
            for descriptor in (self._posted_reading, self._posted_writing):
                os.close(descriptor)
        logger.info("The supervisor ends")
        return supervisor.exit_code

    def _turn(self) -> None:
        """Wait for something, and see to it."""
        for channel in self._channels.values():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.waiting else 0)
            known = self._selector.get_key(channel)
            if known.events != wanted:
                self._selector.modify(channel, wanted, known.data)
        dues = [due for due in (self._supervisor.next_due(), self._alive_due) if due is not None]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else None
        for selected, _ in self._selector.select(timeout):
            selected.data()
        now = time.monotonic()
        # After the messages: what a worker said while this process was held up is no silence.
        self._supervisor.tick(now)
        if self._admin is not None:
            self._admin.show(now)
        if self._manager.watchdog is not None and self._alive_due is not None and now >= self._alive_due:
            self._manager.alive()
            self._alive_due = now + self._manager.watchdog

    # --- ProcessEvents

    def launched(self, number: int, channel: Channel) -> None:
        self._channels[number] = channel
        self._selector.register(channel, selectors.EVENT_READ, lambda: self._read(number, channel))

    def ended(self, number: int, status: int) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            self._read(number, channel)  # what it said last
            self._forget(number)
            channel.close()
        worker = self._supervisor.workers.get(number)
        if worker is not None:
            self._supervisor.exited(worker, status, time.monotonic())
        if self._admin is not None:
            self._admin.retire(number)

    def serving(self, channel: Channel, server: ForkServer) -> None:
        self._selector.register(
            channel, selectors.EVENT_READ, lambda: self._read_fork_server(channel, server)
        )

    def _read(self, number: int, channel: Channel) -> None:
        """Take what a worker says."""
        if self._channels.get(number) is not channel:
            return  # it ended in this very turn of the loop
        channel.flush()
        try:
            messages = channel.receive()
        except EOFError:
            self._forget(number)
            if isinstance(self._launcher, ForkLauncher):
                self._launcher.channel_ended(number)
            return
        except ChannelError as error:
            self._refuse(number, error)
            return
        for message, _ in messages:
            self._take(number, message)

    def _take(self, number: int, message: Message) -> None:
        worker = self._supervisor.workers.get(number)
        if worker is not None:
            self._supervisor.message_received(worker, message, time.monotonic())

    def _refuse(self, number: int, error: ChannelError) -> None:
        self._forget(number)
        worker = self._supervisor.workers.get(number)
        if worker is not None:
            logger.error("%s: %s: killing it", worker, error)
            worker.process.signal(9)

    def _read_fork_server(self, channel: Channel, server: ForkServer) -> None:
        assert isinstance(self._launcher, ForkLauncher)
        try:
            for message, _ in channel.receive():
                self._launcher.message_received(server, message)
        except (EOFError, ChannelError):
            self._selector.unregister(channel)

    def _forget(self, number: int) -> None:
        channel = self._channels.pop(number, None)
        if channel is not None:
            self._selector.unregister(channel)

    # --- signals

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            now = time.monotonic()
            if command is Command.REAP:
                self._launcher.reap()
                if self._successor is not None:
                    self._successor.reap()
            elif command is Command.STOP:
                logger.info("Stopping")
                self._stop_successor()
                self._supervisor.stop(now)
            elif command is Command.QUIT:
                logger.info("Stopping now")
                self._stop_successor()
                self._supervisor.quit(now)
            elif command is Command.RELOAD:
                self._reload(now)
            elif command is Command.REOPEN_LOGS:
                self._reopen_logs()
                self._supervisor.reopen_logs()
            elif command is Command.UPGRADE:
                self._upgrade()
            else:
                self._supervisor.scale(1 if command is Command.MORE else -1, now)

    def _reload(self, now: float) -> None:
        try:
            config = self._load()
        except ConfigError as error:
            logger.error("Not reloaded: %s", error)
            return
        if not self._activated and config.binds != self._config.binds:
            logger.warning("Other addresses take a restart, or USR2: the sockets stay as they are")
        config = replace(config, binds=self._config.binds, reload=self._config.reload)
        self._supervisor.roll(self._plan(hasty(config) if config.reload else config), now)

    def _plan(self, config: Config) -> Plan:
        count = config.workers.count
        return Plan.of(config, 1 if count is None else count or processors())

    # --- development

    def _post(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in the loop; from any thread."""
        self._posted.append(callback)
        with suppress(OSError):
            os.write(self._posted_writing, b"\0")

    def _run_posted(self) -> None:
        os.read(self._posted_reading, 4096)
        while self._posted:
            self._posted.popleft()()

    def _changed(self, told: str) -> None:
        logger.info("%s: reloading", told)
        self._supervisor.roll(self._supervisor.plan, time.monotonic())

    # --- the next supervisor

    def _upgrade(self) -> None:
        if self._successor is not None or self._supervisor.stopping or self._config.reload:
            logger.warning("USR2: not now")
            return
        if os.getpid() == 1:
            logger.error("USR2: a container ends with its process 1: replace the container")
            return
        try:
            admin = -1 if self._admin is None else self._admin.descriptor
            self._successor = Successor(self._sockets, self._activated, self._directory, os.environ, admin)
        except OSError as error:
            logger.error("USR2: no new supervisor: %s", error)
            return
        logger.info("USR2: the new supervisor is process %d", self._successor.pid)
        self._selector.register(self._successor, selectors.EVENT_READ, self._hear_successor)

    def _hear_successor(self) -> None:
        successor = self._successor
        assert successor is not None
        self._selector.unregister(successor)
        self._successor = None
        if not successor.is_ready():
            logger.error("USR2: the new supervisor did not come up: this one goes on")
            return
        logger.info("USR2: the new supervisor is ready: this one goes")
        self._manager.main_process(successor.pid)
        self._sockets.keep_paths()
        if self._admin is not None:
            self._admin.keep_path()
        self._supervisor.stop(time.monotonic(), successors_serve=True)

    def _stop_successor(self) -> None:
        if self._successor is not None:
            self._successor.terminate()

    # --- Notify

    def ready(self) -> None:
        if self._predecessor is not None:
            self._predecessor.relieve()
            self._predecessor = None
            self._write_pid_file()
        self._manager.ready()

    def reloading(self) -> None:
        self._manager.reloading()

    def stopping(self) -> None:
        self._manager.stopping()

    # --- the pid file

    def _write_pid_file(self) -> None:
        path = self._config.workers.pid_file
        if path is None:
            return
        try:
            # Renamed into place, so that nobody reads half a number.
            new = f"{path}.{os.getpid()}"
            with open(new, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            os.replace(new, path)
        except OSError as error:
            raise ConfigError(f"--pid-file: can't write {path}: {error.strerror}") from None
        self._pid_file = os.path.abspath(path)

    def _remove_pid_file(self) -> None:
        if self._pid_file is None:
            return
        with suppress(OSError, ValueError):
            with open(self._pid_file, encoding="ascii") as file:
                ours = int(file.read()) == os.getpid()  # the next supervisor may have written its own
            if ours:
                os.unlink(self._pid_file)


def processors(limit_file: str = CPU_MAX) -> int:
    """How many this process may use, by its affinity and by its control group's limit."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        with open(limit_file, encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, max(1, math.ceil(int(quota) / int(period))))
    return count
