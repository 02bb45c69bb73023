"""Server-Sent Events (WHATWG HTML §9.2): events, a response that streams them, and a channel that many follow.

What is written here cannot be read as another event: a line break in `data` begins another data line, one in
any other field is an error (§9.2.6: CR, LF and CRLF all end a line).
"""

from __future__ import annotations

import contextlib
import re
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import AsyncIterable
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import anyio

from tidegate.web._response import Response, start_message
from tidegate.web._utils import create_collapsing_task_group
from tidegate.web.background import run_after_response
from tidegate.web.concurrency import iterate_in_threadpool
from tidegate.web.exceptions import HTTPException
from tidegate.web.jsoncodec import current_codec
from tidegate.web.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tidegate.web.background import BackgroundTask
    from tidegate.web.requests import HTTPConnection

__all__ = [
    "Channel",
    "EventDecoder",
    "EventSourceResponse",
    "ServerSentEvent",
    "Subscription",
    "last_event_id",
]

LINE_BREAK = re.compile(r"\r\n|\r|\n")  # not str.splitlines, which breaks at U+2028 too
MAX_ID_LENGTH = 256


class ServerSentEvent:
    """One event. `data`: text, or what the application's JSON codec encodes. `retry`: milliseconds.

    Raises ValueError for a line break in `event`, `id`, or a NUL in `id` (clients ignore such ids: §9.2.6), and
    for a retry below 0.
    """

    __slots__ = ("comment", "data", "event", "id", "retry")

    def __init__(
        self,
        data: Any = None,
        *,
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
        comment: str | None = None,
    ) -> None:
        if event is not None and LINE_BREAK.search(event):
            raise ValueError("The event's type holds a line break.")
        if id is not None and (LINE_BREAK.search(id) or "\0" in id or len(id) > MAX_ID_LENGTH):
            raise ValueError("The event's id holds a line break or NUL, or is too long.")
        if retry is not None and retry < 0:
            raise ValueError("The reconnection time is negative.")
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry
        self.comment = comment

    def encode(self) -> EncodedEvent:
        """The event's lines and the empty one that dispatches it."""
        lines: list[str] = []
        if self.comment is not None:
            lines += [f": {line}" for line in LINE_BREAK.split(self.comment)]
        if self.event is not None:
            lines.append(f"event: {self.event}")
        if self.data is not None:
            data = self.data
            if not isinstance(data, str):
                data = current_codec.get().encode(data).decode("utf-8")
            lines += [f"data: {line}" for line in LINE_BREAK.split(data)]
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry:d}")
        lines += ["", ""]
        # A lone surrogate is no text: replaced, as a browser would on its side.
        return EncodedEvent("\n".join(lines).encode("utf-8", "replace"))


class EncodedEvent(bytes):
    """An event's lines, as `ServerSentEvent.encode` made them: other octets could hold any event."""

    __slots__ = ()


PING = ServerSentEvent(comment="ping").encode()


