"""Redirects http to https, and ws to wss."""

from tidegate.web.datastructures import URL
from tidegate.web.responses import PlainTextResponse, RedirectResponse, Response
from tidegate.web.types import ASGIApp, Receive, Scope, Send


class HTTPSRedirectMiddleware:
    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] in ("http", "websocket") and scope["scheme"] in ("http", "ws"):
            url = URL(scope=scope)
            netloc = url.netloc
            if url.port in (80, 443):  # the default port of either scheme goes unsaid
                netloc = netloc.rpartition(":")[0]
            response: Response
            if netloc:
                scheme = {"http": "https", "ws": "wss"}[url.scheme]
                response = RedirectResponse(url.replace(scheme=scheme, netloc=netloc), status_code=307)
            else:  # neither Host nor the server says where to
                response = PlainTextResponse("Invalid host header", status_code=400)
            await response(scope, receive, send)
        else:
            await self.app(scope, receive, send)
