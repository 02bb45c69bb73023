"""WSGIApplication by the clauses of PEP 3333, driven directly; wsgiref.validate is the judge of our side."""

import asyncio
import io
import logging
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from tests.gateway.wsgi_client import TEXT, call, environ_of, respond
from tests.support.asgi import Exchange, http_scope
from tidegate.gateway.wsgi import WSGIApplication

# environ (PEP 3333, "environ Variables")


def test_a_valid_application_passes_the_validator():
    def app(environ, start_response):
        assert environ["wsgi.input"].read(5) == b"hello"
        print("noted", file=environ["wsgi.errors"])
        start_response("200 OK", TEXT)
        return [b"good", b"bye"]

    scope = http_scope(
        "POST",
        "/p",
        headers=[(b"host", b"example.org"), (b"content-type", b"text/plain"), (b"content-length", b"5")],
    )
    exchange = call(validator(app), scope, [b"he", b"llo"])
    assert exchange.status == 200
    assert exchange.headers == [(b"content-type", b"text/plain")]
    assert exchange.body == b"goodbye"


def test_the_variables_of_the_request():
    environ = environ_of(
        http_scope(
            "PUT",
            "/a b/\u00e9",
            raw_path=b"/a%20b/%c3%a9",
            query_string=b"q=%20\xff",
            scheme="https",
            http_version="2",
            server=("192.0.2.1", 443),
            headers=[
                (b"host", b"example.org"),
                (b"content-type", b"text/plain; charset=latin-1"),
                (b"content-length", b"0"),
                (b"x-name", b"caf\xe9"),
            ],
        ),
    )
    expected = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xc3\xa9",
        "QUERY_STRING": "q=%20\xff",
        "CONTENT_TYPE": "text/plain; charset=latin-1",
        "CONTENT_LENGTH": "0",
        "HTTP_HOST": "example.org",
        "HTTP_X_NAME": "caf\xe9",
        "SERVER_NAME": "192.0.2.1",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/2.0",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50123",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


@pytest.mark.parametrize(
    ("root_path", "path", "script_name", "path_info"),
    [
        ("", "/", "", "/"),
        ("/app", "/app/page", "/app", "/page"),
        ("/app/", "/app/page", "/app", "/page"),
        ("/app", "/app", "/app", ""),
        ("/app", "/apple", "/app", "/apple"),  # the server left root_path out; /app is no whole segment of it
        ("/app", "/page", "/app", "/page"),
        ("/\u00e9", "/\u00e9/x", "/\xc3\xa9", "/x"),
    ],
)
def test_root_path_becomes_script_name(root_path, path, script_name, path_info):
    environ = environ_of(http_scope(path=path, root_path=root_path))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


@pytest.mark.parametrize(
    ("raw_path", "path", "script_name", "path_info"),
    [
        (b"/%ff", "/\ufffd", "/app", "/\xff"),  # raw_path without root_path, as received
        (b"/app/%ff", "/\ufffd", "/app", "/\xff"),  # and with it
        (b"/%61pp/a%2fb%ff", "/a/b\ufffd", "/app", "/a/b\xff"),
        (b"/%ff%C3%A9\xc3\xa9", "/\ufffd\u00e9\u00e9", "/app", "/\xff\xc3\xa9\xc3\xa9"),
        (b"/%EF%BF%BD", "/\ufffd", "/app", "/\xef\xbf\xbd"),
        (b"/other", "/\ufffd", "/app", "/\xef\xbf\xbd"),  # a middleware has changed path alone
        (b"", "/\ufffd", "/app", "/\xef\xbf\xbd"),
        (None, "/\ufffd", "/app", "/\xef\xbf\xbd"),
    ],
)
def test_path_info_is_octets(raw_path, path, script_name, path_info):
    # PEP 3333, "Unicode Issues"; ASGI www, "HTTP Connection Scope": raw_path may be None
    environ = environ_of(http_scope(path="/app" + path, root_path="/app", raw_path=raw_path))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


