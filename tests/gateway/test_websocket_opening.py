"""How WebSockets open, and how they are refused (ASGI www 2.5)."""

import asyncio
from typing import Any

import pytest

from tests.gateway.websocket_client import (
    HANDSHAKE,
    TEXT,
    Client,
    Recorder,
    echo,
    run,
)
from tests.websocket.support import frame
from tidegate.asgi import Message, Receive, Scope, Send
from tidegate.gateway.scope import Peers
from tidegate.gateway.websocket import WebSocketSettings
from tidegate.http.errors import ApplicationError, ClientDisconnected
from tidegate.websocket.connection import WebSocketLimits

# --- opening


def test_the_scope_and_the_first_message() -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        await client.open(b"Sec-WebSocket-Protocol: a, b")
        assert client.head().splitlines()[0] == b"HTTP/1.1 101 Switching Protocols"

    run(app, scenario)
    assert app.received[0] == {"type": "websocket.connect"}
    headers = app.scope.pop("headers")
    assert (b"host", b"example.com") in headers
    extensions = app.scope.pop("extensions")
    assert set(extensions) == {"websocket.http.response", "tidegate.shutdown"}
    assert app.scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/chat room",
        "raw_path": b"/chat%20room",
        "query_string": b"x=1",
        "root_path": "",
        "client": ("192.0.2.7", 50123),
        "server": ("127.0.0.1", 8000),
        "subprotocols": ["a", "b"],
        "state": {"pool": 1},
    }


def test_the_scheme_over_tls() -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        client.peers = Peers(None, None, "https")
        await client.open()

    run(app, scenario)
    assert app.scope["scheme"] == "wss"


