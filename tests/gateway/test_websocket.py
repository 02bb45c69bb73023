"""Every message of ASGI's websocket sub-specification (ASGI www 2.5) in every state, and the log of a session."""

import logging
from enum import StrEnum
from typing import Any

import pytest

from tests.gateway.websocket_client import (
    TEXT,
    Client,
    Recorder,
    echo,
    run,
)
from tests.websocket.support import close_frame, frame
from tidegate.asgi import Message, Receive, Scope, Send
from tidegate.http.errors import ApplicationError, ClientDisconnected


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": None, "bytes": None},
        {"type": "websocket.send", "text": "x", "bytes": b"x"},
        {"type": "websocket.send", "text": b"x"},
        {"type": "websocket.send", "bytes": "x"},
        {"type": "websocket.send", "text": "\ud800"},
        {"type": "websocket.accept"},
        {"type": "websocket.close", "code": "1000"},
        {"type": "websocket.close", "code": True},
        {"type": "websocket.close", "code": 1006},
        {"type": "websocket.close", "code": 10**30},
        {"type": "websocket.close", "reason": b"x"},
        {"type": "websocket.close", "reason": "x" * 124},
        {"type": "websocket.http.response.start", "status": 200},
        {"type": "websocket.http.response.body"},
        {"type": "http.response.body"},
        {},
        "websocket.send",
    ],
)
def test_a_bad_message_is_raised_out_of_send(message: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder(message)

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.frames() == [(0x88, b"\x03\xf3")]

    run(app, scenario)
    assert isinstance(app.error, ApplicationError)
    assert len(caplog.records) == 1


class Name(StrEnum):
    KNOWN = "known"


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"text": "é"}, (0x81, "é".encode())),
        ({"text": "", "bytes": None}, (0x81, b"")),
        ({"text": Name.KNOWN}, (0x81, b"known")),
        ({"bytes": b"x", "text": None}, (0x82, b"x")),
        ({"bytes": bytearray(b"x")}, (0x82, b"x")),
        ({"bytes": memoryview(b"x")}, (0x82, b"x")),
    ],
)
def test_a_message_is_sent(message: Message, sent: tuple[int, bytes]) -> None:
    app = Recorder({"type": "websocket.send", **message})

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.frames() == [sent]

    run(app, scenario)


# --- the table

KINDS = {
    "websocket.accept": {},
    "websocket.send": {"text": "x"},
    "websocket.close": {},
    "websocket.http.response.start": {"status": 401},
    "websocket.http.response.body": {},
    "unknown": {},
}
ROUTES: dict[str, list[Message]] = {
    "CONNECTING": [],
    "REFUSING": [{"type": "websocket.close"}],
    "ACCEPTED": [{"type": "websocket.accept"}],
    "CLOSED": [{"type": "websocket.accept"}, {"type": "websocket.close"}],
    "GONE": [{"type": "websocket.accept"}],
}
EXPECTED = {
    "CONNECTING": ["sent", "error", "sent", "sent", "error", "error"],
    # A complete answer ignores what comes behind it.
    "REFUSING": ["error", "error", "sent", "sent", "sent", "error"],
    "ACCEPTED": ["error", "sent", "sent", "error", "error", "error"],
    "CLOSED": ["error", "error", "sent", "error", "error", "error"],
    "GONE": ["gone"] * 6,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", EXPECTED)
def test_every_message_in_every_state(state: str, kind: str) -> None:
    outcome = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in ROUTES[state]:
            await send(message)
        if state == "GONE":
            await receive()
        try:
            await send({"type": kind, **KINDS[kind]})
            outcome.append("sent")
        except ApplicationError:
            outcome.append("error")
        except ClientDisconnected:
            outcome.append("gone")

    async def scenario(client: Client) -> None:
        await client.open()
        if state == "GONE":
            client.connection.connection_lost()
        await client.settle()

    run(app, scenario)
    assert outcome == [EXPECTED[state][list(KINDS).index(kind)]]


# --- the log


def test_a_session_is_logged_once_at_its_end() -> None:
    logged: list[Any] = []

    async def scenario(client: Client) -> None:
        await client.open()
        await client.send(frame(TEXT, b"abc"))
        assert logged == []
        await client.send(close_frame(4000))
        [session] = logged
        assert session.status == 101
        assert (session.messages_received, session.messages_sent) == (1, 1)
        assert (session.body_received, session.body_sent) == (9 + 8, 5 + 4)
        assert session.close_code == 4000
        assert session.started_at <= session.first_byte_at
        assert session.identity() == session.identity()

    run(echo, scenario, log=logged.append)
    assert len(logged) == 1


@pytest.mark.parametrize("refusal", [{"type": "websocket.close"}, {"type": "websocket.http.response.start"}])
def test_a_refusal_is_logged_as_the_request_it_is(refusal: Message) -> None:
    logged: list[Any] = []
    app = Recorder({"type": "websocket.http.response.body"}, accept={**refusal, "status": 403})

    async def scenario(client: Client) -> None:
        await client.open()

    run(app, scenario, log=logged.append)
    assert [exchange.status for exchange in logged] == [403]


def test_a_client_that_goes_before_the_answer_is_logged() -> None:
    logged: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    async def scenario(client: Client) -> None:
        await client.open()
        client.connection.connection_lost()
        await client.settle()

    run(app, scenario, log=logged.append)
    assert [
        (each.status, each.body_sent, each.body_received, each.messages_sent, each.messages_received)
        for each in logged
    ] == [(0, 0, 0, 0, 0)]


def test_failures_name_the_request(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise RuntimeError("boom")

    async def scenario(client: Client) -> None:
        await client.open()

    with caplog.at_level(logging.ERROR):
        run(app, scenario)
    assert "GET /chat%20room?x=1" in caplog.text
    assert "boom" in caplog.text
