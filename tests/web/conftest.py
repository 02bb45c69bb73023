from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Sent(list[dict[str, Any]]):
    """The messages that an application sent."""

    @property
    def status(self) -> int:
        return int(self[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {key.decode("latin-1"): value.decode("latin-1") for key, value in self[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self[1:])


def http_scope(path: str, method: str = "GET", **changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org")],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50000),
        "extensions": {},
        **changes,
    }


async def call(app: Any, path: str, method: str = "GET", body: bytes = b"", **changes: Any) -> Sent:
    """What `app` sends for one request, called as a server calls it."""
    sent = Sent()
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(dict(message))

    await app(http_scope(path, method, **changes), receive, send)
    return sent
