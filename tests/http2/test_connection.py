"""What a connection does in time, under flow control and at its end; the wire format is in tests/rfc."""

import os
import tempfile
from typing import Any

import pytest

from tests.support.http1 import ABORTED, CLOSED, LINGERING, RecordingHandler, RecordingWire, answer_at_once
from tests.support.http2 import (
    CANCEL,
    DATA,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    GET,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    NO_ERROR,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    TRAILERS,
    WINDOW_UPDATE,
    Dialogue,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    headers,
    ping,
    post,
    priority_update,
    reset,
    settings,
    window,
)
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.errors import ProtocolError, RequestError
from tidegate.http.head import ResponseHead
from tidegate.http2 import state
from tidegate.http2.connection import H2Connection
from tidegate.http2.limits import H2Limits
from tidegate.http2.sender import FrameSender, SendingStream

NEVER = float("inf")
# What is remembered: streams that were reset, at the least, and gaps in the identifiers.
MIN_CANCELLED = 256
MAX_GAPS = 16
CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/chat"),
    (b":authority", b"h"),
    (b"sec-websocket-version", b"13"),
]


def codes(dialogue: Dialogue) -> list[int]:
    return [each.code for each in dialogue.of(GOAWAY)]


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


# --- flow control: what we send


def test_an_application_waits_for_its_clients_window() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),), write_buffer=1000).receive(headers(1), headers(3))
    slow, other = dialogue.handlers
    slow.send_head(200)
    slow.send(bytes(600))
    assert slow.names == ["start"]
    slow.send(bytes(600))
    assert slow.names == ["start", "pause"]
    slow.send(bytes(600))
    assert slow.names == ["start", "pause"]
    assert other.names == ["start"]
    dialogue.receive(window(1, 1000))
    assert slow.names == ["start", "pause"]
    dialogue.receive(window(1, 1000))
    assert slow.names == ["start", "pause", "resume"]
    assert len(dialogue.answers[1].content) == 1800


def test_a_window_that_becomes_negative() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 100),)).receive(headers(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(bytes(150), True)
    dialogue.receive(window(1, 20), settings((INITIAL_WINDOW_SIZE, 10)), window(1, 60))
    assert len(dialogue.answers[1].content) == 120
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 100)))
    assert len(dialogue.answers[1].content) == 150
    assert dialogue.answers[1].ended


def test_the_connections_window_is_shared() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 1 << 20),)).receive(headers(1), headers(3))
    for handler in dialogue.handlers:
        handler.send_head(200)
        handler.send(bytes(100_000), True)
    dialogue.collect()
    sent = [len(dialogue.answers[n].content) for n in (1, 3)]
    assert sum(sent) == 65535
    dialogue.receive(window(0, 1 << 20))
    assert [len(dialogue.answers[n].content) for n in (1, 3)] == [100_000] * 2


def test_a_transport_that_is_full() -> None:
    dialogue = Dialogue().receive(headers(1))
    handler = dialogue.handler
    dialogue.connection.pause_writing()
    handler.send_head(200)
    handler.send(bytes(1000), True)
    dialogue.collect()
    assert dialogue.answers[1].content == b""
    dialogue.connection.resume_writing()
    dialogue.collect()
    assert dialogue.answers[1].content == bytes(1000)


class Refilling(RecordingHandler):
    """Sends more as soon as it may."""

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stream.send_data(b"more", False)


def test_an_application_that_sends_while_it_is_sent() -> None:
    dialogue = Dialogue(handler_class=Refilling, client=((INITIAL_WINDOW_SIZE, 0),), write_buffer=10)
    dialogue.receive(headers(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(b"0123456789a")
    dialogue.receive(window(1, 10))
    assert dialogue.answers[1].content == b"0123456789"
    dialogue.handler.send(b"", True)
    dialogue.receive(window(1, 100))
    assert dialogue.answers[1].content == b"0123456789amore"
    assert dialogue.answers[1].ended


def test_a_window_that_was_shut_for_moments_only() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),), write_timeout=60.0, ping_interval=0.0)
    dialogue.receive(headers(1))
    dialogue.handler.send_head(200)
    for _ in range(20):
        dialogue.handler.send(b"event")
        dialogue.wait(2)
        dialogue.receive(window(1, 5))
        dialogue.wait(5)
    assert dialogue.resets == {}


