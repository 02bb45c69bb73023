"""A real browser over TLS: headless Chromium speaks HTTP/2 on one connection, and WebSocket within it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import Page, browser, needs_chromium
from tests.support.inprocess import Serving, serving
from tests.support.process import eventually
from tests.support.tls import Authority
from tidegate.config import TLS, Bind

pytestmark = needs_chromium

IMAGES = 100
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="7"><!-- %b --></svg>'
PAGE = b"<!doctype html><title>x</title>" + b"".join(b"<img src=/image/%d>" % n for n in range(1, IMAGES + 1))


class Application:
    """Keeps the scopes; counts who waits at /wait, and whose client has gone there."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.waiting = 0
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        path = scope["path"]
        if scope["type"] == "websocket":
            await self.echo(receive, send)
            return
        if path == "/wait":
            await self.wait(receive)
            return
        kind, body = b"text/html", PAGE
        if path.startswith("/image/"):
            number = int(path.rpartition("/")[2])
            # Different sizes, some larger than a frame; and not in the order in which they were asked for.
            kind, body = b"image/svg+xml", SVG % (number, b"x" * number * 500)
            await asyncio.sleep(0.002 * (number % 7))
        fields = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def wait(self, receive: Any) -> None:
        self.waiting += 1
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone += 1

    async def echo(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"] * 2})

    def connections(self) -> set[Any]:
        return {scope["client"] for scope in self.scopes}


@pytest.fixture(scope="module")
def application() -> Application:
    return Application()


@pytest.fixture(scope="module")
def server(application: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    site = Authority(tmp_path_factory.mktemp("authority")).issue("localhost", "127.0.0.1")
    binds = (Bind(port=0, scheme="https"),)
    with serving(application, tls=TLS(certfile=(str(site),)), binds=binds) as running:
        yield running


@pytest.fixture(scope="module")
def page(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    url = f"https://127.0.0.1:{server.port}/"
    with browser(tmp_path_factory.mktemp("chromium"), "--ignore-certificate-errors") as chromium:
        yield chromium.open(url)


def test_a_page_with_100_images_on_one_connection(application: Application, page: Page) -> None:
    entries = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map((entry) => [new URL(entry.name).pathname, entry.nextHopProtocol])"
    )
    images = [entry for entry in entries if entry[0].startswith("/image/")]
    assert ["/", "h2"] in entries
    assert sorted(images) == sorted([f"/image/{n}", "h2"] for n in range(1, IMAGES + 1))
    widths = page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert widths == list(range(1, IMAGES + 1))
    assert {scope["http_version"] for scope in application.scopes} == {"2"}
    assert len(application.connections()) == 1


def test_a_browser_that_cancels_100_streams(application: Application, page: Page) -> None:
    """Three times, as when its user leaves a page that loads; the connection goes on."""
    connections = application.connections()
    for round_ in range(1, 4):
        page.evaluate(
            "window.leaving = new AbortController();"
            "window.left = Promise.allSettled([...Array(100).keys()].map("
            "  (n) => fetch(`/wait?${n}`, {signal: leaving.signal, cache: 'no-store'}))); 0"
        )
        eventually(lambda expected=100 * round_: application.waiting == expected, timeout=10)
        states = page.evaluate("leaving.abort(); left.then((all) => all.map((each) => each.reason.name))")
        assert states == ["AbortError"] * 100
        eventually(lambda expected=100 * round_: application.gone == expected, timeout=10)
    assert page.evaluate("fetch('/image/9').then((answer) => answer.status)") == 200
    assert application.connections() == connections


def test_a_websocket_within_the_connection(application: Application, page: Page) -> None:
    """RFC 8441: Chromium asks for it where the server's SETTINGS say so."""
    connections = application.connections()
    said = page.evaluate(
        """new Promise((resolve, reject) => {
          const socket = new WebSocket(`wss://${location.host}/socket`);
          socket.onopen = () => socket.send("twice");
          socket.onmessage = (event) => { socket.close(); resolve(event.data); };
          socket.onerror = reject;
        })"""
    )
    assert said == "twicetwice"
    scope = application.scopes[-1]
    assert (scope["type"], scope["http_version"], scope["scheme"]) == ("websocket", "2", "wss")
    assert application.connections() == connections
