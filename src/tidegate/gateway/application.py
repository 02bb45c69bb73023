"""Runs the application: one Task, with its own context, for each exchange."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Container, Coroutine
from time import perf_counter
from types import CoroutineType
from typing import Any

from tidegate.asgi import ASGIApplication
from tidegate.gateway.awaitable import Receiver
from tidegate.gateway.eager import EagerStarter
from tidegate.gateway.notice import ShutdownNotice
from tidegate.gateway.scope import Peers
from tidegate.http.errors import ApplicationError, ClientDisconnected
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream

logger = logging.getLogger("tidegate.error")

DONE = object()
HINTS_OFF = 0
HINTS_ALL = 2

# `send` lets the event loop run at least once per this many octets, however fast the client reads.
MAX_WITHOUT_YIELD = 1 << 20
# What a message of its own costs, as octets of that.
MESSAGE_COST = 512


class Exchange(Receiver):
    """One exchange of a client with the application: what HTTP's and WebSocket's have in common."""

    __slots__ = (
        "_call",
        "_gateway",
        "_identity",
        "_reserved",
        "_send_waiters",
        "_since_yield",
        "_stream",
        "_writing_paused",
        "ended_at",
        "first_byte_at",
        "peers",
        "request",
        "started_at",
        "status",
    )

    def _open(self, gateway: "Gateway", stream: Stream, request: RequestHead, peers: Peers) -> None:
        # Not `__init__`, since a compiled subclass calls this at the cost of a C function.
        self._open_receiver(gateway.loop)
        self._gateway = gateway
        self._stream = stream
        self.request = request
        self.peers = peers
        self._call: ApplicationCall | None = None
        self._reserved = False
        self._writing_paused = False
        self._since_yield = 0
        self._send_waiters: list[Any] | None = None
        self._identity: str | None = None
        self.status = 0
        self.started_at = 0.0
        self.first_byte_at = 0.0
        # Where that is known without another look at the clock.
        self.ended_at = 0.0

    def reserve(self) -> None:
        """Take a place among the concurrent exchanges now, before `start`: others of the same read are to see it."""
        self._reserved = True
        self._gateway.reserved += 1

    # --- what the stream says

    def start(self) -> None:
        gateway = self._gateway
        self.discarded()
        if gateway.access_log is not None and self.started_at == 0:
            self.started_at = perf_counter()
        call = ApplicationCall(gateway, self)
        self._call = call
        gateway.run(call)

    def discarded(self) -> None:
        if self._reserved:
            self._reserved = False
            self._gateway.reserved -= 1

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake_senders()

    # --- what the application's call says

    def call_application(self, app: ASGIApplication) -> Any:
        """Call `app` with this exchange's scope, receive and send."""

    def step_started(self) -> None:
        """A step of the application begins: what it sends may wait for the step's end."""
        self._in_step = True

    def step_ended(self) -> None:
        """A step of the application has ended: nothing waits any longer."""
        self._in_step = False
        self._stream.flush()

    def application_ended(self, error: BaseException | None) -> None:
        """The application returned (None), or raised `error`."""

    def identity(self) -> str:
        """The request's id, the same in every log."""
        if self._identity is None:
            self._identity = self._gateway.identify(self.request)
        return self._identity

    def _log_failure(self, error: BaseException) -> None:
        self._gateway.log_failure(error, self.request, self.peers, self.identity())

    # --- what `send` asks

    def may_send(self) -> bool:
        """Whether there is more to send. Raises ClientDisconnected once the client has gone."""
        raise NotImplementedError

    async def _yield(self) -> None:
        self._since_yield = 0
        if not self._writing_paused:
            future = self._gateway.loop.create_future()
            self._gateway.loop.call_soon(_set_result, future)
            await future
        while self.may_send() and self._writing_paused:
            future = self._gateway.loop.create_future()
            if self._send_waiters is None:
                self._send_waiters = []
            self._send_waiters.append(future)
            await future

    def _wake_senders(self) -> None:
        waiters = self._send_waiters
        self._send_waiters = None
        if waiters is not None:
            for future in waiters:
                _set_result(future)


def _set_result(future: Any) -> None:
    if not future.done():
        future.set_result(None)


