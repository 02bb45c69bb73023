"""--otel: one server span for each request and WebSocket, exported by the real SDK into memory."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.inprocess import Serving, serving
from tests.support.process import eventually, run_command
from tidegate.server.tracing import Traced, redacted, route_of, split_host

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
seen: dict[str, Any] = {}


class Route:
    path_format = "/items/{id}"


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/refuse":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/answer":
            await send({"type": "websocket.http.response.start", "status": 503, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if scope["path"] == "/fail":
                raise LookupError("in a session")
            await send({**message, "type": "websocket.send"})
        return
    path = scope["path"]
    if path == "/raise":
        raise LookupError("raised on purpose")
    if path == "/nothing":
        return
    if path == "/wait":
        seen["waiting"] = True
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        return
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    seen["out"] = carrier
    seen["baggage"] = baggage.get_baggage("user")
    if path.startswith("/items/"):
        scope["route"] = Route()

        async def child() -> None:
            with trace.get_tracer("tests", tracer_provider=seen["provider"]).start_as_current_span("child"):
                await asyncio.sleep(0)

        await asyncio.create_task(child())
    status = int(scope["query_string"].rpartition(b"=")[2] or 200)
    await send({"type": "http.response.start", "status": status, "headers": []})
    if path == "/endless":
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    if path == "/incomplete":
        return
    await send({"type": "http.response.body", "body": b"done"})
    if path == "/late":
        await asyncio.sleep(0.3)


class Tracing:
    def __init__(self, server: Serving, exporter: InMemorySpanExporter) -> None:
        self.server = server
        self.exporter = exporter

    def span(self, count: int = 1) -> ReadableSpan:
        """The last, of as many as there have to be."""
        spans = eventually(
            lambda: len(self.exporter.get_finished_spans()) >= count and self.exporter.get_finished_spans()
        )
        assert len(spans) == count, [span.name for span in spans]
        assert spans[-1].kind is SpanKind.SERVER
        found: ReadableSpan = spans[-1]
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Serving, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    seen["provider"] = provider
    traced = Traced(app, provider)
    with serving(traced) as server:
        yield server, exporter


@pytest.fixture
def tracing(server: tuple[Serving, InMemorySpanExporter]) -> Iterator[Tracing]:
    yield Tracing(*server)
    server[0].close_clients()
    server[1].clear()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_request_with_its_parent(tracing: Tracing) -> None:
    with tracing.server.client() as client:
        fields = (("traceparent", PARENT), ("User-Agent", "test/1"), ("baggage", "user=me"))
        assert client.request("GET", "/path?a=1&sig=secret&status=201", *fields).status == 201
        port = client.socket.getsockname()[1]
    span = tracing.span()
    assert (span.name, span.status.status_code) == ("GET", StatusCode.UNSET)
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.parent.is_remote
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.response.status_code": 201,
        "url.path": "/path",
        "url.query": "a=1&sig=REDACTED&status=201",
        "url.scheme": "http",
        "server.address": "test",
        "server.port": 80,
        "client.address": "127.0.0.1",
        "client.port": port,
        "network.protocol.version": "1.1",
        "user_agent.original": "test/1",
    }
    # What the application calls is told of this span.
    assert seen["out"]["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert seen["baggage"] == "me"


def test_children_of_the_applications_tasks_nest(tracing: Tracing) -> None:
    with tracing.server.client() as client:
        client.request("GET", "/items/7")
    span = tracing.span(2)
    child = tracing.exporter.get_finished_spans()[0]
    assert child.parent is not None
    assert span.context is not None
    assert (child.name, child.parent.span_id) == ("child", span.context.span_id)
    assert (span.name, attributes(span)["http.route"]) == ("GET /items/{id}", "/items/{id}")
    assert span.parent is None


def test_pipelined_requests_have_a_span_each(tracing: Tracing) -> None:
    with tracing.server.client() as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: a:81\r\n\r\n" * 3 + b"BREW /b HTTP/1.0\r\n\r\n")
        for _ in range(3):
            client.read_response()
        client.read_to_end()
    span = tracing.span(4)
    spans = tracing.exporter.get_finished_spans()
    assert len({each.context.trace_id for each in spans if each.context}) == 4
    assert span.name == "HTTP"
    found = attributes(span)
    assert (found["http.request.method"], found["http.request.method_original"]) == ("_OTHER", "BREW")
    assert (found["server.address"], found["network.protocol.version"]) == ("127.0.0.1", "1.0")
    assert attributes(spans[0])["server.port"] == 81


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [("/raise", 500, "LookupError"), ("/nothing", 500, "500"), ("/?status=503", 503, "503")],
)
def test_errors(tracing: Tracing, path: str, status: int, kind: str) -> None:
    with tracing.server.client() as client:
        assert client.request("GET", path).status == status
    span = tracing.span()
    assert span.status.status_code is StatusCode.ERROR
    assert (attributes(span)["http.response.status_code"], attributes(span)["error.type"]) == (status, kind)
    assert [event.name for event in span.events] == (["exception"] if path == "/raise" else [])


def test_a_clients_error_is_none_of_the_servers(tracing: Tracing) -> None:
    with tracing.server.client() as client:
        assert client.request("GET", "/?status=404").status == 404
    span = tracing.span()
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in attributes(span)


def test_an_answer_that_is_left_incomplete(tracing: Tracing) -> None:
    with tracing.server.client() as client:
        client.send_request("GET", "/incomplete")
        client.socket.recv(65536)
    span = tracing.span()
    assert (attributes(span)["error.type"], span.status.status_code) == ("incomplete", StatusCode.ERROR)


@pytest.mark.parametrize("path", ["/endless", "/wait"])
def test_disconnect(tracing: Tracing, path: str) -> None:
    with tracing.server.client() as client:
        client.send_request("GET", path, ("traceparent", PARENT))
        if path == "/endless":
            client.read_head()
        else:
            eventually(lambda: seen.pop("waiting", False))
        client.reset()
    span = tracing.span()
    assert attributes(span)["error.type"] == "client_disconnected"
    assert attributes(span).get("http.response.status_code") == (200 if path == "/endless" else None)
    assert span.status.status_code is StatusCode.UNSET  # the server did nothing wrong
    assert span.parent is not None


def test_what_follows_the_answer_is_no_part_of_it(tracing: Tracing) -> None:
    with tracing.server.client() as client:
        client.request("GET", "/late")
    span = tracing.span()
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time < 250_000_000


def test_a_websocket(tracing: Tracing) -> None:
    address = f"ws://127.0.0.1:{tracing.server.port}"
    with connect(f"{address}/chat", proxy=None, additional_headers={"traceparent": PARENT}) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"
        assert not tracing.exporter.get_finished_spans()
    span = tracing.span()
    found = attributes(span)
    assert (span.name, found["http.response.status_code"], found["url.scheme"]) == ("GET", 101, "ws")
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert "error.type" not in found


@pytest.mark.parametrize(("path", "status"), [("/refuse", 403), ("/answer", 503)])
def test_a_websocket_that_is_refused(tracing: Tracing, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{tracing.server.port}{path}", proxy=None)
    assert attributes(tracing.span())["http.response.status_code"] == status


def test_a_websocket_whose_application_fails(tracing: Tracing) -> None:
    with connect(f"ws://127.0.0.1:{tracing.server.port}/fail", proxy=None) as websocket:
        websocket.send("now")
        with pytest.raises(Exception, match="1011"):
            websocket.recv()
    span = tracing.span()
    assert (attributes(span)["error.type"], span.status.status_code) == ("LookupError", StatusCode.ERROR)
    assert attributes(span)["http.response.status_code"] == 101


def test_a_websocket_whose_client_vanishes(tracing: Tracing) -> None:
    with connect(f"ws://127.0.0.1:{tracing.server.port}/chat", proxy=None) as websocket:
        websocket.socket.close()
    assert attributes(tracing.span())["error.type"] == "client_disconnected"


def test_small_parts() -> None:
    assert split_host("[::1]:8000") == ("::1", 8000)
    assert split_host("[::1]") == ("::1", 0)
    assert split_host("example.org") == ("example.org", 0)
    assert redacted("a=1&Signature=x&b") == "a=1&Signature=REDACTED&b"
    assert route_of({"route": None}) == ""


def test_nothing_of_it_is_imported_without_the_option() -> None:
    code = (
        "import asyncio, sys\n"
        "from tidegate.config import Bind, Config, Observability\n"
        "from tidegate.server import Server\n"
        "async def app(scope, receive, send): raise NotImplementedError\n"
        "async def main(otel):\n"
        "    config = Config(binds=(Bind(port=0),), observability=Observability(otel=otel))\n"
        "    async with Server(app, config): pass\n"
        "    return sum(name.split('.')[0] == 'opentelemetry' for name in sys.modules)\n"
        "print(asyncio.run(main(False)), asyncio.run(main(True)) > 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout == "0 True\n"


def test_the_command_takes_it() -> None:
    assert run_command("--otel", "--check-config", "main:app").returncode == 0