class EventDecoder:
    """What a client makes of a stream (§9.2.6), without I/O. `last_event_id`, `retry` are the stream's.

    The events' `event` is "message" unless they say; their `id` is the last one given. max_size: octets of what is not
    dispatched yet.
    """

    __slots__ = ("_data", "_max_size", "_pending", "_size", "_type", "_utf8", "last_event_id", "retry")

    def __init__(self, max_size: int = 1024 * 1024) -> None:
        self._utf8 = getincrementaldecoder("utf-8-sig")("replace")
        self._pending = ""
        self._data: list[str] = []
        self._size = 0
        self._type = ""
        self._max_size = max_size
        self.last_event_id = ""
        self.retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that are dispatched by these octets. Raises ValueError if one is too large."""
        new = self._utf8.decode(data)
        events: list[ServerSentEvent] = []
        if self._pending[-1:] != "\r" and LINE_BREAK.search(new) is None:
            # A line in many pieces is searched once.
            self._pending += new
            self._check_size()
            return events
        text = self._pending + new
        # A CR at the end may be half of a line break.
        held = text.endswith("\r")
        lines = LINE_BREAK.split(text[:-1] if held else text)
        self._pending = lines.pop() + ("\r" if held else "")
        for line in lines:
            if line:
                self._field(line)
                continue
            if self._data:
                events.append(
                    ServerSentEvent(
                        "\n".join(self._data), event=self._type or "message", id=self.last_event_id or None
                    )
                )
            self._data = []
            self._size = 0
            self._type = ""
        self._check_size()
        return events

    def _check_size(self) -> None:
        if len(self._pending) + self._size > self._max_size:
            raise ValueError("An event of the stream is too large.")

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == "event":
            self._type = value
        elif name == "id":
            if "\0" not in value:
                self.last_event_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value[:9])


def encode_event(item: Any) -> bytes:
    """What an iterator gave as octets: an event, one encoded already, or the data of one."""
    if isinstance(item, EncodedEvent):
        return item
    if isinstance(item, ServerSentEvent):
        return item.encode()
    return ServerSentEvent(item.decode("utf-8", "replace") if isinstance(item, bytes) else item).encode()


def last_event_id(connection: HTTPConnection[Any]) -> str | None:
    """The id of the last event that the client has seen (§9.2.4), None for a first connection.

    None too for what cannot have been the id of an event.
    """
    for name, value in connection.scope["headers"]:
        if name == b"last-event-id":
            with contextlib.suppress(UnicodeDecodeError):  # clients send UTF-8
                text: str = value.decode("utf-8")
                if 0 < len(text) <= MAX_ID_LENGTH and "\0" not in text:
                    return text
            return None
    return None


class EventSourceResponse(Response):
    """Stream the events of an iterator: `ServerSentEvent`, or anything else as the data of one.

    The iterator may be blocking (it runs in a thread then). It is closed as soon as the client has gone.
    ping: seconds between comments that keep proxies from giving up an idle stream, and find out that the client
    has gone; None for none. send_timeout: seconds that a client may leave one event unread; then the stream ends.
    Raises what the iterator raises; the stream is cut off then, and the browser reconnects.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        *,
        ping: float | None = 15.0,
        send_timeout: float | None = None,
    ) -> None:
        if ping is not None and ping <= 0:
            raise ValueError("The interval of pings must be greater than 0.")
        self.iterator: AsyncIterable[Any] = (
            content if isinstance(content, AsyncIterable) else iterate_in_threadpool(content)
        )
        self.status_code = status_code
        self.background = background
        self.ping = ping
        self.send_timeout = send_timeout
        self.init_headers(headers)
        # Not to be kept by anyone on the way, nor held back by nginx.
        self.headers.setdefault("cache-control", "no-store")
        self.headers.setdefault("x-accel-buffering", "no")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(start_message(self))
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await self._stream(scope, receive, EventStream(send, self.send_timeout))
        finally:
            aclose = getattr(self.iterator, "aclose", None)
            if aclose is not None:
                with anyio.CancelScope(shield=True):
                    await aclose()
        if self.background is not None:
            await run_after_response(self.background, scope)

    async def _stream(self, scope: Scope, receive: Receive, stream: EventStream) -> None:
        shutdown = scope.get("extensions", {}).get("tidegate.shutdown")
        with contextlib.suppress(ClientGone):
            async with create_collapsing_task_group() as task_group:
                scope_of_all = task_group.cancel_scope
                task_group.start_soon(self._until_gone, receive, stream, scope_of_all)
                if shutdown is not None:
                    task_group.start_soon(self._until_shutdown, shutdown["notice"], scope_of_all)
                await stream.send(b"")  # the head goes out before there is an event
                async for item in self.iterator:
                    await stream.send(encode_event(item))
                scope_of_all.cancel()
            if not stream.gone:
                await stream.send(b"", more_body=False)

    async def _until_shutdown(self, notice: Any, cancel_scope: anyio.CancelScope) -> None:
        """End the stream as the server ends: its client connects to the next one."""
        await notice.wait()
        cancel_scope.cancel()

    async def _until_gone(
        self, receive: Receive, stream: EventStream, cancel_scope: anyio.CancelScope
    ) -> None:
        """Wait for the client's end, with a ping whenever nothing was sent for long. One task does for both."""
        with contextlib.suppress(ClientGone):
            while True:
                stream.idle = True
                with anyio.move_on_after(self.ping):
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    break
                await stream.ping()
        stream.gone = True
        cancel_scope.cancel()


class ClientGone(Exception):
    """The client has gone, or does not read."""


class EventStream:
    """The body of one response, written by the events and by the pings, whose octets never mix."""

    __slots__ = ("_pinging", "_send", "_sending", "_timeout", "gone", "idle")

    def __init__(self, send: Send, timeout: float | None) -> None:
        self._send = send
        self._timeout = timeout
        self._pinging: anyio.Event | None = None
        self._sending = False
        self.idle = True
        self.gone = False

    async def send(self, data: bytes, more_body: bool = True) -> None:
        """Raises ClientGone."""
        self.idle = False
        self._sending = True
        if self._pinging is not None:
            await self._pinging.wait()
        await self._message({"type": "http.response.body", "body": data, "more_body": more_body})
        self._sending = False

    async def ping(self) -> None:
        """Unless something has been sent since `idle` was set, or is being sent. Raises ClientGone."""
        if self._sending or not self.idle:
            return
        self._pinging = anyio.Event()
        try:
            await self._message({"type": "http.response.body", "body": PING, "more_body": True})
        finally:
            self._pinging.set()
            self._pinging = None

    async def _message(self, message: Message) -> None:
        try:
            if self._timeout is None:
                await self._send(message)
            else:
                with anyio.fail_after(self._timeout):
                    await self._send(message)
        except OSError as error:  # ASGI HTTP 2.4; TimeoutError is one too
            raise ClientGone from error