class ApplicationCall:
    """The coroutine that the exchange's Task drives: the application's own, with a hook around each step.

    Nothing that the application raises leaves it, be it SystemExit: one request never ends the server.
    """

    __slots__ = ("_coroutine", "_exchange", "_gateway", "_steps", "ended", "task")

    def __init__(self, gateway: "Gateway", exchange: Exchange) -> None:
        self._gateway = gateway
        self._exchange = exchange
        self._coroutine: Any = None
        self._steps: Any = None
        self.task: asyncio.Task[None] | None = None
        self.ended = False

    def __await__(self) -> "ApplicationCall":
        return self

    def __iter__(self) -> "ApplicationCall":
        return self

    def __next__(self) -> Any:
        future = self._step(None)
        if future is DONE:
            raise StopIteration
        return future

    def send(self, value: Any) -> Any:
        return self.__next__()  # a Task has nothing to tell

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        future = self._step(kind if isinstance(kind, BaseException) else kind())
        if future is DONE:
            raise StopIteration
        return future

    def _step(self, thrown: BaseException | None) -> Any:
        """Run the application up to where it waits again: what it waits for, or DONE."""
        exchange = self._exchange
        exchange.step_started()
        try:
            steps = self._steps
            if steps is None:
                if thrown is not None:
                    raise thrown
                # Called here, inside the Task, since an application may do its work when it is called.
                coroutine = exchange.call_application(self._gateway.app)
                if type(coroutine) is not CoroutineType:
                    coroutine = _await(coroutine)
                self._coroutine = coroutine
                self._steps = steps = coroutine.__await__()
            if thrown is None:
                # Not `send`, which tells the end by an exception.
                future = next(steps, DONE)
            else:
                future = steps.throw(thrown)
        except StopIteration:
            future = DONE
        except BaseException as error:
            self._end(error)
            return DONE
        if future is DONE:
            self._end(None)
        else:
            exchange.step_ended()
        return future

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    def _end(self, error: BaseException | None) -> None:
        exchange = self._exchange
        self._coroutine = None
        self._steps = None
        self.ended = True
        self._gateway.call_ended(self)
        exchange.application_ended(error)
        exchange.step_ended()

    # For Task.get_stack() and the tools that read it.

    @property
    def cr_frame(self) -> Any:
        return getattr(self._coroutine, "cr_frame", None)

    @property
    def cr_code(self) -> Any:
        return getattr(self._coroutine, "cr_code", None)

    @property
    def cr_await(self) -> Any:
        return getattr(self._coroutine, "cr_await", None)

    @property
    def cr_running(self) -> bool:
        return bool(getattr(self._coroutine, "cr_running", False))


Coroutine.register(ApplicationCall)


async def _await(awaitable: Any) -> None:
    await awaitable