def test_repeated_fields_are_joined_and_cookies_with_a_semicolon():
    headers = [(b"accept", b"a"), (b"cookie", b"x=1"), (b"accept", b"b"), (b"cookie", b"y=2")]
    environ = environ_of(http_scope(headers=headers))
    assert environ["HTTP_ACCEPT"] == "a, b"
    assert environ["HTTP_COOKIE"] == "x=1; y=2"


def test_a_name_with_an_underscore_cannot_pose_as_another():
    environ = environ_of(
        http_scope(headers=[(b"x_role", b"admin"), (b"x-role", b"user"), (b"content_length", b"9")])
    )
    assert environ["HTTP_X_ROLE"] == "user"
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert "CONTENT_LENGTH" not in environ


@pytest.mark.parametrize("server", [None, ["/run/app.sock", None]])
def test_server_name_and_port_are_always_there(server):
    environ = environ_of(http_scope(server=server, client=None))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert "REMOTE_ADDR" not in environ


def test_wsgi_errors_is_logged_by_the_line(caplog):
    def app(environ, start_response):
        errors = environ["wsgi.errors"]
        assert errors.writable()
        errors.write("one\ntw")
        errors.write("o\n")
        errors.writelines(["three", "\n", "\n"])
        errors.write("x" * 10_000)
        errors.write("rest")
        errors.flush()
        errors.flush()
        start_response("200 OK", TEXT)
        return []

    with caplog.at_level(logging.ERROR, "tidegate.wsgi"):
        call(app)
    assert [record.getMessage() for record in caplog.records] == [
        "one",
        "two",
        "three",
        "",
        "x" * 10_000,
        "rest",
    ]


# wsgi.file_wrapper ("Optional Platform-Specific File Handling")


def send_file(file, headers=()):
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](file)

    return app


ZEROCOPY = {"http.response.zerocopysend": {}}


def test_a_file_goes_by_zerocopysend_where_the_server_has_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = path.open("rb")
    file.seek(4)
    exchange = call(send_file(file), http_scope(extensions=ZEROCOPY))
    assert exchange.sent[1] == {
        "type": "http.response.zerocopysend",
        "file": file,
        "offset": 4,
        "count": 6,
        "more_body": False,
    }
    assert file.closed


def test_the_file_stays_open_until_it_was_sent(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def main():
        exchange = Exchange(http_scope(extensions=ZEROCOPY))
        file = path.open("rb")
        app = send_file(file, [("Content-Length", "5")])
        exchange.writable.clear()
        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1)))
        await asyncio.sleep(0.05)
        assert not file.closed
        exchange.writable.set()
        await asyncio.wait_for(task, 10)
        assert file.closed
        assert exchange.sent[1]["count"] == 5

    asyncio.run(main())


def test_other_files_are_read(tmp_path):
    import gzip

    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"0123456789"))
    assert call(send_file(gzip.GzipFile(path)), http_scope(extensions=ZEROCOPY)).body == b"0123456789"
    assert call(send_file(io.BytesIO(b"abc")), http_scope(extensions=ZEROCOPY)).body == b"abc"
    (tmp_path / "empty").touch()
    assert call(send_file((tmp_path / "empty").open("rb")), http_scope(extensions=ZEROCOPY)).body == b""
    path.write_bytes(b"plain")
    assert call(send_file(path.open("rb")), http_scope(extensions=None)).body == b"plain"


def test_the_wrapper_is_the_standard_librarys():
    assert environ_of(http_scope())["wsgi.file_wrapper"] is FileWrapper


# Scopes of other types


def test_a_websocket_is_refused():
    async def main():
        sent = []
        incoming = [{"type": "websocket.connect"}]

        async def receive():
            return incoming.pop(0)

        async def send(message):
            sent.append(message)

        await WSGIApplication(respond(), 1)({"type": "websocket"}, receive, send)
        return sent

    assert asyncio.run(main()) == [{"type": "websocket.close"}]


def test_lifespan_is_unsupported():
    with pytest.raises(NotImplementedError, match="lifespan"):
        asyncio.run(WSGIApplication(respond(), 1)({"type": "lifespan"}, None, None))
