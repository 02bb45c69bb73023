"""WebSockets as they are where they are counted."""

from tidegate.gateway.application import Gateway
from tidegate.gateway.scope import Peers
from tidegate.gateway.websocket import WebSocketExchange, WebSocketSettings
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream
from tidegate.metrics.recorder import Recorder


class MeasuredWebSocketExchange(WebSocketExchange):
    """A WebSocket that is counted when it is accepted."""

    __slots__ = ("recorder",)

    def __init__(
        self,
        recorder: Recorder,
        gateway: Gateway,
        stream: Stream,
        request: RequestHead,
        peers: Peers,
        settings: WebSocketSettings,
    ) -> None:
        WebSocketExchange.__init__(self, gateway, stream, request, peers, settings)
        self.recorder = recorder

    def accepted(self) -> None:
        self.recorder.websocket_accepted(self)
