"""A real browser reads what the toolkit compresses, streams and serves, and has nothing to complain of."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, browser, needs_chromium
from tests.support.process import ServerProcess, start_server

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(app_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    files = tmp_path_factory.mktemp("files")
    with start_server(
        "--no-access-log",
        "--timeout-shutdown-idle",
        "0.1",
        app="batteries:app",
        app_dir=app_dir,
        env={"BATTERIES_FILES": str(files)},
    ) as server:
        yield server


@pytest.fixture(scope="module")
def page(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as chromium:
        page = chromium.open(f"{server.url}/")
        yield page
        assert page.errors == []


def response_to(page: Page, path: str) -> dict[str, str]:
    """The header fields of the last answer for `path`, names lower-cased."""
    found: list[dict[str, str]] = []

    def seen() -> bool:
        found[:] = [each["headers"] for each in page.requests if each["url"].endswith(path)]
        return bool(found)

    page.browser.wait(seen, f"the answer for {path}")
    return {name.lower(): value for name, value in found[-1].items()}


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
def test_every_coding_is_decoded(page: Page, coding: str) -> None:
    """A page at 127.0.0.1 is a secure context, to which Chromium offers them all."""
    length = page.evaluate(f"fetch('/text/{coding}').then(r => r.text()).then(t => t.length)")
    assert length == 38 * 500
    assert response_to(page, f"/text/{coding}")["content-encoding"] == coding
    # A stream of it arrives piece by piece.
    pieces = page.evaluate(
        f"""(async () => {{
          const reader = (await fetch('/pieces/{coding}')).body.pipeThrough(new TextDecoderStream()).getReader();
          const pieces = [];
          for (let read; !(read = await reader.read()).done;) {{
            pieces.push(read.value);
            await fetch('/next', {{method: 'POST'}});
          }}
          return pieces.join("");
        }})()"""
    )
    assert pieces == "one two three "


def test_the_browsers_own_choice_and_cache(page: Page) -> None:
    assert page.evaluate("fetch('/text').then(r => r.text()).then(t => t.length)") == 38 * 500
    headers = response_to(page, "/text")
    assert headers["content-encoding"] == "zstd"
    assert headers["etag"] == 'W/"words"'
    assert page.evaluate("fetch('/files/app.js').then(r => r.text())") == "document.title = 'From br';\n"
    assert response_to(page, "/files/app.js")["content-encoding"] == "br"
    page.evaluate(
        """new Promise((resolve, reject) => {
          const script = document.createElement('script');
          Object.assign(script, {src: '/files/app.js', onload: resolve, onerror: reject});
          document.head.append(script);
        })"""
    )
    assert page.evaluate("document.title") == "From br"
    immutable = page.evaluate("fetch('/files/app.3f2a9c1b.js').then(r => r.headers.get('cache-control'))")
    assert immutable == "public, max-age=31536000, immutable"
    part = page.evaluate(
        "fetch('/files/app.js', {headers: {Range: 'bytes=0-7'}}).then(async r => [r.status, await r.text()])"
    )
    assert part[0] == 206


def test_events_and_a_reconnection_that_misses_nothing(page: Page) -> None:
    page.evaluate(
        """window.got = [];
        window.source = new EventSource('/events');
        source.onmessage = (event) => got.push(event.data);
        new Promise((resolve) => { source.onopen = resolve; })"""
    )
    page.until("fetch('/streams').then(r => r.text()).then(t => t === '1')")
    numbers = [str(number) for number in range(30)]
    for number in numbers:
        publish = f"fetch('/events', {{method: 'POST', body: '{number}\\nline'}})"
        page.evaluate(publish)
        if number == "9":  # the server ends all streams; the browser comes back by itself
            page.evaluate("fetch('/cut', {method: 'POST'})")
    page.until("got.length >= 60", timeout=15)
    assert page.evaluate("got") == [line for number in numbers for line in (number, "line")]
    assert page.evaluate("source.readyState") == 1
    page.evaluate("source.close()")
    deadline = time.monotonic() + 10
    while page.evaluate("fetch('/streams').then(r => r.text())") != "0":  # it is known that nobody listens
        assert time.monotonic() < deadline


def test_an_upload_part_by_part(page: Page) -> None:
    found = page.evaluate(
        """(async () => {
          const form = new FormData();
          form.append('title', 'Tíde');
          form.append('file', new Blob([new Uint8Array(300000)]), 'a.bin');
          return (await fetch('/upload', {method: 'POST', body: form})).json();
        })()"""
    )
    assert found == {"title": "Tíde", "file": 300000, "filename": "a.bin"}
    problem = page.evaluate(
        """fetch('/upload', {method: 'POST', body: '{}'})
             .then(async r => ({type: r.headers.get('content-type'), status: (await r.json()).status}))"""
    )
    assert problem == {"type": "application/problem+json", "status": 415}
    page.browser.wait(lambda: bool(page.errors), "the browser to tell of the 415")
    assert len(page.errors) == 1
    page.errors.clear()
