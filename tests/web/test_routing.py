"""Routing: Starlette's matching, kept, and what it has wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import call
from tidegate.web.applications import Application
from tidegate.web.datastructures import URL
from tidegate.web.responses import PlainTextResponse
from tidegate.web.routing import BaseRoute, Host, Match, Mount, NoMatchFound, Route, Router, WebSocketRoute

if TYPE_CHECKING:
    from tidegate.web.exceptions import HTTPException
    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio


async def ok(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def params(request: Request) -> PlainTextResponse:
    return PlainTextResponse(repr(request.path_params))


def answering(text: str) -> Any:
    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(text)

    return endpoint


@pytest.mark.parametrize("path", ["/foo\n", "/foo\r", "/foo\x00", "/items/1\n", "/mount/x\n"])
async def test_a_newline_at_the_end_is_not_the_route(path: str) -> None:
    app = Application(
        routes=[Route("/foo", ok), Route("/items/{id:int}", ok), Mount("/mount", routes=[Route("/x", ok)])]
    )
    assert (await call(app, path)).status == 404


async def test_405_lists_every_method_of_the_path_sorted() -> None:
    app = Application(
        routes=[
            Route("/x", ok, methods=["PUT"]),
            Route("/{name}", ok, methods=["DELETE"]),
            Route("/x", ok),
            Route("/other", ok, methods=["PATCH"]),
        ]
    )
    sent = await call(app, "/x", "POST")
    assert sent.status == 405
    assert sent.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"


async def test_options_are_answered() -> None:
    app = Application(routes=[Route("/x", ok), Route("/x", ok, methods=["POST"])])
    sent = await call(app, "/x", "OPTIONS")
    assert (sent.status, sent.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_own_options_and_none_at_all() -> None:
    own = Application(routes=[Route("/x", answering("mine"), methods=["OPTIONS"])])
    assert (await call(own, "/x", "OPTIONS")).body == b"mine"
    without = Router(routes=[Route("/x", ok)], automatic_options=False)
    assert (await call(without, "/x", "OPTIONS")).status == 405


async def test_an_integer_that_python_refuses_is_no_match() -> None:
    app = Application(routes=[Route("/{id:int}", ok)])
    assert (await call(app, "/" + "9" * 5000)).status == 404


async def test_registration_order_decides() -> None:
    app = Application(
        routes=[
            Route("/{name}", answering("first")),
            Route("/exact", answering("second")),
            Route("/a/exact", answering("third")),
            Route("/a/{name}", answering("fourth")),
            Mount("/a", routes=[Route("/exact", answering("fifth")), Route("/b/c", answering("sixth"))]),
        ]
    )
    for path, text in [
        ("/exact", b"first"),
        ("/a/exact", b"third"),
        ("/a/x", b"fourth"),
        ("/a/b/c", b"sixth"),
    ]:
        assert (await call(app, path)).body == text


async def test_routes_can_change_at_any_time() -> None:
    inner = Router()
    app = Application(routes=[Mount("/in", app=inner)])
    assert (await call(app, "/late")).status == 404
    app.routes.append(Route("/late", ok))
    assert (await call(app, "/late")).status == 200
    assert (await call(app, "/in/late")).status == 404
    inner.add_route("/late", ok)
    assert (await call(app, "/in/late")).status == 200
    app.routes[1] = Route("/later", ok)
    assert (await call(app, "/late")).status == 404
    del app.routes[1]
    assert (await call(app, "/later")).status == 404
    app.router.routes = [Route("/whole", ok)]
    assert (await call(app, "/whole")).status == 200
    assert app.routes.index(app.routes[0]) == 0


async def test_a_route_class_of_ones_own_is_asked_in_its_turn() -> None:
    class Odd(BaseRoute):
        def matches(self, scope: Any) -> tuple[Match, Any]:
            return (Match.FULL, {}) if len(scope["path"]) % 2 else (Match.NONE, {})

        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("odd")(scope, receive, send)

    app = Application(routes=[Route("/12", answering("first")), Odd(), Route("/1", ok), Route("/123", ok)])
    assert (await call(app, "/12")).body == b"first"
    assert (await call(app, "/1234")).body == b"odd"
    assert (await call(app, "/123")).body == b"ok"


async def test_mount_with_and_without_the_slash() -> None:
    seen: list[tuple[str, str]] = []

    async def child(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["root_path"]))
        await PlainTextResponse("child")(scope, receive, send)

    redirecting = Application(routes=[Mount("/m", app=child)])
    sent = await call(redirecting, "/m")
    assert (sent.status, sent.headers["location"]) == (307, "http://example.org/m/")
    direct = Application(routes=[Mount("/m", app=child, redirect_slash=False)])
    assert (await call(direct, "/m")).body == b"child"
    assert (await call(direct, "/m/")).body == b"child"
    assert seen == [("/m/", "/m"), ("/m/", "/m")]
    assert (await call(direct, "/mm")).status == 404


async def test_redirects_never_leave_the_host() -> None:
    app = Application(routes=[Route("/{path:path}/end", ok), Mount("/m", routes=[])])
    for path in ("//evil.example/end/", "/\\evil.example/end/", "/m"):
        sent = await call(app, path)
        if sent.status == 307:
            assert URL(sent.headers["location"]).netloc == "example.org"


async def test_host_routes() -> None:
    app = Application(
        routes=[
            Host("{tenant}.example.org", app=Router([Route("/", params)])),
            Host("api.example.com", app=Router([Route("/", answering("api"))])),
            Route("/", answering("default")),
        ]
    )
    assert (await call(app, "/", headers=[(b"host", b"A.example.org:8000")])).body == b"{'tenant': 'a'}"
    assert (await call(app, "/", headers=[(b"host", b"API.example.com")])).body == b"api"
    for host in (b"a.example.org.evil.example", b"a/b.example.org", b"api.example.com@evil", b""):
        assert (await call(app, "/", headers=[(b"host", host)])).body == b"default"


async def test_decorators() -> None:
    app = Application()

    @app.get("/items/{id:int}", name="item")
    async def item(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.path_params["id"] + 1))

    @app.post("/items")
    def create(request: Request) -> PlainTextResponse:
        return PlainTextResponse("created", status_code=201)

    @app.websocket("/ws")
    async def ws(websocket: Any) -> None: ...

    assert (await call(app, "/items/41")).body == b"42"
    assert (await call(app, "/items", "POST")).status == 201
    assert app.url_path_for("item", id=3) == "/items/3"
    assert isinstance(app.routes[2], WebSocketRoute)


def test_url_path_for_percent_encodes() -> None:
    router = Router([Route("/f/{name}", ok, name="f"), Mount("/s", app=Router(), name="static")])
    assert router.url_path_for("f", name="a b?c#d%é") == "/f/a%20b%3Fc%23d%25%C3%A9"
    assert router.url_path_for("static", path="x y/z?.css") == "/s/x%20y/z%3F.css"
    with pytest.raises(AssertionError):
        router.url_path_for("f", name="a/b")
    with pytest.raises(NoMatchFound):
        router.url_path_for("f", other="x")


async def test_url_for_absolute_or_not() -> None:
    async def urls(request: Request) -> PlainTextResponse:
        chosen = [request.url_for("urls", x="a b"), request.url_for("urls", absolute=False, x="a b")]
        return PlainTextResponse(" ".join(map(str, chosen)))

    sent = await call(Application(routes=[Route("/u/{x}", urls)]), "/u/1")
    assert sent.body == b"http://example.org/u/a%20b /u/a%20b"
    paths = Application(routes=[Mount("/in", routes=[Route("/u/{x}", urls)])], absolute_urls=False)
    assert (await call(paths, "/in/u/1")).body.startswith(b"/in/u/a%20b ")


async def test_handlers_see_404_and_405() -> None:
    async def handler(request: Request, error: HTTPException) -> PlainTextResponse:
        return PlainTextResponse(f"mine {error.status_code}", status_code=error.status_code)

    app = Application(routes=[Route("/x", ok)], exception_handlers={404: handler, 405: handler})
    assert (await call(app, "/y")).body == b"mine 404"
    assert (await call(app, "/x", "POST")).body == b"mine 405"


segments = st.sampled_from(["a", "b", "c", "{x}", "{y:int}", "7", "{z}.txt", "f.txt", "{p:path}", ""])
patterns = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
paths = st.lists(st.sampled_from(["a", "b", "c", "7", "f.txt", "", "x\n"]), min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)


@given(
    st.lists(st.tuples(patterns, st.booleans(), st.sampled_from(["GET", "POST"])), max_size=12),
    st.lists(paths, min_size=1, max_size=5),
)
def test_the_index_finds_what_a_scan_finds(
    given_routes: list[tuple[str, bool, str]], asked: list[str]
) -> None:
    routes: list[BaseRoute] = []
    for pattern, is_mount, method in given_routes:
        names = re.findall(r"{(\w+)", pattern)
        if len(names) != len(set(names)) or (is_mount and "{p" in pattern):
            continue
        routes.append(Mount(pattern, app=Router()) if is_mount else Route(pattern, ok, methods=[method]))
    router = Router(routes)
    for path in asked:
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        matching = [route for route in routes if route.matches(dict(scope))[0] is not Match.NONE]
        found = [
            route
            for route in router._index().find(path).routes
            if route.matches(dict(scope))[0] is not Match.NONE
        ]
        assert list(map(id, found)) == list(map(id, matching))


def test_a_lookup_does_not_grow_with_the_routes() -> None:
    routes = [Route(f"/r{i}/{{name}}/edit", ok) for i in range(500)]
    router = Router([*routes, Route("/items/{id:int}", ok)])
    assert len(router._index().find("/items/7").routes) == 1
    assert len(router._index().find("/r250/x/edit").routes) == 1
    # nor with a path made of many segments
    assert router._index().find("/a" * 100_000).routes == ()
