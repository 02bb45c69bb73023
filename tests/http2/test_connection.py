"""What a connection writes, answers and refuses; the wire format is in tests/rfc."""

import os
import tempfile
from typing import Any

import pytest

from tests.support.http1 import ABORTED, CLOSED, RecordingHandler, RecordingWire, answer_at_once
from tests.support.http2 import (
    CANCEL,
    CONNECT,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    GET,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    NEVER,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    STREAM_CLOSED,
    TRAILERS,
    WINDOW_UPDATE,
    Dialogue,
    codes,
    continuation,
    data,
    headers,
    ping,
    post,
    reset,
    settings,
    urgencies,
    window,
)
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import RequestError, StreamError
from tidegate.http.head import ResponseHead
from tidegate.http2.connection import H2Connection
from tidegate.http2.limits import H2Limits
from tidegate.http2.sender import FrameSender, SendingStream

# What is remembered: streams that were reset, at the least, and gaps in the identifiers.
MIN_CANCELLED = 256
MAX_GAPS = 16


def file_of(content: bytes) -> int:
    descriptor, path = tempfile.mkstemp()
    os.write(descriptor, content)
    os.unlink(path)
    return descriptor


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# --- writes


def test_a_small_answer_is_one_write_with_its_neighbours() -> None:
    dialogue = Dialogue(answer_at_once)
    dialogue.connection.receive_data(headers(1) + headers(3) + headers(5), dialogue.now)
    assert len(dialogue.wire.writes) == 1
    dialogue.collect()
    assert [each.content for each in dialogue.answers.values()] == [b"ok"] * 3
    assert dialogue.of(RST_STREAM) == []


def test_content_that_comes_with_its_head_is_there_before_the_application_starts() -> None:
    dialogue = Dialogue(answer_at_once).receive(post(1) + data(1, b"abc", end=True))
    assert dialogue.handler.names == ["data", "end", "start"]
    assert dialogue.answers[1].reset is None


def test_an_answer_that_does_not_wait_for_its_request() -> None:
    dialogue = Dialogue(answer_at_once).receive(post(1))
    assert dialogue.answers[1].ended
    assert dialogue.resets == {}
    dialogue.wait(1)
    assert dialogue.answers[1].reset == NO_ERROR
    dialogue.receive(data(1, b"late"), data(1, b"", end=True))
    assert dialogue.alive


def test_the_rest_of_a_request_that_is_answered() -> None:
    dialogue = Dialogue(answer_at_once).receive(post(1), post(3), post(5))
    dialogue.receive(
        *[data(1, bytes(15000))] * 4, data(1, b"", end=True), headers(3, TRAILERS), reset(5)
    ).wait(1)
    assert [dialogue.answers[each].content for each in (1, 3, 5)] == [b"ok"] * 3
    assert dialogue.resets == {}
    assert dialogue.handler.names == ["start"], "nothing of it is delivered"
    assert [each.stream_id for each in dialogue.of(WINDOW_UPDATE)] == [], "nor more of it asked for"
    assert dialogue.alive
    assert dialogue.connection.idle_since < NEVER


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        (data(1, b"four", end=True), PROTOCOL_ERROR),  # RFC 9113 §8.1.1
        (data(1, b"", end=True), PROTOCOL_ERROR),
        (headers(1, TRAILERS, end=False), PROTOCOL_ERROR),  # §8.1
        (headers(1, [(b":method", b"POST")]), PROTOCOL_ERROR),  # §8.3
        (window(1, 0), PROTOCOL_ERROR),  # §6.9
        (window(1, (1 << 31) - 1), FLOW_CONTROL_ERROR),  # §6.9.1
        (reset(1) + data(1, b"f"), STREAM_CLOSED),  # §5.1
    ],
)
def test_the_rest_of_a_request_that_is_answered_is_judged(rest: bytes, code: int) -> None:
    dialogue = Dialogue(answer_at_once).receive(post(1, (b"content-length", b"1")), rest)
    assert dialogue.answers[1].ended
    assert [each.code for each in (*dialogue.of(RST_STREAM), *dialogue.of(GOAWAY))] == [code]


