"""The process in which --reload runs the application: `python -m tidegate.cli.child DESCRIPTOR`."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence

from tidegate.cli.main import INTERRUPTED, leave, serve
from tidegate.config import Config
from tidegate.server import Server
from tidegate.supervisor.reload import Start


class SupervisedServer(Server):
    """Stops when its parent says so through `pipe`: first gracefully, then at once. The pipe's end says it too.

    Signals are the parent's business: Ctrl-C, and a service manager's SIGTERM, come to both.
    """

    def __init__(self, app: str, config: Config, *, sockets: Sequence[socket.socket], pipe: int) -> None:
        super().__init__(app, config, sockets=sockets)
        self._pipe = pipe
        self._asked = asyncio.Event()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not SIG_IGN, which processes that the application starts would inherit.
            loop.add_signal_handler(number, lambda: None)
        loop.add_reader(self._pipe, self._parent_asks)
        async with self:
            await self._asked.wait()

    def _parent_asks(self) -> None:
        if not os.read(self._pipe, 1):
            asyncio.get_running_loop().remove_reader(self._pipe)
        self._asked.set()
        self.shutdown()


def main(pipe: int) -> int:
    """Serve as the parent says through `pipe`, until it ends; returns the exit code."""
    try:
        start = Start.read(pipe)
        for descriptor in (pipe, *start.descriptors):
            os.set_inheritable(descriptor, False)  # the application's own children get none of them
        sys.path[:] = start.search_path
        sockets = [socket.socket(fileno=descriptor) for descriptor in start.descriptors]
        return serve(start.config.app, start.config, SupervisedServer, sockets=sockets, pipe=pipe)
    except (EOFError, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    leave(main(int(sys.argv[1])))
