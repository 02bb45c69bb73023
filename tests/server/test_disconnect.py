"""A client that goes: `send` raises, `receive` tells, nothing is logged (ASGI www 2.4, "Disconnected Client")."""

import asyncio
import time

import anyio
import pytest

from tests.support.inprocess import serving
from tests.support.process import eventually
from tidegate.http.errors import ClientDisconnected

START = {"type": "http.response.start", "status": 200, "headers": []}


def more(data):
    return {"type": "http.response.body", "body": data, "more_body": True}


@pytest.fixture(params=["reset", "close"])
def leave(request):
    """How the client goes: with a TCP reset, or with a close that the server sees as the end of input."""
    return lambda client: getattr(client, request.param)()


def test_a_waiting_receive_wakes_at_once(server, leave):
    woken = []

    async def app(scope, receive, send):
        await receive()
        message = await receive()
        woken.append((time.monotonic(), message))
        assert await receive() == {"type": "http.disconnect"}

    server.app = app
    client = server.client()
    client.send_request()
    eventually(lambda: server.called)
    time.sleep(0.05)
    left = time.monotonic()
    leave(client)
    assert server.wait_for_end() is None
    assert woken[0][1] == {"type": "http.disconnect"}
    assert woken[0][0] - left < 0.5


def test_a_waiting_receive_wakes_while_the_application_streams(server, leave, caplog):
    woken = []

    async def app(scope, receive, send):
        async def watch():
            while (await receive())["type"] != "http.disconnect":
                pass
            woken.append(time.monotonic())

        watcher = asyncio.create_task(watch())
        await send(START)
        for _ in range(10):
            await send(more(b"tick"))
            await asyncio.sleep(0.01)
        await asyncio.wait_for(watcher, 5)

    server.app = app
    client = server.client()
    client.send_request()
    client.read_head()
    client.read_chunk()
    left = time.monotonic()
    leave(client)
    server.wait_for_end()
    assert woken[0] - left < 0.5


def test_send_raises_a_kind_of_oserror_and_letting_it_out_is_no_error(server, leave, caplog):
    async def app(scope, receive, send):
        await send(START)
        while True:
            await send(more(b"tick"))
            await asyncio.sleep(0.005)

    server.app = app
    client = server.client()
    client.send_request()
    client.read_head()
    leave(client)
    error = server.wait_for_end()
    assert isinstance(error, ClientDisconnected)
    assert isinstance(error, OSError)
    time.sleep(0.05)
    assert caplog.records == []


def test_frameworks_may_wrap_the_error(server, caplog):
    class FrameworkError(Exception):
        pass

    async def app(scope, receive, send):
        await send(START)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(self_streaming(send))
        except* OSError as group:
            raise FrameworkError from group

    async def self_streaming(send):
        while True:
            await send(more(b"tick"))
            await asyncio.sleep(0.005)

    server.app = app
    client = server.client()
    client.send_request()
    client.read_head()
    client.reset()
    server.wait_for_end()
    time.sleep(0.05)
    assert caplog.records == []


def test_an_error_of_its_own_after_the_client_has_gone_is_still_logged(server, caplog):
    async def app(scope, receive, send):
        await receive()
        await receive()
        raise LookupError("its own")

    server.app = app
    client = server.client()
    client.send_request()
    eventually(lambda: server.called)
    client.reset()
    server.wait_for_end()
    eventually(lambda: "LookupError: its own" in caplog.text)


def test_a_send_that_waits_for_a_slow_reader_raises_too(server):
    async def app(scope, receive, send):
        await send(START)
        while True:
            await send(more(bytes(65536)))

    server.app = app
    client = server.client(receive_buffer=4096)
    client.send_request()
    client.read_head()
    time.sleep(0.1)
    client.reset()
    assert isinstance(server.wait_for_end(), ClientDisconnected)


def test_leaving_within_an_upload_is_told_by_receive(server, leave):
    messages = []

    async def app(scope, receive, send):
        while not messages or messages[-1]["type"] != "http.disconnect":
            messages.append(await receive())

    server.app = app
    client = server.client()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    eventually(lambda: messages)
    leave(client)
    assert server.wait_for_end() is None
    assert messages == [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]


def test_after_the_answer_receive_tells_disconnect(server, client):
    messages = []

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})
        messages.append(await receive())
        messages.append(await receive())

    server.app = app
    assert client.request("POST", body=b"unread").body == b"x"
    assert server.wait_for_end() is None
    assert messages == [{"type": "http.disconnect"}] * 2


def test_a_client_that_only_ended_its_side_still_gets_its_answer(server, client):
    # RFC 9112 §9.6: a half-close is not a disconnect.
    async def app(scope, receive, send):
        await asyncio.sleep(0.1)
        await send(START)
        for _ in range(3):
            await send(more(b"tick"))
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body"})

    server.app = app
    client.send_request()
    client.end()
    assert client.read_response().body == b"tick" * 3
    assert client.at_end()


