"""One process with an admin address: the server in the main thread, the address in another."""

import os
import time
from typing import Any

from tidegate.admin.thread import AdminThread, open_admin
from tidegate.config import Bind, Config
from tidegate.metrics.board import Board, Process
from tidegate.metrics.recorder import Recorder
from tidegate.metrics.region import Region
from tidegate.server import Server
from tidegate.server.build import build_of
from tidegate.server.loop import run as run_loop


def serve_with_admin(app: Any, config: Config, bind: Bind) -> None:
    """Serve `app` until asked to stop. Raises what Server.serve raises."""
    region = Region()
    server = Server(app, config, recorder=Recorder(region))
    board = Board(build_of(config.loop), lambda: server.ready)
    board.add(0, region)
    board.show({0: Process(1, os.getpid(), "up", time.time())})
    thread = AdminThread(config, board, open_admin(bind))
    thread.start()
    try:
        run_loop(server.serve(), config.loop)
    finally:
        thread.stop()
