"""--reload, with real processes: no request is refused, and nothing is left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchfiles import Change

from tests.support.process import ServerProcess, eventually
from tidegate.supervisor.reload import SourceFilter

APP = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                print("GREETING goes")
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(0.05)
    if scope["path"] == "/slow":
        print("slow begins")
        await asyncio.sleep(0.7)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"GREETING"})
"""


class Reloading(ServerProcess):
    def __init__(self, directory: Path, *options: str) -> None:
        self.file = directory / "main.py"
        self.write("first")
        super().__init__(
            [
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--app-dir",
                str(directory),
                "--reload",
                *options,
                "main:app",
            ],
            {},
        )

    def write(self, greeting: str) -> None:
        self.replace(APP.replace("GREETING", greeting))

    def replace(self, source: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(source)
        new.replace(self.file)

    def ask(self) -> bytes:
        """The body of an answer; connecting is never refused."""
        with socket.create_connection((self.host, self.port), timeout=15) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).rpartition(b"\r\n\r\n")[2]

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Reloading]:
    server = Reloading(tmp_path)
    try:
        server.port = int(server.wait_for_log(r"Listening on http://127\.0\.0\.1:(\d+)", 20)[1])
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.reader.join(10)


def test_a_change_is_served_and_no_request_is_refused(server: Reloading) -> None:
    answers = [server.ask()]
    server.write("other")
    while answers[-1] != b"other":
        answers.append(server.ask())
        assert len(answers) < 10_000
    assert set(answers) == {b"first", b"other"}
    server.wait_for_log("first goes\n")  # lifespan.shutdown ran
    server.wait_for_log(r"INFO \S*main\.py: reloading\n")
    eventually(lambda: len(server.children()) == 1)
    assert server.terminate() == 0
    assert "other goes\n" in server.log
    assert "Traceback" not in server.log


def test_a_fault_is_shown_and_the_next_save_mends_it(server: Reloading) -> None:
    server.replace("def app(:\n")
    server.wait_for_log("def app")
    server.wait_for_log(r'tidegate: error: "main" has a syntax error\n')
    server.wait_for_log(r"WARNING The application ended \(status 3\): waiting for a change\n")
    assert server.children() == []
    with socket.create_connection((server.host, server.port), timeout=15) as client:  # waits in the kernel
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        server.write("again")
        assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"again")
    assert "importlib" not in server.log


def test_an_open_stream_does_not_hold_a_reload_up(server: Reloading) -> None:
    with socket.create_connection((server.host, server.port), timeout=15) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"tick" in client.recv(65536) + client.recv(65536)
        begun = time.monotonic()
        server.write("other")
        while server.ask() != b"other":
            assert time.monotonic() < begun + 15


@pytest.mark.parametrize("to", ["process", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_gracefully(tmp_path: Path, to: str, number: int) -> None:
    (tmp_path / "main.py").write_text(APP.replace("GREETING", "first"))
    arguments = ["--uds", str(tmp_path / "s"), "--app-dir", str(tmp_path), "--reload", "main:app"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        log = b""
        while b": ready" not in log:
            line = process.stdout.readline()
            assert line, log
            log += line
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(15)
            client.connect(str(tmp_path / "s"))
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            assert process.stdout.readline() == b"slow begins\n"
            # Ctrl-C on a terminal reaches the child too, which must not take it for a request to stop at once.
            (os.killpg if to == "group" else os.kill)(process.pid, number)
            assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"first")
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out.count(b"first goes\n") == 1
        assert b"closing now" not in out
        assert b"Traceback" not in out
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_the_child_goes_when_its_parent_is_killed(server: Reloading) -> None:
    (child,) = server.children()
    server.process.kill()
    eventually(lambda: has_gone(child))


def has_gone(pid: int) -> bool:
    """It may still wait to be reaped: such a process has no command line."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_only_what_is_watched_reloads(tmp_path: Path) -> None:
    for name in ("watched", "other"):
        (tmp_path / name).mkdir()
    server = Reloading(tmp_path, "--reload-dir", str(tmp_path / "watched"), "--reload-include", "*.html")
    try:
        server.wait_for_log("is up", 20)
        (tmp_path / "other" / "a.html").touch()
        (tmp_path / "watched" / "a.py").touch()
        time.sleep(1)
        (tmp_path / "watched" / "a.html").touch()
        server.wait_for_log("is up", count=2)
        assert re.findall(r"(\S+): reloading", server.log) == [
            os.path.relpath(tmp_path / "watched" / "a.html")
        ]
        assert server.terminate() == 0
    finally:
        server.process.kill()
        server.process.wait()
        server.reader.join(10)


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/src/main.py", True),
        ("/src/page.html", False),
        ("/src/tests/main.py", False),
        ("/src/.venv/main.py", False),
        ("/src/__pycache__/main.py", False),
        ("/src/main_pb2.py", False),
    ],
)
def test_the_filter(path: str, passes: bool) -> None:
    assert SourceFilter(["*.py"], ["tests", "*_pb2.py"])(Change.modified, path) is passes


def test_impatience_counts(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"  # hears nothing until it is done
    )
    server = ServerProcess(["--port", "0", "--app-dir", str(tmp_path), "--reload", "main:app"], {})
    try:
        server.wait_for_log("importing", 20)
        begun = time.monotonic()
        for _ in range(3):
            server.signal(signal.SIGINT)
            time.sleep(0.3)
        assert server.wait(5) == 0
        assert time.monotonic() - begun < 5
    finally:
        server.process.kill()
        server.process.wait()
        server.reader.join(10)