def test_content_above_the_limit_behind_an_answer() -> None:
    dialogue = Dialogue(answer_at_once, max_content=3).receive(
        post(1), data(1, b"four"), data(1, b"", end=True)
    )
    assert dialogue.answers[1].content == b"ok"
    assert dialogue.resets == {}


def test_a_request_that_is_reset_in_the_read_that_opened_it_never_starts() -> None:
    dialogue = Dialogue().receive(post(1) + reset(1))
    assert dialogue.handler.names == []
    dialogue.receive(post(3) + data(3, bytes(5), end=True) + headers(5))
    assert dialogue.handlers[1].names == ["data", "end", "start"]


def test_more_requests_than_are_answered_at_once() -> None:
    dialogue = Dialogue(answer_at_once, max_streams=200)
    connection = dialogue.connection
    connection.receive_data(b"".join(headers(n) for n in range(1, 300, 2)), dialogue.now)
    assert len(dialogue.handlers) == 64
    assert not dialogue.wire.reading
    connection.receive_data(headers(301), dialogue.now)
    assert len(dialogue.handlers) == 64
    connection.receive_eof(dialogue.now)
    dialogue.flush_due()
    dialogue.collect()
    assert len(dialogue.handlers) == 151
    assert all(answer.content == b"ok" for answer in dialogue.answers.values())
    assert dialogue.wire.reading
    assert dialogue.wire.ended == CLOSED


def test_a_connection_that_ends_with_requests_in_its_backlog() -> None:
    dialogue = Dialogue(answer_at_once, max_streams=200)
    dialogue.connection.receive_data(b"".join(headers(n) for n in range(1, 300, 2)), dialogue.now)
    dialogue.connection.connection_lost()
    dialogue.flush_due()
    assert len(dialogue.handlers) == 64
    assert dialogue.connection.next_timeout() == NEVER


def test_a_client_that_reads_nothing_is_read_no_more() -> None:
    dialogue = Dialogue(answer_at_once, max_control=10**6)
    dialogue.connection.pause_writing()
    for _ in range(5000):
        dialogue.receive(ping())
    assert not dialogue.wire.reading
    dialogue.connection.resume_writing()
    assert dialogue.wire.reading
    assert dialogue.alive


def test_the_operators_fields_and_date() -> None:
    dialogue = Dialogue()
    defaults = ResponseDefaults(b"s", True, ((b"x-a", b"1"), (b"x-b", b"2")))
    defaults.set_date(b"Sun, 06 Nov 1994 08:49:37 GMT")
    dialogue.connection = H2Connection(
        dialogue.wire, H2Limits(), defaults, dialogue._open_handler, lambda error, head: None, 0.0
    )
    dialogue.wire.connection = dialogue.connection  # type: ignore[assignment]
    dialogue.receive(PREFACE + settings() + headers(1))
    dialogue.handler.answer(b"ok", 200, (b"x-b", b"3"))
    dialogue.collect()
    assert dialogue.answers[1].fields == (
        (b":status", b"200"),
        (b"x-b", b"3"),
        (b"content-length", b"2"),
        (b"x-a", b"1"),
        (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (b"server", b"s"),
    )


# --- answers


def test_a_head_alone_goes_out_at_the_end_of_the_step() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.send_head(200)
    assert dialogue.collect() == []
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].status == 200
    assert not dialogue.answers[1].ended
    dialogue.handler.send(b"")
    assert dialogue.collect() == []
    dialogue.handler.send(b"", True)
    dialogue.collect()
    assert dialogue.answers[1].ended


def test_nothing_is_sent_twice_or_late() -> None:
    dialogue = Dialogue().receive(headers(1))
    handler = dialogue.handler
    handler.answer()
    dialogue.collect()
    handler.send_head(200)
    handler.stream.send_informational(103, [])
    handler.stream.send_trailers([(b"a", b"b")])
    handler.stream.accept_tunnel([])
    handler.stream.pause_reading()
    handler.stream.resume_reading()
    handler.stream.push(b"/", [])
    assert not handler.stream.can_push()
    descriptor = file_of(b"abc")
    handler.stream.send_file(descriptor, 0, 3, True)
    assert not is_open(descriptor)
    handler.stream.reset()
    handler.send(b"late", True)
    assert dialogue.collect() == []