def test_a_full_transport_and_a_window_that_stays_shut_behind_it() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),), write_timeout=60.0, ping_interval=0.0)
    dialogue.receive(headers(1), headers(3))
    for handler in dialogue.handlers:
        handler.send_head(200)
        handler.send(b"x")
    dialogue.connection.pause_writing()
    dialogue.wait(100)
    dialogue.connection.resume_writing()
    dialogue.wait(59)
    assert dialogue.resets == {}
    dialogue.wait(2)
    assert dialogue.resets == {1: CANCEL, 3: CANCEL}


# --- flow control: what we receive


def test_an_application_that_does_not_read_stops_its_own_stream_only() -> None:
    dialogue = Dialogue(window=1000, max_window=1000, connection_window=65535).receive(post(1), post(3))
    lazy, other = dialogue.handlers
    dialogue.receive(data(1, bytes(400)))
    lazy.stream.pause_reading()
    dialogue.receive(data(1, bytes(600)))
    assert dialogue.of(WINDOW_UPDATE) == []
    for _ in range(500):
        dialogue.receive(data(3, bytes(500)))
    given = [each.stream_id for each in dialogue.of(WINDOW_UPDATE)]
    assert given.count(1) == 0
    assert given.count(3) == 500
    assert given.count(0) > 5
    assert len(other.content) == 250_000
    lazy.stream.resume_reading()
    lazy.stream.resume_reading()
    assert dialogue.wire.flushes_wanted == 1
    dialogue.connection.flush_due()
    dialogue.collect()
    assert [(each.stream_id, each.number) for each in dialogue.of(WINDOW_UPDATE)][-1] == (1, 1000)


def test_content_that_was_sent_before_our_settings_arrived() -> None:
    # RFC 9113 §6.9.3
    dialogue = Dialogue(greet=False, window=1000, max_window=1000).receive(PREFACE + settings())
    dialogue.receive(post(1), post(3))
    for handler in dialogue.handlers:
        handler.stream.pause_reading()
    dialogue.receive(*[data(1, bytes(13107)) for _ in range(5)], data(3, bytes(400)))
    assert dialogue.resets == {}
    dialogue.receive(SETTINGS_ACK, post(5), data(1), data(3, bytes(600)), data(5, bytes(1000)))
    assert dialogue.resets == {}
    dialogue.receive(data(1, b"x"), data(3, b"x"), data(5, bytes(1000)))
    assert dialogue.resets == {1: FLOW_CONTROL_ERROR, 3: FLOW_CONTROL_ERROR}
    impatient = Dialogue(greet=False, window=1000, max_window=1000).receive(PREFACE + settings(), post(1))
    impatient.handler.stream.pause_reading()
    impatient.receive(*[data(1, bytes(13107)) for _ in range(5)], data(1, b"x"))
    assert impatient.resets == {1: FLOW_CONTROL_ERROR}
    waited = Dialogue(greet=False, window=1000, max_window=1000).receive(PREFACE + settings(), post(1))
    waited.receive(data(1, bytes(13107)), SETTINGS_ACK, data(1, bytes(1000)))
    assert (waited.resets, len(waited.handler.content)) == ({}, 14107)
    assert [each.number for each in waited.of(WINDOW_UPDATE) if each.stream_id == 1] == [13107, 1000]


def test_reading_goes_on_before_much_has_come() -> None:
    dialogue = Dialogue().receive(post(1), data(1, b"abc"))
    dialogue.handler.stream.pause_reading()
    dialogue.handler.stream.resume_reading()
    assert dialogue.wire.flushes_wanted == 0
    dialogue.receive(data(1, b"def", end=True))
    dialogue.handler.stream.pause_reading()
    dialogue.handler.stream.resume_reading()
    assert dialogue.handler.content == b"abcdef"


