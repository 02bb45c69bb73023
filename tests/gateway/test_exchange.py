"""HTTPExchange against a recording stream: every state x message, and what receive gives (ASGI www 2.5)."""

import asyncio
import contextvars
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway import response
from tidegate.gateway.application import Gateway, is_disconnect
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.errors import ApplicationError, ClientDisconnected
from tidegate.http.head import NO_CONTENT, UNKNOWN_LENGTH, RequestHead
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


# --- every state x message

TRAILERS_START = {**START, "trailers": True}
REACH: dict[int, list[Any]] = {
    response.EXPECT_START: [],
    response.HELD: [START],
    response.STREAMING: [START, MORE],
    response.EXPECT_TRAILERS: [TRAILERS_START, BODY],
    response.COMPLETE: [START, BODY],
}


def message_for(kind: int, path: str) -> dict[str, Any]:
    names = {number: name for name, number in response.MESSAGES.items()}
    message: dict[str, Any] = {"type": names[kind]}
    message.update(
        {
            response.START: {"status": 200},
            response.BODY: {"body": b"x"},
            response.PATHSEND: {"path": path},
            response.ZEROCOPYSEND: {"file": 0, "count": 0},
            response.EARLY_HINT: {"links": [b"</a>; rel=preload"]},
            response.TRAILERS: {"headers": [(b"x-sum", b"1")]},
            response.PUSH: {"path": "/style.css", "headers": [(b"accept", b"text/css")]},
        }[kind]
    )
    return message


@pytest.mark.parametrize("kind", response.MESSAGES.values(), ids=response.MESSAGES.keys())
@pytest.mark.parametrize("state", REACH, ids=[response.STATES[state] for state in REACH])
def test_every_state_and_message(state: int, kind: int, tmp_path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    message = message_for(kind, str(file))
    if kind == response.ZEROCOPYSEND:
        with file.open("rb") as opened:
            error = raised(*REACH[state], {**message, "file": opened})
    else:
        error = raised(*REACH[state], message)
    action = response.ACTIONS[state * response.COLUMNS + kind]
    if action == response.BAD:
        assert isinstance(error, ApplicationError)
        assert message["type"] in str(error)
    else:
        assert error is None


@pytest.mark.parametrize("kind", response.MESSAGES.values(), ids=response.MESSAGES.keys())
def test_every_message_after_the_client_has_gone(kind: int) -> None:
    async def main():
        caught = []

        async def app(scope, receive, send):
            run.exchange.stream_reset()
            try:
                await send(message_for(kind, "/nowhere"))
            except OSError as error:
                caught.append(error)

        run = Run(app)
        run.exchange.start()
        await run.finish()
        return caught

    (error,) = run(main())
    assert type(error) is ClientDisconnected


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (["not a dict"], "dict"),
        ([{}], "'type'"),
        ([{"type": "http.response.nonsense"}], "unknown"),
        ([{"type": 7}], "unknown"),
        ([{"type": "http.response.start"}], "status"),
        ([{"type": "http.response.start", "status": "200"}], "int"),
        ([{"type": "http.response.start", "status": True}], "int"),
        ([{"type": "http.response.start", "status": 42}], "42"),
        ([{"type": "http.response.start", "status": 100}], "100"),
        ([{"type": "http.response.start", "status": 1000}], "1000"),
        ([{**START, "headers": [("x-a", b"1")]}], "x-a"),
        ([{**START, "headers": [(b"x-a", "1")]}], "x-a"),
        ([{**START, "headers": [(b"x-a", b"1\r\nset-cookie: a=b")]}], "x-a"),
        ([{**START, "headers": [(b"x a", b"1")]}], "token"),
        ([{**START, "headers": [(b"x-a",)]}], "pair"),
        ([{**START, "headers": [b"ab"]}], "pair"),
        ([{**START, "headers": [7]}], "pair"),
        ([{**START, "headers": [(b"content-length", b"-1")]}], "content-length"),
        ([{**START, "headers": [(b"content-length", b"1"), (b"content-length", b"2")]}], "content-length"),
        ([START, {"type": "http.response.body", "body": "text"}], "str"),
        ([{**START, "headers": [(b"content-length", b"1")]}, {**BODY, "body": b"xy"}], "longer"),
        ([{**START, "headers": [(b"content-length", b"3")]}, {**BODY, "body": b"xy"}], "shorter"),
        ([START, {"type": "http.response.pathsend"}], "path"),
        ([START, {"type": "http.response.pathsend", "path": "/does/not/exist"}], "open"),
        ([START, {"type": "http.response.pathsend", "path": "/"}], "regular"),
        ([START, {"type": "http.response.zerocopysend"}], "descriptor"),
        ([START, {"type": "http.response.zerocopysend", "file": 0, "offset": -1}], "offset"),
        ([START, {"type": "http.response.zerocopysend", "file": 0, "count": "1"}], "count"),
    ],
)
def test_invalid_messages_raise_out_of_send(messages: list[Any], words: str) -> None:
    error = raised(*messages)
    assert isinstance(error, ApplicationError)
    assert words in str(error)


