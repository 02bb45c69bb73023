"""ASGI's websocket sub-specification (ASGI www 2.5), from the octets of a handshake on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from itertools import pairwise
from typing import Any

import pytest

from tests.support.virtual_time import VirtualTimeLoop
from tests.websocket.support import close_frame, frame
from tidegate.asgi import ASGIApplication, Message, Receive, Scope, Send
from tidegate.gateway.application import Gateway
from tidegate.gateway.scope import Peers
from tidegate.gateway.websocket import WebSocketExchange, WebSocketSettings
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ApplicationError, ClientDisconnected, RequestError
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream, StreamHandler, Wire
from tidegate.http1.connection import H1Connection
from tidegate.http1.limits import H1Limits
from tidegate.websocket.connection import WebSocketLimits

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HANDSHAKE = (
    b"GET /chat%20room?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Client(Wire):
    """A client on one connection, whose end of the wire this is: what the server wrote, and in which state it is."""

    def __init__(
        self,
        app: ASGIApplication,
        settings: WebSocketSettings | None = None,
        *,
        log: Callable[[Any], None] | None = None,
        cancel_after: float | None = None,
    ) -> None:
        self.written = bytearray()
        self.writes = 0
        self.reading = True
        self.closed = False
        self.aborted = False
        self.waiting = 0  # octets that the client has not taken
        self.settings = WebSocketSettings(WebSocketLimits()) if settings is None else settings
        self.gateway = Gateway(
            app,
            asyncio.get_running_loop(),
            state={"pool": 1},
            access_log=log,
            cancel_after=cancel_after,
        )
        self.peers = Peers(("192.0.2.7", 50123), ("127.0.0.1", 8000), "http")
        self.exchange: WebSocketExchange | None = None
        self.connection = H1Connection(
            self, H1Limits(), ResponseDefaults(None, False, ()), self.open_handler, self.refused, 0.0
        )

    def open_handler(self, stream: Stream, head: RequestHead) -> StreamHandler:
        self.exchange = WebSocketExchange(self.gateway, stream, head, self.peers, self.settings)
        return self.exchange

    def refused(self, error: RequestError, head: RequestHead | None) -> None:
        pass

    # Wire

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def unacknowledged(self) -> int:
        return self.waiting

    def flush_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.connection.flush_due)

    def close(self, linger: bool) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    # The client's side

    async def settle(self) -> None:
        """Let the application go as far as it can."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def send(self, data: bytes) -> None:
        self.connection.receive_data(data, 0.0)
        await self.settle()

    async def open(self, *fields: bytes, then: bytes = b"") -> None:
        await self.send(HANDSHAKE + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + then)

    def head(self) -> bytes:
        """Take the head of the answer."""
        head, _, rest = bytes(self.written).partition(b"\r\n\r\n")
        self.written[:] = rest
        return head

    @property
    def status(self) -> int:
        return int(bytes(self.written).split(b" ", 2)[1])

    def frames(self) -> list[tuple[int, bytes]]:
        """Take the frames that have come: first octet and payload."""
        if self.written.startswith(b"HTTP/"):
            self.head()
        frames = []
        while self.written:
            first, size, at = self.written[0], self.written[1], 2
            if size == 126:
                size, at = int.from_bytes(self.written[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(self.written[2:10], "big"), 10
            frames.append((first, bytes(self.written[at : at + size])))
            del self.written[: at + size]
        return frames


Scenario = Callable[[Client], Awaitable[None]]


def run(
    app: ASGIApplication, scenario: Scenario, settings: WebSocketSettings | None = None, **options: Any
) -> None:
    """Run `scenario` with a client of `app`; at its end no application may be left over."""

    async def main() -> None:
        client = Client(app, settings, **options)
        await scenario(client)
        if not client.closed and not client.aborted:
            client.connection.connection_lost()
            await client.settle()
        assert not client.gateway.calls

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(asyncio.wait_for(main(), 100))


class Recorder:
    """An application that accepts, and does what it is told by `told`; it keeps what it has received."""

    def __init__(self, *told: Message, accept: Message | None = None) -> None:
        self.told = told
        self.accept = {"type": "websocket.accept"} if accept is None else accept
        self.scope: Scope = {}
        self.received: list[Message] = []
        self.error: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.received.append(await receive())
        try:
            for message in (self.accept, *self.told):
                await send(message)
            while self.received[-1]["type"] != "websocket.disconnect":
                self.received.append(await receive())
        except Exception as error:
            self.error = error
            raise


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


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


def test_an_application_that_neither_accepts_nor_refuses_in_time() -> None:
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
