"""ASGI 2 applications (double callables) as ASGI 3.0 ones (ASGI specification, "Legacy Applications")."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tidegate.asgi import Receive, Scope, Send

ASGI2Callable: TypeAlias = Callable[[Scope], Callable[[Receive, Send], Awaitable[None]]]


class ASGI2Application:
    """An ASGI 3.0 application over `app`, which takes the scope and returns a coroutine callable."""

    def __init__(self, app: ASGI2Callable) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # "Legacy Applications": the scope tells the application which of the two it is called as.
        scope = {**scope, "asgi": {**scope["asgi"], "version": "2.0"}}
        await self.app(scope)(receive, send)
