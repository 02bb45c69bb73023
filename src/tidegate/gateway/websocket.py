"""One WebSocket: ASGI's receive and send over a `Stream` (ASGI www 2.5, "WebSocket").

Before the application accepts, or where it refuses, this is an HTTP exchange, and an `HTTPExchange` answers it.
"""

from asyncio import CancelledError, current_task
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tidegate.asgi import ASGIApplication, Message
from tidegate.gateway.application import ApplicationCall, Exchange, Gateway, is_disconnect
from tidegate.gateway.awaitable import READY, exception
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.errors import ApplicationError, ClientDisconnected
from tidegate.http.fields import response_fields
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.stream import Stream
from tidegate.websocket import codes
from tidegate.websocket.connection import WebSocketConnection, WebSocketHandler, WebSocketLimits
from tidegate.websocket.handshake import Handshake, receive_handshake

if TYPE_CHECKING:
    from asyncio import TimerHandle

NEVER = float("inf")

# How far the application is.
CONNECTING = 0  # it has neither accepted nor refused
REFUSING = 1  # an HTTP answer is under way, or sent
ACCEPTED = 2
CLOSED = 3  # it has closed, or returned
GONE = 4  # the peer has
STATES = ("CONNECTING", "REFUSING", "ACCEPTED", "CLOSED", "GONE")

ACCEPT = 0
SEND = 1
CLOSE = 2
START = 3
BODY = 4
MESSAGES = {
    "websocket.accept": ACCEPT,
    "websocket.send": SEND,
    "websocket.close": CLOSE,
    "websocket.http.response.start": START,
    "websocket.http.response.body": BODY,
}
COLUMNS = 5

BAD = 0  # the application is told by an ApplicationError
GO = 1
IGNORE = 2
TELL = 3  # ClientDisconnected

ACTIONS = bytes(
    (
        # ACCEPT, SEND, CLOSE, START, BODY
        *(GO, BAD, GO, GO, BAD),  # CONNECTING
        *(BAD, BAD, IGNORE, GO, GO),  # REFUSING: what may come is the HTTP exchange's to say
        *(BAD, GO, GO, BAD, BAD),  # ACCEPTED
        *(BAD, BAD, IGNORE, BAD, BAD),  # CLOSED
        *(TELL, TELL, TELL, TELL, TELL),  # GONE
    )
)

# `send` lets the event loop run at least once per this many octets, however fast the client reads.
MAX_WITHOUT_YIELD = 1 << 20
# As many messages of one read are handed to a waiting application at once; the others wait for the event loop's turn.
MAX_AT_ONCE = 16


class WebSocketSettings:
    """What the WebSockets of a server share.

    `window_bits` is 9 to 15, or 0 for no compression. Reading pauses while `max_queue` messages, or `max_queued`
    octets of them, wait for the application. An application has `handshake_timeout` seconds (0 for any time) to accept
    or to refuse.
    """

    __slots__ = ("handshake_timeout", "limits", "max_queue", "max_queued", "window_bits")

    def __init__(
        self,
        limits: WebSocketLimits,
        *,
        window_bits: int = 12,
        max_queue: int = 32,
        max_queued: int = 65536,
        handshake_timeout: float = 60.0,
    ) -> None:
        self.limits = limits
        self.window_bits = window_bits
        self.max_queue = max_queue
        self.max_queued = max_queued
        self.handshake_timeout = handshake_timeout


