"""Who makes the request, and what that allows."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec
from urllib.parse import urlencode

from tidegate.web._utils import is_async_callable
from tidegate.web.exceptions import HTTPException
from tidegate.web.requests import HTTPConnection, Request
from tidegate.web.responses import RedirectResponse
from tidegate.web.websockets import WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

P = ParamSpec("P")


def has_required_scope(conn: HTTPConnection[Any], scopes: Sequence[str]) -> bool:
    return all(scope in conn.auth.scopes for scope in scopes)


def requires(
    scopes: str | Sequence[str], status_code: int = 403, redirect: str | None = None
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Let only those in who have all `scopes`; others get `status_code`, or a redirect to the route
    `redirect`."""
    required = [scopes] if isinstance(scopes, str) else list(scopes)

    def decorator(func: Callable[P, Any]) -> Callable[P, Any]:
        names = list(inspect.signature(func).parameters)
        for kind in ("request", "websocket"):
            if kind in names:
                break
        else:
            raise Exception(f'No "request" or "websocket" argument on function "{func}"')
        position = names.index(kind)

        def connection(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return kwargs.get(kind, args[position] if position < len(args) else None)

        def refusal(request: Any) -> Any:
            if redirect is None:
                raise HTTPException(status_code=status_code)
            original = urlencode({"next": str(request.url)})
            return RedirectResponse(url=f"{request.url_for(redirect)}?{original}", status_code=303)

        if kind == "websocket":

            @functools.wraps(func)
            async def websocket_wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
                websocket = connection(args, kwargs)
                assert isinstance(websocket, WebSocket), "'websocket' must be a WebSocket"
                if has_required_scope(websocket, required):
                    await func(*args, **kwargs)
                else:
                    await websocket.close()

            return websocket_wrapper

        if is_async_callable(func):

            @functools.wraps(func)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                request = connection(args, kwargs)
                assert isinstance(request, Request), "'request' must be a Request"
                if has_required_scope(request, required):
                    return await func(*args, **kwargs)
                return refusal(request)

            return async_wrapper

        @functools.wraps(func)
        def sync_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            request = connection(args, kwargs)
            assert isinstance(request, Request), "'request' must be a Request"
            if has_required_scope(request, required):
                return func(*args, **kwargs)
            return refusal(request)

        return sync_wrapper

    return decorator


class AuthenticationError(Exception):
    """The credentials are there, and wrong."""


class AuthenticationBackend:
    async def authenticate(self, conn: HTTPConnection[Any]) -> tuple[AuthCredentials, BaseUser] | None:
        """Who makes this request, or None for nobody. Raises AuthenticationError."""
        raise NotImplementedError()


class AuthCredentials:
    def __init__(self, scopes: Sequence[str] | None = None) -> None:
        self.scopes = [] if scopes is None else list(scopes)


class BaseUser:
    @property
    def is_authenticated(self) -> bool:
        raise NotImplementedError()

    @property
    def display_name(self) -> str:
        raise NotImplementedError()

    @property
    def identity(self) -> str:
        raise NotImplementedError()


class SimpleUser(BaseUser):
    def __init__(self, username: str) -> None:
        self.username = username

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.username

    @property
    def identity(self) -> str:
        return self.username


class UnauthenticatedUser(BaseUser):
    @property
    def is_authenticated(self) -> bool:
        return False

    @property
    def display_name(self) -> str:
        return ""

    @property
    def identity(self) -> str:
        return ""