def test_an_unknown_message_behind_a_complete_answer_is_ignored() -> None:
    assert raised(START, BODY, {"type": "nonsense"}) is None
    assert raised(START, BODY, None) is None


# --- what goes out


def test_start_is_held_for_the_first_body_message() -> None:
    async def main():
        async def app(scope, receive, send):
            await send(START)
            seen.append(list(run.stream.sent))
            await send(BODY)

        seen: list[Any] = []
        run = Run(app)
        run.exchange.start()
        await run.finish()
        return seen, run.stream.sent

    seen, sent = run(main())
    assert seen == [[]]
    assert sent == [("head", 200, [], UNKNOWN_LENGTH), ("data", b"x", True)]


def test_headers_are_any_iterables_of_two_items() -> None:
    def pairs():
        yield [b"X-A", b"1"]
        yield iter((b"x-b", bytearray(b"2")))

    sent = answer({**START, "headers": pairs()}, {"type": "http.response.body"})
    assert sent[0] == ("head", 200, [(b"x-a", b"1"), (b"x-b", b"2")], UNKNOWN_LENGTH)


def test_body_may_be_any_bytes_and_is_optional() -> None:
    assert answer(START, {**BODY, "body": bytearray(b"ab")})[1] == ("data", b"ab", True)
    assert answer(START, {**BODY, "body": memoryview(b"ab")})[1] == ("data", b"ab", True)
    assert answer(START, {"type": "http.response.body"})[1] == ("data", b"", True)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204), ("GET", 205)])
def test_answers_without_content_are_never_short(method: str, status: int) -> None:
    start = {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"10")]}
    assert answer(start, {"type": "http.response.body"}, head=request(method))[-1] == ("data", b"", True)


def test_what_is_sent_in_a_step_is_flushed_at_its_end() -> None:
    async def main():
        async def app(scope, receive, send):
            await send(START)
            await send(MORE)
            await send(MORE)
            await asyncio.sleep(0)
            await send(BODY)

        run = Run(app)
        run.exchange.start()
        await run.finish()
        return [call[0] for call in run.stream.calls]

    assert run(main()) == ["head", "data", "data", "flush", "data", "flush"]


def test_what_a_child_task_sends_is_flushed_at_once() -> None:
    async def main():
        async def app(scope, receive, send):
            await send(START)
            await asyncio.create_task(child(send))

        async def child(send):
            await send(MORE)
            seen.append(run.stream.calls[-1])
            await send(BODY)

        seen: list[Any] = []
        run = Run(app)
        run.exchange.start()
        await run.finish()
        return seen

    assert run(main()) == [("flush",)]


