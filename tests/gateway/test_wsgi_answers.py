"""Answers of WSGI applications, and the threads that they are made in (PEP 3333)."""

import asyncio
import contextvars
import gc
import sys
import threading
import time

import pytest

from tests.gateway.wsgi_client import TEXT, call, respond
from tests.support.asgi import Exchange, http_scope
from tidegate.gateway.wsgi import WSGIApplication
from tidegate.http.errors import ClientDisconnected

# start_response and write ("The start_response() Callable")


def test_the_head_waits_for_the_first_content_and_can_be_replaced_until_then():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b""
        try:
            raise KeyError("found late")
        except KeyError:
            start_response("500 Oops", [("X-Error", "1")], sys.exc_info())
        yield b"sorry"

    exchange = call(app)
    assert exchange.status == 500
    assert exchange.headers == [(b"x-error", b"1")]
    assert exchange.body == b"sorry"


def test_exc_info_after_the_head_was_sent_is_raised():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"some"
        try:
            raise KeyError("too late")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())

    with pytest.raises(KeyError, match="too late"):
        call(app)


def test_write_comes_before_the_result():
    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"three"]

    assert call(app).body == b"one two three"


def test_an_empty_result_still_answers():
    exchange = call(respond("304 Not Modified", [], []))
    assert exchange.status == 304
    assert exchange.body == b""


@pytest.mark.parametrize(
    ("app", "error", "words"),
    [
        (lambda environ, start_response: [b"x"], RuntimeError, "before it called start_response"),
        (lambda environ, start_response: [], RuntimeError, "before it called start_response"),
        (respond(body=["x"]), TypeError, "bytes, not str"),
        (respond(body="x"), TypeError, "bytes, not str"),
        (respond(body=None), TypeError, "not iterable"),
        (respond(status="OK"), ValueError, "'OK' is no status"),
        (respond(status="2000 OK"), ValueError, "is no status"),
        (respond(status="200\r\nX: y"), ValueError, "is no status"),
        (respond(status=200), TypeError, "expected string"),
        (respond(headers=[("X", "\u20ac")]), UnicodeEncodeError, "latin-1"),
        (respond(headers=[("X", 1)]), AttributeError, "encode"),
        (
            respond(headers=[("Content-Length", "3")], body=[b"ab", b"cd"]),
            ValueError,
            "more than its Content-Length",
        ),
    ],
)
def test_a_broken_application_gets_a_clear_error(app, error, words):
    with pytest.raises(error, match=words):
        call(app)


def test_start_response_twice_needs_exc_info():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        start_response("201 Created", TEXT)
        return []

    with pytest.raises(RuntimeError, match="twice"):
        call(app)


# The result ("Handling the Content-Length Header", "Buffering and Streaming")


class Result:
    """An iterable that notes its own end."""

    def __init__(self, chunks):
        self.chunks = iter(chunks)
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        return next(self.chunks)

    def close(self):
        self.closed.set()


def test_iteration_stops_at_the_content_length():
    result = Result([b"ab", b"cd", b"never"])
    exchange = call(respond(headers=[("Content-Length", "4")], body=result))
    assert exchange.body == b"abcd"
    assert len(exchange.sent) == 3  # the last content said that it was the last
    assert result.taken == 2
    assert result.closed.is_set()


def test_close_is_called_after_an_exception_too():
    def chunks():
        yield b"a"
        raise LookupError("midway")

    result = Result(chunks())
    with pytest.raises(LookupError, match="midway"):
        call(respond(body=result))
    assert result.closed.is_set()


def test_each_block_is_sent_while_the_next_is_being_made():
    async def main():
        exchange = Exchange(http_scope())
        go_on = threading.Event()

        def app(environ, start_response):
            start_response("200 OK", TEXT)
            yield b"first"
            go_on.wait(10)
            yield b"second"

        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1)))
        while len(exchange.sent) < 2:
            await asyncio.sleep(0.001)
        assert exchange.sent[1]["body"] == b"first"
        assert not task.done()
        go_on.set()
        await asyncio.wait_for(task, 10)
        assert exchange.body == b"firstsecond"

    asyncio.run(main())


def test_a_slow_client_holds_the_application_back():
    async def main():
        exchange = Exchange(http_scope())
        exchange.writable.clear()
        result = Result(bytes(1000) for _ in range(200))
        task = asyncio.ensure_future(
            exchange.run(WSGIApplication(respond(body=result), 1, high_water=10_000))
        )
        await asyncio.sleep(0.1)
        taken = result.taken
        exchange.writable.set()
        await asyncio.wait_for(task, 10)
        assert 10 <= taken <= 12
        assert len(exchange.body) == 200_000

    asyncio.run(main())


def test_the_client_going_stops_the_iteration_and_closes_the_result():
    def endless():
        while True:
            time.sleep(0.001)
            yield b"tick"

    result = Result(endless())

    async def main():
        exchange = Exchange(http_scope())
        task = asyncio.ensure_future(exchange.run(WSGIApplication(respond(body=result), 1)))
        while len(exchange.sent) < 3:
            await asyncio.sleep(0.001)
        exchange.gone = True
        await asyncio.wait_for(task, 10)

    with pytest.raises(ConnectionResetError, match="gone"):
        asyncio.run(main())
    assert result.closed.is_set()


