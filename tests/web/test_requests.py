"""Requests: one body for all who ask, and JSON by a codec of the application's choice."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from tests.web.conftest import call, http_scope
from tidegate.web.applications import Application
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
