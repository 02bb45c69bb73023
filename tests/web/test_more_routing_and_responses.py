"""Routes standing alone, names, hosts, cookies, redirects, streams, debug pages: the rest of their behaviour."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.web.conftest import call, http_scope
from tidegate.web import status
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.datastructures import URL
from tidegate.web.exceptions import HTTPException, StarletteDeprecationWarning
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.body_limit import RequestBodyLimitMiddleware
from tidegate.web.requests import HTTPConnection, Request
from tidegate.web.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from tidegate.web.routing import BaseRoute, Host, Mount, NoMatchFound, Route, Router, WebSocketRoute
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.url.path)


async def socket(websocket: Any) -> None:
    await websocket.accept()
    await websocket.close()


async def websocket_call(app: Any, path: str) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({**http_scope(path), "type": "websocket"}, receive, send)
    return sent


async def test_routes_stand_alone() -> None:
    route = Route("/a", home, methods=["GET"])
    assert (await call(route, "/a")).body == b"/a"
    assert (await call(route, "/b")).status == 404
    refused = await call(route, "/a", "PUT")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert (await websocket_call(WebSocketRoute("/a", socket), "/a"))[0]["type"] == "websocket.accept"
    assert (await websocket_call(WebSocketRoute("/a", socket), "/b"))[0]["type"] == "websocket.close"
    assert (await call(Router([route]), "/b")).status == 404
    assert (await call(Router([route], automatic_options=False), "/a", "OPTIONS")).status == 405
    assert (await websocket_call(Router([route]), "/b"))[0]["type"] == "websocket.close"
    base = BaseRoute()
    with pytest.raises(NotImplementedError):
        base.matches({})
    with pytest.raises(NotImplementedError):
        base.url_path_for("a")
    with pytest.raises(NotImplementedError):
        await base.handle({}, None, None)  # type: ignore[arg-type]


def test_routes_compare_and_describe_themselves() -> None:
    inner = Router([Route("/a", home)])
    pairs: list[tuple[Any, Any, str]] = [
        (Route("/a", home), Route("/b", home), "Route(path='/a', name='home', methods=['GET', 'HEAD'])"),
        (
            WebSocketRoute("/a", socket),
            WebSocketRoute("/b", socket),
            "WebSocketRoute(path='/a', name='socket')",
        ),
        (Mount("/a", inner, name="m"), Mount("/b", inner), "Mount(path='/a', name='m', app="),
        (Host("a", inner), Host("b", inner), "Host(host='a', name='', app="),
    ]
    for one, other, text in pairs:
        assert one == one
        assert one != other
        assert one != "route"
        assert repr(one).startswith(text)
    assert Router([Route("/a", home)]) == Router([Route("/a", home)])
    assert Router() != "router"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Route("a", home), AssertionError),
        (lambda: WebSocketRoute("a", socket), AssertionError),
        (lambda: Mount("a", routes=[]), AssertionError),
        (lambda: Mount("/a"), AssertionError),
        (lambda: Host("/a", Router()), AssertionError),
        (lambda: Route("/{a:none}", home), AssertionError),
        (lambda: Route("/{a}/{a}", home), ValueError),
        (lambda: Route("/{a}/{b}/{b}/{a}", home), ValueError),
    ],
)
def test_what_is_no_route(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_names() -> None:
    app = Application(
        routes=[
            Route("/users/{name}", home, name="user"),
            WebSocketRoute("/ws/{id:int}", socket, name="ws"),
            Mount("/static", Router(), name="static"),
            Mount("/shop/{shop}", routes=[Route("/{path:path}", home, name="item")], name="shop"),
            Mount("/plain", routes=[Route("/x", home, name="x")]),
            Host("{sub}.example.org", Router([Route("/y", home, name="y")]), name="sub"),
            Host("z.example.org", Router([Route("/z", home, name="z")])),
        ]
    )
    assert app.url_path_for("user", name="a b") == "/users/a%20b"
    ws = app.url_path_for("ws", id=1)
    assert (ws, ws.protocol) == ("/ws/1", "websocket")
    assert app.url_path_for("static", path="/a.css") == "/static/a.css"
    assert app.url_path_for("shop:item", shop="a", path="b/c") == "/shop/a/b/c"
    assert app.url_path_for("x") == "/plain/x"
    y = app.url_path_for("sub:y", sub="a")
    assert (y, y.host) == ("/y", "a.example.org")
    below = app.url_path_for("sub", sub="a", path="/q")
    assert (below, below.host) == ("/q", "a.example.org")
    assert app.url_path_for("z").host == "z.example.org"
    for name, params in (
        ("none", {}),
        ("user", {}),
        ("ws", {"other": 1}),
        ("static", {"path": "a", "more": "b"}),
        ("sub", {"path": "a", "sub": "b", "more": "c"}),
        ("shop:none", {"shop": "a"}),
        ("sub:none", {"sub": "a"}),
    ):
        with pytest.raises(NoMatchFound):
            app.url_path_for(name, **params)


async def test_limits_middleware_and_partials_of_routes() -> None:
    async def echo(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    async def greeting(request: Request, word: str) -> Response:
        return PlainTextResponse(word)

    def blocking(request: Request) -> Response:
        return PlainTextResponse("blocking")

    app = Application(max_body_size=100)
    app.add_route("/blocking", blocking)
    app.router.routes += [
        Route("/echo", echo, methods=["POST"], max_body_size=3),
        Mount("/mount", routes=[Route("/echo", echo, methods=["POST"])], max_body_size=4),
        Route("/partial", functools.partial(greeting, word="hi"), name="partial"),
    ]
    router = Router([Route("/", echo, methods=["POST"])], max_body_size=2)
    assert (await call(app, "/blocking")).body == b"blocking"
    assert (await call(app, "/partial")).body == b"hi"
    assert (await call(app, "/echo", "POST", body=b"abc")).body == b"abc"
    assert (await call(app, "/echo", "POST", body=b"abcd")).status == 413
    assert (await call(app, "/mount/echo", "POST", body=b"abcd")).status == 200
    assert (await call(app, "/mount/echo", "POST", body=b"abcde")).status == 413
    assert (await call(router, "/", "POST", body=b"abc")).status == 413
    with pytest.raises(RuntimeError, match="has started"):
        app.add_middleware(RequestBodyLimitMiddleware, 1)


def test_an_application_by_its_methods() -> None:
    app = Application()
    for verb in ("get", "post", "put", "patch", "delete"):
        getattr(app, verb)("/verb")(home)
    app.websocket("/ws")(socket)
    app.mount("/mounted", Router([Route("/x", home)]), name="m")
    app.host("other.example", Router([Route("/host", home)]))
    app.add_middleware(RequestBodyLimitMiddleware, 10)
    app.router.add_websocket_route("/ws2", socket)

    async def teapot(request: Request, error: Exception) -> Response:
        return PlainTextResponse("teapot", status_code=418)

    app.add_exception_handler(404, teapot)
    client = TestClient(app)
    for verb in ("get", "post", "put", "patch", "delete"):
        assert getattr(client, verb)("/verb").status_code == 200
    assert client.get("/mounted/x").text == "/mounted/x"
    assert client.get("/host", headers={"host": "other.example"}).text == "/host"
    assert client.get("/none").status_code == 418
    for path in ("/ws", "/ws2"):
        with client.websocket_connect(path):
            pass


def test_cookies_set_and_deleted() -> None:
    response = Response()
    response.set_cookie(
        "a",
        "b",
        max_age=10,
        expires=datetime(2030, 1, 1, tzinfo=UTC),
        domain="example.org",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    assert response.headers["set-cookie"] == (
        "a=b; Domain=example.org; expires=Tue, 01 Jan 2030 00:00:00 GMT; HttpOnly; Max-Age=10; Path=/; "
        "SameSite=strict; Secure"
    )
    plain = Response()
    plain.set_cookie("a", "b", expires="Tue, 01 Jan 2030 00:00:00 GMT", path=None, samesite=None)
    assert plain.headers["set-cookie"] == "a=b; expires=Tue, 01 Jan 2030 00:00:00 GMT"
    gone = Response()
    gone.delete_cookie("a")
    assert "Max-Age=0" in gone.headers["set-cookie"]
    with pytest.raises(AssertionError, match="samesite"):
        Response().set_cookie("a", samesite="other")  # type: ignore[arg-type]


async def test_bodies_and_types() -> None:
    assert Response(memoryview(b"abc")).headers["content-length"] == "3"
    assert Response("x" * 2000).headers["content-length"] == "2000"
    assert "content-length" not in Response(status_code=204).headers
    own = PlainTextResponse("x", headers={"content-type": "text/x", "content-length": "1"})
    assert own.headers.items() == [("content-type", "text/x"), ("content-length", "1")]
    assert Response("x", media_type="text/csv").headers["content-type"] == "text/csv; charset=utf-8"
    with pytest.raises(AttributeError):
        Response(1)
    sent = await websocket_call(PlainTextResponse("no", status_code=403), "/")
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/a b", "/a%20b"),
        (URL("http://a/?b=c"), "http://a/?b=c"),
        ("/a\r\nset-cookie: x", "/a%0D%0Aset-cookie:%20x"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/\\evil.example", "/%5Cevil.example"),
    ],
)
async def test_redirects(url: Any, location: str) -> None:
    sent = await call(RedirectResponse(url), "/")
    assert (sent.status, sent.headers["location"], sent.body) == (307, location, b"")


@pytest.mark.parametrize("version", ["2.1", "2.4"])
async def test_streams_and_files_by_spec_version(version: str, tmp_path: Path) -> None:
    asgi = {"version": "3.0", "spec_version": version}
    file = tmp_path / "a b.txt"
    file.write_bytes(b"0123456789")

    async def text() -> Any:
        yield "a"
        yield b"b"

    ran: list[str] = []
    stream = StreamingResponse(text(), media_type="text/plain", background=BackgroundTask(ran.append, "ran"))
    incoming = [{"type": "http.request", "body": b"", "more_body": False}]

    async def wait() -> Any:
        if not incoming:
            await anyio.sleep_forever()
        return incoming.pop()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await stream(http_scope("/", asgi=asgi), wait, send)
    assert b"".join(message.get("body", b"") for message in sent) == b"ab"
    assert ran == ["ran"]
    sent.clear()
    response = FileResponse(file, filename=file.name)
    assert response.headers["content-disposition"] == "attachment; filename*=utf-8''a%20b.txt"
    ranged = http_scope("/", asgi=asgi, headers=[(b"range", b"bytes=1-2,5-6")])
    await response(ranged, wait, send)
    assert sent[0]["status"] == 206
    assert b"12" in b"".join(message.get("body", b"") for message in sent)
    sent.clear()
    await FileResponse(file, filename="b.txt")(
        http_scope("/", asgi=asgi, extensions={"http.response.pathsend": {}}), wait, send
    )
    assert sent[1] == {"type": "http.response.pathsend", "path": str(file)}
    with pytest.raises(RuntimeError, match="is not a file"):
        await FileResponse(tmp_path)(http_scope("/"), wait, send)


def test_the_debug_page() -> None:
    async def broken(request: Request) -> Response:
        raise LookupError("<b>")

    async def handler(request: Request, error: Exception) -> Response:
        return JSONResponse(str(error), status_code=500)

    def blocking(request: Request, error: Exception) -> Response:
        return JSONResponse(str(error), status_code=503)

    debug = TestClient(Application(debug=True, routes=[Route("/", broken)]), raise_server_exceptions=False)
    page = debug.get("/", headers={"accept": "text/html"})
    assert "&lt;b&gt;" in page.text
    assert "<b>&lt;" not in page.text
    assert "Traceback" in debug.get("/").text
    for own, expected in ((handler, 500), (blocking, 503)):
        app = Application(routes=[Route("/", broken)], exception_handlers={500: own})
        assert TestClient(app, raise_server_exceptions=False).get("/").status_code == expected


async def test_connections() -> None:
    conn: HTTPConnection[Any] = HTTPConnection(http_scope("/", client=None))
    assert conn["path"] == "/"
    assert "type" in list(conn)
    assert len(conn) == len(conn.scope)
    assert conn.client is None
    for name in ("session", "auth", "user"):
        with pytest.raises(AssertionError, match="must be installed"):
            getattr(conn, name)
    with pytest.raises(RuntimeError, match="url_for"):
        conn.url_for("x")
    request: Request = Request(http_scope("/", extensions={"http.response.push": {}}))
    with pytest.raises(RuntimeError, match="Receive channel"):
        await request.body()
    with pytest.raises(RuntimeError, match="Send channel"):
        await request.send_push_promise("/a")
    await request.close()
    request.state.a = 1
    assert request.state.a == 1


async def test_no_content_errors() -> None:
    async def none(request: Request) -> Response:
        raise HTTPException(304, headers={"etag": '"a"'})

    sent = await call(Application(routes=[Route("/", none)], middleware=[Middleware(Wrapper)]), "/")
    assert (sent.status, sent.body, sent.headers["etag"]) == (304, b"", '"a"')


class Wrapper:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def test_renamed_statuses() -> None:
    with pytest.warns(StarletteDeprecationWarning, match="CONTENT_TOO_LARGE"):
        assert status.HTTP_413_REQUEST_ENTITY_TOO_LARGE == 413
