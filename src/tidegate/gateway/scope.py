"""The ASGI scope of a request (ASGI www 2.5, "HTTP Connection Scope")."""

from typing import Any

from tidegate.http.head import RequestHead


class Peers:
    """The two ends of a connection, as every request on it names them.

    `client` and `server` are (host, port), (path, None) for a Unix socket's server, or None where unknown; `scheme` is
    "http" or "https".
    """

    __slots__ = ("client", "scheme", "server")

    def __init__(
        self, client: tuple[str, int] | None, server: tuple[str, int | None] | None, scheme: str
    ) -> None:
        self.client = client
        self.server = server
        self.scheme = scheme


def http_scope(
    head: RequestHead, peers: Peers, root_path: str, state: dict[str, Any], extensions: dict[str, Any]
) -> dict[str, Any]:
    """A fresh scope: the application may change all of it."""
    path = head.path
    if root_path:
        # ASGI www 2.5: `path` includes root_path.
        path = root_path + path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": head.http_version,
        "method": head.method,
        "scheme": peers.scheme,
        "path": path,
        "raw_path": head.raw_path,
        "query_string": head.query_string,
        "root_path": root_path,
        "headers": head.headers,
        "client": peers.client,
        "server": peers.server,
        "state": state.copy(),
        "extensions": extensions,
    }
