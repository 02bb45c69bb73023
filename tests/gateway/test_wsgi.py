"""WSGIApplication by the clauses of PEP 3333, driven directly; wsgiref.validate is the judge of our side."""

import asyncio
import contextvars
import gc
import io
import logging
import sys
import threading
import time
import tracemalloc
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from tests.support.asgi import Exchange, http_scope
from tidegate.gateway.wsgi import WSGIApplication
from tidegate.http.errors import ClientDisconnected

TEXT = [("Content-Type", "text/plain")]


def call(app, scope=None, content=None, threads=2, **options):
    """Run one request through the adapter, within a time limit."""

    async def main():
        exchange = Exchange(scope or http_scope(), content)
        async with asyncio.timeout(10):
            return await exchange.run(WSGIApplication(app, threads, **options))

    return asyncio.run(main())


def environ_of(scope, content=None):
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    call(app, scope, content)
    return seen


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


# start_response and write ("The start_response() Callable")


def respond(status="200 OK", headers=TEXT, body=(b"x",)):
    def app(environ, start_response):
        start_response(status, headers)
        return body

    return app


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
