"""Policies of routes over real connections."""

import asyncio
import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.http2 import PREFACE, SETTINGS_ACK, Answer, FrameParser, data, post, settings
from tests.support.inprocess import Serving, serving
from tidegate.config import Edge
from tidegate.config.edge import Route
from tidegate.edge.policy import Policies, Policy
from tidegate.http.errors import ClientDisconnected


@contextmanager
def routes(
    *found: Route, app: Any = None, limits: dict[str, Any] | None = None, **edge: Any
) -> Iterator[Serving]:
    with serving(app, limits=limits, edge=Edge(route=found, **edge)) as server:
        yield server
        assert server.loop_errors == []


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


def policy(**settings: Any) -> Policy:
    return Policy(Route(**settings), None, None)


SEGMENTS = st.sampled_from(["a", "b", "ab", "", "a b"])
ROUTES = st.lists(SEGMENTS.filter(bool), max_size=3).map(lambda parts: "".join("/" + part for part in parts))


@given(st.sets(ROUTES, max_size=6), st.lists(SEGMENTS, max_size=5).map("/".join))
def test_the_longest_route_counts(paths: set[str], below: str) -> None:
    made = {path: policy(path=path) for path in paths}
    path = "/" + below
    fitting = [each for each in paths if each == "" or path == each or path.startswith(each + "/")]
    expected = made[max(fitting, key=len)] if fitting else None
    assert Policies(list(made.items())).find(path) is expected


def test_methods() -> None:
    with routes(Route("/api", methods=("GET", "POST")), app=echo_length) as server, server.client() as client:
        for path in ("/api", "/api/", "/api/x", "/%61pi", "/api%2fx", "/a%70i%2F"):
            answer = client.request("DELETE", path)
            assert (answer.status, answer.header("allow")) == (405, b"GET, HEAD, POST"), path
            assert client.request("GET", path).status == 200
            assert client.request("HEAD", path).status == 200
        for path in ("/", "/apix", "/x/api"):
            assert client.request("DELETE", path).status == 200
        assert server.called == 15


def test_body_limits() -> None:
    def chunked(path: str, size: int) -> bytes:
        return b"POST %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
            path.encode(), size, b"x" * size,
        )  # fmt: skip

    limited = (Route("/small", limit_body=10), Route("/large", limit_body=3000))
    with routes(*limited, app=echo_length, limits={"body": 1000}) as server:
        for path, size, status in (
            ("/small", 10, 200), ("/small", 11, 413), ("/large", 3000, 200), ("/large", 3001, 413),
            ("/", 1000, 200), ("/", 1001, 413), ("/%73mall", 11, 413), ("/small%2f", 11, 413),
        ):  # fmt: skip
            with server.client() as client:
                answer = client.request("POST", path, body=b"x" * size)
                assert (answer.status, path, size) == (status, path, size)
            with server.client() as client:
                client.send(chunked(path, size))
                assert client.read_response().status == status
                if status == 413:
                    assert client.at_end()


def test_content_beyond_the_limit_behind_the_beginning_of_the_answer() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (message := await receive())["type"] == "http.request":
            pass
        seen.append(message["type"])

    with routes(Route("", limit_body=10), app=app) as server, server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.read_head()
        assert client.read_chunk() == b"begun"
        client.send(b"b\r\nhello world\r\n")
        with pytest.raises((AssertionError, ConnectionError)):
            client.read_chunk()
        server.wait_for_end()
        assert seen == ["http.disconnect"]


