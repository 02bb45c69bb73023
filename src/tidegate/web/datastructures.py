"""The values that requests and responses are made of: URL (RFC 3986), header fields (RFC 9110 §5), multi-
value maps."""

from __future__ import annotations

import re
import shlex
from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    ValuesView,
)
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from tidegate.web._utils import parse_host_header
from tidegate.web.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from tidegate.web.types import Scope

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What would end the path, or be read as a slash or dropped by a URL parser (RFC 3986 §3.3; WHATWG URL).
PATH_DELIMITERS = {ord(c): quote(c, safe="") for c in "?#\\\t\n\r"}
FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2: token
FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\x00]")  # RFC 9110 §5.5

_KeyType = TypeVar("_KeyType")
_CovariantValueType = TypeVar("_CovariantValueType", covariant=True)


def encode_field_name(name: str) -> bytes:
    """`name` lower-cased, as ASGI wants it. Raises ValueError unless it is a token (RFC 9110 §5.1)."""
    if FIELD_NAME.fullmatch(name) is None:
        raise ValueError(f"Invalid header name {name!r}")
    return name.lower().encode("ascii")


def encode_field_value(value: str) -> bytes:
    """`value` in Latin-1. Raises ValueError for CR, LF or NUL, which would start another field (RFC 9110
    §5.5)."""
    if FORBIDDEN_IN_VALUE.search(value) is not None:
        raise ValueError(f"Invalid header value {value!r}")
    return value.encode("latin-1")


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


