"""What receive gives, and backpressure both ways (ASGI www 2.5)."""

import asyncio
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.exchange_client import (
    BODY,
    MORE,
    START,
    Run,
    request,
    run,
)
from tidegate.gateway.exchange import HTTPExchange
from tidegate.http.errors import ClientDisconnected
from tidegate.http.head import UNKNOWN_LENGTH, RequestHead

# --- receive


def received(head: RequestHead, script: Callable[[HTTPExchange], None], count: int) -> list[dict[str, Any]]:
    async def main():
        async def app(scope, receive, send):
            while len(messages) < count:
                messages.append(await receive())

        messages: list[dict[str, Any]] = []
        run = Run(app, head)
        run.exchange.start()
        await asyncio.sleep(0)
        script(run.exchange)
        for _ in range(20):
            await asyncio.sleep(0)
        return messages

    return run(main())


def test_a_request_without_content() -> None:
    messages = received(request(), lambda exchange: exchange.stream_reset(), 2)
    assert messages == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]


def test_content_in_pieces() -> None:
    a, b = b"a" * 1024, b"b" * 1024

    def script(exchange):
        exchange.data_received(a)
        exchange.data_received(b)
        exchange.end_received([])

    assert received(request("POST", UNKNOWN_LENGTH), script, 2) == [
        {"type": "http.request", "body": a, "more_body": True},
        {"type": "http.request", "body": b, "more_body": False},
    ]


def waiting(pieces: Iterable[bytes]) -> list[dict[str, Any]]:
    """What an application finds that has not received while these came."""

    async def main():
        exchange = Run(None, request("POST", UNKNOWN_LENGTH)).exchange
        for piece in pieces:
            exchange.data_received(piece)
        exchange.end_received([])
        messages = [exchange.take_message()]
        while messages[-1]["more_body"]:
            messages.append(exchange.take_message())
        return messages

    return run(main())


@given(st.lists(st.sampled_from([1, 2, 100, 1000, 1023, 1024, 1025, 5000, 16384, 20000]), min_size=1))
def test_pieces_that_wait_are_joined(sizes: list[int]) -> None:
    pieces = [bytes([65 + number % 26]) * size for number, size in enumerate(sizes)]
    messages = waiting(pieces)
    assert b"".join(message["body"] for message in messages) == b"".join(pieces)
    assert {type(message["body"]) for message in messages} == {bytes}
    assert all(message["more_body"] for message in messages[:-1])
    # Two neighbours are together at least as long as the least of what is not joined.
    assert all(len(first["body"]) + len(second["body"]) >= 1024 for first, second in pairwise(messages))


def test_many_tiny_pieces_cost_their_octets() -> None:
    """Chunks or DATA frames of two octets, to an application that does not receive."""

    async def main():
        exchange = Run(None, request("POST", UNKNOWN_LENGTH)).exchange
        tracemalloc.start()
        try:
            for number in range(100_000):
                exchange.data_received(b"%02d" % (number % 100))
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert run(main()) < 300_000


def test_an_end_that_comes_alone() -> None:
    def script(exchange):
        exchange.data_received(b"a")
        asyncio.get_running_loop().call_soon(
            lambda: asyncio.get_running_loop().call_soon(exchange.end_received, [])
        )

    assert received(request("POST", UNKNOWN_LENGTH), script, 2) == [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]


def test_a_client_that_goes_in_the_middle() -> None:
    def script(exchange):
        exchange.data_received(b"a")
        exchange.stream_reset()

    assert received(request("POST", 10), script, 2) == [{"type": "http.disconnect"}] * 2


def test_a_peer_that_ends_its_side_behind_a_whole_request() -> None:
    def script(exchange):
        exchange.data_received(b"a")
        exchange.end_received([])
        exchange.peer_closed()

    assert received(request("POST", 1), script, 2) == [
        {"type": "http.request", "body": b"a", "more_body": False},
        {"type": "http.disconnect"},
    ]


