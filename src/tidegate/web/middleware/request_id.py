"""An id for each request: in the scope, in a context variable, in the logs, and in the answer."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from secrets import token_hex
from typing import TYPE_CHECKING

from tidegate.web._headers import encode_field_name
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["RequestIDFilter", "RequestIDMiddleware", "current_request_id", "request_id"]

SCOPE_KEY = "request_id"
# What is safe in logs, URLs and shells; as Tidegate's server takes them.
WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")
WITH_ID = ("http.response.start", "websocket.accept", "websocket.http.response.start")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """The id of the request that this runs for, in tasks that it has started too; None outside of one."""
    return request_id.get()


def generate() -> str:
    return token_hex(8)


class RequestIDFilter(logging.Filter):
    """Gives each record a `request_id`, `-` outside of requests. Add it to handlers: a logger's own filters do not
    see what comes from loggers below it."""

    def __init__(self, name: str = "", default: str = "-") -> None:
        super().__init__(name)
        self.default = default

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get() or self.default
        return super().filter(record)


class RequestIDMiddleware:
    """`scope["request_id"]`, `current_request_id()`, and the field `header` of the answer, unless the application
    sets it.

    The id is the one that a layer around this has put in the scope; else that of the request's field, if it is
    well-formed (1 to 128 letters, digits, `.`, `_`, `-`); else a new one.

    header: the field's name; of the request and of the answer.
    trust_client: False takes no id from the request.
    generator: makes new ids, well-formed ones.
    """

    def __init__(
        self,
        app: ASGIApp,
        header: str = "x-request-id",
        trust_client: bool = True,
        generator: Callable[[], str] = generate,
    ) -> None:
        self.app = app
        self.header = encode_field_name(header)
        self.trust_client = trust_client
        self.generator = generator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        identity: str | None = scope.get(SCOPE_KEY)
        if identity is None:
            identity = scope[SCOPE_KEY] = self._identify(scope)
        header = self.header
        field = (header, identity.encode("ascii"))

        async def send_with_id(message: Message) -> None:
            if message["type"] in WITH_ID:
                headers = list(message.get("headers", ()))
                if not any(name.lower() == header for name, _ in headers):
                    message = {**message, "headers": [*headers, field]}
            await send(message)

        token = request_id.set(identity)
        await self.app(scope, receive, send_with_id)
        # Not where it raises: so the server's log of the exception, in the same task, has the id too.
        request_id.reset(token)

    def _identify(self, scope: Scope) -> str:
        found = [value for name, value in scope["headers"] if name == self.header]
        if len(found) == 1 and self.trust_client and WELL_FORMED.fullmatch(found[0]):
            return str(found[0], "ascii")
        made = self.generator()
        if not WELL_FORMED.fullmatch(made.encode("utf-8", "replace")):
            raise ValueError(f"{made!r} is no well-formed request id")
        field = (self.header, made.encode("ascii"))
        headers = [item for item in scope["headers"] if item[0] != self.header]
        # In place: whoever else reads the field gets this one, and Tidegate's server too, for its access log.
        if isinstance(scope["headers"], list):
            scope["headers"][:] = [*headers, field]
        else:
            scope["headers"] = [*headers, field]
        return made