class Waiter:
    """What a Task that waits for a message is given to wait on: a future, as far as Tasks know (asyncio.isfuture).

    Unlike asyncio's it can resume its Task within `wake`: a message that has just come is then answered in the same
    turn of the event loop, without a handle, and in the same write as others.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_exchange")

    def __init__(self, exchange: "WebSocketExchange") -> None:
        self._exchange = exchange
        self._asyncio_future_blocking = True
        self._callback: Callable[[Waiter], object] | None = None
        self._context: Context | None = None
        self._cancelled = False

    def wake(self, at_once: bool) -> None:
        """Resume the Task, now or in its turn. Only without a running Task can it be now."""
        callback = self._callback
        context = self._context
        self._callback = None
        if callback is None or context is None:
            return
        if at_once:
            context.run(callback, self)
        else:
            self._exchange.loop.call_soon(callback, self, context=context)

    def get_loop(self) -> Any:
        return self._exchange.loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        if self._callback is None:
            return False
        self._cancelled = True
        self._exchange.forget(self)
        self.wake(False)
        return True

    def result(self) -> None:
        if self._cancelled:
            raise CancelledError


class MessageReceive:
    """One call of `receive`: takes its message when it is awaited, not before, so that a cancelled one loses none."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: "WebSocketExchange") -> None:
        self._exchange = exchange

    def __await__(self) -> "MessageReceive":
        return self

    def __iter__(self) -> "MessageReceive":
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        message = self._exchange.take_message()
        if message is not None:
            raise StopIteration(message)
        return self._exchange.new_waiter()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        raise exception(kind, value, traceback)

    def close(self) -> None:
        """Nothing to close: a waiter that nobody waits for any more does nothing."""


Coroutine.register(MessageReceive)


class Incoming(WebSocketHandler):
    """What has come and was not taken: messages, then the end of them."""

    __slots__ = ("_exchange", "code", "ended", "messages", "octets", "reason")

    def __init__(self, exchange: "WebSocketExchange") -> None:
        self._exchange = exchange
        self.messages: deque[str | bytes] = deque()
        self.octets = 0
        self.ended = False
        self.code = codes.ABNORMAL_CLOSURE
        self.reason = ""

    def message_received(self, message: str | bytes) -> None:
        self.messages.append(message)
        self.octets += len(message)
        self._exchange.messages_waiting(len(self.messages), self.octets)

    def close_received(self, code: int, reason: str) -> None:
        self.end(code, reason)
        self._exchange.end_waiting(not self.messages)

    def connection_closed(self) -> None:
        self._exchange.connection_closed()

    def end(self, code: int, reason: str) -> None:
        """What `websocket.disconnect` will say, behind the messages; the first call counts."""
        if not self.ended:
            self.ended = True
            self.code = code
            self.reason = reason


