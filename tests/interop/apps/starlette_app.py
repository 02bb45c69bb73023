"""Starlette: the contract of test_frameworks.py, behind two kinds of middleware."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles


async def hello(request: Request) -> JSONResponse:
    name = request.query_params.get("name", "world")
    return JSONResponse(
        {
            "hello": name,
            "path": request.url.path,
            "host": request.url.hostname,
            "agent": request.headers["x-agent"],
        }
    )


async def echo(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


async def upload(request: Request) -> JSONResponse:
    async with request.form() as form:
        file = form["file"]
        content = await file.read()
    digest = hashlib.sha256(content).hexdigest()
    return JSONResponse({"name": file.filename, "size": len(content), "sha256": digest})


async def stream(request: Request) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(lines(), media_type="text/plain")


async def cookies(request: Request) -> JSONResponse:
    response = JSONResponse(request.cookies)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


async def error(request: Request) -> Response:
    raise LookupError("the application's own mistake")


async def file(request: Request) -> FileResponse:
    return FileResponse(Path(__file__))


async def state(request: Request) -> JSONResponse:
    return JSONResponse({"started": request.state.started})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    yield {"started": "yes"}
    print("application stopped", flush=True)


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):  # type: ignore[no-untyped-def]
        response = await call_next(request)
        response.headers["x-stamp"] = "middleware"
        return response


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/hello", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/cookies", cookies),
        Route("/error", error),
        Route("/file", file),
        Route("/state", state),
        Mount("/static", StaticFiles(directory=Path(__file__).parent)),
    ],
    middleware=[Middleware(Stamp), Middleware(GZipMiddleware, minimum_size=100_000)],
)
