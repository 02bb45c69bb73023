"""Behind proxies, on the wire: forwarded fields, PROXY headers, and what comes from those who are not trusted."""

import json
import logging
import socket
import ssl
import struct
import threading
import time

import pytest

import tests.support.http2 as h2
from tests.support.inprocess import serving
from tests.support.process import start_server
from tests.support.tls import Authority
from tests.support.wire import UnixClient
from tidegate.config import TLS, Bind, Proxies
from tidegate.net.proxy_protocol import SIGNATURE

KEYS = ("client", "server", "scheme", "path", "root_path")
V2_CLIENT = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 5001, 443)
V1_CLIENT = b"PROXY TCP4 203.0.113.7 192.0.2.1 5001 443\r\n"
REQUEST = b"GET /a HTTP/1.1\r\nHost: test\r\n\r\n"


def v2(command, family, data=b""):
    return SIGNATURE + struct.pack("!BBH", command, family, len(data)) + data


async def origin(scope, receive, send):
    """Answers with what the scope says of where the request came from."""
    body = {key: scope[key] for key in KEYS} | {
        "host": [value.decode() for name, value in scope["headers"] if name == b"host"]
    }
    data = json.dumps(body).encode()
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-origin", data)]})
        await send({"type": "websocket.close"})
        return
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(data)), (b"x-origin", data)],
        }
    )
    await send({"type": "http.response.body", "body": data})


def ask(client, *fields, head=b""):
    if head:
        client.send(head)
    return json.loads(client.request("GET", "/a", *fields).header("x-origin"))


ALL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix")
FIELDS = (
    ("X-Forwarded-For", "198.51.100.1, 203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "example.com"),
    ("X-Forwarded-Port", "8443"),
    ("X-Forwarded-Prefix", "/api"),
)
UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "h2c, websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def test_by_default_for_and_proto_of_the_local_proxy():
    with serving(origin) as server:
        client = server.client()
        own = client.socket.getsockname()[1]
        found = ask(client, *FIELDS)
        assert found["client"] == ["203.0.113.7", 0]
        assert found["scheme"] == "https"
        assert found["server"] == ["127.0.0.1", server.port]
        assert (found["path"], found["root_path"], found["host"]) == ("/a", "", ["test"])
        # The next request on the connection may be another client's, or nobody's.
        found = ask(client, ("X-Forwarded-For", "[2001:db8::7]:1"))
        assert (found["client"], found["scheme"]) == (["2001:db8::7", 1], "http")
        found = ask(client)
        assert (found["client"], found["scheme"]) == (["127.0.0.1", own], "http")


def test_all_fields():
    with serving(origin, root_path="/configured", proxies=Proxies(fields=ALL)) as server:
        client = server.client()
        found = ask(client, *FIELDS)
        assert (found["path"], found["root_path"]) == ("/api/a", "/api")
        assert found["host"] == ["example.com:8443"]
        found = ask(client)
        assert (found["path"], found["root_path"]) == ("/configured/a", "/configured")


def test_forwarded():
    with serving(origin, proxies=Proxies(fields=("forwarded", "x-forwarded-prefix"))) as server:
        field = 'for="[2001:db8::7]:9";proto=https;host=example.com'
        found = ask(server.client(), ("Forwarded", field), *FIELDS)
        assert (found["client"], found["scheme"]) == (["2001:db8::7", 9], "https")
        assert (found["host"], found["root_path"]) == (["example.com"], "/api")


@pytest.mark.parametrize("proxies", [Proxies(trusted=("10.0.0.0/8", "unix")), Proxies(headers=False)])
def test_fields_of_others_change_nothing(proxies):
    with serving(origin, proxies=proxies) as server:
        client = server.client()
        assert ask(client, *FIELDS, ("Forwarded", "for=203.0.113.7;proto=https")) == ask(client)


def test_a_proxy_on_a_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    binds = (Bind(kind="unix", path=path),)
    for trusted, expected in ((("unix",), ["203.0.113.7", 0]), (("127.0.0.1",), None)):
        with serving(origin, binds=binds, proxies=Proxies(trusted=trusted)), UnixClient(path) as client:
            assert ask(client, *FIELDS)["client"] == expected


def test_websockets():
    with serving(origin) as server:
        client = server.client()
        client.send_request("GET", "/a", *UPGRADE, *FIELDS)
        found = json.loads(client.read_head().header("x-origin"))
        assert (found["client"], found["scheme"]) == (["203.0.113.7", 0], "wss")


def test_the_access_log_names_the_client(app_dir):
    with start_server(app="applications:app", app_dir=app_dir) as server:
        client = server.client()
        client.request("GET", "/", ("X-Forwarded-For", "203.0.113.7"))
        server.wait_for_log(r'203\.0\.113\.7 "GET / HTTP/1\.1" 200')
        client.request("GET", "/", ("X-Forwarded-For", "[2001:db8::7]:1"))
        server.wait_for_log(r'\[2001:db8::7\]:1 "GET / HTTP/1\.1" 200')
        # Also where the server itself answers.
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: 99999999999\r\n\r\n"
        )
        client.read_to_end()


