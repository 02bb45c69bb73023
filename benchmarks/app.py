"""The application every server runs: plain ASGI 3.0, no framework, one handler a path."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

Scope = dict[str, Any]

KIB = 1024
HELLO = b"Hello, World!"
TEN_KIB = b"0123456789abcdef" * (10 * KIB // 16)
CHUNK = b"0123456789abcdef" * (KIB // 16)
CHUNKS = 10
FILE_CONTENT = b"0123456789abcdef" * (50 * KIB // 16)
FILE_CHUNK = 64 * KIB  # what Starlette's FileResponse reads at a time


def make_file() -> str:
    """Among the temporary files, not in the sources: every server process writes the same bytes."""
    path = Path(tempfile.gettempdir()) / f"benchmark-{os.getuid()}-50k.txt"
    if not path.exists() or path.read_bytes() != FILE_CONTENT:
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(FILE_CONTENT)
        new.replace(path)
    return str(path)


FILE_PATH = make_file()


def start(*headers: tuple[bytes, bytes]) -> Scope:
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/plain; charset=utf-8"), *headers],
    }


def content_length(body: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % len(body))


async def hello(scope: Scope, receive: Any, send: Any) -> None:
    await send(start(content_length(HELLO)))
    await send({"type": "http.response.body", "body": HELLO})


async def ten_kib(scope: Scope, receive: Any, send: Any) -> None:
    await send(start(content_length(TEN_KIB)))
    await send({"type": "http.response.body", "body": TEN_KIB})


async def stream(scope: Scope, receive: Any, send: Any) -> None:
    """As Starlette's StreamingResponse: every chunk with more_body, then an empty last message."""
    await send(start())
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send(start(content_length(body)))
    await send({"type": "http.response.body", "body": body})


async def upload(scope: Scope, receive: Any, send: Any) -> None:
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    answer = b"%d" % size
    await send(start(content_length(answer)))
    await send({"type": "http.response.body", "body": answer})


async def file(scope: Scope, receive: Any, send: Any) -> None:
    """By pathsend where it is offered, else as Starlette's FileResponse: each file operation in a thread."""
    if "http.response.pathsend" in (scope.get("extensions") or ()):
        await send(start(content_length(FILE_CONTENT)))
        await send({"type": "http.response.pathsend", "path": FILE_PATH})
        return
    in_thread = asyncio.get_running_loop().run_in_executor
    status = await in_thread(None, os.stat, FILE_PATH)
    await send(start((b"content-length", b"%d" % status.st_size)))
    opened = await in_thread(None, open, FILE_PATH, "rb")
    try:
        more = True
        while more:
            chunk = await in_thread(None, opened.read, FILE_CHUNK)
            more = len(chunk) == FILE_CHUNK
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
    finally:
        await in_thread(None, opened.close)


async def extensions(scope: Scope, receive: Any, send: Any) -> None:
    names = ",".join(sorted(scope.get("extensions") or ())).encode()
    await send(start(content_length(names)))
    await send({"type": "http.response.body", "body": names})


async def not_found(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


receivers: set[Any] = set()


async def websocket(scope: Scope, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/ws/broadcast":
        await broadcast(receive, send)
        return
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def broadcast(receive: Any, send: Any) -> None:
    """What any of them sends goes to all, one after the other."""
    receivers.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for each in receivers:
                await each({"type": "websocket.send", "text": message["text"]})
    finally:
        receivers.discard(send)


HANDLERS = {
    "/hello": hello,
    "/10k": ten_kib,
    "/stream": stream,
    "/echo": echo,
    "/upload": upload,
    "/file": file,
    "/extensions": extensions,
}


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def start_later(loop: asyncio.AbstractEventLoop, coroutine: Any, /, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)


async def lazy(scope: Scope, receive: Any, send: Any) -> None:
    """The application in a loop with a task factory, which rules out Tidegate's eager start of tasks."""
    if scope["type"] == "lifespan":
        asyncio.get_running_loop().set_task_factory(start_later)
    await app(scope, receive, send)


async def app(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await HANDLERS.get(scope["path"], not_found)(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["type"] == "lifespan":
        await lifespan(receive, send)
