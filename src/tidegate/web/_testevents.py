"""Streams as the test clients read them: events (WHATWG HTML §9.2.3, §9.2.6), multipart (RFC 2046 §5.1)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from tidegate.web.datastructures import Headers
from tidegate.web.multipart import Event, MultipartDecoder, parse_parameters
from tidegate.web.sse import EventDecoder, ServerSentEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Self

    import httpx2 as httpx


def event_source_headers(last_event_id: str | None, headers: Any) -> dict[str, str]:
    """What a browser's EventSource sends."""
    merged = {"accept": "text/event-stream", "cache-control": "no-store", **dict(headers or {})}
    if last_event_id is not None:
        merged["last-event-id"] = last_event_id
    return merged


class Events:
    """The events of one response, in order. `last_event_id`: what to reconnect with; "" if none was given."""

    def __init__(self, response: httpx.Response) -> None:
        """Raises RuntimeError unless the response is an event stream (§9.2.3)."""
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code != 200 or content_type != "text/event-stream":
            raise RuntimeError(f"No event stream: {response.status_code}, {content_type or 'no type'}.")
        self.response = response
        self.decoder = EventDecoder()
        self.waiting: deque[ServerSentEvent] = deque()

    @property
    def last_event_id(self) -> str:
        return self.decoder.last_event_id

    @property
    def retry(self) -> int | None:
        """Milliseconds that the stream has asked to wait before a reconnection."""
        return self.decoder.retry


class EventSource(Events):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response)
        self._pieces = response.iter_bytes()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ServerSentEvent:
        while not self.waiting:
            self.waiting.extend(self.decoder.feed(next(self._pieces)))
        return self.waiting.popleft()


class AsyncEventSource(Events):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response)
        self._pieces = response.aiter_bytes()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        while not self.waiting:
            self.waiting.extend(self.decoder.feed(await anext(self._pieces)))
        return self.waiting.popleft()


class ResponsePart(NamedTuple):
    """One part of a multipart response, whole."""

    headers: Headers
    content: bytes


class PartsDecoder:
    def __init__(self, response: httpx.Response) -> None:
        """Raises RuntimeError unless the response is a multipart one."""
        kind, parameters = parse_parameters(response.headers.get("content-type", ""))
        if not kind.startswith("multipart/") or "boundary" not in parameters:
            raise RuntimeError(f"No multipart response: {response.status_code}, {kind or 'no type'}.")
        self._decoder = MultipartDecoder(parameters["boundary"].encode("latin-1"))
        self._fields: list[tuple[bytes, bytes]] = []
        self._content = bytearray()

    def feed(self, data: bytes) -> Iterator[ResponsePart]:
        for event, value in self._decoder.feed(data):
            if event is Event.PART_BEGIN:
                self._fields, self._content = value, bytearray()
            elif event is Event.PART_DATA:
                self._content += value
            elif event is Event.PART_END:
                yield ResponsePart(Headers(raw=self._fields), bytes(self._content))

    def finish(self) -> None:
        self._decoder.finish()


def parts_of(response: httpx.Response) -> Iterator[ResponsePart]:
    """The parts as they arrive. Raises MultipartError if the body is cut off."""
    decoder = PartsDecoder(response)
    for data in response.iter_bytes():
        yield from decoder.feed(data)
    decoder.finish()


async def aparts_of(response: httpx.Response) -> AsyncIterator[ResponsePart]:
    """As `parts_of`."""
    decoder = PartsDecoder(response)
    async for data in response.aiter_bytes():
        for part in decoder.feed(data):
            yield part
    decoder.finish()