def test_timeout(caplog: pytest.LogCaptureFixture) -> None:
    cancelled = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        try:
            await asyncio.sleep(0 if scope["path"] == "/fast" else 60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    with routes(Route("/slow", timeout=0.05), Route("/fast", timeout=9), app=app) as server:
        with server.client() as client:
            assert client.request("GET", "/fast").status == 200
            answer = client.request("GET", "/slow")
            assert (answer.status, answer.body) == (504, b"504 Gateway Timeout\n")
            assert client.at_end()
        assert isinstance(server.wait_for_end(2), asyncio.CancelledError)
        with server.client() as client:
            client.send_request("GET", "/slow/begun")
            client.read_head()
            assert client.read_chunk() == b"begun"
            with pytest.raises((AssertionError, ConnectionError)):
                client.read_chunk()
        assert isinstance(server.wait_for_end(3), asyncio.CancelledError)
    messages = [record.getMessage() for record in caplog.records]
    assert sum("the route's timeout: GET /slow" in message for message in messages) == 2
    assert not any("Exception in the application" in message for message in messages)


def test_an_application_that_will_not_be_cancelled() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"too late"})

    with routes(Route("", timeout=0.05), app=app) as server, server.client() as client:
        assert client.request().status == 504
        server.wait_for_end()


def test_concurrency() -> None:
    gates: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/busy"):
            gate = asyncio.Event()
            gates.append(gate)
            await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    with routes(Route("/busy", limit_concurrency=2), app=app) as server:
        first, second, third = (server.client() for _ in range(3))
        first.send_request("GET", "/busy")
        second.send_request("GET", "/busy/x")
        while len(gates) < 2:
            third.request("GET", "/free")
        answer = third.request("GET", "/busy")
        assert (answer.status, answer.header("retry-after")) == (503, b"1")
        server.call_soon(gates[0].set)
        assert first.read_response().body == b"done"
        server.wait_for_end(server.called - 1)
        fourth = server.client()
        fourth.send_request("GET", "/busy")
        first.request("GET", "/free")
        while len(gates) < 3:
            first.request("GET", "/free")
        for gate in gates:
            server.call_soon(gate.set)
        assert fourth.read_response().body == second.read_response().body == b"done"


def test_concurrency_within_one_read() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    with routes(Route("", limit_concurrency=2), app=app) as server:
        with socket.create_connection((server.host, server.port), timeout=10) as client:
            parser = FrameParser()
            answers = {stream_id: Answer() for stream_id in (1, 3, 5, 7)}
            asked = b"".join(post(stream_id) for stream_id in answers)  # whose content is awaited
            asked += b"".join(data(stream_id, b"x", end=True) for stream_id in (1, 3))
            client.sendall(PREFACE + settings() + SETTINGS_ACK + asked)
            while not all(answer.ended for answer in answers.values()):
                for each in parser.receive(client.recv(65536)):
                    if each.stream_id:
                        answers[each.stream_id].receive(each)
        assert [answer.status for answer in answers.values()] == [200, 200, 503, 503]
        with server.client() as again:  # the places are free again
            assert again.request().status == 200


def test_headers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = 500 if scope["path"] == "/x/fails" else 200
        own = [(b"cache-control", b"private"), (b"x-b", b"own")] if scope["path"] == "/x/own" else []
        await send({"type": "http.response.start", "status": status, "headers": own})
        await send({"type": "http.response.body"})

    found = Route("/x", cache_control="max-age=9", headers=((b"x-a", b"1"), (b"x-b", b"2")))
    with routes(found, app=app) as server, server.client() as client:

        def shown(path: str) -> list[bytes | None]:
            answer = client.request("GET", path)
            return [answer.header(name) for name in ("cache-control", "x-a", "x-b")]

        assert shown("/x") == [b"max-age=9", b"1", b"2"]
        assert shown("/x/own") == [b"private", b"1", b"own"]
        assert shown("/x/fails") == [None, b"1", b"2"]
        assert shown("/y") == [None, None, None]


def test_compression_by_route() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"text " * 1000})

    with (
        routes(Route("/raw", compress=False), app=app, compress=("gzip",)) as server,
        server.client() as client,
    ):
        assert client.request("GET", "/raw", ("Accept-Encoding", "gzip")).body == b"text " * 1000
        assert (
            gzip.decompress(client.request("GET", "/", ("Accept-Encoding", "gzip")).body) == b"text " * 1000
        )