@pytest.mark.parametrize(("status", "method"), [(204, b"GET"), (205, b"GET"), (304, b"GET"), (200, b"HEAD")])
def test_a_bodiless_answer_ends_on_its_head(status: int, method: bytes) -> None:
    dialogue = Dialogue().receive(headers(1, [(b":method", method), *GET[1:]]))
    dialogue.handler.answer(b"ok", status)
    frames = dialogue.collect()
    assert [each.kind for each in frames] == [HEADERS]
    assert frames[0].ends_stream
    assert ((b"content-length", b"2") in frames[0].fields) == (status in (304, 200))


def test_trailers_behind_what_waits() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 3),)).receive(headers(1))
    handler = dialogue.handler
    handler.send_head(200, trailers=True)
    handler.send(b"abcdef")
    handler.stream.send_trailers([(b"x", b"1")])
    handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].content == b"abc"
    dialogue.receive(window(1, 10))
    assert dialogue.answers[1].content == b"abcdef"
    assert dialogue.answers[1].trailers == ((b"x", b"1"),)
    assert dialogue.answers[1].ended


def test_no_trailers_after_all() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.send_head(200, trailers=True)
    dialogue.handler.stream.send_trailers([])
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].ended
    assert dialogue.answers[1].trailers == ()


def test_100_continue_when_it_is_asked_for() -> None:
    dialogue = Dialogue().receive(post(1, (b"expect", b"100-continue")))
    stream = dialogue.handler.stream
    stream.send_informational(100, [])
    stream.send_informational(100, [])
    stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].interim == [((b":status", b"100"),)]
    dialogue.receive(post(3, (b"expect", b"100-continue")), data(3, b"unasked"))
    dialogue.handler.stream.send_informational(100, [])
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert 3 not in dialogue.answers


def test_an_answer_that_is_cut() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(b"abc")
    dialogue.handler.stream.reset()
    dialogue.handler.stream.reset()
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].reset == INTERNAL_ERROR
    assert "reset" not in dialogue.handler.names
    assert dialogue.alive


# --- files


def test_a_file_in_windows() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 70_000),)).receive(headers(1))
    content = os.urandom(150_000)
    handler = dialogue.handler
    descriptor = file_of(b"--" + content + b"--")
    handler.send_head(200)
    handler.stream.send_file(descriptor, 2, len(content), True)
    assert handler.names == ["start", "pause"]
    for _ in range(20):
        dialogue.receive(window(0, 9000) + window(1, 9000))
    assert dialogue.answers[1].content == content
    assert dialogue.answers[1].ended
    assert handler.names == ["start", "pause", "resume"]
    assert not is_open(descriptor)


def test_a_file_between_other_content() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 4),)).receive(headers(1))
    handler = dialogue.handler
    handler.send_head(200)
    handler.send(b"abcdef")
    handler.send(b"gh")
    descriptor = file_of(b"0123456789")
    handler.stream.send_file(descriptor, 3, 4, False)
    handler.send(b"ij", True)
    dialogue.receive(window(1, 100))
    assert dialogue.answers[1].content == b"abcdefgh3456ij"
    assert not is_open(descriptor)
    empty = file_of(b"")
    dialogue.receive(headers(3))
    dialogue.handler.send_head(200)
    dialogue.handler.stream.send_file(empty, 0, 0, True)
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[3].ended
    assert not is_open(empty)


def test_a_file_that_is_shorter_than_it_was() -> None:
    dialogue = Dialogue().receive(headers(1))
    handler = dialogue.handler
    descriptor = file_of(b"abc")
    handler.send_head(200)
    handler.stream.send_file(descriptor, 0, 5, True)
    handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].content == b"abc"
    assert dialogue.answers[1].reset == INTERNAL_ERROR
    assert handler.names[-1] == "reset"
    assert not is_open(descriptor)


def test_a_file_that_nobody_waits_for() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),)).receive(headers(1))
    handler = dialogue.handler
    descriptor = file_of(b"abc")
    handler.send_head(200)
    handler.send(b"abc")
    handler.stream.send_file(descriptor, 0, 3, True)
    dialogue.receive(reset(1))
    assert not is_open(descriptor)
    assert handler.names[-1] == "reset"


