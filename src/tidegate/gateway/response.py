"""The ASGI messages of an answer, and in which state each may come (ASGI www 2.5, "HTTP"; extensions)."""

from typing import Any

from tidegate.gateway.application import unknown

# How far the answer is.
EXPECT_START = 0
HELD = 1  # the start was given, and is held for the first body message
STREAMING = 2
EXPECT_TRAILERS = 3
COMPLETE = 4
GONE = 5  # the client has gone, or the answer was cut
STATES = ("EXPECT_START", "HELD", "STREAMING", "EXPECT_TRAILERS", "COMPLETE", "GONE")

START = 0
BODY = 1
PATHSEND = 2
ZEROCOPYSEND = 3
EARLY_HINT = 4
TRAILERS = 5
PUSH = 6
MESSAGES = {
    "http.response.start": START,
    "http.response.body": BODY,
    "http.response.pathsend": PATHSEND,
    "http.response.zerocopysend": ZEROCOPYSEND,
    "http.response.early_hint": EARLY_HINT,
    "http.response.trailers": TRAILERS,
    "http.response.push": PUSH,
}
COLUMNS = 7

BAD = 0  # the application is told by an ApplicationError
GO = 1
IGNORE = 2  # ASGI www, "Response Body": what follows a complete answer is ignored; extensions, "Early Hints"
TELL = 3  # ClientDisconnected

ACTIONS = bytes(
    (
        # START, BODY, PATHSEND, ZEROCOPYSEND, EARLY_HINT, TRAILERS, PUSH
        *(GO, BAD, BAD, BAD, GO, BAD, GO),  # EXPECT_START
        *(BAD, GO, GO, GO, GO, BAD, GO),  # HELD
        *(BAD, GO, BAD, GO, IGNORE, BAD, GO),  # STREAMING
        *(BAD, BAD, BAD, BAD, IGNORE, GO, GO),  # EXPECT_TRAILERS
        *(IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE),  # COMPLETE
        *(TELL, TELL, TELL, TELL, TELL, TELL, TELL),  # GONE
    )
)


def unexpected(state: int, message: Any) -> str:
    """Why `message` cannot come in `state`, in the application author's words."""
    wrong = unknown(message, MESSAGES, "an http")
    if wrong is not None:
        return wrong
    kind = message["type"]
    if state == EXPECT_START:
        return f"'{kind}' was sent before 'http.response.start'"
    if kind == "http.response.start":
        return "'http.response.start' was sent a second time"
    if state == EXPECT_TRAILERS:
        return f"'{kind}' was sent where 'http.response.trailers' was announced"
    if kind == "http.response.trailers":
        return "'http.response.trailers' was sent without 'trailers' in 'http.response.start', or before the last body"
    return f"'{kind}' was sent behind other content"


def unfinished(state: int) -> str:
    """What the answer lacks, where the application returned in `state`."""
    if state == EXPECT_START:
        return "the application returned without a response"
    if state == HELD:
        return "the application returned behind 'http.response.start', without a body"
    if state == STREAMING:
        return "the application returned without ending its body ('more_body' was True)"
    return "the application returned without the trailers that it announced"