def test_pathsend_and_zerocopysend(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert answer(START, {"type": "http.response.pathsend", "path": str(file)})[1] == (
        "file",
        b"0123456789",
        True,
    )
    with file.open("rb") as opened:
        sent = answer(
            START,
            MORE,
            {
                "type": "http.response.zerocopysend",
                "file": opened,
                "offset": 2,
                "count": 3,
                "more_body": True,
            },
            {"type": "http.response.zerocopysend", "file": opened, "count": 2, "more_body": True},
            {"type": "http.response.zerocopysend", "file": opened.fileno(), "count": 99, "more_body": True},
            {"type": "http.response.body", "body": b"end"},
        )
    assert sent[2:] == [
        ("file", b"234", False),
        ("file", b"01", False),
        ("file", b"23456789", False),
        ("data", b"end", True),
    ]


def test_a_file_counts_towards_content_length(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    start = {**START, "headers": [(b"content-length", b"9")]}
    error = raised(start, {"type": "http.response.pathsend", "path": str(file)})
    assert isinstance(error, ApplicationError)
    assert "longer" in str(error)


def test_early_hints_go_where_they_are_allowed() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    navigating = request()
    navigating.navigation = True
    expected = ("informational", 103, [(b"link", b"</a.css>; rel=preload")])
    assert answer(hint, START, BODY, head=navigating)[0] == expected
    assert answer(hint, START, BODY)[0][0] == "head"
    assert answer(hint, START, BODY, early_hints="all")[0] == expected
    assert answer(hint, START, BODY, head=navigating, early_hints="off")[0][0] == "head"
    old = request(http_version="1.0", headers=[(b"sec-fetch-mode", b"navigate")])
    assert answer(hint, START, BODY, head=old, early_hints="all")[0][0] == "head"


def test_trailers() -> None:
    sent = answer(
        TRAILERS_START,
        BODY,
        {"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"x-b", b"2")]},
    )
    assert sent[1:] == [("data", b"x", False), ("trailers", [(b"x-a", b"1"), (b"x-b", b"2")])]


# --- what becomes of an application that does not answer


@pytest.mark.parametrize("messages", [[], [START]])
def test_no_answer_is_a_500(messages: list[Any], caplog) -> None:
    sent = answer(*messages)
    assert sent[0][:2] == ("head", 500)
    assert sent[1] == ("data", b"Internal Server Error", True)
    (record,) = caplog.records
    assert "GET / HTTP/1.1" in record.getMessage()


@pytest.mark.parametrize("messages", [[START, MORE], [TRAILERS_START, BODY]])
def test_an_unfinished_answer_is_cut(messages: list[Any], caplog) -> None:
    assert answer(*messages)[-1] == ("reset",)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_is_logged_once_and_answered(error: BaseException, caplog) -> None:
    async def main():
        async def app(scope, receive, send):
            raise error

        run = Run(app)
        run.exchange.start()
        return await run.finish()

    assert run(main())[0][:2] == ("head", 500)
    (record,) = caplog.records
    assert record.exc_info[1] is error


def test_an_application_that_is_no_coroutine_function() -> None:
    class Deferred:
        def __init__(self, scope, receive, send):
            self.send = send

        def __await__(self):
            yield from self.send(START).__await__()
            yield from self.send(BODY).__await__()

    async def main():
        run = Run(Deferred)
        run.exchange.start()
        return await run.finish()

    assert run(main())[-1] == ("data", b"x", True)


def test_an_application_that_returns_nothing_awaitable(caplog) -> None:
    async def main():
        run = Run(lambda scope, receive, send: None)
        run.exchange.start()
        return await run.finish()

    assert run(main())[0][:2] == ("head", 500)
    assert len(caplog.records) == 1


# --- the Task


def test_each_request_is_a_task_with_its_own_context() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    tasks = []

    async def app(scope, receive, send):
        assert variable.get() == 0
        variable.set(1)
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        await send(START)
        await send(BODY)

    async def main():
        first, second = Run(app), Run(app)
        first.exchange.start()
        second.exchange.start()
        return await first.finish() + await second.finish()

    assert [call[0] for call in run(main())] == ["head", "data"] * 2
    assert None not in tasks
    assert tasks[0] is not tasks[1]


def test_a_task_factory_is_used() -> None:
    made = []

    async def app(scope, receive, send):
        await send(START)
        await send(BODY)

    async def main():
        def factory(loop, coroutine, **options):
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(factory)
        run = Run(app)
        run.exchange.start()
        return await run.finish()

    assert len(run(main())) == 2
    assert [type(coroutine).__name__ for coroutine in made].count("ApplicationCall") == 1


def test_cancel_on_disconnect() -> None:
    async def main():
        async def app(scope, receive, send):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        ended: list[str] = []
        run = Run(app, cancel_after=0.01)
        run.exchange.start()
        await asyncio.sleep(0)
        run.exchange.stream_reset()
        while run.gateway.calls:
            await asyncio.sleep(0.01)
        return ended

    assert run(main()) == ["cancelled"]


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


# --- disconnects are no errors


class FrameworkDisconnect(Exception):
    """As frameworks wrap the OSError of send."""


def test_a_disconnect_is_not_logged_as_an_error(caplog) -> None:
    async def main():
        async def app(scope, receive, send):
            run.exchange.stream_reset()
            try:
                await send(START)
            except OSError as error:
                wrapped = FrameworkDisconnect()
                wrapped.__cause__ = error
                raise ExceptionGroup("tasks", [wrapped]) from None

        async def plain(scope, receive, send):
            other.exchange.stream_reset()
            await send(START)

        run, other = Run(app), Run(plain)
        run.exchange.start()
        other.exchange.start()
        await run.finish()
        await other.finish()

    run(main())
    assert caplog.records == []


def test_is_disconnect() -> None:
    gone = ClientDisconnected("gone")
    wrapped = FrameworkDisconnect()
    wrapped.__cause__ = gone
    assert is_disconnect(gone)
    assert is_disconnect(wrapped)
    assert is_disconnect(ExceptionGroup("", [gone, wrapped]))
    assert not is_disconnect(ExceptionGroup("", [gone, ValueError()]))
    assert not is_disconnect(OSError())
