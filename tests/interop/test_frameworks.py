"""Every framework serves the same small contract (apps/), unchanged, to a real HTTP client."""

import asyncio
import hashlib
import time
from pathlib import Path

import httpx2
import pytest

from tests.support.process import eventually, start_server

SERVERS = {
    "fastapi": ("fastapi_app:app",),
    "starlette": ("starlette_app:app",),
    "litestar": ("litestar_app:app",),
    "quart": ("quart_app:app",),
    "django": ("django_app:app",),
    "django-wsgi": ("django_app:wsgi_app", "--interface", "wsgi"),
    "flask": ("flask_app:app",),
    "flask-wsgi": ("flask_app:app", "--interface", "wsgi"),
}
WITH_LIFESPAN = ["fastapi", "starlette", "litestar", "quart"]


@pytest.fixture(scope="module", params=SERVERS)
def framework(request, app_dir):
    app, *options = SERVERS[request.param]
    with start_server(*options, app=app, app_dir=app_dir) as server:
        server.name = request.param
        server.app_file = app_dir / (app.partition(":")[0] + ".py")
        yield server
    assert server.name not in WITH_LIFESPAN or server.log.count("application stopped") == 1


@pytest.fixture
def client(framework):
    with httpx2.Client(base_url=framework.url, timeout=10, trust_env=False) as client:
        yield client


def test_query_path_headers_and_host(framework, client):
    response = client.get("/hello?name=caf%C3%A9", headers={"X-Agent": "test"})
    assert response.status_code == 200
    assert response.json() == {"hello": "caf\u00e9", "path": "/hello", "host": "127.0.0.1", "agent": "test"}


def test_head_has_no_content(framework, client):
    response = client.head("/hello", headers={"X-Agent": "test"})
    if framework.name in ("fastapi", "litestar"):
        assert response.status_code == 405  # they route HEAD only where asked to
    else:
        assert response.status_code == 200
        assert int(response.headers["content-length"]) > 0
    assert response.content == b""
    assert client.get("/hello", headers={"X-Agent": "test"}).status_code == 200


def test_a_body_streams_in_and_out(framework, client):
    content = bytes(range(256)) * 1000
    assert client.post("/echo", content=content).content == content
    if not framework.name.startswith("django"):  # which reads no body without a Content-Length
        assert client.post("/echo", content=(content for _ in range(8))).content == content * 8


def test_a_multipart_upload(framework, client):
    content = bytes(range(251)) * 4000
    response = client.post("/upload", files={"file": ("tide.bin", content)})
    assert response.json() == {
        "name": "tide.bin",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.fixture
def stream_path(framework):
    # Django under WSGI streams synchronous iterators, and collects asynchronous ones.
    return "/stream-in-a-thread" if framework.name == "django-wsgi" else "/stream"


def test_a_stream_arrives_as_it_is_made(client, stream_path):
    with client.stream("GET", stream_path, headers={"Accept-Encoding": "identity"}) as response:
        arrivals = [(time.monotonic(), chunk) for chunk in response.iter_raw()]
    assert b"".join(chunk for _, chunk in arrivals) == b"0\n1\n2\n3\n4\n"
    assert len(arrivals) >= 3
    assert arrivals[-1][0] - arrivals[0][0] > 0.1


def test_a_client_that_leaves_midstream_disturbs_nobody(framework, client, stream_path):
    before = len(framework.log)
    with client.stream("GET", stream_path) as response:
        next(response.iter_raw())
    time.sleep(0.1)  # for the application to send to nobody
    assert client.get("/hello", headers={"X-Agent": "test"}).status_code == 200
    assert "Traceback" not in framework.log[before:]


def test_cookies_both_ways(client):
    response = client.get("/cookies", headers={"Cookie": "a=1; b=2"})
    assert response.json() == {"a": "1", "b": "2"}
    values = response.headers.get_list("set-cookie")
    assert [value.split(";")[0] for value in values] == ["one=1", "two=2"]


def test_a_file(framework, client):
    response = client.get("/file")
    assert response.content == Path(framework.app_file).read_bytes()
    if framework.name not in ("quart",):
        assert int(response.headers["content-length"]) == len(response.content)


def test_an_exception_becomes_a_500(framework, client):
    before = len(framework.log)
    assert client.get("/error").status_code == 500
    if framework.name in ("fastapi", "starlette"):  # the others log it, or do not, by their own settings
        eventually(lambda: "LookupError: the application's own mistake" in framework.log[before:])
    assert client.get("/hello", headers={"X-Agent": "test"}).status_code == 200


def test_what_is_not_there_is_a_404(client):
    assert client.get("/nowhere").status_code == 404


def test_lifespan_state(framework, client):
    if framework.name not in WITH_LIFESPAN:
        pytest.skip("no lifespan")
    assert client.get("/state").json() == {"started": "yes"}


def test_many_requests_on_many_connections(framework):
    limits = httpx2.Limits(max_connections=20)
    headers = {"X-Agent": "test"}

    async def main():
        async with httpx2.AsyncClient(base_url=framework.url, limits=limits, trust_env=False) as client:
            return await asyncio.gather(
                *(
                    client.get("/hello", params={"name": str(number)}, headers=headers)
                    for number in range(100)
                )
            )

    assert [response.json()["hello"] for response in asyncio.run(main())] == [str(n) for n in range(100)]
