"""The process in which --reload runs the application: `python -m tidegate.cli.child DESCRIPTOR`."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence

from tidegate.cli.main import INTERRUPTED, serve
from tidegate.config import Config
from tidegate.server import Server
from tidegate.supervisor.reload import Start


class SupervisedServer(Server):
    """Stops gracefully when the parent's pipe ends, unless it is stopping already: Ctrl-C comes here too."""

    def __init__(self, app: str, config: Config, *, sockets: Sequence[socket.socket], pipe: int) -> None:
        super().__init__(app, config, sockets=sockets)
        self._pipe = pipe
        self._asked = False

    def shutdown(self) -> None:
        self._asked = True
        super().shutdown()

    async def serve(self) -> None:
        asyncio.get_running_loop().add_reader(self._pipe, self._parent_asks)
        await super().serve()

    def _parent_asks(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe)
        if not self._asked:
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
    sys.exit(main(int(sys.argv[1])))
