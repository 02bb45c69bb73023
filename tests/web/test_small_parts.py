"""Convertors, threads, codecs, statuses, exceptions, types, lifespans, and what is said of missing packages."""

from __future__ import annotations

import math
import subprocess
import sys
import uuid
from typing import Any

import anyio
import pytest

from tests.web.conftest import call
from tidegate.web import status, types
from tidegate.web.applications import Application
from tidegate.web.concurrency import iterate_in_threadpool, run_until_first_complete
from tidegate.web.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor
from tidegate.web.exceptions import HTTPException, StarletteDeprecationWarning
from tidegate.web.responses import JSONResponse, PlainTextResponse
from tidegate.web.routing import Route
from tidegate.web.testclient import TestClient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("str", "a b", "a b"),
        ("path", "a/b", "a/b"),
        ("int", "12", 12),
        ("float", "1.5", 1.5),
        ("uuid", "ec38df32-ceda-4cfa-9b4a-1aeb94ad551a", uuid.UUID("ec38df32-ceda-4cfa-9b4a-1aeb94ad551a")),
    ],
)
def test_convertors_are_inverse(name: str, text: str, value: Any) -> None:
    convertor = CONVERTOR_TYPES[name]
    assert convertor.convert(text) == value
    assert convertor.to_string(value) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [("str", ""), ("str", "a/b"), ("int", -1), ("float", -1.0), ("float", math.nan), ("float", math.inf)],
)
def test_what_is_no_path_segment(name: str, value: Any) -> None:
    with pytest.raises(AssertionError):
        CONVERTOR_TYPES[name].to_string(value)


async def test_a_convertor_of_ones_own() -> None:
    class Hex(Convertor[int]):
        regex = "[0-9a-f]+"

        def convert(self, value: str) -> int:
            return int(value, 16)

        def to_string(self, value: int) -> str:
            return f"{value:x}"

    register_url_convertor("hex", Hex())
    try:

        async def show(request: Any) -> JSONResponse:
            return JSONResponse([request.path_params["n"], str(request.url_for("show", n=255))])

        app = Application(routes=[Route("/{n:hex}", show)])
        assert (await call(app, "/1f")).body == b'[31,"http://example.org/ff"]'
        assert (await call(app, "/xyz")).status == 404
    finally:
        del CONVERTOR_TYPES["hex"]
    for method in ("convert", "to_string"):
        with pytest.raises(NotImplementedError):
            getattr(Convertor(), method)("x")


async def test_the_first_to_complete_cancels_the_others() -> None:
    done: list[str] = []

    async def wait(name: str, event: anyio.Event) -> None:
        await event.wait()
        done.append(name)

    never, now = anyio.Event(), anyio.Event()
    now.set()
    with anyio.fail_after(5):
        await run_until_first_complete(
            (wait, {"name": "never", "event": never}), (wait, {"name": "now", "event": now})
        )
    assert done == ["now"]


async def test_blocking_iterators() -> None:
    assert [item async for item in iterate_in_threadpool(iter("abc"))] == ["a", "b", "c"]


def test_statuses() -> None:
    assert (status.HTTP_200_OK, status.WS_1011_INTERNAL_ERROR) == (200, 1011)
    with pytest.raises(AttributeError):
        status.HTTP_299_NONE  # noqa: B018
    assert "HTTP_404_NOT_FOUND" in dir(status)


def test_exceptions_describe_themselves() -> None:
    error = HTTPException(404)
    assert str(error) == "404: Not Found"
    assert repr(error) == "HTTPException(status_code=404, detail='Not Found')"
    assert HTTPException(299).detail == ""
    assert types.ASGIApp


def test_generator_lifespans_still_run() -> None:
    events: list[str] = []

    async def asynchronous(app: Any) -> Any:
        events.append("start")
        yield
        events.append("stop")

    def synchronous(app: Any) -> Any:
        events.append("start")
        yield {"a": 1}
        events.append("stop")

    async def show(request: Any) -> PlainTextResponse:
        return PlainTextResponse(repr(dict(request.scope["state"])))

    for lifespan, expected in ((asynchronous, "{}"), (synchronous, "{'a': 1}")):
        events.clear()
        with pytest.warns(StarletteDeprecationWarning, match="generator function"):
            app = Application(routes=[Route("/", show)], lifespan=lifespan)
        with TestClient(app) as client:
            assert client.get("/").text == expected
        assert events == ["start", "stop"]


MISSING = """
import importlib, sys
sys.modules[{package!r}] = None
try:
    {statement}
except {error} as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize(
    ("package", "statement", "error"),
    [
        ("jinja2", "import tidegate.web.templating", "ImportError"),
        ("itsdangerous", "import tidegate.web.middleware.sessions", "ImportError"),
        ("itsdangerous", "from tidegate.web.sessions import CookieStore; CookieStore('k')", "ImportError"),
        ("opentelemetry", "import tidegate.web.middleware.opentelemetry", "ImportError"),
        ("yaml", "from tidegate.web.schemas import OpenAPIResponse; OpenAPIResponse({})", "RuntimeError"),
        ("orjson", "from tidegate.web.jsoncodec import OrjsonCodec; OrjsonCodec()", "RuntimeError"),
        ("httpx2", "sys.modules['httpx'] = None; import tidegate.web.testclient", "RuntimeError"),
    ],
)
def test_a_missing_package_is_named(package: str, statement: str, error: str) -> None:
    code = MISSING.format(package=package, statement=statement, error=error)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "pip install" in run.stdout
