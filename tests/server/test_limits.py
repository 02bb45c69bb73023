"""Limits and timeouts, with values small enough to wait for. The timer wheel is coarse: up to half a second late."""

import asyncio
import threading
import time

import pytest

import tests.support.http2 as h2
from tests.support.inprocess import serving
from tests.support.process import eventually
from tidegate.http.errors import ClientDisconnected

LATE = 1.0  # seconds that a deadline may be late on this machine, the wheel's tick included


async def ok(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def read_all(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await ok(scope, receive, send)


def ended_after(client):
    """Seconds until the server ends the connection, and what it sent by then."""
    start = time.monotonic()
    data = client.read_to_end()
    return time.monotonic() - start, data


def drip(client, data, interval):
    """Send octet by octet until told to stop; returns the function that does."""
    stop = threading.Event()

    def run():
        for octet in data:
            if stop.wait(interval):
                return
            try:
                client.socket.send(bytes((octet,)))
            except OSError:
                return

    thread = threading.Thread(target=run)
    thread.start()

    def end():
        stop.set()
        thread.join()

    return end


# Timeouts


@pytest.fixture(scope="module")
def impatient():
    """Its deadlines differ enough to be told apart."""
    timeouts = {
        "idle": 0.5,
        "keep_alive": 1.0,
        "head": 1.5,
        "min_body_rate": 240,
        "body_rate_window": 1.0,
        "write": 1.0,
        "linger": 0.5,
    }
    with serving(timeouts=timeouts) as server:
        yield server


@pytest.fixture
def server(impatient):
    impatient.reset()
    impatient.app = ok
    yield impatient
    assert impatient.loop_errors == []


def test_a_connection_that_sends_nothing_is_closed_silently(server):
    with server.client() as client:
        after, data = ended_after(client)
    assert data == b""
    assert 0.4 < after < 0.5 + LATE


def test_a_connection_idle_between_requests_is_closed_silently(server):
    with server.client() as client:
        assert client.request().body == b"ok"
        after, data = ended_after(client)
    assert data == b""
    assert 0.9 < after < 1.0 + LATE


def test_a_request_that_a_late_loop_has_not_read_is_answered(server):
    blocked = threading.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/block":
            blocked.set()
            time.sleep(1.6)  # longer than keep_alive, and a tick
        await ok(scope, receive, send)

    server.app = app
    with server.client() as idle:
        assert idle.request().body == b"ok"
        (waiting,) = server.server._acceptor.connections
        eventually(lambda: waiting.idle_since < float("inf"))  # its clock runs
        with server.client() as busy:
            busy.send_request("GET", "/block")
            assert blocked.wait(5)
            idle.send_request("POST", "/", body=b"once")
            assert busy.read_response().body == b"ok"
            assert idle.read_response().body == b"ok"


def test_a_head_that_is_not_complete_in_time_is_a_408(server):
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        after, data = ended_after(client)
    assert data.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in data.lower()
    assert 1.4 < after < 1.5 + LATE


def test_dripping_a_head_does_not_move_its_deadline(server):
    with server.client() as client:
        end = drip(client, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 200, 0.05)
        after, data = ended_after(client)
        end()
    assert data.startswith(b"HTTP/1.1 408 ")
    assert 1.4 < after < 1.5 + LATE


def test_the_second_head_on_a_connection_has_its_own_deadline(server):
    with server.client() as client:
        assert client.request().body == b"ok"
        time.sleep(0.5)
        client.send(b"GET")
        after, data = ended_after(client)
    assert data.startswith(b"HTTP/1.1 408 ")
    assert 1.4 < after < 1.5 + LATE


def test_a_request_just_in_time_is_served(server):
    with server.client() as client:
        time.sleep(0.3)
        client.send(b"GET / HTTP/1.1\r\n")
        time.sleep(1.2)
        client.send(b"Host: x\r\n\r\n")
        assert client.read_response().body == b"ok"


def test_a_body_slower_than_its_rate_is_a_408(server):
    server.app = read_all
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        end = drip(client, bytes(1000), 0.05)
        after, data = ended_after(client)
        end()
    assert data.startswith(b"HTTP/1.1 408 ")
    assert 0.9 < after < 1.0 + 2 * LATE
    server.wait_for_end()


def test_a_stalled_body_is_a_408_and_the_application_is_told(server):
    messages = []

    async def app(scope, receive, send):
        while not messages or messages[-1]["type"] != "http.disconnect":
            messages.append(await receive())

    server.app = app
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
        assert client.read_response().status == 408
    assert server.wait_for_end() is None
    assert messages[-1] == {"type": "http.disconnect"}


def test_a_body_fast_enough_is_not_cut(server):
    server.app = read_all
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1500\r\n\r\n")
        for _ in range(30):
            client.send(bytes(50))  # 500 octets a second, for 3 seconds
            time.sleep(0.1)
        assert client.read_response().body == b"ok"


def test_the_bodys_clock_waits_while_the_server_does_not_read(server):
    async def app(scope, receive, send):
        await asyncio.sleep(2.5)
        await read_all(scope, receive, send)

    server.app = app
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n")
        client.send(bytes(20_000_000))
        assert client.read_response().body == b"ok"


def test_the_bodys_clock_waits_for_100_continue(server):
    async def app(scope, receive, send):
        await asyncio.sleep(2.5)
        await read_all(scope, receive, send)

    server.app = app
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == 100
        client.send(b"body")
        assert client.read_response().body == b"ok"


def test_the_bodys_clock_stops_once_the_answer_began(server):
    # As for a chat that is one long request and one long answer.
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.body"})

    server.app = app
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        client.read_head()
        assert client.read_chunk() == b"begun"
        assert client.silent(2.5)
        client.send(b"body")
        assert client.read_chunk() is None


def test_a_peer_that_takes_nothing_is_cut(server):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})

    server.app = app
    with server.client(receive_buffer=4096) as client:
        client.send_request()
        start = time.monotonic()
        assert isinstance(server.wait_for_end(), ClientDisconnected)
        assert 0.9 < time.monotonic() - start < 1.0 + 2 * LATE


