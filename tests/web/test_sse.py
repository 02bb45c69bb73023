"""Server-Sent Events: WHATWG HTML §9.2.4 (Last-Event-ID), §9.2.5 (streams), §9.2.6 (what clients make of them)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call, http_scope
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.sse import (
    Channel,
    EncodedEvent,
    EventDecoder,
    EventSourceResponse,
    ServerSentEvent,
    last_event_id,
)
from tidegate.web.testclient import AsyncTestClient, TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

fields = st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), max_size=20)
texts = st.text(
    alphabet=st.one_of(st.sampled_from("\r\n:ab \u2028\ufeff\0"), st.characters(exclude_categories=("Cs",)))
)


def decoded(data: bytes) -> list[tuple[str | None, str, str | None]]:
    return [(event.event, event.data, event.id) for event in EventDecoder().feed(data)]


def told(event: ServerSentEvent) -> tuple[str | None, Any, str | None]:
    return event.event, event.data, event.id


@pytest.mark.parametrize(
    ("event", "octets"),
    [
        (ServerSentEvent("hi"), b"data: hi\n\n"),
        (ServerSentEvent("a\nb\r\nc\rd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (ServerSentEvent("x\n\nid: 9"), b"data: x\ndata: \ndata: id: 9\n\n"),
        (ServerSentEvent(" x"), b"data:  x\n\n"),
        (ServerSentEvent(""), b"data: \n\n"),
        (ServerSentEvent({"a": [1]}), b'data: {"a":[1]}\n\n'),
        (
            ServerSentEvent("hi", event="greeting", id="1", retry=50),
            b"event: greeting\ndata: hi\nid: 1\nretry: 50\n\n",
        ),
        (ServerSentEvent(id=""), b"id: \n\n"),
        (ServerSentEvent(comment="a\nb"), b": a\n: b\n\n"),
        (ServerSentEvent("é\u2028"), "data: é\u2028\n\n".encode()),
        (ServerSentEvent("\ud800"), b"data: ?\n\n"),
    ],
)
def test_octets(event: ServerSentEvent, octets: bytes) -> None:
    assert event.encode() == octets


@pytest.mark.parametrize(
    "arguments",
    [{"event": "a\nb"}, {"event": "a\r"}, {"id": "a\nb"}, {"id": "a\0"}, {"id": "a" * 257}, {"retry": -1}],
)
def test_no_field_holds_another(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ServerSentEvent("x", **arguments)


@given(st.lists(st.tuples(texts, fields, fields), max_size=5), st.integers(min_value=1, max_value=7))
def test_what_is_encoded_is_decoded_in_whatever_pieces(events: list[tuple[str, str, str]], size: int) -> None:
    octets = b"".join(ServerSentEvent(data, event=kind, id=id).encode() for data, kind, id in events)
    decoder = EventDecoder()
    found = [event for i in range(0, len(octets), size) for event in decoder.feed(octets[i : i + size])]
    lines = [re.sub("\r\n|\r", "\n", data) for data, _, _ in events]
    assert [told(event) for event in found] == [
        (kind or "message", data, id or None) for data, (_, kind, id) in zip(lines, events, strict=True)
    ]


@pytest.mark.parametrize(
    ("octets", "events"),
    [  # the section's own examples
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", None)]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [
                ("message", "first event", "1"),
                ("message", "second event", None),
                ("message", " third event", None),
            ],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", None), ("message", "\n", None)]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", None)] * 2),
        (
            b"\xef\xbb\xbfdata: a\r\rdata: b\r\n\r\nevent: x\n\ndata: c\n\n",
            [("message", t, None) for t in "abc"],
        ),
        (b"id: 1\n\ndata: a\nid: 2\0\n\n", [("message", "a", "1")]),
        (b"nonsense: a\nDATA: b\ndata: c\n\n", [("message", "c", None)]),
    ],
)
def test_what_clients_read(octets: bytes, events: list[Any]) -> None:
    assert decoded(octets) == events
    decoder = EventDecoder()
    assert [told(e) for i in range(len(octets)) for e in decoder.feed(octets[i : i + 1])] == events


def test_retry_and_limits_of_the_decoder() -> None:
    decoder = EventDecoder(100)
    decoder.feed(b"retry: 250\nretry: 5s\n\n")
    assert decoder.retry == 250
    for _ in range(20):
        decoder.feed(b"data: 1234\n")
    with pytest.raises(ValueError, match="too large"):
        decoder.feed(b"data: 1234\n")
    with pytest.raises(ValueError, match="too large"):
        EventDecoder(100).feed(b"data: " + b"x" * 200)


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (None, None),
        (b"7", "7"),
        (b"", None),
        ("é".encode(), "é"),
        (b"\xff", None),
        (b"a" * 300, None),
        (b"\0", None),
    ],
)
def test_last_event_id(value: bytes | None, known: str | None) -> None:
    headers = [] if value is None else [(b"last-event-id", value)]
    assert last_event_id(Request(http_scope("/", headers=headers))) == known


async def ticks() -> AsyncIterator[Any]:
    yield ServerSentEvent("one", id="1")
    yield "two\nid: 6"
    yield b"three\n\ndata: forged"
    yield {"four": 4}
    yield ServerSentEvent("five", event="end").encode()


async def test_a_response_of_its_own() -> None:
    sent = await stream(EventSourceResponse(ticks(), headers={"x-a": "b"}))
    assert sent.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-a": "b",
    }
    assert decoded(sent.body) == [
        ("message", "one", "1"),
        ("message", "two\nid: 6", "1"),
        ("message", "three\n\ndata: forged", "1"),
        ("message", '{"four":4}', "1"),
        ("end", "five", "1"),
    ]
    assert [message.get("more_body") for message in sent[1:]] == [True] * 6 + [False]


async def stream(response: Response, fail_at: int = 0, **changes: Any) -> Sent:
    """What `response` sends to a client that stays; `fail_at`: at which message send() begins to fail."""
    sent = Sent()

    async def receive() -> dict[str, Any]:
        if not sent.begun:  # type: ignore[attr-defined]
            sent.begun = True  # type: ignore[attr-defined]
            return {"type": "http.request", "body": b"", "more_body": False}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(dict(message))
        if fail_at and len(sent) >= fail_at:
            raise OSError("gone")

    sent.begun = False  # type: ignore[attr-defined]
    with anyio.fail_after(10):
        await response(http_scope("/", **changes), receive, send)
    return sent


async def test_blocking_iterators_run_in_threads() -> None:
    def blocking() -> Iterator[str]:
        yield from "abc"

    assert [data for _, data, _ in decoded((await stream(EventSourceResponse(blocking()))).body)] == list(
        "abc"
    )


async def test_head() -> None:
    sent = await stream(EventSourceResponse(ticks()), method="HEAD")
    assert (sent.body, sent.headers["content-type"]) == (b"", "text/event-stream; charset=utf-8")


class Endless:
    """Events until somebody stops it."""

    def __init__(self, every: float | None = None) -> None:
        self.closed = False
        self.every = every

    async def events(self) -> AsyncIterator[str]:
        try:
            while self.every is not None:
                yield "tick"
                await anyio.sleep(self.every)
            await anyio.sleep_forever()
        finally:
            self.closed = True


async def test_it_stops_when_send_fails() -> None:
    ended: list[bool] = []
    source = Endless(0)
    background = BackgroundTask(lambda: ended.append(source.closed))
    await stream(EventSourceResponse(source.events(), background=background), fail_at=5)
    assert ended == [True]


async def test_it_stops_when_the_client_goes_while_nothing_happens() -> None:
    source = Endless()
    sent: Sent = await call(EventSourceResponse(source.events()), "/")
    assert source.closed
    assert sent[-1].get("more_body", False)  # nothing more to say to nobody


async def test_it_stops_with_the_server() -> None:
    source, notice = Endless(), anyio.Event()
    notice.set()
    sent = await stream(
        EventSourceResponse(source.events()), extensions={"tidegate.shutdown": {"notice": notice}}
    )
    assert source.closed
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_client_that_does_not_read() -> None:
    source = Endless(0)

    async def send(message: Any) -> None:
        if b"tick" in message.get("body", b""):
            await anyio.sleep_forever()

    response = EventSourceResponse(source.events(), send_timeout=0.01)
    with anyio.fail_after(10):
        await response(http_scope("/"), anyio.sleep_forever, send)
    assert source.closed


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError("disk"), TimeoutError("database")])
async def test_what_the_iterator_raises_is_the_applications(error: Exception) -> None:
    """An OSError of its own is not taken for the client's, and the stream is not ended as if it were whole."""

    async def broken() -> AsyncIterator[str]:
        yield "one"
        raise error

    sent = Sent()

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(type(error)) as raised:
        await EventSourceResponse(broken())(http_scope("/"), anyio.sleep_forever, send)
    assert raised.value is error
    assert sent[-1]["more_body"]