def test_a_window_grows_with_the_rate_up_to_its_limits() -> None:
    dialogue = Dialogue(window=1000, max_window=3500, connection_window=100_000).receive(post(1))
    for _ in range(60):
        dialogue.receive(data(1, bytes(500)))
    stream: Any = dialogue.handler.stream
    assert stream.window_limit == 3500
    assert sum(each.number for each in dialogue.of(WINDOW_UPDATE) if each.stream_id == 1) >= 30_000
    slow = Dialogue(window=1000, max_window=3500).receive(post(1))
    for _ in range(60):
        slow.receive(data(1, bytes(500)))
        slow.now += 0.25
    assert slow.handler.stream.window_limit == 1000  # type: ignore[attr-defined]
    many = Dialogue(window=60000, max_window=1 << 20, connection_window=65535).receive(post(1), post(3))
    for n in (1, 3):
        for _ in range(20):
            many.receive(data(n, bytes(16000)))
    limits = [handler.stream.window_limit for handler in many.handlers]  # type: ignore[attr-defined]
    assert sum(limits) == 2 * 60000 + 65535, "together they are bounded"
    many.receive(reset(1))
    many.receive(*[data(3, bytes(16000))] * 20)
    assert many.handlers[1].stream.window_limit > limits[1]  # type: ignore[attr-defined]


# --- time


def test_a_client_that_says_nothing() -> None:
    dialogue = Dialogue(greet=False, settings_timeout=10.0)
    assert dialogue.connection.next_timeout() == 1010.0
    dialogue.wait(9.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert codes(dialogue) == [SETTINGS_TIMEOUT]
    assert dialogue.connection.next_timeout() == NEVER
    dialogue.connection.handle_timeout(2000.0)
    dialogue.connection.receive_data(headers(1), 2000.0)
    assert dialogue.handlers == []


def test_settings_that_are_not_acknowledged() -> None:
    dialogue = Dialogue(greet=False).receive(PREFACE + settings() + headers(1))
    dialogue.wait(10.1)
    assert codes(dialogue) == [SETTINGS_TIMEOUT]
    assert dialogue.handler.names == ["start", "reset"]


@pytest.mark.parametrize("piece", [headers(1)[:5], headers(1)[:20], headers(1, end_headers=False)])
def test_a_header_block_that_does_not_end(piece: bytes) -> None:
    dialogue = Dialogue(head_timeout=30.0).receive(piece)
    for _ in range(29):
        dialogue.wait(1)
        if len(piece) > 30:
            dialogue.receive(continuation(1, b"", end=False))
    assert dialogue.wire.ended is None
    dialogue.wait(1.1)
    assert codes(dialogue) == [ENHANCE_YOUR_CALM]


def test_reads_that_end_in_the_middle_of_frames() -> None:
    dialogue = Dialogue(answer_at_once, head_timeout=30.0)
    dialogue.receive(headers(1)[:5])
    for n in range(1, 100, 2):
        dialogue.receive(headers(n)[5:] + headers(n + 2)[:5])
        dialogue.wait(5)
    assert dialogue.wire.ended is None
    dialogue.receive(headers(101)[5:]).wait(40)
    assert dialogue.wire.ended is None


def test_no_streams() -> None:
    dialogue = Dialogue(idle_timeout=75.0)
    assert dialogue.connection.idle_since == 1000.0
    dialogue.receive(headers(1))
    assert dialogue.connection.idle_since == NEVER
    dialogue.wait(20)
    dialogue.handler.answer()
    dialogue.collect()
    assert dialogue.connection.idle_since == NEVER, "not known before the wire says what time it is"
    dialogue.wait(74.9)
    assert dialogue.connection.idle_since == 1020.0
    dialogue.receive(ping())
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert codes(dialogue) == [NO_ERROR]
    assert dialogue.of(GOAWAY)[0].number == 1
    assert dialogue.wire.ended == LINGERING
    assert dialogue.connection.idle_since == NEVER


def test_a_ping_while_streams_are_silent() -> None:
    dialogue = Dialogue(ping_interval=30.0, ping_timeout=20.0).receive(headers(1))
    dialogue.wait(29.9)
    assert dialogue.of(PING) == []
    dialogue.wait(0.2)
    (sent,) = dialogue.of(PING)
    dialogue.receive(ping(sent.payload, ack=True)).wait(35)
    assert len(dialogue.of(PING)) == 2
    assert dialogue.wire.ended is None
    dialogue.wait(20)
    assert dialogue.wire.ended == ABORTED
    assert dialogue.handler.names[-1] == "reset"
    silent = Dialogue(ping_interval=0.0).receive(headers(1)).wait(1e6)
    assert silent.of(PING) == []


def test_content_at_a_rate() -> None:
    dialogue = Dialogue(body_rate=100.0, body_window=10.0, ping_interval=0.0).receive(post(1), post(3))
    for _ in range(40):
        dialogue.receive(data(1, bytes(300)))
        dialogue.wait(2.5)
    assert dialogue.answers[3].status == 408
    assert dialogue.answers[3].reset == NO_ERROR
    assert dialogue.handlers[1].names == ["start", "reset"]
    assert [error.status for error, _ in dialogue.refusals] == [408]
    assert 1 not in dialogue.answers or dialogue.answers[1].reset is None
    dialogue.receive(data(1, bytes(999))).wait(20)
    assert dialogue.answers[1].status == 408
    assert dialogue.alive


@pytest.mark.parametrize("why", ["grpc", "tunnel", "answered", "paused", "expects", "no rate"])
def test_where_no_rate_is_expected(why: str) -> None:
    dialogue = Dialogue(body_window=10.0, ping_interval=0.0, body_rate=0.0 if why == "no rate" else 240.0)
    fields = {
        "grpc": [(b"content-type", b"application/grpc+proto")],
        "expects": [(b"expect", b"100-continue")],
    }
    dialogue.receive(headers(1, CONNECT, end=False) if why == "tunnel" else post(1, *fields.get(why, [])))
    if why == "paused":
        dialogue.handler.stream.pause_reading()
    elif why == "answered":
        dialogue.handler.send_head(200)
    dialogue.wait(1000)
    assert dialogue.answers == {}
    assert dialogue.wire.ended is None


def test_the_clock_starts_again_with_reading_and_with_100() -> None:
    dialogue = Dialogue(body_window=10.0, ping_interval=0.0).receive(
        post(1), post(3, (b"expect", b"100-continue"))
    )
    dialogue.handlers[0].stream.pause_reading()
    dialogue.wait(100)
    dialogue.handlers[0].stream.resume_reading()
    dialogue.handlers[1].stream.send_informational(100, [])
    dialogue.handlers[1].stream.flush()
    dialogue.wait(9.9)
    assert all(not answer.fields for answer in dialogue.answers.values())
    dialogue.wait(0.2)
    assert [dialogue.answers[n].status for n in (1, 3)] == [408, 408]


def test_a_window_that_stays_shut_resets_its_stream_only() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),), write_timeout=60.0, ping_interval=0.0)
    dialogue.receive(headers(1), headers(3), window(3, 1000))
    for handler in dialogue.handlers:
        handler.send_head(200)
        handler.send(bytes(1000))
    dialogue.collect()
    dialogue.wait(59.9)
    assert dialogue.resets == {}
    dialogue.wait(0.2)
    assert dialogue.resets == {1: CANCEL}
    assert dialogue.handlers[0].names[-1] == "reset"
    dialogue.handlers[1].send(b"", True)
    dialogue.collect()
    assert dialogue.answers[3].ended


