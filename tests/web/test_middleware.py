"""Sessions, compression, trusted hosts, body limits, CORS."""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import itsdangerous
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.conftest import call
from tidegate.asgi.negotiation import accepts_coding, weighted
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.body_limit import RequestBodyLimitMiddleware
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.gzip import GZipMiddleware
from tidegate.web.middleware.httpsredirect import HTTPSRedirectMiddleware
from tidegate.web.middleware.sessions import SessionMiddleware
from tidegate.web.middleware.trustedhost import TrustedHostMiddleware
from tidegate.web.responses import JSONResponse, PlainTextResponse, Response
from tidegate.web.routing import Route
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio


def session_app(**options: Any) -> Application:
    async def show(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.session))

    async def ignore(request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    async def nest(request: Request) -> JSONResponse:
        request.session.setdefault("cart", [])
        return JSONResponse({})

    async def append(request: Request) -> JSONResponse:
        request.session["cart"].append(len(request.session["cart"]))
        return JSONResponse(dict(request.session))

    async def clear(request: Request) -> JSONResponse:
        request.session.clear()
        return JSONResponse({})

    routes = [Route(f"/{f.__name__}", f) for f in (show, ignore, nest, append, clear)]
    options.setdefault("secret_key", "secret")
    return Application(routes=routes, middleware=[Middleware(SessionMiddleware, **options)])


def test_a_change_inside_a_value_is_saved() -> None:
    client = TestClient(session_app())
    client.get("/nest")
    client.get("/append")
    client.get("/append")
    assert client.get("/show").json() == {"cart": [0, 1]}


def test_cookies_only_when_needed_and_vary_whenever_read() -> None:
    client = TestClient(session_app())
    assert "set-cookie" in client.get("/nest").headers
    shown = client.get("/show")
    assert "set-cookie" not in shown.headers
    assert shown.headers["vary"] == "Cookie"
    ignored = client.get("/ignore")
    assert "vary" not in ignored.headers
    cleared = client.get("/clear").headers["set-cookie"]
    assert cleared.startswith("session=null")
    assert "1970" in cleared
    assert client.get("/show").json() == {}


def signed(data: Any, key: str = "secret", age: int = 0) -> str:
    class Signer(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - age

    return Signer(key).sign(base64.b64encode(json.dumps(data).encode())).decode()


def test_the_format_is_starlettes() -> None:
    client = TestClient(session_app(), cookies={"session": signed({"a": 1})})
    assert client.get("/show").json() == {"a": 1}


def test_a_session_that_is_used_rolls() -> None:
    client = TestClient(session_app(max_age=100), cookies={"session": signed({"a": 1}, age=60)})
    assert "set-cookie" in client.get("/show").headers
    client = TestClient(session_app(max_age=100), cookies={"session": signed({"a": 1}, age=40)})
    assert "set-cookie" not in client.get("/show").headers
    client = TestClient(session_app(max_age=100), cookies={"session": signed({"a": 1}, age=160)})
    assert client.get("/show").json() == {}


def test_keys_can_be_changed() -> None:
    old = signed({"a": 1}, key="old")
    assert TestClient(session_app(secret_key="new"), cookies={"session": old}).get("/show").json() == {}
    client = TestClient(session_app(secret_key=["new", "old"]), cookies={"session": old})
    assert client.get("/show").json() == {"a": 1}
    fresh = TestClient(session_app(secret_key=["new", "old"]))
    cookie = fresh.get("/nest").cookies["session"]
    assert TestClient(session_app(secret_key="new"), cookies={"session": cookie}).get("/show").json() == {
        "cart": []
    }


@settings(deadline=None, max_examples=30)
@given(
    st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';,"\\'), max_size=60
    )
)
def test_no_forged_cookie_is_a_session(cookie: str) -> None:
    client = TestClient(session_app())
    response = client.get("/show", headers={"cookie": f"session={cookie}"})
    assert (response.status_code, response.json()) == (200, {})


@pytest.mark.parametrize("data", [[1], "text", 5, None])
def test_a_signed_cookie_that_is_no_map(data: Any) -> None:
    assert TestClient(session_app(), cookies={"session": signed(data)}).get("/show").json() == {}


