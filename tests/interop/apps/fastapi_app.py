"""FastAPI: the contract of test_frameworks.py, and what only FastAPI has."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"started": "yes"}
    print("application stopped", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello(request: Request, name: str = "world") -> dict[str, object]:
    return {
        "hello": name,
        "path": request.url.path,
        "host": request.url.hostname,
        "agent": request.headers["x-agent"],
    }


@app.post("/echo")
async def echo(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, object]:
    content = await file.read()
    return {"name": file.filename, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/cookies")
async def cookies(request: Request) -> JSONResponse:
    response = JSONResponse(request.cookies)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


@app.get("/error")
async def error() -> None:
    raise LookupError("the application's own mistake")


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(Path(__file__))


@app.get("/state")
async def state(request: Request) -> dict[str, object]:
    return {"started": request.state.started}


class Item(BaseModel):
    name: str
    price: float


async def opened() -> AsyncIterator[str]:
    yield "resource"
    print("dependency closed", flush=True)


@app.post("/items", status_code=201)
async def create(item: Item, resource: Annotated[str, Depends(opened)]) -> dict[str, object]:
    return {"item": item.model_dump(), "resource": resource}


@app.get("/thread")
def in_a_thread() -> dict[str, str]:
    time.sleep(0.01)
    return {"thread": "yes"}


@app.get("/background")
async def background(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(print, "background task ran", flush=True)
    return {"queued": "yes"}


@app.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, headers={"X-Pot": "tea"})


@app.delete("/items/{number}", status_code=204)
async def delete(number: int) -> Response:
    return Response(status_code=204)


@app.get("/events")
async def events(request: Request) -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        try:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.02)
        finally:
            print("event stream closed", flush=True)

    return StreamingResponse(ticks(), media_type="text/event-stream")
