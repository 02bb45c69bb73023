"""The ASGI scope of a request (ASGI www 2.5, "HTTP Connection Scope")."""

from typing import Any

from tidegate.http.head import RequestHead

# Copied for each connection and each request: faster than to build as many items anew.
_TEMPLATE: dict[str, Any] = {
    "type": "http",
    "asgi": None,
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "",
    "raw_path": b"",
    "query_string": b"",
    "root_path": "",
    "headers": None,
    "client": None,
    "server": None,
    "state": None,
    "extensions": None,
}


class Peers:
    """The two ends of a connection, as every request on it names them.

    `tls` is the content of the extension of that name, None without TLS.
    `client` and `server` are (host, port), (path, None) for a Unix socket's server, or None where unknown; `scheme` is
    "http" or "https". `root_path` is None where it is the server's own; `trusted` says that the client is a proxy whose
    fields are believed.
    """

    __slots__ = ("_template", "client", "root_path", "scheme", "server", "tls", "trusted")

    def __init__(
        self,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        scheme: str,
        root_path: str | None = None,
        trusted: bool = False,
    ) -> None:
        self.client = client
        self.server = server
        self.scheme = scheme
        self.root_path = root_path
        self.trusted = trusted
        self.tls: dict[str, Any] | None = None
        self._template = _TEMPLATE.copy()
        self._template["scheme"] = scheme
        self._template["client"] = client
        self._template["server"] = server

    def http_scope(
        self, head: RequestHead, root_path: str, state: dict[str, Any], extensions: dict[str, Any]
    ) -> dict[str, Any]:
        """A fresh scope: the application may change all of it."""
        if self.root_path is not None:
            root_path = self.root_path
        tls = self.tls
        if tls is not None:
            tls = tls.copy()
            tls["client_cert_chain"] = tls["client_cert_chain"][:]
            extensions["tls"] = tls
        scope = self._template.copy()
        scope["asgi"] = {"version": "3.0", "spec_version": "2.5"}
        scope["http_version"] = head.http_version
        scope["method"] = head.method
        # ASGI www 2.5: `path` includes root_path. The server as a whole (RFC 9112 §3.2.4) is below none.
        scope["path"] = root_path + head.path if root_path and head.path != "*" else head.path
        scope["raw_path"] = head.raw_path
        scope["query_string"] = head.query_string
        scope["root_path"] = root_path
        scope["headers"] = head.headers
        scope["state"] = state.copy()
        scope["extensions"] = extensions
        return scope
