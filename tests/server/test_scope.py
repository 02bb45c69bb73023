"""The HTTP connection scope: every key, with its exact type and value (ASGI www 2.5, "HTTP Connection Scope")."""

import socket

import pytest

from tests.support.inprocess import serving
from tests.support.wire import UnixClient
from tidegate.config import Bind


async def ok(send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def scope_of(server):
    """The scope that the application gets for the bytes of a request."""

    def send(data):
        scopes = []

        async def app(scope, receive, send):
            scopes.append(dict(scope))
            await ok(send)

        server.app = app
        with server.client() as client:
            client.send(data)
            client.read_response()
            scopes[0]["test.local"] = client.socket.getsockname()
        return scopes[0]

    return send


KEYS = {
    "type": str,
    "asgi": dict,
    "http_version": str,
    "method": str,
    "scheme": str,
    "path": str,
    "raw_path": bytes,
    "query_string": bytes,
    "root_path": str,
    "headers": list,
    "client": tuple,
    "server": tuple,
    "state": dict,
    "extensions": dict,
}


def test_exactly_the_keys_of_the_specification_each_of_its_type(scope_of):
    scope = scope_of(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
    del scope["test.local"]
    assert {key: type(value) for key, value in scope.items()} == KEYS


def test_the_values(scope_of, server):
    scope = scope_of(
        b"POST /a%20b/%c3%a9?q=%20x HTTP/1.1\r\nHost: Example.org:81\r\nX-One: 1\r\nx-two:  v\xe9  \r\nX-One: 2\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    local = scope.pop("test.local")
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "POST"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/a b/\u00e9"
    assert scope["raw_path"] == b"/a%20b/%c3%a9"
    assert scope["query_string"] == b"q=%20x"
    assert scope["root_path"] == ""
    assert scope["headers"] == [
        (b"host", b"Example.org:81"),
        (b"x-one", b"1"),
        (b"x-two", b"v\xe9"),
        (b"x-one", b"2"),
        (b"content-length", b"0"),
    ]
    assert scope["client"] == local
    assert scope["server"] == ("127.0.0.1", server.port)
    assert scope["state"] == {}


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/?", "/", b"/", b""),
        (b"/a?b?c", "/a", b"/a", b"b?c"),
        (b"//evil.example/x", "//evil.example/x", b"//evil.example/x", b""),
        (b"/a/../b/./c", "/a/../b/./c", b"/a/../b/./c", b""),
        (b"/%2e%2e%2fetc", "/../etc", b"/%2e%2e%2fetc", b""),
        (b"/%ff%fe", "/\ufffd\ufffd", b"/%ff%fe", b""),
        (b"/%zz%4", "/%zz%4", b"/%zz%4", b""),
        (b"/caf\xc3\xa9?\xff", "/caf\u00e9", b"/caf\xc3\xa9", b"\xff"),
        (b"/%00", "/\0", b"/%00", b""),
        (b"http://other.example:99/x?y", "/x", b"/x", b"y"),
        (b"http://other.example", "/", b"/", b""),
        (b"http://other.example?y", "/", b"/", b"y"),
    ],
)
def test_paths_and_queries(scope_of, target, path, raw_path, query):
    scope = scope_of(b"GET %b HTTP/1.1\r\nHost: example.org\r\n\r\n" % target)
    assert scope["path"] == path
    assert scope["raw_path"] == raw_path
    assert scope["query_string"] == query


def test_the_targets_authority_replaces_host(scope_of):
    # RFC 9112 §3.2.2
    scope = scope_of(b"GET http://other.example:99/ HTTP/1.1\r\nA: 1\r\nHost: example.org\r\nB: 2\r\n\r\n")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"other.example:99"]


def test_asterisk_form(scope_of):
    scope = scope_of(b"OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("OPTIONS", "*", b"*")


@pytest.mark.parametrize(
    ("version", "expected"), [(b"1.0", "1.0"), (b"1.1", "1.1"), (b"1.2", "1.1"), (b"1.9", "1.1")]
)
def test_http_version(scope_of, version, expected):
    assert scope_of(b"GET / HTTP/%b\r\nHost: x\r\n\r\n" % version)["http_version"] == expected


def test_extensions_are_those_that_work_here(scope_of):
    plain = scope_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")["extensions"]
    assert set(plain) == {"http.response.pathsend", "http.response.zerocopysend", "tidegate.shutdown"}
    rich = scope_of(
        b"GET / HTTP/1.1\r\nHost: x\r\nTE: gzip;q=0.1, trailers\r\nSec-Fetch-Mode: navigate\r\n\r\n"
    )
    assert set(rich["extensions"]) == {*plain, "http.response.trailers", "http.response.early_hint"}
    old = scope_of(b"GET / HTTP/1.0\r\nTE: trailers\r\nSec-Fetch-Mode: navigate\r\n\r\n")["extensions"]
    assert set(old) == set(plain)


def test_nothing_in_a_scope_is_shared_with_the_next(server, client):
    seen = []

    async def app(scope, receive, send):
        seen.append(
            (
                len(scope),
                len(scope["headers"]),
                len(scope["extensions"]),
                len(scope["asgi"]),
                len(scope["state"]),
            )
        )
        for key in ("extensions", "asgi", "state"):
            scope[key]["mine"] = 1
        scope["headers"].append((b"mine", b"1"))
        scope["mine"] = 1
        await ok(send)

    server.app = app
    for _ in range(3):
        client.request("GET", "/same")
    assert seen[0] == seen[1] == seen[2]


def test_root_path_is_part_of_path():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await ok(send)

    with serving(app, root_path="/mounted") as server, server.client() as client:
        client.request("GET", "/page?x")
        client.request("OPTIONS", "*")
    assert scopes[0]["root_path"] == "/mounted"
    assert scopes[0]["path"] == "/mounted/page"
    # RFC 9112 §3.2.4: of the server as a whole
    assert scopes[1]["path"] == "*"


def test_on_a_unix_socket(tmp_path):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await ok(send)

    path = str(tmp_path / "socket")
    with serving(app, binds=(Bind(kind="unix", path=path),)) as server:
        assert server.server.addresses == [path]
        with UnixClient(path) as client:
            assert client.request().body == b"ok"
    assert scopes[0]["server"] == (path, None)
    assert scopes[0]["client"] is None


def test_on_ipv6():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await ok(send)

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with (
        serving(app, binds=(Bind(host="::1", port=0),)) as server,
        socket.create_connection(("::1", server.port)) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
        while connection.recv(65536):
            pass
    assert scopes[0]["server"] == ("::1", server.port)
    assert scopes[0]["client"][0] == "::1"
    assert len(scopes[0]["client"]) == 2
