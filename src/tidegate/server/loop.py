"""The event loop: uvloop where it is, else asyncio's own."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

CLEAN_UP = 1.0  # seconds for each of what may be left when the server has ended


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
    try:
        loop = loop_factory(loop_name)()
    except BaseException:
        main.close()  # or Python warns that nobody awaited it
        raise
    # Not asyncio.Runner, whose SIGINT handler cannot interrupt an application that blocks while it is imported,
    # and which waits for ever for a task that does not end when it is cancelled.
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main)
    finally:
        with _signals_ignored():
            # Interrupted before it began, uvloop takes itself for running ever after: there is nothing to clean up.
            if loop.is_running():
                main.close()
            else:
                _clean_up(loop)
                asyncio.set_event_loop(None)
                loop.close()


@contextmanager
def _signals_ignored() -> Iterator[None]:
    # A shutdown that is complete is not to look like one that was cut short.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _clean_up(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=CLEAN_UP))
    with suppress(TimeoutError):
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), CLEAN_UP))
