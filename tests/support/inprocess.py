"""The real server in a thread of the test's own process, for applications that are part of the test."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.wire import Client
from tidegate.asgi import ASGIApplication, Receive, Scope, Send
from tidegate.config import Bind, Config, Limits, Logging, Timeouts
from tidegate.server import Server
from tidegate.server.loop import loop_factory


class Serving:
    """A running server whose application each test sets as `app`.

    `called` counts the calls of it, `escaped` holds what got out of them, in order; `loop_errors` what the event
    loop had to complain about.
    """

    host = "127.0.0.1"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.app: ASGIApplication | None = None
        self.server: Server | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.port = 0
        self.failure: BaseException | None = None
        self.ready = threading.Event()
        self.stop_event: asyncio.Event | None = None
        self.called = 0
        self.escaped: list[BaseException | None] = []
        self.loop_errors: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.clients: list[Client] = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(self.config.loop)) as runner:
                runner.run(self.main())
        except BaseException as error:
            self.failure = error
        finally:
            self.ready.set()

    async def main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda loop, context: self.loop_errors.append(context))
        self.stop_event = asyncio.Event()
        async with Server(self.call, self.config) as self.server:
            address = self.server.addresses[0]
            self.port = 0 if isinstance(address, str) else address[1]
            self.ready.set()
            await self.stop_event.wait()

    async def call(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "lifespan" or app is None:
            raise NotImplementedError
        self.called += 1
        error = None
        try:
            await app(scope, receive, send)
        except BaseException as caught:
            error = caught
            raise
        finally:
            with self.changed:
                self.escaped.append(error)
                self.changed.notify_all()

    def client(self, **options: Any) -> Client:
        """A new connection; closed with the test, if not before."""
        client = Client(self.host, self.port, **options)
        self.clients.append(client)
        return client

    def wait_for_end(self, count: int = 1, timeout: float = 10) -> BaseException | None:
        """Wait until the application ended for the `count`th time since the test began; what it raised, or None."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.escaped) >= count, timeout), (
                "the application goes on"
            )
        return self.escaped[count - 1]

    def call_soon(self, function: Callable[[], object]) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(function)

    def reset(self) -> None:
        """Forget the test before, once its connections have ended: else it might still be answered in the next."""
        self.close_clients()
        deadline = time.monotonic() + 5
        while self.server is not None and self.server.open_connections and time.monotonic() < deadline:
            time.sleep(0.001)
        self.app = None
        self.called = 0
        self.escaped = []
        self.loop_errors = []

    def close_clients(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    def stop(self) -> None:
        self.close_clients()
        if self.thread.is_alive() and self.stop_event is not None:
            self.call_soon(self.stop_event.set)
        self.thread.join(timeout=30)
        assert not self.thread.is_alive(), "the server did not stop"
        if self.failure is not None:
            raise self.failure


@contextmanager
def serving(
    app: ASGIApplication | None = None,
    *,
    limits: dict[str, Any] | None = None,
    timeouts: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    """Serve on a free port until the block ends. Settings are `Config`'s fields; shutdown is quick."""
    quick = {"graceful_shutdown": 0.5, "shutdown_idle": 0.1, "shutdown_cancel": 0.5}
    settings.setdefault("binds", (Bind(port=0),))
    config = Config(
        limits=Limits(**(limits or {})),
        timeouts=Timeouts(**(quick | (timeouts or {}))),
        logging=Logging(access_log=False),
        **settings,
    )
    serving = Serving(config)
    serving.app = app
    serving.thread.start()
    assert serving.ready.wait(10)
    try:
        yield serving
    finally:
        serving.stop()
