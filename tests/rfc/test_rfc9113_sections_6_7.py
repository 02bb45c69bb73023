"""Frame definitions and error codes: RFC 9113 §6 and §7, as they bind a server."""

import pytest

from tests.support.http1 import RecordingHandler, answer_at_once
from tests.support.http2 import (
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GET,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    NO_RFC7540_PRIORITIES,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Dialogue,
    block,
    connection_error,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    headers,
    ping,
    post,
    reset,
    settings,
    stream_error,
    window,
)

MAX_WINDOW = (1 << 31) - 1


# §6.1: DATA


def test_6_1_data_on_stream_0() -> None:
    assert connection_error(data(0, b"test")) == PROTOCOL_ERROR
    assert connection_error(post(1), data(0)) == PROTOCOL_ERROR


def test_6_1_padding_is_taken_off_and_counts_for_flow_control() -> None:
    dialogue = Dialogue(max_window=65535).receive(post(1))
    sent = 0
    for padding in (0, 1, 255):
        for size in (0, 1, 1000):
            dialogue.receive(data(1, b"x" * size, padding=padding))
            sent += 1 + size + padding
    assert dialogue.handler.content == b"x" * 3003
    dialogue.receive(*[data(1, b"", padding=255)] * 600)
    sent += 600 * 256
    given = sum(each.number for each in dialogue.of(WINDOW_UPDATE) if each.stream_id == 1)
    assert sent - 65535 < given <= sent


@pytest.mark.parametrize("length", [1, 5, 10, 255])
def test_6_1_padding_as_long_as_the_frame(length: int) -> None:
    for excess in (0, 1):
        payload = bytes([min(255, length + excess)]) + bytes(length - 1)
        assert connection_error(post(1), frame(DATA, PADDED, 1, payload)) == PROTOCOL_ERROR


def test_6_1_a_frame_of_padding_alone() -> None:
    dialogue = Dialogue().receive(post(1), frame(DATA, PADDED | END_STREAM, 1, bytes([9]) + bytes(9)))
    assert dialogue.handler.names == ["start", "end"]


# §6.2: HEADERS


def test_6_2_headers_on_stream_0() -> None:
    assert connection_error(headers(0)) == PROTOCOL_ERROR


@pytest.mark.parametrize("padding", [0, 1, 255])
def test_6_2_padding_and_priority(padding: int) -> None:
    for priority in (None, dependency(), dependency(0x7FFFFFFF, 0, True)):
        dialogue = Dialogue().receive(headers(1, padding=padding, priority=priority))
        assert dialogue.handler.request.path == "/"


def test_6_2_padding_longer_than_the_frame() -> None:
    whole = block(GET)
    for padding, extra in ((len(whole) + 1, b""), (255, b""), (len(whole) + 1, dependency())):
        flags = END_HEADERS | PADDED | (WITH_PRIORITY if extra else 0)
        sent = frame(HEADERS, flags, 1, bytes([padding]) + extra + whole)
        assert connection_error(sent) == PROTOCOL_ERROR


def test_6_2_padding_may_leave_an_empty_fragment() -> None:
    whole = block(GET)
    dialogue = Dialogue().receive(
        frame(HEADERS, END_STREAM | PADDED, 1, b"\x04" + bytes(4)), continuation(1, whole)
    )
    assert len(dialogue.handlers) == 1


# §6.3: PRIORITY


def test_6_3_priority_on_stream_0() -> None:
    assert connection_error(frame(PRIORITY, 0, 0, dependency(1))) == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [0, 4, 6])
def test_6_3_priority_of_another_size_ends_its_stream(size: int) -> None:
    assert stream_error(post(1), frame(PRIORITY, 0, 1, bytes(size))) == FRAME_SIZE_ERROR


# §6.4: RST_STREAM


def test_6_4_reset_ends_the_exchange() -> None:
    dialogue = Dialogue().receive(post(1), reset(1))
    assert dialogue.handler.names == ["start", "reset"]
    assert dialogue.frames == []


def test_6_4_reset_on_stream_0() -> None:
    assert connection_error(reset(0)) == PROTOCOL_ERROR


def test_6_4_reset_on_an_idle_stream() -> None:
    assert connection_error(reset(1)) == PROTOCOL_ERROR
    assert connection_error(headers(1), reset(3)) == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [0, 3, 5])
