"""Where sessions are kept: the protocol of a store, one in memory, and one in the cookie itself.

The middleware that uses them is in `middleware.server_sessions`.
"""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tidegate.web.datastructures import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["CookieStore", "MemoryStore", "SessionStore", "SessionTooLarge", "StoredSession"]

# RFC 6265 §6.1: browsers keep at least 4096 octets of a cookie, name and attributes counted.
MAX_COOKIE_VALUE = 3800


class SessionTooLarge(ValueError):
    """More than is kept of one session: the application's fault, not the store's."""


class StoredSession(NamedTuple):
    """What a store holds of a session; `version` is 0 at first, and one more after each change."""

    data: bytes
    version: int


class SessionStore(Protocol):
    """Keeps octets under a key for a while. A key is as good as a password: a store outside of the process does well
    to keep its SHA-256 in its place. Whatever a method raises, but SessionTooLarge, counts as the store being down."""

    async def get(self, key: str) -> StoredSession | None:
        """What is kept under `key`; None if there is nothing, or its time is over."""
        ...

    async def set(self, key: str, data: bytes, ttl: int, version: int | None) -> str | None:
        """Keep `data` for `ttl` seconds, in one step with looking: only if nothing is there (`version` None), or
        what is there has that version. Returns the key under which `get` will find it, which is `key` except where
        the key holds the data; None if it was not set."""
        ...

    async def delete(self, key: str) -> bool:
        """Forget `key`. Returns whether there was something: of two calls at once, True to one."""
        ...


class MemoryStore:
    """In this process: for one worker, and gone when it ends.

    max_sessions: how many are kept; for one more, the one unused for longest goes.
    """

    def __init__(self, max_sessions: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        if max_sessions < 1:
            raise ValueError("max_sessions must be at least 1")
        self.max_sessions = max_sessions
        self.clock = clock
        self._entries: OrderedDict[str, tuple[float, StoredSession]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def _find(self, key: str) -> StoredSession | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self.clock():
            del self._entries[key]
            return None
        return entry[1]

    async def get(self, key: str) -> StoredSession | None:
        found = self._find(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    async def set(self, key: str, data: bytes, ttl: int, version: int | None) -> str | None:
        found = self._find(key)
        if (None if found is None else found.version) != version:
            return None
        now = self.clock()
        # Those unused for longest stand first; as a rule their time is over first, too.
        while self._entries:
            oldest = next(iter(self._entries))
            is_full = found is None and len(self._entries) >= self.max_sessions
            if not is_full and self._entries[oldest][0] > now:
                break
            del self._entries[oldest]
        self._entries[key] = (now + ttl, StoredSession(data, 0 if version is None else version + 1))
        self._entries.move_to_end(key)
        return key

    async def delete(self, key: str) -> bool:
        found = self._find(key)
        self._entries.pop(key, None)
        return found is not None


class CookieStore:
    """In the cookie: signed, so that clients cannot change it, but they can read it. Nothing is kept here, so any
    number of processes may share the key; and nothing can be taken back: a cookie that was copied is good until its
    time is over, logged out or not. Of changes at the same time, the last answer's stay.

    secret_key: long and random. Several, the newest first: all verify, the first signs. Needs `itsdangerous`.
    """

    def __init__(
        self, secret_key: str | Secret | Sequence[str | Secret], clock: Callable[[], float] = time.time
    ) -> None:
        try:
            import itsdangerous
        except ImportError:
            raise ImportError(
                "CookieStore needs the `itsdangerous` package: pip install tidegate[web]"
            ) from None
        keys = [secret_key] if isinstance(secret_key, str | Secret) else list(secret_key)
        if not keys or not all(map(str, keys)):
            raise ValueError("secret_key must not be empty")
        self.clock = clock
        self._bad_signature = itsdangerous.BadSignature
        # itsdangerous signs with the last of its keys.
        self._signer = itsdangerous.Signer(
            [str(key) for key in reversed(keys)],
            salt="tidegate.web.sessions.CookieStore",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    async def get(self, key: str) -> StoredSession | None:
        try:
            expires, _, encoded = self._signer.unsign(key.encode("ascii")).partition(b".")
            if int(expires) <= self.clock():
                return None
            return StoredSession(base64.urlsafe_b64decode(encoded), 0)
        except (self._bad_signature, ValueError):
            return None

    async def set(self, key: str, data: bytes, ttl: int, version: int | None) -> str | None:
        """Raises SessionTooLarge for more than a cookie can hold."""
        expires = b"%d" % math.ceil(self.clock() + ttl)
        value = self._signer.sign(expires + b"." + base64.urlsafe_b64encode(data)).decode("ascii")
        if len(value) > MAX_COOKIE_VALUE:
            raise SessionTooLarge(f"The session takes {len(value)} octets; a cookie holds {MAX_COOKIE_VALUE}")
        return value

    async def delete(self, key: str) -> bool:
        return True