def test_a_slow_reader_that_takes_something_is_not_cut(server):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        await send({"type": "http.response.body"})

    server.app = app
    with server.client(receive_buffer=8192) as client:
        client.send_request()
        client.read_head()
        slow_until = time.monotonic() + 3
        while time.monotonic() < slow_until:
            assert client.socket.recv(65536)
            time.sleep(0.1)
        client.buffer = b""
        while b"0\r\n\r\n" not in client.buffer[-16:]:
            assert client.fill()
    assert server.wait_for_end() is None


def test_a_late_reader_that_then_stays_is_let_go():
    """The time for it to close in turn begins when it has taken all, and is not `--timeout-write`."""

    async def app(scope, receive, send):
        head = [(b"content-length", b"8000000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": bytes(8000000)})

    with (
        serving(app, timeouts={"linger": 0.3, "write": 30}) as server,
        server.client(receive_buffer=8192) as client,
    ):
        client.send_request()
        time.sleep(1)
        assert client.read_to_end().endswith(bytes(1000))

        def let_go() -> bool:
            try:
                client.send(b"x")
            except OSError:
                return True
            return False

        eventually(let_go, 0.3 + 2 * LATE)


def test_an_application_may_take_its_time(server):
    async def app(scope, receive, send):
        await asyncio.sleep(3)
        await ok(scope, receive, send)

    server.app = app
    with server.client() as client:
        assert client.request().body == b"ok"


def test_a_silent_client_after_an_error_is_closed(server):
    with server.client() as client:
        client.send(b"BAD\r\n\r\n")
        assert client.read_response().status == 400
        assert client.at_end()
        # Lingering ends too: then nobody is there any more.
        deadline = time.monotonic() + 0.5 + 2 * LATE
        while time.monotonic() < deadline:
            try:
                client.send(b"x")
            except OSError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the server discards input for ever")


