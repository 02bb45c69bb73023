"""What several modules of the toolkit need, and nobody else should import."""

import functools
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, Generic, Protocol, TypeVar

import anyio
import anyio.abc

from tidegate.asgi import Scope

# Before 3.12 only asyncio's own marks (which mocks of coroutine functions carry) can be told this way.
if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction
else:
    from asyncio import iscoroutinefunction


def is_async_callable(obj: Any) -> bool:
    """Whether calling `obj` gives a coroutine: a coroutine function, a partial of one, an object with
    async `__call__`."""
    while isinstance(obj, functools.partial):
        obj = obj.func
    return iscoroutinefunction(obj) or (
        callable(obj) and iscoroutinefunction(getattr(obj, "__call__", None))  # noqa: B004
    )


class SupportsAsyncClose(Protocol):
    async def close(self) -> None: ...


Closeable = TypeVar("Closeable", bound=SupportsAsyncClose)
Closeable_co = TypeVar("Closeable_co", bound=SupportsAsyncClose, covariant=True)


class AwaitableOrContextManager(
    Awaitable[Closeable_co], AbstractAsyncContextManager[Closeable_co], Protocol[Closeable_co]
):
    """`await x` gives the value; `async with x as value` also closes it."""


class AwaitableOrContextManagerWrapper(Generic[Closeable]):
    __slots__ = ("aw", "entered")

    def __init__(self, aw: Awaitable[Closeable]) -> None:
        self.aw = aw

    def __await__(self) -> Generator[Any, None, Closeable]:
        return self.aw.__await__()

    async def __aenter__(self) -> Closeable:
        self.entered = await self.aw
        return self.entered

    async def __aexit__(self, *args: Any) -> None:
        await self.entered.close()


@asynccontextmanager
async def create_collapsing_task_group() -> AsyncGenerator[anyio.abc.TaskGroup, None]:
    """A task group that raises a lone error bare, not as a group of one (a group the user raised stays a
    group)."""
    try:
        async with anyio.create_task_group() as task_group:
            yield task_group
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        error = group.exceptions[0]
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context


def get_route_path(scope: Scope) -> str:
    """The path that routes are matched on: `path` without `root_path`, which ends at a segment boundary."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if not root_path or not path.startswith(root_path):
        return path
    rest = path[len(root_path) :]
    if not rest or rest[0] == "/":
        return rest
    return path


# RFC 3986 §3.2.2: IP-literal in brackets, or a reg-name/IPv4address; RFC 9110 §7.2 adds only the port.
HOST = re.compile(
    r"(\[(?:[0-9a-fA-F:.]+|v[0-9a-fA-F]+\.[0-9A-Za-z!$&\'()*+,;=._~:-]+)\]|[0-9A-Za-z!$&'()*+,;=._~%-]+)(?::([0-9]+))?"
)


@dataclass(frozen=True, slots=True)
class ParsedHost:
    host: str
    port: str | None

    @property
    def authority(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def is_valid_port(self) -> bool:
        return self.port is None or int(self.port.lstrip("0")[:6] or 0) <= 65535


def parse_host_header(host_header: str | None) -> ParsedHost | None:
    """The parts of a Host field value, or None if it is missing or malformed (RFC 9110 §7.2)."""
    match = HOST.fullmatch(host_header) if host_header else None
    if match is None:
        return None
    host = match[1]
    if host.startswith("[") and host[1] != "v":
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            return None
    return ParsedHost(host, match[2])
