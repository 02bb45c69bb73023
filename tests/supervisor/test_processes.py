"""Real processes: a supervisor with two workers, and what signals do to them."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.supervised import HERE, QUICK, Supervised, supervised
from tests.support.process import ServerProcess, eventually, run_command
from tests.support.wire import Client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as server:
        yield server


def test_hup_loads_the_new_code_and_loses_nothing(server: Supervised) -> None:
    old = server.workers()
    with server.client() as idle, server.client() as busy:
        assert idle.request().body
        busy.send_request("GET", "/sleep?0.5")
        server.wait_for_log("sleeping begins")
        server.write("two")
        server.signal(signal.SIGHUP)
        assert busy.read_response().status == 200
        server.wait_for_log("Reloaded 2 workers", 30)
    eventually(lambda: server.lifespans_ended() == 2, 10)
    assert {server.ask("/version") for _ in range(20)} == {"two"}
    assert not set(old) & set(server.workers())


def test_what_does_not_come_up_stops_the_roll(server: Supervised) -> None:
    old = server.workers()
    server.write("broken")
    server.signal(signal.SIGHUP)
    server.wait_for_log("The reload stops: worker 1 did not come up", 30)
    assert server.ask("/version") == "one"
    assert server.workers() == old
    server.log = server.log.replace("Traceback", "")  # the application's own


def test_a_killed_worker_leaves_its_backlog_to_the_next(server: Supervised) -> None:
    victim, other = server.workers()
    os.kill(victim, signal.SIGSTOP)  # what comes for it waits in the kernel
    clients = [server.client() for _ in range(40)]
    for client in clients:
        client.send_request()
    os.kill(victim, signal.SIGKILL)
    answers = Counter(int(client.read_response().body) for client in clients)
    assert victim not in answers
    assert sum(answers.values()) == 40
    eventually(lambda: len(server.workers()) == 2)
    assert other in server.workers()


def test_a_worker_that_is_told_to_stop_is_replaced_first(server: Supervised) -> None:
    first, second = server.workers()
    os.kill(first, signal.SIGTERM)
    server.wait_for_log(rf"\(process {first}\): it was told to stop: replacing it")
    eventually(lambda: len(server.workers()) == 2 and first not in server.workers(), 20)
    server.wait_for_log(f"lifespan of {first} ends")
    assert second in server.workers()


def test_scaling_by_signals(server: Supervised) -> None:
    server.signal(signal.SIGTTIN)
    server.wait_for_log("worker 3 .* is up", 20)
    assert len(server.workers()) == 3
    with server.client() as client:
        server.signal(signal.SIGTTOU)
        # Whichever worker it is, one that goes waits a while for this.
        assert client.request().status == 200
    server.wait_for_log("lifespan of", 20)
    # The third socket is still there, and is accepted from.
    assert all(server.ask() for _ in range(40))
    assert len(server.workers()) == 2


def test_a_blocked_loop_is_found_shown_and_replaced(tmp_path: Path) -> None:
    options = ("--timeout-stall-log", "0.4", "--timeout-stall", "1")
    with supervised(tmp_path, *options) as server, server.client() as client:
        client.send_request("GET", "/block?3")
        server.wait_for_log("blocking begins")
        shown = server.wait_for_log(r"worker \d \(process (\d+)\): its event loop has not turned for 0\.\d s")
        victim = int(shown[1])
        server.wait_for_log(r'File ".*apps\.py", line \d+, in app')  # of the thread
        server.wait_for_log(r"\d+ tasks of process")
        server.wait_for_log(r"Task [^\n]+:\n +File .*apps\.py")
        server.wait_for_log("replacing it", 20)
        eventually(lambda: len(server.workers()) == 2 and victim not in server.workers(), 20)
        assert str(victim) not in {server.ask() for _ in range(20)}
        assert client.read_response().body == str(victim).encode()  # it woke up, and finished
        server.wait_for_log(f"lifespan of {victim} ends")


def test_recycling_by_requests(tmp_path: Path) -> None:
    with supervised(tmp_path, "--recycle-requests", "20", "--recycle-jitter", "0", workers="1") as server:
        (old,) = server.workers()
        for _ in range(25):
            assert server.ask()
        server.wait_for_log(r"\d\d requests: replacing it")
        server.wait_for_log(f"lifespan of {old} ends", 20)
        assert server.ask() != str(old)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_every_stop_runs_the_lifespans_end(server: Supervised, number: int) -> None:
    with server.client() as client:
        client.send_request("GET", "/sleep?0.5")
        server.wait_for_log("sleeping begins")
        server.signal(number)
        if number != signal.SIGQUIT:
            response = client.read_response()
            assert (response.status, response.header("connection")) == (200, b"close")
    assert server.wait(20) == 0
    assert server.lifespans_ended() == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=5)


def test_workers_end_with_a_supervisor_that_is_killed(server: Supervised) -> None:
    pids = server.workers()
    server.process.kill()
    eventually(lambda: server.lifespans_ended() == 2, 10)
    eventually(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in pids), 10)


def test_a_crash_loop_at_the_start_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('no database')\n")
    done = run_command("--port", "0", "--workers", "1", "--app-dir", str(tmp_path), "broken:app", timeout=30)
    assert done.returncode == 3
    assert done.stderr.count("RuntimeError: no database") == 3
    assert "worker 1 failed 3 times to come up: giving up" in done.stderr


def test_a_busy_port_is_told_of(server: Supervised) -> None:
    done = run_command("--port", str(server.port), "--workers", "2", "--app-dir", str(HERE), "apps:app")
    assert done.returncode == 2
    assert "the address is in use" in done.stderr


def test_a_new_binary_takes_over(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with supervised(tmp_path, "--pid-file", str(pid_file)) as server:
        assert int(pid_file.read_text()) == server.pid
        server.write("two")
        with server.client() as client:
            assert client.request("GET", "/version").body == b"one"
            server.signal(signal.SIGUSR2)
            server.wait_for_log("the new supervisor is ready: this one goes", 30)
        assert server.process.wait(20) == 0
        new = int(pid_file.read_text())
        assert new != server.pid
        try:
            assert {server.ask("/version") for _ in range(20)} == {"two"}
        finally:
            os.kill(new, signal.SIGTERM)
        eventually(lambda: not pid_file.exists(), 20)
        assert server.lifespans_ended() == 4


def test_a_new_binary_that_fails_changes_nothing(server: Supervised) -> None:
    server.write("broken")
    server.signal(signal.SIGUSR2)
    server.wait_for_log("the new supervisor did not come up: this one goes on", 30)
    assert server.ask("/version") == "one"
    server.log = server.log.replace("Traceback", "")


def test_preload_imports_once(tmp_path: Path) -> None:
    with supervised(tmp_path, "--preload") as server:
        workers = set(server.workers())
        assert len(workers) == 2
        (imported,) = {int(server.ask("/imported")) for _ in range(10)}
        assert imported not in {*workers, server.pid}
        os.kill(workers.pop(), signal.SIGKILL)
        server.wait_for_log("is up after", count=3)
        server.write("two")
        server.signal(signal.SIGHUP)
        server.wait_for_log("Reloaded 2 workers", 30)
        eventually(lambda: server.lifespans_ended() == 2, 10)
        assert server.ask("/version") == "two"
        assert int(server.ask("/imported")) != imported
        eventually(lambda: not Path(f"/proc/{imported}/stat").exists(), 10)


def test_a_unix_socket_goes_with_the_supervisor(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = ServerProcess(
        ["--uds", str(path), "--workers", "2", *QUICK, "--app-dir", str(HERE), "apps:app"], {}
    )
    try:
        server.wait_for_log("2 workers: ready", 30)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.terminate() == 0
        assert not path.exists()
    finally:
        server.process.kill()
        server.process.wait()


def connected(address: Any) -> socket.socket:
    client = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    client.settimeout(20)
    client.connect(address)
    return client


@pytest.mark.parametrize("kind", ["tcp", "unix", "fd"])
def test_the_load_is_even(tmp_path: Path, kind: str) -> None:
    """Each worker has a socket of its own, or all have one together, of which each takes its share."""
    arguments = ["--workers", "4", "--no-access-log", *QUICK, "--app-dir", str(HERE)]
    with ExitStack() as stack:
        address: Any = str(tmp_path / "s")
        handed: list[int] = []
        if kind == "unix":
            arguments += ["--uds", address]
        elif kind == "tcp":
            arguments += ["--port", "0"]
        else:
            opened = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
            address = opened.getsockname()
            handed = [opened.fileno()]
            arguments += ["--fd", str(opened.fileno())]
        server = ServerProcess([*arguments, "apps:app"], {}, pass_fds=handed)
        stack.callback(server.process.wait)
        stack.callback(server.process.kill)
        server.wait_for_log("4 workers: ready", 30)
        if kind == "tcp":
            address = ("127.0.0.1", int(server.wait_for_log(r"Listening on http://127\.0\.0\.1:(\d+)")[1]))
        clients = [stack.enter_context(connected(address)) for _ in range(400)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answers = Counter(client.recv(65536).rpartition(b"\r\n\r\n")[2] for client in clients)
        assert len(answers) == 4
        assert max(answers.values()) <= 150, answers
        assert server.terminate() == 0, server.log


def body_at(port: int) -> bytes:
    """The body of an answer; empty while nobody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).rpartition(b"\r\n\r\n")[2]
    except ConnectionRefusedError:
        return b""


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_systemd_socket_activation_and_notification(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """LISTEN_FDS as sd_listen_fds(3) has it, NOTIFY_SOCKET as sd_notify(3)."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    opened = socket.create_server(("127.0.0.1", 0))
    program = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.environ['WATCHDOG_PID'] = str(os.getpid()); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    arguments = ["-m", "tidegate", *workers, *QUICK, "--app-dir", str(HERE), "apps:app"]
    environment = {
        **os.environ,
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "web",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "400000",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(opened.fileno()), *arguments],
        env=environment,
        pass_fds=[opened.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = [b""]

        def wait_for(expected: bytes) -> bytes:
            while not told[-1].startswith(expected):
                told.append(manager.recv(4096))
            return told[-1]

        wait_for(b"READY=1")
        with Client(*opened.getsockname()) as client:
            assert client.request("GET", "/", ("Connection", "close")).status == 200
        wait_for(b"WATCHDOG=1")
        if workers:
            process.send_signal(signal.SIGHUP)
            assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", wait_for(b"RELOADING=1"))
            wait_for(b"READY=1")
        process.send_signal(signal.SIGTERM)
        wait_for(b"STOPPING=1")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        manager.close()
        opened.close()


def test_systemds_own_tool(tmp_path: Path) -> None:
    tool = "/usr/bin/systemd-socket-activate"
    if not os.access(tool, os.X_OK):
        pytest.skip("systemd-socket-activate is not there")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tidegate", "--workers", "1", *QUICK, "--app-dir", str(HERE), "apps:app"]
    passed = [f"--setenv={name}" for name in os.environ if name not in ("LISTEN_FDS", "LISTEN_PID")]
    process = subprocess.Popen(
        [tool, f"--listen=127.0.0.1:{port}", *passed, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: body_at(port), 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_gunicorns_worker_class(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "run.py").write_text("from gunicorn.app.wsgiapp import run\nrun()\n")
    arguments = f"-k tidegate.gunicorn.Worker --bind 127.0.0.1:{port} --workers 2 --max-requests 30 apps:app"
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), "--chdir", str(HERE), *arguments.split()],
        env={**os.environ, "PYTHONPATH": os.path.abspath(os.environ.get("PYTHONPATH", ""))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        answers = {eventually(lambda: body_at(port), 20)}
        eventually(lambda: answers.add(body_at(port)) or len(answers) >= 3, 20, interval=0)  # type: ignore[func-returns-value]
        assert b"" not in answers
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out.count("lifespan of") >= len(answers), out
        assert "Traceback" not in out
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
