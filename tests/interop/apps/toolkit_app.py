"""An application of tidegate.web for any ASGI server, with a FastAPI application (on Starlette) mounted in it."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

import anyio
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest

from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.exceptions import HTTPException
from tidegate.web.requests import Request
from tidegate.web.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Mount
from tidegate.web.staticfiles import StaticFiles
from tidegate.web.websockets import WebSocket

folder = Path(tempfile.mkdtemp())
(folder / "tide.txt").write_bytes(b"high\n" * 20_000)


class Shared(TypedDict):
    tide: str


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[Shared]:
    print("lifespan opened", flush=True)
    yield {"tide": "high"}
    print("lifespan closed", flush=True)
    (folder / "tide.txt").unlink()
    folder.rmdir()


@asynccontextmanager
async def inner_lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    print("inner lifespan opened", flush=True)
    yield {"inner": "yes"}
    print("inner lifespan closed", flush=True)


api = FastAPI(lifespan=inner_lifespan)


@api.get("/items/{number}")
def item(number: int, request: FastAPIRequest) -> dict[str, object]:
    return {
        "item": number,
        "inner": request.state.inner,
        "self": str(request.url_for("api:item", number=1)),
        "home": str(request.url_for("home")),
    }


app = Application(
    routes=[
        Mount("/static", StaticFiles(directory=folder), name="static"),
        Mount("/api", api, name="api"),
    ],
    lifespan=lifespan,
)


@app.get("/")
async def home(request: Request[Shared]) -> Response:
    return JSONResponse(
        {
            "tide": request.state["tide"],
            "item": str(request.url_for("api:item", number=3)),
            "scheme": request.url.scheme,
            "pathsend": "http.response.pathsend" in request.scope.get("extensions", {}),
        }
    )


@app.post("/echo", max_body_size=100_000)
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.post("/form")
async def form(request: Request) -> Response:
    async with request.form() as form:
        return JSONResponse({name: getattr(value, "size", value) for name, value in form.items()})


@app.get("/stream")
async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(
        parts(), media_type="text/plain", background=BackgroundTask(print, "background ran")
    )


@app.get("/endless")
async def endless(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        try:
            while True:
                yield "tick\n"
                await anyio.sleep(0.01)
        finally:
            print("stream closed", flush=True)

    return StreamingResponse(parts(), media_type="text/event-stream")


@app.get("/file")
async def file(request: Request) -> Response:
    return FileResponse(folder / "tide.txt", headers={"x-process": str(os.getpid())})


@app.websocket("/ws")
async def ws(websocket: WebSocket[Shared]) -> None:
    await websocket.accept(subprotocol="tide")
    await websocket.send_json({"tide": websocket.state["tide"]})
    async for text in websocket.iter_text():
        await websocket.send_bytes(text.encode()[::-1])


@app.websocket("/refused")
async def refused(websocket: WebSocket) -> None:
    raise HTTPException(401, "members only")


@app.websocket("/broken")
async def broken(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError("a failure of the handler")


@app.get("/plain")
def plain(request: Request) -> Response:
    return PlainTextResponse("from a thread")
