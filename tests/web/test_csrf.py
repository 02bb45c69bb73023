"""CSRF protection: Fetch Metadata Request Headers §2.3, RFC 6454 §6 and §7, RFC 9110 §9.2.1; and attacks on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call, http_scope
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.csrf import CSRFMiddleware, parse_origin
from tidegate.web.responses import JSONResponse, PlainTextResponse, Response
from tidegate.web.routing import Mount, Route, WebSocketRoute
from tidegate.web.testclient import TestClient, WebSocketDenialResponse

if TYPE_CHECKING:
    from tidegate.web.websockets import WebSocket

pytestmark = pytest.mark.anyio

ok = PlainTextResponse("ok")
ALL_SITES = ["cross-site", "same-site", "same-origin", "none"]


async def ask(app: Any, *fields: tuple[str, str], host: str | None = "example.org", **changes: Any) -> Sent:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    if host is not None:
        headers.append((b"host", host.encode("latin-1")))
    return await call(
        app, changes.pop("path", "/"), changes.pop("method", "POST"), headers=headers, **changes
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "QUERY", "TRACE"])
async def test_safe_methods_are_free(method: str) -> None:
    fields = ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")
    assert (await ask(CSRFMiddleware(ok), *fields, method=method)).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "BREW"])
@pytest.mark.parametrize("site", [*ALL_SITES, "", "Same-Origin", "same-origin, cross-site", "x"])
async def test_sec_fetch_site_decides(method: str, site: str) -> None:
    sent = await ask(CSRFMiddleware(ok), ("sec-fetch-site", site), method=method)
    assert sent.status == (200 if site in ("same-origin", "none") else 403)
    assert sent.body == (
        b"ok"
        if sent.status == 200
        else b"Cross-origin request refused: by Sec-Fetch-Site, it is another origin's"
    )


async def test_sec_fetch_site_counts_more_than_origin() -> None:
    """An Origin as of this host does not help where the browser says that the page is another's."""
    own = ("origin", "http://example.org")
    assert (await ask(CSRFMiddleware(ok), own, ("sec-fetch-site", "cross-site"))).status == 403
    # A page's own request after a redirect, or with a privacy setting, has the origin `null` (RFC 6454 §7.3).
    assert (
        await ask(CSRFMiddleware(ok), ("origin", "null"), ("sec-fetch-site", "same-origin"))
    ).status == 200


async def test_same_site_may_be_allowed() -> None:
    app = CSRFMiddleware(ok, allow_same_site=True)
    assert [(await ask(app, ("sec-fetch-site", site))).status for site in ALL_SITES] == [403, 200, 200, 200]


@pytest.mark.parametrize(
    ("scheme", "host", "origin", "status"),
    [
        ("http", "example.org", "http://example.org", 200),
        ("http", "example.org:80", "http://example.org", 200),
        ("http", "Example.ORG", "HTTP://example.org:80", 200),
        ("https", "example.org", "https://example.org", 200),
        ("https", "example.org:8443", "https://example.org:8443", 200),
        ("http", "[::1]:8000", "http://[::1]:8000", 200),
        # TLS ends at a proxy of which the server was not told.
        ("http", "example.org", "https://example.org", 200),
        # Who is on the way can make pages of http, and must not reach https by them.
        ("https", "example.org", "http://example.org", 403),
        ("https", "example.org:443", "http://example.org", 403),
        ("http", "example.org", "http://example.org:8080", 403),
        ("http", "example.org:8080", "http://example.org", 403),
        ("http", "example.org", "http://evil.example", 403),
        ("http", "example.org", "http://example.org.evil.example", 403),
        ("http", "example.org", "http://sub.example.org", 403),
        ("http", "example.org", "http://example.org@evil.example", 403),
        ("http", "example.org", "http://evil.example/example.org", 403),
        ("http", "example.org", "http://example.org/", 403),
        ("http", "example.org", "http://example.org:99999", 403),
        ("http", "example.org", "http://example.org evil", 403),
        ("http", "example.org", "file://example.org", 403),
        ("http", "example.org", "example.org", 403),
        ("http", "example.org", "null", 403),
        ("http", "example.org", "", 403),
        ("http", "null", "null", 403),
        ("http", "example.org:99999", "http://example.org:99999", 403),
        ("http", None, "http://example.org", 403),
    ],
)
async def test_origin_decides_for_older_browsers(
    scheme: str, host: str | None, origin: str, status: int
) -> None:
    assert (await ask(CSRFMiddleware(ok), ("origin", origin), host=host, scheme=scheme)).status == status


async def test_what_no_browser_sent_passes() -> None:
    assert (await ask(CSRFMiddleware(ok), ("cookie", "a=b"))).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        [("origin", "http://example.org"), ("origin", "http://evil.example")],
        [("origin", "http://evil.example"), ("host", "evil.example")],  # two hosts: ask() adds the other
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(fields: list[tuple[str, str]]) -> None:
    assert (await ask(CSRFMiddleware(ok), *fields)).status == 403


@pytest.mark.parametrize(
    "fields",
    [
        [("x-forwarded-host", "evil.example")],
        [("forwarded", "host=evil.example")],
        [("x-forwarded-proto", "https"), ("x-original-url", "/hook")],
        [("x-http-method-override", "GET")],
    ],
)
async def test_forged_forwarding_fields_change_nothing(fields: list[tuple[str, str]]) -> None:
    app = CSRFMiddleware(ok, exempt_paths=["/hook"])
    assert (await ask(app, ("origin", "http://evil.example"), *fields)).status == 403


