"""HTTP/2 by `Upgrade: h2c`: RFC 7540 §3.2, as it binds a server that follows it (--h2c-upgrade)."""

import asyncio
import base64
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tests.support.http2 import (
    DATA,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    SETTINGS,
    SETTINGS_ACK,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    Answer,
    Frame,
    FrameParser,
    headers,
    ping,
    settings,
    window,
)
from tests.support.inprocess import Serving, serving


def http2_settings(*pairs: tuple[int, int]) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return base64.urlsafe_b64encode(payload).rstrip(b"=")


def upgrade(
    *lines: bytes,
    start: bytes = b"GET /first?x=1 HTTP/1.1",
    protocols: bytes = b"h2c",
    options: bytes = b"Upgrade, HTTP2-Settings",
    asked: bytes = http2_settings(),
) -> bytes:
    fields = [b"Host: h", b"Upgrade: " + protocols, b"Connection: " + options, b"HTTP2-Settings: " + asked]
    return b"\r\n".join([start, *fields, *lines, b"", b""])


class Client:
    """Speaks HTTP/1.1 up to a 101, and HTTP/2 behind it."""

    def __init__(self, server: Serving) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=10)
        self.octets = b""
        self.parser = FrameParser()
        self.answers: dict[int, Answer] = {}
        self.frames: list[Frame] = []

    def close(self) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> "Client":
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def read(self) -> bytes:
        received = self.socket.recv(65536)
        assert received, "the server has closed"
        return received

    def head(self) -> bytes:
        """The next answer's head, in lower case."""
        while b"\r\n\r\n" not in self.octets:
            self.octets += self.read()
        head, _, self.octets = self.octets.partition(b"\r\n\r\n")
        return head.lower()

    def content(self, size: int) -> bytes:
        while len(self.octets) < size:
            self.octets += self.read()
        content, self.octets = self.octets[:size], self.octets[size:]
        return content

    def switch(self, *pieces: bytes) -> "Client":
        """Ask for HTTP/2, get it, and send the client's preface."""
        self.send(*pieces)
        assert self.head().startswith(b"http/1.1 101 ")
        return self.send(PREFACE + settings())

    def until(self, condition: Callable[[], bool]) -> None:
        received, self.octets = self.octets, b""
        while True:
            for each in self.parser.receive(received):
                self.frames.append(each)
                if each.stream_id:
                    self.answers.setdefault(each.stream_id, Answer()).receive(each)
            if condition():
                return
            received = self.read()

    def answer(self, stream_id: int) -> Answer:
        self.until(lambda: stream_id in self.answers and self.answers[stream_id].ended)
        return self.answers[stream_id]

    def of(self, kind: int) -> list[Frame]:
        return [each for each in self.frames if each.kind == kind]

    def failed(self) -> int:
        """The code of the GOAWAY that ends the connection."""
        self.until(lambda: bool(self.of(GOAWAY)))
        return self.of(GOAWAY)[0].code


async def hello(scope: Any, receive: Any, send: Any, scopes: list[Any] | None = None) -> None:
    if scopes is not None:
        scopes.append(scope)
    while (await receive()).get("more_body"):
        pass
    fields = [(b"content-length", b"5"), (b"x-path", scope["raw_path"])]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(scope="module")
def shared() -> Iterator[Serving]:
    with serving(h2c_upgrade=True) as running:
        yield running


@pytest.fixture
def scopes() -> list[dict[str, Any]]:
    """Of the requests that the application got."""
    return []


@pytest.fixture
def server(shared: Serving, scopes: list[dict[str, Any]]) -> Serving:
    shared.reset()
    shared.app = functools.partial(hello, scopes=scopes)
    return shared


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with closing(Client(server)) as opened:
        yield opened


def test_3_2_101_then_http2(client: Client) -> None:
    head = client.send(upgrade()).head()
    assert head.startswith(b"http/1.1 101 switching protocols\r\n")
    assert b"\r\nupgrade: h2c" in head
    assert b"\r\nconnection: upgrade" in head
    for name in (b"http2-settings", b"content-length", b"transfer-encoding"):
        assert name not in head
    client.send(PREFACE + settings())
    answer = client.answer(1)
    assert (answer.status, answer.content) == (200, b"hello")


def test_3_2_the_first_frame_is_settings(client: Client) -> None:
    client.send(upgrade()).head()
    assert client.answer(1).status == 200  # it does not wait for the client's preface
    assert (client.frames[0].kind, client.frames[0].flags) == (SETTINGS, 0)