def test_6_4_reset_of_another_size(size: int) -> None:
    assert connection_error(post(1), frame(RST_STREAM, 0, 1, bytes(size))) == FRAME_SIZE_ERROR


# §6.5: SETTINGS


def test_6_5_an_acknowledgement_is_empty() -> None:
    assert connection_error(frame(SETTINGS, 1, 0, bytes(6))) == FRAME_SIZE_ERROR
    assert connection_error(frame(SETTINGS, 1, 0, bytes(1))) == FRAME_SIZE_ERROR


@pytest.mark.parametrize("flags", [0, 1])
def test_6_5_settings_on_a_stream(flags: int) -> None:
    assert connection_error(frame(SETTINGS, flags, 1)) == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [1, 3, 5, 7, 11])
def test_6_5_a_multiple_of_six_octets(size: int) -> None:
    assert connection_error(frame(SETTINGS, 0, 0, bytes(size))) == FRAME_SIZE_ERROR


@pytest.mark.parametrize("key", [ENABLE_PUSH, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES])
def test_6_5_2_booleans(key: int) -> None:
    """§6.5.2, RFC 8441 §3, RFC 9218 §2.1.1."""
    for value in (2, 0xFFFFFFFF):
        assert connection_error(settings((key, value))) == PROTOCOL_ERROR
        assert connection_error(settings((key, 0), (key, value))) == PROTOCOL_ERROR
    assert Dialogue().receive(settings((key, 0))).alive


def test_6_5_2_initial_window_size() -> None:
    for value in (1 << 31, 0xFFFFFFFF):
        assert connection_error(settings((INITIAL_WINDOW_SIZE, value))) == FLOW_CONTROL_ERROR
    for value in (0, 1, MAX_WINDOW):
        assert Dialogue().receive(settings((INITIAL_WINDOW_SIZE, value))).alive


def test_6_5_2_max_frame_size() -> None:
    for value in (0, 16383, 1 << 24, 0xFFFFFFFF):
        assert connection_error(settings((MAX_FRAME_SIZE, value))) == PROTOCOL_ERROR
    for value in (16384, (1 << 24) - 1):
        assert Dialogue().receive(settings((MAX_FRAME_SIZE, value))).alive


def test_6_5_2_any_other_value_is_taken() -> None:
    for key in (1, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE):
        for value in (0, 1, 0xFFFFFFFF):
            dialogue = Dialogue(answer_at_once).receive(settings((key, value)), headers(1))
            assert dialogue.answers[1].content == b"ok"


def test_6_5_3_settings_are_acknowledged_at_once_each() -> None:
    dialogue = Dialogue()
    for count in range(1, 5):
        dialogue.receive(settings((INITIAL_WINDOW_SIZE, 1000 * count)), settings())
        acknowledged = [(each.flags, each.payload) for each in dialogue.of(SETTINGS)]
        assert acknowledged == [(1, b"")] * 2 * count
    dialogue.receive(SETTINGS_ACK)
    assert len(dialogue.of(SETTINGS)) == 8


def test_6_5_3_values_are_processed_in_order() -> None:
    dialogue = Dialogue().receive(settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), headers(1))
    dialogue.handler.answer(b"content")
    dialogue.collect()
    assert dialogue.answers[1].content == b"c"


def test_6_5_3_settings_that_are_not_acknowledged() -> None:
    dialogue = Dialogue(greet=False).receive(PREFACE + settings()).wait(60)
    assert [each.code for each in dialogue.of(GOAWAY)] == [SETTINGS_TIMEOUT]
    assert dialogue.wire.ended is not None
    acknowledged = Dialogue(greet=False).receive(PREFACE + settings(), SETTINGS_ACK).wait(30)
    assert acknowledged.alive


# §6.6, §8.4: PUSH_PROMISE


def test_6_6_a_client_cannot_push() -> None:
    for stream_id in (0, 1, 2):
        promise = frame(PUSH_PROMISE, END_HEADERS, stream_id, b"\0\0\0\x02" + block(GET))
        assert connection_error(post(1), promise) == PROTOCOL_ERROR


# §6.7: PING


@pytest.mark.parametrize("payload", [bytes(8), b"\xff" * 8, b"h2spec\0\0"])
def test_6_7_ping_is_answered_with_its_payload(payload: bytes) -> None:
    (answer,) = Dialogue().receive(ping(payload)).frames
    assert (answer.kind, answer.flags, answer.stream_id, answer.payload) == (PING, 1, 0, payload)


