"""Content of requests to WSGI applications (PEP 3333, "Input and Error Streams")."""

import asyncio
import gc
import threading
import tracemalloc

import pytest

from tests.gateway.wsgi_client import TEXT, call, environ_of, respond
from tests.support.asgi import Exchange, http_scope
from tidegate.gateway.wsgi import WSGIApplication
from tidegate.http.errors import ClientDisconnected

# wsgi.input ("Input and Error Streams")


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda body: body.read(), b"line one\nline two\nrest"),
        (
            lambda body: body.read(4) + b"|" + body.read(100) + b"|" + body.read(1),
            b"line| one\nline two\nrest|",
        ),
        (lambda body: body.read(0), b""),
        (lambda body: body.readline() + b"|" + body.readline(3), b"line one\n|lin"),
        (lambda body: b"|".join(body.readlines()), b"line one\n|line two\n|rest"),
        (lambda body: b"|".join(body.readlines(1)), b"line one\n"),
        (lambda body: b"|".join(body), b"line one\n|line two\n|rest"),
    ],
)
def test_reading(read, expected):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [read(environ["wsgi.input"])]

    assert call(app, http_scope("POST"), [b"line o", b"", b"ne\nline ", b"two\nre", b"st"]).body == expected


def test_content_is_asked_for_only_when_it_is_read():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [b"no need"]

    assert call(app, http_scope("POST", headers=[(b"expect", b"100-continue")]), [b"x"]).received == 0


UPLOAD = [(b"host", b"example.org"), (b"content-length", b"5")]


def test_content_is_here_before_a_thread_is_taken():
    called = threading.Event()

    def app(environ, start_response):
        called.set()
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read()]

    async def main():
        exchange = Exchange(http_scope("POST", headers=UPLOAD), [])
        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1)))
        for part, more in ((b"he", True), (b"llo", False)):
            await asyncio.sleep(0.02)
            assert not called.is_set()
            exchange.incoming.put_nowait({"type": "http.request", "body": part, "more_body": more})
        await asyncio.wait_for(task, 10)
        assert exchange.body == b"hello"

    asyncio.run(main())


def test_a_client_that_leaves_before_takes_no_thread():
    async def main():
        adapter = WSGIApplication(respond(), 1)
        exchange = Exchange(http_scope("POST", headers=UPLOAD), [])
        exchange.incoming.put_nowait({"type": "http.request", "body": b"he", "more_body": True})
        exchange.disconnect()
        with pytest.raises(ClientDisconnected):
            await exchange.run(adapter)
        assert not adapter.executor._threads
        assert adapter.held_ahead == 0

    asyncio.run(main())


@pytest.mark.parametrize("length", [[], [(b"content-length", b"0")]])
def test_a_request_without_content_goes_straight_to_its_thread(length):
    app = respond(headers=[("Content-Length", "1")])
    assert call(app, http_scope(headers=length), []).received == 0


@pytest.mark.parametrize(("read_ahead", "taken"), [(0, 1), (1, 1), (2500, 3), (10_000, 10)])
def test_no_more_than_the_bound_is_read_ahead(read_ahead, taken):
    async def main():
        exchange = Exchange(http_scope("POST", headers=UPLOAD), [bytes(1000)] * 10)
        received = []

        def app(environ, start_response):
            received.append(exchange.received)
            start_response("200 OK", TEXT)
            return [b"%d" % len(environ["wsgi.input"].read())]

        await exchange.run(WSGIApplication(app, 1, read_ahead=read_ahead, high_water=2000))
        assert received == [taken]
        assert exchange.body == b"10000"

    asyncio.run(main())


def test_all_requests_together_read_ahead_no_more_than_64_times_the_bound():
    async def main():
        adapter = WSGIApplication(respond(), 1, read_ahead=1000)
        begun = [Exchange(http_scope("POST", headers=UPLOAD), []) for _ in range(80)]
        for exchange in begun:
            exchange.incoming.put_nowait({"type": "http.request", "body": bytes(990), "more_body": True})
        tasks = [asyncio.ensure_future(exchange.run(adapter)) for exchange in begun]
        await asyncio.gather(*tasks[64:])
        assert adapter.held_ahead == 64 * 990
        assert not any(task.done() for task in tasks[:64])
        for exchange in begun:
            exchange.incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await asyncio.gather(*tasks)
        assert adapter.held_ahead == 0

    asyncio.run(main())