def test_a_window_that_opens_by_drops() -> None:
    dialogue = Dialogue(
        client=((INITIAL_WINDOW_SIZE, 0),), write_timeout=60.0, body_rate=1.0, ping_interval=0.0
    )
    dialogue.receive(headers(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(bytes(10_000), True)
    for _ in range(10):
        dialogue.receive(window(1, 30))
        dialogue.wait(25)
    assert dialogue.resets == {}
    for _ in range(10):
        dialogue.receive(window(1, 1))
        dialogue.wait(25)
        if dialogue.resets:
            break
    assert dialogue.resets == {1: CANCEL}


def test_while_the_transport_is_full_its_own_clock_runs() -> None:
    dialogue = Dialogue(write_timeout=60.0, ping_interval=0.0).receive(headers(1))
    dialogue.connection.pause_writing()
    dialogue.handler.send_head(200)
    dialogue.handler.send(bytes(1000), True)
    dialogue.wait(1000)
    assert dialogue.resets == {}
    dialogue.connection.resume_writing()
    dialogue.collect()
    assert dialogue.answers[1].ended


# --- ends


def test_shutdown_in_two_steps() -> None:
    dialogue = Dialogue(shutdown_idle=2.0).receive(headers(1))
    dialogue.connection.shutdown(dialogue.now)
    dialogue.connection.shutdown(dialogue.now)
    first, asked = dialogue.collect()
    assert (first.kind, first.number, first.code) == (GOAWAY, (1 << 31) - 1, NO_ERROR)
    assert asked.kind == PING
    assert dialogue.handler.names == ["start", "shutdown"]
    dialogue.receive(headers(3))
    assert dialogue.handler.names == ["shutdown", "start"]
    dialogue.receive(ping(asked.payload, ack=True))
    assert dialogue.of(GOAWAY)[-1].number == 3
    dialogue.receive(headers(5), post(7), data(7, b"x"))
    assert len(dialogue.handlers) == 2, "beyond the last stream that we said we serve"
    dialogue.handlers[0].answer()
    assert dialogue.wire.ended is None
    dialogue.handlers[1].answer()
    assert dialogue.wire.ended == LINGERING
    dialogue.collect()
    assert [dialogue.answers[n].content for n in (1, 3)] == [b"ok", b"ok"]


def test_what_was_announced_is_never_more() -> None:
    # RFC 9113 §6.8: the last stream of a GOAWAY is not increased.
    dialogue = Dialogue().receive(headers(1))
    dialogue.connection.shutdown(dialogue.now)
    asked = dialogue.collect()[-1]
    dialogue.receive(ping(asked.payload, ack=True), headers(3), headers(101))
    assert [each.number for each in dialogue.of(GOAWAY)] == [(1 << 31) - 1, 1]
    dialogue.receive(window(0, 0))
    assert [(each.number, each.code) for each in dialogue.of(GOAWAY)][2:] == [(1, PROTOCOL_ERROR)]


@pytest.mark.parametrize("busy", [False, True])
def test_shutdown_of_a_client_that_does_not_answer(busy: bool) -> None:
    dialogue = Dialogue(shutdown_idle=2.0)
    if busy:
        dialogue.receive(headers(1))
    dialogue.connection.shutdown(dialogue.now)
    dialogue.wait(1.9)
    assert len(dialogue.of(GOAWAY)) == 1
    dialogue.wait(0.2)
    assert len(dialogue.of(GOAWAY)) == 2
    assert dialogue.wire.ended == (None if busy else LINGERING)


def test_a_client_that_leaves() -> None:
    dialogue = Dialogue().receive(headers(1), goaway())
    dialogue.handler.answer()
    dialogue.collect()
    assert dialogue.answers[1].ended
    assert dialogue.wire.ended == LINGERING
    assert Dialogue().receive(goaway()).wire.ended == LINGERING


def test_a_client_that_ends_its_side() -> None:
    dialogue = Dialogue().receive(headers(1), post(3))
    dialogue.connection.receive_eof(dialogue.now)
    dialogue.collect()
    assert dialogue.handlers[0].names == ["start", "peer closed"]
    assert dialogue.handlers[1].names == ["start", "reset"]
    dialogue.handlers[0].answer()
    dialogue.collect()
    assert dialogue.answers[1].content == b"ok"
    assert dialogue.wire.ended == CLOSED
    idle = Dialogue()
    idle.connection.receive_eof(idle.now)
    assert idle.wire.ended == CLOSED
    refused = Dialogue(refuse=RequestError(503, "busy"), client=((INITIAL_WINDOW_SIZE, 0),))
    refused.receive(headers(1))
    refused.connection.receive_eof(refused.now)
    assert refused.wire.ended is None, "the answer may still go"


def test_an_idle_connection_whose_place_is_wanted() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.connection.close_idle()
    assert dialogue.wire.ended is None
    dialogue.handler.answer()
    dialogue.wait(1)
    dialogue.connection.close_idle()
    dialogue.collect()
    assert codes(dialogue) == [NO_ERROR]
    assert dialogue.wire.ended == LINGERING


def test_cut() -> None:
    dialogue = Dialogue().receive(headers(1), post(3))
    dialogue.connection.cut()
    assert dialogue.wire.ended == ABORTED
    assert [handler.names[-1] for handler in dialogue.handlers] == ["reset"] * 2
    dialogue.connection.receive_eof(dialogue.now)
    dialogue.connection.resume_writing()
    dialogue.connection.connection_lost()
    dialogue.connection.receive_data(headers(5), dialogue.now)
    assert len(dialogue.handlers) == 2


def test_an_event_of_ours_that_cannot_be() -> None:
    dialogue = Dialogue().receive(headers(1))
    stream: Any = dialogue.handler.stream
    stream.state = state.CLOSED
    with pytest.raises(ProtocolError, match="SEND_END in state CLOSED"):
        stream.advance(state.SEND_END)


# --- refusals


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


# --- tunnels (RFC 8441)


def test_a_tunnel() -> None:
    dialogue = Dialogue().receive(headers(1, CONNECT, end=False))
    handler = dialogue.handler
    assert handler.request.protocol == b"websocket"
    dialogue.receive(data(1, b"early"), data(1, b"er"))
    assert handler.content == b""
    handler.stream.resume_reading()
    handler.stream.accept_tunnel([(b"x", b"1")])
    handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].fields == ((b":status", b"200"), (b"x", b"1"))
    assert handler.content == b"earlyer"
    dialogue.receive(data(1, b"!"))
    handler.send(b"hello")
    handler.send(b"", True)
    dialogue.collect()
    assert handler.content == b"earlyer!"
    assert dialogue.answers[1].content == b"hello"
    assert dialogue.answers[1].ended
    assert dialogue.answers[1].reset is None, "the client ends its side in its own time"
    dialogue.receive(data(1, b"ignored", end=True))
    assert dialogue.connection.idle_since < NEVER
    assert dialogue.alive


def test_what_the_client_of_a_tunnel_has_not_taken() -> None:
    dialogue = Dialogue().receive(headers(1, CONNECT, end=False))
    stream = dialogue.handler.stream
    stream.accept_tunnel([])
    stream.send_data(bytes(65535 + 1000), False)
    assert stream.unacknowledged() == 1000
    dialogue.wire.waiting = 5000
    assert stream.unacknowledged() == 6000
    dialogue.receive(window(0, 1000), window(1, 600))
    assert stream.unacknowledged() == 5400


def test_a_tunnel_whose_client_ends_first() -> None:
    for accept_first in (False, True):
        dialogue = Dialogue().receive(headers(1, CONNECT, end=False))
        handler = dialogue.handler
        if accept_first:
            handler.stream.accept_tunnel([])
        dialogue.receive(data(1, b"x", end=True))
        if not accept_first:
            assert handler.names == ["start"]
            handler.stream.accept_tunnel([])
        assert handler.names == ["start", "data", "end"]
        handler.send(b"bye", True)
        dialogue.collect()
        assert dialogue.answers[1].content == b"bye"
        assert dialogue.answers[1].reset is None


def test_a_tunnel_whose_client_does_not_end() -> None:
    dialogue = Dialogue(body_window=30.0, ping_interval=0.0).receive(headers(1, CONNECT, end=False))
    dialogue.handler.stream.accept_tunnel([])
    dialogue.handler.send(b"bye", True)
    dialogue.wait(29)
    assert dialogue.resets == {}
    dialogue.wait(2)
    assert dialogue.resets == {1: NO_ERROR}


def test_a_tunnel_that_is_cut_or_refused() -> None:
    dialogue = Dialogue().receive(headers(1, CONNECT, end=False), headers(3, CONNECT, end=False))
    cut, refused = dialogue.handlers
    cut.stream.accept_tunnel([])
    cut.stream.reset()
    refused.answer(b"no", 403)
    dialogue.wait(1)
    assert dialogue.answers[1].reset == CANCEL
    assert dialogue.answers[3].status == 403
    assert dialogue.answers[3].reset == NO_ERROR


# --- push (§8.4)


def pushing(handler: RecordingHandler) -> None:
    if handler.request.path == "/":
        handler.stream.push(b"/style.css?v=1", [(b"accept", b"text/css")])
    handler.answer(handler.request.path.encode())


def test_push() -> None:
    dialogue = Dialogue(pushing).receive(headers(1))
    (promise,) = dialogue.of(PUSH_PROMISE)
    assert (promise.stream_id, promise.number) == (1, 2)
    assert promise.fields == (
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"h"),
        (b":path", b"/style.css?v=1"),
        (b"accept", b"text/css"),
    )
    assert dialogue.answers[2].content == b"/style.css"
    assert dialogue.answers[2].ended
    pushed = dialogue.handlers[1].request
    assert (pushed.method, pushed.query_string, pushed.authority) == ("GET", b"v=1", b"h")
    assert dialogue.alive


