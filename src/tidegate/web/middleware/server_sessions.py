"""Sessions kept in a store, of which the client has only the id, in a cookie (RFC 6265, RFC 6265bis for its name and
SameSite).

Rules for requests at the same time:

- Changes are stored by key. What two requests do to different keys both stays; of one key the last to answer counts.
- A session that was cleared or rotated meanwhile stays so: changes of requests that began before are dropped, and
  those answers set no cookie. Of several that rotate it at once, one does.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
from time import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio

from tidegate.web._headers import encode_field_value
from tidegate.web._refusal import refuse_request
from tidegate.web.datastructures import MutableHeaders
from tidegate.web.sessions import SessionTooLarge
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tidegate.web.requests import HTTPConnection
    from tidegate.web.sessions import SessionStore, StoredSession

__all__ = ["ServerSession", "ServerSessionMiddleware", "server_session"]

T = TypeVar("T")
logger = logging.getLogger("tidegate.web.sessions")

COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 §4.1.1: token
KEY = re.compile(r"[A-Za-z0-9._=-]{1,4096}")
ATTEMPTS = 16  # to store a change where other processes change the same session meanwhile
STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class StoreUnavailable(Exception):
    """The store failed, or took too long."""


class Turns:
    """Whose turn it is to store a session, of the requests that have it at once."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.users = 0


def texts_of(values: dict[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value, allow_nan=False) for name, value in values.items()}


class ServerSession(dict[str, Any]):
    """The session's values, which must be what JSON can say. A change inside a value counts too."""

    def __init__(self, created: float) -> None:
        super().__init__()
        self.created = created
        self.touched = created
        self.accessed = False
        self._key: str | None = None
        self._version = 0
        self._loaded: dict[str, str] = {}  # what was given to the request: its changes are against this
        self._newest: dict[str, str] = {}  # what the store has at that version
        self._cleared = False
        self._rotating = False
        self._restarting = False
        self._sent = False

    @property
    def is_new(self) -> bool:
        """Whether the client came without a session, or with none that is known."""
        return self._key is None

    def mark_accessed(self) -> None:
        self.accessed = True

    def clear(self) -> None:
        """End this session: it is forgotten at once, as after a logout. What is set afterwards is in a new one."""
        super().clear()
        self.mark_accessed()
        self._cleared = True

    def rotate(self, *, restart: bool = False) -> None:
        """Go on under a new id; the old one is worth nothing any more. To be called whenever the user's rights
        change, at login above all: else whoever knew the id before has them too (session fixation).

        restart: the session's age counts from now. Raises RuntimeError once the response has started.
        """
        if self._sent:
            raise RuntimeError("The response has started: the client cannot be told of a new id")
        self.mark_accessed()
        self._rotating = True
        self._restarting = restart

    def _texts(self) -> dict[str, str]:
        """Each value as JSON. Raises TypeError or ValueError for what JSON cannot say."""
        for name in self:
            if not isinstance(name, str):
                raise TypeError(f"A session's keys are text, not {name!r}")
        return texts_of(self)


def server_session(conn: HTTPConnection[Any]) -> ServerSession:
    """`request.session`, typed."""
    session = conn.session
    if not isinstance(session, ServerSession):
        raise TypeError("ServerSessionMiddleware is not the middleware of this session")
    return session


