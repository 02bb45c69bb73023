"""Who is measured: each server with one worker, no access log and its fastest documented settings."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import process
from .load import Address, WrongAnswer, ask_http2

HERE = Path(__file__).parent
START_TIMEOUT = 20.0  # seconds
STOP_TIMEOUT = 5.0


class ServerError(Exception):
    """The server did not start, or has ended."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One for localhost, of P-256, that all servers use."""

    cert: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> "Certificate":
        directory.mkdir(parents=True, exist_ok=True)
        made = cls(directory / "cert.pem", directory / "key.pem")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost"
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        files = ["-keyout", str(made.key), "-out", str(made.cert)]
        done = subprocess.run([*command.split(), *names, *files], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(f"openssl: {done.stderr.strip()}")
        return made


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    python: str  # interpreter of its environment
    distributions: tuple[str, ...]  # whose versions are shown
    arguments: Callable[[int], list[str]]  # of the interpreter, for a port of 127.0.0.1
    kind: str = "peer"  # peer | tidegate | floor
    tls: str = ""  # the arguments for TLS, with {cert} and {key}; empty where it is not measured
    http2: tuple[tuple[str, str], ...] | None = (
        None  # what to replace in the arguments for HTTP/2; None: not spoken
    )

    def speaks(self, secure: bool, http2: bool) -> bool:
        return (bool(self.tls) or not secure) and (self.http2 is not None or not http2)

    def command(self, port: int, certificate: Certificate | None = None, http2: bool = False) -> list[str]:
        arguments = " ".join(self.arguments(port))
        for old, new in (self.http2 or ()) if http2 else ():
            arguments = arguments.replace(old, new)
        if certificate is not None:
            arguments = f"{arguments} {self.tls.format(cert=certificate.cert, key=certificate.key)}"
        return [self.python, *arguments.split()]


def tidegate(python: str, label: str = "tidegate", app: str = "app") -> Server:
    return Server(
        label,
        python,
        ("tidegate", "uvloop"),
        lambda port: f"-m tidegate --host 127.0.0.1 --port {port} --no-access-log app:{app}".split(),
        kind="tidegate",
        tls="--ssl-certfile {cert} --ssl-keyfile {key}",
        http2=(),
    )


def peers(python: str) -> list[Server]:
    def peer(
        name: str,
        distributions: str,
        *options: str,
        kind: str = "peer",
        tls: str = "",
        http2: tuple[tuple[str, str], ...] | None = None,
    ) -> Server:
        return Server(
            name,
            python,
            tuple(distributions.split()),
            lambda port: " ".join(options).format(port=port).split(),
            kind,
            tls,
            http2,
        )

    return [
        peer(
            "uvicorn",
            "uvicorn uvloop httptools zttp",
            "-m uvicorn --host 127.0.0.1 --port {port} app:app --loop uvloop --http httptools --ws websockets-sansio",
            "--no-access-log --log-level warning",
            tls="--ssl-certfile {cert} --ssl-keyfile {key}",
            http2=(("--http httptools", "--http zttp --http2"),),
        ),
        peer(
            "granian",
            "granian uvloop",
            "-m granian --host 127.0.0.1 --port {port} app:app --interface asgi --http 1 --workers 1",
            "--runtime-threads 1 --loop uvloop --http1-pipeline-flush --no-access-log --log-level warning",
            tls="--ssl-certificate {cert} --ssl-keyfile {key} --ssl-protocol-min tls1.2",
            http2=(("--http 1 ", "--http 2 "), ("--http1-pipeline-flush ", "")),
        ),
        peer(
            "h2corn",  # its default of two runtime threads is the leaner one on one core too
            "h2corn uvloop",
            "-m h2corn --host 127.0.0.1 --port {port} app:app --workers 1 --loop uvloop --no-access-log",
            "--timeout-worker-healthcheck 0",  # or a worker that was parked is replaced
            tls="--certfile {cert} --keyfile {key}",
            http2=(),
        ),
        peer("fastpysgi", "fastpysgi", "run_fastpysgi.py {port}"),
        peer(
            "gunicorn",
            "gunicorn gunicorn_h1c uvloop",
            "-m gunicorn --bind 127.0.0.1:{port} app:app --worker-class asgi --asgi-loop uvloop --workers 1",
            "--http-parser fast --no-control-socket --log-level warning --timeout 0",  # 0: as above
            tls="--certfile {cert} --keyfile {key}",
        ),
        peer(
            "hypercorn",
            "hypercorn h11 h2 uvloop",
            "-m hypercorn --bind 127.0.0.1:{port} app:app --worker-class uvloop --workers 1",
            "--log-level warning",
            tls="--certfile {cert} --keyfile {key}",
            http2=(),
        ),
        peer("floor", "uvloop", "floor.py {port}", kind="floor"),
    ]


class Instance:
    """A server that runs, pinned to one core. Parked, it is stopped, so that it disturbs nobody's window."""

    def __init__(
        self,
        server: Server,
        core: int,
        logs: Path,
        certificate: Certificate | None = None,
        http2: bool = False,
    ) -> None:
        self.server = server
        self.certificate = certificate
        self.http2 = http2
        self.core = core
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs / f"{server.name}{'-h2' if http2 else ''}{'' if certificate is None else '-tls'}.log"
        self.start()

    def start(self) -> None:
        self.address = Address("127.0.0.1", free_port(), self.certificate is not None, self.http2)
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                self.server.command(self.address.port, self.certificate, self.http2),
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {self.core}),
            )
        try:
            self.wait_until_ready()
        except ServerError:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, path: str) -> bytes:
        """The body of a plain GET. Raises ServerError."""
        if self.http2:
            try:
                with self.address.connect() as opened:
                    return ask_http2(opened, self.address, [path])[0]
            except (OSError, WrongAnswer) as error:
                raise ServerError(f"{type(error).__name__}: {error}") from error
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=5)
        with contextlib.suppress(OSError):  # else the request says so
            connection.sock = self.address.connect()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise ServerError(f"status {response.status}")
        return body

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            self.check_alive()
            try:
                self.ask("/hello")
                return
            except ServerError as error:
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"no answer in {START_TIMEOUT:.0f} s ({error}){self.log_tail()}"
                    ) from error
            time.sleep(0.1)

    def revive(self) -> None:
        """A server that crashed starts again."""
        if self.process.poll() is not None:
            self.start()

    def check_alive(self) -> None:
        code = self.process.poll()
        if code is not None:
            if code < 0:
                raise ServerError(f"died of {signal.Signals(-code).name}")
            raise ServerError(f"ended with code {code}{self.log_tail()}")

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last[:200]}" if last else ""

    @contextlib.contextmanager
    def unparked(self) -> Iterator[None]:
        process.send_signal(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.park()

    def park(self) -> None:
        process.send_signal(self.pid, signal.SIGSTOP)

    def stop(self) -> None:
        tree = list(process.tree(self.pid))
        process.send_signal(self.pid, signal.SIGCONT)
        process.send_signal(self.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT)
        # A child that outlives its parent is still in the session that was started for this server.
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == self.process.pid:
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def versions(server: Server) -> str:
    """`uvicorn 0.54.0, uvloop 0.23.0`; a distribution that is not installed is left out."""
    if not server.distributions:
        return ""
    program = (
        "import sys\nfrom importlib.metadata import PackageNotFoundError, version\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, version(name))\n"
        "    except PackageNotFoundError: pass\n"
        "print('CPython', sys.version.split()[0])"
    )
    done = subprocess.run(
        [server.python, "-c", program, *server.distributions], capture_output=True, text=True, check=False
    )
    return ", ".join(done.stdout.split("\n")).strip(", ")
