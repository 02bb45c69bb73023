"""A user's program, for the type checkers (test_typing.py): strict, and exact about state. It also runs."""

# pyright: strict

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, assert_type

from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.datastructures import FormData, Headers, QueryParams, State, UploadFile
from tidegate.web.endpoints import HTTPEndpoint
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.csrf import CSRFMiddleware
from tidegate.web.middleware.gzip import GZipMiddleware
from tidegate.web.middleware.rate_limit import RateLimitMiddleware
from tidegate.web.middleware.request_id import RequestIDMiddleware, current_request_id
from tidegate.web.middleware.security_headers import SecurityHeadersMiddleware, csp_nonce
from tidegate.web.middleware.server_sessions import ServerSession, ServerSessionMiddleware, server_session
from tidegate.web.ratelimit import Decision, Quota
from tidegate.web.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Host, Mount, Route, WebSocketRoute
from tidegate.web.testclient import AsyncTestClient, TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from tidegate.web.middleware.inline import ResponseHead
    from tidegate.web.requests import HTTPConnection, Request
    from tidegate.web.sessions import StoredSession
    from tidegate.web.websockets import WebSocket


class AppState(State):
    """By attribute."""

    greeting: str


class ExactState(Protocol):
    """By attribute too, and no others."""

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


async def exact(request: Request[ExactState]) -> Response:
    assert_type(request.state, ExactState)
    return PlainTextResponse(request.state.greeting)


async def account(request: Request[Shared]) -> Response:
    session = server_session(request)
    assert_type(session, ServerSession)
    session.rotate(restart=True)
    session["user"] = "ann"
    assert_type(current_request_id(), str | None)
    assert_type(csp_nonce(request), str)
    return PlainTextResponse("x")


def by_user(conn: HTTPConnection[Any]) -> str | None:
    return conn.headers.get("x-user")


class OwnSessions:
    """A store of one's own."""

    async def get(self, key: str) -> StoredSession | None:
        return None

    async def set(self, key: str, data: bytes, ttl: int, version: int | None) -> str | None:
        return key

    async def delete(self, key: str) -> bool:
        return False


class OwnLimits:
    async def take(self, key: str, quotas: Sequence[Quota], cost: int) -> Sequence[Decision]:
        return [Decision(True, 1, 0.0, 0.0) for _ in quotas]


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
        Route("/exact", exact),
        Route("/account", account),
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
        Middleware(RequestIDMiddleware),
        Middleware(SecurityHeadersMiddleware, content_security_policy={"script-src": ["'nonce-{nonce}'"]}),
        Middleware(CSRFMiddleware, trusted_origins=["https://app.example"]),
        Middleware(RateLimitMiddleware, [Quota(10, 1), Quota(100)], key=by_user, store=OwnLimits()),
        Middleware(ServerSessionMiddleware, OwnSessions(), same_site="strict"),
    ],
    exception_handlers={404: not_found},
    lifespan=lifespan,
)


@app.get("/decorated/{id:int}")
async def decorated(request: Request[Shared]) -> Response:
    return PlainTextResponse(str(request.path_params["id"]))


assert_type(app.state, AppState)


typed_exactly: Application[ExactState] = Application(body_limit=None)
assert_type(typed_exactly.state, ExactState)
typed_exactly.state.greeting = "hello"


def use() -> str:
    with TestClient(app) as client, client.websocket_connect("/echo") as session:
        session.send_text("a")
        assert_type(session.receive_text(), str)
        assert client.get("/decorated/3").text == "3"
        return client.get("/").headers["x-time"]


async def use_async() -> int:
    async with AsyncTestClient(app) as client:
        return (await client.get("/nowhere")).status_code