def test_a_server_whose_send_never_raises_is_heard_all_the_same():
    def endless():
        while True:
            time.sleep(0.001)
            yield b"tick"

    result = Result(endless())

    async def main():
        # ASGI www 2.4, "Disconnected Client": before it, send need not raise.
        exchange = Exchange(http_scope(asgi={"version": "3.0", "spec_version": "2.3"}))
        task = asyncio.ensure_future(exchange.run(WSGIApplication(respond(body=result), 1)))
        while len(exchange.sent) < 3:
            await asyncio.sleep(0.001)
        exchange.incoming.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientDisconnected):
            await asyncio.wait_for(task, 10)

    asyncio.run(main())
    assert result.closed.is_set()


def test_a_client_that_ended_its_side_gets_the_rest_of_a_stream():
    ended = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"one "
        ended.wait(10)
        yield b"two"

    async def main():
        exchange = Exchange(http_scope())
        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1)))
        while exchange.received < 2:
            await asyncio.sleep(0.001)
        exchange.incoming.put_nowait({"type": "http.disconnect"})
        while not exchange.incoming.empty():
            await asyncio.sleep(0.001)
        ended.set()
        await asyncio.wait_for(task, 10)
        assert exchange.body == b"one two"

    asyncio.run(main())


def test_a_stream_that_has_nothing_to_send_ends_with_its_client():
    def waiting():
        yield b"first"
        while True:
            time.sleep(0.001)
            yield b""

    result = Result(waiting())

    async def main():
        exchange = Exchange(http_scope())
        task = asyncio.ensure_future(exchange.run(WSGIApplication(respond(body=result), 1)))
        while exchange.received < 2:
            await asyncio.sleep(0.001)
        exchange.incoming.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientDisconnected):
            await asyncio.wait_for(task, 10)

    asyncio.run(main())
    assert result.closed.is_set()


def test_a_stream_leaves_a_continue_to_the_application():
    def chunks():
        for _ in range(5):
            time.sleep(0.005)
            yield b"tick"

    scope = http_scope("POST", headers=[(b"expect", b"100-continue"), (b"content-length", b"1")])
    assert call(respond(body=chunks()), scope).received == 0


def test_cancelling_the_request_frees_its_thread():
    def endless():
        while True:
            time.sleep(0.001)
            yield b"" if result.taken > 5 else b"tick"

    result = Result(endless())

    async def main():
        adapter = WSGIApplication(respond(body=result), 1)
        exchange = Exchange(http_scope())
        running = asyncio.ensure_future(exchange.run(adapter))
        while len(exchange.sent) < 3:
            await asyncio.sleep(0.001)
        queued = asyncio.ensure_future(Exchange(http_scope()).run(adapter))
        await asyncio.sleep(0.01)
        for task in (queued, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.to_thread(result.closed.wait, 10)
        adapter.app = respond(body=[b"free"])
        assert (await Exchange(http_scope()).run(adapter)).body == b"free"

    asyncio.run(main())


def test_a_thread_outliving_the_loop_is_told_so():
    go_on, ended = threading.Event(), threading.Event()
    caught = []

    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        go_on.wait(10)
        try:
            write(b"x")
            write(b"y")
        except BaseException as error:
            caught.append(error)
        ended.set()
        return []

    async def main():
        task = asyncio.ensure_future(Exchange(http_scope()).run(WSGIApplication(app, 1)))
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(main())
    go_on.set()
    assert ended.wait(10)
    assert isinstance(caught[0], asyncio.CancelledError)


def test_a_thread_left_behind_reads_nothing_more():
    go_on = threading.Event()
    caught = []

    def app(environ, start_response):
        go_on.wait(10)
        try:
            environ["wsgi.input"].read()
        except BaseException as error:
            caught.append(error)
        return []

    async def main():
        exchange = Exchange(http_scope("POST"), [b"x"])
        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1)))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        go_on.set()
        while not caught:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        assert exchange.received == 0

    asyncio.run(main())
    assert isinstance(caught[0], asyncio.CancelledError)


# Threads and context


def test_no_more_threads_than_asked_for_run_at_once():
    running, most = 0, 0
    lock = threading.Lock()

    def app(environ, start_response):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        start_response("200 OK", TEXT)
        return [b"x"]

    async def main():
        adapter = WSGIApplication(app, 3)
        await asyncio.gather(*(Exchange(http_scope()).run(adapter) for _ in range(12)))

    asyncio.run(main())
    assert most == 3


def test_a_pool_without_threads_is_refused():
    with pytest.raises(ValueError, match="greater than 0"):
        WSGIApplication(respond(), 0)


def test_the_application_sees_the_requests_context():
    variable = contextvars.ContextVar("variable", default="unset")

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        body = [variable.get().encode()]
        variable.set("changed")
        return body

    async def main():
        adapter = WSGIApplication(app, 1)
        bodies = []
        for name in ("one", "two"):
            variable.set(name)
            bodies.append((await Exchange(http_scope()).run(adapter)).body)
            assert variable.get() == name
        return bodies

    assert asyncio.run(main()) == [b"one", b"two"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3)])
def test_an_exception_reaches_the_server_and_leaves_no_cycle(error):
    class Marker:
        alive = 0

        def __init__(self):
            Marker.alive += 1

        def __del__(self):
            Marker.alive -= 1

    def app(environ, start_response):
        marker = Marker()
        assert marker
        raise type(error)(*error.args)

    async def main():
        with pytest.raises(type(error)):
            await Exchange(http_scope()).run(WSGIApplication(app, 1))

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
        assert Marker.alive == 0
    finally:
        gc.enable()
