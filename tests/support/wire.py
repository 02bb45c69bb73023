"""A strict HTTP/1.1 client on a bare socket: sends as it is told, accepts no answer that RFC 9112 forbids."""

import re
import socket
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
SINGLE = (b"content-length", b"date", b"server", b"content-type", b"location", b"retry-after")


@dataclass
class Response:
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]  # names in lower case
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: "list[Response]" = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def header(self, name: str) -> bytes | None:
        """The value of a header field, lists joined by ", "; None where there is none."""
        values = [value for key, value in self.headers if key == name.encode()]
        return b", ".join(values) if values else None


class Client:
    """One connection. Every wait is bounded by `timeout` seconds; reading past it raises TimeoutError."""

    def __init__(self, host: str, port: int, timeout: float = 10, receive_buffer: int = 0) -> None:
        self.address = (host, port)
        self.timeout = timeout
        self.receive_buffer = receive_buffer
        self.connect()

    def connect(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self.receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(self.timeout)
        self.socket.connect(self.address)
        self.buffer = b""

    def reconnect(self) -> None:
        self.close()
        self.connect()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with a TCP reset, as a crashed peer or a cut network does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def end(self) -> None:
        """Half-close: no more comes from this side."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        *headers: tuple[str, str],
        body: bytes | None = None,
    ) -> Response:
        """Send a well-formed request and read its answer."""
        self.send_request(method, target, *headers, body=body)
        return self.read_response(method)

    def send_request(
        self, method: str = "GET", target: str = "/", *headers: tuple[str, str], body: bytes | None = None
    ) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: test"] + [
            f"{name}: {value}" for name, value in headers
        ]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    # Reading

    def fill(self) -> bool:
        """Wait for more input; False at its end."""
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            assert self.fill(), (
                f"the connection ended {count - len(self.buffer)} octets early: {self.buffer!r}"
            )
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def take_line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            assert self.fill(), f"the connection ended within a line: {self.buffer!r}"
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_head(self) -> Response:
        """One status line and header section, final or interim (RFC 9112 §4, §5)."""
        line = self.take_line()
        match = STATUS_LINE.fullmatch(line)
        assert match is not None, f"no status line: {line!r}"
        response = Response(int(match[1]), match[2], self.read_fields())
        names = [name for name, _ in response.headers]
        for name in SINGLE:
            assert names.count(name) <= 1, f"repeated {name!r}: {response.headers}"
        # RFC 9112 §6.2: a sender must not send Content-Length together with Transfer-Encoding.
        assert not (b"content-length" in names and b"transfer-encoding" in names), response.headers
        if response.status < 200 or response.status == 204:
            # RFC 9110 §8.6, RFC 9112 §6.1
            assert b"content-length" not in names, response.headers
            assert b"transfer-encoding" not in names, response.headers
        date = response.header("date")
        if date is not None:
            assert date.endswith(b" GMT"), date
            parsedate_to_datetime(date.decode())
        return response

    def read_fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := self.take_line():
            match = FIELD_LINE.fullmatch(line)
            assert match is not None, f"no field line: {line!r}"
            fields.append((match[1].lower(), match[2]))
        return fields

    def read_response(self, method: str = "GET") -> Response:
        """One whole response to a request of `method`, its interim responses beside it (RFC 9112 §6.3)."""
        interim = []
        while (response := self.read_head()).status < 200:
            interim.append(response)
        response.interim = interim
        if method == "HEAD" or response.status in (204, 304):
            return response
        coding = response.header("transfer-encoding")
        length = response.header("content-length")
        if coding is not None:
            assert coding == b"chunked", coding
            while (chunk := self.read_chunk()) is not None:
                response.chunks.append(chunk)
            response.body = b"".join(response.chunks)
            response.trailers = self.read_fields()
        elif length is not None:
            assert re.fullmatch(rb"[0-9]+", length), length
            response.body = self.take(int(length))
        else:
            # RFC 9112 §6.3, rule 8: only the close ends it, so it has to be announced.
            assert response.header("connection") == b"close", response.headers
            response.body = self.read_to_end()
        return response

    def read_chunk(self) -> bytes | None:
        """One chunk's data, None for the last chunk (RFC 9112 §7.1); the trailer section stays."""
        line = self.take_line()
        assert re.fullmatch(rb"[0-9a-fA-F]+", line), f"no chunk size: {line!r}"
        size = int(line, 16)
        if not size:
            return None
        data = self.take(size)
        assert self.take(2) == b"\r\n"
        return data

    def read_to_end(self) -> bytes:
        """All that still comes until the server ends its side; a reset raises ConnectionResetError."""
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def at_end(self) -> bool:
        """Whether the server has closed, with nothing more sent. Waits for the one or the other."""
        return not self.buffer and not self.fill()

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes, and the connection stays open, for so long."""
        timeout = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.fill()
        except TimeoutError:
            return not self.buffer
        finally:
            self.socket.settimeout(timeout)
        return False


class UnixClient(Client):
    def __init__(self, path: str, timeout: float = 10) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""