# PROXY protocol


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def proxied_server(request):
    with serving(
        origin,
        loop=request.param,
        proxies=Proxies(protocol="any"),
        timeouts={"proxy_header": 0.3},
    ) as server:
        yield server


@pytest.fixture
def proxied(proxied_server):
    proxied_server.reset()
    proxied_server.app = origin
    yield proxied_server
    assert proxied_server.loop_errors == []


@pytest.mark.parametrize(
    ("head", "client", "server", "scheme"),
    [
        (V1_CLIENT, ["203.0.113.7", 5001], ["192.0.2.1", 443], "http"),
        (v2(0x21, 0x11, V2_CLIENT), ["203.0.113.7", 5001], ["192.0.2.1", 443], "http"),
        (
            v2(0x21, 0x11, V2_CLIENT + b"\x20\0\x05\x01\0\0\0\0"),
            ["203.0.113.7", 5001],
            ["192.0.2.1", 443],
            "https",
        ),
        (v2(0x21, 0x31, bytes(216)), None, None, "http"),
        (v2(0x20, 0x00), "own", "own", "http"),
        (b"PROXY UNKNOWN\r\n", "own", "own", "http"),
    ],
)
def test_proxy_headers(proxied, head, client, server, scheme):
    connection = proxied.client()
    found = ask(connection, head=head)
    own = {"client": list(connection.socket.getsockname()), "server": ["127.0.0.1", proxied.port]}
    assert found["client"] == (own["client"] if client == "own" else client)
    assert found["server"] == (own["server"] if server == "own" else server)
    assert found["scheme"] == scheme
    # Once for the connection.
    assert ask(connection) == found


def test_the_source_of_a_proxy_header_is_the_peer_that_is_trusted_or_not(proxied):
    # HAProxy is trusted, its client is not.
    assert ask(proxied.client(), *FIELDS, head=V1_CLIENT)["client"] == ["203.0.113.7", 5001]
    # A connection through HAProxy by a trusted proxy.
    head = b"PROXY TCP4 127.0.0.1 127.0.0.1 9 9\r\n"
    assert ask(proxied.client(), *FIELDS, head=head)["client"] == ["203.0.113.7", 0]


def test_a_proxy_header_octet_by_octet(proxied):
    for head in (V1_CLIENT, v2(0x21, 0x11, V2_CLIENT)):
        client = proxied.client()
        for octet in head + REQUEST:
            client.send(bytes((octet,)))
        assert json.loads(client.read_response().body)["client"] == ["203.0.113.7", 5001]


