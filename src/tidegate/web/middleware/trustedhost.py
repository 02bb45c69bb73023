"""Answers only for the hosts it is told of (RFC 9110 §7.4: misdirected requests)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.web._utils import parse_host_header
from tidegate.web.datastructures import URL, Headers
from tidegate.web.responses import PlainTextResponse, RedirectResponse, Response
from tidegate.web.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Sequence


ENFORCE_DOMAIN_WILDCARD = "Domain wildcard patterns must be like '*.example.com'."


class TrustedHostMiddleware:
    """400 for a Host that is none of `allowed_hosts` (`*.example.com` takes subdomains), is missing, or
    given twice."""

    def __init__(
        self, app: ASGIApp, allowed_hosts: Sequence[str] | None = None, www_redirect: bool = True
    ) -> None:
        if allowed_hosts is None:
            allowed_hosts = ["*"]
        for pattern in allowed_hosts:
            assert "*" not in pattern[1:], ENFORCE_DOMAIN_WILDCARD
            if pattern.startswith("*") and pattern != "*":
                assert pattern.startswith("*."), ENFORCE_DOMAIN_WILDCARD
        self.app = app
        self.allowed_hosts = [pattern.lower() for pattern in allowed_hosts]
        self.allow_any = "*" in self.allowed_hosts
        self.www_redirect = www_redirect

    def _is_allowed(self, host: str) -> bool:
        return any(
            host == pattern or (pattern.startswith("*") and host.endswith(pattern[1:]))
            for pattern in self.allowed_hosts
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.allow_any or scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        fields = Headers(scope=scope).getlist("host")
        parsed = parse_host_header(fields[0]) if len(fields) == 1 else None
        host = parsed.host.lower() if parsed is not None else ""
        if host and self._is_allowed(host):
            await self.app(scope, receive, send)
            return
        response: Response
        if host and self.www_redirect and self._is_allowed("www." + host):
            url = URL(scope=scope)
            response = RedirectResponse(url=str(url.replace(netloc="www." + url.netloc)))
        else:
            response = PlainTextResponse("Invalid host header", status_code=400)
        await response(scope, receive, send)