def test_the_application_goes_on_after_its_client_unless_told_otherwise(server):
    done = []

    async def app(scope, receive, send):
        await asyncio.sleep(0.2)
        done.append(True)

    server.app = app
    client = server.client()
    client.send_request()
    eventually(lambda: server.called)
    client.reset()
    assert server.wait_for_end() is None
    assert done == [True]


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize("kind", ["http", "websocket", "handshake"])
def test_cancel_on_disconnect(caplog, leave, kind):
    async def app(scope, receive, send):
        if kind == "websocket":
            await send({"type": "websocket.accept"})
        await asyncio.sleep(10)

    with serving(app, cancel_on_disconnect=0.1) as server:
        client = server.client()
        if kind == "http":
            client.send_request()
        else:
            client.send(HANDSHAKE)
        eventually(lambda: server.called)
        time.sleep(0.05)
        start = time.monotonic()
        leave(client)
        assert isinstance(server.wait_for_end(), asyncio.CancelledError)
        assert 0.05 < time.monotonic() - start < 2
        time.sleep(0.05)
    # It was the server that cancelled it.
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_it_is_cancelled_once(caplog):
    """Also where the client's end of input and its reset come one after the other."""
    cancelled = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(True)
            await asyncio.sleep(0.5)
            raise

    with serving(app, cancel_on_disconnect=0.1) as server:
        client = server.client()
        client.send_request()
        eventually(lambda: server.called)
        client.end()
        time.sleep(0.05)
        client.reset()
        start = time.monotonic()
        assert isinstance(server.wait_for_end(), asyncio.CancelledError)
        assert time.monotonic() - start > 0.4
    assert cancelled == [True]


def test_who_was_told_may_end_without_an_answer(server, leave, caplog):
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    server.app = app
    client = server.client()
    client.send_request()
    eventually(lambda: server.called)
    time.sleep(0.05)
    leave(client)
    assert server.wait_for_end() is None
    time.sleep(0.05)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_who_was_not_told_may_not(server, client, caplog):
    async def app(scope, receive, send):
        await asyncio.sleep(0.1)

    server.app = app
    client.send_request()
    client.end()
    assert client.read_response().status == 500
    assert "the application returned without a response" in caplog.text


def test_a_request_that_ends_in_time_is_not_cancelled():
    async def app(scope, receive, send):
        await receive()
        await receive()
        await asyncio.sleep(0.05)

    with serving(app, cancel_on_disconnect=0.5) as server:
        client = server.client()
        client.send_request()
        eventually(lambda: server.called)
        client.reset()
        assert server.wait_for_end() is None


async def finished(scope, receive, send):
    await send(START | {"headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def polling(seen, wait):
    """An application that asks by `wait(receive)` whether its client has gone: False while it has not."""

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        else:
            while (await receive()).get("more_body"):
                pass
        for _ in range(3):
            seen.append(await wait(receive))
        if scope["type"] == "http":
            await finished(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    return app


async def scope_cancelled(receive):
    # Starlette's Request.is_disconnected: anyio knows by its message whose cancellation it is.
    with anyio.CancelScope() as scope:
        scope.cancel()
        return (await receive())["type"].endswith("disconnect")
    return False


async def moved_on(receive):
    with anyio.move_on_after(0.01):
        return (await receive())["type"].endswith("disconnect")
    return False


async def failed_after(receive):
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await receive()
    return False


async def waited_for(receive):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(), 0.01)
    return False


async def cancelled_with_a_message(receive):
    task = asyncio.create_task(receive())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    return False


WAITS = [scope_cancelled, moved_on, failed_after, waited_for, cancelled_with_a_message]


@pytest.mark.parametrize("wait", WAITS)
def test_who_only_asks_whether_the_client_has_gone(server, client, wait):
    seen = []
    server.app = polling(seen, wait)
    assert client.request("POST", "/", body=b"tide").body == b"ok"
    assert server.wait_for_end() is None
    assert seen == [False] * 3


@pytest.mark.parametrize("wait", WAITS)
def test_who_only_asks_whether_the_websockets_client_has_gone(server, client, wait):
    seen = []
    server.app = polling(seen, wait)
    client.send(HANDSHAKE)
    assert server.wait_for_end() is None
    assert seen == [False] * 3


def test_who_asks_finds_that_the_client_has_gone(server, leave):
    found = []

    async def app(scope, receive, send):
        await receive()
        while not await scope_cancelled(receive):
            await asyncio.sleep(0.01)
        found.append(True)

    server.app = app
    client = server.client()
    client.send_request()
    eventually(lambda: server.called)
    leave(client)
    assert server.wait_for_end() is None
    assert found == [True]
