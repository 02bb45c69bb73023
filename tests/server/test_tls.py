"""TLS by the real server, to real clients: certificates, handshakes, what applications see, closing."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import websockets.asyncio.client

from tests.support.inprocess import serving
from tests.support.process import eventually
from tests.support.tls import Authority, TLSClient
from tidegate.config import TLS, Bind
from tidegate.http.errors import ClientDisconnected

HANDSHAKE_TIMEOUT = 0.6


@pytest.fixture(scope="session")
def site(authority) -> Path:
    return authority.issue("localhost", "127.0.0.1", "site.test")


@pytest.fixture(scope="session")
def client_certificate(authority) -> Path:
    return authority.issue("someone@site.test", common_name="Someone, Jr", file="client.pem")


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared_server(request, authority, site):
    settings = TLS(
        certfile=(
            str(site),
            str(authority.issue("a.test")),
            str(authority.issue("*.wild.test", file="wild.pem")),
        ),
        ca_certs=str(authority.file),
        cert_reqs="optional",
        handshake_timeout=HANDSHAKE_TIMEOUT,
        max_handshakes=8,
        hsts="max-age=31536000; includeSubDomains",
    )
    binds = (Bind(port=0, scheme="https"), Bind(port=0, scheme="http"), Bind(port=0, scheme="redirect"))
    with serving(
        loop=request.param,
        tls=settings,
        binds=binds,
        timeouts={"linger": 0.3, "write": 0.6},
        limits={"body": 2**20},
    ) as server:
        yield server


@pytest.fixture
def connect(server, authority):
    """Makes connections over TLS; closed with the test, if not before."""

    def connect(name="localhost", *alpn, certificate=None, context=None, **options):
        context = context or authority.client_context(*alpn, certificate=certificate)
        client = TLSClient(server.host, server.port, context, name, **options)
        server.clients.append(client)
        return client

    return connect


def open_connections(server) -> int:
    return len(server.server._acceptor.connections) + server.server._listening.handshakes


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def seen_by(server):
    """An application that keeps the scopes that it gets."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await hello(scope, receive, send)

    server.app = app
    return scopes


def test_requests_on_one_connection(server, connect):
    server.app = hello
    client = connect()
    for _ in range(3):
        assert client.request().body == b"hello"
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 16)
    assert [client.read_response().body for _ in range(16)] == [b"hello"] * 16


def test_content_both_ways(server, connect):
    async def echo(scope, receive, send):
        content = b""
        while True:
            message = await receive()
            content += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for i in range(0, len(content), 100_000):
            await send({"type": "http.response.body", "body": content[i : i + 100_000], "more_body": True})
        await send({"type": "http.response.body"})

    server.app = echo
    content = bytes(range(256)) * 4000
    client = connect()
    assert client.request("POST", "/", body=content).body == content
    assert client.request("POST", "/", body=b"x").body == b"x"


# --- what applications see (ASGI, TLS Extension)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_extension(server, authority, connect, version):
    scopes = seen_by(server)
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    client = connect(context=context)
    assert client.request().status == 200
    suites = {each["name"]: each["id"] & 0xFFFF for each in context.get_ciphers()}
    assert scopes[0]["scheme"] == "https"
    assert scopes[0]["extensions"]["tls"] == {
        "server_cert": client.certificate,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": {ssl.TLSVersion.TLSv1_2: 0x0303, ssl.TLSVersion.TLSv1_3: 0x0304}[version],
        "cipher_suite": suites[client.tls.cipher()[0]],
    }


def test_the_extension_is_each_requests_own(server, connect, client_certificate):
    taken = []

    async def app(scope, receive, send):
        tls = scope["extensions"]["tls"]
        taken.append((dict(tls), list(tls["client_cert_chain"])))
        tls["client_cert_chain"].clear()
        tls.clear()
        await hello(scope, receive, send)

    server.app = app
    client = connect(certificate=client_certificate)
    for _ in range(2):
        assert client.request().status == 200
    assert taken[0][1] == taken[1][1] != []
    assert taken[0][0].keys() == taken[1][0].keys() != set()


