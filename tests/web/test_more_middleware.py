"""CORS, compression, sessions and BaseHTTPMiddleware: the rest of their behaviour."""

from __future__ import annotations

import gzip
import io
from typing import Any

import anyio
import pytest

from tests.web.conftest import call, http_scope
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.base import BaseHTTPMiddleware
from tidegate.web.middleware.body_limit import RequestBodyLimitMiddleware
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.gzip import GZipMiddleware
from tidegate.web.middleware.httpsredirect import HTTPSRedirectMiddleware
from tidegate.web.middleware.sessions import Session, SessionMiddleware
from tidegate.web.middleware.trustedhost import TrustedHostMiddleware
from tidegate.web.requests import ClientDisconnect, Request
from tidegate.web.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import TestClient

pytestmark = pytest.mark.anyio


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("x" * 1000, headers={"etag": '"a"'})(scope, receive, send)


def cors(**options: Any) -> TestClient:
    return TestClient(CORSMiddleware(plain, **options))


PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "GET"}


@pytest.mark.parametrize(
    ("options", "asked", "status", "expected"),
    [
        ({"allow_origins": ["*"]}, {}, 200, {"access-control-allow-origin": "*"}),
        (
            {"allow_origins": ["https://a.example"]},
            {},
            200,
            {"access-control-allow-origin": "https://a.example"},
        ),
        ({"allow_origins": ["https://b.example"]}, {}, 400, {"access-control-allow-origin": None}),
        ({"allow_origin_regex": r"https://[a-z]\.example"}, {}, 200, {"vary": None}),
        ({"allow_origin_regex": r"https://[a-z]\.exampl"}, {}, 400, {}),
        ({"allow_origins": ["*"]}, {"access-control-request-method": "POST"}, 400, {}),
        (
            {"allow_origins": ["*"], "allow_methods": ["*"], "allow_credentials": True},
            {"access-control-request-method": "POST"},
            200,
            {"access-control-allow-origin": "https://a.example", "access-control-allow-credentials": "true"},
        ),
        ({"allow_origins": ["*"]}, {"access-control-request-headers": "x-a"}, 400, {}),
        (
            {"allow_origins": ["*"], "allow_headers": ["X-A"]},
            {"access-control-request-headers": "x-a, accept"},
            200,
            {"access-control-allow-headers": "Accept, Accept-Language, Content-Language, Content-Type, X-A"},
        ),
        (
            {"allow_origins": ["*"], "allow_headers": ["*"]},
            {"access-control-request-headers": "x-any"},
            200,
            {"access-control-allow-headers": "x-any"},
        ),
        ({"allow_origins": ["*"]}, {"access-control-request-private-network": "true"}, 400, {}),
        (
            {"allow_origins": ["*"], "allow_private_network": True},
            {"access-control-request-private-network": "true"},
            200,
            {"access-control-allow-private-network": "true"},
        ),
    ],
)
def test_preflights(
    options: dict[str, Any], asked: dict[str, str], status: int, expected: dict[str, Any]
) -> None:
    response = cors(**options).options("/", headers={**PREFLIGHT, **asked})
    assert response.status_code == status
    for name, value in expected.items():
        if name != "vary":
            assert response.headers.get(name) == value
    assert "Origin" in response.headers["vary"]


def test_simple_requests() -> None:
    response = cors(allow_origins=["*"], expose_headers=["X-A"]).get(
        "/", headers={"origin": "https://a.example"}
    )
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-expose-headers"] == "X-A"
    for origin, allowed in (("https://a.example", "https://a.example"), ("https://b.example", None)):
        response = cors(allow_origins=["https://a.example"], allow_credentials=True).get(
            "/", headers={"origin": origin}
        )
        assert response.headers.get("access-control-allow-origin") == allowed
        assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in cors(allow_origins=["*"]).get("/").headers