async def test_pings_only_while_nothing_else_is_sent() -> None:
    pinged, quiet = anyio.Event(), Endless()
    bodies: list[bytes] = []

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))
        if bodies.count(b": ping\n\n") == 2:
            pinged.set()

    async with anyio.create_task_group() as group:
        group.start_soon(
            EventSourceResponse(quiet.events(), ping=0.01), http_scope("/"), anyio.sleep_forever, send
        )
        with anyio.fail_after(10):
            await pinged.wait()
        group.cancel_scope.cancel()
    assert decoded(b"".join(bodies)) == []
    busy = EventSourceResponse(Endless(0.0).events(), ping=3600)
    assert b"ping" not in (await stream(busy, fail_at=50)).body
    with pytest.raises(ValueError, match="greater than 0"):
        EventSourceResponse(ticks(), ping=0)


async def test_pings_never_come_into_an_event_that_is_being_sent() -> None:
    """Nor events into a ping: each waits for the other."""
    source, busy, overlaps = Endless(0.0), 0, 0
    bodies: list[bytes] = []

    async def send(message: Any) -> None:
        nonlocal busy, overlaps
        overlaps += busy
        busy += 1
        await anyio.sleep(0.003)
        busy -= 1
        bodies.append(message.get("body", b""))
        if len(bodies) > 30:
            raise OSError("gone")

    with anyio.fail_after(10):
        await EventSourceResponse(source.events(), ping=0.001)(http_scope("/"), anyio.sleep_forever, send)
    assert overlaps == 0
    assert source.closed