def test_a_clients_certificate(server, connect, client_certificate):
    scopes = seen_by(server)
    assert connect(certificate=client_certificate).request().status == 200
    tls = scopes[0]["extensions"]["tls"]
    assert ssl.PEM_cert_to_DER_cert(tls["client_cert_chain"][0]) == certificates_in(client_certificate)[0]
    assert tls["client_cert_name"].startswith("CN=Someone\\, Jr,OU=")
    assert tls["client_cert_error"] is None


def certificates_in(path):
    pem = path.read_text()
    return [
        ssl.PEM_cert_to_DER_cert(
            "-----BEGIN CERTIFICATE-----" + part.partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        )
        for part in pem.split("-----BEGIN CERTIFICATE-----")[1:]
    ]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_has_its_certificate(server, authority, client_certificate, version):
    scopes = seen_by(server)
    context = authority.client_context(certificate=client_certificate)
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(2):
        plain = socket.create_connection((server.host, server.port), 5)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536)
            resumed, session = client.session_reused, client.session
    assert resumed
    assert len(scopes) == 2
    names = [scope["extensions"]["tls"]["client_cert_name"] for scope in scopes]
    assert names[0] == names[1] is not None
    assert (
        scopes[1]["extensions"]["tls"]["client_cert_chain"][0]
        == scopes[0]["extensions"]["tls"]["client_cert_chain"][0]
    )


def test_without_tls_there_is_no_extension(server):
    scopes = seen_by(server)
    with plain_client(server, 1) as client:
        assert client.request().header("strict-transport-security") is None
    assert scopes[0]["scheme"] == "http"
    assert "tls" not in scopes[0]["extensions"]


def plain_client(server, index=0):
    from tests.support.wire import Client

    return Client(*server.server.addresses[index])


def test_websocket(server, authority):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})

    async def echoes():
        # Its client for threads uses one TLS session in two of them, and so loses a handshake in some hundreds.
        async with websockets.asyncio.client.connect(
            f"wss://localhost:{server.port}/", ssl=authority.client_context("http/1.1")
        ) as client:
            for size in (1, 1000, 300_000):
                await client.send(b"x" * size)
                assert await client.recv() == b"x" * size

    server.app = app
    asyncio.run(echoes())
    assert scopes[0]["scheme"] == "wss"
    assert scopes[0]["extensions"]["tls"]["tls_version"] == 0x0304
    assert server.wait_for_end() is None


# --- who answers: SNI, ALPN, HSTS, redirection


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("localhost", "localhost"),
        ("A.test", "a.test"),
        ("any.wild.test", "*.wild.test"),
        ("wild.test", "localhost"),
        ("two.labels.wild.test", "localhost"),
        ("unknown.test", "localhost"),
        (None, "localhost"),
    ],
)
def test_server_name_indication(server, authority, connect, name, answers):
    context = authority.client_context()
    context.check_hostname = False
    scopes = seen_by(server)
    client = connect(name, context=context)
    names = [value for kind, value in client.tls.getpeercert()["subjectAltName"] if kind == "DNS"]
    assert names[0] == answers
    assert client.request().status == 200
    assert scopes[0]["extensions"]["tls"]["server_cert"] == client.certificate


def test_alpn(server, authority, connect):
    server.app = hello
    client = connect("localhost", "unknown", "http/1.1")
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    assert client.request().body == b"hello"
    assert connect().tls.selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):  # RFC 7301 §3.2
        connect("localhost", "imap", "pop3")


def curl(server, authority, *arguments):
    command = ["curl", "-sS", "--cacert", authority.file, *arguments]
    done = subprocess.run(
        [*command, f"https://localhost:{server.port}/"], capture_output=True, check=False, timeout=10
    )
    assert done.stderr == b""
    return done.stdout


def test_http2(server, authority, client_certificate):
    scopes = seen_by(server)
    answer = curl(server, authority, "--http2", "--cert", client_certificate, "-w", "%{http_version}")
    assert answer == b"hello2"
    assert scopes[0]["http_version"] == "2"
    assert scopes[0]["scheme"] == "https"
    assert scopes[0]["extensions"]["tls"]["client_cert_name"].startswith("CN=Someone")
    head = curl(server, authority, "--http2", "-I")
    assert b"\r\nstrict-transport-security: max-age=31536000; includeSubDomains\r\n" in head


def test_strict_transport_security(server, connect):
    server.app = hello
    assert connect().request().header("strict-transport-security") == b"max-age=31536000; includeSubDomains"


