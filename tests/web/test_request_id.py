"""Request ids: what is taken, what is made, and where they are seen."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import call, http_scope
from tidegate.config import Bind, Config
from tidegate.server import Server
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.base import BaseHTTPMiddleware
from tidegate.web.middleware.request_id import RequestIDFilter, RequestIDMiddleware, current_request_id
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from tidegate.web.requests import Request
    from tidegate.web.websockets import WebSocket

pytestmark = pytest.mark.anyio

MADE = re.compile("[0-9a-f]{16}")


async def tell(scope: Any, receive: Any, send: Any) -> None:
    assert scope["request_id"] == current_request_id()
    told = [value for name, value in scope["headers"] if name == b"x-request-id"]
    assert told == [scope["request_id"].encode()]
    await PlainTextResponse(scope["request_id"])(scope, receive, send)


async def ask(app: Any, *ids: bytes, **changes: Any) -> tuple[str, str]:
    headers = [(b"host", b"a"), *((b"x-request-id", value) for value in ids)]
    sent = await call(app, "/", headers=changes.pop("headers", headers), **changes)
    assert current_request_id() is None
    return sent.body.decode(), sent.headers["x-request-id"]


@pytest.mark.parametrize("value", [b"a", b"A.b_c-9", b"x" * 128])
async def test_a_well_formed_id_is_taken(value: bytes) -> None:
    assert await ask(RequestIDMiddleware(tell), value) == (value.decode(), value.decode())


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"x" * 129],
        [b"a b"],
        [b"a\tb"],
        [b"a\x1b[31m"],
        [b"${jndi:x}"],
        [b"<b>"],
        [b"a\n"],
        [b"\xff"],
        [b"a", b"b"],
    ],
)
async def test_else_one_is_made(values: list[bytes]) -> None:
    body, field = await ask(RequestIDMiddleware(tell), *values)
    assert MADE.fullmatch(body)
    assert field == body


async def test_a_client_that_is_not_trusted() -> None:
    body, _ = await ask(RequestIDMiddleware(tell, trust_client=False), b"mine")
    assert MADE.fullmatch(body)


async def test_settings() -> None:
    app = RequestIDMiddleware(PlainTextResponse("x"), header="X-Correlation-ID", generator=lambda: "made")
    assert (await call(app, "/")).headers["x-correlation-id"] == "made"
    sent = await call(app, "/", headers=((b"x-correlation-id", b"given"),))  # any iterable: ASGI
    assert sent.headers["x-correlation-id"] == "given"
    assert (await call(app, "/", headers=())).headers["x-correlation-id"] == "made"
    with pytest.raises(ValueError, match="well-formed"):
        await call(RequestIDMiddleware(tell, generator=lambda: "a\r\nb: c"), "/")
    with pytest.raises(ValueError, match="header name"):
        RequestIDMiddleware(tell, header="a b")


async def test_an_outer_layer_s_id_counts() -> None:
    app = RequestIDMiddleware(RequestIDMiddleware(tell, trust_client=False))
    assert await ask(app, b"outer") == ("outer", "outer")


async def test_the_application_s_own_field_stays() -> None:
    app = RequestIDMiddleware(PlainTextResponse("x", headers={"X-Request-ID": "own"}))
    sent = await call(app, "/")
    assert [value for name, value in sent[0]["headers"] if name == b"x-request-id"] == [b"own"]


async def test_ids_do_not_mix() -> None:
    """In 100 requests at once, in tasks that they start, in threads, behind middleware, in background tasks."""
    seen: list[tuple[str | None, ...]] = []

    def in_thread() -> str | None:
        return current_request_id()

    async def endpoint(request: Request) -> Response:
        await asyncio.sleep(0)
        in_task = await asyncio.create_task(asyncio.to_thread(in_thread))

        async def after() -> None:
            seen.append((request.scope["request_id"], in_task, current_request_id()))

        return PlainTextResponse(str(current_request_id()), background=BackgroundTask(after))

    class Base(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            response.headers["x-behind"] = str(current_request_id())
            return response

    app = Application(
        routes=[Route("/", endpoint)], middleware=[Middleware(RequestIDMiddleware), Middleware(Base)]
    )

    async def one(index: int) -> None:
        sent = await call(app, "/", headers=[(b"x-request-id", b"r%d" % index)])
        assert sent.body.decode() == sent.headers["x-behind"] == f"r{index}"

    await asyncio.gather(*map(one, range(100)))
    assert sorted(seen) == sorted((f"r{index}",) * 3 for index in range(100))


async def test_an_exception_that_escapes_keeps_its_id_for_the_log() -> None:
    logged: list[str | None] = []

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    async def as_a_server() -> None:
        try:
            await call(RequestIDMiddleware(failing), "/", headers=[(b"x-request-id", b"r1")])
        except ValueError:
            logged.append(current_request_id())

    await asyncio.create_task(as_a_server())
    assert logged == ["r1"]
    assert current_request_id() is None


async def test_a_client_that_has_gone() -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def as_a_server() -> None:
        with pytest.raises(OSError, match="gone"):
            await RequestIDMiddleware(tell)(http_scope("/"), receive, send)

    await asyncio.create_task(as_a_server())


def test_websockets() -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str(current_request_id()))
        await websocket.close()

    app = RequestIDMiddleware(Application(routes=[WebSocketRoute("/", echo)]))
    with (
        TestClient(app) as client,
        client.websocket_connect("/", headers={"x-request-id": "w1"}) as session,
    ):
        assert session.receive_text() == "w1"
        assert session.extra_headers is not None
        assert (b"x-request-id", b"w1") in list(session.extra_headers)


async def test_the_logs_have_the_id(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.request_id")
    caplog.handler.addFilter(keep := RequestIDFilter())
    try:

        async def endpoint(request: Request) -> Response:
            logger.info("inside")
            logger.info("own", extra={"request_id": "explicit"})
            return PlainTextResponse("x")

        with caplog.at_level("INFO", "tests.request_id"):
            logger.info("outside")
            app = RequestIDMiddleware(Application(routes=[Route("/", endpoint)]))
            await call(app, "/", headers=[(b"x-request-id", b"r7")])
    finally:
        caplog.handler.removeFilter(keep)
    got = {record.message: vars(record)["request_id"] for record in caplog.records}
    assert got == {"outside": "-", "inside": "r7", "own": "explicit"}


def test_the_filter_is_a_filter() -> None:
    record = logging.LogRecord("other", logging.INFO, "", 0, "x", (), None)
    assert not RequestIDFilter("only.this", default="none").filter(record)
    assert vars(record)["request_id"] == "none"


@given(st.binary(max_size=140) | st.from_regex(rb"[A-Za-z0-9._-]{1,130}\n?", fullmatch=True))
def test_whatever_is_sent_the_id_is_well_formed(value: bytes) -> None:
    scope = http_scope("/", headers=[(b"x-request-id", value)])
    identity = RequestIDMiddleware(tell)._identify(scope)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", identity)
    assert value == identity.encode() or MADE.fullmatch(identity)


async def test_the_server_s_access_log_has_the_same_id(caplog: pytest.LogCaptureFixture) -> None:
    """The id is made by the middleware, and Tidegate's own log of the request has it too."""
    app = RequestIDMiddleware(PlainTextResponse("ok"))
    found: list[str] = []
    with caplog.at_level("INFO", "tidegate.access"):
        async with Server(app, Config(binds=(Bind(port=0),))) as server:
            for field in ("", "X-Request-ID: bad id\r\n", "X-Request-ID: good-id\r\n"):
                reader, writer = await asyncio.open_connection(*server.addresses[0][:2])
                writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n".encode())
                answer = (await reader.read()).decode()
                match = re.search(r"x-request-id: (\S+)\r\n", answer, re.IGNORECASE)
                assert match is not None, answer
                found.append(match[1])
                writer.close()
    assert (found[0] == found[1], found[2]) == (False, "good-id")
    logged = [record.getMessage() for record in caplog.records if record.name == "tidegate.access"]
    assert [line.rpartition(" ")[2] for line in logged] == found
