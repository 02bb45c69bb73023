"""Flask and Django under WSGI: what threads have to get right."""

from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.support.process import eventually, start_server


@pytest.fixture(scope="module")
def flask(app_dir):
    with start_server(app="flask_app:app", app_dir=app_dir) as server:
        yield server


def test_a_stream_is_closed_when_its_reader_leaves(flask):
    before = flask.log.count("stream closed")
    with httpx2.stream("GET", flask.url + "/endless", trust_env=False) as response:
        assert next(response.iter_raw()).startswith(b"tick")
    eventually(lambda: flask.log.count("stream closed") > before)


def test_requests_run_side_by_side(flask):
    def get(number):
        return httpx2.get(flask.url + "/stream", trust_env=False, timeout=10).text

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(get, range(8))) == {"0\n1\n2\n3\n4\n"}


def test_expect_100_continue_is_answered_when_the_application_reads(flask):
    with flask.client() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == 100
        client.send(b"hello")
        assert client.read_response().body == b"hello"
        client.send(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.interim) == (405, [])


def test_root_path_becomes_script_name(app_dir):
    with (
        start_server("--root-path", "/app", app="flask_app:app", app_dir=app_dir) as server,
        server.client() as client,
    ):
        response = client.request("GET", "/form")
        assert response.body.replace(b"\n", b"") == b'{"script":"/app","url":"http://test/app/form"}'


@pytest.fixture(scope="module")
def django(app_dir):
    with start_server("--interface", "wsgi", app="django_app:wsgi_app", app_dir=app_dir) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "octets", "in_django"),
    [
        ("/octets/%ff", b"/octets/\xff", b"/octets/%FF"),
        ("/octets/caf%C3%A9", b"/octets/caf\xc3\xa9", b"/octets/caf\xc3\xa9"),
        ("/octets/a%2fb%", b"/octets/a/b%", b"/octets/a/b%"),
        ("http://other.test/octets/%FE?q=%ff", b"/octets/\xfe", b"/octets/%FE"),
    ],
)
def test_path_info_is_the_octets_of_the_path(flask, django, target, octets, in_django):
    # PEP 3333, "Unicode Issues"
    with flask.client() as client:
        assert client.request("GET", target).body == octets
    with django.client() as client:
        assert client.request("GET", target).body == in_django


def test_chunked_content_reaches_django(django):
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with django.client() as client:
        client.send(head + b"5\r\nhello\r\n")
        client.send(b"0\r\n\r\n")
        assert client.read_response().body == b"hello"


def test_an_endless_stream_does_not_prevent_exit(app_dir):
    with start_server("--timeout-graceful-shutdown", "1", app="flask_app:app", app_dir=app_dir) as server:
        with server.client() as client:
            client.send_request("GET", "/endless")
            assert client.read_head().status == 200
            assert server.terminate(timeout=15) == 0
        assert "stream closed" in server.log
