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

    def allowance_spent(self) -> None:
        """The sockets' allowance is to be refilled."""

    def turn_wanted(self) -> None:
        """The connection goes on in its turn among others."""


NOBODY = MessageReceiver()


class Incoming(WebSocketHandler):
    """What has come and was not taken: messages, then the end of them.

    It knows its exchange only while there is a connection: no cycle may hold what has come, 16 MiB of it perhaps, until
    the garbage collector finds it.
    """

    __slots__ = ("_exchange", "code", "ended", "messages", "octets", "reason")

    def __init__(self) -> None:
        self._exchange = NOBODY
        self.messages: deque[str | bytes] = deque()
        self.octets = 0
        self.ended = False
        self.code = codes.ABNORMAL_CLOSURE
        self.reason = ""

    def tell(self, exchange: MessageReceiver) -> None:
        """Tell `exchange` of what comes, until the connection is closed."""
        self._exchange = exchange

    def message_received(self, message: str | bytes) -> None:
        self.messages.append(message)
        self.octets += len(message)
        exchange = self._exchange
        exchange.messages_waiting(len(self.messages), self.octets)

    def close_received(self, code: int, reason: str) -> None:
        self.end(code, reason)
        exchange = self._exchange
        exchange.end_waiting(not self.messages)

    def connection_closed(self) -> None:
        exchange = self._exchange
        self._exchange = NOBODY
        exchange.connection_closed()

    def allowance_spent(self) -> None:
        exchange = self._exchange
        exchange.allowance_spent()

    def turn_wanted(self) -> None:
        exchange = self._exchange
        exchange.turn_wanted()

    def end(self, code: int, reason: str) -> None:
        """What `websocket.disconnect` will say, behind the messages; the first call counts."""
        if not self.ended:
            self.ended = True
            self.code = code
            self.reason = reason