def test_receive_after_the_answer_is_complete() -> None:
    async def main():
        async def app(scope, receive, send):
            waiting = asyncio.create_task(receive())
            await receive_all(receive)
            await send(START)
            await send(BODY)
            messages.append(await waiting)
            messages.append(await receive())

        async def receive_all(receive):
            await asyncio.sleep(0)

        messages: list[Any] = []
        run = Run(app, request("POST", 5))
        run.exchange.start()
        await run.finish()
        return messages

    assert run(main()) == [{"type": "http.disconnect"}] * 2


def test_a_cancelled_receive_loses_nothing() -> None:
    async def main():
        async def app(scope, receive, send):
            task = asyncio.create_task(receive())
            task.cancel()
            await asyncio.sleep(0)
            second = asyncio.create_task(receive())
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
            run.exchange.data_received(b"kept")
            run.exchange.end_received([])
            messages.append(await receive())

        messages: list[Any] = []
        run = Run(app, request("POST", 4))
        run.exchange.start()
        await run.finish()
        return messages

    assert run(main()) == [{"type": "http.request", "body": b"kept", "more_body": False}]


def test_receive_and_send_satisfy_create_task_and_gather() -> None:
    async def main():
        async def app(scope, receive, send):
            await asyncio.create_task(send(START))
            messages.extend(await asyncio.gather(receive()))
            await asyncio.wait_for(send(BODY), 1)

        messages: list[Any] = []
        run = Run(app)
        run.exchange.start()
        return messages, await run.finish()

    messages, sent = run(main())
    assert messages == [{"type": "http.request", "body": b"", "more_body": False}]
    assert sent[-1] == ("data", b"x", True)


def test_reading_pauses_while_the_application_does_not_receive() -> None:
    async def main():
        async def app(scope, receive, send):
            await go.wait()
            for _ in range(3):
                await receive()

        go = asyncio.Event()
        run = Run(app, request("POST", UNKNOWN_LENGTH), read_buffer=10)
        run.exchange.start()
        await asyncio.sleep(0)
        for _ in range(3):
            run.exchange.data_received(b"12345")
        before = list(run.stream.sent)
        go.set()
        await run.finish()
        return before, run.stream.sent

    before, after = run(main())
    assert before == [("pause_reading",)]
    assert after[1] == ("resume_reading",)


def test_a_100_goes_out_when_the_application_first_receives() -> None:
    async def main():
        async def app(scope, receive, send):
            seen.append(list(run.stream.sent))
            await receive()

        seen: list[Any] = []
        run = Run(app, request("POST", 1, expect_continue=True))
        run.exchange.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append(list(run.stream.sent))
        run.exchange.stream_reset()
        await run.finish()
        return seen

    assert run(main()) == [[], [("informational", 100, [])]]


# --- backpressure


def test_send_waits_while_writing_is_paused() -> None:
    async def main():
        async def app(scope, receive, send):
            await send(START)
            run.exchange.pause_writing()
            await send(MORE)
            passed.append(1)
            await send(BODY)

        passed: list[int] = []
        run = Run(app)
        run.exchange.start()
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(passed)
        run.exchange.resume_writing()
        await run.finish()
        return before, passed

    assert run(main()) == ([], [1])


def test_a_send_that_waits_is_told_that_the_client_has_gone() -> None:
    async def main():
        async def app(scope, receive, send):
            await send(START)
            run.exchange.pause_writing()
            try:
                await send(MORE)
            except ClientDisconnected:
                told.append(1)

        told: list[int] = []
        run = Run(app)
        run.exchange.start()
        for _ in range(5):
            await asyncio.sleep(0)
        run.exchange.stream_reset()
        await run.finish()
        return told

    assert run(main()) == [1]


def test_send_lets_the_loop_run_once_per_mebibyte() -> None:
    async def main():
        async def app(scope, receive, send):
            await send(START)
            for _ in range(64):
                await send({**MORE, "body": bytes(65536)})
            await send(BODY)

        ticks = 0

        async def tick():
            nonlocal ticks
            while run.gateway.calls:
                ticks += 1
                await asyncio.sleep(0)

        run = Run(app)
        run.exchange.start()
        await tick()
        return ticks

    assert 4 <= run(main()) <= 12