# --- refusals


@pytest.mark.parametrize(
    ("fields", "limits", "status", "known"),
    [
        ([*GET, (b"x", b"y" * 300)], {"max_header_list": 300}, 431, ("GET", b"/", "/")),
        (
            [GET[0], (b":path", b"/%61?b"), GET[1], GET[3]],
            {"max_header_list": 120},
            431,
            ("GET", b"/%61?b", "/a"),
        ),
        (
            [(b":method", b"HEAD"), *GET[1:], (b"x", b"y" * 300)],
            {"max_header_list": 300},
            431,
            ("HEAD", b"/", "/"),
        ),
        (
            [(b":method", b"A B"), (b":path", b"/\x01"), (b"x", b"y" * 300)],
            {"max_header_list": 300},
            431,
            ("", b"", ""),
        ),
        ([*GET[:2], (b":path", b"/" * 20), *GET[3:]], {"max_target": 10}, 414, ("GET", b"", "")),
        ([(b":method", b"CONNECT"), (b":authority", b"a:443")], {}, 501, ("CONNECT", b"a:443", "")),
        ([(b"x", b"y"), *GET, (b"z", b"y" * 300)], {"max_header_list": 300}, 431, ("", b"", "")),
    ],
)
def test_what_is_known_of_a_request_whose_head_is_refused(
    fields: list[tuple[bytes, bytes]], limits: dict[str, int], status: int, known: tuple[str, bytes, str]
) -> None:
    dialogue = Dialogue(**limits).receive(headers(1, fields))
    ((error, head),) = dialogue.refusals
    assert error.status == dialogue.answers[1].status == status
    assert head is not None
    assert (head.method, head.target, head.path) == known
    assert head.http_version == "2"
    assert bool(dialogue.answers[1].content) == (head.method != "HEAD")


@pytest.mark.parametrize("field", [(b"X", b"y"), (b"x", b"y\n"), (b"connection", b"close")])
def test_malformed_requests_are_told_of(field: tuple[bytes, bytes]) -> None:
    """RFC 9113 §8.1.1: they are not answered; the log and the metrics know them all the same."""
    dialogue = Dialogue().receive(headers(1, [*GET, field]))
    ((error, head),) = dialogue.refusals
    assert isinstance(error, StreamError)
    assert dialogue.resets == {1: PROTOCOL_ERROR}
    assert head is not None
    assert (head.method, head.target, head.http_version) == ("GET", b"/", "2")


def test_an_answer_of_our_own_waits_for_its_window_too() -> None:
    dialogue = Dialogue(refuse=RequestError(503, "busy", ((b"retry-after", b"1"), (b"connection", b"x"))))
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 0)), post(1))
    assert dialogue.answers[1].status == 503
    assert (b"retry-after", b"1") in dialogue.answers[1].fields
    assert not dialogue.answers[1].ended
    assert [head.method for _, head in dialogue.refusals if head] == ["POST"]
    dialogue.receive(data(1, b"ignored"), window(1, 100))
    assert dialogue.answers[1].content == b"busy\n"
    assert dialogue.wait(1).answers[1].reset == NO_ERROR
    dialogue.receive(
        headers(3, [(b":method", b"HEAD"), *GET[1:], (b"x", bytes(70000).replace(b"\0", b"a"))][:4])
    )
    assert dialogue.answers[3].content == b""


def test_content_that_is_too_large() -> None:
    dialogue = Dialogue(max_content=10).receive(post(1), data(1, bytes(11)))
    assert dialogue.answers[1].status == 413
    assert dialogue.handler.names == ["start", "reset"]
    dialogue.receive(post(3), data(3, bytes(5)))
    dialogue.handler.send_head(200)
    dialogue.handler.send(b"abc")
    dialogue.receive(data(3, bytes(6)))
    assert dialogue.resets[3] == CANCEL
    assert dialogue.handler.names[-1] == "reset"
    dialogue.receive(post(5) + data(5, bytes(11)))
    assert dialogue.answers[5].status == 413
    assert dialogue.handler.names == [], "it was not started"
    dialogue.receive(headers(7, CONNECT, end=False))
    dialogue.handler.stream.accept_tunnel([])
    dialogue.receive(data(7, bytes(100)))
    assert len(dialogue.handler.content) == 100, "a tunnel has no content"


