"""The ASGI messages of a WebSocket session, and in which state each may come (ASGI www 2.5, "WebSocket")."""

from typing import Any

from tidegate.asgi import Message
from tidegate.gateway.application import unknown
from tidegate.http.errors import ApplicationError
from tidegate.http.fields import response_fields
from tidegate.http.head import ResponseHead
from tidegate.websocket import codes

# How far the application is.
CONNECTING = 0  # it has neither accepted nor refused
REFUSING = 1  # an HTTP answer is under way, or sent
ACCEPTED = 2
CLOSED = 3  # it has closed, or returned
GONE = 4  # the peer has
STATES = ("CONNECTING", "REFUSING", "ACCEPTED", "CLOSED", "GONE")

ACCEPT = 0
SEND = 1
CLOSE = 2
START = 3
BODY = 4
MESSAGES = {
    "websocket.accept": ACCEPT,
    "websocket.send": SEND,
    "websocket.close": CLOSE,
    "websocket.http.response.start": START,
    "websocket.http.response.body": BODY,
}
COLUMNS = 5

BAD = 0  # the application is told by an ApplicationError
GO = 1
IGNORE = 2
TELL = 3  # ClientDisconnected

ACTIONS = bytes(
    (
        # ACCEPT, SEND, CLOSE, START, BODY
        *(GO, BAD, GO, GO, BAD),  # CONNECTING
        *(BAD, BAD, IGNORE, GO, GO),  # REFUSING: what may come is the HTTP exchange's to say
        *(BAD, GO, GO, BAD, BAD),  # ACCEPTED
        *(BAD, BAD, IGNORE, BAD, BAD),  # CLOSED
        *(TELL, TELL, TELL, TELL, TELL),  # GONE
    )
)


def unexpected(state: int, message: Any) -> str:
    """Why `message` cannot come in `state`, in the application author's words."""
    wrong = unknown(message, MESSAGES, "a websocket")
    if wrong is not None:
        return wrong
    kind = message["type"]
    if state == CONNECTING:
        return f"'{kind}' was sent before 'websocket.accept' or 'websocket.http.response.start'"
    if state == REFUSING:
        return f"'{kind}' was sent after the WebSocket was refused"
    if state == CLOSED:
        return f"'{kind}' was sent after 'websocket.close'"
    return f"'{kind}' was sent after 'websocket.accept'"


def accept_values(message: Message) -> tuple[str | None, list[tuple[bytes, bytes]]]:
    """The subprotocol and the other header fields of a `websocket.accept`. Raises ApplicationError."""
    subprotocol = message.get("subprotocol")
    if subprotocol is not None and not isinstance(subprotocol, str):
        raise ApplicationError(f"'subprotocol' is a str, not {type(subprotocol).__name__}")
    head = ResponseHead(101)
    headers = message.get("headers")
    if headers is not None:
        response_fields(head, headers)
    fields = []
    for name, value in head.fields:
        if name == b"sec-websocket-protocol":
            # Some applications choose it so.
            if subprotocol is None:
                subprotocol = value.decode("latin-1")
        elif name.startswith(b"sec-websocket-"):
            raise ApplicationError(f"header {name.decode()} is the server's own to send")
        elif name != b"content-length":
            # RFC 9110 §8.6: no Content-Length in a 1xx
            fields.append((name, value))
    return subprotocol, fields


def denial(kind: int, message: Message) -> dict[str, Any]:
    """HTTP's message for one of the extension "websocket.http.response": what that does not name is not taken."""
    names = ("status", "headers") if kind == START else ("body", "more_body")
    passed = {name: message[name] for name in names if name in message}
    passed["type"] = "http.response.start" if kind == START else "http.response.body"
    return passed


def close_values(message: Message) -> tuple[int, str]:
    """The code and the reason of a `websocket.close`. Raises ApplicationError."""
    code = message.get("code")
    reason = message.get("reason")
    if code is None:
        code = codes.NORMAL_CLOSURE
    if not isinstance(code, int) or isinstance(code, bool):
        raise ApplicationError(f"'code' is an int, not {type(code).__name__}")
    if reason is None:
        reason = ""
    if not isinstance(reason, str):
        raise ApplicationError(f"'reason' is a str, not {type(reason).__name__}")
    return int(code), str.__str__(reason)
