"""The worker's side: a server that does what its supervisor says, and tells it that the event loop turns.

A thread of its own reads the channel, so that a worker whose event loop is blocked, or whose application is still being
imported, can be told to show its stacks or to go. When the channel ends, the supervisor has died: the worker drains.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tidegate.config import Bind, Config
from tidegate.metrics.memory import resident_memory
from tidegate.net.share import Share
from tidegate.server import Server, StartupError
from tidegate.supervisor.channel import (
    Adopt,
    AskToLeave,
    Beat,
    Channel,
    ChannelError,
    Drain,
    Dumped,
    DumpStacks,
    Hurry,
    Message,
    Ready,
    Release,
    ReopenLogs,
    Start,
)
from tidegate.supervisor.supervisor import DUMP_SIGNAL
from tidegate.supervisor.worker import Plan

if TYPE_CHECKING:
    from tidegate.metrics.recorder import Recorder

logger = logging.getLogger("tidegate")

BEAT: Final = 1.0  # seconds between beats, at most
BEATS: Final = 4  # in the time after which their absence is told
MAX_TASKS: Final = 100  # of which the stack is written
MAX_FRAMES: Final = 64
# What supervisors act on, and terminals and `pkill` send to whole groups of processes.
DEAF_TO: Final = (
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
)

Handler = Callable[[Message, list[int]], None]


class Link:
    """The worker's end of the channel."""

    def __init__(self, connection: socket.socket) -> None:
        self._channel = Channel(connection, reports=False)
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._early: list[tuple[Message, list[int]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handler: Handler | None = None
        self._main = threading.main_thread().ident or 0

    def start(self) -> tuple[Start, list[int]]:
        """Wait for what the worker begins with. Raises EOFError, ChannelError."""
        while not self._early:
            self._early += self._channel.receive(wait=True)
        first, descriptors = self._early.pop(0)
        if not isinstance(first, Start):
            raise ChannelError("something comes before the start")
        return first, descriptors

    def listen(self) -> None:
        """Hear from now on what the supervisor says, and of its end, which is logged."""
        threading.Thread(target=self._listen, name="tidegate supervisor", daemon=True).start()

    def attach(self, loop: asyncio.AbstractEventLoop, handler: Handler) -> None:
        """From now on messages are handled in `loop`; those that have come are handled first."""
        with self._lock:
            self._loop = loop
            self._handler = handler
            for message, descriptors in self._early:
                loop.call_soon(handler, message, descriptors)
            self._early.clear()

    def send(self, message: Message) -> None:
        """Send, if that goes without waiting: a supervisor that does not listen now has no use for old news."""
        with self._sending:
            if self._channel.waiting:
                self._channel.flush()
            if not self._channel.waiting:
                self._channel.send(message)

    def _listen(self) -> None:
        try:
            while True:
                for message, descriptors in self._channel.receive(wait=True):
                    self._take(message, descriptors)
        except (EOFError, ChannelError, OSError):
            logger.warning("The supervisor has gone")
            self._take(Drain(True), [])

    def _take(self, message: Message, descriptors: list[int]) -> None:
        with self._lock:
            loop, handler = self._loop, self._handler
            if loop is None or handler is None:
                self._early.append((message, descriptors))
        if isinstance(message, DumpStacks):
            log_threads()
            if loop is not None:
                log_tasks(loop)
            self.send(Dumped())
        elif loop is not None and handler is not None:
            with contextlib.suppress(RuntimeError):  # it has closed: the worker is going
                loop.call_soon_threadsafe(handler, message, descriptors)
        elif isinstance(message, Drain | Hurry):
            # The main thread imports the application, and may wait there.
            signal.pthread_kill(self._main, signal.SIGINT)


class SupervisedServer(Server):
    """A Server whose sockets, and whose end, come over `link`; `keys` are those of `sockets`.

    From those in `shared` all workers accept: this one, its `share`.
    """

    def __init__(
        self,
        app: str,
        config: Config,
        *,
        sockets: list[socket.socket],
        binds: list[Bind],
        keys: list[int],
        shared: Sequence[int],
        share: Share | None,
        name: str,
        link: Link,
        reopen_logs: Callable[[], None],
        recorder: "Recorder | None" = None,
    ) -> None:
        self._keys = dict(zip(keys, sockets, strict=True))
        self._shared_keys = shared if share is not None else []
        given = [each for key, each in self._keys.items() if key in self._shared_keys]
        super().__init__(
            app, config, sockets=sockets, binds=binds, share=share, shared=given, recorder=recorder
        )
        self._name = name
        self._link = link
        self._reopen_logs = reopen_logs
        self._asked = asyncio.Event()
        self._interval = min(BEAT, Plan.of(config, 0).quiet / BEATS)
        self._changing: asyncio.Task[None] | None = None
        self._changes: list[tuple[Message, list[int]]] = []

    async def serve(self) -> None:
        """Serve until the supervisor says otherwise. Raises ShutdownError, and what a Server raises at its start."""
        loop = asyncio.get_running_loop()
        # The application's import can block: until it is done, what tells the worker to go interrupts it.
        prepared = self._prepare()
        for number in (signal.SIGINT, *DEAF_TO):
            # Not SIG_IGN, which processes that the application starts would inherit.
            loop.add_signal_handler(number, lambda: None)
        loop.add_signal_handler(signal.SIGTERM, self._link.send, AskToLeave())
        self._link.attach(loop, self._handle)
        try:
            await self._start(*prepared)
        except StartupError:
            if self._asked.is_set():
                return
            raise
        self._link.send(Ready())
        self._beat()
        await self._asked.wait()
        await self._stop()

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        """The supervisor tells, for all."""

    def _beat(self) -> None:
        self._link.send(Beat(self.open_connections, self.requests_begun, resident_memory()))
        asyncio.get_running_loop().call_later(self._interval, self._beat)

    def _handle(self, message: Message, descriptors: list[int]) -> None:
        if isinstance(message, Adopt | Release):
            self._changes.append((message, descriptors))
            if self._changing is None or self._changing.done():
                self._changing = asyncio.get_running_loop().create_task(self._change_sockets())
        elif isinstance(message, Drain):
            logger.info("%s (process %d) drains", self._name, os.getpid())
            self._asked.set()
            self.shutdown(drain_backlog=message.backlog)
        elif isinstance(message, Hurry):
            if not self._asked.is_set():
                self._asked.set()
                self.shutdown(drain_backlog=False)
            self.shutdown()
        elif isinstance(message, ReopenLogs):
            self._reopen_logs()

    async def _change_sockets(self) -> None:
        while self._changes:
            message, descriptors = self._changes.pop(0)
            if isinstance(message, Adopt):
                for (key, index), descriptor in zip(message.sockets, descriptors, strict=True):
                    adopted = socket.socket(fileno=descriptor)
                    if key in self._keys or self._asked.is_set():
                        adopted.close()
                        continue
                    self._keys[key] = adopted
                    bind, shared = self._config.binds[index], key in self._shared_keys
                    await self.add_listener(adopted, bind, shared=shared)
            elif isinstance(message, Release):
                for key in message.keys:
                    released = self._keys.pop(key, None)
                    if released is not None:
                        await self.remove_listener(released)
                        released.close()


def prepare() -> None:
    """Before the application is imported: what signals do to a worker from now on."""
    for number in DEAF_TO:
        signal.signal(number, lambda number, frame: None)
    # What `Link` ends an import with; whoever started the supervisor may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Written by a handler in C, for where the interpreter's lock is held.
    faulthandler.register(DUMP_SIGNAL, file=sys.__stderr__ or sys.stderr, all_threads=True)


def log_threads() -> None:
    """Write the stacks of this process's threads to the log."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    blocks = []
    for number, frame in sys._current_frames().items():
        if number != threading.get_ident():
            stack = "".join(traceback.format_stack(frame)[-MAX_FRAMES:])
            blocks.append(f"Thread {names.get(number, number)}:\n{stack.rstrip()}")
    _log_stacks("%d threads of process %d:", len(blocks), blocks)


def log_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Write the stacks of the loop's tasks to the log; from any thread."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    blocks = [_stack_of(task) for task in tasks[:MAX_TASKS]]
    if len(tasks) > MAX_TASKS:
        blocks.append(f"and {len(tasks) - MAX_TASKS} more")
    _log_stacks("%d tasks of process %d:", len(tasks), blocks)


def _log_stacks(message: str, count: int, blocks: list[str]) -> None:
    record = logger.makeRecord(
        logger.name,
        logging.ERROR,
        __file__,
        0,
        message,
        (count, os.getpid()),
        None,
        sinfo="\n".join(blocks),
    )
    logger.handle(record)


def _stack_of(task: "asyncio.Task[Any]") -> str:
    """The stack of a task, down to where its innermost coroutine waits."""
    lines = [f"Task {task.get_name()}:"]
    coroutine: Any = task.get_coro()
    for _ in range(MAX_FRAMES):
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        entry = traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name)
        lines += [f"  {line.strip()}" if n == 0 else f"    {line.strip()}"
                  for n, line in enumerate(traceback.format_list([entry])[0].splitlines())]  # fmt: skip
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return "\n".join(lines)