async def following(channel: Channel, since: str | None = None) -> list[str]:
    """The data of all that waits for who has seen `since`."""
    return [
        event.data for event in EventDecoder().feed(b"".join([e async for e in channel.subscribe(since)]))
    ]


async def test_who_reconnects_misses_nothing() -> None:
    channel = Channel()
    ids = [channel.publish(str(number)) for number in range(10)]
    assert len(set(ids)) == 10
    late = channel.subscribe(ids[6])
    assert not late.lost
    assert [EventDecoder().feed(await anext(late.__aiter__()))[0].data for _ in range(3)] == ["7", "8", "9"]
    new = channel.subscribe()
    channel.publish("10")  # between the subscription and its start
    channel.close()
    assert [EventDecoder().feed(event)[0].data async for event in new] == ["10"]
    assert await following(channel, ids[9]) == ["10"]
    with pytest.raises(RuntimeError, match="closed"):
        channel.publish("11")


async def test_own_ids_and_lost_events() -> None:
    channel = Channel(history=3)
    for number in range(5):
        assert channel.publish(ServerSentEvent(f"{number}", id=f"n{number}")) == f"n{number}"
    assert not channel.subscribe("n2").lost
    for forgotten in ("n1", "another-run"):
        subscription = channel.subscribe(forgotten)
        assert subscription.lost
    channel.close()
    assert await following(channel, "n1") == ["2", "3", "4"]  # what there is
    assert await following(channel, "n4") == []


