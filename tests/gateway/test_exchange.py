"""HTTPExchange against a recording stream: every state x message, and what becomes of applications (ASGI www 2.5)."""

import asyncio
import contextvars
from typing import Any

import pytest

from tests.gateway.exchange_client import (
    BODY,
    MORE,
    START,
    Run,
    answer,
    raised,
    request,
    run,
)
from tidegate.gateway import response
from tidegate.gateway.application import is_disconnect
from tidegate.http.errors import ApplicationError, ClientDisconnected
from tidegate.http.head import UNKNOWN_LENGTH

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