class Gateway:
    """What all the exchanges of a server share.

    `early_hints` is "all", "navigate" or "off"; `cancel_after` the seconds that an application may outlive its
    client, None for ever. `access_log(exchange)` is called when an exchange completes, None for no log; `identify`
    gives a request's id.
    """

    __slots__ = (
        "_cancel_after",
        "_context",
        "_early_hints",
        "_notice",
        "_shutdown",
        "_starter",
        "_task_factory",
        "access_log",
        "app",
        "calls",
        "calls_begun",
        "cancelling",
        "identify",
        "loop",
        "max_exchanges",
        "read_buffer",
        "reserved",
        "root_path",
        "state",
    )

    def __init__(
        self,
        app: ASGIApplication,
        loop: asyncio.AbstractEventLoop,
        *,
        root_path: str = "",
        state: dict[str, Any] | None = None,
        early_hints: str = "navigate",
        read_buffer: int = 65536,
        max_exchanges: int | None = None,
        cancel_after: float | None = None,
        identify: Callable[[RequestHead], str] = lambda request: "-",
        access_log: Callable[[Any], None] | None = None,
    ) -> None:
        self.app = app
        self.loop = loop
        self.root_path = root_path
        self.state = {} if state is None else state
        self.read_buffer = read_buffer
        self.max_exchanges = -1 if max_exchanges is None else max_exchanges
        self.access_log = access_log
        self.calls: set[ApplicationCall] = set()
        self.calls_begun = 0
        self.reserved = 0  # places of exchanges whose application is yet to be started
        self.cancelling = False
        self._shutdown = asyncio.Event()
        self._notice = ShutdownNotice(self._shutdown)
        self._early_hints = ("off", "navigate", "all").index(early_hints)
        self._cancel_after = cancel_after
        self.identify = identify
        self._context = contextvars.copy_context()
        self._starter = EagerStarter(loop)
        self._task_factory = loop.get_task_factory() is not None

    def run(self, call: ApplicationCall) -> None:
        """Start the application's Task: at once where the event loop and this moment allow it."""
        loop = self.loop
        context = self._context.copy()
        self.calls.add(call)
        self.calls_begun += 1
        if self._task_factory:
            call.task = loop.create_task(call, context=context)
        else:
            call.task = self._starter.start(call, context)
        if call.ended:
            call.task = None

    def call_ended(self, call: ApplicationCall) -> None:
        """The call's application has returned or raised."""
        self.calls.discard(call)
        call.task = None

    def client_gone(self, call: ApplicationCall) -> None:
        """The client of a running application has gone."""
        if self._cancel_after is not None and call.task is not None:
            handle = self.loop.call_later(self._cancel_after, call.task.cancel)
            call.task.add_done_callback(lambda task: handle.cancel())

    def cancels(self, error: BaseException) -> bool:
        """Whether `error` is what became of our own cancelling of an application whose client has gone."""
        return self._cancel_after is not None and isinstance(error, asyncio.CancelledError)

    def shutdown_started(self) -> None:
        """Tell the applications that look for it (extension `tidegate.shutdown`)."""
        self._shutdown.set()

    def full(self) -> bool:
        """Whether the limit of concurrent exchanges is reached."""
        return 0 <= self.max_exchanges <= len(self.calls) + self.reserved

    def extensions(self, request: RequestHead) -> dict[str, Any]:
        """The ASGI extensions that work on this exchange; fresh, as the application may change them."""
        extensions: dict[str, Any] = {
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
            "tidegate.shutdown": {"notice": self._notice},
        }
        if request.client_trailers and request.http_version != "1.0":
            extensions["http.response.trailers"] = {}
        if self.hints_allowed(request):
            extensions["http.response.early_hint"] = {}
        return extensions

    def hints_allowed(self, request: RequestHead) -> bool:
        """Whether a 103 is safe: some HTTP/1.1 clients take one for the final answer."""
        policy = self._early_hints
        if policy == HINTS_OFF or request.http_version == "1.0":
            return False
        return policy == HINTS_ALL or request.navigation or request.http_version != "1.1"

    def log_failure(self, error: BaseException, request: RequestHead, peers: Peers, identity: str) -> None:
        """Log once what an application raised, or did not do, with what was asked for."""
        client = "-" if peers.client is None else f"{peers.client[0]}:{peers.client[1]}"
        line = f"{request.method} {request.target.decode('latin-1')} HTTP/{request.http_version}"
        # Escaped, since a target may hold what drives a terminal.
        what = f"{client} {line.encode('unicode_escape').decode()} {identity}"
        if isinstance(error, asyncio.CancelledError) and self.cancelling:
            logger.warning("Cancelled at shutdown: %s", what)
        elif isinstance(error, ApplicationError) and error.__traceback__ is None:
            logger.error("%s: %s", error, what)
        else:
            logger.error("Exception in the application: %s", what, exc_info=error)


def is_disconnect(error: BaseException, depth: int = 8) -> bool:
    """Whether `error` is a ClientDisconnected, or a framework's error or group made of nothing else."""
    if isinstance(error, ClientDisconnected):
        return True
    if depth == 0:
        return False
    if isinstance(error, BaseExceptionGroup):
        return all(is_disconnect(inner, depth - 1) for inner in error.exceptions)
    cause = error.__cause__ or error.__context__
    return cause is not None and is_disconnect(cause, depth - 1)


def unknown(message: Any, known: Container[str], scope: str) -> str | None:
    """Why `message` is none of the `known` ones, in the application author's words; None where it is one."""
    try:
        kind = message["type"]
    except (KeyError, TypeError, IndexError):
        return f"an ASGI message is a dict with a 'type', not {type(message).__name__}"
    if not isinstance(kind, str) or kind not in known:
        return f"unknown ASGI message type {kind!r} for {scope} scope"
    return None
