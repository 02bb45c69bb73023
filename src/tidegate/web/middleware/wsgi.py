"""WSGI applications (PEP 3333) under ASGI, in threads. The body is read whole first: bound it by
max_body_size."""

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread

from tidegate.web._utils import create_collapsing_task_group
from tidegate.web.exceptions import StarletteDeprecationWarning
from tidegate.web.requests import Request
from tidegate.web.types import Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Callable


warnings.warn(
    "tidegate.web.middleware.wsgi is deprecated and will be removed in a future release. "
    "Let the server run the WSGI application, or see https://github.com/abersheeran/a2wsgi.",
    StarletteDeprecationWarning,
    stacklevel=2,
)


def build_environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """The WSGI environ of a scope (PEP 3333, "environ Variables"); text is octets decoded as Latin-1."""
    script_name = scope.get("root_path", "")
    path_info = scope["path"]
    if script_name and path_info.startswith(script_name):
        rest = path_info[len(script_name) :]
        if script_name.endswith("/") or rest[:1] in ("", "/"):
            path_info = rest
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": script_name.encode("utf-8").decode("latin-1"),
        "PATH_INFO": path_info.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stdout,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    server = scope.get("server") or ("localhost", 80)
    environ["SERVER_NAME"] = server[0]
    environ["SERVER_PORT"] = server[1]
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = client[0]
    for name, value in scope.get("headers", []):
        if b"_" in name:
            continue  # would be taken for the field with a hyphen
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


class WSGIMiddleware:
    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await WSGIResponder(self.app, scope)(receive, send)


class WSGIResponder:
    """One request: the WSGI application in a thread, its output sent from the loop as it comes."""

    def __init__(self, app: Callable[..., Any], scope: Scope) -> None:
        self.app = app
        self.scope = scope
        self.response_started = False
        self.exc_info: Any = None
        self.stream_send, self.stream_receive = anyio.create_memory_object_stream[Any](16)

    async def __call__(self, receive: Receive, send: Send) -> None:
        body = await Request[Any](self.scope, receive).body()
        environ = build_environ(self.scope, body)
        async with create_collapsing_task_group() as task_group:
            task_group.start_soon(self.sender, send)
            async with self.stream_send:
                await anyio.to_thread.run_sync(self.wsgi, environ, self.start_response)
        if self.exc_info is not None:
            raise self.exc_info[1].with_traceback(self.exc_info[2])

    async def sender(self, send: Send) -> None:
        async with self.stream_receive:
            async for message in self.stream_receive:
                await send(message)

    def start_response(
        self, status: str, response_headers: list[tuple[str, str]], exc_info: Any = None
    ) -> None:
        self.exc_info = exc_info
        if self.response_started:
            return
        self.response_started = True
        status_code, _, _ = status.partition(" ")
        headers = [
            (name.strip().encode("ascii").lower(), value.strip().encode("latin-1"))
            for name, value in response_headers
        ]
        message = {"type": "http.response.start", "status": int(status_code), "headers": headers}
        anyio.from_thread.run(self.stream_send.send, message)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        result = self.app(environ, start_response)
        try:
            for chunk in result:
                message = {"type": "http.response.body", "body": chunk, "more_body": True}
                anyio.from_thread.run(self.stream_send.send, message)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        anyio.from_thread.run(self.stream_send.send, {"type": "http.response.body", "body": b""})