def test_3_2_1_the_settings_of_the_request_are_not_acknowledged(client: Client) -> None:
    client.send(upgrade(asked=http2_settings((INITIAL_WINDOW_SIZE, 100)))).head()
    assert client.answer(1).status == 200
    assert [each.flags for each in client.of(SETTINGS)] == [0]
    client.send(PREFACE + settings() + SETTINGS_ACK + ping())
    client.until(lambda: bool(client.of(PING)))
    assert [each.flags for each in client.of(SETTINGS)] == [0, 1]


def test_3_2_1_the_settings_of_the_request_apply(client: Client) -> None:
    client.send(upgrade(asked=http2_settings((INITIAL_WINDOW_SIZE, 2)))).head()
    client.until(lambda: bool(client.of(DATA)))
    assert client.answers[1].content == b"he"
    client.send(PREFACE + settings() + window(1, 2))
    client.until(lambda: client.answers[1].content == b"hell")
    client.send(settings((INITIAL_WINDOW_SIZE, 3)))
    assert client.answer(1).content == b"hello"


def test_3_2_stream_1_is_half_closed(client: Client) -> None:
    client.switch(upgrade()).answer(1)
    client.send(SETTINGS_ACK, headers(3))
    assert client.answer(3).content == b"hello"
    client.send(headers(1))
    assert client.failed() == STREAM_CLOSED


def test_3_2_stream_1_while_it_is_answered(server: Serving, client: Client) -> None:
    released = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            await released.wait()
        await hello(scope, receive, send)

    server.app = app
    client.switch(upgrade())
    client.send(headers(3))
    assert client.answer(3).content == b"hello"
    client.send(headers(1))  # more of it: a stream error (RFC 9113 §5.1)
    client.until(lambda: 1 in client.answers and client.answers[1].reset is not None)
    assert client.answers[1].reset == STREAM_CLOSED
    server.call_soon(released.set)
    client.send(headers(5))
    assert client.answer(5).content == b"hello"


def test_3_2_the_request(client: Client, scopes: list[Any]) -> None:
    asked = upgrade(b"X-Hop: 1", b"Connection: x-hop", b"A: b", b"Priority: u=1")
    client.switch(asked).answer(1)
    (scope,) = scopes
    assert (scope["http_version"], scope["scheme"], scope["method"]) == ("2", "http", "GET")
    assert (scope["path"], scope["query_string"]) == ("/first", b"x=1")
    assert scope["headers"] == [(b"host", b"h"), (b"a", b"b"), (b"priority", b"u=1")]
    assert "http.response.trailers" in scope["extensions"]


def test_3_2_a_head_request(client: Client) -> None:
    answer = client.switch(upgrade(start=b"HEAD / HTTP/1.1")).answer(1)
    assert (answer.status, answer.content) == (200, b"")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_3_2_the_preface_may_come_before_the_101(client: Client, size: int) -> None:
    """In one piece with the request, or however it is split."""
    sent = upgrade() + PREFACE + settings() + headers(3)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.send(*[sent[i : i + size] for i in range(0, len(sent), size)])
    assert client.head().startswith(b"http/1.1 101 ")
    assert client.answer(1).content == client.answer(3).content == b"hello"


def test_3_2_behind_other_requests(client: Client) -> None:
    get = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
    client.send(get % 1 + get % 2 + upgrade() + PREFACE + settings() + headers(3))
    for n in (1, 2):
        head = client.head()
        assert head.startswith(b"http/1.1 200 ")
        assert b"x-path: /%d" % n in head
        assert client.content(5) == b"hello"
    assert client.head().startswith(b"http/1.1 101 ")
    assert client.answer(1).content == client.answer(3).content == b"hello"


def test_3_2_behind_a_request_that_is_slow(server: Serving, client: Client) -> None:
    """Its answer is held for the next one's: the 101 is not, since frames follow it."""
    released = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["path"] == "/slow" and not released.is_set():
            await asyncio.sleep(0)
        await hello(scope, receive, send)

    server.app = app
    client.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
    client.send(upgrade() + PREFACE + settings())
    released.set()
    assert client.head().startswith(b"http/1.1 200 ")
    assert client.content(5) == b"hello"
    assert client.head().startswith(b"http/1.1 101 ")
    assert client.answer(1).content == b"hello"


