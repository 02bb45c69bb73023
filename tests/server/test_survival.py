"""Whatever one request does, the server goes on."""

import asyncio
import contextlib
import gc
import time

import pytest

from tests.support.process import eventually, start_server


async def ok(send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def ok_app(scope, receive, send):
    await ok(send)


def assert_alive(server):
    server.app = ok_app
    with server.client() as client:
        assert client.request().body == b"ok"


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException("base")],
)
@pytest.mark.parametrize("moment", ["called", "awaited", "streaming"])
def test_base_exceptions(server, error, moment):
    async def streaming(scope, receive, send):
        if moment == "awaited":
            await asyncio.sleep(0.01)
        if moment == "streaming":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            await asyncio.sleep(0.01)
        raise type(error)(*error.args)

    def called(scope, receive, send):
        raise type(error)(*error.args)

    async def app(scope, receive, send):
        await (called if moment == "called" else streaming)(scope, receive, send)

    server.app = app
    with server.client() as client:
        client.send_request()
        if moment == "streaming":
            client.read_head()
            assert client.read_chunk() == b"part"
            assert client.at_end()
        else:
            assert client.read_response().status == 500
    assert isinstance(server.wait_for_end(), type(error))
    assert_alive(server)


@pytest.mark.parametrize("value", [None, 5, "text"])
def test_an_application_that_is_no_coroutine_function(server, value):
    # `Serving.call` awaits it, as the server awaits what a plain function returns.
    server.app = lambda scope, receive, send: value
    with server.client() as client:
        assert client.request().status == 500
    assert_alive(server)


def test_a_deep_recursion(server):
    async def app(scope, receive, send):
        def down():
            return down()

        down()

    server.app = app
    with server.client() as client:
        assert client.request().status == 500
    assert_alive(server)


def test_generators_left_open(server):
    closed = []

    async def app(scope, receive, send):
        async def generator():
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

        async for _ in generator():
            break
        await ok(send)

    server.app = app
    with server.client() as client:
        for _ in range(3):
            assert client.request().body == b"ok"
    gc.collect()
    eventually(lambda: len(closed) == 3)
    assert_alive(server)


def test_tasks_left_running_go_on(server):
    done = []

    async def app(scope, receive, send):
        async def later():
            await asyncio.sleep(0.05)
            done.append(True)

        server.kept = asyncio.create_task(later())
        await ok(send)

    server.app = app
    with server.client() as client:
        assert client.request().body == b"ok"
    eventually(lambda: done)


def test_an_exception_with_a_hostile_repr(server):
    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError("no str")

        __repr__ = __str__

    async def app(scope, receive, send):
        raise Hostile

    server.app = app
    with server.client() as client:
        assert client.request().status == 500
    assert_alive(server)


def test_an_application_that_swallows_cancellation_and_every_error(server):
    async def app(scope, receive, send):
        for message in ({"type": "http.response.start"}, {"type": "nonsense"}, {}, None):
            with contextlib.suppress(BaseException):
                await send(message)
        await ok(send)

    server.app = app
    with server.client() as client:
        assert client.request().body == b"ok"


def test_a_blocked_loop_answers_late_but_all(server):
    async def app(scope, receive, send):
        time.sleep(0.1)
        await ok(send)

    server.app = app
    clients = [server.client() for _ in range(5)]
    for client in clients:
        client.send_request()
    for client in clients:
        assert client.read_response().body == b"ok"
        client.close()


def test_hostile_bytes_on_many_connections(server):
    server.app = ok_app
    for data in (
        b"\0" * 1000,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n",
        b"GET\r\n",
        b"\r\n" * 10,
    ):
        for _ in range(5):
            with server.client() as client:
                client.send(data)
                client.end()
                try:
                    answer = client.read_to_end()
                except ConnectionResetError:
                    continue
                refused = answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
                # HTTP/2 begins with our SETTINGS, and ends with the client.
                assert refused or (data.startswith(b"PRI ") and answer[3:9] == b"\4\0\0\0\0\0")
    assert_alive(server)


def test_exceptions_in_the_process_end_nothing(app_dir):
    """SystemExit out of a request is the case that ends other servers: here with the real process."""
    with start_server(app="applications:app", app_dir=app_dir) as server, server.client() as client:
        for path in ("/exit", "/interrupt", "/status-42", "/status-999999"):
            response = client.request("GET", path)
            assert response.status == 500, path
            if response.header("connection") == b"close":
                client.reconnect()
        assert client.request("GET", "/").status == 200
        server.wait_for_log("Traceback", count=4)
    assert server.log.count("Traceback") == 4
