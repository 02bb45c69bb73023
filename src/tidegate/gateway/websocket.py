"""One WebSocket: ASGI's receive and send over a `Stream` (ASGI www 2.5, "WebSocket").

Before the application accepts, or where it refuses, this is an HTTP exchange, and an `HTTPExchange` answers it.
"""

from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tidegate.asgi import ASGIApplication, Message
from tidegate.gateway.application import MAX_WITHOUT_YIELD, MESSAGE_COST, Exchange, Gateway, is_disconnect
from tidegate.gateway.awaitable import READY
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.incoming import Incoming, MessageReceiver
from tidegate.gateway.scope import Peers
from tidegate.gateway.session import (
    ACCEPT,
    ACCEPTED,
    ACTIONS,
    BAD,
    BODY,
    CLOSE,
    CLOSED,
    COLUMNS,
    CONNECTING,
    GO,
    GONE,
    IGNORE,
    MESSAGES,
    REFUSING,
    SEND,
    START,
    accept_values,
    close_values,
    denial,
    unexpected,
)
from tidegate.gateway.turns import Turns
from tidegate.http.errors import ApplicationError, ClientDisconnected
from tidegate.http.head import RequestHead
from tidegate.http.stream import Stream
from tidegate.websocket import codes
from tidegate.websocket.connection import WebSocketConnection, WebSocketLimits
from tidegate.websocket.handshake import Handshake, receive_handshake
from tidegate.websocket.sender import MessageSender

if TYPE_CHECKING:
    from asyncio import TimerHandle

NEVER = float("inf")

# As many messages of one read are handed to a waiting application at once; the others wait for the event loop's turn.
MAX_AT_ONCE = 16


class WebSocketSettings:
    """What the WebSockets of a server share.

    `window_bits` is 9 to 15, or 0 for no compression; `takeover` whether our context may be taken over from message to
    message, `level` and `mem_level` zlib's. Text of at least `min_text` and binary of at least `min_binary` octets is
    compressed. Reading pauses while `max_queue` messages, or `max_queued`
    octets of them, wait for the application. An application has `handshake_timeout` seconds (0 for any time) to accept
    or to refuse.
    """

    __slots__ = (
        "handshake_timeout",
        "limits",
        "max_queue",
        "max_queued",
        "sender",
        "takeover",
        "turns",
        "window_bits",
    )

    def __init__(
        self,
        limits: WebSocketLimits,
        *,
        window_bits: int = 12,
        takeover: bool = False,
        level: int = 2,
        mem_level: int = 5,
        min_text: int = 128,
        min_binary: int = 1024,
        max_queue: int = 32,
        max_queued: int = 65536,
        handshake_timeout: float = 60.0,
    ) -> None:
        self.limits = limits
        self.window_bits = window_bits
        self.takeover = takeover
        self.sender = MessageSender(
            level=level, mem_level=mem_level, min_text=min_text, min_binary=min_binary
        )
        self.turns = Turns()
        self.max_queue = max_queue
        self.max_queued = max_queued
        self.handshake_timeout = handshake_timeout


