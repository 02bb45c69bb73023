"""A user's program, for the type checkers (test_typing.py): strict, and exact about state. It also runs."""

# pyright: strict

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypedDict, assert_type

from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.datastructures import FormData, Headers, QueryParams, State, UploadFile
from tidegate.web.endpoints import HTTPEndpoint
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.gzip import GZipMiddleware
from tidegate.web.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Host, Mount, Route, WebSocketRoute
from tidegate.web.testclient import AsyncTestClient, TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tidegate.web.middleware.inline import ResponseHead
    from tidegate.web.requests import Request
    from tidegate.web.websockets import WebSocket


class AppState(State):
    """By attribute."""

    greeting: str


class Shared(TypedDict):
    """By item."""

    hits: list[str]


@contextlib.asynccontextmanager
async def lifespan(app: Application[AppState]) -> AsyncGenerator[Mapping[str, Any], None]:
    assert_type(app.state, AppState)
    app.state.greeting = "hello"
    yield {"hits": []}


async def home(request: Request[Shared]) -> Response:
    request.state["hits"].append(request.url.path)
    assert_type(request.state, Shared)
    assert_type(request.headers, Headers)
    assert_type(request.query_params, QueryParams)
    return JSONResponse({"hits": request.state["hits"]}, background=BackgroundTask(print, "done"))


async def attributes(request: Request[AppState]) -> Response:
    assert_type(request.state.greeting, str)
    return PlainTextResponse(str(request.url_for("home")))


async def untyped_state(request: Request) -> Response:
    assert_type(request.state, State)
    return PlainTextResponse(request.state.anything)


def blocking(request: Request[Any]) -> Response:
    if "x" not in request.query_params:
        raise HTTPException(status_code=400, detail="no x")
    return PlainTextResponse(request.query_params["x"])


async def upload(request: Request[Shared]) -> Response:
    async with request.form(max_files=1) as form:
        assert_type(form, FormData)
        file = form["file"]
        assert_type(file, UploadFile | str)
    body: bytes = await request.body()
    return FileResponse("x", filename=str(len(body)))


async def stream(request: Request[Shared]) -> Response:
    async def pieces() -> AsyncGenerator[bytes, None]:
        async for piece in request.stream():
            yield piece

    return StreamingResponse(pieces(), media_type="text/plain")


async def echo(websocket: WebSocket[Shared]) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        assert_type(text, str)
        await websocket.send_text(text + str(len(websocket.state["hits"])))


class Item(HTTPEndpoint):
    async def get(self, request: Request[Shared]) -> Response:
        return PlainTextResponse("item")


async def timing(request: Request[Any], name: str) -> AsyncGenerator[Response | None, ResponseHead]:
    head = yield None
    head.headers[name] = "1"


class Dispatching(BaseHTTPMiddleware):
    async def dispatch(self, request: Request[Any], call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-seen"] = "yes"
        return response


async def not_found(request: Request[Any], error: Exception) -> Response:
    return PlainTextResponse("none here", status_code=404)


app: Application[AppState] = Application(
    routes=[
        Route("/", home, name="home"),
        Route("/attributes", attributes),
        Route("/untyped", untyped_state),
        Route("/blocking", blocking),
        Route("/upload", upload, methods=["POST"], max_body_size=2**20),
        Route("/stream", stream, methods=["POST"]),
        Route("/item", Item),
        WebSocketRoute("/echo", echo),
        Mount("/below", routes=[Route("/", home)]),
        Host("api.example.org", app=PlainTextResponse("api")),
    ],
    middleware=[
        Middleware(timing, "x-time"),
        Middleware(Dispatching),
        Middleware(GZipMiddleware, minimum_size=1000),
        Middleware(CORSMiddleware, allow_origins=["*"]),
    ],
    exception_handlers={404: not_found},
    lifespan=lifespan,
)


@app.get("/decorated/{id:int}")
async def decorated(request: Request[Shared]) -> Response:
    return PlainTextResponse(str(request.path_params["id"]))


assert_type(app.state, AppState)


def use() -> str:
    with TestClient(app) as client, client.websocket_connect("/echo") as session:
        session.send_text("a")
        assert_type(session.receive_text(), str)
        assert client.get("/decorated/3").text == "3"
        return client.get("/").headers["x-time"]


async def use_async() -> int:
    async with AsyncTestClient(app) as client:
        return (await client.get("/nowhere")).status_code