@pytest.mark.parametrize("name", [b"strict-transport-security", b"Strict-Transport-Security"])
def test_an_applications_strict_transport_security_is_the_only_one(server, authority, connect, name):
    """RFC 6797 §6.1: not more than one."""

    async def app(scope, receive, send):
        fields = [(name, b"max-age=9"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body"})

    server.app = app
    assert connect().request().header("strict-transport-security") == b"max-age=9"
    head = curl(server, authority, "--http2", "-D", "-").lower()
    assert head.startswith(b"http/2 200")
    assert head.count(b"strict-transport-security") == 1
    assert b"\r\nstrict-transport-security: max-age=9\r\n" in head


@pytest.mark.parametrize(
    ("request_", "location"),
    [
        ("GET /a?b=c HTTP/1.1\r\nHost: example.com", "https://example.com:{port}/a?b=c"),
        ("GET / HTTP/1.1\r\nHost: example.com:80", "https://example.com:{port}/"),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080", "https://[::1]:{port}/"),
        ("GET / HTTP/1.1\r\nHost: [::1]", "https://[::1]:{port}/"),
        ("POST /%2e%2e//x? HTTP/1.1\r\nHost: a\r\nContent-Length: 0", "https://a:{port}/%2e%2e//x?"),
        ("GET //evil.test/x HTTP/1.1\r\nHost: a", "https://a:{port}//evil.test/x"),
        ("GET http://b/c?d HTTP/1.1\r\nHost: b", "https://b:{port}/c?d"),
        ("GET /x HTTP/1.0\r\nHost: a", "https://a:{port}/x"),
    ],
)
def test_redirection(server, request_, location):
    with plain_client(server, 2) as client:
        client.send(request_.encode() + b"\r\n\r\n")
        response = client.read_response()
    assert response.status == 308
    assert response.header("location") == location.format(port=server.port).encode()
    assert server.called == 0


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.0",
        "GET / HTTP/1.1\r\nHost: ",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET / HTTP/1.1\r\nHost: user@a",
        "GET / HTTP/1.1\r\nHost: a/b",
        "GET / HTTP/1.1\r\nHost: a\tb",
        "OPTIONS * HTTP/1.1\r\nHost: a",
    ],
)
def test_what_names_no_host_is_not_redirected(server, request_):
    with plain_client(server, 2) as client:
        client.send(request_.encode() + b"\r\n\r\n")
        response = client.read_response()
    assert response.status == 400
    assert response.header("location") is None


# --- handshakes


def test_plain_http_to_a_tls_port(server):
    with plain_client(server) as client:
        response = client.request("POST", "/", body=b"x" * 100_000)
        assert response.status == 400
        assert b"HTTPS" in response.body
        assert response.header("connection") == b"close"
        assert response.header("date")
        assert client.at_end()
    assert server.called == 0


@pytest.mark.parametrize(
    "data", [b"\0" * 100, b"\x16\x03\x01\x00\x04\x02\0\0\0", b"\x15\x03\x01\x00\x02\x01\x00"]
)
def test_what_is_no_handshake_gets_an_alert(server, data):
    with plain_client(server) as client:
        client.send(data)
        assert client.read_to_end()[:1] == b"\x15"


def openssl(server, *arguments):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"{server.host}:{server.port}", *arguments],
        input=b"",
        capture_output=True,
        check=False,
        timeout=10,
    )


def test_old_versions_get_an_alert(server):
    done = openssl(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert b"alert protocol version" in done.stderr


def test_weak_ciphers_are_refused(server):
    done = openssl(
        server,
        "-tls1_2",
        "-cipher",
        "AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256",
    )
    assert b"Cipher is (NONE)" in done.stdout


def client_hello(name="localhost") -> bytes:
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_a_handshake_has_a_deadline(server):
    hello = client_hello()
    begun = time.monotonic()
    clients = []
    for data in (b"", hello[:1], hello[:100], hello):
        clients.append(plain_client(server))
        clients[-1].send(data)
    for client in clients:
        with suppress(ConnectionResetError):
            client.read_to_end()
        assert HANDSHAKE_TIMEOUT - 0.3 < time.monotonic() - begun < HANDSHAKE_TIMEOUT + 1.5
        client.close()
    eventually(lambda: open_connections(server) == 0)


def test_a_hello_in_pieces(server, authority):
    """A client whose segments come one by one costs no turns of the loop in between."""
    server.app = hello
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="a.test")
    with plain_client(server) as connected:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        data = outgoing.read()
        for i in range(0, len(data), 60):
            connected.send(data[i : i + 60])
            time.sleep(0.005)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(connected.socket.recv(65536))
        connected.send(outgoing.read())
    names = [value for _, value in client.getpeercert()["subjectAltName"]]
    assert names == ["a.test"]


