"""WebSockets under backpressure, and in time."""

import asyncio
from itertools import pairwise

import pytest

from tests.gateway.websocket_client import (
    BINARY,
    HANDSHAKE,
    PING,
    PONG,
    TEXT,
    Client,
    Recorder,
    echo,
    run,
)
from tests.websocket.support import close_frame, frame
from tidegate.asgi import Receive, Scope, Send
from tidegate.gateway.websocket import WebSocketSettings
from tidegate.http.errors import ClientDisconnected
from tidegate.websocket.connection import WebSocketLimits

# --- backpressure


@pytest.mark.parametrize(
    ("settings", "size", "count"),
    [
        (WebSocketSettings(WebSocketLimits(), max_queue=4), 1, 4),
        (WebSocketSettings(WebSocketLimits(), max_queued=1000), 400, 3),
    ],
)
def test_messages_that_are_not_taken_let_the_client_wait(
    settings: WebSocketSettings, size: int, count: int
) -> None:
    go = asyncio.Semaphore(0)
    taken = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.acquire()
        while (message := await receive())["type"] == "websocket.receive":
            taken.append(message["bytes"])
            await go.acquire()

    async def scenario(client: Client) -> None:
        messages = [bytes((i,)) * size for i in range(10)]
        await client.open()
        await client.send(b"".join(frame(BINARY, message) for message in messages[:count]))
        assert not client.reading
        # What the transport had in hand still comes, and is kept.
        await client.send(
            b"".join(frame(BINARY, message) for message in messages[count:]) + close_frame(1000)
        )
        go.release()
        await client.settle()
        assert not client.reading
        for _ in range(10):
            go.release()
        await client.settle()
        assert client.reading
        assert taken == messages
        assert client.frames() == [(0x88, b"\x03\xe8")]

    run(app, scenario, settings)


def test_one_large_message_for_an_application_that_waits_does_not_pause() -> None:
    async def scenario(client: Client) -> None:
        await client.open()
        client.connection.receive_data(frame(BINARY, bytes(2000)), 0.0)
        assert client.reading
        client.connection.receive_data(frame(BINARY, bytes(2000)), 0.0)
        assert not client.reading
        await client.settle()
        assert client.reading
        assert len(client.frames()) == 2

    run(echo, scenario, WebSocketSettings(WebSocketLimits(), max_queued=1000))


def test_send_waits_for_a_client_that_does_not_keep_up() -> None:
    sent = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        for i in range(4):
            await send({"type": "websocket.send", "text": str(i)})
            sent.append(i)

    async def scenario(client: Client) -> None:
        await client.open()
        client.connection.pause_writing()
        await client.send(frame(TEXT, b"go") + frame(PING, b"1") + frame(PING, b"2"))
        assert sent == []
        assert client.frames() == [(0x81, b"0")]
        client.connection.resume_writing()
        await client.settle()
        assert client.frames() == [
            (0x8A, b"2"),
            (0x81, b"1"),
            (0x81, b"2"),
            (0x81, b"3"),
            (0x88, b"\x03\xe8"),
        ]

    run(app, scenario)


def test_a_sender_that_waits_is_told_when_the_client_goes() -> None:
    caught = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        try:
            await send({"type": "websocket.send", "text": "x"})
        except ClientDisconnected:
            caught.append(True)

    async def scenario(client: Client) -> None:
        await client.open()
        client.connection.pause_writing()
        await client.send(frame(TEXT, b"go"))
        client.connection.connection_lost()
        await client.settle()

    run(app, scenario)
    assert caught


def test_a_paused_client_may_be_accepted_or_refused() -> None:
    for message, last in (({"type": "websocket.accept"}, b""), ({"type": "websocket.close"}, b"")):
        app = Recorder(accept=message)

        async def scenario(client: Client, last: bytes = last) -> None:
            client.connection.receive_data(HANDSHAKE, 0.0)
            client.connection.receive_data(b"\r\n", 0.0)
            client.connection.pause_writing()
            await client.settle()
            assert client.written
            client.connection.resume_writing()
            await client.settle()

        run(app, scenario)