class Secret:
    """A string that does not show itself in tracebacks and logs."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('**********')"

    def __str__(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)


class CommaSeparatedStrings(Sequence[str]):
    def __init__(self, value: str | Sequence[str]) -> None:
        if isinstance(value, str):
            splitter = shlex.shlex(value, posix=True)
            splitter.whitespace = ","
            splitter.whitespace_split = True
            self._items = [item.strip() for item in splitter]
        else:
            self._items = list(value)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self._items!r})"

    def __str__(self) -> str:
        return ", ".join(map(repr, self._items))


class ImmutableMultiDict(Mapping[_KeyType, _CovariantValueType]):
    """A map that keeps every value of a key, in order; indexing gives the last."""

    __slots__ = ("_dict", "_list")

    _dict: dict[_KeyType, _CovariantValueType]
    _list: list[tuple[_KeyType, _CovariantValueType]]

    def __init__(
        self,
        *args: ImmutableMultiDict[_KeyType, _CovariantValueType]
        | Mapping[_KeyType, _CovariantValueType]
        | Iterable[tuple[_KeyType, _CovariantValueType]],
        **kwargs: Any,
    ) -> None:
        assert len(args) < 2, "Too many arguments."
        value: Any = args[0] if args else ()
        if isinstance(value, ImmutableMultiDict):
            items = value.multi_items()
        elif isinstance(value, Mapping) or hasattr(value, "items"):
            items = list(value.items())
        else:
            items = list(value)
        if kwargs:
            items.extend(kwargs.items())
        self._list = items
        self._dict = dict(items)

    def getlist(self, key: Any) -> list[_CovariantValueType]:
        return [value for item_key, value in self._list if item_key == key]

    def keys(self) -> KeysView[_KeyType]:
        return self._dict.keys()

    def values(self) -> ValuesView[_CovariantValueType]:
        return self._dict.values()

    def items(self) -> ItemsView[_KeyType, _CovariantValueType]:
        return self._dict.items()

    def multi_items(self) -> list[tuple[_KeyType, _CovariantValueType]]:
        return list(self._list)

    def __getitem__(self, key: _KeyType) -> _CovariantValueType:
        return self._dict[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[_KeyType]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: Any) -> bool:
        """Same keys, each with the same values in the same order."""
        if not isinstance(other, self.__class__):
            return False
        return self._grouped() == other._grouped()

    def _grouped(self) -> dict[_KeyType, list[_CovariantValueType]]:
        groups: dict[_KeyType, list[_CovariantValueType]] = {}
        for key, value in self._list:
            groups.setdefault(key, []).append(value)
        return groups

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self._list!r})"


class MultiDict(ImmutableMultiDict[Any, Any]):
    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.setlist(key, [value])

    def __delitem__(self, key: Any) -> None:
        del self._dict[key]
        self._list = [item for item in self._list if item[0] != key]

    def pop(self, key: Any, default: Any = None) -> Any:
        self._list = [item for item in self._list if item[0] != key]
        return self._dict.pop(key, default)

    def popitem(self) -> tuple[Any, Any]:
        key, value = self._dict.popitem()
        self._list = [item for item in self._list if item[0] != key]
        return key, value

    def poplist(self, key: Any) -> list[Any]:
        values = self.getlist(key)
        self.pop(key)
        return values

    def clear(self) -> None:
        self._dict.clear()
        self._list.clear()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self._dict:
            self.append(key, default)
        return self._dict[key]

    def setlist(self, key: Any, values: list[Any]) -> None:
        self.pop(key)
        for value in values:
            self.append(key, value)

    def append(self, key: Any, value: Any) -> None:
        self._list.append((key, value))
        self._dict[key] = value

    def update(self, *args: MultiDict | Mapping[Any, Any] | list[tuple[Any, Any]], **kwargs: Any) -> None:
        new = MultiDict(*args, **kwargs)
        self._list = [item for item in self._list if item[0] not in new._dict] + new._list
        self._dict = dict(self._list)


class QueryParams(ImmutableMultiDict[str, str]):
    """The query as a multi-value map (WHATWG URL, application/x-www-form-urlencoded: `&` alone separates)."""

    __slots__ = ()

    def __init__(
        self,
        *args: ImmutableMultiDict[Any, Any] | Mapping[Any, Any] | list[tuple[Any, Any]] | str | bytes,
        **kwargs: Any,
    ) -> None:
        assert len(args) < 2, "Too many arguments."
        value = args[0] if args else []
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str):
            super().__init__(parse_qsl(value, keep_blank_values=True), **kwargs)
        else:
            super().__init__(value, **kwargs)
        self._list = [(str(key), str(value)) for key, value in self._list]
        self._dict = {str(key): str(value) for key, value in self._dict.items()}

    def __str__(self) -> str:
        return urlencode(self._list)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({str(self)!r})"


class UploadFile:
    """An uploaded file: `file` is spooled to disk past its limit, and then read and written in a thread."""

    def __init__(
        self,
        file: BinaryIO,
        *,
        size: int | None = None,
        filename: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.filename = filename
        self.file = file
        self.size = size
        self.headers = headers or Headers()
        # A SpooledTemporaryFile of this size goes to disk; other files count as on disk always.
        self._max_mem_size = getattr(self.file, "_max_size", 0)

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type", None)

    @property
    def _in_memory(self) -> bool:
        return not getattr(self.file, "_rolled", True)

    def _will_roll(self, size_to_add: int) -> bool:
        # The write that rolls the file over copies all of it to disk, so it must not run on the loop either.
        if not self._in_memory:
            return True
        future_size = self.file.tell() + size_to_add
        return bool(future_size > self._max_mem_size) if self._max_mem_size else False

    async def write(self, data: bytes) -> None:
        if self.size is not None:
            self.size += len(data)
        if self._will_roll(len(data)):
            await run_in_threadpool(self.file.write, data)
        else:
            self.file.write(data)

    async def read(self, size: int = -1) -> bytes:
        if self._in_memory:
            return self.file.read(size)
        return await run_in_threadpool(self.file.read, size)

    async def seek(self, offset: int) -> None:
        if self._in_memory:
            self.file.seek(offset)
        else:
            await run_in_threadpool(self.file.seek, offset)

    async def close(self) -> None:
        if self._in_memory:
            self.file.close()
        else:
            await run_in_threadpool(self.file.close)

    def __repr__(self) -> str:
        name = self.__class__.__name__
        return f"{name}(filename={self.filename!r}, size={self.size!r}, headers={self.headers!r})"


class FormData(ImmutableMultiDict[str, UploadFile | str]):
    __slots__ = ()

    def __init__(
        self,
        *args: FormData | Mapping[str, str | UploadFile] | list[tuple[str, str | UploadFile]],
        **kwargs: str | UploadFile,
    ) -> None:
        super().__init__(*args, **kwargs)

    async def close(self) -> None:
        for _, value in self._list:
            if isinstance(value, UploadFile):
                await value.close()


class Headers(Mapping[str, str]):
    """Header fields: names without regard to case, every line kept (RFC 9110 §5)."""

    __slots__ = ("_list",)

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        raw: list[tuple[bytes, bytes]] | None = None,
        scope: MutableMapping[str, Any] | None = None,
    ) -> None:
        if headers is not None:
            assert raw is None, 'Cannot set both "headers" and "raw".'
            assert scope is None, 'Cannot set both "headers" and "scope".'
            self._list = [
                (encode_field_name(key), encode_field_value(value)) for key, value in headers.items()
            ]
        elif raw is not None:
            assert scope is None, 'Cannot set both "raw" and "scope".'
            self._list = raw
        elif scope is not None:
            # scope["headers"] may be any iterable; made a list once, so that MutableHeaders can change it in
            # place.
            self._list = fields = scope["headers"]
            if type(fields) is not list:
                self._list = scope["headers"] = list(fields)
        else:
            self._list = []

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return self._list

    def keys(self) -> list[str]:  # type: ignore[override]
        return [key.decode("latin-1") for key, _ in self._list]

    def values(self) -> list[str]:  # type: ignore[override]
        return [value.decode("latin-1") for _, value in self._list]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self._list]

    def getlist(self, key: str) -> list[str]:
        name = key.lower().encode("latin-1")
        return [value.decode("latin-1") for item_key, value in self._list if item_key == name]

    def mutablecopy(self) -> MutableHeaders:
        return MutableHeaders(raw=self._list[:])

    def __getitem__(self, key: str) -> str:
        name = key.lower().encode("latin-1")
        for item_key, value in self._list:
            if item_key == name:
                return value.decode("latin-1")
        raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        name = key.lower().encode("latin-1")
        return any(item_key == name for item_key, _ in self._list)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._list)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Headers) and sorted(self._list) == sorted(other._list)

    def __repr__(self) -> str:
        as_dict = dict(self.items())
        if len(as_dict) == len(self):
            return f"{self.__class__.__name__}({as_dict!r})"
        return f"{self.__class__.__name__}(raw={self.raw!r})"


class MutableHeaders(Headers):
    """Header fields that can be changed in place. Setting raises ValueError for a name or value that is
    not one."""

    __slots__ = ()

    def __setitem__(self, key: str, value: str) -> None:
        """Set the field where it first stands; drop its other lines."""
        name, encoded = encode_field_name(key), encode_field_value(value)
        positions = [index for index, item in enumerate(self._list) if item[0] == name]
        for index in reversed(positions[1:]):
            del self._list[index]
        if positions:
            self._list[positions[0]] = (name, encoded)
        else:
            self._list.append((name, encoded))

    def __delitem__(self, key: str) -> None:
        name = key.lower().encode("latin-1")
        self._list[:] = [item for item in self._list if item[0] != name]

    def __ior__(self, other: Mapping[str, str]) -> MutableHeaders:
        if not isinstance(other, Mapping):
            raise TypeError(f"Expected a mapping but got {other.__class__.__name__}")
        self.update(other)
        return self

    def __or__(self, other: Mapping[str, str]) -> MutableHeaders:
        if not isinstance(other, Mapping):
            raise TypeError(f"Expected a mapping but got {other.__class__.__name__}")
        new = self.mutablecopy()
        new.update(other)
        return new

    def setdefault(self, key: str, value: str) -> str:
        name, encoded = encode_field_name(key), encode_field_value(value)
        for item_key, item_value in self._list:
            if item_key == name:
                return item_value.decode("latin-1")
        self._list.append((name, encoded))
        return value

    def update(self, other: Mapping[str, str]) -> None:
        for key, value in other.items():
            self[key] = value

    def append(self, key: str, value: str) -> None:
        self._list.append((encode_field_name(key), encode_field_value(value)))

    def add_vary_header(self, vary: str) -> None:
        """Add `vary` to what caches must key on, unless it (or `*`) is there already (RFC 9110 §12.5.5)."""
        existing = ", ".join(self.getlist("vary"))
        if not existing:
            self["vary"] = vary
            return
        members = {member.strip().lower() for member in existing.split(",")}
        missing = [member.strip() for member in vary.split(",")]
        missing = [member for member in missing if member.lower() not in members and "*" not in members]
        self["vary"] = ", ".join([existing, *missing])


class State:
    """A bag of values, by attribute or by item."""

    _state: dict[str, Any]

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        super().__setattr__("_state", {} if state is None else state)

    def __setattr__(self, key: Any, value: Any) -> None:
        self._state[key] = value

    def __getattr__(self, key: Any) -> Any:
        try:
            return self._state[key]
        except KeyError:
            raise AttributeError(f"{self.__class__.__name__!r} object has no attribute {key!r}") from None

    def __delattr__(self, key: Any) -> None:
        del self._state[key]

    def __getitem__(self, key: str) -> Any:
        return self._state[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._state[key] = value

    def __delitem__(self, key: str) -> None:
        del self._state[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)
