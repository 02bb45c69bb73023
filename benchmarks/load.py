"""What drives the servers: a driver knows what it asks, what the right answer is, and how to ask it often."""

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
CHECK_TIMEOUT = 5.0  # seconds


class LoadError(Exception):
    """The tool that makes the load is missing or failed."""


class WrongAnswer(Exception):
    """The server's answer is not the scenario's."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    secure: bool = False
    http2: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    def connect(self) -> socket.socket:
        """A connection; over TLS, whoever the server is."""
        connection = socket.create_connection((self.host, self.port), CHECK_TIMEOUT)
        if not self.secure:
            return connection
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2" if self.http2 else "http/1.1"])
        return context.wrap_socket(connection, server_hostname="localhost")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Load:
    """What the client counted in one window."""

    requests: int
    seconds: float
    p99: float | None  # microseconds
    errors: dict[str, int] = field(default_factory=dict)


class Driver(Protocol):
    def check(self, address: Address) -> None:
        """Ask once; raises WrongAnswer or OSError."""

    def run(self, address: Address, seconds: float, core: int) -> Load:
        """Ask for so many seconds from this core; raises LoadError."""


@dataclass(frozen=True, slots=True)
class Wrk:
    """HTTP/1.1 by wrk, one thread. The right answer is status 200 with the body `answer`."""

    path: str
    answer: bytes
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body_size: int = 0
    connections: int = 64
    depth: int = 1  # requests in flight a connection

    @property
    def closes(self) -> bool:
        return ("Connection", "close") in self.headers

    def request(self, address: Address) -> bytes:
        fields = [("Host", str(address)), *self.headers]
        if self.body_size:
            fields.append(("Content-Length", str(self.body_size)))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + b"x" * self.body_size

    def check(self, address: Address) -> None:
        with address.connect() as connection:
            answers = connection.makefile("rb")
            # Twice: a kept connection has to be usable again.
            for _ in range(1 if self.closes else 2):
                connection.sendall(self.request(address) * self.depth)
                for _ in range(self.depth):
                    check_response(answers, self.answer)
            if self.closes and answers.read(1):
                raise WrongAnswer("bytes after the answer on a connection that closes")

    def run(self, address: Address, seconds: float, core: int) -> Load:
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{self.connections}", f"-d{seconds:.0f}s"]
        command += ["-s", str(WRK_SCRIPT)]
        for name, value in self.headers:
            command += ["-H", f"{name}: {value}"]
        command += [f"{address.scheme}://{address}{self.path}", "--"]
        command += [self.method, str(self.body_size), str(self.depth)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 20, check=False)
        report = re.search(r"^\{.*\}$", done.stdout, re.MULTILINE)
        if done.returncode or report is None:
            raise LoadError(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
        counted = json.loads(report[0])
        errors = {name: count for name, count in counted["errors"].items() if count}
        short = counted["requests"] * len(self.answer) - counted["bytes"]
        if short > 0:
            errors["short of bytes"] = short
        # wrk "corrects" its histogram by the interval between requests, and loses the percentiles of batches.
        p99 = counted["p99"] if self.depth == 1 else None
        return Load(counted["requests"], counted["seconds"], p99, errors)


@dataclass(frozen=True, slots=True)
class H2Load:
    """HTTP/2 by h2load, one thread. The right answer is status 200 with the body `answer`."""

    path: str
    answer: bytes
    connections: int = 8
    streams: int = 32  # in flight a connection

    def check(self, address: Address) -> None:
        with address.connect() as connection:
            # Several at once: each has to be answered on its own stream.
            for body in ask_http2(connection, address, [self.path] * 3):
                if body != self.answer:
                    raise WrongAnswer(
                        f"{len(body)} bytes of body where {len(self.answer)} others were expected"
                    )

    def run(self, address: Address, seconds: float, core: int) -> Load:
        command = ["taskset", "-c", str(core), "h2load", "-t1", f"-c{self.connections}", f"-m{self.streams}"]
        command += ["-D", f"{seconds:.0f}", f"{address.scheme}://{address}{self.path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 20, check=False)
        if done.returncode:
            raise LoadError(f"h2load: {done.stderr.strip() or done.stdout.strip()}")
        return self.counted(done.stdout, seconds)

    def counted(self, printed: str, seconds: float) -> Load:
        """What h2load's report says. Raises LoadError."""
        counts = re.search(
            r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
            printed,
            re.M,
        )
        data = re.search(r"^traffic: .* \((\d+)\) data$", printed, re.M)
        protocol = re.search(r"^Application protocol: (.*)$", printed, re.M)
        if counts is None or data is None or protocol is None:
            raise LoadError(f"h2load: {printed.strip()}")
        done, succeeded, failed, errored, timeout = map(int, counts.groups())
        errors = {"failed": failed, "errored": errored, "timeout": timeout}
        errors["not HTTP/2"] = done if protocol[1] not in ("h2", "h2c") else 0
        errors["short of bytes"] = max(0, succeeded * len(self.answer) - int(data[1]))
        found = {name: count for name, count in errors.items() if count}
        return Load(succeeded, seconds, None, found)  # it tells no percentiles


def ask_http2(connection: socket.socket, address: Address, paths: list[str]) -> list[bytes]:
    """The bodies of GET requests made at once on a new connection. Raises WrongAnswer."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
    from h2.exceptions import ProtocolError

    client = H2Connection(H2Configuration(header_encoding="ascii"))
    client.initiate_connection()
    fields = [(":method", "GET"), (":scheme", address.scheme), (":authority", str(address))]
    bodies: dict[int, bytes] = {}
    for path in paths:
        number = client.get_next_available_stream_id()
        bodies[number] = b""
        client.send_headers(number, [*fields, (":path", path)], end_stream=True)
    left = set(bodies)
    while left:
        connection.sendall(client.data_to_send())
        data = connection.recv(65536)
        if not data:
            raise WrongAnswer("the connection was closed without an answer")
        try:
            events = client.receive_data(data)
        except ProtocolError as error:
            raise WrongAnswer(f"not HTTP/2: {type(error).__name__}: {error}") from error
        for event in events:
            if isinstance(event, ResponseReceived):
                if dict(event.headers)[":status"] != "200":
                    raise WrongAnswer(f"headers {event.headers}")
            elif isinstance(event, DataReceived):
                bodies[event.stream_id] += event.data
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                left.discard(event.stream_id)
            elif isinstance(event, StreamReset | ConnectionTerminated):
                raise WrongAnswer(str(event))
    return list(bodies.values())


def check_response(answers: IO[bytes], expected: bytes) -> None:
    status_line = answers.readline(1024)
    if not status_line:
        raise WrongAnswer("the connection was closed without an answer")
    if not re.fullmatch(rb"HTTP/1\.1 200( [^\r\n]*)?\r\n", status_line):
        raise WrongAnswer(f"status line {status_line!r}")
    headers = http.client.parse_headers(answers)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(answers.readline(1024).partition(b";")[0], 16):
            body += answers.read(size)
            answers.read(2)
        answers.readline(1024)
    else:
        length = headers.get("content-length")
        if length is None:
            raise WrongAnswer("neither Content-Length nor chunked")
        body = answers.read(int(length))
    if body != expected:
        raise WrongAnswer(f"{len(body)} bytes of body where {len(expected)} others were expected")


def require(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        raise LoadError(f"{tool} is not installed: apt-get install {package}")
