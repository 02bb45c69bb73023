"""An `HTTPExchange` on a recording stream."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tidegate.gateway.application import Gateway
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.head import NO_CONTENT, RequestHead
from tidegate.http.stream import Stream

PEERS = Peers(("192.0.2.1", 4711), ("192.0.2.2", 80), "http")
START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body", "body": b"x"}
MORE = {"type": "http.response.body", "body": b"x", "more_body": True}


class RecordingStream(Stream):
    """Keeps what the exchange does."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def send_informational(self, status, fields):
        self.calls.append(("informational", status, fields))

    def send_head(self, head):
        self.calls.append(("head", head.status, head.fields, head.content_length))

    def send_data(self, data, end_stream):
        self.calls.append(("data", data, bool(end_stream)))

    def send_file(self, descriptor, offset, count, end_stream):
        import os

        self.calls.append(("file", os.pread(descriptor, count, offset), bool(end_stream)))
        os.close(descriptor)

    def send_trailers(self, fields):
        self.calls.append(("trailers", fields))

    def flush(self):
        self.calls.append(("flush",))

    def pause_reading(self):
        self.calls.append(("pause_reading",))

    def resume_reading(self):
        self.calls.append(("resume_reading",))

    def reset(self):
        self.calls.append(("reset",))

    @property
    def sent(self) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] != "flush"]


def request(method: str = "GET", content_length: int = NO_CONTENT, **attributes: Any) -> RequestHead:
    head = RequestHead()
    head.method = method
    head.path = "/"
    head.raw_path = head.target = b"/"
    head.content_length = content_length
    for name, value in attributes.items():
        setattr(head, name, value)
    return head


class Run:
    """One exchange of `app`, started."""

    def __init__(self, app: Callable[..., Any], head: RequestHead | None = None, **options: Any) -> None:
        self.stream = RecordingStream()
        self.gateway = Gateway(app, asyncio.get_running_loop(), **options)
        self.exchange = HTTPExchange(self.gateway, self.stream, request() if head is None else head, PEERS)

    async def finish(self) -> list[tuple[Any, ...]]:
        for _ in range(100):
            if not self.gateway.calls:
                break
            await asyncio.sleep(0)
        return self.stream.sent


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def answer(*messages: Any, head: RequestHead | None = None, **options: Any) -> list[tuple[Any, ...]]:
    """What goes to the stream when an application sends `messages`."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    async def main():
        exchange = Run(app, head, **options)
        exchange.exchange.start()
        return await exchange.finish()

    return run(main())


def raised(*messages: Any, head: RequestHead | None = None) -> BaseException | None:
    """What the last of `messages` raises out of send; the others must pass."""
    errors: list[BaseException] = []

    async def app(scope, receive, send):
        for message in messages[:-1]:
            await send(message)
        try:
            await send(messages[-1])
        except Exception as error:
            errors.append(error)

    async def main():
        exchange = Run(app, head)
        exchange.exchange.start()
        await exchange.finish()

    run(main())
    return errors[0] if errors else None