def test_a_sender_lets_others_have_their_turn() -> None:
    turns = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        asyncio.get_running_loop().call_soon(lambda: turns.append("other"))
        for i in range(5):
            await send({"type": "websocket.send", "bytes": bytes(1 << 19)})
            turns.append(str(i))

    async def scenario(client: Client) -> None:
        await client.open()

    run(app, scenario)
    assert turns.index("other") < 3


def test_what_another_task_sends_goes_out_at_once() -> None:
    sockets: list[Send] = []
    stop = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        sockets.append(send)
        await stop.wait()

    async def scenario(client: Client) -> None:
        await client.open()
        client.frames()
        await sockets[0]({"type": "websocket.send", "text": "news"})
        assert client.frames() == [(0x81, b"news")]
        stop.set()
        await client.settle()

    run(app, scenario)


def test_answers_to_many_messages_let_the_loop_turn() -> None:
    turns = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns.append(answered)
            if answered < 10_000:
                loop.call_soon(turn)

        answered = 0
        turn()
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
            answered += 1

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT) * 10_000 + close_frame(1000))
        assert len(client.frames()) == 10_001

    run(app, scenario)
    assert turns[-1] == 10_000
    # For 1 MiB, a message counts as 512 octets.
    assert max(after - before for before, after in pairwise(turns)) <= 2048 + 16


def test_receive_in_another_task() -> None:
    received = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        first = asyncio.ensure_future(receive())
        second = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        first.cancel()
        received.append(await second)
        received.append(await asyncio.ensure_future(receive()))

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"1"))
        await client.send(frame(TEXT, b"2") + close_frame(1000))
        await client.settle()

    run(app, scenario)
    assert [message["text"] for message in received] == ["1", "2"]


def test_a_close_that_another_task_takes_is_answered_at_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.01)
        messages = [await asyncio.ensure_future(receive()) for _ in range(2)]
        assert messages[1]["type"] == "websocket.disconnect"
        await asyncio.sleep(0.05)

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"1") + close_frame(1000))
        await asyncio.sleep(0.03)
        assert client.frames() == [(0x88, b"\x03\xe8")]
        await asyncio.sleep(0.05)

    run(app, scenario)


# --- time


def test_a_dead_client_is_found() -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        await client.open()
        await asyncio.sleep(0.03)
        assert client.frames() == [(0x89, b"")]
        await client.send(frame(PONG))
        await asyncio.sleep(0.03)
        assert client.frames() == [(0x89, b"")]
        assert not client.closed
        await asyncio.sleep(0.05)
        assert client.closed

    run(app, scenario, WebSocketSettings(WebSocketLimits(ping_interval=0.02, ping_timeout=0.03)))
    assert app.received[1:] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_pings_come_in_their_interval_though_their_timeout_is_longer() -> None:
    async def scenario(client: Client) -> None:
        await client.open()
        client.head()
        for _ in range(5):
            await asyncio.sleep(0.0201)
            assert client.frames() == [(0x89, b"")]
            await client.send(frame(PONG))

    run(Recorder(), scenario, WebSocketSettings(WebSocketLimits(ping_interval=0.02, ping_timeout=0.5)))


def test_a_slow_client_of_a_large_message_is_not_given_up() -> None:
    async def scenario(client: Client) -> None:
        await client.open()
        client.waiting = 1000
        for _ in range(5):
            await asyncio.sleep(0.03)
            client.waiting -= 100
        assert not client.closed
        await asyncio.sleep(0.061)
        assert client.closed

    app = Recorder({"type": "websocket.send", "bytes": bytes(1000)})
    run(app, scenario, WebSocketSettings(WebSocketLimits(ping_interval=0.03, ping_timeout=0.03)))
    assert app.received[1:] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_clients_of_an_application_that_never_receives_are_pinged() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.sleep(1)

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"x") * 40)
        assert not client.reading
        client.head()
        for _ in range(4):
            await asyncio.sleep(0.0201)
            assert client.frames() == [(0x89, b"")]
        await asyncio.sleep(1)

    run(app, scenario, WebSocketSettings(WebSocketLimits(ping_interval=0.02, ping_timeout=0.02)))


def test_no_timers_are_left_behind() -> None:
    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(close_frame(1000))
        loop = asyncio.get_running_loop()
        assert not [timer for timer in loop._scheduled if not timer.cancelled()][1:]  # type: ignore[attr-defined]

    run(echo, scenario)
