"""Litestar: the contract of test_frameworks.py."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import Cookie, State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import File, Stream


@get("/hello")
async def hello(request: Request[Any, Any, Any], name: str = "world") -> dict[str, Any]:
    return {
        "hello": name,
        "path": request.url.path,
        "host": request.url.hostname,
        "agent": request.headers["x-agent"],
    }


@post("/echo", status_code=200, media_type="application/octet-stream")
async def echo(request: Request[Any, Any, Any]) -> bytes:
    return await request.body()  # Litestar's Stream itself receives, to hear of a disconnect


@post("/upload", status_code=200)
async def upload(
    data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    content = await data["file"].read()
    digest = hashlib.sha256(content).hexdigest()
    return {"name": data["file"].filename, "size": len(content), "sha256": digest}


@get("/stream", media_type="text/plain")
async def stream() -> Stream:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return Stream(lines())


@get("/cookies")
async def cookies(request: Request[Any, Any, Any]) -> Response[dict[str, str]]:
    return Response(dict(request.cookies), cookies=[Cookie("one", value="1"), Cookie("two", value="2")])


@get("/error")
async def error() -> None:
    raise LookupError("the application's own mistake")


@get("/file")
async def file() -> File:
    return File(Path(__file__), content_disposition_type="inline")


@get("/state")
async def state(state: State) -> dict[str, str]:
    return {"started": state.started}


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.started = "yes"
    yield
    print("application stopped", flush=True)


app = Litestar(
    [hello, echo, upload, stream, cookies, error, file, state],
    lifespan=[lifespan],
    request_max_body_size=None,
)
