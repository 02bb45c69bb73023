"""The toolkit's streams, files and compression, for tests on the real server and in a browser."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from tidegate.asgi.compression import CODINGS, compress
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.compression import CompressionMiddleware
from tidegate.web.problems import problem_handlers
from tidegate.web.requests import Request
from tidegate.web.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Mount, Route
from tidegate.web.sse import Channel, EventSourceResponse, ServerSentEvent, Subscription, last_event_id
from tidegate.web.staticfiles import StaticFiles

WORDS = "The tide comes in, the tide goes out. " * 500

channel = Channel(history=5000)
following: set[Subscription] = set()
go_on = asyncio.Event()


async def page(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Batteries</title><link rel=icon href='data:,'>")


async def text(request: Request) -> Response:
    return PlainTextResponse(WORDS, headers={"etag": '"words"'})


async def pieces(request: Request) -> Response:
    """Each piece when the client has told that it has the one before."""

    async def content() -> AsyncIterator[str]:
        for piece in ("one ", "two ", "three "):
            yield piece
            await go_on.wait()
            go_on.clear()

    return StreamingResponse(content(), media_type="text/plain")


async def next_piece(request: Request) -> Response:
    go_on.set()
    return Response()


async def events(request: Request) -> Response:
    subscription = channel.subscribe(last_event_id(request))
    following.add(subscription)
    return EventSourceResponse(subscription)


async def publish(request: Request) -> Response:
    for line in (await request.body()).decode().splitlines():
        channel.publish(ServerSentEvent(line, retry=50))
    return PlainTextResponse(str(len(channel)))


async def cut(request: Request) -> Response:
    """End all streams, as a server that goes away does."""
    for subscription in following:
        await subscription.aclose()
    following.clear()
    return Response()


async def streams(request: Request) -> Response:
    return PlainTextResponse(str(len(channel)))


async def upload(request: Request) -> Response:
    found: dict[str, object] = {}
    async for part in request.parts():
        if part.filename is None:
            found[part.name] = await part.text()
        else:
            found[part.name] = sum([len(data) async for data in part])
            found["filename"] = part.filename
    return JSONResponse(found)


def files() -> Path:
    directory = Path(os.environ.get("BATTERIES_FILES", "."))
    if "BATTERIES_FILES" in os.environ:
        script = b"document.title = 'From br';\n"
        for name in ("app.js", "app.3f2a9c1b.js"):
            (directory / name).write_bytes(script)
        (directory / "app.js.br").write_bytes(compress("br", script))
    return directory


coded = [Middleware(CompressionMiddleware)]
app = Application(
    routes=[
        Route("/", page),
        Route("/text", text, middleware=coded),
        Route("/events", events),
        Route("/events", publish, methods=["POST"]),
        Route("/cut", cut, methods=["POST"]),
        Route("/streams", streams),
        Route("/next", next_piece, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Mount("/files", StaticFiles(directory=files(), precompressed=True, immutable=True)),
        *(
            Route(
                f"{path}/{coding}", endpoint, middleware=[Middleware(CompressionMiddleware, codings=[coding])]
            )
            for path, endpoint in (("/text", text), ("/pieces", pieces))
            for coding in CODINGS
        ),
    ],
    exception_handlers=problem_handlers(),
)
