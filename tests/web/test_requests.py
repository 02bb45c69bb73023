"""Requests: one body for all who ask, and JSON by a codec of the application's choice."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from tests.web.conftest import call, http_scope
from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.jsoncodec import MsgspecCodec, StandardCodec
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.base import BaseHTTPMiddleware
from tidegate.web.requests import BODY_KEY, ClientDisconnect, Request, cookie_parser
from tidegate.web.responses import JSONResponse, PlainTextResponse
from tidegate.web.routing import Mount, Route

pytestmark = pytest.mark.anyio


def receiving(*messages: dict[str, Any]) -> Any:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        assert left, "received past the end"
        return left.pop(0)

    return receive


BODY = {"type": "http.request", "body": b"one", "more_body": True}
END = {"type": "http.request", "body": b"two", "more_body": False}


async def test_two_requests_read_the_same_body() -> None:
    scope, receive = http_scope("/", "POST"), receiving(BODY, END)
    assert await Request(scope, receive).body() == b"onetwo"
    assert await Request(scope, receive).body() == b"onetwo"
    assert [piece async for piece in Request(scope, receive).stream()] == [b"onetwo", b""]


async def test_another_receive_is_another_body() -> None:
    scope = http_scope("/", "POST")
    assert await Request(scope, receiving(BODY, END)).body() == b"onetwo"
    assert await Request(scope, receiving(END)).body() == b"two"


async def test_a_used_stream_raises_instead_of_waiting() -> None:
    scope, receive = http_scope("/", "POST"), receiving(BODY, END)
    assert [piece async for piece in Request(scope, receive).stream()] == [b"one", b"two", b""]
    with pytest.raises(RuntimeError, match="Stream consumed"):
        await Request(scope, receive).body()


async def test_a_disconnect_within_the_body() -> None:
    with pytest.raises(ClientDisconnect):
        await Request(http_scope("/", "POST"), receiving(BODY, {"type": "http.disconnect"})).body()


async def test_asking_for_the_disconnect_loses_no_body() -> None:
    request: Request = Request(http_scope("/", "POST"), receiving(BODY, END))
    assert await request.is_disconnected() is False
    assert await request.body() == b"onetwo"


async def test_form_after_form_and_two_requests() -> None:
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = http_scope("/", "POST", headers=headers)
    receive = receiving({"type": "http.request", "body": b"a=1&b=2"})
    first = await Request(scope, receive).form()
    assert await Request(scope, receive).form() is first


@pytest.mark.parametrize("stacked", [1, 3])
async def test_the_body_behind_base_http_middleware(stacked: int) -> None:
    class Reads(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            assert await request.body() == b"body"
            response = await call_next(request)
            assert await request.body() == b"body"
            return response

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body() + await request.body())

    app = Application(
        routes=[Mount("/m", routes=[Route("/", echo, methods=["POST"])])],
        middleware=[Middleware(Reads) for _ in range(stacked)],
    )
    assert (await call(app, "/m/", "POST", body=b"body")).body == b"bodybody"


async def test_the_scope_keeps_only_what_was_read() -> None:
    scope = http_scope("/")
    request: Request = Request(scope, receiving(END))
    assert BODY_KEY not in scope
    await request.body()
    assert scope[BODY_KEY].content == b"two"


class Shouting:
    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value).upper().encode()

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data.lower())


async def test_the_applications_json_codec() -> None:
    async def echo(request: Request) -> JSONResponse:
        return JSONResponse(await request.json())

    routes = [Route("/", echo, methods=["POST"])]
    loud, usual = Application(routes=routes, json=Shouting()), Application(routes=routes)
    assert (await call(loud, "/", "POST", body=b'["A"]')).body == b'["A"]'
    assert (await call(usual, "/", "POST", body=b'["a"]')).body == b'["a"]'


@pytest.mark.parametrize("codec", [MsgspecCodec(), StandardCodec()])
def test_codecs(codec: Any) -> None:
    class Name(str):
        __slots__ = ()

    assert (
        codec.encode({"a": [1, 2.5, None, True, "é"], "b": Name("x")})
        == '{"a":[1,2.5,null,true,"é"],"b":"x"}'.encode()
    )
    assert codec.decode(b' {"a": [1]} ') == {"a": [1]}
    assert codec.decode('"é"'.encode("utf-16")) == "é"
    with pytest.raises(json.JSONDecodeError):
        codec.decode(b"{")
    with pytest.raises(TypeError):
        codec.encode(object())


def test_what_msgspec_adds() -> None:
    assert MsgspecCodec().encode(datetime.date(2026, 11, 22)) == b'"2026-11-22"'
    assert MsgspecCodec().encode(float("nan")) == b"null"


def test_cookies() -> None:
    assert cookie_parser('a=1; b="x y"; c; =v;; d=e=f') == {"a": "1", "b": "x y", "": "v", "d": "e=f"}
    assert len(cookie_parser(";" * 100_000)) == 0


async def reads(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.mark.parametrize("declared", [True, False])
async def test_bodies_are_limited_where_nothing_else_is_said(declared: bool) -> None:
    app = Application(routes=[Route("/", reads, methods=["POST"])], body_limit=10)
    for size, status in ((10, 200), (11, 413)):
        headers = [(b"content-length", b"%d" % size)] if declared else []
        sent = await call(app, "/", "POST", body=bytes(size), headers=headers)
        assert sent.status == status
    assert (await call(app, "/", "POST", body=bytes(2**20))).body == b"Content Too Large"


async def test_a_body_is_counted_over_all_its_pieces() -> None:
    scope, receive = http_scope("/", "POST"), receiving(BODY, END)
    scope["app"] = Application(body_limit=5)
    request = Request(scope, receive)
    with pytest.raises(HTTPException) as caught:
        async for _ in request.stream():
            pass
    assert caught.value.status_code == 413


async def test_the_limit_is_set_for_an_application_and_for_a_route() -> None:
    routes = [
        Route("/", reads, methods=["POST"]),
        Route("/more", reads, methods=["POST"], max_body_size=30 * 2**20),
        Route("/less", reads, methods=["POST"], max_body_size=5),
    ]
    app = Application(routes=routes)
    large = bytes(17 * 2**20)
    assert (await call(app, "/", "POST", body=large)).status == 413
    assert (await call(app, "/more", "POST", body=large)).status == 200
    assert (await call(app, "/less", "POST", body=bytes(6))).status == 413
    assert (await call(Application(routes=routes, body_limit=None), "/", "POST", body=large)).status == 200
