"""What FastAPI applications lean on beyond the common contract."""

import httpx2
import pytest

from tests.support.process import eventually, start_server


@pytest.fixture(scope="module")
def server(app_dir):
    with start_server(app="fastapi_app:app", app_dir=app_dir) as server:
        yield server


@pytest.fixture
def client(server):
    with httpx2.Client(base_url=server.url, timeout=10, trust_env=False) as client:
        yield client


def test_models_and_dependencies_that_yield(server, client):
    response = client.post("/items", json={"name": "net", "price": 4.5})
    assert response.status_code == 201
    assert response.json() == {"item": {"name": "net", "price": 4.5}, "resource": "resource"}
    eventually(lambda: "dependency closed" in server.log)
    assert client.post("/items", json={"name": "net"}).status_code == 422


def test_a_plain_function_runs_in_a_thread(client):
    assert client.get("/thread").json() == {"thread": "yes"}


def test_a_background_task_runs_after_the_answer(server, client):
    assert client.get("/background").json() == {"queued": "yes"}
    eventually(lambda: "background task ran" in server.log)


def test_http_exceptions_and_empty_answers(client):
    response = client.get("/teapot")
    assert (response.status_code, response.headers["x-pot"]) == (418, "tea")
    response = client.delete("/items/3")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-length" not in response.headers


def test_the_documentation_and_schema(client):
    assert client.get("/openapi.json").json()["info"]["title"] == "FastAPI"
    assert "swagger" in client.get("/docs").text


def test_an_event_stream_ends_when_its_reader_leaves(server, client):
    with client.stream("GET", "/events") as response:
        lines = response.iter_lines()
        assert next(lines) == "data: tick"
    eventually(lambda: "event stream closed" in server.log)