def test_a_proxy_header_with_a_whole_request_behind_it(proxied):
    client = proxied.client()
    client.send(V1_CLIENT + REQUEST * 3)
    for _ in range(3):
        assert json.loads(client.read_response().body)["client"] == ["203.0.113.7", 5001]


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"\x16\x03\x01\x02\0",
        b"PROXY TCP4 nonsense\r\n",
        v2(0x21, 0x12, V2_CLIENT),
        V1_CLIENT[:-2] + b"\n",
        b"PROXY TCP4 " + b" " * 200,
    ],
)
def test_what_is_no_proxy_header_is_closed_with_one_line_in_the_log(proxied, caplog, data):
    with caplog.at_level(logging.WARNING, "tidegate"):
        client = proxied.client()
        client.send(data)
        with pytest.raises((AssertionError, ConnectionResetError)):
            client.read_head()
    assert len(caplog.records) == 1
    assert "PROXY protocol: closed the connection of 127.0.0.1:" in caplog.text
    assert proxied.called == 0


def test_a_proxy_header_in_time(proxied, caplog):
    with caplog.at_level(logging.WARNING, "tidegate"):
        client = proxied.client()
        client.send(V1_CLIENT[:9])
        start = time.monotonic()
        assert client.at_end()
        assert 0.2 < time.monotonic() - start < 2
    assert "no whole header within 0.3 s" in caplog.text


def test_health_checks_that_only_connect_log_nothing(proxied, caplog):
    with caplog.at_level(logging.WARNING, "tidegate"):
        for _ in range(5):
            proxied.client().close()
        assert ask(proxied.client(), head=V1_CLIENT)
        client = proxied.client()
        client.send(V1_CLIENT[:9])
        client.close()
        for _ in range(100):
            if caplog.records:
                break
            time.sleep(0.01)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "the connection ended within the header"
    ]


def test_a_proxy_header_of_one_that_is_not_trusted(caplog):
    with (
        serving(origin, proxies=Proxies(protocol="v1", trusted=("10.0.0.0/8",))) as server,
        caplog.at_level(logging.WARNING, "tidegate"),
    ):
        client = server.client()
        with pytest.raises((AssertionError, ConnectionError)):
            client.request("GET", "/")
    assert "it is not one of --forwarded-allow-ips" in caplog.text


def test_one_address_with_and_one_without():
    binds = (Bind.parse("127.0.0.1:0?proxy-protocol=v2"), Bind(port=0))
    with serving(origin, binds=binds) as server:
        assert ask(server.client(), head=v2(0x21, 0x11, V2_CLIENT))["client"] == ["203.0.113.7", 5001]
        server.port = server.server.addresses[1][1]
        assert ask(server.client())["client"][0] == "127.0.0.1"


def behind_header(server, authority, head, *alpn):
    """A TLS connection whose ClientHello comes in the PROXY header's own segment."""
    connection = socket.create_connection((server.host, server.port), timeout=10)
    connection.sendall(head, socket.MSG_MORE)
    return authority.client_context(*alpn).wrap_socket(connection, server_hostname="localhost")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_tls_behind_a_proxy_header(tmp_path, loop):
    """As a balancer forwards it that does not look into it."""
    authority = Authority(tmp_path)
    settings = TLS(certfile=(str(authority.issue("localhost")),))
    binds = (Bind.parse("https://127.0.0.1:0?proxy-protocol=any"),)
    with serving(origin, loop=loop, tls=settings, binds=binds) as server:
        for head in (V1_CLIENT, v2(0x21, 0x11, V2_CLIENT)):
            with behind_header(server, authority, head) as client:
                client.sendall(REQUEST)
                answer = b""
                while not answer.endswith(b"}"):
                    answer += client.recv(65536)
                found = json.loads(answer.partition(b"\r\n\r\n")[2])
                assert (found["client"], found["scheme"]) == (["203.0.113.7", 5001], "https")
            with behind_header(server, authority, head, "h2") as client:
                assert client.selected_alpn_protocol() == "h2"
                client.sendall(h2.PREFACE + h2.settings() + h2.SETTINGS_ACK + h2.headers(1))
                parser, content = h2.FrameParser(), b""
                while not content:
                    frames = parser.receive(client.recv(65536))
                    content = b"".join(each.payload for each in frames if each.kind == h2.DATA)
                assert json.loads(content)["client"] == ["203.0.113.7", 5001]
        # Without the header, a ClientHello is none.
        with pytest.raises((ssl.SSLError, ConnectionError)):
            behind_header(server, authority, b"")
        assert server.loop_errors == []


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_redirecting_address_behind_a_proxy_header(tmp_path, loop):
    """What it says of the client goes into the log; where to, the request and the options say."""
    site = str(Authority(tmp_path).issue("localhost"))
    binds = (Bind.parse("redirect://127.0.0.1:0?proxy-protocol=v2"), Bind(port=0, scheme="https"))
    for port, shown in ((443, "example.com"), (8443, "example.com:8443")):
        settings = TLS(certfile=(site,), redirect_port=port)
        with serving(origin, loop=loop, tls=settings, binds=binds) as server:
            client = server.client()
            client.send(v2(0x21, 0x11, V2_CLIENT) + b"GET /a?b HTTP/1.1\r\nHost: example.com:80\r\n\r\n")
            response = client.read_response()
            assert response.status == 308
            assert response.header("location") == f"https://{shown}/a?b".encode()
            bare = server.client()
            bare.send(REQUEST)
            with pytest.raises(ConnectionError):  # no request without a header is answered
                bare.read_response()
            assert server.called == 0
            assert server.loop_errors == []


