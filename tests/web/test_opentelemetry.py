"""Server spans, exported by the real SDK into memory."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.web.conftest import call
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.opentelemetry import OpenTelemetryMiddleware
from tidegate.web.responses import PlainTextResponse
from tidegate.web.routing import Mount, Route
from tidegate.web.testclient import TestClient

pytestmark = pytest.mark.anyio


async def item(request: Any) -> PlainTextResponse:
    return PlainTextResponse("item", status_code=int(request.query_params.get("status", "200")))


async def broken(request: Any) -> PlainTextResponse:
    raise LookupError("broken")


def traced(**options: Any) -> tuple[Application, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = Application(
        routes=[
            Route("/items/{id:int}", item, methods=["GET", "PURGE"]),
            Route("/broken", broken),
            Mount("/shop", routes=[Route("/items/{id}", item)]),
        ],
        middleware=[
            Middleware(OpenTelemetryMiddleware, tracer_provider=provider, **options),
            Middleware(OpenTelemetryMiddleware, tracer_provider=provider, **options),
        ],
    )
    return app, exporter


async def test_a_span() -> None:
    app, exporter = traced()
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    fields = [
        (b"host", b"example.org:8080"),
        (b"user-agent", b"test"),
        (b"traceparent", f"00-{trace_id}-b7ad6b7169203331-01".encode()),
    ]
    await call(app, "/items/1", headers=fields, query_string=b"status=201")
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("GET /items/{id}", SpanKind.SERVER)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == trace_id
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/items/{id}",
        "http.response.status_code": 201,
        "url.path": "/items/1",
        "url.query": "status=201",
        "url.scheme": "http",
        "server.address": "example.org",
        "server.port": 8080,
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "client.port": 50000,
        "user_agent.original": "test",
    }


async def test_mounts_methods_and_failures() -> None:
    app, exporter = traced()
    await call(app, "/shop/items/1")
    await call(app, "/items/1", "PURGE", http_version="", client=None, headers=[], server=None)
    await call(app, "/shop/items/1", query_string=b"status=503")
    with pytest.raises(LookupError):
        await call(app, "/broken")
    await call(app, "/none")
    mounted, purge, failed, raised, none = exporter.get_finished_spans()
    assert mounted.name == "GET /shop/items/{id}"
    attributes: dict[str, Any] = dict(purge.attributes or {})
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == "PURGE"
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes or {})["error.type"] == "503"
    assert dict(raised.attributes or {})["error.type"] == "LookupError"
    assert (none.name, dict(none.attributes or {})["http.response.status_code"]) == ("GET", 404)


@pytest.mark.parametrize("excluded", ["/health, /items", ["/items/[0-9]+$"]])
async def test_excluded(excluded: Any) -> None:
    app, exporter = traced(excluded_urls=excluded)
    assert (await call(app, "/items/1")).status == 200
    assert not exporter.get_finished_spans()


async def test_without_a_provider_nothing_is_done() -> None:
    app = Application(routes=[Route("/items/{id}", item)], middleware=[Middleware(OpenTelemetryMiddleware)])
    with TestClient(app) as client:
        assert client.get("/items/1").text == "item"