def test_applications_that_go_on_without_their_clients_are_counted() -> None:
    dialogue = Dialogue(max_streams=5)
    for n in range(1, 21, 2):
        dialogue.receive(headers(n), reset(n))
    dialogue.receive(headers(21))
    assert dialogue.resets == {21: REFUSED_STREAM}
    for handler in dialogue.handlers[:5]:
        handler.stream.release()
    dialogue.receive(headers(23))
    assert len(dialogue.handlers) == 11
    dialogue.handler.stream.release()
    dialogue.receive(reset(23), headers(25))
    assert len(dialogue.handlers) == 12


# --- streams that are no more


@pytest.mark.parametrize(("max_streams", "remembered"), [(100, MIN_CANCELLED), (300, 600)])
def test_what_crosses_a_reset_is_ignored_for_a_while(max_streams: int, remembered: int) -> None:
    # RFC 9113 §5.1: frames may be on their way on all streams that were open.
    dialogue = Dialogue(max_control=10**6, max_resets=10**6, max_streams=max_streams)
    for n in range(1, 2 * remembered + 4, 2):
        dialogue.receive(post(n))
        dialogue.handler.stream.reset()
        dialogue.handler.stream.release()
    last = 2 * remembered + 1
    dialogue.receive(data(last, b"x"), headers(last), reset(last), window(last, 1), data(5, b"x"))
    assert dialogue.alive
    dialogue.receive(data(1, b"x"))
    assert codes(dialogue) == [STREAM_CLOSED]


def test_identifiers_that_are_passed_over() -> None:
    dialogue = Dialogue(answer_at_once)
    for n in range(1, MAX_GAPS + 3):
        dialogue.receive(headers(n * 10 + 1))
    dialogue.receive(headers(11))
    assert codes(dialogue) == [STREAM_CLOSED]


def test_settings_are_ours_first() -> None:
    dialogue = Dialogue(greet=False).receive(PREFACE + settings() + SETTINGS_ACK)
    assert [each.kind for each in dialogue.frames] == [SETTINGS, WINDOW_UPDATE, SETTINGS]
    assert dialogue.frames[0].payload[:6] == b"\0\x09\0\0\0\1", "SETTINGS_NO_RFC7540_PRIORITIES"
    small = Dialogue(greet=False, connection_window=65535).receive(PREFACE + settings())
    assert small.of(WINDOW_UPDATE) == []


def test_the_head_that_answers_a_response_with_unknown_length() -> None:
    dialogue = Dialogue().receive(headers(1))
    head = ResponseHead(200)
    dialogue.handler.stream.send_head(head)
    dialogue.handler.stream.send_data(b"abc", True)
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].fields == ((b":status", b"200"),)


class Cutting(RecordingHandler):
    connection: Any = None

    def start(self) -> None:
        super().start()
        self.connection.cut()


def test_cut_within_a_read() -> None:
    dialogue = Dialogue(handler_class=Cutting)
    Cutting.connection = dialogue.connection
    dialogue.receive(headers(1) + headers(3) + b"garbage garbage garbage")
    assert len(dialogue.handlers) == 1
    assert dialogue.wire.ended == ABORTED


def test_the_end_of_a_client_behind_its_backlog() -> None:
    dialogue = Dialogue(max_streams=200)
    dialogue.connection.receive_data(b"".join(headers(n) for n in range(1, 140, 2)), dialogue.now)
    dialogue.connection.receive_eof(dialogue.now)
    assert all("peer closed" not in handler.names for handler in dialogue.handlers)
    dialogue.flush_due()
    assert len(dialogue.handlers) == 70
    assert all(handler.names[-1] == "peer closed" for handler in dialogue.handlers)


