"""New processes: each worker a fresh interpreter, with no lock, loop or thread of anybody else's."""

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tidegate.config import ConfigError, Workers
from tidegate.supervisor.channel import Channel, Message, Start

PATIENCE: Final = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom workers run as; None is as the supervisor."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None
    umask: int = -1

    @classmethod
    def of(cls, workers: Workers) -> "Credentials":
        """As `--user`, `--group` and `--umask` say. Raises ConfigError."""
        user = group = None
        groups: tuple[int, ...] | None = None
        if workers.user is not None:
            entry = _find(pwd.getpwnam, pwd.getpwuid, workers.user, "--user")
            user, group = entry.pw_uid, entry.pw_gid
            groups = tuple(os.getgrouplist(entry.pw_name, group))
        if workers.group_name is not None:
            group = _find(grp.getgrnam, grp.getgrgid, workers.group_name, "--group").gr_gid
            groups = (group,)
        for flag, wanted, own in (("--user", user, os.geteuid()), ("--group", group, os.getegid())):
            if wanted not in (None, own) and os.geteuid() != 0:
                raise ConfigError(f"{flag}: only root may change it: start as root, or leave it out")
        if os.geteuid() != 0:
            groups = None
        return cls(user, group, groups, -1 if workers.umask is None else workers.umask)


def _find(by_name: Callable[[str], Any], by_id: Callable[[int], Any], wanted: str, flag: str) -> Any:
    try:
        return by_id(int(wanted)) if wanted.isascii() and wanted.isdigit() else by_name(wanted)
    except (KeyError, OverflowError):
        raise ConfigError(f"{flag}: there is no {wanted}: check the name") from None


class ProcessEvents(Protocol):
    """Who is told of processes."""

    def launched(self, number: int, channel: Channel) -> None:
        """There is a process; its messages come over `channel`."""

    def ended(self, number: int, status: int) -> None: ...


class FreshProcess:
    """A worker that was spawned."""

    def __init__(self, popen: "subprocess.Popen[bytes]", channel: Channel) -> None:
        self.channel = channel
        self._popen = popen

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self.channel.send(message, descriptors)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._popen.poll()

    def wait(self) -> None:
        """Wait for its end, for a little while; then make one."""
        try:
            self._popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class FreshLauncher:
    """Runs `command`, with the number of the channel's descriptor as its last argument."""

    def __init__(
        self,
        command: Sequence[str],
        credentials: Credentials,
        events: ProcessEvents,
        *,
        terminal: bool = False,
    ) -> None:
        self._command = command
        self._credentials = credentials
        self._events = events
        self._terminal = terminal
        self._processes: dict[int, FreshProcess] = {}

    def launch(self, number: int, start: Start, descriptors: Sequence[int]) -> FreshProcess:
        process = spawn(self._command, self._credentials, terminal=self._terminal)
        process.send(start, descriptors)
        self._processes[number] = process
        self._events.launched(number, process.channel)
        return process

    def reap(self) -> None:
        """Tell of the processes that have ended."""
        for number, process in list(self._processes.items()):
            status = process.status()
            if status is not None:
                del self._processes[number]
                self._events.ended(number, status)

    def close(self) -> None:
        """All processes have ended."""


def spawn(command: Sequence[str], credentials: Credentials, *, terminal: bool = False) -> FreshProcess:
    """Run `command` with a channel; without `terminal` it has no input. Raises OSError."""
    channel, theirs = Channel.pair()
    try:
        popen = subprocess.Popen(
            [*command, str(theirs.fileno())],
            stdin=None if terminal else subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            user=credentials.user,
            group=credentials.group,
            extra_groups=credentials.groups,
            umask=credentials.umask,
        )
    except (OSError, subprocess.SubprocessError) as error:
        channel.close()
        raise OSError(getattr(error, "errno", None) or 0, str(error)) from None
    finally:
        theirs.close()
    return FreshProcess(popen, channel)
