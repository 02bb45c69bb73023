"""How WebSockets end: by their client, by the application, by shutdown (ASGI www 2.5)."""

import asyncio

import pytest

from tests.gateway.websocket_client import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Client,
    Recorder,
    echo,
    run,
)
from tests.websocket.support import close_frame, frame
from tidegate.asgi import Message, Receive, Scope, Send
from tidegate.gateway.websocket import WebSocketSettings
from tidegate.http.errors import ClientDisconnected
from tidegate.websocket.connection import WebSocketLimits

# --- the client leaves


@pytest.mark.parametrize(
    ("last", "code", "reason"),
    [
        (close_frame(4001, "bye é"), 4001, "bye é"),
        (frame(CLOSE), 1005, ""),
        (frame(TEXT, b"\xff"), 1007, "text is not UTF-8"),
        (frame(TEXT, b"", rsv=0x10), 1002, "reserved bits set"),
        (frame(BINARY, bytes(101)), 1009, "message too big"),
    ],
)
def test_the_close_code_reaches_the_application(last: bytes, code: int, reason: str) -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(BINARY, bytes(100)) + last)
        [(first, payload)] = client.frames()
        assert first == 0x88
        assert payload[:2] == (b"" if code == 1005 else code.to_bytes(2, "big"))
        assert client.closed

    run(app, scenario, WebSocketSettings(WebSocketLimits(max_message=100)))
    assert app.received[1:] == [
        {"type": "websocket.receive", "bytes": bytes(100)},
        {"type": "websocket.disconnect", "code": code, "reason": reason},
    ]


@pytest.mark.parametrize("how", ["eof", "lost"])
def test_a_client_that_vanishes_is_1006(how: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(2):
            assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}, {}):
            with pytest.raises(ClientDisconnected):
                await send(message)
        await send({"type": "websocket.send", "text": "x"})

    async def scenario(client: Client) -> None:
        await client.open()
        if how == "eof":
            client.connection.receive_eof(0.0)
            assert client.closed
        else:
            client.connection.connection_lost()
        await client.settle()

    run(app, scenario)


@pytest.mark.parametrize("how", ["eof", "lost"])
def test_a_client_that_vanishes_before_the_answer(how: str, caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    app_done = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go.wait()
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        app_done.append(True)
        await send({"type": "websocket.accept"})

    async def scenario(client: Client) -> None:
        await client.open()
        if how == "eof":
            client.connection.receive_eof(0.0)
        else:
            client.connection.connection_lost()
        go.set()
        await client.settle()
        assert not client.written

    run(app, scenario)
    assert app_done
    assert not caplog.records


@pytest.mark.parametrize("how", ["eof", "lost"])
def test_a_client_that_vanishes_within_a_denial(how: str, caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body", "body": b"x", "more_body": True})
        await go.wait()
        await send({"type": "websocket.http.response.body", "body": b"x"})

    async def scenario(client: Client) -> None:
        await client.open()
        if how == "eof":
            client.connection.receive_eof(0.0)
        else:
            client.connection.connection_lost()
        go.set()
        await client.settle()
        assert client.written.endswith(b"0\r\n\r\n") == (how == "eof")

    run(app, scenario)
    assert not caplog.records


def test_a_close_takes_effect_behind_the_echoes() -> None:
    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"1") + frame(TEXT, b"2") + close_frame(1000) + frame(TEXT, b"3"))
        assert client.frames() == [(0x81, b"1"), (0x81, b"2"), (0x88, b"\x03\xe8")]
        assert client.closed

    run(echo, scenario)


def test_an_error_takes_effect_behind_the_echoes() -> None:
    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"1") + frame(TEXT, b"2", rsv=0x20) + frame(PING))
        assert client.frames() == [(0x81, b"1"), (0x88, b"\x03\xeareserved bits set")]

    run(echo, scenario)


def test_a_close_is_answered_while_the_application_is_busy() -> None:
    app = Recorder()

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(close_frame(1000))
        assert client.frames() == [(0x88, b"\x03\xe8")]

    run(busy, scenario)


def test_an_application_that_takes_nothing_holds_a_close_up_only_so_long() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"never taken") + close_frame(1000))
        assert client.frames() == []
        await asyncio.sleep(0.05)
        assert client.frames() == [(0x88, b"\x03\xe8")]
        assert client.closed
        go.set()
        await client.settle()

    run(app, scenario, WebSocketSettings(WebSocketLimits(close_timeout=0.02)))


def test_the_application_may_be_cancelled_when_its_client_has_gone() -> None:
    cancelled = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise ClientDisconnected from None

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(close_frame(1000))
        await asyncio.sleep(0.03)

    run(app, scenario, cancel_after=0.01)
    assert cancelled


# --- the application leaves


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ({}, b"\x03\xe8"),
        ({"code": None, "reason": None}, b"\x03\xe8"),
        ({"code": 4000, "reason": "é"}, b"\x0f\xa0\xc3\xa9"),
        ({"code": 1005}, b""),
    ],
)
def test_the_application_closes(message: Message, payload: bytes) -> None:
    app = Recorder({"type": "websocket.close", **message}, {"type": "websocket.close"})

    async def scenario(client: Client) -> None:
        await client.open(then=frame(TEXT, b"not taken"))
        assert client.frames() == [(0x88, payload)]
        assert not client.closed
        await client.send(frame(TEXT, b"late") + frame(CLOSE, payload))
        assert client.closed

    run(app, scenario)
    [disconnect] = app.received[1:]
    assert disconnect["code"] == (message.get("code") or 1000)


@pytest.mark.parametrize(
    ("error", "code"), [(None, 1000), (RuntimeError("boom"), 1011), (SystemExit(1), 1011)]
)
def test_the_application_ends(
    error: BaseException | None, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        if error is not None:
            raise error

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.frames() == [(0x88, code.to_bytes(2, "big"))]
        await client.send(close_frame(code))
        assert client.closed

    run(app, scenario)
    assert len(caplog.records) == (error is not None)


def test_a_client_that_does_not_close_in_turn_is_cut() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def scenario(client: Client) -> None:
        await client.open()
        await asyncio.sleep(0.05)
        assert client.closed

    run(app, scenario, WebSocketSettings(WebSocketLimits(close_timeout=0.02)))


# --- shutdown


def test_shutdown_closes_with_1012() -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        await client.open()
        client.connection.shutdown(0.0)
        await client.settle()
        assert client.frames() == [(0x88, b"\x03\xf4")]
        await client.send(close_frame(1012))
        assert client.closed

    run(app, scenario)
    assert app.received[1:] == [{"type": "websocket.disconnect", "code": 1012, "reason": ""}]


def test_a_websocket_that_opens_during_shutdown_is_closed() -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        client.connection.shutdown(0.0)
        await client.open()
        assert client.frames() == [(0x88, b"\x03\xf4")]

    run(app, scenario)
    assert app.received[1:] == [{"type": "websocket.disconnect", "code": 1012, "reason": ""}]
