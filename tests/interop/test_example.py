"""The example that `make run` serves."""

import signal
from pathlib import Path

import httpx2
import pytest

from tests.support.process import start_server

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def server():
    with start_server(app="hello:app", app_dir=EXAMPLES) as server:
        yield server


def test_the_front_page_needs_nothing_from_elsewhere(server):
    response = httpx2.get(server.url, trust_env=False)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "Tidegate is running" in response.text
    assert "http" not in response.text.replace("http://www.w3.org/2000/svg", "").replace(
        "http://127.0.0.1:8000", ""
    )


def test_its_other_pages(server):
    with httpx2.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/scope?x=1").json()["query_string"] == "x=1"
        assert client.post("/echo", content=b"tide" * 50_000).content == b"tide" * 50_000
        assert client.get("/nowhere").status_code == 404
        with client.stream("GET", "/events") as response:
            assert next(response.iter_lines()).startswith("data: ")


def test_its_stream_ends_well_at_shutdown():
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
        assert server.wait(timeout=5) == 0
