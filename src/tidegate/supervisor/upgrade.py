"""USR2: a new supervisor, of whatever version is installed by now, takes the place of the one that runs.

It is started by the old one, as that was started, and inherits the listening sockets. When all its workers are up it
says so through a pipe; the old one then drains its workers and ends. When the pipe ends before, all stays as it was.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final

from tidegate.config import Bind, Config
from tidegate.net.listeners import BindError
from tidegate.supervisor.sockets import Place, SocketTable, hand_over, take_over

VARIABLE: Final = "TIDEGATE_HANDOVER"


class Predecessor:
    """The supervisor that this one takes over from."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._pipe: int = content["pipe"]
        self._sockets: list[list[Any]] = content["sockets"]
        self.activated: list[int] = content["activated"]
        self.admin: int = content["admin"]  # the admin address's socket; -1 where there is none
        os.set_inheritable(self._pipe, False)

    @classmethod
    def find(cls, environ: MutableMapping[str, str]) -> "Predecessor | None":
        """The one that started this process; its variable goes. Raises BindError."""
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        try:
            return cls(json.loads(text))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise BindError(f"{VARIABLE}: it does not come from a supervisor: {error}") from None

    def sockets(self, binds: Sequence[Bind]) -> list[Place]:
        """Its listening sockets. Raises BindError."""
        return take_over(self._sockets, binds)

    def relieve(self) -> None:
        """All workers are up here: the old ones may go."""
        with suppress(OSError):  # it has gone already
            os.write(self._pipe, b"\0")
        os.close(self._pipe)


class Successor:
    """The new supervisor, while it starts. Readable when it is ready, or has ended. Raises OSError."""

    def __init__(
        self,
        table: SocketTable,
        activated: Sequence[int],
        directory: str,
        environ: Mapping[str, str],
        admin: int = -1,
    ) -> None:
        self._reading, writing = os.pipe()
        sockets = hand_over(table)
        content = {"pipe": writing, "sockets": sockets, "activated": list(activated), "admin": admin}
        environment = {**environ, VARIABLE: json.dumps(content)}
        # It will be the main process; this one's number is not its own.
        environment.pop("WATCHDOG_PID", None)
        try:
            self._popen = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                cwd=directory,
                env=environment,
                pass_fds=[writing, *(each[0] for each in sockets), *([admin] if admin >= 0 else [])],
            )
        except OSError:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def fileno(self) -> int:
        return self._reading

    def is_ready(self) -> bool:
        """Once readable: whether it is ready; else it has ended, or is about to."""
        ready = bool(os.read(self._reading, 1))
        os.close(self._reading)
        return ready

    def terminate(self) -> None:
        self._popen.terminate()

    def reap(self) -> None:
        self._popen.poll()


def working_directory() -> str:
    """Where this process was started, by the name that its user knows: a symbolic link may lead elsewhere by now."""
    named, real = os.environ.get("PWD", ""), os.getcwd()
    try:
        return named if os.path.samefile(named, real) else real
    except OSError:
        return real


def activated_config(config: Config, descriptors: Sequence[int]) -> tuple[Bind, ...]:
    """The addresses of `config`, in order, as the sockets that a service manager opened."""
    from dataclasses import replace

    first = config.binds[0]
    binds = [*config.binds, *[first] * len(descriptors)][: len(descriptors)]
    return tuple(replace(bind, kind="fd", fd=fd) for bind, fd in zip(binds, descriptors, strict=True))
