"""Security fields: RFC 6797 §7.2, CSP3 §2.2 and §7.1, Referrer Policy §4, Permissions Policy §5, RFC 9111 §3.2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import call, http_scope
from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.security_headers import (
    SecurityHeadersMiddleware,
    csp_nonce,
    serialize_policy,
)
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.templating import Jinja2Templates
from tidegate.web.testclient import TestClient, WebSocketDenialResponse

if TYPE_CHECKING:
    from tidegate.web.websockets import WebSocket

pytestmark = pytest.mark.anyio

ok = PlainTextResponse("ok")


async def test_the_fields() -> None:
    headers = (await call(SecurityHeadersMiddleware(ok), "/", scheme="https")).headers
    policy = headers.pop("content-security-policy")
    assert re.fullmatch(
        r"default-src 'self'; script-src 'self' 'nonce-([\w-]{24})'; style-src 'self' 'nonce-\1'; "
        r"img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
        policy,
    )
    assert headers == {
        "content-length": "2",
        "content-type": "text/plain; charset=utf-8",
        "x-frame-options": "DENY",
        "referrer-policy": "strict-origin-when-cross-origin",
        "x-content-type-options": "nosniff",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "cross-origin-opener-policy": "same-origin",
        "strict-transport-security": "max-age=31536000",
    }


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_hsts_over_https_only(scheme: str) -> None:
    """RFC 6797 §7.2; what a client says of a proxy is not the scheme."""
    app = SecurityHeadersMiddleware(ok, hsts_max_age=60, hsts_include_subdomains=True, hsts_preload=True)
    sent = await call(app, "/", scheme=scheme, headers=[(b"x-forwarded-proto", b"https")])
    expected = "max-age=60; includeSubDomains; preload" if scheme == "https" else None
    assert sent.headers.get("strict-transport-security") == expected


async def test_everything_can_be_left_out() -> None:
    app = SecurityHeadersMiddleware(
        ok,
        hsts_max_age=None,
        content_security_policy=None,
        frame_options=None,
        referrer_policy=None,
        content_type_options=None,
        permissions_policy=None,
        cross_origin_opener_policy=None,
    )
    assert set((await call(app, "/", scheme="https")).headers) == {"content-length", "content-type"}


async def test_what_the_application_set_stays() -> None:
    own = {
        "Strict-Transport-Security": "max-age=1",
        "Content-Security-Policy": "default-src *; FRAME-ancestors https://partner.example",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=*",
        "Cross-Origin-Opener-Policy": "unsafe-none",
        "X-Content-Type-Options": "other",
    }
    sent = await call(SecurityHeadersMiddleware(PlainTextResponse("x", headers=own)), "/", scheme="https")
    names = [name for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names))
    for name, value in own.items():
        assert sent.headers[name.lower()] == value
    # Its policy lets a partner frame it: the older field would contradict that.
    assert "x-frame-options" not in sent.headers


async def test_a_raw_application_s_capitals_count_too() -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"SAMEORIGIN")]}
        )
        await send({"type": "http.response.body"})

    sent = await call(SecurityHeadersMiddleware(raw), "/")
    assert [value for name, value in sent[0]["headers"] if name.lower() == b"x-frame-options"] == [
        b"SAMEORIGIN"
    ]


async def test_report_only() -> None:
    app = SecurityHeadersMiddleware(ok, content_security_policy="default-src 'self'", report_only=True)
    headers = (await call(app, "/")).headers
    assert headers["content-security-policy-report-only"] == "default-src 'self'"
    assert "content-security-policy" not in headers


async def test_each_request_has_a_nonce_of_its_own() -> None:
    seen = []

    async def endpoint(request: Request) -> Response:
        seen.append(csp_nonce(request))
        return PlainTextResponse("x")

    app = Application(routes=[Route("/", endpoint)], middleware=[Middleware(SecurityHeadersMiddleware)])
    for _ in range(50):
        policy = (await call(app, "/")).headers["content-security-policy"]
        assert policy.count(f"'nonce-{seen[-1]}'") == 2
    assert len(set(seen)) == 50


def test_templates_have_the_nonce() -> None:
    env = jinja2.Environment(
        loader=jinja2.DictLoader({"a": '<script nonce="{{ request.csp_nonce }}"></script>'}), autoescape=True
    )
    templates = Jinja2Templates(env=env)

    async def page(request: Request) -> Response:
        return templates.TemplateResponse(request, "a")

    app = Application(routes=[Route("/", page)], middleware=[Middleware(SecurityHeadersMiddleware)])
    answer = TestClient(app).get("/")
    nonce = answer.text.removeprefix('<script nonce="').removesuffix('"></script>')
    assert len(nonce) == 24
    assert f"'nonce-{nonce}'" in answer.headers["content-security-policy"]


async def test_no_nonce_without_a_policy_that_has_one() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        csp_nonce(Request(scope))

    with pytest.raises(RuntimeError, match="nonce"):
        await call(SecurityHeadersMiddleware(endpoint, content_security_policy="default-src *"), "/")


async def test_a_304_keeps_the_nonce_of_the_stored_page() -> None:
    """RFC 9111 §3.2 and §4.3.4: its fields are put in the place of the stored ones."""
    unchanged = Response(status_code=304)
    assert "content-security-policy" not in (await call(SecurityHeadersMiddleware(unchanged), "/")).headers
    app = SecurityHeadersMiddleware(unchanged, content_security_policy="default-src 'self'")
    assert (await call(app, "/")).headers["content-security-policy"] == "default-src 'self'"


@pytest.mark.parametrize(("error", "status"), [(HTTPException(404), 404), (ValueError("x"), 500)])
def test_error_answers_have_the_fields(error: Exception, status: int) -> None:
    async def failing(request: Request) -> Response:
        raise error

    app = Application(routes=[Route("/", failing)], middleware=[Middleware(SecurityHeadersMiddleware)])
    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (status, "nosniff")


def test_websockets() -> None:
    async def deny(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("no", status_code=401))

    async def accept(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("open")
        await websocket.close()

    app = SecurityHeadersMiddleware(
        Application(routes=[WebSocketRoute("/deny", deny), WebSocketRoute("/accept", accept)])
    )
    with TestClient(app) as client:
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect("wss://testserver/deny"),
        ):
            pass
        assert denied.value.headers["strict-transport-security"] == "max-age=31536000"
        with client.websocket_connect("/accept") as session:
            assert session.receive_text() == "open"


@pytest.mark.parametrize(
    "policy",
    [
        {"default-src": "'self'; script-src *"},
        {"default-src": ["'self'", "a,b"]},
        {"script src": "*"},
        {"script-src\r\nx": "*"},
        {"script-src": "*\r\nset-cookie: a=b"},
        {"script-src": "é"},
        {"": "x"},
        "default-src 'self', script-src *",
        "default-src\n*",
    ],
)
def test_what_is_no_policy(policy: Any) -> None:
    with pytest.raises(ValueError, match="no directive"):
        SecurityHeadersMiddleware(ok, content_security_policy=policy)


def test_what_is_no_field_value() -> None:
    with pytest.raises(ValueError, match="Invalid header value"):
        SecurityHeadersMiddleware(ok, referrer_policy="x\r\ny: z")
    with pytest.raises(ValueError, match="negative"):
        SecurityHeadersMiddleware(ok, hsts_max_age=-1)


def test_policies_as_text_and_as_maps() -> None:
    text = "default-src 'self'; upgrade-insecure-requests; script-src a b"
    policy = {"default-src": "'self'", "upgrade-insecure-requests": "", "script-src": ["a", "b"]}
    assert serialize_policy(policy) == serialize_policy(text + "; ;") == text


@given(
    st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["default-src", "img-src"]),
        st.text(max_size=20) | st.just("a b"),
        max_size=4,
    )
)
def test_no_policy_holds_a_directive_that_was_not_given(policy: dict[str, str]) -> None:
    try:
        text = serialize_policy(policy)
    except ValueError:
        return
    assert len([part for part in text.split(";") if part.strip()]) == len(policy)
    assert text.isascii()
    assert not set("\r\n\x00,") & set(text)


async def test_a_client_that_has_gone() -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(OSError, match="gone"):
        await SecurityHeadersMiddleware(ok)(http_scope("/"), receive, send)