def test_push_behind_a_head_that_is_held() -> None:
    dialogue = Dialogue().receive(headers(1))
    handler = dialogue.handler
    handler.send_head(200)
    handler.stream.push(b"/a", [])
    handler.send(b"ok", True)
    dialogue.collect()
    kinds = [(each.kind, each.stream_id) for each in dialogue.frames]
    assert kinds == [(HEADERS, 1), (PUSH_PROMISE, 1), (DATA, 1)]
    dialogue.receive(window(2, 10), reset(2))
    assert dialogue.handler.names == ["start", "reset"]
    dialogue.receive(reset(2), window(2, 1))
    assert dialogue.alive


def test_a_push_that_is_cut() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.stream.push(b"/a", [])
    dialogue.handler.stream.reset()
    dialogue.handlers[0].answer()
    dialogue.collect()
    assert dialogue.answers[2].reset == INTERNAL_ERROR
    assert dialogue.answers[1].ended


@pytest.mark.parametrize("client", [((0x2, 0),), ((0x3, 0),)])
def test_a_client_that_takes_no_push(client: tuple[tuple[int, int], ...]) -> None:
    dialogue = Dialogue(client=client).receive(headers(1))
    assert not dialogue.handler.stream.can_push()
    dialogue.handler.stream.push(b"/a", [])
    assert len(dialogue.handlers) == 1


