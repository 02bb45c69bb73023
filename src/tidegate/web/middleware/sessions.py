"""Sessions in a signed cookie, in the format of Starlette (base64 JSON by itsdangerous), which it can read
and be read by."""

from __future__ import annotations

import base64
import json
import typing
from typing import TYPE_CHECKING, Literal

from tidegate.web.datastructures import MutableHeaders, Secret
from tidegate.web.requests import HTTPConnection
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Sequence


try:
    import itsdangerous
except ImportError:
    raise ImportError(
        "tidegate.web.middleware.sessions needs the `itsdangerous` package: pip install tidegate[web]"
    ) from None

MAX_COOKIE_SIZE = 16 * 1024  # octets; browsers keep 4 KiB


class Session(dict[str, typing.Any]):
    """The session's values; knows whether it has been read or changed."""

    accessed = False
    modified = False

    def mark_accessed(self) -> None:
        self.accessed = True

    def mark_modified(self) -> None:
        self.accessed = True
        self.modified = True

    def __setitem__(self, key: str, value: typing.Any) -> None:
        self.mark_modified()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.mark_modified()
        super().__delitem__(key)

    def clear(self) -> None:
        self.mark_modified()
        super().clear()

    def pop(self, key: str, *args: typing.Any) -> typing.Any:
        if key in self:
            self.mark_modified()
        return super().pop(key, *args)

    def popitem(self) -> tuple[str, typing.Any]:
        self.mark_modified()
        return super().popitem()

    def setdefault(self, key: str, default: typing.Any = None) -> typing.Any:
        if key not in self:
            self.mark_modified()
        self.mark_accessed()
        return super().setdefault(key, default)

    def update(self, *args: typing.Any, **kwargs: typing.Any) -> None:
        self.mark_modified()
        super().update(*args, **kwargs)

    def __ior__(self, other: typing.Any, /) -> Session:  # type: ignore[override,misc]
        self.mark_modified()
        super().update(other)
        return self


class SessionMiddleware:
    """`request.session`. Several secret keys, the newest first, let keys be changed: all verify, the first
    signs.

    A change inside a value counts too. A session that is used is signed anew when half of `max_age`
    (seconds) has passed.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret_key: str | Secret | Sequence[str | Secret],
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        self.app = app
        keys = [secret_key] if isinstance(secret_key, str | Secret) else list(secret_key)
        # itsdangerous signs with the last of its keys.
        self.signer = itsdangerous.TimestampSigner([str(key) for key in reversed(keys)])
        self.session_cookie = session_cookie
        self.max_age = max_age
        self.path = path
        flags = ["httponly", f"samesite={same_site}"]
        if https_only:
            flags.append("secure")
        if domain is not None:
            flags.append(f"domain={domain}")
        if partitioned:
            flags.append("partitioned")
        self.security_flags = "; ".join(flags)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        cookie = HTTPConnection[typing.Any](scope).cookies.get(self.session_cookie)
        loaded, age = self._load(cookie)
        session = scope["session"] = Session(json.loads(loaded)) if loaded else Session()

        async def send_with_session(message: Message) -> None:
            if message["type"] == "http.response.start" and (session.accessed or session.modified):
                message = {**message, "headers": list(message.get("headers", ()))}
                headers = MutableHeaders(raw=message["headers"])
                # RFC 9110 §12.5.5: what depends on the cookie is not for other users' caches.
                headers.add_vary_header("Cookie")
                self._save(session, loaded, age, had_cookie=bool(loaded), headers=headers)
            await send(message)

        await self.app(scope, receive, send_with_session)

    def _load(self, cookie: str | None) -> tuple[bytes, float]:
        """The JSON of a cookie that is ours and in date, and its age in seconds; or b""."""
        if cookie is None or len(cookie) > MAX_COOKIE_SIZE:
            return b"", 0.0
        try:
            data, signed_at = self.signer.unsign(
                cookie.encode("utf-8"), max_age=self.max_age, return_timestamp=True
            )
            decoded = base64.b64decode(data)
            if not isinstance(json.loads(decoded), dict):
                return b"", 0.0
        except (itsdangerous.BadSignature, ValueError):
            return b"", 0.0
        return decoded, self.signer.get_timestamp() - signed_at.timestamp()

    def _save(
        self, session: Session, loaded: bytes, age: float, *, had_cookie: bool, headers: MutableHeaders
    ) -> None:
        modified = session.modified
        if session:
            data = json.dumps(session).encode("utf-8")
            if not modified:
                modified = json.loads(loaded) != json.loads(data) if loaded else True
            rolls = self.max_age is not None and age > self.max_age / 2
            if modified or rolls:
                value = self.signer.sign(base64.b64encode(data)).decode("ascii")
                self._set_cookie(
                    headers, value, None if self.max_age is None else f"Max-Age={self.max_age}; "
                )
        elif had_cookie:
            self._set_cookie(headers, "null", "expires=Thu, 01 Jan 1970 00:00:00 GMT; ")

    def _set_cookie(self, headers: MutableHeaders, value: str, age: str | None) -> None:
        headers.append(
            "Set-Cookie",
            f"{self.session_cookie}={value}; path={self.path}; {age or ''}{self.security_flags}",
        )
