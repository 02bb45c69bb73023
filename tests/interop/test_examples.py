"""The examples, alone in a test client, and all on one page, on this server and on uvicorn, as a user starts them."""

import asyncio
import hashlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.support.browser import Browser, browser, needs_chromium
from tests.support.process import start_server
from tidegate.web.testclient import TestClient

EXAMPLES = Path(__file__).parents[2] / "examples"
PORT = re.compile(r"http://127\.0\.0\.1:([0-9]+)")
STYLE = next(EXAMPLES.glob("site/style.*.css")).name


@contextmanager
def on_tidegate() -> Iterator[str]:
    with start_server("--timeout-shutdown-idle", "0.2", app="main:app", app_dir=EXAMPLES) as server:
        yield server.url


@contextmanager
def on_uvicorn() -> Iterator[str]:
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--app-dir", str(EXAMPLES), "main:app"]
    with subprocess.Popen(
        [*command, "--timeout-graceful-shutdown", "1"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            found = next(filter(None, (PORT.search(line) for line in process.stderr)), None)
            assert found is not None
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


@pytest.fixture(scope="module", params=[on_tidegate, on_uvicorn])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.param() as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, trust_env=False, follow_redirects=True, timeout=20) as client:
        yield client


def test_the_front_page_shows_them_all(client: httpx2.Client) -> None:
    page = client.get("/").text
    assert "Tidegate is running" in page
    links = re.findall(r'<b><a href="([^"]+)"', page)
    assert len(links) == 8
    assert [client.get(f"/{link}").status_code for link in links] == [200] * 8
    # Nothing comes from elsewhere.
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_hello(client: httpx2.Client) -> None:
    scope = client.get("/hello/scope?x=1").json()
    assert (scope["query_string"], scope["root_path"]) == ("x=1", "/hello")
    assert client.post("/hello/echo", content=b"tide" * 50_000).content == b"tide" * 50_000
    assert client.get("/hello/nowhere").status_code == 404
    with client.stream("GET", "/hello/events") as response:
        assert next(response.iter_lines()).startswith("data: ")


def test_the_json_api(client: httpx2.Client) -> None:
    made = client.post("/api/notes", json={"text": "Buy rope"})
    assert (made.status_code, made.json()) == (201, {"text": "Buy rope", "done": False})
    where = made.url.join(made.headers["location"])
    assert client.put(where, json={"text": "Buy rope", "done": True}).json()["done"] is True
    assert {"text": "Buy rope", "done": True} in [each["note"] for each in client.get("/api/notes").json()]
    wrong = client.post("/api/notes", json={"text": 7})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert "Expected `str`" in wrong.json()["detail"]
    assert client.delete(where).status_code == 204
    assert client.get(where).json()["status"] == 404


def test_forms(client: httpx2.Client) -> None:
    content = os.urandom(300_000)
    files = {"file": ("<tide>.bin", content)}
    page = client.post("/forms/", data={"title": "A <b>tide</b>"}, files=files).text
    assert hashlib.sha256(content).hexdigest()[:16] in page
    assert "A &lt;b&gt;tide&lt;/b&gt;" in page
    assert "300,000 octets" in page
    number = re.search(r'<a href="(\d+)">A &lt;', page)
    assert number is not None
    answer = client.get(f"/forms/{number[1]}")
    assert answer.content == content
    assert answer.headers["content-disposition"].startswith("attachment")
    assert client.post("/forms/", data={"title": "none"}, files={"x": ("", b"")}).status_code == 422
    forged = client.post("/forms/", files=files, headers={"sec-fetch-site": "cross-site"})
    assert forged.status_code == 403
    assert client.get("/forms/999").status_code == 404


def test_chat(url: str) -> None:
    async def talk() -> None:
        address = url.replace("http", "ws") + "/chat/ws"
        async with connect(address, proxy=None) as ann, connect(address, proxy=None) as ben:
            await ann.send("  ahoy  ")
            await ben.send("x" * 600)
            for member in (ann, ben):
                heard: set[Any] = set()
                while not heard >= {"ahoy", "x" * 500}:
                    heard.add(await asyncio.wait_for(member.recv(), 20))

    asyncio.run(talk())


def test_the_ticker(client: httpx2.Client) -> None:
    def events(headers: dict[str, str], count: int) -> list[str]:
        with client.stream("GET", "/ticker/events", headers=headers) as response:
            ids: list[str] = []
            for line in response.iter_lines():
                if line.startswith("id: "):
                    ids.append(line[4:])
                    if len(ids) == count:
                        break
            return ids

    first = events({}, 2)
    # Who comes back misses nothing.
    assert events({"last-event-id": first[0]}, 1) == first[1:]


def test_the_static_site(client: httpx2.Client) -> None:
    page = client.get("/site/")
    assert STYLE in page.text
    assert "immutable" in client.get(f"/site/{STYLE}").headers["cache-control"]
    assert client.get("/site/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
    missing = client.get("/site/nowhere")
    assert (missing.status_code, "nothing here" in missing.text) == (404, True)


def test_the_name_of_the_style_is_its_hash() -> None:
    # What has a hash in its name is kept for good: a change needs another name.
    digest = hashlib.sha256((EXAMPLES / "site" / STYLE).read_bytes()).hexdigest()
    assert f"style.{digest[:8]}.css" == STYLE


def test_mounted(client: httpx2.Client) -> None:
    assert client.get("/mounted/").text == "The notes are at /mounted/notes/notes\n"
    assert client.get("/mounted/plain/scope").json()["root_path"] == "/mounted/plain"
    assert client.get("/mounted/files/").status_code == 200
    assert client.get("/mounted/", headers={"host": "docs.localhost"}).text.startswith("The handbook")


def test_login(client: httpx2.Client) -> None:
    assert "Log in" in client.get("/login/").text
    assert client.post("/login/enter", data={"name": "ann", "password": "low tide"}).status_code == 401
    welcome = client.post("/login/enter", data={"name": "ann", "password": "high tide"})
    assert "Welcome, ann." in welcome.text
    assert "2 times" in client.get("/login/").text
    copied = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert "Log in" in client.post("/login/leave").text
    assert "Log in" in client.get("/login/", headers={"cookie": copied}).text


def test_nobody_tries_many_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    client = TestClient(importlib.import_module("login").app)
    wrong = {"name": "ann", "password": "x"}
    assert [client.post("/enter", data=wrong).status_code for _ in range(11)] == [401] * 10 + [429]


@pytest.mark.parametrize(
    "name", ["json_api", "forms", "chat", "ticker", "static_site", "mounted", "login", "hello"]
)
def test_each_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module(name)
    client = TestClient(module.app)
    # A directory has no lifespan, as servers that start it find out.
    with nullcontext() if name == "static_site" else client:
        assert client.get("/notes" if name == "json_api" else "/").status_code == 200


def test_the_stream_of_hello_ends_well_at_shutdown() -> None:
    options = ("--timeout-shutdown-idle", "0.2")
    with start_server(*options, app="hello:app", app_dir=EXAMPLES) as server, server.client() as client:
        client.send_request("GET", "/events")
        assert client.read_head().status == 200
        assert client.read_chunk()
        server.signal(signal.SIGTERM)
        while client.read_chunk() is not None:
            pass
        assert client.read_fields() == []
        assert client.at_end()
        client.close()
        assert server.wait(timeout=10) == 0


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@needs_chromium
def test_in_a_browser(chromium: Browser, url: str, tmp_path: Path) -> None:
    front = chromium.open(f"{url}/")
    assert front.evaluate("document.querySelector('h1').textContent") == "Tidegate is running."

    first, second = chromium.open(f"{url}/chat/"), chromium.open(f"{url}/chat/")
    for tab in (first, second):
        tab.until("!document.querySelector('input').disabled")
    said = json.dumps(f"from {url}")
    first.evaluate(
        f"document.querySelector('input').value = {said};document.querySelector('form').requestSubmit()"
    )
    for tab in (first, second):
        tab.until(f"[...document.querySelectorAll('li')].some(each => each.textContent == {said})")

    upload = chromium.open(f"{url}/forms/")
    chosen = tmp_path / "tide.txt"
    chosen.write_bytes(b"high water\n" * 10_000)
    upload.choose_file("input[type=file]", chosen)
    loads = upload.loads
    upload.evaluate("document.querySelector('form').requestSubmit()")
    chromium.wait(lambda: upload.loads > loads, "the upload")
    digest = hashlib.sha256(chosen.read_bytes()).hexdigest()[:16]
    upload.until(f"document.querySelector('#uploads').textContent.includes('{digest}')")

    ticker = chromium.open(f"{url}/ticker/")
    ticker.until("document.querySelector('output').textContent.endsWith(' m')")
    seen = json.dumps(ticker.evaluate("document.querySelector('#event').textContent"))
    ticker.until(f"document.querySelector('#event').textContent != {seen}")

    login = chromium.open(f"{url}/login/")
    loads = login.loads
    login.evaluate(
        "document.querySelector('[name=name]').value = 'ann';"
        "document.querySelector('[name=password]').value = 'high tide';"
        "document.querySelector('form').requestSubmit()"
    )
    chromium.wait(lambda: login.loads > loads, "the login")
    assert login.evaluate("document.querySelector('h1').textContent") == "Welcome, ann."

    site = chromium.open(f"{url}/site/")
    # A style sheet that is not there would leave it as it is.
    assert site.evaluate("getComputedStyle(document.body).paddingTop") != "0px"

    for tab in (front, first, second, upload, ticker, login, site):
        assert tab.errors == []
