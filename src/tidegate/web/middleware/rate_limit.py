"""429 for clients that ask too much (RFC 6585 §4), with the fields RateLimit and RateLimit-Policy
(draft-ietf-httpapi-ratelimit-headers-10) and Retry-After (RFC 9110 §10.2.3)."""

from __future__ import annotations

import hashlib
import inspect
import ipaddress
import logging
import math
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio

from tidegate.web._refusal import refuse_request
from tidegate.web.ratelimit import MemoryRateLimitStore, Quota
from tidegate.web.requests import HTTPConnection
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.web.ratelimit import Decision, RateLimitStore

__all__ = ["RateLimitMiddleware", "client_address"]

KeyFunction: TypeAlias = Callable[[HTTPConnection[Any]], "str | Awaitable[str | None] | None"]
logger = logging.getLogger("tidegate.web.rate_limit")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_KEY = 128  # characters; of longer ones the digest is kept


def client_address(conn: HTTPConnection[Any]) -> str:
    """The address of the client as the server knows it: what fields of the request say of it counts only if the
    server trusts the proxy that wrote them. Of IPv6 the first 64 bits, as a client has all addresses below."""
    client = conn.scope.get("client")
    host: str = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


class RateLimitMiddleware:
    """Lets each key have what its quotas allow, in requests and WebSocket handshakes.

    quotas: one or more; all must allow a request, and one that is refused costs nothing.
    store: who counts; None: this process's memory, of its own.
    key: whom a request counts for; None: nobody. May be async.
    name: of the policy; limits with the same name, store and key count together.
    cost: units that a request takes.
    on_store_failure: "open" lets requests through while the store fails, "closed" answers 503.
    store_timeout: seconds, after which it has failed.
    fields: whether answers have RateLimit and RateLimit-Policy.
    """

    def __init__(
        self,
        app: ASGIApp,
        quotas: Quota | Sequence[Quota],
        *,
        store: RateLimitStore | None = None,
        key: KeyFunction = client_address,
        name: str = "default",
        cost: int = 1,
        on_store_failure: Literal["open", "closed"] = "open",
        store_timeout: float = 1.0,
        fields: bool = True,
    ) -> None:
        self.app = app
        self.quotas = (quotas,) if isinstance(quotas, Quota) else tuple(quotas)
        if not self.quotas:
            raise ValueError("There must be a quota")
        if not 1 <= cost <= min(quota.capacity for quota in self.quotas):
            raise ValueError("cost must be at least 1, and no more than every quota can give at once")
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: letters, digits, `.`, `_`, `-`")
        if on_store_failure not in ("open", "closed"):
            raise ValueError("on_store_failure must be 'open' or 'closed'")
        self.store: RateLimitStore = MemoryRateLimitStore() if store is None else store
        self.key = key
        self.name = name
        self.cost = cost
        self.fails_open = on_store_failure == "open"
        self.store_timeout = store_timeout
        self.fields = fields
        self.failing = False
        # Each policy is a String of RFC 9651 §3.3.3, with parameters.
        self.policies = [
            f'"{name}"' if len(self.quotas) == 1 else f'"{name}-{quota.window:g}s"' for quota in self.quotas
        ]
        self.policy_field = ", ".join(
            f"{policy};q={quota.limit};w={math.ceil(quota.window)}"
            for policy, quota in zip(self.policies, self.quotas, strict=True)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        found = self.key(HTTPConnection(scope))
        key = await found if inspect.isawaitable(found) else found
        if key is None:
            await self.app(scope, receive, send)
            return
        try:
            decisions = await self._take(str(key))
        except Exception as error:
            self._failed(error)
            if self.fails_open:
                await self.app(scope, receive, send)
            else:
                detail = "The rate limit's store is unavailable"
                await refuse_request(scope, receive, send, 503, detail, {"retry-after": "1"})
            return
        self.failing = False
        fields = self._fields(decisions) if self.fields else {}
        if not all(decision.allowed for decision in decisions):
            wait = max(1, math.ceil(max(decision.retry_after for decision in decisions)))
            detail = f"Too many requests: try again in {wait} seconds"
            await refuse_request(scope, receive, send, 429, detail, {"retry-after": str(wait), **fields})
            return
        if not fields:
            await self.app(scope, receive, send)
            return
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in fields.items()]

        async def send_with_fields(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                # Both are lists: a limit further in may have added lines of its own.
                message = {**message, "headers": [*message.get("headers", ()), *raw]}
            await send(message)

        await self.app(scope, receive, send_with_fields)

    async def _take(self, key: str) -> Sequence[Decision]:
        if len(key) > MAX_KEY:
            key = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
        with anyio.fail_after(self.store_timeout):
            return await self.store.take(f"{self.name}:{key}", self.quotas, self.cost)

    def _failed(self, error: Exception) -> None:
        """Logged once, until it works again: a store that is down must not fill the disk, too."""
        if not self.failing:
            self.failing = True
            policy = "requests pass" if self.fails_open else "requests are refused"
            logger.error("The rate limit's store failed; until it works again %s", policy, exc_info=error)

    def _fields(self, decisions: Sequence[Decision]) -> dict[str, str]:
        limits = [
            f"{policy};r={decision.remaining};t={math.ceil(decision.reset_after)}"
            for policy, decision in zip(self.policies, decisions, strict=True)
        ]
        return {"ratelimit-policy": self.policy_field, "ratelimit": ", ".join(limits)}
