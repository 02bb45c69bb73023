"""The ASGI lifespan protocol 2.0: one task that lives as long as the server."""

import asyncio
import logging
from typing import Any

from tidegate.asgi import ASGIApplication, Message
from tidegate.http.errors import ApplicationError

logger = logging.getLogger("tidegate.error")

FAILED_TIMEOUT = 5.0  # seconds


class LifespanError(Exception):
    """The application failed to start; the message is its own, or says what it raised."""


class Lifespan:
    """Runs `app`'s lifespan. `mode` is "auto" (an application without lifespan support goes without), "on" or "off".

    Usage: `await startup()`, serve with copies of `state`, `await shutdown(timeout)`, which always delivers
    lifespan.shutdown to an application whose startup completed.
    """

    def __init__(self, app: ASGIApplication, mode: str) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: str | None = None
        self._shutdown_failure: str | None = None
        self._completed = False
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Run the application's startup; raises LifespanError where it failed."""
        if self._mode == "off":
            return
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run(), name="tidegate lifespan")
        await self._started.wait()
        if self._failure is not None:
            # It may clean up behind startup.failed, but not for ever.
            await asyncio.wait((self._task,), timeout=FAILED_TIMEOUT)
            self._task.cancel()
            raise LifespanError(self._failure)

    async def shutdown(self, timeout: float) -> bool:
        """Deliver lifespan.shutdown and wait up to `timeout` seconds; False where it failed or took too long."""
        task = self._task
        if task is None:
            return True
        if self._completed and not task.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            stopped = asyncio.ensure_future(self._stopped.wait())
            await asyncio.wait((stopped, task), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not task.done():
                # It may still have code to run behind shutdown.complete.
                await asyncio.wait((task,), timeout=timeout if self._stopped.is_set() else 0)
            if not self._stopped.is_set() and not task.done():
                logger.error("lifespan.shutdown took longer than %g s; it is cancelled", timeout)
                self._shutdown_failure = "timeout"
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=timeout)
        if self._shutdown_failure is not None and self._shutdown_failure != "timeout":
            logger.error("The application's shutdown failed: %s", self._shutdown_failure)
        return self._shutdown_failure is None

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
            "extensions": {},
        }
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self._completed:
                logger.exception("The application's lifespan raised")
                self._shutdown_failure = self._shutdown_failure or repr(error)
            elif self._failure is None and not self._started.is_set():
                if self._mode == "on" or not isinstance(error, Exception):
                    logger.exception("The application's lifespan raised before startup completed")
                    self._failure = f"lifespan startup raised {type(error).__name__}"
                else:
                    # ASGI lifespan: an exception means that the application does not support it.
                    logger.debug("The application does not support lifespan", exc_info=True)
        else:
            if not self._completed and self._failure is None and self._mode == "on":
                self._failure = "the application returned before lifespan.startup.complete"
        finally:
            self._started.set()
            self._stopped.set()

    async def _receive(self) -> Message:
        return await self._events.get()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.is_set():
            self._completed = True
            self._started.set()
        elif kind == "lifespan.startup.failed" and not self._started.is_set():
            self._failure = str(message.get("message", "")) or "the application's startup failed"
            self._started.set()
        elif kind == "lifespan.shutdown.complete" and self._completed and not self._stopped.is_set():
            self._stopped.set()
        elif kind == "lifespan.shutdown.failed" and self._completed and not self._stopped.is_set():
            self._shutdown_failure = str(message.get("message", "")) or "no reason given"
            self._stopped.set()
        else:
            raise ApplicationError(f"unexpected lifespan message {kind!r}")
