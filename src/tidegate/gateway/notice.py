"""The `tidegate.shutdown` scope extension: lets an application end its streams well when the server shuts down.

notice = scope["extensions"]["tidegate.shutdown"]["notice"]
notice.is_set()       # True once shutdown has begun
await notice.wait()   # returns then
"""

import asyncio


class ShutdownNotice:
    """Shared by every exchange of a server; applications can only read it."""

    __slots__ = ("_event",)

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        """Return once shutdown has begun."""
        await self._event.wait()