class WebSocketExchange(Exchange):
    """Built by the connection's `open_handler`; `start` runs the application. Raises RequestError for a handshake that
    breaks RFC 6455 §4.2.1."""

    __slots__ = (
        "_call",
        "_connect_delivered",
        "_connection",
        "_gateway",
        "_handshake",
        "_identity",
        "_in_step",
        "_incoming",
        "_logged",
        "_refusal",
        "_send_waiters",
        "_settings",
        "_shutting_down",
        "_since_yield",
        "_state",
        "_stream",
        "_timer",
        "_timer_due",
        "_turns",
        "_waiter",
        "_waiters",
        "_writing_paused",
        "first_byte_at",
        "loop",
        "peers",
        "request",
        "started_at",
        "status",
    )

    def __init__(
        self,
        gateway: Gateway,
        stream: Stream,
        request: RequestHead,
        peers: Peers,
        settings: WebSocketSettings,
    ) -> None:
        self._handshake: Handshake = receive_handshake(request, settings.window_bits)
        self._gateway = gateway
        self._stream = stream
        self._settings = settings
        self.request = request
        self.peers = peers
        self._call: ApplicationCall | None = None
        self._state = CONNECTING
        self._connect_delivered = False
        self._refusal: HTTPExchange | None = None
        self._connection: WebSocketConnection | None = None
        self._incoming = Incoming(self)
        self._timer: TimerHandle | None = None
        self._timer_due = NEVER
        self._in_step = False
        self._writing_paused = False
        self._shutting_down = False
        self._since_yield = 0
        self.loop = gateway.loop
        self._turns = 0
        self._waiter: Waiter | None = None  # one to use again
        self._waiters: list[Waiter] = []
        self._send_waiters: list[Any] | None = None
        self._identity: str | None = None
        self._logged = False
        self.status = 0
        self.started_at = 0.0
        self.first_byte_at = 0.0

    # --- what the stream says

    def start(self) -> None:
        gateway = self._gateway
        if gateway.access_log is not None:
            self.started_at = perf_counter()
        if self._settings.handshake_timeout > 0:
            self._arm(self.loop.time() + self._settings.handshake_timeout)
        call = ApplicationCall(gateway, self)
        self._call = call
        gateway.run(call)

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._turns = MAX_AT_ONCE
            self._connection.receive_data(data, self.loop.time())
            self._turns = 0

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._connection is not None:
            self._connection.receive_eof()

    def peer_closed(self) -> None:
        if self._refusal is not None:
            self._refusal.peer_closed()
        elif self._connection is None:
            self._client_gone()
            self._stream.reset()

    def stream_reset(self) -> None:
        if self._refusal is not None:
            self._refusal.stream_reset()
            self._client_gone()
        elif self._connection is not None:
            self._connection.receive_eof()
        else:
            self._client_gone()

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._refusal is not None:
            self._refusal.pause_writing()
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._refusal is not None:
            self._refusal.resume_writing()
        if self._connection is not None:
            self._connection.resume_writing()
            self._stream.flush()
        self._wake_senders()

    def shutdown_started(self) -> None:
        self._shutting_down = True
        if self._state == ACCEPTED:
            self._close(codes.SERVICE_RESTART, "", GONE)
            self._stream.flush()

    # --- what the connection says, through `Incoming`

    def messages_waiting(self, count: int, octets: int) -> None:
        """`count` messages of `octets` octets wait for the application."""
        settings = self._settings
        # One message for an application that waits for one is about to be taken, however large.
        full = count >= settings.max_queue or (
            octets >= settings.max_queued and (count > 1 or not self._waiters)
        )
        if full and self._connection is not None:
            self._connection.pause_reading()
        if self._waiters:
            self._wake()

    def end_waiting(self, alone: bool) -> None:
        """The peer has closed, failed or gone; `alone`: no message waits before that."""
        connection = self._connection
        if connection is None:
            return
        if connection.closing:
            if self._state == ACCEPTED:
                self._client_gone()
        elif alone:
            self._finish()
        else:
            self._arm(connection.next_timeout())
        if self._waiters:
            self._wake()

    def connection_closed(self) -> None:
        """Nothing is sent any more."""
        self._disarm()
        if self._state == ACCEPTED:
            self._client_gone()
        self._log()

    def _finish(self) -> None:
        # The application has had all that came before the peer's close: now that takes effect.
        if self._connection is not None:
            self._connection.finish()
            if not self._in_step:
                self._stream.flush()

    def _client_gone(self) -> None:
        if self._state != CLOSED:
            self._state = GONE
        self._incoming.end(codes.ABNORMAL_CLOSURE, "")
        if self._connection is None:
            self._disarm()
            self._log()
        if self._waiters:
            self._wake()
        self._wake_senders()
        if self._call is not None:
            self._gateway.client_gone(self._call)

    # --- what the application's task says

    def call_application(self, app: ASGIApplication) -> Any:
        gateway = self._gateway
        request = self.request
        extensions = {
            name: value
            for name, value in gateway.extensions(request).items()
            if not name.startswith("http.response.")
        }
        extensions["websocket.http.response"] = {}
        scope = self.peers.http_scope(request, gateway.root_path, gateway.state, extensions)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if self.peers.scheme == "https" else "ws"
        scope["subprotocols"] = list(self._handshake.subprotocols)
        return app(scope, self.receive, self.send)

    def step_started(self) -> None:
        self._in_step = True
        if self._refusal is not None:
            self._refusal.step_started()

    def step_ended(self) -> None:
        self._in_step = False
        if self._refusal is not None:
            self._refusal.step_ended()
        else:
            self._stream.flush()

    def application_ended(self, error: BaseException | None) -> None:
        self._call = None
        state = self._state
        if state == CONNECTING:
            if error is None:
                error = ApplicationError(
                    "the application returned without accepting or refusing the WebSocket"
                )
            self._refuse()
        if error is not None and state == GONE and is_disconnect(error):
            error = None
        if self._refusal is not None:
            self._refusal.application_ended(error)
            return
        if error is not None:
            self._gateway.log_failure(error, self.request, self.peers, self.identity())
        if state == ACCEPTED:
            self._close(codes.NORMAL_CLOSURE if error is None else codes.INTERNAL_ERROR, "", CLOSED)
        self._stream.release()

    def identity(self) -> str:
        """The request's id, the same in every log."""
        if self._identity is None:
            self._identity = self._gateway.identify(self.request)
        return self._identity

    # --- receive

    def receive(self) -> Awaitable[Message]:
        """ASGI's receive."""
        return MessageReceive(self)

    def take_message(self) -> dict[str, Any] | None:
        if not self._connect_delivered:
            self._connect_delivered = True
            return {"type": "websocket.connect"}
        incoming = self._incoming
        if incoming.messages and self._state != CLOSED:
            message = incoming.messages.popleft()
            incoming.octets -= len(message)
            connection = self._connection
            if connection is not None and connection.stopped:
                self._resume_reading(connection)
            if type(message) is str:
                return {"type": "websocket.receive", "text": message}
            return {"type": "websocket.receive", "bytes": message}
        if incoming.ended:
            if self._state == ACCEPTED:
                self._finish()
            return {"type": "websocket.disconnect", "code": incoming.code, "reason": incoming.reason}
        return None

    def _resume_reading(self, connection: WebSocketConnection) -> None:
        settings = self._settings
        incoming = self._incoming
        # Half way, lest reading stops and starts with each message.
        if len(incoming.messages) <= settings.max_queue >> 1 and incoming.octets <= settings.max_queued >> 1:
            connection.resume_reading(self.loop.time())
            self._arm(connection.next_timeout())
            if not self._in_step:
                self._stream.flush()

    def new_waiter(self) -> Waiter:
        """What a Task yields to wait until a message is there, or the end."""
        waiter = self._waiter
        if waiter is None:
            waiter = Waiter(self)
        else:
            self._waiter = None
            waiter._asyncio_future_blocking = True
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """`waiter` is cancelled."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        if (
            self._turns > 0
            and not self._in_step
            and len(self._waiters) == 1
            and current_task(self.loop) is None
        ):
            self._turns -= 1
            waiter = self._waiters.pop()
            # Its Task is done with it as soon as it runs again.
            self._waiter = waiter
            waiter.wake(True)
            return
        waiters = self._waiters
        self._waiters = []
        for waiter in waiters:
            waiter.wake(False)

    # --- send

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI's send. Raises ApplicationError for a message that cannot come now, ClientDisconnected once the client
        has gone."""
        try:
            kind = MESSAGES.get(message["type"], -1)
        except (KeyError, TypeError, IndexError):
            kind = -1
        state = self._state
        if state == GONE:
            raise ClientDisconnected("the client has disconnected")
        table = ACTIONS
        action = BAD if kind < 0 else table[state * COLUMNS + kind]
        if action == IGNORE:
            return READY
        if action != GO:
            raise ApplicationError(unexpected(state, message))
        if kind == SEND:
            self._take_send(message)
        elif kind == CLOSE:
            if state == CONNECTING:
                return self._forbid()
            self._take_close(message)
        elif kind == ACCEPT:
            self._take_accept(message)
        else:
            if state == CONNECTING:
                self._refuse()
            return self._pass_on(kind, message)
        if not self._in_step:
            self._stream.flush()
        if self._writing_paused or self._since_yield >= MAX_WITHOUT_YIELD:
            self._stream.flush()
            return self._yield()
        return READY

    async def _yield(self) -> None:
        self._since_yield = 0
        if not self._writing_paused:
            future = self.loop.create_future()
            self.loop.call_soon(_set_result, future)
            await future
        while self._writing_paused and self._state == ACCEPTED:
            future = self.loop.create_future()
            if self._send_waiters is None:
                self._send_waiters = []
            self._send_waiters.append(future)
            await future
        if self._state == GONE:
            raise ClientDisconnected("the client has disconnected")

    def _wake_senders(self) -> None:
        waiters = self._send_waiters
        self._send_waiters = None
        if waiters is not None:
            for future in waiters:
                _set_result(future)

    def _take_send(self, message: Message) -> None:
        text = message.get("text")
        data = message.get("bytes")
        connection = self._connection
        if connection is None:
            return
        if text is not None:
            if data is not None:
                raise ApplicationError("'websocket.send' has both 'text' and 'bytes'")
            if type(text) is not str:
                if not isinstance(text, str):
                    raise ApplicationError(f"'text' is a str, not {type(text).__name__}")
                text = str.__str__(text)
            try:
                connection.send_text(text)
            except UnicodeEncodeError:
                raise ApplicationError("'text' has lone surrogates, which UTF-8 does not") from None
            self._since_yield += len(text)
            return
        if type(data) is not bytes:
            if data is None:
                raise ApplicationError("'websocket.send' has neither 'text' nor 'bytes'")
            if not isinstance(data, bytes | bytearray | memoryview):
                raise ApplicationError(f"'bytes' is bytes, not {type(data).__name__}")
            data = bytes(data)
        connection.send_binary(data)
        self._since_yield += len(data)

    def _take_close(self, message: Message) -> None:
        code = message.get("code")
        reason = message.get("reason")
        if code is None:
            code = codes.NORMAL_CLOSURE
        if not isinstance(code, int) or isinstance(code, bool):
            raise ApplicationError(f"'code' is an int, not {type(code).__name__}")
        if reason is None:
            reason = ""
        if not isinstance(reason, str):
            raise ApplicationError(f"'reason' is a str, not {type(reason).__name__}")
        try:
            self._close(int(code), str.__str__(reason), CLOSED)
        except (ValueError, OverflowError) as error:
            raise ApplicationError(str(error)) from None

    def _close(self, code: int, reason: str, state: int) -> None:
        connection = self._connection
        if connection is not None:
            connection.send_close(code, reason, self.loop.time())
            self._incoming.end(code, reason)
            if self._state == ACCEPTED:
                self._state = state
                if state == GONE and self._call is not None:
                    self._gateway.client_gone(self._call)
            if not connection.closed:
                self._arm(connection.next_timeout())
            if self._waiters:
                self._wake()
            self._wake_senders()

    def _take_accept(self, message: Message) -> None:
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise ApplicationError(f"'subprotocol' is a str, not {type(subprotocol).__name__}")
        head = ResponseHead(101)
        headers = message.get("headers")
        if headers is not None:
            response_fields(head, headers)
        fields = []
        for name, value in head.fields:
            if name == b"sec-websocket-protocol":
                # Some applications choose it so.
                if subprotocol is None:
                    subprotocol = value.decode("latin-1")
            elif name.startswith(b"sec-websocket-"):
                raise ApplicationError(f"header {name.decode()} is the server's own to send")
            elif name != b"content-length":
                # RFC 9110 §8.6: no Content-Length in a 1xx
                fields.append((name, value))
        try:
            accepted = self._handshake.accept_fields(subprotocol)
        except ValueError as error:
            raise ApplicationError(str(error)) from None
        now = self.loop.time()
        connection = WebSocketConnection(
            self._stream, self._incoming, self._settings.limits, self._handshake.deflate, now
        )
        self._connection = connection
        self._state = ACCEPTED
        self.status = 101 if self.request.http_version == "1.1" else 200
        if self.started_at:
            self.first_byte_at = perf_counter()
        if self._writing_paused:
            connection.pause_writing()
        self._disarm()
        self._stream.accept_tunnel(accepted + fields)
        if not connection.closed:
            self._arm(connection.next_timeout())
            if self._shutting_down:
                self.shutdown_started()

    def _forbid(self) -> Awaitable[None]:
        # ASGI www 2.5: closing before accepting is answered 403.
        self._refuse()
        self._pass_on(START, {"status": 403, "headers": [(b"content-length", b"0")]})
        return self._pass_on(BODY, {})

    def _refuse(self) -> None:
        self._disarm()
        refusal = HTTPExchange(self._gateway, self._stream, self.request, self.peers)
        refusal.started_at = self.started_at
        self._refusal = refusal
        self._state = REFUSING
        self._logged = True  # by the refusal
        if self._writing_paused:
            refusal.pause_writing()
        if self._in_step:
            refusal.step_started()

    def _pass_on(self, kind: int, message: Message) -> Awaitable[None]:
        refusal = self._refusal
        if refusal is None:
            return READY
        passed = dict(message)
        passed["type"] = "http.response.start" if kind == START else "http.response.body"
        done = refusal.send(passed)
        if kind == BODY and not message.get("more_body"):
            self._incoming.end(codes.ABNORMAL_CLOSURE, "")
            if self._waiters:
                self._wake()
        return done

    # --- time

    def _arm(self, when: float) -> None:
        """See to it that `_timer_fired` is called at `when` at the latest."""
        if when < self._timer_due:
            self._disarm()
            self._timer_due = when
            self._timer = self.loop.call_at(when, self._timer_fired)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_due = NEVER

    def _timer_fired(self) -> None:
        self._timer = None
        self._timer_due = NEVER
        connection = self._connection
        if connection is None:
            self._handshake_expired()
            return
        connection.handle_timeout(self.loop.time())
        if not connection.closed:
            self._arm(connection.next_timeout())
        self._stream.flush()

    def _handshake_expired(self) -> None:
        # RFC 9110 §15.6.4
        self._refuse()
        self._pass_on(
            START, {"status": 503, "headers": [(b"content-length", b"0"), (b"connection", b"close")]}
        )
        self._pass_on(BODY, {})
        self._stream.flush()
        self._state = GONE
        if self._call is not None:
            self._gateway.client_gone(self._call)

    # --- the log

    def _log(self) -> None:
        log = self._gateway.access_log
        if log is not None and not self._logged:
            self._logged = True
            log(self)

    @property
    def body_sent(self) -> int:
        """Octets of frames sent."""
        return 0 if self._connection is None else self._connection.octets_sent

    @property
    def body_received(self) -> int:
        """Octets of frames received."""
        return 0 if self._connection is None else self._connection.octets_received

    @property
    def messages_sent(self) -> int:
        return 0 if self._connection is None else self._connection.messages_sent

    @property
    def messages_received(self) -> int:
        return 0 if self._connection is None else self._connection.messages_received

    @property
    def close_code(self) -> int:
        """What `websocket.disconnect` said, or would have said."""
        return self._incoming.code


def unexpected(state: int, message: Any) -> str:
    """Why `message` cannot come in `state`, in the application author's words."""
    try:
        kind = message["type"]
    except (KeyError, TypeError, IndexError):
        return f"an ASGI message is a dict with a 'type', not {type(message).__name__}"
    if not isinstance(kind, str) or kind not in MESSAGES:
        return f"unknown ASGI message type {kind!r} for a websocket scope"
    if state == CONNECTING:
        return f"'{kind}' was sent before 'websocket.accept' or 'websocket.http.response.start'"
    if state == REFUSING:
        return f"'{kind}' was sent after the WebSocket was refused"
    if state == CLOSED:
        return f"'{kind}' was sent after 'websocket.close'"
    return f"'{kind}' was sent after 'websocket.accept'"


def _set_result(future: Any) -> None:
    if not future.done():
        future.set_result(None)