def test_6_7_the_answer_to_ping_is_not_answered() -> None:
    dialogue = Dialogue().receive(ping(b"unwanted", ack=True))
    assert dialogue.frames == []
    assert dialogue.alive


def test_6_7_ping_on_a_stream() -> None:
    for stream_id in (1, 2):
        assert connection_error(post(1), frame(PING, 0, stream_id, bytes(8))) == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [0, 6, 7, 9])
@pytest.mark.parametrize("flags", [0, 1])
def test_6_7_ping_of_another_size(size: int, flags: int) -> None:
    assert connection_error(frame(PING, flags, 0, bytes(size))) == FRAME_SIZE_ERROR


def test_6_7_ping_goes_before_what_waits_for_windows() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.answer(bytes(1 << 20))
    dialogue.receive(ping())
    assert dialogue.frames[-1].kind == PING


# §6.8: GOAWAY


def test_6_8_goaway_on_a_stream() -> None:
    assert connection_error(frame(GOAWAY, 0, 1, bytes(8))) == PROTOCOL_ERROR


def test_6_8_a_clients_goaway_lets_what_is_open_end() -> None:
    dialogue = Dialogue().receive(headers(1), post(3), goaway(0, NO_ERROR, b"good bye"))
    dialogue.handlers[0].answer()
    dialogue.receive(data(3, b"content", end=True))
    dialogue.handlers[1].answer()
    dialogue.collect()
    assert [answer.content for answer in dialogue.answers.values()] == [b"ok", b"ok"]
    dialogue.wait(5)
    assert dialogue.wire.ended is not None


def test_6_8_shutting_down_takes_two_steps() -> None:
    """The first GOAWAY refuses nothing that is on its way; the second names the last stream; §8.7."""
    dialogue = Dialogue().receive(headers(1))
    dialogue.connection.shutdown(dialogue.now)
    dialogue.collect()
    (first,) = dialogue.of(GOAWAY)
    assert (first.number, first.code) == (MAX_WINDOW, NO_ERROR)
    dialogue.receive(headers(3))  # was on its way
    assert len(dialogue.handlers) == 2
    for each in dialogue.of(PING):
        if not each.flags:
            dialogue.receive(ping(each.payload, ack=True))
    dialogue.wait(2)
    second = dialogue.of(GOAWAY)[-1]
    assert (second.number, second.code) == (3, NO_ERROR)
    assert dialogue.wire.ended is None
    dialogue.receive(headers(5))  # §6.8: ignored, or refused
    assert len(dialogue.handlers) == 2
    for handler in dialogue.handlers:
        handler.answer()
    dialogue.collect()
    assert [dialogue.answers[stream_id].content for stream_id in (1, 3)] == [b"ok", b"ok"]
    dialogue.wait(1)
    assert dialogue.wire.ended is not None
    last_ids = [each.number for each in dialogue.of(GOAWAY)]
    assert last_ids == sorted(last_ids, reverse=True)  # §6.8: never increased


def test_6_8_header_blocks_behind_goaway_still_enter_the_table() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.connection.shutdown(dialogue.now)
    dialogue.wait(2)
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x80" + block(GET)))
    assert dialogue.of(GOAWAY)[-1].code == 9


# §6.9: WINDOW_UPDATE


def test_6_9_an_increment_of_0() -> None:
    assert connection_error(window(0, 0)) == PROTOCOL_ERROR
    assert stream_error(post(1), window(1, 0)) == PROTOCOL_ERROR
    assert stream_error(headers(1), window(1, 0)) == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [0, 3, 5])
@pytest.mark.parametrize("stream_id", [0, 1])
def test_6_9_window_update_of_another_size(size: int, stream_id: int) -> None:
    assert connection_error(post(1), frame(WINDOW_UPDATE, 0, stream_id, bytes(size))) == FRAME_SIZE_ERROR


def sending(*sizes: int, client: tuple[tuple[int, int], ...] = ()) -> Dialogue:
    """A stream per size, whose application has sent that many octets."""
    dialogue = Dialogue(client=client)
    for number, size in enumerate(sizes):
        dialogue.receive(headers(2 * number + 1))
        dialogue.handler.answer(bytes(size))
        dialogue.collect()
    return dialogue


def sent(dialogue: Dialogue, stream_id: int = 1) -> int:
    return len(dialogue.answers[stream_id].content)


