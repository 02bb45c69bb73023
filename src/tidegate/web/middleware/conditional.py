"""Conditional requests (RFC 9110 §13) for any application: tags for its responses, 304 and 412 in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tidegate.asgi.compression import DIGESTS, field_value
from tidegate.asgi.preconditions import Answer, Preconditions
from tidegate.web.requests import Request
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Collection


# What describes content that a 304 does not have (RFC 9110 §15.4.5; §8.8.2.1: the tag says more than the date).
DESCRIPTIONS = (
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-range",
    b"content-type",
)
OF_THE_CONTENT = frozenset([b"accept-ranges", *DESCRIPTIONS, *DIGESTS, b"last-modified"])


class Validators(NamedTuple):
    """Of the representation as it is now: an entity tag with its quotes, an HTTP-date."""

    etag: str | None = None
    last_modified: str | None = None


Current = Callable[[Request[Any]], Awaitable[Validators | None]]


class ConditionalMiddleware:
    """Answer 304 and 412 as the request's preconditions ask.

    Responses to GET without a tag get one, a hash of their content, if that is at most `max_size` octets and its length
    is known from the start; streams are neither held nor hashed. current: gives the validators of what a request is
    about, None if there is nothing: asked before the application is called, if there are preconditions; only with it
    do methods that change something have them. required: methods that are refused without any (428, RFC 6585
    §3).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_size: int = 1024 * 1024,
        current: Current | None = None,
        required: Collection[str] = (),
    ) -> None:
        if required and current is None:
            raise ValueError("Preconditions can be required where `current` tells what they are about.")
        self.app = app
        self.max_size = max_size
        self.current = current
        self.required = frozenset(required)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        conditions = Preconditions(scope["headers"])
        if self.current is not None:
            if method in self.required and conditions.if_match is None and conditions.if_none_match is None:
                await answer(send, 428)
                return
            if conditions:
                found = await self.current(Request(scope))
                validators = found or Validators()
                decided = conditions.evaluate(method, *validators, exists=found is not None)
                if decided is not Answer.PROCEED:
                    await answer(send, decided.value, validators)
                    return
        if method in ("GET", "HEAD"):
            send = ConditionalResponse(self, method, conditions, send)
        await self.app(scope, receive, send)


async def answer(send: Send, status: int, validators: Validators | None = None) -> None:
    headers: list[tuple[bytes, bytes]] = [] if status == 304 else [(b"content-length", b"0")]
    if validators is not None and validators.etag is not None:
        headers.append((b"etag", validators.etag.encode("latin-1")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class ConditionalResponse:
    """The `send` of one request."""

    def __init__(
        self, settings: ConditionalMiddleware, method: str, conditions: Preconditions, send: Send
    ) -> None:
        self.settings = settings
        self.method = method
        self.conditions = conditions
        self.send = send
        self.start: Message | None = None  # held until the content has a tag
        self.body: list[bytes] = []
        self.size = 0
        self.answered = False  # in the application's place

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if self.answered:
            return
        if kind == "http.response.start":
            await self._started(message)
        elif self.start is None:
            await self.send(message)
        elif kind == "http.response.body":
            await self._content(self.start, message)
        else:  # a file: it goes as it is
            start, self.start = self.start, None
            await self.send(start)
            await self.send(message)

    async def _started(self, message: Message) -> None:
        if message["status"] != 200:
            await self.send(message)
            return
        headers = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        if b"etag" not in names and self.method == "GET" and not no_store(headers):
            self.start = {**message, "headers": headers}
            return
        await self._decide({**message, "headers": headers})

    async def _decide(self, start: Message) -> None:
        """Send the start, or what the preconditions ask for instead."""
        headers = start["headers"]
        etag, modified = field_value(headers, b"etag"), field_value(headers, b"last-modified")
        decided = self.conditions.evaluate(self.method, etag, modified)
        if decided is Answer.PROCEED:
            await self.send(start)
            return
        self.answered = True
        if decided is Answer.PRECONDITION_FAILED:
            await answer(self.send, 412)
            return
        kept = [
            (name, value)
            for name, value in headers
            if name not in OF_THE_CONTENT or (name == b"last-modified" and etag is None)
        ]
        await self.send({"type": "http.response.start", "status": 304, "headers": kept})
        await self.send({"type": "http.response.body", "body": b""})

    async def _content(self, start: Message, message: Message) -> None:
        body, more_body = message.get("body", b""), message.get("more_body", False)
        length = field_value(start["headers"], b"content-length")
        self.body.append(bytes(body))
        self.size += len(body)
        known = length is not None and length.isdigit() and int(length) <= self.settings.max_size
        whole = not more_body and self.size <= self.settings.max_size
        if more_body and known and self.size <= self.settings.max_size:
            return
        if whole:
            digest = hashlib.blake2b(digest_size=16)
            for piece in self.body:
                digest.update(piece)
            start["headers"].append((b"etag", b'"%s"' % digest.hexdigest().encode("ascii")))
        self.start = None
        await self._decide(start)
        if not self.answered:
            await self.send({**message, "body": b"".join(self.body)})
        self.body = []


def no_store(headers: list[tuple[bytes, bytes]]) -> bool:
    """RFC 9111 §5.2.2.5: nobody keeps what a tag would be of."""
    return "no-store" in (field_value(headers, b"cache-control") or "").lower()