def test_silent_clients_do_not_keep_others_out(server, connect):
    server.app = hello
    silent = [socket.create_connection((server.host, server.port)) for _ in range(30)]
    try:
        for _ in range(3):
            assert connect(timeout=5).request().body == b"hello"
            assert server.server._listening.handshakes <= 8
    finally:
        for each in silent:
            each.close()
    eventually(lambda: server.server._listening.handshakes == 0)


def test_clients_that_leave_at_any_stage(server, connect, authority):
    entered = threading.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                entered.set()
                await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            entered.set()

    server.app = app
    hello = client_hello()
    for reset in (False, True):
        for length in (0, 1, 5, len(hello) // 2, len(hello)):
            client = plain_client(server)
            client.send(hello[:length])
            client.reset() if reset else client.close()
        for data in (
            b"",
            b"GET / HT",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
            b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            entered.clear()
            client = connect()
            client.send(data)
            if data.endswith((b"5", b"\n")):
                assert entered.wait(5)
            if reset:
                client.reset()
            else:
                client.close_without_notice()
    eventually(lambda: open_connections(server) == 0)
    assert all(isinstance(each, ClientDisconnected | None) for each in server.escaped)
    server.app = globals()["hello"]
    assert connect().request().body == b"hello"


# --- closing


def test_the_server_says_that_it_closes(server, connect):
    server.app = hello
    client = connect()
    assert client.request("GET", "/", ("Connection", "close")).header("connection") == b"close"
    assert client.at_end()  # by close_notify: a bare end of TCP would raise SSLEOFError


def test_a_close_notify_is_a_disconnect(server, connect):
    told = threading.Event()

    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    server.app = app
    client = connect()
    client.send_request()
    client.tls.settimeout(5)
    client.tls.unwrap().close()
    assert told.wait(5)


def test_a_refusal_is_not_lost_to_what_the_client_still_sends(server, connect):
    server.app = hello
    client = connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(20):
        client.send(bytes(50_000))
    assert client.read_response().status == 413


def test_a_slow_reader_gets_all_of_the_last_answer(server, connect):
    content = bytes(range(256)) * 12_000

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": content})

    server.app = app
    client = connect(receive_buffer=4096)
    client.send_request()
    assert server.wait_for_end() is None
    # For longer than the server lingers, but never so long that it counts as stalled.
    received = b""
    for _ in range(12):
        time.sleep(0.1)
        received += client.tls.recv(16384)
    client.buffer = received
    assert client.read_response().body == content
    assert client.at_end()


def test_a_reader_that_stalls_is_cut(server, connect):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})

    server.app = app
    client = connect(receive_buffer=4096)
    client.send_request()
    assert isinstance(server.wait_for_end(timeout=10), ClientDisconnected)
    eventually(lambda: open_connections(server) == 0)


def test_a_stalled_reader_of_a_last_answer_is_cut(server, connect):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": bytes(8_000_000)})

    server.app = app
    client = connect(receive_buffer=4096)
    client.send_request()
    server.wait_for_end()
    eventually(lambda: open_connections(server) == 0, timeout=10)


# --- other configurations


@pytest.mark.parametrize("off", [{"http2": False}, {"tls": {"alpn": ("http/1.1",)}}], ids=["http2", "alpn"])
def test_http2_is_not_offered_where_it_is_off(authority, site, off):
    settings = TLS(certfile=(str(site),), **off.get("tls", {}))
    with https(settings, **{name: value for name, value in off.items() if name != "tls"}) as server:
        server.app = hello
        assert curl(server, authority, "--http2", "-w", "%{http_version}") == b"hello1.1"
        with TLSClient(server.host, server.port, authority.client_context("h2", "http/1.1")) as client:
            assert client.tls.selected_alpn_protocol() == "http/1.1"