async def test_a_slow_client_is_ended_after_what_waits_and_comes_back_for_the_rest() -> None:
    channel = Channel(queue_size=3)
    slow, quick = channel.subscribe().__aiter__(), channel.subscribe().__aiter__()
    got: list[str] = []
    decoder = EventDecoder()
    for number in range(10):
        channel.publish(str(number))
        got += [event.data for event in decoder.feed(await anext(quick))]
    assert got == [str(number) for number in range(10)]
    assert len(channel) == 1  # the slow one is forgotten
    decoder = EventDecoder()
    first = [event.data for event in decoder.feed(b"".join([each async for each in slow]))]
    assert first == ["0", "1", "2"]
    channel.close()
    assert first + await following(channel, decoder.last_event_id) == got


async def test_what_was_missed_does_not_count_as_slow() -> None:
    channel = Channel(queue_size=1)
    first = channel.publish("0")
    for number in range(1, 50):
        channel.publish(str(number))
    subscription = channel.subscribe(first).__aiter__()
    channel.publish("50")
    channel.close()
    assert len([event async for event in subscription]) == 50


async def test_streams_are_counted_and_forgotten() -> None:
    channel = Channel(max_subscribers=2)
    streams = [channel.subscribe().__aiter__() for _ in range(2)]
    app = Application()

    @app.get("/")
    async def events(request: Request) -> Response:
        return EventSourceResponse(channel.subscribe())

    refused = await AsyncTestClient(app).get("/")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    for each in streams:
        await each.aclose()
    assert len(channel) == 0
    async with AsyncTestClient(app).events("/") as stream:
        channel.publish("x")
        assert (await anext(stream)).data == "x"
        assert len(channel) == 1
    assert len(channel) == 0


@pytest.mark.parametrize("arguments", [{"history": -1}, {"queue_size": 0}, {"max_subscribers": 0}])
def test_a_channel_needs_room(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="room"):
        Channel(**arguments)


async def test_a_cancelled_wait_loses_nothing() -> None:
    channel = Channel()
    subscription = channel.subscribe().__aiter__()
    with anyio.move_on_after(0.001):
        await anext(subscription)
    channel.publish("x")
    assert isinstance(await anext(subscription), EncodedEvent)


def site(channel: Channel) -> Application:
    app = Application()

    @app.get("/events")
    async def events(request: Request) -> Response:
        return EventSourceResponse(channel.subscribe(last_event_id(request)))

    @app.post("/publish")
    async def publish(request: Request) -> Response:
        return PlainTextResponse(channel.publish((await request.body()).decode()))

    @app.get("/text")
    async def text(request: Request) -> Response:
        return PlainTextResponse("no events")

    return app


async def test_the_async_client_reads_streams_and_reconnects() -> None:
    channel = Channel()
    client = AsyncTestClient(site(channel))
    seen: list[str] = []
    since = None
    for batch in range(5):
        async with client.events("/events", last_event_id=since) as events:
            for number in range(2):
                channel.publish(f"{batch}.{number}")
            seen.append((await anext(events)).data)  # leaves before it has read the second one
            since = events.last_event_id
        channel.publish(f"{batch}.away")
    channel.close()
    async with client.events("/events", last_event_id=since) as events:
        seen += [event.data async for event in events]
    every = [f"{batch}.{what}" for batch in range(5) for what in ("0", "1", "away")]
    # Each time it got the next one after what it had seen; in the end, all.
    assert seen == every
    with pytest.raises(RuntimeError, match="200, text/plain"):
        async with client.events("/text"):
            pass


def test_the_client_reads_streams() -> None:
    channel = Channel()
    with TestClient(site(channel)) as client:
        with client.events("/events", headers={"accept-language": "is"}) as events:
            assert client.portal is not None
            client.portal.call(channel.publish, ServerSentEvent("hi", event="greeting", retry=20))
            event = next(events)
            assert (event.data, event.event, events.retry) == ("hi", "greeting", 20)
            assert events.response.status_code == 200
        client.portal.call(channel.publish, "missed")
        client.portal.call(channel.close)
        with client.events("/events", last_event_id=event.id) as events:
            assert [each.data for each in events] == ["missed"]
        with pytest.raises(RuntimeError, match="404"), client.events("/nowhere"):
            pass