class ServerSessionMiddleware:
    """`request.session`, kept in `store` under a random id that is in a cookie.

    cookie_name: without prefix; over https it gets `__Host-`, or `__Secure-` if it has a domain or a path.
    max_age: seconds after which a session ends, used or not.
    idle_timeout: seconds without a request after which it ends; None: only `max_age`.
    secure: whether the cookie is for https alone; None: where the request came by https.
    persistent: False lets the browser forget the cookie when it ends.
    max_size: octets of JSON that a session may have.
    store_timeout: seconds for the store to load or to store; then, or when it fails, the answer is 503.
    clock: seconds since 1970.
    """

    def __init__(
        self,
        app: ASGIApp,
        store: SessionStore,
        *,
        cookie_name: str = "session",
        max_age: int = 14 * 24 * 60 * 60,
        idle_timeout: int | None = 24 * 60 * 60,
        path: str = "/",
        domain: str | None = None,
        same_site: Literal["lax", "strict", "none"] = "lax",
        secure: bool | None = None,
        persistent: bool = True,
        max_size: int = 16 * 1024,
        store_timeout: float = 5.0,
        clock: Callable[[], float] = time,
    ) -> None:
        if not COOKIE_NAME.fullmatch(cookie_name):
            raise ValueError(f"{cookie_name!r} is no cookie name")
        if same_site == "none" and secure is False:
            raise ValueError("Browsers take SameSite=None only with Secure")
        if max_age < 1 or (idle_timeout is not None and idle_timeout < 1):
            raise ValueError("max_age and idle_timeout must be at least 1")
        self.app = app
        self.store = store
        self.cookie_name = cookie_name
        self.max_age = max_age
        self.idle_timeout = max_age if idle_timeout is None else idle_timeout
        self.secure = secure
        self.persistent = persistent
        self.max_size = max_size
        self.store_timeout = store_timeout
        self.clock = clock
        self.prefix = "__Host-" if path == "/" and domain is None else "__Secure-"
        attributes = [f"; Path={path}", "; HttpOnly", f"; SameSite={same_site.capitalize()}"]
        self.attributes = "".join(attributes) + (f"; Domain={domain}" if domain is not None else "")
        encode_field_value(self.attributes)
        if ";" in path or (domain is not None and ";" in domain):
            raise ValueError("path and domain must not hold `;`")
        # Requests of one session store their changes one after the other.
        self._turns: dict[str, Turns] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            session = await self._in_time(self._load(self._cookie(scope)))
        except StoreUnavailable:
            await self._unavailable(scope, receive, send)
            return
        scope["session"] = session
        failed = replaced = False

        async def send_with_session(message: Message) -> None:
            nonlocal failed, replaced
            if message["type"] in STARTS and not session._sent:
                session._sent = True
                # What a request that failed has done to the session is not to stay.
                failed = message.get("status") == 500
                try:
                    cookie = None if failed else await self._in_time(self._save(session))
                except StoreUnavailable:
                    replaced = True
                    await self._unavailable(scope, receive, send)
                    return
                message = {**message, "headers": list(message.get("headers", ()))}
                self._add_fields(MutableHeaders(raw=message["headers"]), session, cookie, scope)
            if not replaced:
                await send(message)

        await self.app(scope, receive, send_with_session)
        if session._sent and not failed and not replaced:
            await self._save_late(session)

    # --- the cookie

    def _name(self, scope: Scope) -> tuple[str, bool]:
        """The cookie's name, and whether it is Secure."""
        secure = scope.get("scheme") in ("https", "wss") if self.secure is None else self.secure
        # RFC 6265bis §4.1.3: so no other host, and nothing over http, can have set it.
        return (self.prefix if secure else "") + self.cookie_name, secure

    def _cookie(self, scope: Scope) -> str | None:
        """The id that the client sent. None for two different ones: another host of the domain may have set the
        second (RFC 6265 §8.6)."""
        wanted, _ = self._name(scope)
        found: set[str] = set()
        for field, value in scope["headers"]:
            if field == b"cookie":
                for member in value.decode("latin-1").split(";"):
                    name, _, text = member.partition("=")
                    if name.strip() == wanted:
                        found.add(text.strip())
        key = found.pop() if len(found) == 1 else ""
        return key if KEY.fullmatch(key) else None

    def _add_fields(
        self, headers: MutableHeaders, session: ServerSession, cookie: str | None, scope: Scope
    ) -> None:
        if session.accessed or cookie is not None:
            headers.add_vary_header("Cookie")  # RFC 9110 §12.5.5
        if cookie is None:
            return
        name, secure = self._name(scope)
        if not cookie:
            age = "; Max-Age=0"
        else:
            left = math.ceil(session.created + self.max_age - self.clock())
            age = f"; Max-Age={left}" if self.persistent else ""
        suffix = "; Secure" if secure else ""
        headers.append("set-cookie", f"{name}={cookie}{age}{self.attributes}{suffix}")
        # RFC 9111 §7.3: no shared cache may give one client's id to another.
        headers.setdefault("cache-control", "private")

    # --- the store

    async def _ask(self, asked: Awaitable[T]) -> T:
        """What the store says; whatever else it raises is a StoreUnavailable."""
        try:
            return await asked
        except SessionTooLarge:
            raise
        except Exception as error:
            logger.error("The session store failed", exc_info=error)
            raise StoreUnavailable from error

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            with anyio.fail_after(self.store_timeout):
                return await work
        except TimeoutError as error:
            logger.error("The session store took more than %g seconds", self.store_timeout)
            raise StoreUnavailable from error

    async def _unavailable(self, scope: Scope, receive: Receive, send: Send) -> None:
        # RFC 9110 §15.6.4; to go on without a session would log everybody out.
        await refuse_request(
            scope, receive, send, 503, "The session store is unavailable", {"retry-after": "5"}
        )

    async def _load(self, key: str | None) -> ServerSession:
        """The session of a known id; a new one for any other, whose id is none that a client chose."""
        now = self.clock()
        stored = None if key is None else await self._ask(self.store.get(key))
        if key is None or stored is None:
            return ServerSession(now)
        opened = self._open(stored)
        if opened is None:
            logger.warning("A stored session is damaged, and was ignored")
            return ServerSession(now)
        created, touched, values = opened
        if now >= created + self.max_age or now >= touched + self.idle_timeout:
            await self._ask(self.store.delete(key))
            return ServerSession(now)
        session = ServerSession(created)
        session.touched = touched
        session.update(values)
        session._key, session._version = key, stored.version
        session._loaded = session._newest = texts_of(values)
        return session

    @staticmethod
    def _open(stored: StoredSession) -> tuple[float, float, dict[str, Any]] | None:
        try:
            record = json.loads(stored.data)
            return float(record["created"]), float(record["touched"]), dict(record["values"])
        except (KeyError, TypeError, ValueError):
            return None

    def _close(self, created: float, now: float, texts: dict[str, str]) -> tuple[bytes, int]:
        """The record of these values, and for how many seconds it is kept. Raises SessionTooLarge."""
        values = ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items())
        data = f'{{"created":{created},"touched":{now},"values":{{{values}}}}}'.encode()
        if len(data) > self.max_size:
            raise SessionTooLarge(f"The session takes {len(data)} octets; max_size is {self.max_size}")
        return data, max(1, math.ceil(min(self.idle_timeout, created + self.max_age - now)))

    async def _save(self, session: ServerSession) -> str | None:
        """Store what has changed. Returns the cookie's new value: "" for none any more, None for no change."""
        texts = session._texts()
        key = session._key
        if key is None:
            return await self._create(session, texts) if texts else None
        turns = self._turns.setdefault(key, Turns())
        turns.users += 1
        try:
            async with turns.lock:
                if session._cleared:
                    await self._ask(self.store.delete(key))
                    session._key = None
                    return await self._create(session, texts) if texts else ""
                if session._rotating:
                    return await self._move(session, key, texts)
                return await self._update(session, key, texts)
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[key]

    async def _create(
        self, session: ServerSession, texts: dict[str, str], merged: dict[str, str] | None = None
    ) -> str:
        now = self.clock()
        if session._cleared or session._restarting:
            session.created = now
        newest = texts if merged is None else merged
        data, ttl = self._close(session.created, now, newest)
        key = await self._ask(self.store.set(secrets.token_urlsafe(32), data, ttl, None))
        if key is None:
            raise StoreUnavailable("The store has refused a new key of 256 bits")
        self._stored(session, key, 0, now, texts, newest)
        return key

    async def _move(self, session: ServerSession, key: str, texts: dict[str, str]) -> str | None:
        """The newest values, with this request's changes, to a new id."""
        stored = await self._ask(self.store.get(key))
        opened = None if stored is None else self._open(stored)
        if opened is None or not await self._ask(self.store.delete(key)):
            session._key = None  # another request was first
            return None
        return await self._create(session, texts, self._merge(session, texts_of(opened[2]), texts))

    async def _update(self, session: ServerSession, key: str, texts: dict[str, str]) -> str | None:
        now = self.clock()
        changed = texts != session._loaded
        if not changed and now - session.touched < self.idle_timeout / 10:
            return None
        merged, version = self._merge(session, session._newest, texts), session._version
        for _ in range(ATTEMPTS):
            if not merged:
                await self._ask(self.store.delete(key))
                session._key = None
                return ""
            data, ttl = self._close(session.created, now, merged)
            stored_as = await self._ask(self.store.set(key, data, ttl, version))
            if stored_as is not None:
                self._stored(session, stored_as, version + 1, now, texts, merged)
                return None if stored_as == key else stored_as
            stored = await self._ask(self.store.get(key))
            opened = None if stored is None else self._open(stored)
            if stored is None or opened is None:
                session._key = None  # ended meanwhile, and stays so
                return None
            if not changed:
                return None  # another request has just used it
            merged, version = self._merge(session, texts_of(opened[2]), texts), stored.version
        logger.error("A session was changed by others at each of %d attempts to store it", ATTEMPTS)
        raise StoreUnavailable

    @staticmethod
    def _merge(session: ServerSession, newest: dict[str, str], texts: dict[str, str]) -> dict[str, str]:
        """The newest values, with this request's changes."""
        loaded = session._loaded
        merged = newest | {name: text for name, text in texts.items() if loaded.get(name) != text}
        for name in loaded.keys() - texts.keys():
            merged.pop(name, None)
        return merged

    @staticmethod
    def _stored(
        session: ServerSession,
        key: str,
        version: int,
        now: float,
        texts: dict[str, str],
        newest: dict[str, str],
    ) -> None:
        session._key, session._version, session.touched = key, version, now
        session._loaded, session._newest = texts, newest
        session._cleared = session._rotating = session._restarting = False

    async def _save_late(self, session: ServerSession) -> None:
        """What streams, background tasks and WebSockets have changed since the answer began."""
        key = session._key
        changed = session._texts() != session._loaded
        try:
            if session._cleared and key is not None:
                await self._in_time(self._ask(self.store.delete(key)))
                session._key = key = None
            elif changed and key is not None and not await self._in_time(self._save(session)):
                return
        except StoreUnavailable:
            return  # logged; the client has its answer
        if session and changed:
            logger.warning("Changes to a session after its response had started were dropped: too late")