def test_the_answer_has_what_the_application_chose() -> None:
    app = Recorder(
        accept={
            "type": "websocket.accept",
            "subprotocol": "b",
            "headers": [(b"X-Name", b"v"), (b"Content-Length", b"0")],
        }
    )

    async def scenario(client: Client) -> None:
        await client.open(b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Extensions: permessage-deflate")
        lines = client.head().split(b"\r\n")
        assert sorted(lines[1:]) == [
            b"connection: upgrade",
            b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            b"sec-websocket-extensions: permessage-deflate; server_no_context_takeover",
            b"sec-websocket-protocol: b",
            b"upgrade: websocket",
            b"x-name: v",
        ]

    run(app, scenario)


def test_a_subprotocol_may_be_chosen_by_its_header() -> None:
    app = Recorder(accept={"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"a")]})

    async def scenario(client: Client) -> None:
        await client.open(b"Sec-WebSocket-Protocol: a, b")
        assert client.head().count(b"sec-websocket-protocol: a") == 1

    run(app, scenario)


def test_what_came_with_the_handshake_is_kept() -> None:
    async def scenario(client: Client) -> None:
        await client.open(then=frame(TEXT, b"early"))
        assert client.frames() == [(0x81, b"early")]

    run(echo, scenario)


def test_a_compressed_conversation() -> None:
    async def scenario(client: Client) -> None:
        await client.open(b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover")
        await client.send(frame(TEXT, b"x" * 1000))
        [(first, payload)] = client.frames()
        assert first == 0xC1
        assert len(payload) < 30

    run(echo, scenario)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HANDSHAKE.replace(b": 13", b": 8"), 426),
        (HANDSHAKE.replace(b"==", b"="), 400),
        (HANDSHAKE.replace(b"GET", b"POST") + b"Content-Length: 0\r\n", 400),
    ],
)
def test_a_bad_handshake_never_reaches_the_application(request_: bytes, status: int) -> None:
    app = Recorder()

    async def scenario(client: Client) -> None:
        await client.send(request_ + b"\r\n")
        assert client.status == status
        assert client.closed
        assert (b"sec-websocket-version: 13" in client.head().lower()) == (status == 426)

    run(app, scenario)
    assert app.received == []


# --- refusing


def test_closing_before_accepting_is_403() -> None:
    app = Recorder(accept={"type": "websocket.close"})

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.status == 403
        assert client.head().endswith(b"content-length: 0")
        assert not client.written

    run(app, scenario)
    assert app.received[1:] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_a_denial_response_with_a_streamed_body() -> None:
    kind = "websocket.http.response"
    app = Recorder(
        {"type": f"{kind}.body", "body": b"no", "more_body": True},
        {"type": f"{kind}.body", "body": b"t you"},
        {"type": "websocket.close"},
        accept={"type": f"{kind}.start", "status": 401, "headers": [(b"content-type", b"text/plain")]},
    )

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.status == 401
        assert b"content-type: text/plain" in client.head()
        assert client.written == b"2\r\nno\r\n5\r\nt you\r\n0\r\n\r\n"
        assert not client.closed  # HTTP goes on
        client.written.clear()
        await client.open()
        assert client.status == 401

    run(app, scenario)


@pytest.mark.parametrize(
    "told",
    [
        [{"type": "websocket.http.response.start", "status": 101}],
        [{"type": "websocket.http.response.start", "status": 401}] * 2,
        [{"type": "websocket.http.response.start", "status": 401}, {"type": "websocket.accept"}],
        [{"type": "websocket.http.response.start", "status": 401}, {"type": "websocket.send", "text": ""}],
        [{"type": "websocket.accept", "subprotocol": "not offered"}],
        [{"type": "websocket.accept", "subprotocol": b"a"}],
        [{"type": "websocket.accept", "headers": [(b"sec-websocket-accept", b"x")]}],
        [{"type": "websocket.accept", "headers": [("str", "str")]}],
        [{"type": "websocket.send", "text": "early"}],
        [{"type": "websocket.http.response.body"}],
        [{"type": "http.response.start", "status": 200}],
        [{"type": 1}],
        [{}],
        ["websocket.accept"],
    ],
)
def test_a_bad_message_before_accepting_is_500(told: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder(*told[1:], accept=told[0])

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.status == 500

    run(app, scenario)
    assert isinstance(app.error, ApplicationError)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["raises", "returns"])
def test_an_application_that_ends_before_accepting(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if kind == "raises":
            raise RuntimeError("boom")

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.status == 500

    run(app, scenario)
    assert len(caplog.records) == 1
    assert kind == "raises" or "without accepting" in caplog.text


def test_a_denial_takes_what_its_extension_names() -> None:
    kind = "websocket.http.response"
    app = Recorder(
        {"type": f"{kind}.body", "body": b"no", "trailers": True},
        accept={"type": f"{kind}.start", "status": 401, "trailers": True, "path": "/etc/passwd"},
    )

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.status == 401
        client.head()
        assert client.written == b"2\r\nno\r\n0\r\n\r\n"
        assert not client.closed

    run(app, scenario)
    assert app.error is None


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ({"type": "websocket.accept"}, 101),
        ({"type": "websocket.close"}, 403),
        ({"type": "websocket.http.response.start", "status": 402}, 402),
    ],
)
@pytest.mark.parametrize(
    "wrong", [{"status": 101}, {"status": "401"}, {}, {"status": 401, "headers": [("str", "str")]}]
)
def test_a_denial_that_is_refused_changes_nothing(wrong: Message, second: Message, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ApplicationError):
            await send({"type": "websocket.http.response.start", **wrong})
        await send(second)
        if status == 402:
            await send({"type": "websocket.http.response.body"})

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.status == status

    run(app, scenario)


def test_an_unfinished_denial_is_cut() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body", "body": b"x", "more_body": True})

    async def scenario(client: Client) -> None:
        await client.open()
        assert client.closed
        assert not client.written.endswith(b"0\r\n\r\n")

    run(app, scenario)


def test_an_application_that_neither_accepts_nor_refuses_in_time(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["type"] == "websocket.disconnect"
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.accept"})

    async def scenario(client: Client) -> None:
        await client.open()
        assert not client.written
        await asyncio.sleep(0.05)
        assert client.status == 503
        assert client.closed

    run(app, scenario, WebSocketSettings(WebSocketLimits(), handshake_timeout=0.02))
    (line,) = caplog.messages
    assert line.startswith("the application neither accepted nor refused the WebSocket in 0.02 s: ")
