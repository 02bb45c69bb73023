"""What both test clients need of httpx."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from tidegate.web.exceptions import StarletteDeprecationWarning
from tidegate.web.types import Message
from tidegate.web.websockets import WebSocketDisconnect

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx2 as httpx

    from tidegate.web._testexchange import Exchange
else:
    try:
        import httpx2 as httpx
    except ImportError:
        try:
            import httpx
        except ImportError:
            raise RuntimeError(
                "The tidegate.web.testclient module requires the httpx2 package to be installed.\n"
                "You can install this with:\n    $ pip install httpx2\n"
            ) from None
        warnings.warn(
            "Using `httpx` with `tidegate.web.testclient` is deprecated; install `httpx2` instead.",
            StarletteDeprecationWarning,
            stacklevel=2,
        )


class WebSocketDenialResponse(httpx.Response, WebSocketDisconnect):  # type: ignore[misc]
    """The handshake was answered by an HTTP response: this one."""


class Upgrade(Exception):
    def __init__(self, session: Any) -> None:
        self.session = session


def denial_response(messages: list[Message]) -> WebSocketDenialResponse:
    start = messages[0]
    return WebSocketDenialResponse(
        status_code=start["status"],
        headers=start.get("headers", []),
        content=b"".join(message.get("body", b"") for message in messages[1:]),
    )


def websocket_frame(data: Any, mode: str) -> Message:
    assert mode in ("text", "binary")
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    if mode == "text":
        return {"type": "websocket.receive", "text": text}
    return {"type": "websocket.receive", "bytes": text.encode("utf-8")}


def raise_on_close(message: Message) -> None:
    if message["type"] == "websocket.close":
        raise WebSocketDisconnect(code=message.get("code", 1000), reason=message.get("reason", ""))


def received(message: Message | BaseException | None) -> Message:
    """The application's next message, or raised what it raised; WebSocketDisconnect after its end."""
    if message is None:
        raise WebSocketDisconnect(code=1006, reason="The application has returned.")
    if isinstance(message, BaseException):
        raise message
    return message


def content_of(message: Message, kind: str) -> Any:
    """The text or the bytes of a frame. Raises WebSocketDisconnect for a close."""
    raise_on_close(message)
    return message[kind]


def json_of(message: Message, mode: str) -> Any:
    return json.loads(content_of(message, "text" if mode == "text" else "bytes"))


def response_of(start: Message, stream: Any, request: httpx.Request, exchange: Exchange) -> httpx.Response:
    """The response that `start` begins and `stream` goes on with."""
    response = httpx.Response(
        status_code=start["status"],
        headers=list(start.get("headers", [])),
        stream=stream,
        request=request,
        extensions={},
    )
    stream.response = response
    set_debug_attributes(response, exchange)
    return response


def set_debug_attributes(response: httpx.Response, exchange: Exchange) -> None:
    response.extensions.update(exchange.extensions())
    for name in ("template", "context"):
        if exchange.debug is not None and name in exchange.debug:
            setattr(response, name, exchange.debug[name])


def client_headers(headers: dict[str, str] | None) -> dict[str, str]:
    merged = dict(headers or {})
    merged.setdefault("user-agent", "testclient")
    return merged


def websocket_headers(subprotocols: Sequence[str] | None, headers: Any) -> dict[str, str]:
    merged = dict(headers or {})
    merged.setdefault("connection", "upgrade")
    merged.setdefault("sec-websocket-key", "testserver==")
    merged.setdefault("sec-websocket-version", "13")
    if subprotocols is not None:
        merged.setdefault("sec-websocket-protocol", ", ".join(subprotocols))
    return merged