@pytest.mark.parametrize(
    "behind", [b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", headers(3), b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
)
def test_3_2_what_follows_is_the_preface_and_nothing_else(
    client: Client, scopes: list[Any], behind: bytes
) -> None:
    client.send(upgrade() + behind)
    assert client.head().startswith(b"http/1.1 101 ")
    assert client.failed() == PROTOCOL_ERROR
    assert [scope["path"] for scope in scopes] == ["/first"]


def test_3_2_the_preface_is_due() -> None:
    with (
        serving(hello, h2c_upgrade=True, timeouts={"h2_settings": 0.3}) as hasty,
        closing(Client(hasty)) as client,
    ):
        client.send(upgrade()).head()
        assert client.failed() == SETTINGS_TIMEOUT


def test_an_answer_of_our_own(server: Serving) -> None:
    """The limits hold for stream 1 as for others: its answer is HTTP/2's, or HTTP/1.1 stays."""
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await waiting.wait()
        await hello(scope, receive, send)

    with (
        serving(app, h2c_upgrade=True, limits={"concurrency": 1}) as narrow,
        closing(Client(narrow)) as first,
        closing(Client(narrow)) as second,
    ):
        first.switch(upgrade())
        first.send(headers(3))
        assert first.answer(3).status == 503
        assert second.send(upgrade()).head().startswith(b"http/1.1 503 ")
        narrow.call_soon(waiting.set)
        assert first.answer(1).status == 200


def test_an_application_that_fails(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    server.app = app
    assert client.switch(upgrade()).answer(1).status == 500


def test_a_client_that_leaves_at_once(server: Serving) -> None:
    for how in (b"", PREFACE + settings()):
        with closing(Client(server)) as leaving:
            leaving.send(upgrade() + how)
            leaving.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with closing(Client(server)) as ending:
            ending.send(upgrade() + how)
            ending.socket.shutdown(socket.SHUT_WR)
            assert ending.head().startswith(b"http/1.1 101 ")
            assert ending.answer(1).content == b"hello"
    with closing(Client(server)) as other:
        assert other.switch(upgrade()).answer(1).status == 200
    assert server.loop_errors == []


IGNORED = {
    "h2": upgrade(protocols=b"h2"),
    "another one first": upgrade(protocols=b"x, h2c"),
    "content": upgrade(b"Content-Length: 3", start=b"POST / HTTP/1.1") + b"abc",
    "chunked": upgrade(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1") + b"0\r\n\r\n",
    "HTTP/1.0": upgrade(b"Connection: keep-alive", start=b"GET / HTTP/1.0"),
    "no settings": upgrade().replace(b"HTTP2-Settings: ", b"X: "),
    "settings twice": upgrade(b"HTTP2-Settings: "),
    "settings not named": upgrade(options=b"Upgrade"),
    "upgrade not named": upgrade(options=b"HTTP2-Settings"),
    "malformed": upgrade(asked=b"AAQ"),
    "not base64url": upgrade(asked=b"AAQAAP//"),
    "out of range": upgrade(asked=http2_settings((2, 2))),
    "too large": upgrade(asked=http2_settings((INITIAL_WINDOW_SIZE, 1 << 31))),
    "proxied": upgrade(b"X-Forwarded-For: 192.0.2.1"),
}


@pytest.mark.parametrize("sent", IGNORED.values(), ids=IGNORED)
def test_what_is_ignored_is_answered_over_http1(client: Client, scopes: list[Any], sent: bytes) -> None:
    for _ in range(2):
        assert client.send(sent).head().startswith(b"http/1.1 200 ")
        assert client.content(5) == b"hello"
    assert {scope["http_version"] for scope in scopes} <= {"1.1", "1.0"}


@pytest.mark.parametrize(
    "options", [{}, {"h2c_upgrade": True, "http2": False}, {"h2c_upgrade": True, "h2c": False}]
)
def test_it_is_off_by_default_and_without_h2c(options: dict[str, bool]) -> None:
    with serving(hello, **options) as plain, closing(Client(plain)) as client:
        assert client.send(upgrade()).head().startswith(b"http/1.1 200 ")


def test_the_h2_library_as_the_client(client: Client) -> None:
    """hyper-h2 asks for it, and judges every frame."""
    judge = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    asked = judge.initiate_upgrade_connection()
    client.send(upgrade(asked=asked)).head()
    client.send(judge.data_to_send())
    judge.send_headers(
        3, [(":method", "GET"), (":scheme", "http"), (":path", "/2"), (":authority", "h")], end_stream=True
    )
    client.send(judge.data_to_send())
    events: list[Any] = judge.receive_data(client.octets)
    while sum(isinstance(event, h2.events.StreamEnded) for event in events) < 2:
        events += judge.receive_data(client.read())
        client.send(judge.data_to_send())
    paths = [
        dict(event.headers)[b"x-path"] for event in events if isinstance(event, h2.events.ResponseReceived)
    ]
    assert paths == [b"/first", b"/2"]
