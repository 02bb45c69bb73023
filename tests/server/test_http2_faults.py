"""HTTP/2 where the network, the client or the application fails: nothing of it stays, and the others go on."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.http2 import (
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    POST,
    PREFACE,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    Answer,
    Frame,
    FrameParser,
    continuation,
    data,
    frame,
    headers,
    ping,
    post,
    reset,
    settings,
    window,
)
from tests.support.http2 import block as header_block
from tests.support.inprocess import Serving, serving
from tests.support.process import ServerProcess, eventually, start_server
from tidegate.http.errors import ClientDisconnected

MIB = 1 << 20
GROWTH = 24 * MIB


class Client:
    def __init__(self, server: Serving | ServerProcess, *greeting: bytes) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=20)
        self.parser = FrameParser()
        self.answers: dict[int, Answer] = {}
        self.frames: list[Frame] = []
        self.send(PREFACE, *(greeting or (settings(),)), SETTINGS_ACK)

    def close(self) -> None:
        self.socket.close()

    def cut(self, how: str) -> None:
        """End the connection: with a FIN behind it, a reset, or both sides' end."""
        if how == "half":
            self.socket.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def receive(self) -> list[Frame]:
        received = self.socket.recv(1 << 18)
        assert received, "the server has closed"
        found = self.parser.receive(received)
        for each in found:
            if each.stream_id:
                self.answers.setdefault(each.stream_id, Answer()).receive(each)
        self.frames += found
        return found

    def answer(self, stream_id: int) -> Answer:
        while stream_id not in self.answers or not self.answers[stream_id].ended:
            self.receive()
        return self.answers[stream_id]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Reads all, then answers: much on /large."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    body = bytes(200_000) if scope["path"] == "/large" else b"hello"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y" * 100)], "trailers": True}
    )
    for start in range(0, len(body), 10_000):
        await send({"type": "http.response.body", "body": body[start : start + 10_000], "more_body": True})
    await send({"type": "http.response.body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with serving(loop=request.param) as running:
        yield running


@pytest.fixture
def server(shared: Serving) -> Iterator[Serving]:
    shared.reset()
    shared.app = application
    yield shared
    assert shared.loop_errors == []


def left(server: Serving) -> int:
    """Connections and applications that there still are."""
    assert server.server is not None
    assert server.server._gateway is not None
    return server.server.open_connections + len(server.server._gateway.calls)


# Cut at every boundary of what the client sends, and of what the server does

LARGE = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/large"), (b":authority", b"h")]
SENT = [
    PREFACE,
    settings((INITIAL_WINDOW_SIZE, 1 << 20)),
    SETTINGS_ACK,
    window(0, 1 << 20),
    headers(1),
    post(3),
    data(3, b"some"),
    data(3, b"more", padding=9),
    ping(),
    headers(3, [(b"x-trailer", b"t")]),
    frame(HEADERS, 1, 5, header_block(LARGE)[:5]),
    continuation(5, header_block(LARGE)[5:], end=True),
    window(5, 1 << 20),
    post(7),
    reset(7),
    headers(9, POST, end=False),
    data(9, b"the end", end=True),
]


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_cut_at_every_boundary_of_what_is_sent(server: Serving, how: str) -> None:
    """At the frames' boundaries, and within their headers and payloads."""
    for count in range(1, len(SENT) + 1):
        for short in (0, 1, len(SENT[count - 1]) // 2):
            stream = b"".join(SENT[:count])
            with closing(socket.create_connection((server.host, server.port), timeout=10)) as client:
                client.sendall(stream[: len(stream) - short])
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                elif how == "half":
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 18):
                        pass
    eventually(lambda: left(server) == 0, timeout=10)
    assert {type(error) for error in server.escaped} <= {type(None), ClientDisconnected}
    with closing(Client(server)) as other:
        other.send(headers(1))
        assert other.answer(1).content == b"hello"


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_cut_at_every_boundary_of_what_is_received(server: Serving, how: str) -> None:
    with closing(Client(server, settings((INITIAL_WINDOW_SIZE, 1 << 20)), window(0, 1 << 20))) as whole:
        whole.send(headers(1, LARGE))
        whole.answer(1)
        boundaries = [0]
        for each in whole.frames:
            boundaries.append(boundaries[-1] + 9 + len(each.payload))
    assert len(boundaries) > 20
    for boundary in boundaries[:-1]:
        client = Client(server, settings((INITIAL_WINDOW_SIZE, 1 << 20)), window(0, 1 << 20))
        with closing(client):
            client.send(headers(1, LARGE))
            taken = 0
            while taken < boundary:
                taken += len(client.socket.recv(boundary - taken))
            client.cut(how)
            while how == "half" and client.socket.recv(1 << 18):
                pass
    eventually(lambda: left(server) == 0, timeout=10)
    with closing(Client(server)) as other:
        other.send(headers(1))
        assert other.answer(1).content == b"hello"


# Much, and many


@pytest.fixture(scope="module")
def process() -> Iterator[ServerProcess]:
    app_dir = Path(__file__).parent
    with start_server("--no-access-log", app="applications:app", app_dir=app_dir) as running:
        yield running


def test_much_down_to_a_client_that_is_slow_at_first(process: ServerProcess) -> None:
    """128 MiB of a gibibyte."""
    with closing(Client(process)) as client:
        client.send(headers(1))
        client.answer(1)
        before = process.resident
        path = [(name, b"/gibibyte" if name == b":path" else value) for name, value in LARGE]
        client.send(window(0, (1 << 31) - 1 - 65535), headers(3, path), window(3, (1 << 31) - 1 - 65535))
        highest = taken = 0
        while taken < 128 * MIB:
            taken += len(client.socket.recv(MIB))
            if taken < MIB:
                time.sleep(0.01)
            highest = max(highest, process.resident)
        assert highest - before < GROWTH


def test_much_up_to_an_application(process: ServerProcess) -> None:
    """128 MiB, as the windows allow."""
    with closing(Client(process)) as client:
        client.send(headers(1))
        client.answer(1)
        path = [(name, b"/upload" if name == b":path" else value) for name, value in POST]
        before = process.resident
        client.send(headers(3, path, end=False))
        room = {0: 65535, 3: 65535}
        for each in client.frames:
            if each.kind == WINDOW_UPDATE:
                room[each.stream_id] += each.number
        highest = sent = 0
        while sent < 128 * MIB:
            size = min(16384, 128 * MIB - sent, *room.values())
            if size == 0:
                for each in client.receive():
                    if each.kind == WINDOW_UPDATE:
                        room[each.stream_id] += each.number
                highest = max(highest, process.resident)
                continue
            sent += size
            client.send(data(3, bytes(size), end=sent == 128 * MIB))
            for stream_id in room:
                room[stream_id] -= size
        assert client.answer(3).content == b"%d" % (128 * MIB)
        assert highest - before < GROWTH


class Waiting:
    """Waits for its client to go."""

    def __init__(self) -> None:
        self.ended = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/large":
            await application(scope, receive, send)
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        self.ended += 1


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_1_000_streams_opened_and_reset(loop: str) -> None:
    """Within a budget that allows it: all their applications end, and the connection goes on."""
    app = Waiting()
    with serving(app, loop=loop, limits={"h2_resets": 2000}) as server, closing(Client(server)) as client:
        for first in range(1, 2001, 200):
            hundred = range(first, first + 200, 2)
            client.send(*[post(n) + data(n, b"x") for n in hundred])
            eventually(lambda expected=first // 2 + 100: server.called == expected)
            client.send(*[reset(n) for n in hundred])
            eventually(lambda expected=first // 2 + 100: app.ended == expected)
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)), window(0, 1 << 20), headers(2001, LARGE))
        assert len(client.answer(2001).content) == 200_000
        assert not [each for each in client.frames if each.kind == GOAWAY]
        assert left(server) == 1


def test_1_000_streams_opened_and_reset_beyond_the_budget(server: Serving) -> None:
    """By default: the connection ends, and all its applications do."""
    app = Waiting()
    server.app = app
    with closing(Client(server)) as client:
        client.send(*[headers(n) + reset(n) for n in range(1, 2001, 2)])
        while not any(each.kind == GOAWAY for each in client.frames):
            client.receive()
        assert client.frames[-1].code == ENHANCE_YOUR_CALM
    eventually(lambda: left(server) == 0, timeout=10)
    assert app.ended == server.called <= 510


def test_a_stalled_stream_and_its_neighbours(server: Serving) -> None:
    """A client that opens no window for one stream gets all of the others."""
    with closing(Client(server, settings((INITIAL_WINDOW_SIZE, 0)))) as client:
        client.send(headers(1, LARGE), *[headers(n) for n in range(3, 103, 2)])
        client.send(*[window(n, 5) for n in range(3, 103, 2)])
        assert {client.answer(n).content for n in range(3, 103, 2)} == {b"hello"}
        assert client.answers[1].content == b""
        client.send(window(0, 1 << 20), window(1, 1 << 20), ping())
        assert len(client.answer(1).content) == 200_000
        assert any(each.kind == PING for each in client.frames)
        assert all(each.kind != DATA or each.payload or each.ends_stream for each in client.frames)