def test_6_9_1_data_keeps_to_both_windows() -> None:
    dialogue = sending(100_000, 100_000)
    assert (sent(dialogue, 1), sent(dialogue, 3)) == (65535, 0)
    dialogue.receive(window(1, 10))  # the connection's is used up
    assert (sent(dialogue, 1), sent(dialogue, 3)) == (65535, 0)
    dialogue.receive(window(0, 5))
    assert sent(dialogue, 1) + sent(dialogue, 3) == 65540
    dialogue.receive(window(0, 100_000))
    assert (sent(dialogue, 1), sent(dialogue, 3)) == (65545, 65535)
    dialogue.receive(window(1, 100_000), window(3, 100_000))
    assert sent(dialogue, 1) + sent(dialogue, 3) == 165_540
    dialogue.receive(window(0, 100_000))
    assert (sent(dialogue, 1), sent(dialogue, 3)) == (100_000, 100_000)
    assert all(answer.ended for answer in dialogue.answers.values())


@pytest.mark.parametrize("size", [1, 2, 16])
def test_6_9_1_a_window_of_few_octets(size: int) -> None:
    dialogue = sending(50, client=((INITIAL_WINDOW_SIZE, size),))
    for received in range(size, 50, size):
        assert sent(dialogue) == received
        assert not dialogue.answers[1].ended
        dialogue.receive(window(1, size))
    assert sent(dialogue) == 50
    assert dialogue.answers[1].ended


def test_6_9_1_an_empty_frame_that_ends_needs_no_window() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 2),)).receive(headers(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(b"ok")
    dialogue.collect()
    assert not dialogue.answers[1].ended
    dialogue.handler.send(b"", True)
    dialogue.collect()
    assert dialogue.answers[1].ended
    assert dialogue.answers[1].content == b"ok"


def test_6_9_1_a_connection_window_beyond_its_maximum() -> None:
    assert connection_error(window(0, MAX_WINDOW)) == FLOW_CONTROL_ERROR
    assert connection_error(window(0, MAX_WINDOW - 65535), window(0, 1)) == FLOW_CONTROL_ERROR
    assert Dialogue().receive(window(0, MAX_WINDOW - 65535)).alive


def test_6_9_1_a_streams_window_beyond_its_maximum() -> None:
    for opened in (headers(1), post(1)):
        assert stream_error(opened, window(1, MAX_WINDOW)) == FLOW_CONTROL_ERROR
        assert stream_error(opened, window(1, MAX_WINDOW - 65535), window(1, 1)) == FLOW_CONTROL_ERROR
        assert Dialogue().receive(opened, window(1, MAX_WINDOW - 65535)).alive


def test_6_9_2_settings_change_the_windows_of_open_streams() -> None:
    dialogue = sending(100_000, client=((INITIAL_WINDOW_SIZE, 0),))
    assert sent(dialogue) == 0
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 1)))
    assert sent(dialogue) == 1
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 1)))
    assert sent(dialogue) == 1
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 1000)))
    assert sent(dialogue) == 1000


def test_6_9_2_a_window_may_become_negative() -> None:
    dialogue = sending(100, client=((INITIAL_WINDOW_SIZE, 3),))
    assert sent(dialogue) == 3
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 2)))  # -1
    dialogue.receive(window(1, 1))  # 0
    assert sent(dialogue) == 3
    dialogue.receive(window(1, 1))
    assert sent(dialogue) == 4
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 0)))  # -2
    dialogue.receive(window(1, 50))
    assert sent(dialogue) == 52
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 65535)))
    assert dialogue.answers[1].ended


def test_6_9_2_settings_do_not_change_the_connections_window() -> None:
    dialogue = sending(200_000, client=((INITIAL_WINDOW_SIZE, 1 << 20),))
    assert sent(dialogue) == 65535
    dialogue.receive(settings((INITIAL_WINDOW_SIZE, 1 << 24)))
    assert sent(dialogue) == 65535


def test_6_9_2_settings_that_take_a_window_beyond_its_maximum() -> None:
    opened = headers(1) + window(1, MAX_WINDOW - 65535)
    assert connection_error(opened, settings((INITIAL_WINDOW_SIZE, 65536))) == FLOW_CONTROL_ERROR


def test_6_9_2_a_new_stream_has_the_last_initial_window() -> None:
    dialogue = Dialogue().receive(settings((INITIAL_WINDOW_SIZE, 7)), headers(1))
    dialogue.handler.answer(b"0123456789")
    dialogue.collect()
    assert dialogue.answers[1].content == b"0123456"