class WebSocketExchange(MessageReceiver):
    """Built by the connection's `open_handler`; `start` runs the application. Raises RequestError for a handshake that
    breaks RFC 6455 §4.2.1."""

    __slots__ = (
        "_connect_delivered",
        "_connection",
        "_handshake",
        "_incoming",
        "_logged",
        "_refusal",
        "_settings",
        "_shutting_down",
        "_state",
        "_timer",
        "_timer_due",
    )

    def __init__(
        self,
        gateway: Gateway,
        stream: Stream,
        request: RequestHead,
        peers: Peers,
        settings: WebSocketSettings,
    ) -> None:
        self._handshake: Handshake = receive_handshake(request, settings.window_bits, settings.takeover)
        self._open(gateway, stream, request, peers)
        self._settings = settings
        self._state = CONNECTING
        self._connect_delivered = False
        self._refusal: HTTPExchange | None = None
        self._connection: WebSocketConnection | None = None
        self._incoming = Incoming()
        self._timer: TimerHandle | None = None
        self._timer_due = NEVER
        self._shutting_down = False
        self._logged = False

    # --- what the stream says

    def start(self) -> None:
        if self._settings.handshake_timeout > 0:
            self._arm(self.loop.time() + self._settings.handshake_timeout)
        Exchange.start(self)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        if connection is not None:
            pinged = connection.pinged
            self._turns = MAX_AT_ONCE
            self._since_yield = 0
            connection.receive_data(data, self.loop.time())
            self._turns = 0
            if pinged:
                self._arm(connection.next_timeout())

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        connection = self._connection
        if connection is not None:
            connection.receive_eof()

    def peer_closed(self) -> None:
        refusal = self._refusal
        if refusal is not None:
            refusal.peer_closed()
        elif self._connection is None:
            self._client_gone()
            self._stream.reset()

    def stream_reset(self) -> None:
        refusal = self._refusal
        connection = self._connection
        if refusal is not None:
            refusal.stream_reset()
            self._client_gone()
        elif connection is not None:
            connection.receive_reset()
        else:
            self._client_gone()

    def pause_writing(self) -> None:
        self._writing_paused = True
        refusal = self._refusal
        connection = self._connection
        if refusal is not None:
            refusal.pause_writing()
        if connection is not None:
            connection.pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        refusal = self._refusal
        connection = self._connection
        if refusal is not None:
            refusal.resume_writing()
        if connection is not None:
            connection.resume_writing()
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
        connection = self._connection
        if full and connection is not None:
            connection.pause_reading()
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

    def allowance_spent(self) -> None:
        self._settings.turns.schedule(self.loop)

    def turn_wanted(self) -> None:
        self._settings.turns.wait(self, self.loop)

    def take_turn(self) -> None:
        """The event loop has turned: the connection goes on with what it has read."""
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.take_turn(self.loop.time())
            if not connection.closed:
                self._arm(connection.next_timeout())
            self._stream.flush()

    def _finish(self) -> None:
        # The application has had all that came before the peer's close: now that takes effect.
        connection = self._connection
        if connection is not None:
            connection.finish()
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
        refusal = self._refusal
        if refusal is not None:
            refusal.step_started()

    def step_ended(self) -> None:
        self._in_step = False
        refusal = self._refusal
        if refusal is not None:
            refusal.step_ended()
        else:
            self._stream.flush()

    def application_ended(self, error: BaseException | None) -> None:
        self._call = None
        self._waiter = None
        state = self._state
        if state == CONNECTING:
            if error is None:
                error = ApplicationError(
                    "the application returned without accepting or refusing the WebSocket"
                )
            self._refuse(None)
        if error is not None and state == GONE and (is_disconnect(error) or self._gateway.cancels(error)):
            error = None
        refusal = self._refusal
        if refusal is not None:
            refusal.application_ended(error)
            return
        if error is not None:
            self._log_failure(error)
        if state == ACCEPTED:
            self._close(codes.NORMAL_CLOSURE if error is None else codes.INTERNAL_ERROR, "", CLOSED)
        self._stream.release()

    # --- receive

    def take_message(self) -> dict[str, Any] | None:
        if not self._connect_delivered:
            self._connect_delivered = True
            return {"type": "websocket.connect"}
        incoming = self._incoming
        if incoming.messages and self._state != CLOSED:
            connection = self._connection
            if connection is not None and connection.stopped:
                # Before it is taken: the end that may come now takes effect behind it.
                self._resume_reading(connection)
            message = incoming.messages.popleft()
            incoming.octets -= len(message)
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
        # Half way, lest reading stops and starts with each message; the first one is being taken.
        left = incoming.octets - len(incoming.messages[0])
        if len(incoming.messages) - 1 <= settings.max_queue >> 1 and left <= settings.max_queued >> 1:
            connection.resume_reading(self.loop.time())
            self._arm(connection.next_timeout())
            if not self._in_step:
                self._stream.flush()

    # --- send

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI's send. Raises ApplicationError for a message that cannot come now, ClientDisconnected once the client
        has gone."""
        try:
            checked: dict[str, Any] = message if type(message) is dict else dict(message)
            name = checked["type"]
            # Nearly all are of this type: comparing costs a third of looking it up.
            kind = SEND if name == "websocket.send" else MESSAGES.get(name, -1)
        except (KeyError, TypeError, ValueError):
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
            self._take_send(checked)
        elif kind == CLOSE:
            if state == CONNECTING:
                return self._forbid()
            code, reason = close_values(checked)
            try:
                self._close(code, reason, CLOSED)
            except (ValueError, OverflowError) as error:
                raise ApplicationError(str(error)) from None
        elif kind == ACCEPT:
            self._take_accept(checked)
        elif state == CONNECTING:
            self._refuse(checked)
        else:
            return self._refuse_further(kind, checked)
        if not self._in_step:
            self._stream.flush()
        if self._writing_paused or self._since_yield >= MAX_WITHOUT_YIELD:
            self._stream.flush()
            return self._yield()
        return READY

    def may_send(self) -> bool:
        if self._state == GONE:
            raise ClientDisconnected("the client has disconnected")
        return self._state == ACCEPTED

    def _take_send(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        # "type" and "text" are all of it, or there is something else to look for.
        data = None if text is not None and len(message) == 2 else message.get("bytes")
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
            self._since_yield += len(text) + MESSAGE_COST
            return
        if type(data) is not bytes:
            if data is None:
                raise ApplicationError("'websocket.send' has neither 'text' nor 'bytes'")
            if not isinstance(data, bytes | bytearray | memoryview):
                raise ApplicationError(f"'bytes' is bytes, not {type(data).__name__}")
            data = bytes(data)
        connection.send_binary(data)
        self._since_yield += len(data) + MESSAGE_COST

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
        subprotocol, fields = accept_values(message)
        try:
            accepted = self._handshake.accept_fields(subprotocol)
        except ValueError as error:
            raise ApplicationError(str(error)) from None
        now = self.loop.time()
        settings = self._settings
        connection = WebSocketConnection(
            self._stream,
            self._incoming,
            settings.limits,
            settings.sender,
            self._handshake.deflate,
            settings.turns.allowance,
            now,
        )
        self._connection = connection
        self._incoming.tell(self)
        self._state = ACCEPTED
        self.status = 101 if self.request.http_version == "1.1" else 200
        if self.started_at:
            self.first_byte_at = perf_counter()
        if self._writing_paused:
            connection.pause_writing()
        self._disarm()
        self.accepted()
        self._stream.accept_tunnel(accepted + fields)
        if not connection.closed:
            self._arm(connection.next_timeout())
            if self._shutting_down:
                self.shutdown_started()

    def accepted(self) -> None:
        """The application has accepted; for those that count."""

    def _forbid(self) -> Awaitable[None]:
        # ASGI www 2.5: closing before accepting is answered 403.
        self._refuse({"status": 403, "headers": [(b"content-length", b"0")]})
        return self._refuse_further(BODY, {})

    def _refuse(self, message: Message | None) -> None:
        # `message` begins the answer. Nothing has happened where it is not valid.
        refusal = HTTPExchange(self._gateway, self._stream, self.request, self.peers)
        refusal.started_at = self.started_at
        if self._in_step:
            refusal.step_started()
        if message is not None:
            refusal.send(denial(START, message))
        self._disarm()
        self._refusal = refusal
        self._state = REFUSING
        self._logged = True  # by the refusal
        if self._writing_paused:
            refusal.pause_writing()

    def _refuse_further(self, kind: int, message: Message) -> Awaitable[None]:
        refusal = self._refusal
        if refusal is None:
            return READY
        done = refusal.send(denial(kind, message))
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
        seconds = self._settings.handshake_timeout
        self._log_failure(
            ApplicationError(f"the application neither accepted nor refused the WebSocket in {seconds:g} s")
        )
        # RFC 9110 §15.6.4
        self._refuse({"status": 503, "headers": [(b"content-length", b"0"), (b"connection", b"close")]})
        self._refuse_further(BODY, {})
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
