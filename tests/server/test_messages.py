"""ASGI's messages at the wire: every message in every state, and what makes one invalid (ASGI www 2.5, "HTTP")."""

import asyncio
import contextvars
import time

import pytest

from tests.support.process import eventually
from tidegate.http.errors import ApplicationError, ClientDisconnected


def start(status=200, headers=(), **more):
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data=b"", more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


GO, BAD, IGNORED, GONE = "goes out", "is refused", "is ignored", "raises ClientDisconnected"

# What was sent before, and what completes the answer if the message did not.
STATES = {
    "before the start": ([], [start(headers=[(b"x-state", b"1")]), body(b"end")]),
    "start held": ([start()], [body(b"end")]),
    "streaming": ([start(), body(b"one,", True)], [body(b"end")]),
    "expecting trailers": (
        [start(trailers=True), body(b"all")],
        [{"type": "http.response.trailers", "headers": [(b"x-end", b"1")]}],
    ),
    "complete": ([start(headers=[(b"content-length", b"3")]), body(b"all")], []),
}
MESSAGES = {
    "start": lambda path: start(201, [(b"x-second", b"1")]),
    "body": lambda path: body(b"more,", True),
    "last body": lambda path: body(b"last"),
    "pathsend": lambda path: {"type": "http.response.pathsend", "path": str(path)},
    "zerocopysend": lambda path: {
        "type": "http.response.zerocopysend",
        "file": path.open("rb"),
        "more_body": True,
    },
    "early hint": lambda path: {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
    "trailers": lambda path: {"type": "http.response.trailers", "headers": [(b"x-trailer", b"1")]},
    "unknown": lambda path: {"type": "http.response.sendfile"},
    "of another protocol": lambda path: {"type": "websocket.send", "bytes": b"x"},
    "untyped": lambda path: {"status": 200},
    "no message": lambda path: None,
}
COLUMNS = list(MESSAGES)
TABLE = {
    # columns as in MESSAGES
    "before the start": [GO, BAD, BAD, BAD, BAD, GO, BAD, BAD, BAD, BAD, BAD],
    "start held": [BAD, GO, GO, GO, GO, GO, BAD, BAD, BAD, BAD, BAD],
    "streaming": [BAD, GO, GO, BAD, GO, IGNORED, BAD, BAD, BAD, BAD, BAD],
    "expecting trailers": [BAD, BAD, BAD, BAD, BAD, IGNORED, GO, BAD, BAD, BAD, BAD],
    "complete": [IGNORED] * 11,
}
CELLS = [(state, message, TABLE[state][COLUMNS.index(message)]) for state in STATES for message in MESSAGES]


@pytest.mark.parametrize(("state", "message", "outcome"), CELLS)
def test_every_message_in_every_state(server, client, tmp_path, state, message, outcome):
    path = tmp_path / "file"
    path.write_bytes(b"contents,")
    before, after = STATES[state]
    subject = MESSAGES[message](path)
    raised = []

    async def app(scope, receive, send):
        for each in before:
            await send(each)
        try:
            await send(subject)
        except ApplicationError as error:
            raised.append(error)
        for each in after:
            try:
                await send(each)
            except ApplicationError:
                assert outcome == GO  # it stood for this one

    server.app = app
    response = client.request("GET", "/", ("TE", "trailers"), ("Sec-Fetch-Mode", "navigate"))
    assert server.wait_for_end() is None
    assert bool(raised) == (outcome == BAD), raised
    for error in raised:
        assert str(error).isprintable()
    assert response.status == (201 if message == "start" and outcome == GO else 200)
    assert [each.status for each in response.interim] == (
        [103] if message == "early hint" and outcome == GO else []
    )
    content = {
        "before the start": b"end",
        "start held": b"end",
        "streaming": b"one,end",
        "expecting trailers": b"all",
        "complete": b"all",
    }[state]
    if outcome == GO:
        if message == "body":
            content = content.replace(b"end", b"more,end")
        elif message == "last body":
            content = content.replace(b"end", b"last")
        elif message == "pathsend":
            content = b"contents,"
        elif message == "zerocopysend":
            content = content.replace(b"end", b"contents,end")
    assert response.body == content
    if state == "expecting trailers":
        assert response.trailers == [(b"x-trailer" if outcome == GO else b"x-end", b"1")]
    # The connection is whole: another request on it is answered.
    server.app = lambda scope, receive, send: _simple(send)
    assert client.request().body == b"simple"
    if message == "zerocopysend":
        subject["file"].close()


async def _simple(send):
    await send(start(headers=[(b"content-length", b"6")]))
    await send(body(b"simple"))


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_after_the_client_has_gone(server, client, tmp_path, message):
    path = tmp_path / "file"
    path.write_bytes(b"contents,")
    raised = []

    async def app(scope, receive, send):
        await send(start())
        await send(body(b"one,", True))
        while (await receive())["type"] != "http.disconnect":
            pass
        subject = MESSAGES[message](path)
        try:
            await send(subject)
        except OSError as error:
            raised.append(error)
        if message == "zerocopysend":
            subject["file"].close()
        assert (await receive()) == {"type": "http.disconnect"}

    server.app = app
    client.send_request()
    client.read_head()
    client.reset()
    assert server.wait_for_end() is None
    assert len(raised) == 1
    assert isinstance(raised[0], ClientDisconnected)


# What makes a message invalid. Each is refused by `send`, and an application that lets the error out answers 500.

INVALID = {
    "no status": {"type": "http.response.start"},
    "status is a str": start("200"),
    "status is None": start(None),
    "status is a bool": start(True),
    "status is a float": start(200.0),
    "status 42": start(42),
    "status 100": start(100),
    "status 101": start(101),
    "status 199": start(199),
    "status 1000": start(1000),
    "status 999999": start(999999),
    "status -200": start(-200),
    "headers is no list": {"type": "http.response.start", "status": 200, "headers": 5},
    "header is no pair": start(headers=[(b"a",)]),
    "header is a triple": start(headers=[(b"a", b"b", b"c")]),
    "name is a str": start(headers=[("x-name", b"v")]),
    "value is a str": start(headers=[(b"x-name", "v")]),
    "value is None": start(headers=[(b"x-name", None)]),
    "value is an int": start(headers=[(b"content-length", 5)]),
    "empty name": start(headers=[(b"", b"v")]),
    "name with a space": start(headers=[(b"x name", b"v")]),
    "name with a colon": start(headers=[(b"x:name", b"v")]),
    "name with CR LF": start(headers=[(b"x\r\ny", b"v")]),
    "name beyond ASCII": start(headers=[(b"x-\xe9", b"v")]),
    "value with CR LF": start(headers=[(b"x", b"v\r\nset-cookie: a=b")]),
    "value with LF": start(headers=[(b"x", b"v\nset-cookie: a=b")]),
    "value with CR": start(headers=[(b"x", b"v\rw")]),
    "value with NUL": start(headers=[(b"x", b"v\0w")]),
    "content-length twice": start(headers=[(b"content-length", b"3"), (b"content-length", b"4")]),
    "content-length is no number": start(headers=[(b"content-length", b"three")]),
    "content-length is negative": start(headers=[(b"content-length", b"-1")]),
    "content-length has a plus": start(headers=[(b"content-length", b"+3")]),
    "content-length is empty": start(headers=[(b"content-length", b"")]),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_start_is_a_500(server, client, caplog, name):
    async def app(scope, receive, send):
        await send(INVALID[name])
        await send(body(b"never"))

    server.app = app
    response = client.request()
    assert response.status == 500
    assert b"never" not in response.body
    assert isinstance(server.wait_for_end(), ApplicationError)
    assert not [field for field in response.headers if field[0] in (b"set-cookie", b"x")]
    eventually(lambda: len(caplog.records) == 1)
    assert "GET / HTTP/1.1" in caplog.text


@pytest.mark.parametrize("data", ["text", None, 5, [b"x"], {"a": 1}])
def test_a_body_that_is_no_bytes_is_refused(server, client, data):
    async def app(scope, receive, send):
        await send(start())
        await send({"type": "http.response.body", "body": data})

    server.app = app
    assert client.request().status == 500
    assert isinstance(server.wait_for_end(), ApplicationError)


@pytest.mark.parametrize("data", [bytearray(b"data"), memoryview(b"data")])
def test_other_byte_strings_are_taken(server, client, data):
    async def app(scope, receive, send):
        await send(start())
        await send(body(data))

    server.app = app
    assert client.request().body == b"data"


def test_extra_keys_are_ignored_and_missing_ones_have_their_defaults(server, client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 203, "reason": "x", "future": [1]})
        await send({"type": "http.response.body", "more_body": True, "future": 1})
        await send({"type": "http.response.body"})

    server.app = app
    response = client.request()
    assert (response.status, response.body) == (203, b"")


def pairs(kind):
    fields = [(b"x-one", b"1"), (b"x-two", b"2")]
    return {
        "lists": [list(field) for field in fields],
        "tuples": tuple(fields),
        "generator": (field for field in fields),
        "items view": dict(fields).items(),
        "iterators": [iter(field) for field in fields],
    }[kind]


@pytest.mark.parametrize("kind", ["lists", "tuples", "generator", "items view", "iterators"])
def test_headers_may_be_any_iterable_of_pairs(server, client, kind):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": pairs(kind)})
        await send(body(b"x"))

    server.app = app
    response = client.request()
    assert [field for field in response.headers if field[0].startswith(b"x-")] == [
        (b"x-one", b"1"),
        (b"x-two", b"2"),
    ]


def test_hop_by_hop_fields_of_the_application_are_dropped(server, client):
    # RFC 9110 §7.6.1
    async def app(scope, receive, send):
        await send(
            start(
                headers=[
                    (b"Transfer-Encoding", b"gzip, chunked"),
                    (b"Connection", b"x-listed"),
                    (b"Keep-Alive", b"timeout=5"),
                    (b"Upgrade", b"h2c"),
                    (b"X-Kept", b"1"),
                ]
            )
        )
        await send(body(b"content"))

    server.app = app
    response = client.request()
    assert response.body == b"content"
    assert response.header("x-kept") == b"1"
    for name in ("keep-alive", "upgrade", "connection"):
        assert response.header(name) is None


def test_the_applications_connection_close_is_honoured(server, client):
    async def app(scope, receive, send):
        await send(start(headers=[(b"connection", b"close"), (b"content-length", b"1")]))
        await send(body(b"x"))

    server.app = app
    assert client.request().header("connection") == b"close"
    assert client.at_end()


def test_date_and_server_are_never_doubled(server, client):
    async def app(scope, receive, send):
        await send(start(headers=[(b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"SERVER", b"mine")]))
        await send(body(b"x"))

    server.app = app
    response = client.request()  # which fails on repeated ones
    assert response.header("date") == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert response.header("server") == b"mine"


# Content-Length and what is sent


@pytest.mark.parametrize("chunks", [[b"12345"], [b"12", b"345"], [b"123", b"4", b"5"]])
def test_a_body_beyond_its_content_length_never_reaches_the_wire(server, client, chunks):
    async def app(scope, receive, send):
        await send(start(headers=[(b"content-length", b"4")]))
        for chunk in chunks[:-1]:
            await send(body(chunk, True))
            await asyncio.sleep(0)
        await send(body(chunks[-1]))

    server.app = app
    client.send_request()
    if len(chunks) == 1:
        assert client.read_response().status == 500
    else:
        sent = client.read_to_end()
        assert sent.endswith(b"\r\n\r\n" + b"".join(chunks[:-1])[:4])
    assert isinstance(server.wait_for_end(), ApplicationError)


def test_a_body_short_of_its_content_length_is_visibly_incomplete(server, client):
    async def app(scope, receive, send):
        await send(start(headers=[(b"content-length", b"9")]))
        await send(body(b"1234", True))
        await asyncio.sleep(0)
        await send(body(b"5"))

    server.app = app
    client.send_request()
    assert client.read_to_end().endswith(b"\r\n\r\n1234")
    assert isinstance(server.wait_for_end(), ApplicationError)


# What the application leaves undone


def test_an_application_that_never_answers_is_a_500(server, client, caplog):
    async def app(scope, receive, send):
        pass

    server.app = app
    response = client.request()
    assert response.status == 500
    assert "without a response" in caplog.text


def test_an_application_that_stops_midway_is_cut(server, client, caplog):
    async def app(scope, receive, send):
        await send(start())
        await send(body(b"part", True))

    server.app = app
    client.send_request()
    assert client.read_head().header("transfer-encoding") == b"chunked"
    assert client.read_chunk() == b"part"
    assert client.at_end()  # with no last chunk: RFC 9112 §8
    assert "without ending its body" in caplog.text


def test_a_stopped_answer_is_told_apart_over_http_1_0(server, client):
    # Where the close itself frames the content, only a reset shows that it is incomplete.
    async def app(scope, receive, send):
        await send(start())
        await send(body(b"part", True))
        await asyncio.sleep(0.05)
        raise LookupError("midway")

    server.app = app
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.read_head().header("connection") == b"close"
    with pytest.raises(ConnectionResetError):
        client.read_to_end()


@pytest.mark.parametrize("moment", ["before the start", "after the start", "in the body"])
def test_an_exception_is_logged_once(server, client, caplog, moment):
    async def app(scope, receive, send):
        if moment != "before the start":
            await send(start(headers=[(b"x-secret", b"1")]))
        if moment == "in the body":
            await send(body(b"part", True))
        raise LookupError("lost")

    server.app = app
    client.send_request("GET", "/where?x=1", ("X-Request-ID", "abc-123"))
    if moment == "in the body":
        client.read_head()
        assert client.read_chunk() == b"part"
        assert client.at_end()
    else:
        response = client.read_response()
        assert response.status == 500
        assert response.header("x-secret") is None
        assert b"lost" not in response.body
    eventually(lambda: len(caplog.records) == 1)
    assert caplog.text.count("LookupError: lost") == 1
    assert "GET /where?x=1 HTTP/1.1" in caplog.text
    assert "abc-123" in caplog.text


def test_messages_may_be_reused_and_changed_after_they_were_sent(server, client):
    async def app(scope, receive, send):
        head = start(headers=[(b"x-a", b"1")])
        await send(head)
        head["headers"].append((b"x-late", b"1"))
        message = body(b"one", True)
        await send(message)
        message["body"] = b"two"
        await send(message)
        message["more_body"] = False
        await send(message)

    server.app = app
    response = client.request()
    assert response.body == b"onetwotwo"
    assert response.header("x-late") is None


def test_send_and_receive_may_be_called_from_other_tasks(server, client):
    async def app(scope, receive, send):
        task = asyncio.create_task(receive())
        message = await task
        assert message == {"type": "http.request", "body": b"hi", "more_body": False}
        async with asyncio.TaskGroup() as group:
            group.create_task(send(start()))
        waiting = asyncio.ensure_future(receive())
        await asyncio.gather(
            send(body(b"one,", True)), asyncio.shield(asyncio.create_task(send(body(b"two", True))))
        )
        await asyncio.wait_for(send(body(b"")), 1)
        assert (await waiting)["type"] == "http.disconnect"

    server.app = app
    assert client.request("POST", body=b"hi").body == b"one,two"
    assert server.wait_for_end() is None


def test_cancelling_a_receive_loses_nothing(server, client):
    async def app(scope, receive, send):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.05)
        await send(start())
        await send(body((await receive())["body"]))

    server.app = app
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
    eventually(lambda: server.called)
    time.sleep(0.1)
    client.send(b"data")
    assert client.read_response().body == b"data"
    assert server.wait_for_end() is None


def test_each_request_has_its_own_context_and_task(server, client):
    variable = contextvars.ContextVar("variable", default="unset")
    tasks = []

    async def app(scope, receive, send):
        tasks.append(asyncio.current_task())
        value = variable.get()
        variable.set("set")
        async with asyncio.timeout(5):
            await send(start())
            await send(body(value.encode()))

    server.app = app
    assert [client.request().body for _ in range(3)] == [b"unset"] * 3
    assert len(set(tasks)) == 3
    assert all(isinstance(task, asyncio.Task) for task in tasks)