class Idle(RecordingHandler):
    """An application that takes no content."""

    def data_received(self, received: bytes) -> None:
        super().data_received(received)
        self.stream.pause_reading()


def test_6_9_1_a_client_that_sends_more_than_the_window() -> None:
    """Of its stream, or of the connection: FLOW_CONTROL_ERROR, one way or the other."""
    dialogue = Dialogue(handler_class=Idle, window=65535).receive(post(1))
    for _ in range(2000):
        if dialogue.resets or dialogue.wire.ended:
            break
        dialogue.receive(data(1, bytes(16384)))
    codes = [each.code for each in dialogue.frames if each.kind in (RST_STREAM, GOAWAY)]
    assert codes == [FLOW_CONTROL_ERROR]
    assert len(dialogue.handler.content) <= 65535 + 16384


def test_6_9_1_paused_streams_do_not_stop_their_neighbours() -> None:
    dialogue = Dialogue(handler_class=Idle, window=65535).receive(*(post(2 * n + 1) for n in range(10)))
    for n in range(10):
        dialogue.receive(*[data(2 * n + 1, bytes(16383))] * 4)
    assert dialogue.wire.ended is None
    dialogue.handler_class = RecordingHandler
    dialogue.receive(post(101))
    for _ in range(200):
        dialogue.receive(data(101, bytes(16384)))
    assert dialogue.resets == {}
    assert dialogue.wire.ended is None
    assert len(dialogue.handler.content) == 200 * 16384


def test_6_9_windows_are_given_back_once_the_content_is_taken() -> None:
    dialogue = Dialogue(handler_class=Idle, window=65535).receive(post(1), *[data(1, bytes(16383))] * 4)
    given = [each.number for each in dialogue.of(WINDOW_UPDATE) if each.stream_id == 1]
    assert sum(given) <= 16383
    dialogue.handler.stream.resume_reading()
    dialogue.receive(ping())
    given = [each.number for each in dialogue.of(WINDOW_UPDATE) if each.stream_id == 1]
    assert sum(given) >= 3 * 16383


# §6.10: CONTINUATION


def test_6_10_several_continuations() -> None:
    dialogue = Dialogue().receive(
        headers(1, end_headers=False),
        continuation(1, block([(b"a", b"b")]), end=False),
        continuation(1, block([(b"c", b"d")]), end=False),
        continuation(1, b""),
    )
    assert dialogue.handler.request.headers[1:] == [(b"a", b"b"), (b"c", b"d")]


def test_6_10_continuation_on_stream_0() -> None:
    assert connection_error(headers(1, end_headers=False), continuation(0, b"")) == PROTOCOL_ERROR
    assert connection_error(continuation(0, b"")) == PROTOCOL_ERROR


def test_6_10_continuation_on_another_stream() -> None:
    assert connection_error(headers(1, end_headers=False), continuation(3, b"")) == PROTOCOL_ERROR


@pytest.mark.parametrize(
    "before",
    [
        headers(1),
        headers(1, end_headers=False) + continuation(1, b""),
        post(1) + data(1, b"x"),
        post(1) + data(1, b"x", end=True),
        b"",
    ],
    ids=["HEADERS", "CONTINUATION", "DATA", "END_STREAM", "nothing"],
)
def test_6_10_continuation_of_nothing(before: bytes) -> None:
    assert connection_error(before, continuation(1, block(GET))) in (PROTOCOL_ERROR, STREAM_CLOSED)


def test_6_10_end_stream_is_that_of_headers() -> None:
    """CONTINUATION has no END_STREAM: the flag's bit means nothing there."""
    dialogue = Dialogue().receive(
        headers(1, end=False, end_headers=False),
        frame(9, END_STREAM | END_HEADERS, 1, b""),
        data(1, b"x", end=True),
    )
    assert dialogue.handler.names == ["start", "data", "end"]


# RFC 9218 §7.1: PRIORITY_UPDATE


def test_priority_update_errors() -> None:
    assert connection_error(frame(0x10, 0, 1, b"\0\0\0\1u=1")) == PROTOCOL_ERROR
    assert connection_error(frame(0x10, 0, 0, b"\0\0\0\0u=1")) == PROTOCOL_ERROR
    assert connection_error(frame(0x10, 0, 0, b"\0\0\0")) == FRAME_SIZE_ERROR
