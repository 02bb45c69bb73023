"""What browsers make of the toolkit's defences: a site and another one that attacks it, in headless Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import browser, needs_chromium
from tests.support.inprocess import serving
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.csrf import CSRFMiddleware
from tidegate.web.middleware.security_headers import SecurityHeadersMiddleware, csp_nonce
from tidegate.web.middleware.server_sessions import ServerSessionMiddleware, server_session
from tidegate.web.responses import HTMLResponse, PlainTextResponse, Response
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.sessions import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser import Browser
    from tidegate.web.requests import Request
    from tidegate.web.websockets import WebSocket

pytestmark = needs_chromium

NO_ICON = '<link rel="icon" href="data:,">'


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    directory: Path = tmp_path_factory.mktemp("chromium")
    with browser(directory) as running:
        yield running


class Site:
    """Logs in whoever asks, counts what arrives, and shows pages."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.opened = 0
        self.app = Application(
            debug=True,
            routes=[
                Route("/", self.home),
                Route("/login", self.login, methods=["POST"]),
                Route("/post", self.post, methods=["POST"]),
                Route("/inline", self.inline),
                Route("/broken", self.broken),
                WebSocketRoute("/socket", self.socket),
            ],
            middleware=[
                Middleware(SecurityHeadersMiddleware),
                Middleware(CSRFMiddleware),
                Middleware(ServerSessionMiddleware, MemoryStore()),
            ],
        )

    async def home(self, request: Request) -> Response:
        return HTMLResponse(
            f"<!doctype html>{NO_ICON}<title>{request.session.get('user', 'nobody')}</title>"
            f'<style nonce="{csp_nonce(request)}">body {{ color: rgb(1, 2, 3) }}</style>'
            f'<script nonce="{csp_nonce(request)}">document.title += "!"</script>'
        )

    async def inline(self, request: Request) -> Response:
        return HTMLResponse(
            f"<!doctype html>{NO_ICON}<title>safe</title><script>document.title = 'run'</script>"
        )

    async def login(self, request: Request) -> Response:
        server_session(request).rotate()
        request.session["user"] = "ann"
        return PlainTextResponse("welcome")

    async def post(self, request: Request) -> Response:
        self.posted.append(request.session.get("user", "nobody"))
        return PlainTextResponse("posted")

    async def broken(self, request: Request) -> Response:
        told = "<img src=x onerror=alert(1)>"
        raise ValueError(told)

    async def socket(self, websocket: WebSocket) -> None:
        self.opened += 1
        await websocket.accept()
        await websocket.send_text("open")
        await websocket.receive_text()


ASK = "fetch({url!r}, {{method: 'POST', mode: {mode!r}, credentials: 'include'}}).then((answer) => answer.status)"
SOCKET = """new Promise((resolve) => {{
  const socket = new WebSocket({url!r});
  socket.onmessage = (event) => resolve(event.data);
  socket.onerror = () => resolve("refused");
}})"""


def test_a_page_s_own_scripts_and_styles_run(chromium: Browser) -> None:
    with serving(Site().app) as server:
        page = chromium.open(f"http://127.0.0.1:{server.port}/")
        assert page.evaluate("document.title") == "nobody!"
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"
        assert page.errors == []
        page.go(f"http://127.0.0.1:{server.port}/inline")
        assert page.evaluate("document.title") == "safe"
        assert any("Content Security Policy" in error for error in page.errors)


def test_another_site_s_page_gets_nowhere(chromium: Browser) -> None:
    site = Site()

    async def evil(scope: Any, receive: Any, send: Any) -> None:
        await HTMLResponse(f"<!doctype html>{NO_ICON}<title>evil</title>")(scope, receive, send)

    with serving(site.app) as server, serving(evil) as attacker:
        own = f"127.0.0.1:{server.port}"
        page = chromium.open(f"http://{own}/")
        assert page.evaluate(ASK.format(url="/login", mode="same-origin")) == 200
        page.go(f"http://{own}/")
        assert page.evaluate("document.title") == "ann!"
        assert page.evaluate("document.cookie") == ""  # HttpOnly
        assert page.evaluate(ASK.format(url="/post", mode="same-origin")) == 200
        assert page.evaluate(SOCKET.format(url=f"ws://{own}/socket")) == "open"
        assert (site.posted, site.opened) == (["ann"], 1)

        # The same address by another name is another site; another port of it is another origin.
        for origin in (f"localhost:{attacker.port}", f"127.0.0.1:{attacker.port}"):
            forging = chromium.open(f"http://{origin}/")
            assert forging.evaluate("document.title") == "evil"
            # 0: pages cannot see what was answered.
            assert forging.evaluate(ASK.format(url=f"http://{own}/post", mode="no-cors")) == 0
            assert forging.evaluate(SOCKET.format(url=f"ws://{own}/socket")) == "refused"
            before = forging.loads
            forging.evaluate(
                "{ const form = document.createElement('form'); form.method = 'post';"
                f" form.action = 'http://{own}/post'; document.body.append(form); form.submit() }}"
            )
            chromium.wait(lambda before=before, forging=forging: forging.loads > before, "the form's answer")  # type: ignore[misc]
            assert "Cross-origin request refused" in forging.evaluate("document.body.innerText")
        assert (site.posted, site.opened) == (["ann"], 1)


def test_the_debug_page_is_shown_and_runs_nothing(chromium: Browser) -> None:
    with serving(Site().app) as server:
        page = chromium.open(f"http://127.0.0.1:{server.port}/broken")
        assert "<img src=x onerror=alert(1)>" in page.evaluate("document.querySelector('h1').innerText")
        assert page.evaluate("document.images.length") == 0
        assert page.evaluate("getComputedStyle(document.querySelector('details')).borderRadius") == "4px"
        assert page.evaluate("document.querySelectorAll('details[open]').length") == 1
        assert not [error for error in page.errors if "500" not in error and "favicon" not in error]
