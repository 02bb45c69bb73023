"""HTTP/2 by hand over the real server: what the gateway makes of its streams."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.http2 import (
    DATA,
    GET,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    Answer,
    Frame,
    FrameParser,
    data,
    headers,
    priority_update,
    settings,
    window,
)
from tests.support.inprocess import Serving, serving

CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/chat"),
    (b":authority", b"h"),
    (b"sec-websocket-version", b"13"),
]


class Client:
    def __init__(self, server: Serving) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=10)
        self.parser = FrameParser()
        self.answers: dict[int, Answer] = {}
        self.frames: list[Frame] = []
        self.send(PREFACE + settings() + SETTINGS_ACK)

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            received = self.socket.recv(65536)
            assert received, "the server has closed"
            for each in self.parser.receive(received):
                self.frames.append(each)
                if each.stream_id:
                    self.answers.setdefault(each.stream_id, Answer()).receive(each)

    def answer(self, stream_id: int) -> Answer:
        self.until(
            lambda: (
                stream_id in self.answers
                and (self.answers[stream_id].ended or self.answers[stream_id].reset is not None)
            )
        )
        return self.answers[stream_id]


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    server.reset()
    opened = Client(server)
    yield opened
    opened.socket.close()


def masked(payload: bytes, opcode: int = 0x1) -> bytes:
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def test_a_websocket(server: Serving, client: Client) -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    server.app = app
    client.send(headers(1, CONNECT, end=False))
    client.until(lambda: 1 in client.answers)
    assert client.answers[1].status == 200
    assert (scopes[0]["type"], scopes[0]["http_version"], scopes[0]["path"]) == ("websocket", "2", "/chat")
    client.send(data(1, masked(b"hel")[:4]) + data(1, masked(b"hel")[4:] + masked(b"lo")))
    client.until(lambda: client.answers[1].content == b"\x81\x03hel\x81\x02lo")
    client.send(data(1, masked(b"\x03\xe8", 0x8)))
    answer = client.answer(1)
    assert answer.content.endswith(b"\x88\x02\x03\xe8")
    client.send(data(1, b"", end=True))
    assert server.wait_for_end() is None


def test_a_websocket_that_is_refused(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    server.app = app
    client.send(headers(1, CONNECT, end=False))
    assert client.answer(1).status == 403


def test_an_application_that_fails_in_the_middle_while_others_finish(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        if scope["path"] == "/fail":
            raise ValueError("in the middle")
        await send({"type": "http.response.body", "body": b"thing"})

    server.app = app
    fail = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/fail"), (b":authority", b"h")]
    client.send(b"".join(headers(n, fail if n == 51 else GET) for n in range(1, 102, 2)))
    for n in range(1, 102, 2):
        answer = client.answer(n)
        if n == 51:
            assert (answer.content, answer.ended, answer.reset) == (b"some", False, INTERNAL_ERROR)
        else:
            assert (answer.content, answer.ended, answer.reset) == (b"something", True, None)
    assert not [each for each in client.frames if each.kind == GOAWAY]


def test_an_application_that_fails_before_its_answer(server: Serving, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("at once")

    server.app = app
    client.send(headers(1))
    answer = client.answer(1)
    assert answer.status == 500
    assert not any(name == b"connection" for name, _ in answer.fields)


def test_a_client_that_cancels(server: Serving, client: Client) -> None:
    started = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    server.app = app
    client.send(headers(1, [(b":method", b"POST"), *GET[1:]], end=False))
    # Headers and reset in one read start no application.
    assert started.wait(10)
    client.send(data(1, b"abc"))
    client.send(b"\0\0\4\3\0\0\0\0\1\0\0\0\x08")
    assert server.wait_for_end() is None
    assert {each.kind for each in client.frames} <= {HEADERS, DATA, RST_STREAM, 4, 8}


def test_push_is_checked(server: Serving, client: Client) -> None:
    errors = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            for push in (
                {"path": b"/x"},
                {"path": "x"},
                {"path": "/é"},
                {"path": "/", "headers": [("a", "b")]},
            ):
                try:
                    await send({"type": "http.response.push", "headers": [], **push})
                except Exception as error:
                    errors.append(str(error))
            await send({"type": "http.response.push", "path": "/pushed", "headers": [(b"A", b"b")]})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    server.app = app
    client.send(headers(1))
    assert client.answer(2).content == b"/pushed"
    assert client.answer(1).content == b"/"
    assert len(errors) == 4


@pytest.mark.parametrize(
    ("field", "frames", "order"),
    [
        (b"u=0", b"", [3, 1]),
        (b"u=7", b"", [1, 3]),
        (b"u=7", priority_update(3, b"u=0"), [3, 1]),  # RFC 9218 §7: the frame overrides the field
        (b"u=0", priority_update(1, b"u=0") + priority_update(3, b"u=6"), [1, 3]),
    ],
)
def test_the_more_urgent_content_overtakes(
    server: Serving, client: Client, field: bytes, frames: bytes, order: list[int]
) -> None:
    """RFC 9218 §10: stream 1 waits for the connection's window when stream 3 comes."""
    content = bytes(100_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": content})

    server.app = app
    client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + headers(1))
    client.until(lambda: 1 in client.answers and len(client.answers[1].content) == 65535)
    client.send(headers(3, [*GET, (b"priority", field)]) + frames)
    client.until(lambda: 3 in client.answers)
    assert client.answers[3].content == b""
    before = len(client.frames)
    client.send(window(0, 1 << 20))
    assert [client.answer(each).content for each in (1, 3)] == [content, content]
    carried = [each.stream_id for each in client.frames[before:] if each.kind == DATA]
    assert carried == sorted(carried, key=order.index)
    assert server.wait_for_end() is None
