"""Requests to `WSGIApplication` without a server."""

import asyncio

from tests.support.asgi import Exchange, http_scope
from tidegate.gateway.wsgi import WSGIApplication

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


def respond(status="200 OK", headers=TEXT, body=(b"x",)):
    def app(environ, start_response):
        start_response(status, headers)
        return body

    return app