def test_200_slow_loris_connections_hinder_nobody_and_are_cut(server):
    clients = [server.client() for _ in range(200)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nX-a: ")
    start = time.monotonic()
    while time.monotonic() - start < 1.2:
        for client in clients:
            client.send(b"b")
        with server.client() as other:
            assert other.request().body == b"ok"
        time.sleep(0.1)
    for client in clients:
        assert client.read_response().status == 408
        client.close()
    assert time.monotonic() - start < 1.5 + 2 * LATE


# Sizes


@pytest.fixture(scope="module")
def narrow_server():
    limits = {"request_line": 100, "head": 500, "fields": 10, "body": 1000, "trailers": 50, "pipelined": 4}
    with serving(limits=limits) as server:
        yield server


@pytest.fixture
def narrow(narrow_server):
    narrow_server.reset()
    narrow_server.app = read_all
    return narrow_server


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 500 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 500, 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: x\r\n" % n for n in range(11)) + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 400),
    ],
)
def test_what_is_too_large_never_reaches_the_application(narrow, data, status):
    with narrow.client() as client:
        client.send(data)
        response = client.read_response()
        assert response.status == status
        assert response.header("connection") == b"close"
        assert client.at_end()
    assert narrow.called == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * 80 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 400 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: x\r\n" % n for n in range(9)) + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + bytes(1000),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"
        + bytes(1000)
        + b"\r\n0\r\n\r\n",
    ],
)
def test_what_just_fits_is_served(narrow, data):
    with narrow.client() as client:
        client.send(data)
        assert client.read_response().body == b"ok"
        assert client.request().body == b"ok"


def test_chunks_beyond_the_limit_are_a_413(narrow):
    with narrow.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"1f4\r\n" + bytes(500) + b"\r\n")
        client.send(b"1f5\r\n" + bytes(501) + b"\r\n0\r\n\r\n")
        assert client.read_response().status == 413
        assert client.at_end()
    if narrow.called:  # unless all of it came in one piece
        error = narrow.wait_for_end()
        assert error is None or isinstance(error, OSError)


def test_a_413_is_not_lost_to_a_reset(narrow):
    with narrow.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            client.send(bytes(100_000))
        assert client.read_response().status == 413


def test_trailers_beyond_the_limit(narrow):
    with narrow.client() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: "
            + b"x" * 100
            + b"\r\n\r\n"
        )
        assert client.read_response().status in (400, 431)
        assert client.at_end()


def test_more_pipelined_requests_than_may_wait_are_all_answered_in_time(narrow):
    with narrow.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        for _ in range(50):
            assert client.read_response().body == b"ok"


# Counts


def test_concurrency():
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/wait":
            await go_on.wait()
        await ok(scope, receive, send)

    with serving(app, limits={"concurrency": 2}) as server:
        waiting = [server.client() for _ in range(2)]
        for client in waiting:
            client.send_request("GET", "/wait")
        eventually(lambda: server.called == 2)
        with server.client() as client:
            response = client.request()
            assert response.status == 503
            assert response.header("retry-after").isdigit()
        assert server.called == 2
        server.call_soon(go_on.set)
        for client in waiting:
            assert client.read_response().body == b"ok"
            client.close()
        with server.client() as client:
            assert client.request().body == b"ok"


def test_concurrency_of_requests_that_come_in_one_read():
    """Their applications start behind their content; they count from their heads on."""
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await go_on.wait()
        await ok(scope, receive, send)

    def burst(ids, *broken):
        return b"".join([h2.post(n) + h2.data(n, b"x", end=True) for n in ids] + list(broken))

    with serving(app, limits={"concurrency": 3}) as server, server.client() as client:
        parser = h2.FrameParser()
        statuses: dict[int, int] = {}

        def read(count):
            while len(statuses) < count:
                for each in parser.receive(client.socket.recv(65536)):
                    if each.kind == h2.HEADERS:
                        statuses[each.stream_id] = each.status

        client.send(h2.PREFACE + h2.settings() + h2.SETTINGS_ACK + burst(range(1, 21, 2)))
        read(7)
        eventually(lambda: server.called == 3)
        assert set(statuses.values()) == {503}
        server.call_soon(go_on.set)
        read(10)
        assert sorted(statuses.values()) == [200] * 3 + [503] * 7
        # Those that come to nothing before they are started leave their places to others.
        malformed = b"".join(
            h2.headers(n, [*h2.POST, (b"content-length", b"1")], end=False) + h2.data(n, b"too much")
            for n in range(21, 41, 2)
        )
        cancelled = b"".join(h2.post(n) + h2.reset(n) for n in range(41, 61, 2))
        client.send(malformed + cancelled + h2.ping())
        while not any(each.kind == h2.PING for each in parser.receive(client.socket.recv(65536))):
            pass
        statuses.clear()
        client.send(burst(range(61, 67, 2)))
        read(3)
        assert set(statuses.values()) == {200}
