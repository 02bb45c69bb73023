"""Two applications: one reads a request's content before it answers, one answers at once."""

from typing import Any

ANSWER = b"Hello, World!"


async def answers(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ANSWER})


async def reads(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        await answers(scope, receive, send)
