"""`gunicorn -k tidegate.gunicorn.Worker`: gunicorn's processes, Tidegate's server in each.

What gunicorn has an option for (bind, backlog, workers, max_requests, timeout, graceful_timeout, keepalive where it is
set, logs) is gunicorn's; all else is read from TIDEGATE_* in the environment and from [tool.tidegate].
"""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker as BaseWorker

from tidegate.cli.options import load_config
from tidegate.config import Config
from tidegate.server import Server, ShutdownError, StartupError
from tidegate.server.loop import run

logger = logging.getLogger("tidegate")

NOTIFY: Final = 1.0  # seconds between heartbeats, at most
SLACK: Final = 1.0  # seconds that a shutdown ends before gunicorn's patience does


class WorkerServer(Server):
    """A Server that tells gunicorn that its event loop turns, and stops when gunicorn says so."""

    def __init__(self, app: Any, config: Config, worker: "Worker") -> None:
        super().__init__(app, config, sockets=[each.sock for each in worker.sockets])
        self._worker = worker

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        prepared = self._prepare()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        for number in (signal.SIGINT, signal.SIGQUIT):  # gunicorn's quick shutdown
            loop.add_signal_handler(number, self._stop_now, stop)
        loop.add_signal_handler(signal.SIGUSR1, self._worker.log.reopen_files)
        self._beat(loop, stop)
        await self._start(*prepared)
        await stop.wait()
        if not self._shutdown_asked.is_set():
            # Connections in the backlog are for the other workers, or for those to come.
            self.shutdown(drain_backlog=False)
        await self._stop()

    def _stop_now(self, stop: asyncio.Event) -> None:
        self.shutdown(drain_backlog=False)
        self.shutdown()
        stop.set()

    def _beat(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        worker = self._worker
        worker.notify()
        if self.requests_begun >= worker.max_requests:
            worker.log.info("Worker %s has begun %d requests: replacing it", worker.pid, self.requests_begun)
            stop.set()
        elif os.getppid() != worker.ppid:
            worker.log.info("The arbiter of worker %s has gone", worker.pid)
            stop.set()
        loop.call_later(min(NOTIFY, (worker.timeout or NOTIFY) / 2), self._beat, loop, stop)


class Worker(BaseWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's worker class."""

    def init_signals(self) -> None:
        """The event loop takes the signals, once it is there; until then they end the process."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.siginterrupt(signal.SIGUSR1, False)

    def run(self) -> None:
        """Serve until gunicorn says otherwise."""
        self._share_logs()
        config = self.config()
        try:
            run(WorkerServer(self.wsgi, config, self).serve(), config.loop)
        except StartupError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        except ShutdownError as error:
            self.log.error("%s", error)
            sys.exit(1)

    def config(self) -> Config:
        """Tidegate's configuration, with what gunicorn's says."""
        cfg = self.cfg
        config, _ = load_config({}, os.environ, Path.cwd(), origin="gunicorn")
        timeouts = config.timeouts
        after = 2 * timeouts.shutdown_cancel + timeouts.lifespan_shutdown + SLACK
        timeouts = replace(timeouts, graceful_shutdown=max(0.0, cfg.graceful_timeout - after))
        keep_alive = cfg.settings["keepalive"]
        if keep_alive.get() != keep_alive.default:  # 2 s, less than balancers keep their side
            timeouts = replace(timeouts, keep_alive=float(max(1, keep_alive.get())))
        access_log = bool(cfg.accesslog) and config.logging.access_log
        return replace(
            config,
            backlog=cfg.backlog,
            timeouts=timeouts,
            logging=replace(config.logging, access_log=access_log),
        )

    def _share_logs(self) -> None:
        for name, source in (("tidegate", self.log.error_log), ("tidegate.access", self.log.access_log)):
            target = logging.getLogger(name)
            target.handlers[:] = source.handlers
            target.setLevel(source.level if name == "tidegate" else logging.INFO)
            target.propagate = False
