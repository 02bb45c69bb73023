"""WSGI applications behind the real server: what slow and leaving clients may cost."""

import pytest

from tests.support.process import eventually, start_server

POST = "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{more}\r\n"
# The connections that a test leaves open are not to delay its end.
BRIEF = ("--timeout-shutdown-idle", "0")


@pytest.fixture(scope="module")
def served(app_dir):
    with start_server(*BRIEF, app="wsgi_app:app", app_dir=app_dir) as server:
        yield server


def post(path="/read", length=100, more=""):
    return POST.format(path=path, length=length, more=more).encode()


def begin_uploads(server, count, head, part):
    clients = [server.client() for _ in range(count)]
    for client in clients:
        client.send(head)
        client.send(part)
    return clients


def finish_uploads(clients, rest):
    for client in clients:
        client.send(rest)
    return [client.read_response().body for client in clients]


def is_answered(server):
    with server.client() as client:
        return client.request("GET", "/").body == b"0 octets"


# Slow uploads


def test_slow_uploads_take_no_threads(app_dir):
    with start_server(*BRIEF, "--wsgi-threads", "2", app="wsgi_app:app", app_dir=app_dir) as server:
        clients = begin_uploads(server, 6, post(), b"x" * 10)
        assert is_answered(server)
        assert "called: /read" not in server.log
        assert finish_uploads(clients, b"x" * 90) == [b"100 octets"] * 6


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"], ids=["", "expect"])
def test_slow_uploads_that_are_not_read_ahead_leave_half_of_the_threads(app_dir, more):
    with start_server(
        *BRIEF, "--wsgi-threads", "4", "--wsgi-read-ahead", "1k", app="wsgi_app:app", app_dir=app_dir
    ) as server:
        clients = begin_uploads(server, 6, post(length=200_000, more=more), b"x" * 2000)
        server.wait_for_log("called: /read", count=2)
        assert is_answered(server)
        assert server.log.count("called: /read") == 2
        assert finish_uploads(clients, b"x" * 198_000) == [b"200000 octets"] * 6


# Clients that leave (ASGI www 2.4, "Disconnected Client"): no error, no 500


@pytest.fixture(params=["reset", "close"])
def leave(request):
    return lambda client: getattr(client, request.param)()


def check_quiet(log):
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert " 500 " not in log


def test_a_client_that_leaves_while_its_content_comes_takes_no_thread(served, leave):
    mark = len(served.log)
    client = served.client()
    client.send(post("/read/left") + b"x" * 10)
    assert is_answered(served)
    leave(client)
    eventually(lambda: '"POST /read/left' in served.log[mark:])
    assert is_answered(served)
    assert "called: /read/left" not in served.log
    check_quiet(served.log[mark:])


def test_a_client_that_leaves_while_the_application_reads(app_dir, leave):
    with start_server(*BRIEF, "--wsgi-read-ahead", "0", app="wsgi_app:app", app_dir=app_dir) as server:
        client = server.client()
        client.send(post() + b"x" * 10)
        server.wait_for_log("called: /read")
        leave(client)
        server.wait_for_log('"POST /read HTTP/1.1" (-|400) ')
        assert is_answered(server)
        assert server.terminate() == 0
        check_quiet(server.log)


@pytest.mark.parametrize(
    "request_octets", [b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", post("/read/wait") + b"x" * 100]
)
def test_a_client_that_leaves_while_the_application_computes(served, leave, request_octets):
    mark = len(served.log)
    client = served.client()
    client.send(request_octets)
    eventually(lambda: "waiting" in served.log[mark:])
    leave(client)
    served.client().request("GET", "/go")
    eventually(lambda: '/wait HTTP/1.1"' in served.log[mark:])
    check_quiet(served.log[mark:])


def test_a_client_that_leaves_a_stream(served, leave):
    mark = len(served.log)
    client = served.client()
    client.send_request("GET", "/stream")
    client.read_head()
    assert client.read_chunk() == b"first"
    leave(client)
    eventually(lambda: "stream closed" in served.log[mark:] and '"GET /stream' in served.log[mark:])
    check_quiet(served.log[mark:])


@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (b"GET /blocks HTTP/1.1\r\nHost: x\r\n\r\n", b"one two three"),
        (post("/read/wait") + b"x" * 100, b"100 octets"),
    ],
)
def test_a_client_that_ends_its_side_gets_its_whole_answer(served, octets, body):
    mark = len(served.log)
    client = served.client()
    client.send(octets)
    client.end()
    eventually(lambda: "waiting" in served.log[mark:])
    served.client().request("GET", "/go")
    assert client.read_response().body == body
    check_quiet(served.log[mark:])
