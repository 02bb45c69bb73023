"""What a connection had is freed with it: none of it waits in a cycle until the garbage collector comes by."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.inprocess import Serving, serving
from tests.support.process import eventually
from tests.support.tls import TLSClient
from tests.support.wire import Client
from tests.websocket.support import close_frame, frame
from tidegate.config import TLS, Bind

CONNECTIONS = 5
HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/refused":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/failing":
            raise ValueError("on purpose")
        if scope["path"] == "/slow":
            await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        return
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def opened(client: Client, path: bytes = b"/") -> None:
    client.send(HANDSHAKE % path)
    assert client.read_head().status == 101
    client.send(frame(1, b"hello"))
    assert client.take(7) == b"\x81\x05hello"


def closed(client: Client) -> None:
    opened(client)
    client.send(close_frame(1000))
    assert client.read_to_end()


def ended(client: Client) -> None:
    opened(client)
    client.close()


def was_reset(client: Client) -> None:
    opened(client)
    client.reset()


def within_a_message(client: Client) -> None:
    opened(client)
    client.send(frame(1, bytes(100))[:50])
    client.reset()


def against_the_rules(client: Client) -> None:
    opened(client)
    client.send(frame(3, b""))
    assert client.read_to_end()


def refused(client: Client) -> None:
    client.send(HANDSHAKE % b"/refused")
    assert client.read_response().status == 403


def failed(client: Client) -> None:
    client.send(HANDSHAKE % b"/failing")
    assert client.read_response().status == 500


def too_early(client: Client) -> None:
    client.send(HANDSHAKE % b"/slow")
    time.sleep(0.02)
    client.reset()


def content_in_pieces(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
    for octet in (b"a", b"b"):
        time.sleep(0.01)
        client.send(octet)
    assert client.read_response().status == 200


@pytest.fixture(scope="module", params=["uvloop", "asyncio", "tls"])
def shared_server(request, authority) -> Iterator[Serving]:
    if request.param == "tls":
        tls = TLS(certfile=(str(authority.issue("localhost")),))
        with serving(app, tls=tls, binds=(Bind(port=0, scheme="https"),)) as server:
            yield server
    else:
        with serving(app, loop=request.param) as server:
            yield server


@pytest.mark.parametrize(
    "play",
    [
        closed,
        ended,
        was_reset,
        within_a_message,
        against_the_rules,
        refused,
        failed,
        too_early,
        content_in_pieces,
    ],
)
def test_nothing_is_left_of_a_connection(server, authority, play: Callable[[Client], None]) -> None:
    def client() -> Client:
        if server.config.tls.certfile:
            return TLSClient(server.host, server.port, authority.client_context("http/1.1"))
        return Client(server.host, server.port)

    server.app = app
    gc.collect()
    gc.disable()
    try:
        for _ in range(CONNECTIONS):
            with client() as each:
                play(each)
        eventually(lambda: server.server.open_connections == 0)
        eventually(lambda: len(server.escaped) == server.called)
        time.sleep(0.05)  # the last turn of the loop
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(each).__qualname__ for each in gc.garbage if is_ours(each))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == {}


def is_ours(found: object) -> bool:
    return type(found).__module__.startswith("tidegate.")
