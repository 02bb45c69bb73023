"""What the framer adds and leaves out: content-less answers, interim answers, trailers, connection persistence."""

import asyncio
import time

import pytest

from tests.support.inprocess import serving


def answer(status=200, headers=(), *bodies, trailers=None):
    """An application that sends this."""

    async def app(scope, receive, send):
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": list(headers),
                "trailers": trailers is not None,
            }
        )
        for data in bodies:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})
        if trailers is not None:
            await send({"type": "http.response.trailers", "headers": trailers})

    return app


LENGTH = [(b"content-length", b"4")]


def test_without_a_length_the_body_is_chunked(server, client):
    server.app = answer(200, [], b"one", b"", b"two")
    response = client.request()
    assert response.chunks == [b"one", b"two"]


def test_http_1_0_gets_no_chunks(server, client):
    # RFC 9112 §6.1
    server.app = answer(200, [], b"one", b"two")
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    response = client.read_response()
    assert response.header("transfer-encoding") is None
    assert response.header("connection") == b"close"
    assert response.body == b"onetwo"


@pytest.mark.parametrize(("field", "persists"), [(b"", False), (b"Connection: Keep-Alive\r\n", True)])
def test_http_1_0_keeps_alive_only_when_asked(server, client, field, persists):
    server.app = answer(200, LENGTH, b"four")
    client.send(b"GET / HTTP/1.0\r\n" + field + b"\r\n")
    response = client.read_response()
    assert response.body == b"four"
    assert response.header("connection") == (b"keep-alive" if persists else b"close")
    if persists:
        assert client.request().status == 200
    else:
        assert client.at_end()


@pytest.mark.parametrize(
    ("value", "persists"), [(b"keep-alive", True), (b"close", False), (b"x, Close", False), (b"closed", True)]
)
def test_connection_on_http_1_1(server, client, value, persists):
    # RFC 9112 §9.3
    server.app = answer(200, LENGTH, b"four")
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: " + value + b"\r\n\r\n")
    response = client.read_response()
    assert (response.header("connection") != b"close") == persists
    if persists:
        assert client.request().status == 200
    else:
        assert client.at_end()


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [
        ("HEAD", 200, b"4"),
        ("HEAD", 404, b"4"),
        ("GET", 204, None),
        ("GET", 205, b"0"),
        ("GET", 304, b"4"),
        ("HEAD", 304, b"4"),
        ("HEAD", 204, None),
    ],
)
@pytest.mark.parametrize("bodies", [(b"four",), (b"fo", b"ur"), ()])
def test_answers_without_content(server, client, method, status, length, bodies):
    # RFC 9110 §6.4.1, §8.6, §15.3.6, §15.4.5
    server.app = answer(status, LENGTH, *bodies)
    client.send_request(method)
    response = client.read_head()
    assert response.status == status
    assert response.header("content-length") == length
    assert response.header("transfer-encoding") is None
    # Nothing of a body is on the wire before the next answer.
    server.app = answer(200, LENGTH, b"next")
    assert client.request().body == b"next"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_without_a_length_head_and_304_say_none(server, client, method):
    server.app = answer(304 if method == "GET" else 200, [], b"ignored")
    assert client.request(method).header("content-length") is None
    server.app = answer(200, LENGTH, b"next")
    assert client.request().body == b"next"


