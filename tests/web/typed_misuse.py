"""Mistakes that both type checkers must find (test_typing.py): in the lines that say so, in no others. Never run."""

# pyright: strict

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.csrf import CSRFMiddleware
from tidegate.web.middleware.rate_limit import RateLimitMiddleware
from tidegate.web.middleware.server_sessions import ServerSessionMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.web.typed_user import ExactState, Shared
    from tidegate.web.ratelimit import RateLimitStore
    from tidegate.web.requests import Request
    from tidegate.web.sessions import SessionStore
    from tidegate.web.websockets import WebSocket


@contextlib.asynccontextmanager
async def of_another_state(app: Application[Shared]) -> AsyncGenerator[None, None]:
    yield


class NoStore:
    async def get(self, key: str) -> str:
        return key


def states(app: Application[ExactState], request: Request[Shared], websocket: WebSocket[ExactState]) -> None:
    print(app.state.greting)  # wrong
    app.state.greeting = 3  # wrong
    print(request.state["hit"])  # wrong
    request.state["hits"] = 3  # wrong
    print(request.state.hits)  # wrong
    print(websocket.state.missing)  # wrong


def arguments() -> None:
    wrong: Application[ExactState] = Application(lifespan=of_another_state)  # wrong
    Middleware(CSRFMiddleware, trusted=["https://app.example"])  # wrong
    Middleware(RateLimitMiddleware, 3)  # wrong
    Middleware(ServerSessionMiddleware, NoStore())  # wrong
    sessions: SessionStore = NoStore()  # wrong
    limits: RateLimitStore = NoStore()  # wrong
    print(wrong, sessions, limits)


async def endpoint(request: Request[ExactState]) -> Any:
    return await request.state.greeting  # wrong
