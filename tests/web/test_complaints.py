"""What users of Starlette have complained of most, where no other test of a part shows that it is otherwise here.

The whole list, with the test of each, is in docs/toolkit/from-starlette.md.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from tests.web.conftest import Sent, call, http_scope
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.base import BaseHTTPMiddleware
from tidegate.web.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Mount, Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio


async def inline(request: Request) -> AsyncGenerator[Any, Any]:
    yield


class Base(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response


@pytest.mark.parametrize("middleware", [[], [inline], [Base], [Base, inline, Base]])
@pytest.mark.parametrize("gone", [False, True])
async def test_is_disconnected_behind_middleware(middleware: list[Any], gone: bool) -> None:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse([await request.is_disconnected() for _ in range(2)])

    app = Application(routes=[Route("/", endpoint)], middleware=[Middleware(cls) for cls in middleware])
    sent = Sent()

    async def receive() -> dict[str, Any]:
        if not gone:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with anyio.fail_after(5):
        await app(http_scope("/"), receive, send)
    assert sent.body == (b"[true,true]" if gone else b"[false,false]")


@pytest.mark.parametrize("middleware", [[], [inline], [Base], [Base, Base]])
@pytest.mark.parametrize("spec_version", ["2.3", "2.5"])
async def test_a_disconnect_cancels_no_background_task(middleware: list[Any], spec_version: str) -> None:
    finished: list[str] = []

    async def work(kind: str) -> None:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        finished.append(kind)

    async def plain(request: Request) -> Response:
        return PlainTextResponse("x", background=BackgroundTask(work, "plain"))

    async def body() -> AsyncGenerator[bytes, None]:
        yield b"x"

    async def streamed(request: Request) -> Response:
        return StreamingResponse(body(), background=BackgroundTask(work, "streamed"))

    app = Application(
        routes=[Route("/plain", plain), Route("/streamed", streamed)],
        middleware=[Middleware(cls) for cls in middleware],
    )
    asgi = {"version": "3.0", "spec_version": spec_version}
    for path in ("/plain", "/streamed"):
        answered = anyio.Event()

        async def receive(answered: anyio.Event = answered) -> dict[str, Any]:
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any], answered: anyio.Event = answered) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered.set()  # the client has all that it wants, and goes

        with anyio.fail_after(5):
            await app(http_scope(path, asgi=asgi), receive, send)
    assert finished == ["plain", "streamed"]


@pytest.mark.parametrize("version", ["2.3", "2.5"])
async def test_head_does_not_begin_a_stream(version: str) -> None:
    begun = False

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal begun
        begun = True
        while True:
            yield b"x"

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(endless(), media_type="text/event-stream")

    app = Application(routes=[Route("/", endpoint)])
    with anyio.fail_after(5):
        sent = await call(app, "/", "HEAD", asgi={"version": "3.0", "spec_version": version})
    assert (sent.status, sent.body, begun) == (200, b"", False)
    assert sent.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_slow_endpoints_hold_up_no_files(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"octets")
    release = threading.Event()
    limiter = anyio.to_thread.current_default_thread_limiter()

    def slow(request: Request) -> Response:
        release.wait(10)
        return PlainTextResponse("slow")

    async def file(request: Request) -> Response:
        return FileResponse(tmp_path / "f")

    app = Application(routes=[Route("/slow", slow), Route("/file", file)])
    before, limiter.total_tokens = limiter.total_tokens, 2
    try:
        async with anyio.create_task_group() as task_group:
            for _ in range(4):
                task_group.start_soon(call, app, "/slow")
            while limiter.borrowed_tokens < 2:
                await anyio.lowlevel.checkpoint()
            with anyio.fail_after(5):
                assert (await call(app, "/file")).body == b"octets"
            assert limiter.borrowed_tokens == 2
            release.set()
    finally:
        release.set()
        limiter.total_tokens = before


async def test_root_path_is_the_prefix_that_the_server_was_told() -> None:
    """ASGI HTTP scope: `path` holds `root_path`, whatever the proxy in front took off."""

    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "name": request.path_params["name"],
                "url": str(request.url_for("sub:item", name="b")),
                "base": str(request.base_url),
            }
        )

    app = Application(routes=[Mount("/sub", name="sub", routes=[Route("/{name}", endpoint, name="item")])])
    sent = await call(app, "/proxied/sub/a", root_path="/proxied")
    assert sent.body == (
        b'{"name":"a","url":"http://example.org/proxied/sub/b","base":"http://example.org/proxied/"}'
    )


async def test_a_path_that_only_begins_like_root_path_keeps_its_beginning() -> None:
    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["rest"])

    app = Application(routes=[Route("/{rest:path}", endpoint)])
    assert (await call(app, "/apiary/bees", root_path="/api")).body == b"apiary/bees"
    assert (await call(app, "/api/bees", root_path="/api")).body == b"bees"