async def test_trusted_origins() -> None:
    app = CSRFMiddleware(ok, trusted_origins=["https://app.example", "http://localhost:3000"])
    for origin, status in [
        ("https://app.example", 200),
        ("https://app.example:443", 200),
        ("http://app.example", 403),
        ("https://app.example:444", 403),
        ("http://localhost:3000", 200),
    ]:
        sent = await ask(app, ("origin", origin), ("sec-fetch-site", "cross-site"))
        assert sent.status == status, origin
        assert (await ask(app, ("origin", origin))).status == status, origin


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "*", "null", "https://*.example", ""]
)
def test_what_is_no_origin_is_not_trusted(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        CSRFMiddleware(ok, [origin])


async def test_exempt_paths() -> None:
    app = CSRFMiddleware(ok, exempt_paths=["/hook", "/hooks/*"])
    evil = ("sec-fetch-site", "cross-site")
    for path, status in [
        ("/hook", 200),
        ("/hook/", 403),
        ("/hookx", 403),
        ("/hooks/", 200),
        ("/hooks/a/b", 200),
        ("/hooks", 403),
        ("/hooks/../account", 403),
        ("/hooks/a/..", 403),
        ("/hooks//account", 403),
        ("/hooks/..\\account", 403),
        ("/hooks/%2e%2e/account", 403),
        ("/hooks/a\n", 403),
        ("/HOOK", 403),
    ]:
        assert (await ask(app, evil, path=path)).status == status, path
    assert (await ask(app, evil, path="/api/hook", root_path="/api")).status == 200


@pytest.mark.parametrize("path", ["hook", "", "/a*", "/*/b", "*"])
def test_what_is_no_path_is_not_exempt(path: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        CSRFMiddleware(ok, exempt_paths=[path])


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("open")
    await websocket.close()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_cross_site_websocket_hijacking(scheme: str) -> None:
    """RFC 6455 §10.2: a browser always tells the Origin of the page; cookies come with it."""
    app = Application(routes=[WebSocketRoute("/", echo)], middleware=[Middleware(CSRFMiddleware)])
    own = f"http{scheme[2:]}://testserver"
    with TestClient(app) as client:
        for headers in ({}, {"origin": own}, {"origin": "http://x", "sec-fetch-site": "same-origin"}):
            with client.websocket_connect(f"{scheme}://testserver/", headers=headers) as session:
                assert session.receive_text() == "open"
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            with (
                pytest.raises(WebSocketDenialResponse) as refused,
                client.websocket_connect(f"{scheme}://testserver/", headers=headers),
            ):
                pass
            assert refused.value.status_code == 403
            assert refused.value.text.startswith("Cross-origin request refused")


@pytest.mark.parametrize("around", [True, False])
async def test_a_websocket_is_closed_where_the_server_cannot_deny_it(around: bool) -> None:
    app: Any = CSRFMiddleware(ok)
    if around:
        app = Application(middleware=[Middleware(CSRFMiddleware)])
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    headers = [(b"host", b"example.org"), (b"origin", b"https://evil.example")]
    await app(http_scope("/", type="websocket", scheme="ws", headers=headers), receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


async def test_the_refusal_has_the_application_s_error_page_and_the_outer_middleware_s_fields() -> None:
    async def page(request: Any, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=403)

    app = Application(
        middleware=[
            Middleware(CORSMiddleware, allow_origins=["https://evil.example"]),
            Middleware(CSRFMiddleware),
        ],
        exception_handlers={403: page},
    )
    sent = await ask(app, ("origin", "https://evil.example"))
    assert sent.status == 403
    assert b"Cross-origin" in sent.body
    assert sent.headers["access-control-allow-origin"] == "https://evil.example"


async def test_below_a_mount_and_on_a_route() -> None:
    inner = Application(
        routes=[
            Route("/free", ok, methods=["POST"]),
            Route("/guarded", ok, methods=["POST"], middleware=[Middleware(CSRFMiddleware)]),
        ]
    )
    app = Application(routes=[Mount("/m", app=inner)])
    evil = ("sec-fetch-site", "cross-site")
    assert (await ask(app, evil, path="/m/free")).status == 200
    assert (await ask(app, evil, path="/m/guarded")).status == 403


async def test_lifespan_passes() -> None:
    with TestClient(CSRFMiddleware(Application(routes=[Route("/", ok)]))) as client:
        assert client.get("/").text == "ok"


async def test_a_client_that_has_gone_gets_no_answer() -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    headers = [(b"sec-fetch-site", b"cross-site")]
    with pytest.raises(OSError, match="gone"):
        await CSRFMiddleware(ok)(http_scope("/", "POST", headers=headers), receive, send)


HOSTS = st.sampled_from(["example.org", "evil.example", "[::1]", "127.0.0.1", "xn--bcher-kva.example"])


@given(scheme=st.sampled_from(["http", "https"]), host=HOSTS, port=st.none() | st.integers(0, 65535))
def test_origins_are_read_back(scheme: str, host: str, port: int | None) -> None:
    text = f"{scheme}://{host}" + ("" if port is None else f":{port}")
    assert parse_origin(text) == (scheme, host, {"http": 80, "https": 443}[scheme] if port is None else port)


@given(st.text(max_size=60) | st.builds("http{}".format, st.text("s:/@?#[]. \x00a1é", max_size=30)))
def test_no_text_is_read_as_another_host(text: str) -> None:
    """Whatever is read is what a browser would have written of it."""
    origin = parse_origin(text)
    if origin is not None:
        scheme, host, port = origin
        assert text.lower() in (f"{scheme}://{host}", f"{scheme}://{host}:{port}") or text.lower().startswith(
            f"{scheme}://{host}:0"
        )
