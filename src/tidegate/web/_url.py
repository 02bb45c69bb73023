"""URLs (RFC 3986), and the one that a request was made to."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from tidegate.web._multidict import MultiDict
from tidegate.web._utils import parse_host_header
from tidegate.web.types import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence


DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What would end the path, or be read as a slash or dropped by a URL parser (RFC 3986 §3.3; WHATWG URL).
PATH_DELIMITERS = {ord(c): quote(c, safe="") for c in "?#\\\t\n\r"}


class Address(NamedTuple):
    host: str
    port: int


class URL:
    """A URL whose parts can be read and replaced; of a scope, the URL that the request was made to."""

    __slots__ = ("_components", "_url")

    def __init__(self, url: str = "", scope: Scope | None = None, **components: Any) -> None:
        self._components: SplitResult | None = None
        if scope is not None:
            assert not url, 'Cannot set both "url" and "scope".'
            assert not components, 'Cannot set both "scope" and "**components".'
            self._components = url_components_of(scope)
            self._url = self._components.geturl()
        elif components:
            assert not url, 'Cannot set both "url" and "**components".'
            self._url = URL("").replace(**components)._url
        else:
            self._url = url

    @property
    def components(self) -> SplitResult:
        if self._components is None:
            self._components = urlsplit(self._url)
        return self._components

    @property
    def scheme(self) -> str:
        return self.components.scheme

    @property
    def netloc(self) -> str:
        return self.components.netloc

    @property
    def path(self) -> str:
        return self.components.path

    @property
    def query(self) -> str:
        return self.components.query

    @property
    def fragment(self) -> str:
        return self.components.fragment

    @property
    def username(self) -> str | None:
        return self.components.username

    @property
    def password(self) -> str | None:
        return self.components.password

    @property
    def hostname(self) -> str | None:
        return self.components.hostname

    @property
    def port(self) -> int | None:
        return self.components.port

    @property
    def is_secure(self) -> bool:
        return self.scheme in ("https", "wss")

    def replace(self, **kwargs: Any) -> URL:
        """This URL with other `scheme`, `username`, `password`, `hostname`, `port`, `path`, `query` or
        `fragment`."""
        if not kwargs.keys().isdisjoint(("username", "password", "hostname", "port")):
            authority: dict[str, Any] = {
                "username": self.username,
                "password": self.password,
                "hostname": self.hostname,
                "port": self.port,
            }
            if authority["hostname"] is not None:
                # SplitResult lowers and unbrackets the host: take it as it was written.
                authority["hostname"] = split_authority(self.netloc)[0]
            hostname = kwargs.pop("hostname", None)
            if hostname is not None:
                authority["hostname"] = f"[{hostname}]" if is_ipv6(hostname) else hostname
            for key in ("username", "password", "port"):
                if key in kwargs:
                    authority[key] = kwargs.pop(key)
            netloc = authority["hostname"] or ""
            if authority["port"] is not None:
                netloc = f"{netloc}:{authority['port']}"
            if authority["username"] is not None:
                password = authority["password"]
                userinfo = (
                    authority["username"] if password is None else f"{authority['username']}:{password}"
                )
                netloc = f"{userinfo}@{netloc}"
            kwargs["netloc"] = netloc
        return URL(self.components._replace(**kwargs).geturl())

    def include_query_params(self, **kwargs: Any) -> URL:
        params = MultiDict(parse_qsl(self.query, keep_blank_values=True))
        params.update({str(key): str(value) for key, value in kwargs.items()})
        return self.replace(query=urlencode(params.multi_items()))

    def replace_query_params(self, **kwargs: Any) -> URL:
        return self.replace(query=urlencode([(str(key), str(value)) for key, value in kwargs.items()]))

    def remove_query_params(self, keys: str | Sequence[str]) -> URL:
        params = MultiDict(parse_qsl(self.query, keep_blank_values=True))
        for key in [keys] if isinstance(keys, str) else keys:
            params.pop(key, None)
        return self.replace(query=urlencode(params.multi_items()))

    def __eq__(self, other: Any) -> bool:
        return str(self) == str(other)

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        shown = self.replace(password="********") if self.password else self
        return f"{self.__class__.__name__}({str(shown)!r})"


def is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def split_authority(netloc: str) -> tuple[str, str]:
    """Host (an IPv6 address in its brackets) and port of an authority without its userinfo, as written."""
    host = netloc.rpartition("@")[2]
    if host.startswith("["):
        address, _, port = host.partition("]")
        return f"{address}]", port.removeprefix(":")
    host, _, port = host.partition(":")
    return host, port


def url_components_of(scope: Scope) -> SplitResult:
    """The URL parts of a request. A malformed Host is ignored: nothing in it may move the authority or the
    path."""
    scheme = scope.get("scheme") or "http"
    netloc = ""
    path = scope["path"].translate(PATH_DELIMITERS)
    for name, value in scope["headers"]:
        if name == b"host":
            host = parse_host_header(value.decode("latin-1"))
            if host is not None and host.is_valid_port:
                netloc = host.authority
            break
    if not netloc:
        server = scope.get("server")
        hostname: str = "" if server is None else server[0]
        port: int | None = None if server is None else server[1]
        if port is not None:  # a Unix socket has no port, and its path is no host
            netloc = f"[{hostname}]" if ":" in hostname else hostname
            if port != DEFAULT_PORTS.get(scheme):
                netloc = f"{netloc}:{port}"
    query = quote(scope.get("query_string", b""), safe="!$%&'()*+,/:;=?@[]^`{|}~-._\"<>\\").replace(
        "#", "%23"
    )
    if not netloc:
        if path.startswith("//"):  # by itself it would name an authority
            path = f"/%2F{path[2:]}"
        return SplitResult("", "", path, query, "")
    if path and not path.startswith("/"):  # nor may the path lengthen the authority
        path = f"/{path}"
    return SplitResult(scheme, netloc, path, query, "")


class URLPath(str):
    """A path with the protocol and host that a route asks for; `make_absolute_url` puts it under a base
    URL."""

    __slots__ = ("host", "protocol")

    def __new__(cls, path: str, protocol: Literal["http", "websocket", ""] = "", host: str = "") -> URLPath:
        assert protocol in ("http", "websocket", "")
        return super().__new__(cls, path)

    def __init__(self, path: str, protocol: Literal["http", "websocket", ""] = "", host: str = "") -> None:
        self.protocol = protocol
        self.host = host

    def make_absolute_url(self, base_url: str | URL) -> URL:
        base = URL(base_url) if isinstance(base_url, str) else base_url
        scheme = base.scheme
        if self.protocol:
            scheme = {
                "http": {True: "https", False: "http"},
                "websocket": {True: "wss", False: "ws"},
            }[self.protocol][base.is_secure]
        path = base.path.rstrip("/") + str(self)
        if path.startswith("//"):  # would be read as an authority once it is a reference by itself
            path = f"/%2F{path[2:]}"
        return URL(f"{scheme}://{self.host or base.netloc}{path}")
