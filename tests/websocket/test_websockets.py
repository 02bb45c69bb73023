"""Both directions against the `websockets` library's protocol, which does no I/O either."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Frame
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.websocket.support import Events, Tape
from tidegate.http.head import RequestHead
from tidegate.websocket.allowance import Allowance
from tidegate.websocket.connection import WebSocketConnection, WebSocketLimits
from tidegate.websocket.handshake import receive_handshake
from tidegate.websocket.sender import MessageSender

OFFERS: dict[str, ClientPerMessageDeflateFactory | None] = {
    "no compression": None,
    "plain offer": ClientPerMessageDeflateFactory(),
    "no takeover": ClientPerMessageDeflateFactory(
        server_no_context_takeover=True, client_no_context_takeover=True
    ),
    "small windows": ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
    "window named by us": ClientPerMessageDeflateFactory(client_max_window_bits=True),
}


class Pair:
    """A client of the `websockets` library, and our connection, after their handshake."""

    def __init__(self, offer: str, takeover: bool = True, sender: MessageSender | None = None) -> None:
        factory = OFFERS[offer]
        self.client = ClientProtocol(
            parse_uri("ws://example.com/chat"),
            extensions=[factory] if factory is not None else None,
            subprotocols=[Subprotocol("chat")],
            max_size=None,
        )
        self.client.send_request(self.client.connect())
        [request] = self.client.data_to_send()
        head = RequestHead()
        head.method = "GET"
        head.protocol = b"websocket"
        head.headers = [
            (name.lower(), value) for name, value in re.findall(rb"\r\n([^:\r]+): ([^\r]*)", request)
        ]
        handshake = receive_handshake(head, 12, takeover)
        assert (handshake.deflate is not None) == (factory is not None)
        fields = [*handshake.accept_fields("chat"), (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.client.receive_data(b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n")
        [response] = self.client.events_received()
        assert isinstance(response, Response)
        assert self.client.handshake_exc is None
        assert self.client.state is State.OPEN
        assert self.client.subprotocol == "chat"
        self.stream = Tape()
        self.handler = Events()
        sender = sender or MessageSender(level=2, mem_level=5, min_text=0, min_binary=0)
        self.connection = WebSocketConnection(
            self.stream, self.handler, WebSocketLimits(), sender, handshake.deflate, Allowance(), 0.0
        )

    def to_server(self) -> list[tuple[object, ...]]:
        self.handler.events.clear()
        for data in self.client.data_to_send():
            if data:
                self.connection.receive_data(data, 0.0)
        return self.handler.events

    def to_client(self) -> list[tuple[str, bytes]]:
        """The messages that the client makes of what we sent, joined from their frames."""
        self.client.receive_data(self.stream.sent)
        self.stream.sent = b""
        if self.stream.ended:
            self.client.receive_eof()
        messages: list[tuple[str, bytes]] = []
        for event in self.client.events_received():
            assert isinstance(event, Frame)
            messages.append((event.opcode.name, bytes(event.data)))
        return messages


MESSAGES = st.lists(st.text(max_size=300) | st.binary(max_size=300), max_size=6)


@pytest.mark.parametrize("offer", OFFERS)
@given(messages=MESSAGES, cut=st.integers(0, 40))
@settings(max_examples=40)
def test_messages_from_the_client(offer: str, messages: list[str | bytes], cut: int) -> None:
    pair = Pair(offer)
    for message in messages:
        payload = message.encode() if isinstance(message, str) else message
        send = pair.client.send_text if isinstance(message, str) else pair.client.send_binary
        if len(payload) > cut:
            send(payload[:cut], fin=False)
            pair.client.send_continuation(payload[cut:], fin=True)
        else:
            send(payload)
    assert pair.to_server() == [("message", message) for message in messages]


@pytest.mark.parametrize("offer", OFFERS)
@given(messages=MESSAGES)
@settings(max_examples=40)
def test_messages_to_the_client(offer: str, messages: list[str | bytes]) -> None:
    pair = Pair(offer)
    expected = []
    for message in messages:
        if isinstance(message, str):
            pair.connection.send_text(message)
            expected.append(("TEXT", message.encode()))
        else:
            pair.connection.send_binary(message)
            expected.append(("BINARY", message))
    assert pair.to_client() == expected
    assert pair.client.parser_exc is None


@given(
    messages=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["one", "two " * 90, "öäü" * 40, b"b"])))
)
@settings(max_examples=40)
def test_messages_to_clients_that_share_a_context(messages: list[tuple[int, str | bytes]]) -> None:
    # Each client inflates what was compressed for it alone, in any order, and the same object sent again.
    sender = MessageSender(level=2, mem_level=5, min_text=0, min_binary=0)
    offers = ["no compression", "plain offer", "plain offer", "no takeover", "small windows"]
    pairs = [Pair(offer, False, sender) for offer in offers]
    expected: list[list[tuple[str, bytes]]] = [[] for _ in pairs]
    for number, message in messages:
        if isinstance(message, str):
            pairs[number].connection.send_text(message)
            expected[number].append(("TEXT", message.encode()))
        else:
            pairs[number].connection.send_binary(message)
            expected[number].append(("BINARY", message))
    assert [pair.to_client() for pair in pairs] == expected
    assert all(pair.client.parser_exc is None for pair in pairs)


def test_pings_both_ways() -> None:
    pair = Pair("plain offer")
    pair.client.send_ping(b"theirs")
    pair.to_server()
    assert pair.to_client() == [("PONG", b"theirs")]
    pair.connection.handle_timeout(20.0)
    assert pair.to_client() == [("PING", b"")]
    pair.connection.handle_timeout(39.0)
    pair.to_server()
    assert pair.connection.next_timeout() == 20.0  # heard at 0.0, the time of this test's clock


def test_the_client_closes() -> None:
    pair = Pair("plain offer")
    pair.client.send_close(4000, "bye")
    assert pair.to_server() == [("close", 4000, "bye")]
    pair.connection.finish()
    pair.to_client()
    assert pair.client.state is State.CLOSED
    assert pair.client.close_code == 4000


def test_we_close() -> None:
    pair = Pair("plain offer")
    pair.connection.send_close(4001, "done", 0.0)
    pair.to_client()
    assert pair.client.close_rcvd == Close(4001, "done")
    assert pair.to_server() == [("close", 4001, "done")]
    assert pair.stream.ended
    pair.to_client()
    assert pair.client.state is State.CLOSED