@pytest.mark.parametrize("piece", [2000, 200_000])
async def test_gzip_of_streams(piece: int) -> None:
    async def body() -> Any:
        yield b"a" * piece
        yield b"b" * piece

    app = GZipMiddleware(StreamingResponse(body(), headers={"etag": '"a"'}))
    sent = await call(app, "/", headers=[(b"accept-encoding", b"gzip")])
    assert sent.headers["content-encoding"] == "gzip"
    assert sent.headers["etag"] == 'W/"a"'
    assert "content-length" not in sent.headers
    assert len(sent) >= 4  # each piece is sent as it comes
    assert gzip.GzipFile(fileobj=io.BytesIO(sent.body)).read() == b"a" * piece + b"b" * piece


async def test_gzip_leaves_alone() -> None:
    accepting = [(b"accept-encoding", b"gzip")]

    async def partial_content(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("x" * 1000, status_code=206)(scope, receive, send)

    for inner in (
        PlainTextResponse("small"),
        PlainTextResponse("x" * 1000, headers={"content-encoding": "br"}),
        PlainTextResponse("x" * 1000, media_type="image/png"),
        PlainTextResponse("x" * 1000, media_type="video/mp4"),
        partial_content,
    ):
        sent = await call(GZipMiddleware(inner), "/", headers=accepting)
        assert sent.headers.get("content-encoding") in (None, "br")
        assert set(sent.body) <= set(b"xsmall")
    identity = await call(GZipMiddleware(plain), "/")
    assert (identity.headers["vary"], identity.headers["etag"]) == ("Accept-Encoding", '"a"')

    async def pathsend(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/x"})

    sent = await call(GZipMiddleware(pathsend), "/", headers=accepting)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]

    async def trailing(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": fields, "trailers": True})
        await send({"type": "http.response.body", "body": b"x" * 1000})
        await send({"type": "http.response.trailers", "headers": []})

    sent = await call(GZipMiddleware(trailing), "/", headers=accepting)
    assert "content-length" not in sent.headers
    assert sent[-1]["type"] == "http.response.trailers"


def test_every_way_to_change_a_session() -> None:
    def changed(change: Any) -> tuple[bool, bool]:
        session = Session(a=1)
        change(session)
        return session.accessed, session.modified

    assert changed(lambda s: s.__setitem__("b", 1)) == (True, True)
    assert changed(lambda s: s.__delitem__("a")) == (True, True)
    assert changed(lambda s: s.clear()) == (True, True)
    assert changed(lambda s: s.pop("a")) == (True, True)
    assert changed(lambda s: s.pop("z", None)) == (False, False)
    assert changed(lambda s: s.popitem()) == (True, True)
    assert changed(lambda s: s.setdefault("a", 2)) == (True, False)
    assert changed(lambda s: s.setdefault("b", 2)) == (True, True)
    assert changed(lambda s: s.update(b=2)) == (True, True)
    assert changed(lambda s: s.__ior__({"b": 2})) == (True, True)


def test_the_flags_of_a_session_cookie() -> None:
    async def set_session(request: Request) -> Response:
        request.session["a"] = 1
        return JSONResponse({})

    async def clear(request: Request) -> Response:
        request.session.clear()
        return JSONResponse({})

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_json(dict(websocket.session))

    app = Application(
        routes=[Route("/set", set_session), Route("/clear", clear), WebSocketRoute("/ws", socket)],
        middleware=[
            Middleware(
                SessionMiddleware,
                secret_key="k",
                https_only=True,
                domain="example.org",
                partitioned=True,
                max_age=None,
                same_site="none",
            )
        ],
    )
    with TestClient(app, base_url="https://example.org") as client:
        cookie = client.get("/set").headers["set-cookie"]
        assert cookie.endswith("; path=/; httponly; samesite=none; secure; domain=example.org; partitioned")
        value = cookie.partition(";")[0]
        with client.websocket_connect("wss://example.org/ws", headers={"cookie": value}) as websocket:
            assert websocket.receive_json() == {"a": 1}
        cleared = client.get("/clear", headers={"cookie": value}).headers["set-cookie"]
        assert cleared.startswith("session=null; path=/; expires=Thu, 01 Jan 1970")


async def test_hosts_and_https() -> None:
    with pytest.raises(AssertionError, match="wildcard"):
        TrustedHostMiddleware(plain, ["a.*.example"])
    with pytest.raises(AssertionError, match="wildcard"):
        TrustedHostMiddleware(plain, ["*example.org"])
    app = TrustedHostMiddleware(plain, ["www.example.org"])
    sent = await call(app, "/a", query_string=b"b=1")
    assert (sent.status, sent.headers["location"]) == (307, "http://www.example.org/a?b=1")
    assert (await call(TrustedHostMiddleware(plain), "/")).status == 200
    secure = HTTPSRedirectMiddleware(plain)
    assert (await call(secure, "/a")).headers["location"] == "https://example.org/a"
    assert (await call(secure, "/", headers=[(b"host", b"a:80")])).headers["location"] == "https://a/"
    assert (await call(secure, "/", headers=[], server=None)).status == 400
    assert (await call(secure, "/", scheme="https")).status == 200
    with pytest.raises(ValueError, match="max_body_size"):
        RequestBodyLimitMiddleware(plain, -1)


def test_the_repr_of_a_middleware() -> None:
    assert (
        repr(Middleware(GZipMiddleware, 1, compresslevel=2))
        == "Middleware(GZipMiddleware, 1, compresslevel=2)"
    )


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = request.url.path
        return response


async def test_base_middleware() -> None:
    async def stream(request: Request) -> Response:
        await request.send_early_hints("</a.css>")

        async def body() -> Any:
            yield b"a"
            yield b"b"

        return StreamingResponse(body())

    async def broken(request: Request) -> Response:
        raise LookupError("broken")

    async def broken_body(request: Request) -> Response:
        async def body() -> Any:
            yield b"a"
            raise LookupError("body")

        return StreamingResponse(body())

    async def echo(request: Request) -> Response:
        pieces = [piece async for piece in request.stream()]
        return JSONResponse([piece.decode() for piece in pieces])

    app = Application(
        routes=[
            Route("/stream", stream),
            Route("/broken", broken),
            Route("/body", broken_body),
            Route("/echo", echo, methods=["POST"]),
        ],
        middleware=[Middleware(Stamp)],
    )
    sent = await call(app, "/stream", extensions={"http.response.early_hint": {}})
    assert sent[0]["type"] == "http.response.early_hint"
    assert [message.get("body") for message in sent[2:]] == [b"a", b"b", b""]
    assert (b"x-stamp", b"/stream") in sent[1]["headers"]
    assert (await call(app, "/echo", "POST", body=b"abc")).body == b'["abc",""]'
    for path in ("/broken", "/body"):
        with pytest.raises(LookupError):
            await call(app, path)

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    with pytest.raises(RuntimeError, match="No response returned"):
        await call(Stamp(silent), "/")
    with pytest.raises(NotImplementedError):
        await call(BaseHTTPMiddleware(silent), "/")


async def test_base_middleware_and_files() -> None:
    async def pathsend(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.debug", "info": {"a": 1}})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/x"})

    sent = await call(Stamp(pathsend), "/")
    assert [message["type"] for message in sent] == [
        "http.response.debug",
        "http.response.start",
        "http.response.pathsend",
    ]


async def test_base_middleware_answers_alone_and_in_the_background() -> None:
    ran: list[str] = []

    async def early(request: Request, call_next: Any) -> Response:
        if request.url.path == "/early":
            return PlainTextResponse("early")
        if request.url.path == "/dropped":
            await call_next(request)
            return PlainTextResponse("instead")
        if request.url.path == "/consumed":
            async for _ in request.stream():
                pass
        if request.url.path == "/read":
            await request.body()
        return await call_next(request)  # type: ignore[no-any-return]

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            body = b"gone"
        await PlainTextResponse(body)(scope, receive, send)
        ran.append((await receive())["type"])

    app = BaseHTTPMiddleware(inner, dispatch=early)
    assert (await call(app, "/early")).body == b"early"
    assert (await call(app, "/dropped")).body == b"instead"
    assert (await call(app, "/consumed", "POST", body=b"abc")).body == b""
    assert (await call(app, "/read", "POST", body=b"abc")).body == b"abc"
    assert (await call(app, "/pass", "POST", body=b"abc")).body == b"abc"
    assert set(ran) == {"http.disconnect"}
    sent: list[Any] = []

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    with anyio.fail_after(5):
        await app(http_scope("/pass", "POST"), gone, send)
    assert sent[1]["body"] == b"gone"
