"""Protection against requests that other sites' pages forge (CSRF), by what browsers say of where a request comes
from: Fetch Metadata's Sec-Fetch-Site, else Origin (RFC 6454 §7). No tokens, no cookies, nothing in forms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tidegate.web._refusal import refuse_request
from tidegate.web._url import DEFAULT_PORTS
from tidegate.web._utils import get_route_path, parse_host_header
from tidegate.web.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Sequence


# RFC 9110 §9.2.1, and QUERY (draft-ietf-httpbis-safe-method-w-body).
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "TRACE"})
ORIGIN = re.compile(r"(https?)://([^/?#@\s]+)", re.IGNORECASE)
# A path that something behind us may read as another one exempts nothing.
AMBIGUOUS_PATH = re.compile(r"//|\\|/\.{1,2}(?:/|$)|[%\x00-\x1f]")

Origin = tuple[str, str, int]


def parse_origin(text: str) -> Origin | None:
    """Scheme, host and port of a serialized http or https origin (RFC 6454 §6.2); None of anything else, as of
    `null`."""
    match = ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme = match[1].lower()
    host = parse_host_header(match[2])
    if host is None or not host.is_valid_port:
        return None
    return scheme, host.host.lower(), int(host.port or DEFAULT_PORTS[scheme])


def is_own_origin(scope: Scope, origin: Origin, hosts: Sequence[bytes]) -> bool:
    """Whether `origin` is the one that the request is made to. https is taken for http too, as a proxy may have
    taken TLS off; http is not taken for https, where anyone on the way could have made the page."""
    scheme, name, port = origin
    if scheme == "http" and scope.get("scheme", "http") in ("https", "wss"):
        return False
    host = parse_host_header(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
    if host is None or not host.is_valid_port:
        return False
    return (host.host.lower(), int(host.port or DEFAULT_PORTS[scheme])) == (name, port)


class CSRFMiddleware:
    """403 for unsafe methods, and WebSockets, that a page of another origin asks for.

    trusted_origins: other origins whose pages may, as `https://app.example`.
    exempt_paths: paths, below where this is mounted, that take anything (they must not go by cookies); `/hooks/*`
        is all below `/hooks/`.
    allow_same_site: also take pages of the same site: its other subdomains, and its other ports.

    What says nothing of where it comes from is no browser's, and passes: there is nobody whose cookies it abuses.
    Raises ValueError for what is no origin or path.
    """

    def __init__(
        self,
        app: ASGIApp,
        trusted_origins: Sequence[str] = (),
        exempt_paths: Sequence[str] = (),
        allow_same_site: bool = False,
    ) -> None:
        self.app = app
        self.trusted: set[Origin] = set()
        for text in trusted_origins:
            origin = parse_origin(text)
            if origin is None or "*" in text:  # a character that hosts may have: not a pattern
                raise ValueError(f"{text!r} is no origin: write it as https://app.example")
            self.trusted.add(origin)
        for path in exempt_paths:
            if not path.startswith("/") or "*" in path[:-1] or (path.endswith("*") and path[-2:] != "/*"):
                raise ValueError(f"{path!r} is no path: write it as /hook, or /hooks/* for all below")
        self.exempt = {path for path in exempt_paths if not path.endswith("*")}
        self.exempt_prefixes = tuple(path[:-1] for path in exempt_paths if path.endswith("*"))
        # Fetch Metadata Request Headers §2.3: `none` is the user's own doing (address bar, bookmark).
        self.allowed_sites = {b"same-origin", b"none"} | ({b"same-site"} if allow_same_site else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in SAFE_METHODS):
            reason = self.refusal(scope)
            if reason is not None and not self.is_exempt(scope):
                await refuse_request(scope, receive, send, 403, f"Cross-origin request refused: {reason}")
                return
        await self.app(scope, receive, send)

    def is_exempt(self, scope: Scope) -> bool:
        path = get_route_path(scope)
        if path not in self.exempt and not path.startswith(self.exempt_prefixes):
            return False
        return AMBIGUOUS_PATH.search(path) is None

    def refusal(self, scope: Scope) -> str | None:
        """Why the request is refused; None if it is not."""
        sites: list[bytes] = []
        origins: list[bytes] = []
        hosts: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"sec-fetch-site":
                sites.append(value.strip())
            elif name == b"origin":
                origins.append(value.strip())
            elif name == b"host":
                hosts.append(value)
        if len(sites) > 1 or len(origins) > 1:
            return "more than one Sec-Fetch-Site or Origin"
        origin = parse_origin(origins[0].decode("latin-1")) if origins else None
        if origin is not None and origin in self.trusted:
            return None
        if sites:
            # Only browsers write it: no page can (Fetch, "forbidden request-header").
            return None if sites[0] in self.allowed_sites else "by Sec-Fetch-Site, it is another origin's"
        if not origins or (origin is not None and is_own_origin(scope, origin, hosts)):
            return None
        return "its Origin is not that of this host"