def https(settings, **options):
    return serving(tls=settings, binds=(Bind(port=0, scheme="https"),), **options)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_certificate_is_required(authority, site, client_certificate, loop):
    settings = TLS(certfile=(str(site),), ca_certs=str(authority.file), cert_reqs="required")
    with https(settings, loop=loop) as server:
        scopes = seen_by(server)
        stranger = Authority(authority.directory / "..")
        other = stranger.issue("other@site.test", file="other-client.pem")
        authority.ca.cert_pem.write_to_path(authority.file)
        for certificate in (None, other):
            context = authority.client_context(certificate=certificate)
            with pytest.raises(OSError), TLSClient(server.host, server.port, context) as client:
                client.request()  # TLS 1.3: only now does the client hear of it
        assert server.called == 0
        context = authority.client_context(certificate=client_certificate)
        with TLSClient(server.host, server.port, context) as client:
            assert client.request().status == 200
        assert scopes[0]["extensions"]["tls"]["client_cert_name"].startswith("CN=Someone")
        assert server.loop_errors == []


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_sessions_secrets_are_logged(authority, site, tmp_path, loop):
    """This goes by the event loop's own TLS."""
    file = tmp_path / "keys.log"
    settings = TLS(
        certfile=(str(site), str(authority.issue("b.test"))), keylog_file=str(file), min_version="1.3"
    )
    with https(settings, loop=loop) as server:
        scopes = seen_by(server)
        with TLSClient(server.host, server.port, authority.client_context("http/1.1"), "b.test") as client:
            for _ in range(2):
                assert client.request().body == b"hello"
            assert client.request("GET", "/", ("Connection", "close")).status == 200
            assert client.at_end()
            assert scopes[0]["extensions"]["tls"]["server_cert"] == client.certificate
        assert scopes[0]["extensions"]["tls"]["tls_version"] == 0x0304
        assert "CLIENT_TRAFFIC_SECRET_0" in file.read_text()
        context = authority.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            TLSClient(server.host, server.port, context)


def test_over_a_unix_socket(authority, site, tmp_path):
    path = str(tmp_path / "socket")
    with serving(
        tls=TLS(certfile=(str(site),)), binds=(Bind(kind="unix", path=path, scheme="https"),)
    ) as server:
        scopes = seen_by(server)
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(path)
        with authority.client_context().wrap_socket(connected, server_hostname="localhost") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert scopes[0]["scheme"] == "https"


def test_each_address_has_its_own_settings(authority, site, client_certificate):
    mutual = Bind(port=0, scheme="https", tls=(("ca_certs", str(authority.file)), ("cert_reqs", "required")))
    with serving(
        tls=TLS(certfile=(str(site),)), binds=(Bind(port=0, scheme="http"), Bind(port=0), mutual)
    ) as server:
        server.app = hello
        addresses = server.server.addresses
        with plain_client(server, 0) as client:
            assert client.request().status == 200
        with TLSClient(*addresses[1], authority.client_context()) as client:
            assert client.request().status == 200
        with pytest.raises(OSError), TLSClient(*addresses[2], authority.client_context()) as client:
            client.request()
        with TLSClient(*addresses[2], authority.client_context(certificate=client_certificate)) as client:
            assert client.request().status == 200


def received(client) -> bytes:
    data = client.socket.recv(65536)
    assert data, "the connection has ended"
    return data


def test_shutdown_lets_a_handshake_come_to_its_end(authority, site):
    patient = {"shutdown_idle": 5.0, "graceful_shutdown": 10.0}
    with https(TLS(certfile=(str(site),)), timeouts=patient) as server:
        server.app = hello
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with plain_client(server) as connected:
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            connected.send(outgoing.read())
            incoming.write(connected.socket.recv(65536))
            server.call_soon(server.stop_event.set)
            eventually(lambda: not server.server._doors.listeners[0]._accepting)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(received(connected))
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connected.send(outgoing.read())
            answer = b""
            while b"hello" not in answer:
                try:
                    answer += client.read()
                except ssl.SSLWantReadError:
                    incoming.write(received(connected))
            assert answer.startswith(b"HTTP/1.1 200")
