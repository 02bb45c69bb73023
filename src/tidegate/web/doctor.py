"""What an application behind proxies sees of a request, and what is wrong with it: the URL that `url_for` builds on,
the client's address, `root_path`.

The model is ASGI's: `path` is the whole path that the client asked for, and `root_path` how much of it, from its
beginning, leads to the application (ASGI HTTP connection scope).
"""

from __future__ import annotations

from typing import Any

from tidegate.web.requests import Request
from tidegate.web.responses import JSONResponse, Response
from tidegate.web.types import Receive, Scope, Send

__all__ = ["Doctor", "diagnose"]

MAX_FIELD = 200  # characters
TRUST = "Tell the server to trust the proxy (Tidegate, uvicorn: --forwarded-allow-ips)."
NAMES = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
)


def diagnose(scope: Scope) -> list[str]:
    """What is wrong with the way by which this request came, and what to do about it; empty if nothing is."""
    request: Request[Any] = Request(scope)
    told = {name: request.headers.get(name, "") for name in NAMES}
    forwarded = _parameters(told["forwarded"])
    findings = []

    scheme = scope.get("scheme", "http")
    proto = told["x-forwarded-proto"].partition(",")[0].strip().lower() or forwarded.get("proto", "")
    if proto and proto != scheme:
        findings.append(f"A proxy says that the client asked by {proto}, but the scheme is {scheme}. {TRUST}")

    client = scope["client"][0] if scope.get("client") else ""
    addresses = {*map(_host, told["x-forwarded-for"].split(",")), _host(forwarded.get("for", ""))} - {""}
    if addresses and client not in addresses:
        findings.append(f"The client's address, {client or 'none'}, is the proxy's. {TRUST}")

    asked = told["x-forwarded-host"].partition(",")[0].strip() or forwarded.get("host", "")
    host = request.headers.get("host", "")
    if asked and asked.lower() != host.lower():
        findings.append(
            f"The client asked for {asked}, but the host is {host or 'none'}. "
            "Let the proxy pass Host on as it is (nginx: proxy_set_header Host $host)."
        )
    elif not request.url.netloc:
        findings.append("There is no usable Host field: URLs cannot be absolute.")

    findings += _root_path(scope, told["x-forwarded-prefix"])
    return findings


def _root_path(scope: Scope, prefix: str) -> list[str]:
    # A mount's part of it is the application's own doing.
    path, root_path = scope["path"], scope.get("app_root_path", scope.get("root_path", ""))
    prefix = prefix.partition(",")[0].strip().rstrip("/")
    findings = []
    if prefix and prefix != root_path.rstrip("/"):
        findings.append(
            f"A proxy says that the application is below {prefix}, but root_path is {root_path!r}. "
            "Tell the server by its --root-path, or to trust the proxy's X-Forwarded-Prefix."
        )
    if not root_path:
        return findings
    if not root_path.startswith("/") or root_path.endswith("/"):
        findings.append(f"root_path is {root_path!r}: it must begin with a slash, and not end with one.")
    whole = root_path.rstrip("/")
    if path != whole and not path.startswith(f"{whole}/"):
        findings.append(
            f"root_path is {root_path!r}, but the path {path!r} does not begin with it. Whatever set root_path has to "
            "put it in front of path too; a proxy that takes it off is no reason not to."
        )
    elif path == whole * 2 or path.startswith(f"{whole}{whole}/"):
        findings.append(
            f"The path {path!r} has {root_path!r} twice: the proxy passes it on, and the server adds it. "
            "Let the proxy take it off, or leave out the server's --root-path."
        )
    return findings


def _host(node: str) -> str:
    """The address of a node (RFC 7239 §6), without its port and brackets."""
    node = node.strip()
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node if node.count(":") > 1 else node.partition(":")[0]


def _parameters(field: str) -> dict[str, str]:
    """The parameters of the first element of a Forwarded field (RFC 7239 §4), as far as they are read here."""
    found: dict[str, str] = {}
    for pair in field.partition(",")[0].split(";"):
        name, _, value = pair.partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


class Doctor:
    """An ASGI application that answers by what it sees of each request, and by what is wrong with it, as JSON. It tells
    of the inside of your network: take it away when all is well."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        request: Request[Any] = Request(scope)
        response: Response = JSONResponse(
            {
                "findings": diagnose(scope),
                "url": str(request.url)[:MAX_FIELD],
                "base_url": str(request.base_url)[:MAX_FIELD],
                "client": list(scope["client"]) if scope.get("client") else None,
                "path": scope["path"][:MAX_FIELD],
                "root_path": scope.get("app_root_path", scope.get("root_path", "")),
                "fields": {
                    name: request.headers[name][:MAX_FIELD]
                    for name in ("host", *NAMES)
                    if name in request.headers
                },
            },
            headers={"cache-control": "no-store"},
        )
        await response(scope, receive, send)
