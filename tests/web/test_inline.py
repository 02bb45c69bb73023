"""Inline middleware: async generators in the request's own task."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.web.conftest import call
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.inline import InlineMiddleware
from tidegate.web.responses import PlainTextResponse, StreamingResponse
from tidegate.web.routing import Mount, Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def application(*functions: Any, endpoint: Any = None) -> Application:
    async def ok(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    return Application(routes=[Route("/", endpoint or ok)], middleware=[Middleware(f) for f in functions])


async def test_order_and_headers() -> None:
    events: list[str] = []

    def named(name: str) -> Any:
        async def middleware(request: Request) -> AsyncGenerator[Any, Any]:
            events.append(f"{name} in")
            response = yield
            events.append(f"{name} out")
            assert response.status_code == 200
            response.headers["x-order"] = response.headers.get("x-order", "") + name
            yield
            events.append(f"{name} end")

        return middleware

    sent = await call(application(named("a"), named("b")), "/")
    assert events == ["a in", "b in", "b out", "a out", "b end", "a end"]
    assert sent.headers["x-order"] == "ba"
    assert sent.body == b"ok"


async def test_arguments_and_neighbours_share_a_layer() -> None:
    async def add(request: Request, name: str, value: str = "") -> AsyncGenerator[Any, Any]:
        response = yield
        response.headers[name] = value

    app = Application(
        routes=[], middleware=[Middleware(add, "x-a", value="1"), Middleware(add, "x-b", value="2")]
    )
    stack: Any = app.build_middleware_stack()
    assert isinstance(stack.app, InlineMiddleware)
    assert not isinstance(stack.app.app, InlineMiddleware)
    sent = await call(app, "/")
    assert (sent.headers["x-a"], sent.headers["x-b"], sent.status) == ("1", "2", 404)


async def test_context_variables_flow_both_ways() -> None:
    seen: list[str] = []

    async def middleware(request: Request) -> AsyncGenerator[Any, Any]:
        var.set("from middleware")
        yield
        seen.append(var.get())

    async def endpoint(request: Request) -> PlainTextResponse:
        seen.append(var.get())
        var.set("from endpoint")
        return PlainTextResponse("")

    await call(application(middleware, endpoint=endpoint), "/")
    assert seen == ["from middleware", "from endpoint"]


async def test_answering_instead() -> None:
    called = False

    async def outer(request: Request) -> AsyncGenerator[Any, Any]:
        response = yield
        response.headers["x-outer"] = str(response.status_code)

    async def guard(request: Request) -> AsyncGenerator[Any, Any]:
        yield PlainTextResponse("no", status_code=401)

    async def endpoint(request: Request) -> PlainTextResponse:
        nonlocal called
        called = True
        return PlainTextResponse("")

    sent = await call(application(outer, guard, endpoint=endpoint), "/")
    assert (sent.status, sent.body, sent.headers["x-outer"], called) == (401, b"no", "401", False)


async def test_replacing_the_response() -> None:
    async def outer(request: Request) -> AsyncGenerator[Any, Any]:
        response = yield
        response.headers["x-outer"] = "yes"

    async def replace(request: Request) -> AsyncGenerator[Any, Any]:
        response = yield
        if response.status_code == 404:
            yield PlainTextResponse("instead", status_code=418)

    app = Application(routes=[], middleware=[Middleware(outer), Middleware(replace)])
    sent = await call(app, "/")
    assert (sent.status, sent.body, sent.headers["x-outer"]) == (418, b"instead", "yes")
    assert len(sent) == 2


async def test_exceptions_are_raised_at_the_yield() -> None:
    ended: list[str] = []

    async def catches(request: Request) -> AsyncGenerator[Any, Any]:
        try:
            yield
        except LookupError as error:
            yield PlainTextResponse(f"caught {error}", status_code=503)

    async def cleans(request: Request) -> AsyncGenerator[Any, Any]:
        try:
            yield
        finally:
            ended.append("cleaned")

    async def endpoint(request: Request) -> PlainTextResponse:
        raise LookupError("it")

    sent = await call(application(catches, cleans, endpoint=endpoint), "/")
    assert (sent.status, sent.body, ended) == (503, b"caught it", ["cleaned"])
    with pytest.raises(LookupError):
        await call(application(cleans, endpoint=endpoint), "/")


async def test_swallowing_an_exception_is_no_answer() -> None:
    async def swallows(request: Request) -> AsyncGenerator[Any, Any]:
        with contextlib.suppress(LookupError):
            yield

    async def endpoint(request: Request) -> PlainTextResponse:
        raise LookupError("it")

    with pytest.raises(LookupError):
        await call(application(swallows, endpoint=endpoint), "/")


@pytest.mark.parametrize("before", [True, False])
async def test_http_exceptions_of_the_middleware_itself(before: bool) -> None:
    async def outer(request: Request) -> AsyncGenerator[Any, Any]:
        response = yield
        response.headers["x-outer"] = "yes"

    async def refuses(request: Request) -> AsyncGenerator[Any, Any]:
        if before:
            raise HTTPException(403)
        yield
        raise HTTPException(403)

    sent = await call(application(outer, refuses), "/")
    assert (sent.status, sent.body) == (403, b"Forbidden")


async def test_not_yielding_is_an_error() -> None:
    async def never(request: Request) -> AsyncGenerator[Any, Any]:
        if request.method == "TRACE":
            yield

    with pytest.raises(RuntimeError, match="did not yield"):
        await call(application(never), "/")


async def test_yielding_too_often_is_an_error() -> None:
    async def often(request: Request) -> AsyncGenerator[Any, Any]:
        yield
        yield
        yield

    with pytest.raises(RuntimeError, match="yielded once more"):
        await call(application(often), "/")


async def test_the_body_read_outside_is_there_inside() -> None:
    async def reads(request: Request) -> AsyncGenerator[Any, Any]:
        assert await request.body() == b"body"
        yield

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    app = Application(
        routes=[Mount("/m", routes=[Route("/", endpoint, methods=["POST"])])], middleware=[Middleware(reads)]
    )
    assert (await call(app, "/m/", "POST", body=b"body")).body == b"body"


async def test_disconnects_are_seen_behind_it() -> None:
    seen: list[bool] = []

    async def middleware(request: Request) -> AsyncGenerator[Any, Any]:
        yield

    async def endpoint(request: Request) -> PlainTextResponse:
        await request.body()
        seen.append(await request.is_disconnected())
        return PlainTextResponse("")

    await call(application(middleware, endpoint=endpoint), "/")
    assert seen == [True]


async def test_streams_and_background_are_not_held_up() -> None:
    events: list[str] = []

    async def middleware(request: Request) -> AsyncGenerator[Any, Any]:
        yield
        events.append("head")

    async def endpoint(request: Request) -> StreamingResponse:
        async def body() -> Any:
            for piece in (b"1", b"2"):
                events.append("piece")
                yield piece

        async def later() -> None:
            events.append("background")

        return StreamingResponse(body(), background=BackgroundTask(later))

    assert (await call(application(middleware, endpoint=endpoint), "/")).body == b"12"
    assert events == ["head", "piece", "piece", "background"]


async def test_cancellation_reaches_the_middleware() -> None:
    ended: list[str] = []

    async def middleware(request: Request) -> AsyncGenerator[Any, Any]:
        try:
            yield
        finally:
            ended.append("cleaned")

    async def endpoint(request: Request) -> PlainTextResponse:
        await anyio.sleep_forever()
        return PlainTextResponse("")

    with anyio.move_on_after(0.05):
        await call(application(middleware, endpoint=endpoint), "/")
    assert ended == ["cleaned"]


async def test_websockets_pass_by() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def middleware(request: Request) -> AsyncGenerator[Any, Any]:
        yield

    await InlineMiddleware(app, middleware)({"type": "websocket"}, None, None)  # type: ignore[arg-type]
    assert seen == ["websocket"]
