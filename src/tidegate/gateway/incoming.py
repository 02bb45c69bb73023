"""What a WebSocket's client has sent and the application has not taken."""

from collections import deque

from tidegate.gateway.application import Exchange
from tidegate.websocket import codes
from tidegate.websocket.connection import WebSocketHandler


class MessageReceiver(Exchange):
    """An exchange whose client sends messages. `Incoming` tells it what has come."""

    __slots__ = ()

    def messages_waiting(self, count: int, octets: int) -> None:
        """`count` messages of `octets` octets wait for the application."""

    def end_waiting(self, alone: bool) -> None:
        """The peer has closed, failed or gone; `alone`: no message waits before that."""

    def connection_closed(self) -> None:
        """Nothing is sent any more."""


class Incoming(WebSocketHandler):
    """What has come and was not taken: messages, then the end of them."""

    __slots__ = ("_exchange", "code", "ended", "messages", "octets", "reason")

    def __init__(self, exchange: MessageReceiver) -> None:
        self._exchange = exchange
        self.messages: deque[str | bytes] = deque()
        self.octets = 0
        self.ended = False
        self.code = codes.ABNORMAL_CLOSURE
        self.reason = ""

    def message_received(self, message: str | bytes) -> None:
        self.messages.append(message)
        self.octets += len(message)
        self._exchange.messages_waiting(len(self.messages), self.octets)

    def close_received(self, code: int, reason: str) -> None:
        self.end(code, reason)
        self._exchange.end_waiting(not self.messages)

    def connection_closed(self) -> None:
        self._exchange.connection_closed()

    def end(self, code: int, reason: str) -> None:
        """What `websocket.disconnect` will say, behind the messages; the first call counts."""
        if not self.ended:
            self.ended = True
            self.code = code
            self.reason = reason