def test_what_cannot_be_promised() -> None:
    dialogue = Dialogue().receive(headers(1))
    handler = dialogue.handler
    handler.stream.push(b"/ \0", [])
    handler.stream.push(b"/", [(b"connection", b"close")])
    dialogue.refuse = RequestError(503, "busy")
    handler.stream.push(b"/", [])
    dialogue.refuse = None
    handler.stream.push(b"/a", [])
    pushed = dialogue.handler
    assert not pushed.stream.can_push(), "no promise within a promise"
    handler.stream.flush()
    dialogue.collect()
    assert len(dialogue.of(PUSH_PROMISE)) == 1
    dialogue.receive(goaway())
    assert not handler.stream.can_push()


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


def test_a_timeout_that_is_not_due_does_nothing() -> None:
    limits: dict[str, Any] = {"client": ((INITIAL_WINDOW_SIZE, 0),)}
    for octets in (b"", headers(1), post(1), headers(1, CONNECT, end=False), headers(1)[:5]):
        dialogue = Dialogue(**limits).receive(octets) if octets else Dialogue(**limits)
        if dialogue.handlers and dialogue.handler.request.protocol:
            dialogue.handler.stream.accept_tunnel([])
            dialogue.handler.send(b"", True)
        elif dialogue.handlers:
            dialogue.handler.send(b"", False)
        dialogue.connection.shutdown(dialogue.now)
        for _ in range(3):
            dialogue.connection.handle_timeout(dialogue.now + 0.5)
        dialogue.collect()
        assert dialogue.wire.ended is None
        assert dialogue.resets == {}


