"""A limit on request bodies (413: RFC 9110 §15.5.14), counted as they arrive, whatever Content-Length
says."""

from __future__ import annotations

from tidegate.web.exceptions import HTTPException
from tidegate.web.requests import MAX_BODY_SIZE_SCOPE_KEY
from tidegate.web.responses import PlainTextResponse
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

LIMIT_KEY = "tidegate.web.body_limit"


class BodyTooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, detail="Content Too Large")


class RequestBodyLimitMiddleware:
    """Refuse bodies over `max_body_size` octets. A limit further in replaces the one around it, up or
    down."""

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        if max_body_size < 0:
            raise ValueError("max_body_size must be greater than or equal to 0")
        self.app = app
        self.max_body_size = max_body_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit: BodyLimit | None = scope.get(LIMIT_KEY)
        if limit is not None:
            limit.max_body_size = self.max_body_size
            await self.app({**scope, MAX_BODY_SIZE_SCOPE_KEY: self.max_body_size}, receive, send)
            return
        await RequestBodyLimitResponder(self.app, self.max_body_size)(scope, receive, send)


class BodyLimit:
    """The limit in force for one request."""

    __slots__ = ("max_body_size",)

    def __init__(self, max_body_size: int) -> None:
        self.max_body_size = max_body_size


class RequestBodyLimitResponder:
    """One request under a limit."""

    scope: Scope
    receive: Receive
    send: Send

    def __init__(self, app: ASGIApp, max_body_size: int) -> None:
        self.app = app
        self.limit = BodyLimit(max_body_size)
        self.received = 0
        self.declared: int | None = None
        self.started = False
        self.exceeded = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A copy: what this layer puts in the scope is for what lies inside it.
        self.scope = {**scope, MAX_BODY_SIZE_SCOPE_KEY: self.limit.max_body_size, LIMIT_KEY: self.limit}
        self.receive, self.send = receive, send
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                self.declared = int(value[:20])
        try:
            await self.app(self.scope, self.receive_with_limit, self.send_with_limit)
        except Exception:
            # BodyTooLarge itself, or what a layer made of it.
            if self.started or not self.exceeded:
                raise
            await PlainTextResponse("Content Too Large", status_code=413)(scope, receive, send)

    async def receive_with_limit(self) -> Message:
        if self.declared is not None and self.declared > self.limit.max_body_size:
            self.exceeded = True
            raise BodyTooLarge()
        message = await self.receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            if self.received > self.limit.max_body_size:
                self.exceeded = True
                raise BodyTooLarge()
        return message

    async def send_with_limit(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if (
                not self.started
                and not self.exceeded
                and self.declared is not None
                and self.declared > self.limit.max_body_size
            ):
                self.exceeded = True
                raise BodyTooLarge()
            self.started = True
        await self.send(message)
