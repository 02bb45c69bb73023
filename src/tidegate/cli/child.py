"""The process in which --reload runs the application: `python -m tidegate.cli.child DESCRIPTOR`."""

import os
import socket
import sys

from tidegate.cli.main import INTERRUPTED, serve
from tidegate.supervisor.reload import Start


def main(pipe: int) -> int:
    """Serve as the parent says through `pipe`, until it ends; returns the exit code."""
    try:
        start = Start.read(pipe)
        for descriptor in (pipe, *start.descriptors):
            os.set_inheritable(descriptor, False)  # the application's own children get none of them
        sys.path[:] = start.search_path
        sockets = [socket.socket(fileno=descriptor) for descriptor in start.descriptors]
        return serve(start.config.app, start.config, sockets=sockets, control=pipe)
    except (EOFError, KeyboardInterrupt):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