def test_content_in_tiny_pieces_takes_no_more_than_its_size():
    async def main():
        exchange = Exchange(http_scope("POST", headers=UPLOAD), [])
        task = asyncio.ensure_future(exchange.run(WSGIApplication(respond(), 1)))
        await asyncio.sleep(0)
        for _ in range(20_000):
            exchange.incoming.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
        gc.collect()
        tracemalloc.start()
        while not exchange.incoming.empty():
            await asyncio.sleep(0)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        task.cancel()
        assert grown < 100_000

    asyncio.run(main())


@pytest.mark.parametrize("ending", ["content", "cancel"])
def test_content_that_is_still_to_come_holds_half_of_the_threads(ending):
    go_on = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/upload":
            environ["wsgi.input"].read()
            go_on.wait(10)
        start_response("200 OK", TEXT)
        return [b"x"]

    async def main():
        adapter = WSGIApplication(app, 4, read_ahead=0)
        uploads = [Exchange(http_scope("POST", "/upload", headers=UPLOAD), []) for _ in range(5)]
        for upload in uploads:
            upload.incoming.put_nowait({"type": "http.request", "body": b"h", "more_body": True})
        tasks = [asyncio.ensure_future(upload.run(adapter)) for upload in uploads]
        while uploads[1].received < 2:
            await asyncio.sleep(0.001)
        assert (await Exchange(http_scope()).run(adapter)).body == b"x"
        assert [upload.received for upload in uploads] == [2, 2, 1, 1, 1]
        for task, upload in zip(tasks, uploads, strict=True):
            if ending == "cancel":
                task.cancel()
            else:
                upload.incoming.put_nowait({"type": "http.request", "body": b"ello", "more_body": False})
        if ending == "content":
            while uploads[3].received < 2:  # whoever has its content is no upload any more
                await asyncio.sleep(0.001)
        go_on.set()
        await asyncio.wait(tasks, timeout=10)
        assert all(task.done() for task in tasks)
        assert adapter.uploads._value == 2

    asyncio.run(main())


def test_content_without_a_length_has_one_when_all_of_it_is_here():
    scope = http_scope("POST", headers=[(b"transfer-encoding", b"chunked")])
    environ = environ_of(scope, [b"he", b"llo"])
    assert environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    environ = environ_of(http_scope(http_version="2"), [b""])
    assert "CONTENT_LENGTH" not in environ


def test_an_upload_is_taken_no_faster_than_it_is_read():
    async def main():
        exchange = Exchange(http_scope("POST"), [bytes(1000)] * 200)
        go_on = threading.Event()
        sizes = []

        def app(environ, start_response):
            environ["wsgi.input"].read(1)
            go_on.wait(10)
            sizes.append(len(environ["wsgi.input"].read()))
            start_response("200 OK", TEXT)
            return []

        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1, high_water=20_000)))
        await asyncio.sleep(0.1)
        taken = exchange.received
        go_on.set()
        await asyncio.wait_for(task, 10)
        assert 20 <= taken <= 30  # the high-water mark, and what the reader's own buffer took
        assert sizes == [199_999]

    asyncio.run(main())


def test_a_large_message_is_read_in_small_pieces():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [str(sum(len(line) for line in environ["wsgi.input"])).encode()]

    assert call(app, http_scope("POST"), [b"0123456789abcde\n" * 200_000]).body == b"3200000"


def test_reading_after_the_client_went_raises_and_is_no_error_of_the_application():
    caught = []

    async def main():
        exchange = Exchange(http_scope("POST"), [b"ab", b""])
        exchange.incoming.get_nowait()
        exchange.incoming.get_nowait()
        exchange.incoming.put_nowait({"type": "http.request", "body": b"ab", "more_body": True})

        def app(environ, start_response):
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                caught.append(error)
                raise

        task = asyncio.ensure_future(exchange.run(WSGIApplication(app, 1)))
        await asyncio.sleep(0.05)
        assert not task.done()
        exchange.disconnect()
        with pytest.raises(ClientDisconnected) as told:
            await asyncio.wait_for(task, 10)
        assert exchange.sent == []
        assert told.value is caught[0]

    asyncio.run(main())
    assert isinstance(caught[0], ConnectionResetError)


def test_an_error_of_receive_reaches_the_application_and_the_server():
    async def receive():
        raise ValueError("too large")

    def app(environ, start_response):
        environ["wsgi.input"].read()

    async def main():
        await WSGIApplication(app, 1)(http_scope("POST"), receive, None)

    with pytest.raises(ValueError, match="too large"):
        asyncio.run(main())
