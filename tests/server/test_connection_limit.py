"""How many connections there may be at a time: by the limit of them, and by that of open files."""

import asyncio
import resource
import socket
import ssl
import time

import pytest

from tests.support.inprocess import serving
from tests.support.process import eventually, start_server
from tidegate.config import TLS, Bind


async def ok(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def held_back(go_on):
    """An application that answers /wait once it may."""

    async def app(scope, receive, send):
        if scope["path"] == "/wait":
            await go_on.wait()
        await ok(scope, receive, send)

    return app


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("limit", [3, 20])
def test_at_the_connection_limit_the_longest_idle_is_closed(loop, limit):
    with serving(ok, limits={"connections": limit}, loop=loop) as server:
        clients = [server.client() for _ in range(limit)]
        for number in (2, 1, 0):
            assert clients[number].request().body == b"ok"
            time.sleep(0.6)
        for client in clients[3:]:
            assert client.request().body == b"ok"
        another = server.client()
        assert another.request().body == b"ok"
        assert clients[2].at_end()
        for client in clients[:2] + clients[3:]:
            assert client.request().body == b"ok"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("limit", [3, 20])
def test_where_all_connections_are_busy_others_wait(loop, limit):
    go_on = asyncio.Event()
    with serving(held_back(go_on), limits={"connections": limit}, loop=loop) as server:
        busy = [server.client() for _ in range(limit)]
        for client in busy:
            client.send_request("GET", "/wait")
        eventually(lambda: server.called == limit)
        waiting = [server.client() for _ in range(5)]  # in the kernel's queue
        for client in waiting:
            client.send_request()
        time.sleep(0.3)
        assert server.called <= limit + 1
        server.call_soon(go_on.set)
        for client in busy:
            assert client.read_response().body == b"ok"
            client.close()
        for client in waiting:
            assert client.read_response().body == b"ok"


class OneFlight:
    """A connection over TLS whose first request is sent together with the last message of its handshake."""

    def __init__(self, server, authority):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = authority.client_context().wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost"
        )
        self.socket = socket.create_connection((server.host, server.port), timeout=10)
        while True:
            try:
                self.session.do_handshake()
                return
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                self.incoming.write(self.socket.recv(65536))

    def ask(self, path):
        self.session.write(b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % path)
        self.socket.sendall(self.outgoing.read())

    def read(self):
        while True:
            try:
                return self.session.read(65536)
            except ssl.SSLWantReadError:
                received = self.socket.recv(65536)
                assert received, "the connection was closed"
                self.incoming.write(received)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("python", [False, True], ids=["aiofastnet", "ssl"])
def test_what_comes_with_the_end_of_a_handshake_waits_for_room(authority, tmp_path, loop, python):
    go_on = asyncio.Event()
    # Secrets are written by Python's own module.
    keys = str(tmp_path / "keys.log") if python else None
    tls = TLS(certfile=(str(authority.issue("localhost")),), keylog_file=keys)
    with serving(
        held_back(go_on),
        limits={"connections": 1},
        timeouts={"idle": 0.5},
        tls=tls,
        binds=(Bind(port=0, scheme="https"),),
        loop=loop,
    ) as server:
        busy, waiting, gone = (OneFlight(server, authority) for _ in range(3))
        busy.ask(b"/wait")
        eventually(lambda: server.called == 1)
        waiting.ask(b"/")
        gone.ask(b"/")
        eventually(lambda: server.server.open_connections == 3)
        gone.socket.close()  # frees no room: it had none
        time.sleep(1.5)  # longer than an idle connection may stay
        assert server.called == 1
        server.call_soon(go_on.set)
        assert busy.read().endswith(b"ok")
        busy.socket.close()
        assert waiting.read().endswith(b"ok")
        waiting.socket.close()


def test_those_who_wait_for_room_have_their_time_when_it_is_there():
    go_on = asyncio.Event()
    with serving(held_back(go_on), limits={"connections": 1}, timeouts={"idle": 0.5}) as server:
        server.call_soon(lambda: time.sleep(0.3))  # so that both are accepted in one turn of the loop
        busy = server.client()
        busy.send_request("GET", "/wait")
        waiting = server.client()
        eventually(lambda: server.called == 1)
        waiting.send_request()
        assert server.server.open_connections == 2
        time.sleep(1.5)
        assert server.called == 1
        server.call_soon(go_on.set)
        assert busy.read_response().body == b"ok"
        busy.close()
        assert waiting.read_response().body == b"ok"


def test_the_limit_of_open_files_is_shared_by_all_who_wait_for_a_peer(app_dir, authority):
    # 150 are left of it: 18 for handshakes, 18 for PROXY headers, 114 for connections.
    options = [
        "--ssl-certfile",
        str(authority.issue("localhost")),
        "--proxy-protocol",
        "v1",
        "--no-access-log",
    ]
    limit = ["prlimit", "--nofile=278:278"]
    with start_server(*options, app="applications:app", app_dir=app_dir, within=limit) as server:
        server.wait_for_log("Limits: 114 connections .not 10000: the limit of open files is too low")
        silent = [socket.create_connection((server.host, server.port), timeout=10) for _ in range(150)]
        greeting = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
        eventually(lambda: server.descriptors > 18)
        time.sleep(0.5)
        assert server.descriptors < 60
        for connected in silent[:60]:
            connected.sendall(greeting)  # and no handshake
        time.sleep(1)
        assert server.descriptors < 80
        for connected in silent:
            connected.close()
        for _ in range(30):
            with socket.create_connection((server.host, server.port), timeout=10) as connected:
                connected.sendall(greeting)
                with authority.client_context().wrap_socket(connected, server_hostname="localhost") as client:
                    client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert "Accepting pauses" not in server.log


def test_above_80_percent_of_the_limit_idle_connections_are_closed_sooner():
    with serving(ok, limits={"connections": 20}, timeouts={"keep_alive_busy": 1.5}) as server:
        clients = [server.client() for _ in range(18)]
        start = time.monotonic()
        while time.monotonic() - start < 3.5:
            for client in clients[:2]:  # in use all the time
                assert client.request().body == b"ok"
            time.sleep(0.05)
        for client in clients[2:4]:
            assert client.at_end()
        # Below the share again, the others may stay.
        assert clients[0].request().body == b"ok"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_running_out_of_descriptors(app_dir, loop):
    with start_server("--loop", loop, "--no-access-log", app="applications:app", app_dir=app_dir) as server:
        with server.client() as client:
            assert client.request().body == b"ok"
        time.sleep(0.1)
        room = server.descriptors + 10
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (room, room))
        clients = [server.client(timeout=3) for _ in range(30)]
        cpu = server.cpu_seconds
        time.sleep(1.2)
        assert server.cpu_seconds - cpu < 0.5  # it does not spin
        assert server.log.count("\n") < 30, server.log[-1000:]  # nor flood the log
        for client in clients[:5]:
            assert client.request().body == b"ok"
        for client in clients:
            client.close()
        time.sleep(0.2)

        def answered():
            with server.client(timeout=3) as client:
                return client.request().body == b"ok"

        assert answered()
        assert server.log.count("\n") < 30, server.log[-1000:]