def test_an_outstanding_ping_waits_for_its_time() -> None:
    dialogue = Dialogue(ping_interval=30.0, ping_timeout=20.0).receive(headers(1)).wait(31)
    dialogue.connection.handle_timeout(dialogue.now + 1)
    assert len(dialogue.of(PING)) == 1
    assert dialogue.wire.ended is None


def test_shutdown_beside_an_answer_of_our_own() -> None:
    dialogue = Dialogue(refuse=RequestError(503, "busy"), client=((INITIAL_WINDOW_SIZE, 0),))
    dialogue.receive(headers(1))
    dialogue.connection.shutdown(dialogue.now)
    dialogue.receive(reset(1))
    assert dialogue.wire.ended is None
    dialogue.wait(3)
    assert dialogue.wire.ended == LINGERING


def test_more_than_the_connections_window() -> None:
    dialogue = Dialogue(max_frame=1 << 20, window=1 << 20, connection_window=65535).receive(post(1))
    dialogue.receive(data(1, bytes(70_000)))
    assert codes(dialogue) == [FLOW_CONTROL_ERROR]


class Starting(RecordingHandler):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.stream.pause_reading()

    def start(self) -> None:
        super().start()
        self.stream.resume_reading()


def test_reading_that_goes_on_within_a_read() -> None:
    dialogue = Dialogue(handler_class=Starting, window=1000).receive(post(1) + data(1, bytes(800)))
    assert [(each.stream_id, each.number) for each in dialogue.of(WINDOW_UPDATE)] == [(1, 800)]
    assert dialogue.wire.flushes_wanted == 0


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


