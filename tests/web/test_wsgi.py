"""WSGI under ASGI."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.web.conftest import call, http_scope
from tidegate.web.exceptions import StarletteDeprecationWarning

with pytest.warns(StarletteDeprecationWarning):
    from tidegate.web.middleware.wsgi import WSGIMiddleware, build_environ

pytestmark = pytest.mark.anyio


async def test_a_request_and_its_answer() -> None:
    closed: list[bool] = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("201 Created", [("X-Method", environ["REQUEST_METHOD"])])
        return Body([b"got ", environ["wsgi.input"].read()])

    sent = await call(WSGIMiddleware(app), "/", "POST", body=b"this")
    assert (sent.status, sent.headers["x-method"], sent.body) == (201, "POST", b"got this")
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert closed == [True]


async def test_errors_before_and_after_the_start() -> None:
    def broken(environ: dict[str, Any], start_response: Any) -> Any:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await call(WSGIMiddleware(broken), "/")

    def answered(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            raise LookupError("answered")
        except LookupError:
            start_response("200 OK", [])
            start_response("500 Internal Server Error", [], exc_info=sys.exc_info())
        return [b"sorry"]

    with pytest.raises(LookupError, match="answered"):
        await call(WSGIMiddleware(answered), "/")


def test_environ() -> None:
    scope = http_scope(
        "/app/caf\u00e9",
        root_path="/app",
        query_string=b"a=\xe9",
        server=None,
        headers=[
            (b"host", b"example.org"),
            (b"content-type", b"text/plain"),
            (b"accept", b"a"),
            (b"accept", b"b"),
            (b"x_forwarded_for", b"10.0.0.1"),
        ],
    )
    environ = build_environ(scope, b"body")
    assert environ["SCRIPT_NAME"] == "/app"
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/caf\u00e9"
    assert (environ["QUERY_STRING"], environ["CONTENT_TYPE"], environ["HTTP_ACCEPT"]) == (
        "a=\xe9",
        "text/plain",
        "a,b",
    )
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == (
        "localhost",
        80,
        "127.0.0.1",
    )
    assert "HTTP_X_FORWARDED_FOR" not in environ
    beside = build_environ(http_scope("/application", root_path="/app", client=None), b"")
    assert beside["PATH_INFO"] == "/application"
    assert "REMOTE_ADDR" not in beside
