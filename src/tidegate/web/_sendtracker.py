"""The `send` that error handling looks at: one for all the layers of it that follow each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tidegate.web.types import Message, Send


class SendTracker:
    """A `send` that knows whether the response has started; layers that follow each other share one.

    `inner`: the outermost's way out through the middleware inside it, once a request has come through them.
    """

    __slots__ = ("accepted", "closed", "inner", "send", "started")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.inner: Send | None = None
        self.started = False
        self.accepted = False
        self.closed = False

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            self.started = True
        elif kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            self.closed = True
        elif kind == "websocket.http.response.start":
            self.started = self.closed = True
        return self.send(message)


def tracked(send: Send) -> SendTracker:
    return send if type(send) is SendTracker else SendTracker(send)
