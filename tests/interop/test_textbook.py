"""Applications that no framework has smoothed, each served by the real process."""

import pytest

from tests.support.process import start_server


@pytest.fixture
def serve(app_dir):
    def start(name, *options):
        return start_server(*options, app=f"textbook:{name}", app_dir=app_dir)

    return start


def test_hello_world_that_receives_first_and_sends_lists(serve):
    with serve("hello") as server, server.client() as client:
        for _ in range(2):
            response = client.request()
            assert (response.status, response.body) == (200, b"Hello, world!")
            assert response.header("content-type") == b"text/plain"
    assert (
        "Traceback" not in server.log
    )  # it raises on the lifespan scope, which is how it says that it has none


def test_the_lifespan_loop(serve):
    with serve("lifespan_loop") as server, server.client() as client:
        assert server.log.count("textbook startup") == 1
        assert client.request().body == b"['counter', 'mine'] 1"
        assert client.request().body == b"['counter', 'mine'] 2"
    assert server.log.count("textbook shutdown") == 1


def test_reading_the_body_as_the_specification_shows(serve):
    with serve("echo") as server, server.client() as client:
        assert client.request("POST", body=b"x" * 300_000).body == b"x" * 300_000
        assert client.request("POST", body=b"").body == b""


@pytest.mark.parametrize(
    ("name", "body"), [("response_alone", b"a Response is an application"), ("instance", b"an object")]
)
def test_any_callable_is_an_application(serve, name, body):
    with serve(name) as server, server.client() as client:
        assert client.request().body == body
    assert "Traceback" not in server.log


def test_a_framework_wrapped_by_a_plain_function(serve):
    with serve("wrapped") as server, server.client() as client:
        response = client.request()
        assert response.body == b"from within"
        assert (response.header("x-inner"), response.header("x-outer")) == (b"1", b"1")


def test_a_factory(serve):
    with serve("create", "--factory") as server, server.client() as client:
        assert client.request().body == b"Hello, world!"


@pytest.mark.parametrize("options", [(), ("--interface", "asgi2")])
def test_an_asgi_2_application(serve, options):
    with serve("DoubleCallable", *options) as server, server.client() as client:
        assert client.request().body == b"2.0"


def test_a_wsgi_application(serve):
    with serve("wsgi", "--interface", "wsgi") as server, server.client() as client:
        assert client.request().body == b"Hello world!\n"
