"""Who is tried: four workers each, with what its own documentation offers for each event."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ..process import tree
from ..servers import free_port

HERE = Path(__file__).parent
WORKERS = 4
START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """`recycle` are the options that replace a worker after N requests; empty where there are none.

    `events` are those that it documents.
    """

    name: str
    distribution: str
    arguments: str
    recycle: str
    events: frozenset[str]


def tidegate() -> Server:
    return Server(
        "tidegate",
        "tidegate",
        "-m tidegate --port PORT --workers 4 --no-access-log --pid-file PID app:app",
        "--recycle-requests N",
        frozenset({"hup", "kill", "scale", "recycle", "usr2"}),
    )


def peers() -> list[Server]:
    return [
        Server(
            "uvicorn",
            "uvicorn",
            "-m uvicorn --port PORT --workers 4 --no-access-log --log-level warning app:app",
            "--limit-max-requests N --limit-max-requests-jitter 50",
            frozenset({"hup", "kill", "scale", "recycle"}),
        ),
        Server(
            "granian",
            "granian",
            "-m granian --port PORT --workers 4 --interface asgi --respawn-failed-workers --no-access-log app:app",
            "",
            frozenset({"hup", "kill"}),
        ),
        Server(
            "gunicorn",
            "gunicorn",
            "BIN/gunicorn --bind 127.0.0.1:PORT --workers 4 --worker-class asgi --pid PID --no-control-socket"
            " --log-level warning app:app",
            "--max-requests N --max-requests-jitter 50",
            frozenset({"hup", "kill", "scale", "recycle", "usr2"}),
        ),
        Server(
            "h2corn",
            "h2corn",
            "-m h2corn --port PORT --workers 4 --no-access-log app:app",
            "--max-requests N --max-requests-jitter 50",
            frozenset({"hup", "kill", "scale", "recycle"}),
        ),
    ]


class Running:
    """A server that runs; `pid` is its main process'."""

    def __init__(self, server: Server, python: str, logs: Path, *, recycle: int = 0) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.server = server
        self.port = free_port()
        self.log = logs / f"{server.name}.log"
        self.pid_file = logs / f"{server.name}.pid"
        self.pid_file.unlink(missing_ok=True)
        text = server.arguments
        if recycle:
            text = text.replace(" app:app", f" {server.recycle} app:app").replace(" N", f" {recycle}")
        text = text.replace("PORT", str(self.port)).replace("PID", str(self.pid_file))
        text = text.replace("BIN", str(Path(python).parent))  # gunicorn's USR2 fails behind python -m
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self.log.open("a") as output:
            self._process = subprocess.Popen(
                [python, *text.split()],
                cwd=HERE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_until_up(self) -> None:
        """Until it accepts, and its workers have had time to come up."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.server.name} ended: see {self.log}")
            time.sleep(0.05)
        time.sleep(2)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> None:
        """End it, and what it left behind."""
        pids = {self.pid, *tree(self.pid)}
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline and any(alive(pid) for pid in pids):
            self._process.poll()
            time.sleep(0.05)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == self._process.pid:  # nobody else's
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
