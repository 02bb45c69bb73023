"""The event loop: uvloop where it is, else asyncio's own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop called `name`: "uvloop", "asyncio", or "auto" for uvloop where it is installed."""
    if name != "asyncio":
        try:
            import uvloop
        except ImportError:
            if name == "uvloop":
                raise
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop


def run(main: Coroutine[Any, Any, None], loop_name: str) -> None:
    """Run `main` to its end in a new loop of this name."""
    with asyncio.Runner(loop_factory=loop_factory(loop_name)) as runner:
        # Not runner.run(), whose SIGINT handler cannot interrupt an application that blocks while it is imported.
        runner.get_loop().run_until_complete(main)