def test_priorities() -> None:
    """RFC 9218: what is more urgent goes first; a frame overrides the field; frames may come before the request."""
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 1 << 20),))
    dialogue.receive(priority_update(7, b"u=0"), priority_update(9, b"u=7"))
    dialogue.receive(
        headers(1, [*GET, (b"priority", b"u=5")]), headers(3), headers(5, [*GET, (b"priority", b"u=1")])
    )
    dialogue.receive(headers(7, [*GET, (b"priority", b"u=6")]))
    dialogue.receive(priority_update(3, b"u=2"), priority_update(1001, b"u=1"), priority_update(1, b"u=5"))
    dialogue.connection.pause_writing()
    for handler in dialogue.handlers:
        handler.send_head(200)
        handler.send(bytes(15_000), True)
    dialogue.connection.resume_writing()
    dialogue.collect()
    ended = [each.stream_id for each in dialogue.of(DATA) if each.ends_stream]
    assert ended == [7, 5, 3, 1]


@pytest.mark.parametrize(
    "sent",
    [
        frame(PRIORITY, 0, 5, dependency(5)),
        priority_update(2, b"u=1"),
    ],
)
def test_priorities_that_cannot_be(sent: bytes) -> None:
    assert codes(Dialogue().receive(sent)) == [PROTOCOL_ERROR]


def urgencies(dialogue: Dialogue) -> list[int]:
    return [handler.stream.urgency for handler in dialogue.handlers]  # type: ignore[attr-defined]


def test_rfc9218_7_1_idle_streams_that_are_prioritised_count_as_open() -> None:
    """Those of the client's, as far as they may yet be opened."""
    dialogue = Dialogue(max_streams=5).receive(headers(1), headers(3))
    for n in (5, 7, 9):
        dialogue.receive(priority_update(n, b"u=1"))
    dialogue.receive(priority_update(9, b"u=2"), priority_update(3, b"u=4"))
    assert dialogue.alive
    dialogue.receive(headers(9))  # 5 and 7 are passed over: they are closed now (RFC 9113 §5.1.1)
    dialogue.receive(priority_update(11, b"u=0"), priority_update(13, b"u=0"), priority_update(5, b"u=0"))
    assert dialogue.alive
    assert urgencies(dialogue) == [3, 4, 2]
    assert codes(dialogue.receive(priority_update(15, b"u=0"))) == [PROTOCOL_ERROR]


def test_priorities_of_a_client_that_does_not_know_the_limit_yet() -> None:
    dialogue = Dialogue(greet=False, max_streams=5).receive(PREFACE + settings())
    dialogue.receive(*[priority_update(n, b"u=1") for n in range(1, 50, 2)], SETTINGS_ACK)
    assert dialogue.alive
    dialogue.receive(headers(1), headers(31), headers(33))
    assert urgencies(dialogue) == [1, 3, 3]


def test_priorities_of_pushed_streams_are_not_kept() -> None:
    dialogue = Dialogue(max_streams=1).receive(headers(1))
    dialogue.handler.stream.push(b"/pushed", [])
    dialogue.handlers[1].answer()
    dialogue.handlers[0].answer()
    assert dialogue.receive(priority_update(2, b"u=1"), priority_update(3, b"u=1")).alive


def test_what_every_connection_does_unless_it_says_otherwise() -> None:
    sender = FrameSender(RecordingWire(), ResponseDefaults(None, False, ()), 1)
    stream = SendingStream(1, 0)
    assert not sender.can_push(stream)
    with pytest.raises(NotImplementedError):
        stream.take(1)
