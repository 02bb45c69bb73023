"""The real server as a process: `python -m tidegate`, as a user starts it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.wire import Client

ADDRESS = re.compile(r"https?://127\.0\.0\.1:([0-9]+)")


class ServerProcess:
    """A running server; `log` is all that it has written to its two outputs so far."""

    host = "127.0.0.1"
    port = 0

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        pass_fds: Sequence[int] = (),
        python: str = sys.executable,
        within: Sequence[str] = (),
    ) -> None:
        """`within`: a command that runs another one, which is then the server."""
        # The working directory is inherited, for a relative PYTHONPATH and the coverage settings.
        self.process = subprocess.Popen(
            [*within, python, "-m", "tidegate", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            pass_fds=pass_fds,
        )
        self.pid = self.process.pid
        self.log = ""
        self.ended = False
        self.changed = threading.Condition()
        self.clients: list[Client] = []
        self.reader = threading.Thread(target=self.read_output, daemon=True)
        self.reader.start()

    def read_output(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self.changed:
                    self.log += line.decode(errors="backslashreplace")
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def wait_for_log(
        self, pattern: "str | re.Pattern[str]", timeout: float = 30, count: int = 1
    ) -> re.Match[str]:
        """The `count`th match in the log; fails when it does not come within `timeout` seconds."""

        def matches() -> list[re.Match[str]]:
            return list(re.finditer(pattern, self.log))

        with self.changed:
            self.changed.wait_for(lambda: len(matches()) >= count or self.ended, timeout)
            found = matches()
        assert len(found) >= count, f"no {pattern!r} in the server's log:\n{self.log}"
        return found[count - 1]

    def client(self, **options: Any) -> Client:
        """A new connection; closed with the server, if not before."""
        client = Client(self.host, self.port, **options)
        self.clients.append(client)
        return client

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        """The exit code; fails where the process does not end within `timeout` seconds."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end within {timeout} s:\n{self.log}") from None
        self.reader.join(timeout=5)
        return code

    def terminate(self, timeout: float = 30) -> int:
        """Ask the server to stop (SIGTERM) and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    @property
    def resident(self) -> int:
        """Resident memory of the process, octets."""
        return self.status("VmRSS")

    def status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"^{name}:\s+([0-9]+) kB$", text, re.MULTILINE)
        assert match is not None, text
        return int(match[1]) * 1024

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@contextmanager
def start_server(
    *arguments: str,
    app: str,
    app_dir: Path,
    env: Mapping[str, str] | None = None,
    exit_code: int | None = 0,
    within: Sequence[str] = (),
) -> Iterator[ServerProcess]:
    """Serve `app` ("module:attribute" in `app_dir`) on a free port of 127.0.0.1, until the block ends.

    Where the test has not ended the server itself, it is asked to stop, and has to exit with `exit_code`.
    """
    server = ServerProcess(
        ["--host", "127.0.0.1", "--port", "0", "--app-dir", str(app_dir), *arguments, app],
        env or {},
        within=within,
    )
    try:
        server.port = int(server.wait_for_log(ADDRESS, timeout=60)[1])
        yield server
        if server.process.poll() is None:
            code = server.terminate()
            assert exit_code is None or code == exit_code, f"exit code {code}:\n{server.log}"
    finally:
        for client in server.clients:
            client.close()
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
        server.reader.join(timeout=5)


def run_command(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `python -m tidegate` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tidegate", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
        timeout=timeout,
    )


def eventually(condition, timeout: float = 20, interval: float = 0.01):  # type: ignore[no-untyped-def]
    """The first true value of `condition()`; fails when there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {condition}"
        time.sleep(interval)


def free_port() -> int:
    """One of 127.0.0.1, for a server that cannot be given port 0."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
