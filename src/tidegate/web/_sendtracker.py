"""The `send` that error handling looks at: one for all the layers of it that follow each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.web.types import Message, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Awaitable


HANDLERS_KEY = "tidegate.web.exception_handlers"
OUTERMOST_KEY = "tidegate.web.outermost_send"


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


def enter(scope: Scope, send: Send, handlers: tuple[Any, Any], layered: bool) -> SendTracker:
    """Begin the outermost layer: put in the scope what answering an error takes."""
    scope[HANDLERS_KEY] = handlers
    tracker = SendTracker(send)
    if layered:
        scope[OUTERMOST_KEY] = tracker
    return tracker


def enter_inner(scope: Scope, send: Send, handlers: tuple[Any, Any]) -> SendTracker:
    """Begin the layer of the exception handlers, inside the user's middleware."""
    scope[HANDLERS_KEY] = handlers
    outermost: SendTracker | None = scope.get(OUTERMOST_KEY)
    if outermost is not None and outermost is not send:
        # The way out through the middleware around this, for the answer to an error that nobody handles.
        outermost.inner = send
    return tracked(send)


def tracked(send: Send) -> SendTracker:
    return send if type(send) is SendTracker else SendTracker(send)