async def big(request: Request) -> Response:
    return Response(b"x" * 4000, media_type="text/plain", headers={"ETag": '"strong"'})


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("gzip;q=0.001", True),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("deflate, GZIP;Q=1", True),
        ("xgzip", False),
        ("gzip;q=nonsense", False),
        ("", False),
    ],
)
async def test_weights_are_honoured(accepted: str, compressed: bool) -> None:
    app = Application(routes=[Route("/", big)], middleware=[Middleware(GZipMiddleware)])
    sent = await call(app, "/", headers=[(b"accept-encoding", accepted.encode())])
    assert ("content-encoding" in sent.headers) is compressed
    assert sent.headers["vary"] == "Accept-Encoding"
    assert (gzip.decompress(sent.body) if compressed else sent.body) == b"x" * 4000
    # RFC 9110 §8.8.3.3: other octets, another strong validator
    assert sent.headers["etag"] == ('W/"strong"' if compressed else '"strong"')


@given(st.lists(st.text(alphabet="gzip,;q=01.* ", max_size=30), max_size=3))
def test_accept_fields_never_raise(fields: list[str]) -> None:
    assert all(0 <= weight <= 1 for weight in weighted(fields).values())
    accepts_coding(fields, "gzip")


def test_accept_fields_are_capped() -> None:
    assert len(weighted([",".join(f"a{i}" for i in range(100_000))])) <= 64


async def test_trusted_hosts() -> None:
    app = TrustedHostMiddleware(PlainTextResponse("ok"), allowed_hosts=["example.org", "*.example.com"])
    for host, status in [
        (b"example.org", 200),
        (b"EXAMPLE.org:8000", 200),
        (b"a.example.com", 200),
        (b"aexample.com", 400),
        (b"evil.org", 400),
        (b"example.org.evil.org", 400),
        (b"example.org@evil.org", 400),
        (b"evil.org/example.org", 400),
        (b"evil.org#.example.com", 400),
        (b"", 400),
    ]:
        assert (await call(app, "/", headers=[(b"host", host)])).status == status, host
    two = [(b"host", b"example.org"), (b"host", b"evil.org")]
    assert (await call(app, "/", headers=two)).status == 400
    assert (await call(app, "/", headers=[])).status == 400


async def test_https_redirect_stays_on_the_host() -> None:
    app = HTTPSRedirectMiddleware(PlainTextResponse("ok"))
    sent = await call(app, "//evil.example/x", headers=[(b"host", b"example.org:80")])
    assert sent.headers["location"] == "https://example.org//evil.example/x"


@pytest.mark.parametrize("declared", [[], [(b"content-length", b"6")], [(b"content-length", b"3")]])
async def test_body_limit_counts_what_arrives(declared: list[tuple[bytes, bytes]]) -> None:
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    app = Application(routes=[Route("/", echo, methods=["POST"])], max_body_size=5)
    assert (await call(app, "/", "POST", body=b"123456", headers=declared)).status == 413
    assert (await call(app, "/", "POST", body=b"12345")).body == b"12345"


async def test_an_inner_limit_replaces_the_outer() -> None:
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    routes = [
        Route("/more", echo, methods=["POST"], max_body_size=10),
        Route("/less", echo, methods=["POST"], max_body_size=2),
    ]
    app = Application(routes=routes, max_body_size=5)
    assert (await call(app, "/more", "POST", body=b"12345678")).status == 200
    assert (await call(app, "/less", "POST", body=b"123")).status == 413
    with pytest.raises(ValueError):
        RequestBodyLimitMiddleware(app, -1)


async def test_cors_escapes_nothing_into_a_match() -> None:
    app = CORSMiddleware(
        PlainTextResponse("ok"),
        allow_origins=["https://a.example"],
        allow_origin_regex=r"https://.*\.b\.example",
    )
    for origin, allowed in [
        ("https://a.example", True),
        ("https://aXexample", False),
        ("https://x.b.example", True),
        ("https://x.b.example.evil.example", False),
        ("https://a.example.evil.example", False),
        ("null", False),
    ]:
        sent = await call(app, "/", headers=[(b"origin", origin.encode())])
        assert ("access-control-allow-origin" in sent.headers) is allowed, origin
        assert sent.headers["vary"] == "Origin"
