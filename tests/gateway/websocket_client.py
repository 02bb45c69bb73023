"""A WebSocket's client on a wire of memory, from the octets of its handshake on; and applications for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.virtual_time import VirtualTimeLoop
from tidegate.asgi import ASGIApplication, Message, Receive, Scope, Send
from tidegate.gateway.application import Gateway
from tidegate.gateway.scope import Peers
from tidegate.gateway.websocket import WebSocketExchange, WebSocketSettings
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import RequestError
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