def test_proxy_headers_on_a_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    binds = (Bind(kind="unix", path=path),)
    with (
        serving(origin, binds=binds, proxies=Proxies(protocol="v2", trusted=("unix",))),
        UnixClient(path) as client,
    ):
        assert ask(client, head=v2(0x21, 0x11, V2_CLIENT))["client"] == ["203.0.113.7", 5001]


def test_the_limit_of_connections_holds_behind_a_proxy():
    with serving(origin, proxies=Proxies(protocol="v1"), limits={"connections": 4}) as server:
        clients = [server.client() for _ in range(12)]
        for client in clients:
            client.send(V1_CLIENT + REQUEST)
        # Idle ones are closed for those that wait.
        for client in clients:
            assert client.read_response().status == 200


def test_shutdown_waits_for_a_proxy_header():
    with serving(origin, proxies=Proxies(protocol="v1")) as server:
        client = server.client()
        client.send(V1_CLIENT[:5])
        time.sleep(0.1)
        server.call_soon(server.stop_event.set)
        time.sleep(0.1)
        client.send(V1_CLIENT[5:] + REQUEST)
        assert client.read_response().header("connection") == b"close"
        assert client.at_end()


# Overload


def test_requests_that_the_loop_reaches_late_are_refused():
    async def busy(scope, receive, send):
        if scope["path"] == "/busy":
            time.sleep(0.03)
        await origin(scope, receive, send)

    limits = {"queue_delay": 0.05, "queue_delay_interval": 0.1, "exempt": ("/healthz",)}
    with serving(busy, limits=limits) as server:
        statuses = []
        health = []
        retry = []

        def load(path, found, until):
            while time.monotonic() < until:
                with server.client() as client:
                    response = client.request("GET", path)
                    found.append(response.status)
                    if response.status == 503:
                        retry.append(response.header("retry-after"))

        until = time.monotonic() + 1.5
        threads = [threading.Thread(target=load, args=("/busy", statuses, until)) for _ in range(12)]
        threads.append(threading.Thread(target=load, args=("/healthz", health, until)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 503}
        assert set(health) == {200}
        assert set(retry) == {b"1"}
        # The overload is over.
        time.sleep(0.2)
        assert server.client().request("GET", "/busy").status == 200


def test_exempt_paths_are_served_beyond_the_concurrency_limit():
    release = threading.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/wait":
            import asyncio

            while not release.is_set():
                await asyncio.sleep(0.01)
        await origin(scope, receive, send)

    with serving(app, limits={"concurrency": 1, "exempt": ("/healthz",)}) as server:
        waiting = server.client()
        waiting.send_request("GET", "/wait")
        while server.called == 0:
            time.sleep(0.01)
        assert server.client().request("GET", "/").status == 503
        assert server.client().request("GET", "/healthz?x").status == 200
        release.set()
        assert waiting.read_response().status == 200
