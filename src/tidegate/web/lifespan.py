"""Lifespans (ASGI lifespan protocol): an application's own, and inside it those of the applications
mounted in it."""

from __future__ import annotations

import contextlib
import inspect
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from tidegate.web.background import Supervisor
from tidegate.web.exceptions import StarletteDeprecationWarning
from tidegate.web.types import Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tidegate.web.routing import Router


@contextlib.asynccontextmanager
async def default_lifespan(app: Any) -> AsyncGenerator[Mapping[str, Any], None]:
    yield {}


def as_context_manager(lifespan: Any) -> Any:
    """`lifespan`, or for a bare generator function the context manager it should have been made."""
    if inspect.isasyncgenfunction(lifespan):
        factory = contextlib.asynccontextmanager(lifespan)
    elif inspect.isgeneratorfunction(lifespan):
        synchronous = contextlib.contextmanager(lifespan)

        @contextlib.asynccontextmanager
        async def factory(app: Any) -> AsyncGenerator[Any, None]:
            with synchronous(app) as state:
                yield state
    else:
        return lifespan
    warnings.warn(
        "A generator function as lifespan is deprecated: decorate it by @contextlib.asynccontextmanager",
        StarletteDeprecationWarning,
        stacklevel=4,
    )
    return factory


def mounted_routers(router: Router) -> list[tuple[Any, Router]]:
    """The (application, router) pairs mounted in `router`, in order: what its `lifespan_context` takes,
    and where it is."""
    found: list[tuple[Any, Router]] = []
    for route in router.routes:
        app: Any = getattr(route, "base_app", None) or getattr(route, "app", None)
        child = getattr(app, "router", app)
        if hasattr(child, "lifespan_context") and hasattr(child, "routes"):
            found.append((app, child))
    return found


@contextlib.asynccontextmanager
async def run_lifespan(router: Router, app: Any) -> AsyncGenerator[dict[str, Any], None]:
    """Enter the lifespan of `router`, then those mounted in it, in order; leave them in reverse. Yields
    their state, merged.

    One that its parent runs by itself (the same function, or the same application twice) is not run again.
    """
    state: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        entered: list[Any] = []

        async def enter(router: Router, app: Any) -> None:
            context = router.lifespan_context
            if any(context == other for other in entered):
                return
            if context is not default_lifespan:
                entered.append(context)
            own: Any = await stack.enter_async_context(context(app))
            if own is not None:
                state.update(own)
            if getattr(router, "mounted_lifespans", True):
                for child_app, child in mounted_routers(router):
                    await enter(child, child_app)

        await enter(router, app)
        yield state


async def serve_lifespan(router: Router, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ASGI lifespan messages by the lifespans of `router` and of what is mounted in it."""
    started = False
    app: Any = scope.get("app")
    await receive()
    try:
        async with run_lifespan(router, app) as state:
            if state:
                if "state" not in scope:
                    raise RuntimeError('The server does not support "state" in the lifespan scope.')
                scope["state"].update(state)
            await send({"type": "lifespan.startup.complete"})
            started = True
            await receive()
            supervisor = getattr(app, "background", None)
            if isinstance(supervisor, Supervisor):
                # Background tasks may still use what the lifespan closes.
                await supervisor.wait(app.shutdown_timeout)
    except BaseException:
        text = traceback.format_exc()
        kind = "shutdown" if started else "startup"
        await send({"type": f"lifespan.{kind}.failed", "message": text})
        raise
    await send({"type": "lifespan.shutdown.complete"})
