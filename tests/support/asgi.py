"""Drive an ASGI application directly: the smallest server that keeps its side of the specification."""

import asyncio
from typing import Any

from tidegate.asgi import ASGIApplication, Message


def http_scope(method: str = "GET", path: str = "/", **changes: Any) -> dict[str, Any]:
    """A complete HTTP connection scope (ASGI www 2.5), with `changes` to it."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org")],
        "client": ("192.0.2.7", 50123),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }
    return scope | changes


class Exchange:
    """One request, driven from the test: `sent` grows as it sends, `received` counts its receives."""

    def __init__(self, scope: dict[str, Any], content: list[bytes] | None = None) -> None:
        self.scope = scope
        content = [b""] if content is None else content
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        for index, chunk in enumerate(content):
            self.incoming.put_nowait(
                {"type": "http.request", "body": chunk, "more_body": index + 1 < len(content)}
            )
        self.received = 0
        self.sent: list[Message] = []
        self.gone = False
        self.writable = asyncio.Event()
        self.writable.set()

    async def receive(self) -> Message:
        self.received += 1
        return await self.incoming.get()

    async def send(self, message: Message) -> None:
        if self.gone:
            raise ConnectionResetError("gone")  # ASGI www 2.4: an OSError
        self.sent.append(message)
        await self.writable.wait()

    def disconnect(self) -> None:
        self.gone = True
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def run(self, app: ASGIApplication) -> "Exchange":
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        assert self.sent[0]["type"] == "http.response.start", self.sent
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        """The whole content; fails where the application did not say that it is complete."""
        assert [message.get("more_body", False) for message in self.sent[1:]] == [True] * (
            len(self.sent) - 2
        ) + [False], self.sent
        return b"".join(message["body"] for message in self.sent[1:])
