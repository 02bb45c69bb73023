"""Lifespans, those of mounted applications included."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.responses import JSONResponse, PlainTextResponse
from tidegate.web.routing import Mount, Route, Router
from tidegate.web.testclient import AsyncTestClient, TestClient

if TYPE_CHECKING:
    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio


def recorded(events: list[str], name: str, **state: Any) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        events.append(f"{name} in")
        try:
            yield state
        finally:
            events.append(f"{name} out")

    return lifespan


async def show(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.scope["state"]))


def test_mounted_lifespans_run_in_order_inside() -> None:
    events: list[str] = []
    grandchild = Application(lifespan=recorded(events, "grandchild", c=3))
    first = Application(
        routes=[Mount("/in", app=grandchild), Route("/show", show)], lifespan=recorded(events, "first", b=2)
    )
    second = Router(lifespan=recorded(events, "second"))
    app = Application(
        routes=[
            Mount("/1", app=first),
            Mount("/2", app=second),
            Mount("/x", routes=[Mount("/1", app=first)]),
        ],
        lifespan=recorded(events, "outer", a=1),
    )
    with TestClient(app) as client:
        assert client.get("/1/show").json() == {"a": 1, "b": 2, "c": 3}
        assert events == ["outer in", "first in", "grandchild in", "second in"]
    assert events[4:] == ["second out", "grandchild out", "first out", "outer out"]


def test_they_can_be_left_alone() -> None:
    events: list[str] = []
    child = Application(lifespan=recorded(events, "child"))
    with TestClient(Application(routes=[Mount("/c", app=child)], mounted_lifespans=False)):
        assert events == []


def test_one_that_its_parent_runs_is_not_run_twice() -> None:
    events: list[str] = []
    child = Application(lifespan=recorded(events, "child"))
    app = Application(routes=[Mount("/c", app=child)], lifespan=child.router.lifespan_context)
    with TestClient(app):
        assert events == ["child in"]


def test_a_mounted_application_that_fails_stops_the_start() -> None:
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def failing(app: Any) -> Any:
        raise RuntimeError("no database")
        yield

    app = Application(
        routes=[Mount("/c", app=Application(lifespan=failing))], lifespan=recorded(events, "outer")
    )
    with pytest.raises(RuntimeError, match="no database"), TestClient(app):
        pass
    assert events == ["outer in", "outer out"]


async def test_shutdown_waits_for_background_tasks() -> None:
    events: list[str] = []

    async def slow() -> None:
        await anyio.sleep(0.05)
        events.append("background")

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", background=BackgroundTask(slow))

    app = Application(routes=[Route("/", endpoint)], lifespan=recorded(events, "app"))
    async with anyio.create_task_group() as tasks, AsyncTestClient(app) as client:
        tasks.start_soon(client.get, "/")
        await anyio.sleep(0.01)
    assert events == ["app in", "background", "app out"]


async def test_shutdown_does_not_wait_for_ever() -> None:
    async def endless() -> None:
        await anyio.sleep_forever()

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", background=BackgroundTask(endless))

    app = Application(routes=[Route("/", endpoint)], shutdown_timeout=0.05)
    async with anyio.create_task_group() as tasks:
        async with AsyncTestClient(app) as client:
            tasks.start_soon(client.get, "/")
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