def test_a_block_that_is_too_large_in_its_last_frame() -> None:
    dialogue = Dialogue(max_header_list=4096).receive(headers(1, end_headers=False))
    dialogue.receive(continuation(1, bytes(16384)))
    assert codes(dialogue) == [ENHANCE_YOUR_CALM]


def test_content_whose_length_is_too_large() -> None:
    dialogue = Dialogue(max_content=10).receive(post(1, (b"content-length", b"11")))
    assert dialogue.answers[1].status == 413
    assert dialogue.handlers == []


LARGE_TRAILERS = {
    "fields": ({"max_fields": 4}, [(b"a", b"b")] * 5),
    "list": ({"max_header_list": 300}, [(b"a", b"b" * 300)]),
    "trailers": ({"max_trailers": 100}, [(b"aa", b"b" * 16), (b"cc", b"d" * 17)]),
}


@pytest.mark.parametrize(("limits", "fields"), LARGE_TRAILERS.values(), ids=LARGE_TRAILERS)
def test_trailers_that_are_too_large(limits: dict[str, int], fields: list[tuple[bytes, bytes]]) -> None:
    """RFC 6585 §5, where the answer has not begun; what begins as tunnel or answer is cut."""
    for before in ([post(1)], [post(1), data(1, b"content")]):
        for pieces in ([*before, headers(1, fields)], [b"".join([*before, headers(1, fields)])]):
            dialogue = Dialogue(**limits).receive(*pieces)
            assert dialogue.answers[1].status == 431
            assert dialogue.answers[1].ended
            assert dialogue.resets == {}
            assert [error.status for error, _ in dialogue.refusals] == [431]
            started = len(pieces) > 1
            assert (dialogue.handler.names[-1:] == ["reset"]) == started
            assert dialogue.handler.discards == (not started)
            assert dialogue.alive
    dialogue = Dialogue(**limits).receive(post(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(b"begun")
    dialogue.receive(headers(1, fields))
    assert dialogue.resets == {1: CANCEL}
    assert dialogue.handler.names == ["start", "reset"]
    assert dialogue.alive
    dialogue = Dialogue(**limits).receive(headers(1, CONNECT, end=False))
    dialogue.handler.stream.accept_tunnel([])
    dialogue.handler.send(b"bye", True)
    dialogue.receive(headers(1, fields))
    assert dialogue.resets == {1: CANCEL}
    assert dialogue.alive


def test_trailers_that_just_fit() -> None:
    fields = [(b"aa", b"b" * 16), (b"cc", b"d" * 16)]
    dialogue = Dialogue(max_trailers=100).receive(post(1), headers(1, fields))
    assert dialogue.handler.events[-1] == ("end", fields)


@pytest.mark.parametrize("refused", [False, True])
def test_a_request_that_asked_for_http2(refused: bool) -> None:
    """RFC 7540 §3.2: it is stream 1, half-closed; the client's preface is yet to come."""
    dialogue = Dialogue(greet=False, refuse=RequestError(503, "busy") if refused else None)
    request = Dialogue().receive(headers(1, [*GET, (b"priority", b"u=1")])).handler.request
    dialogue.connection.take_settings(bytes.fromhex("000400000003"))
    dialogue.connection.upgrade(request)
    if not refused:
        assert urgencies(dialogue) == [1]
        dialogue.handler.answer(b"hello")
    assert [each.name for each in dialogue.collect()] == ["SETTINGS", "WINDOW_UPDATE", "HEADERS", "DATA"]
    assert dialogue.answers[1].status == (503 if refused else 200)
    assert len(dialogue.answers[1].content) == 3
    dialogue.receive(PREFACE + settings(), SETTINGS_ACK, window(1, 100))
    assert dialogue.answers[1].ended
    assert [each.flags for each in dialogue.of(SETTINGS)] == [0, 1]
    assert dialogue.receive(headers(3)).alive
    assert len(dialogue.handlers) == (0 if refused else 2)


def test_what_every_connection_does_unless_it_says_otherwise() -> None:
    sender = FrameSender(RecordingWire(), ResponseDefaults(None, False, ()), 1)
    stream = SendingStream(1, 0)
    assert not sender.can_push(stream)
    with pytest.raises(NotImplementedError):
        stream.take(1)