class Subscription:
    """The events of a channel for one client, as an async iterator; they are collected from its start on.

    lost: whether the client has missed events that the channel no longer has.
    """

    __slots__ = ("_channel", "_ended", "_events", "_limit", "_seen", "_wake", "lost")

    def __init__(self, channel: Channel, seen: int, lost: bool) -> None:
        self._channel = channel
        self._seen = seen
        self.lost = lost
        self._events: deque[EncodedEvent] = deque()
        self._limit = 0
        self._wake: anyio.Event | None = None
        self._ended = False

    def __aiter__(self) -> Subscription:
        if not self._limit:
            self._events.extend(self._channel.events_after(self._seen))
            self._limit = len(self._events) + self._channel.queue_size
            self._ended = not self._channel.add(self)
        return self

    async def __anext__(self) -> EncodedEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._wake = anyio.Event()
            await self._wake.wait()
        return self._events.popleft()

    def offer(self, event: EncodedEvent) -> bool:
        """Take `event`, or end after what waits already if that is too much."""
        if len(self._events) >= self._limit:
            self.end()
            return False
        self._events.append(event)
        self._awake()
        return True

    def end(self) -> None:
        """Give what waits, then no more."""
        self._ended = True
        self._awake()

    def _awake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()

    async def aclose(self) -> None:
        """The client has gone."""
        self._events.clear()
        self._channel.discard(self)
        self.end()


class Channel:
    """Events for many clients; one that reconnects with Last-Event-ID gets those that it missed.

    history: how many events are kept for that. queue_size: how many may wait for one client: when another comes,
    its stream ends after those, and the browser reconnects, which costs it no event that is still in the history.
    max_subscribers: streams at once.

    For one event loop; `publish` is not for other threads.
    """

    def __init__(self, *, history: int = 1000, queue_size: int = 100, max_subscribers: int = 10_000) -> None:
        if history < 0 or queue_size < 1 or max_subscribers < 1:
            raise ValueError("A channel needs room: history >= 0, queue_size >= 1, max_subscribers >= 1.")
        self.queue_size = queue_size
        self.max_subscribers = max_subscribers
        self._history: deque[tuple[int, str, EncodedEvent]] = deque(maxlen=history)
        self._published = 0
        self._run = token_hex(4)  # ids of another run, or another process, are none of this one's
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._subscriptions)

    def publish(self, event: Any) -> str:
        """Send `event` (a `ServerSentEvent`, or the data of one) to all; its id. It gets one unless it has."""
        if self._closed:
            raise RuntimeError("The channel is closed.")
        if not isinstance(event, ServerSentEvent):
            event = ServerSentEvent(event)
        self._published += 1
        identifier = event.id if event.id is not None else f"{self._run}-{self._published}"
        named = ServerSentEvent(
            event.data, event=event.event, id=identifier, retry=event.retry, comment=event.comment
        )
        encoded = named.encode()
        self._history.append((self._published, identifier, encoded))
        slow = [each for each in self._subscriptions if not each.offer(encoded)]
        self._subscriptions.difference_update(slow)
        return identifier

    def subscribe(self, last_event_id: str | None = None) -> Subscription:
        """The events after the one with this id; without one, those from now on. If it is not known, all that
        are kept, and `lost` is set. Raises HTTPException 503 if there are too many streams."""
        if len(self._subscriptions) >= self.max_subscribers:
            raise HTTPException(503, headers={"Retry-After": "5"})
        if last_event_id is None:
            return Subscription(self, self._published, lost=False)
        for number, identifier, _ in reversed(self._history):
            if identifier == last_event_id:
                return Subscription(self, number, lost=False)
        return Subscription(self, 0, lost=True)

    def events_after(self, number: int) -> list[EncodedEvent]:
        return [event for published, _, event in self._history if published > number]

    def add(self, subscription: Subscription) -> bool:
        """Whether there will be more events for it."""
        if not self._closed:
            self._subscriptions.add(subscription)
        return not self._closed

    def discard(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all streams, each after what waits for it."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()