def test_pipelined_requests_are_answered_in_order(server, client):
    async def app(scope, receive, send):
        number = scope["query_string"]
        await asyncio.sleep(0.02 if number == b"0" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": number + b"," + (await receive())["body"]})

    server.app = app
    client.send(
        b"".join(
            b"POST /?%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nb%d" % (number, number % 10)
            for number in range(40)
        )
    )
    for number in range(40):
        assert client.read_response().body == b"%d,b%d" % (number, number % 10)


def test_nothing_behind_connection_close_is_answered(server, client):
    server.app = answer(200, LENGTH, b"four")
    client.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert client.read_response().body == b"four"
    assert client.at_end()
    assert server.called == 1


def test_a_good_request_is_answered_before_a_bad_one_behind_it(server, client):
    server.app = answer(200, LENGTH, b"good")
    client.send(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nBad Field: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert client.read_response().body == b"good"
    response = client.read_response()
    assert (response.status, response.header("connection")) == (400, b"close")
    assert client.at_end()
    assert server.called == 1


def test_an_error_answer_echoes_nothing_of_the_request(server, client):
    client.send(b"GET /needle HTTP/1.1\r\nHost: x\r\nneedle : needle\r\n\r\n")
    response = client.read_response()
    assert response.status == 400
    assert response.header("content-type").startswith(b"text/plain")
    assert b"needle" not in response.body


# Request content and trailers


def test_chunked_content_and_its_trailers(server, client):
    messages = []

    async def app(scope, receive, send):
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
        assert (b"x-late", b"1") not in scope["headers"]
        await answer(200, LENGTH, b"four")(scope, receive, send)

    server.app = app
    client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3;ext="a;b"\r\nabc\r\n0005\r\ndefgh\r\n0\r\nX-Late: 1\r\n\r\n'
    )
    assert client.read_response().body == b"four"
    assert b"".join(message["body"] for message in messages) == b"abcdefgh"
    assert client.request("POST", body=b"").status == 200


def test_unread_content_is_drained_to_keep_the_connection(server, client):
    server.app = answer(200, LENGTH, b"four")
    assert client.request("POST", body=bytes(60_000)).body == b"four"
    assert client.request("POST", body=bytes(60_000)).body == b"four"


def test_too_much_unread_content_closes_without_losing_the_answer(server, client):
    server.app = answer(413, LENGTH, b"four")
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
    response = client.read_response()
    assert response.body == b"four"
    for _ in range(20):
        client.send(bytes(10_000))  # discarded (RFC 9112 §9.6), so that no reset eats the answer
    client.end()
    assert client.at_end()


# 100 Continue (RFC 9110 §10.1.1)


EXPECTING = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n"


def test_continue_is_sent_when_the_application_first_receives(server, client):
    async def app(scope, receive, send):
        await asyncio.sleep(0.1)
        message = await receive()
        await answer(200, LENGTH, message["body"])(scope, receive, send)

    server.app = app
    client.send(EXPECTING)
    assert client.silent(0.05)
    assert client.read_head().status == 100
    client.send(b"body")
    assert client.read_response().body == b"body"
    assert client.request("POST", body=b"more").body == b"more"


def test_no_continue_where_the_content_came_unasked(server, client):
    async def app(scope, receive, send):
        await answer(200, LENGTH, (await receive())["body"])(scope, receive, send)

    server.app = app
    client.send(EXPECTING + b"body")
    response = client.read_response()
    assert (response.body, response.interim) == (b"body", [])


def test_no_continue_where_the_application_answers_at_once(server, client):
    server.app = answer(401, LENGTH, b"four")
    client.send(EXPECTING)
    response = client.read_response()
    assert (response.status, response.interim) == (401, [])
    # Whether the content will follow cannot be known.
    assert response.header("connection") == b"close"


def test_no_continue_after_the_answer_began(server, client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        message = await receive()
        await send({"type": "http.response.body", "body": message["body"]})

    server.app = app
    client.send(EXPECTING)
    assert client.read_head().status == 200
    assert client.read_chunk() == b"first"
    client.send(b"body")
    assert client.read_chunk() == b"body"


def test_no_interim_answers_over_http_1_0(server, client):
    async def app(scope, receive, send):
        await answer(200, LENGTH, (await receive())["body"])(scope, receive, send)

    server.app = app
    client.send(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.silent(0.1)
    client.send(b"body")
    response = client.read_response()
    assert (response.body, response.interim) == (b"body", [])


def test_an_unknown_expectation_is_ignored_or_refused(server, client):
    # RFC 9110 §10.1.1: 417 is allowed, not required.
    server.app = answer(200, LENGTH, b"four")
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n")
    assert client.read_response().status in (200, 417)


# 103 Early Hints (RFC 8297)


async def hinting(scope, receive, send):
    assert "http.response.early_hint" in scope["extensions"]
    await send(
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]}
    )
    await send({"type": "http.response.start", "status": 200, "headers": LENGTH})
    await send({"type": "http.response.early_hint", "links": [b"</c.js>; rel=preload"]})
    await send({"type": "http.response.body", "body": b"four"})


def test_early_hints_go_to_navigations(server, client):
    server.app = hinting
    response = client.request("GET", "/", ("Sec-Fetch-Mode", "navigate"))
    assert [each.status for each in response.interim] == [103, 103]
    assert response.interim[0].headers == [
        (b"link", b"</a.css>; rel=preload"),
        (b"link", b"</b.js>; rel=preload"),
    ]
    assert response.body == b"four"


@pytest.mark.parametrize(
    ("policy", "field", "offered"),
    [
        ("all", (), True),
        ("off", (("Sec-Fetch-Mode", "navigate"),), False),
        ("navigate", (), False),
        ("navigate", (("Sec-Fetch-Mode", "cors"),), False),
    ],
)
def test_the_policy_for_early_hints(policy, field, offered):
    offers = []

    async def app(scope, receive, send):
        offers.append("http.response.early_hint" in scope["extensions"])
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await answer(200, LENGTH, b"four")(scope, receive, send)

    with serving(app, early_hints_http1=policy) as server, server.client() as client:
        response = client.request("GET", "/", *field)
    assert offers == [offered]
    assert len(response.interim) == offered


# Trailers (RFC 9110 §6.5)


def test_trailers_go_to_those_who_take_them(server, client):
    server.app = answer(200, [(b"trailer", b"x-sum")], b"content", trailers=[(b"x-sum", b"42")])
    response = client.request("GET", "/", ("TE", "trailers"))
    assert response.body == b"content"
    assert response.trailers == [(b"x-sum", b"42")]
    assert client.request("GET", "/", ("TE", "gzip")).trailers == []
    assert client.request().trailers == []


def test_trailers_in_several_messages(server, client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"content"})
        await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [[b"x-b", b"2"]]})

    server.app = app
    response = client.request("GET", "/", ("TE", "trailers"))
    assert response.trailers == [(b"x-a", b"1"), (b"x-b", b"2")]


@pytest.mark.parametrize("field", [(b"x", b"a\r\nb"), ("x", b"a"), (b"content-length", b"3"), (b"x y", b"a")])
def test_invalid_trailers_are_refused(server, client, field):
    raised = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"content"})
        try:
            await send({"type": "http.response.trailers", "headers": [field]})
        except Exception as error:
            raised.append(error)
            raise

    server.app = app
    client.send_request("GET", "/", ("TE", "trailers"))
    client.read_head()
    assert client.read_chunk() == b"content"
    assert client.at_end()
    assert type(raised[0]).__name__ == "ApplicationError"


# Sent together, but never late


def test_what_is_sent_within_one_step_goes_out_together(server, client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await send({"type": "http.response.body"})

    server.app = app
    client.send_request()
    time.sleep(0.2)
    assert client.socket.recv(65536).endswith(b"0\r\n\r\n")


def test_nothing_waits_past_the_end_of_a_step(server, client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body"})

    server.app = app
    client.send_request()
    client.read_head()
    times = []
    while client.read_chunk() is not None:
        times.append(time.monotonic())
    assert len(times) == 3
    assert times[2] - times[0] > 0.15
