"""Event streams as the test clients read them (WHATWG HTML §9.2.3, §9.2.6)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tidegate.web.sse import EventDecoder, ServerSentEvent

if TYPE_CHECKING:
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
