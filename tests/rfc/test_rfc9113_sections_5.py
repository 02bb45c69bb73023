"""Streams and multiplexing: RFC 9113 §5, as it binds a server."""

import pytest

from tests.support.http1 import answer_at_once
from tests.support.http2 import (
    CONTINUATION,
    DATA,
    FRAME_SIZE_ERROR,
    GET,
    GOAWAY,
    INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    TRAILERS,
    WINDOW_UPDATE,
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


def cut(dialogue: Dialogue) -> None:
    """The application fails: the latest stream is reset."""
    dialogue.handler.stream.reset()
    dialogue.handler.stream.flush()
    dialogue.collect()


# §5.1: idle


@pytest.mark.parametrize("stream_id", [1, 3, 0x7FFFFFFF])
@pytest.mark.parametrize("kind", [DATA, RST_STREAM, WINDOW_UPDATE, CONTINUATION])
def test_5_1_idle_takes_headers_and_priority_alone(kind: int, stream_id: int) -> None:
    sent = {
        DATA: data(stream_id, b"test", end=True),
        RST_STREAM: reset(stream_id),
        WINDOW_UPDATE: window(stream_id, 100),
        CONTINUATION: continuation(stream_id, block(GET)),
    }
    assert connection_error(sent[kind]) == PROTOCOL_ERROR
    if stream_id > 1:
        assert connection_error(headers(1), sent[kind]) == PROTOCOL_ERROR


def test_5_1_priority_is_taken_in_every_state() -> None:
    priority = frame(PRIORITY, 0, 1, dependency(3))
    dialogue = Dialogue().receive(priority)  # idle
    dialogue.receive(post(1), priority)  # open
    dialogue.receive(data(1, end=True), priority)  # half-closed (remote)
    dialogue.handler.answer()
    dialogue.receive(priority)  # closed
    dialogue.receive(post(3))
    dialogue.handler.answer()
    dialogue.collect()
    dialogue.receive(frame(PRIORITY, 0, 3, dependency(1)))
    assert dialogue.alive
    assert dialogue.handlers[0].names == ["start", "end"]


# §5.1: half-closed (remote)


@pytest.mark.parametrize("sent", [data(1, b"test", end=True), data(1), headers(1), headers(1, TRAILERS)])
def test_5_1_half_closed_remote_takes_no_more_of_the_request(sent: bytes) -> None:
    assert stream_error(headers(1), sent) == STREAM_CLOSED
    assert stream_error(post(1), data(1, b"all", end=True), sent) == STREAM_CLOSED
    assert stream_error(post(1), headers(1, TRAILERS), sent) == STREAM_CLOSED


def test_5_1_half_closed_remote_takes_window_update_priority_and_reset() -> None:
    dialogue = Dialogue().receive(headers(1), window(1, 100), frame(PRIORITY, 0, 1, dependency()))
    assert dialogue.handler.names == ["start"]
    assert dialogue.alive
    dialogue.receive(reset(1))
    assert dialogue.handler.names == ["start", "reset"]
    assert dialogue.alive


def test_5_1_half_closed_remote_continuation() -> None:
    assert connection_error(headers(1), continuation(1, block(GET))) in (STREAM_CLOSED, PROTOCOL_ERROR)


# §5.1: half-closed (local), which a server reaches by answering before the request is complete


def test_5_1_an_early_answer_ends_with_reset_no_error() -> None:
    dialogue = Dialogue(answer_at_once).receive(post(1)).wait(1)
    answer = dialogue.answers[1]
    assert (answer.content, answer.ended, answer.reset) == (b"ok", True, NO_ERROR)  # §8.1
    # what was on its way is discarded
    dialogue.receive(data(1, b"late"), data(1, b"later", end=True), window(1, 1))
    assert dialogue.alive
    assert len(dialogue.of(RST_STREAM)) == 1


# §5.1: closed


@pytest.mark.parametrize("sent", [data(1, b"test"), headers(1), headers(1, TRAILERS)])
def test_5_1_closed_after_both_ends(sent: bytes) -> None:
    assert connection_error(headers(1), sent, script=answer_at_once) == STREAM_CLOSED


def test_5_1_closed_takes_window_update_priority_and_reset_for_a_while() -> None:
    dialogue = Dialogue(answer_at_once).receive(headers(1))
    dialogue.receive(window(1, 1), reset(1), frame(PRIORITY, 0, 1, dependency()))
    assert dialogue.alive
    assert dialogue.of(RST_STREAM) == []


@pytest.mark.parametrize("sent", [data(1, b"test", end=True), headers(1, TRAILERS)])
def test_5_1_closed_by_their_reset(sent: bytes) -> None:
    """STREAM_CLOSED, of the stream or of the connection."""
    dialogue = Dialogue().receive(post(1), reset(1), sent)
    codes = [each.code for each in dialogue.frames if each.kind in (RST_STREAM, GOAWAY)]
    assert codes == [STREAM_CLOSED]


def test_5_1_closed_by_their_reset_continuation() -> None:
    dialogue = Dialogue().receive(post(1), reset(1), continuation(1, block(TRAILERS)))
    codes = [each.code for each in dialogue.frames if each.kind in (RST_STREAM, GOAWAY)]
    assert codes in ([STREAM_CLOSED], [PROTOCOL_ERROR])


def test_5_1_closed_by_our_reset_ignores_what_was_on_its_way() -> None:
    dialogue = Dialogue().receive(post(1))
    cut(dialogue)
    dialogue.receive(
        data(1, b"late"),
        window(1, 1),
        frame(PRIORITY, 0, 1, dependency()),
        headers(1, TRAILERS),
    )
    assert dialogue.alive
    assert len(dialogue.of(RST_STREAM)) == 1
    assert dialogue.handler.names == ["start"]
    dialogue.receive(reset(1))
    assert dialogue.alive


def test_5_1_data_that_is_ignored_counts_for_the_connections_window() -> None:
    """And is given back, or clients that are refused for long enough would stop sending."""
    dialogue = Dialogue()
    sent = 0
    for stream_id in range(1, 801, 2):
        dialogue.receive(post(stream_id))
        cut(dialogue)
        dialogue.receive(data(stream_id, bytes(16384)))
        sent += 16384
    given = sum(each.number for each in dialogue.of(WINDOW_UPDATE) if each.stream_id == 0)
    assert dialogue.wire.ended is None
    assert sent - given < 4 << 20 < sent


def test_5_1_nothing_is_sent_on_a_stream_that_the_client_has_reset() -> None:
    dialogue = Dialogue().receive(headers(1), reset(1))
    seen = len(dialogue.frames)
    dialogue.handler.answer(b"late")
    cut(dialogue)
    dialogue.wait(10)
    assert dialogue.frames[seen:] == []


def test_5_1_nothing_is_sent_on_a_stream_that_we_have_reset() -> None:
    dialogue = Dialogue().receive(headers(1))
    cut(dialogue)
    dialogue.handler.answer(b"late")
    dialogue.collect()
    assert [each.kind for each in dialogue.frames] == [RST_STREAM]


# §5.1.1: stream identifiers


@pytest.mark.parametrize("stream_id", [2, 100])
def test_5_1_1_clients_streams_have_odd_identifiers(stream_id: int) -> None:
    assert connection_error(headers(stream_id)) == PROTOCOL_ERROR


@pytest.mark.parametrize("sent", [data(2, b"x"), reset(2), window(2, 1)])
def test_5_1_1_even_streams_are_idle(sent: bytes) -> None:
    assert connection_error(sent) == PROTOCOL_ERROR


def test_5_1_1_identifiers_increase() -> None:
    assert connection_error(headers(5), headers(3)) == PROTOCOL_ERROR
    # not even where the lower one was kept busy
    assert connection_error(headers(1), headers(5), headers(3)) == PROTOCOL_ERROR


@pytest.mark.parametrize("sent", [data(3, b"x"), window(3, 1), reset(3)])
def test_5_1_1_a_new_stream_closes_the_idle_ones_below(sent: bytes) -> None:
    dialogue = Dialogue().receive(headers(5), sent)
    codes = [each.code for each in dialogue.frames if each.kind in (RST_STREAM, GOAWAY)]
    # Of a closed stream, WINDOW_UPDATE and RST_STREAM may come; DATA is an error.
    assert codes in ([STREAM_CLOSED], [PROTOCOL_ERROR], [] if sent[3] != DATA else None)


def test_5_1_1_the_last_identifier() -> None:
    """A client that has used it opens no more; what is open ends well."""
    dialogue = Dialogue(answer_at_once).receive(headers(0x7FFFFFFF))
    assert dialogue.answers[0x7FFFFFFF].content == b"ok"
    assert dialogue.alive
    dialogue.receive(headers(1))
    assert dialogue.wire.ended is not None


# §5.1.2: stream concurrency


def test_5_1_2_streams_beyond_the_limit_are_refused() -> None:
    dialogue = Dialogue(max_streams=2).receive(headers(1), headers(3), headers(5))
    assert dialogue.resets == {5: REFUSED_STREAM}
    assert len(dialogue.handlers) == 2
    dialogue.handlers[0].answer()
    dialogue.receive(headers(7))
    assert dialogue.resets == {5: REFUSED_STREAM}
    assert len(dialogue.handlers) == 3
    assert dialogue.alive


def test_5_1_2_the_limit_is_announced() -> None:
    dialogue = Dialogue(greet=False, max_streams=7).receive(PREFACE + settings())
    assert MAX_CONCURRENT_STREAMS.to_bytes(2, "big") + (7).to_bytes(4, "big") in dialogue.frames[0].payload


def test_5_1_2_half_closed_streams_count() -> None:
    dialogue = Dialogue(max_streams=2).receive(headers(1), post(3), post(5))
    assert dialogue.resets == {5: REFUSED_STREAM}


# §5.2: flow control; the frames are §6.9's


def test_5_2_1_flow_control_is_for_data_alone() -> None:
    dialogue = Dialogue(client=((4, 0),))
    dialogue.receive(headers(1))
    handler = dialogue.handler
    handler.stream.send_informational(103, [(b"link", b"</a>")])
    handler.send_head(200, (b"x", b"v" * 40000))
    handler.stream.send_trailers([(b"x-trailer", b"t" * 40000)])
    handler.stream.flush()
    dialogue.receive(ping())
    answer = dialogue.answers[1]
    assert len(answer.interim) == 1
    assert answer.status == 200
    assert answer.trailers == ((b"x-trailer", b"t" * 40000),)
    assert answer.ended


# §5.3: RFC 7540's priorities are deprecated; what RFC 7540 §5.3.1 calls an error still is


def test_5_3_1_a_stream_cannot_depend_on_itself() -> None:
    assert stream_error(headers(1, priority=dependency(1))) == PROTOCOL_ERROR
    dialogue = Dialogue().receive(post(1), frame(PRIORITY, 0, 1, dependency(1)))
    assert dialogue.resets == {1: PROTOCOL_ERROR}


def test_5_3_other_dependencies_are_ignored() -> None:
    dialogue = Dialogue(answer_at_once).receive(
        headers(1, priority=dependency(0x7FFFFFFF, 255, True)), headers(3, priority=dependency(1), padding=7)
    )
    assert [answer.content for answer in dialogue.answers.values()] == [b"ok", b"ok"]


# §5.4.1: connection errors


def test_5_4_1_goaway_names_the_last_stream_that_was_taken() -> None:
    dialogue = Dialogue().receive(headers(1), headers(3), frame(PING, 0, 0, b"short"))
    (last,) = dialogue.of(GOAWAY)
    assert (last.number, last.code) == (3, FRAME_SIZE_ERROR)
    assert dialogue.frames[-1] is last
    assert dialogue.wire.ended is not None
    assert [handler.names[-1] for handler in dialogue.handlers] == ["reset", "reset"]


def test_5_4_1_nothing_behind_the_error_is_taken() -> None:
    dialogue = Dialogue().receive(frame(PING, 0, 0, b"short") + headers(1))
    assert dialogue.handlers == []
    assert dialogue.of(GOAWAY)[0].number == 0


# §5.4.2: stream errors


def test_5_4_2_reset_is_not_answered_with_reset() -> None:
    dialogue = Dialogue().receive(post(1), reset(1), reset(1), reset(1, 0xFFFF))
    assert dialogue.of(RST_STREAM) == []
    assert dialogue.handler.names == ["start", "reset"]
    assert dialogue.alive


def test_5_4_2_reset_while_the_answer_is_on_its_way() -> None:
    dialogue = Dialogue().receive(headers(1), headers(3))
    for handler in dialogue.handlers:
        handler.send_head(200)
        handler.send(bytes(200_000), True)
    dialogue.collect()
    dialogue.receive(reset(1))
    seen = len(dialogue.frames)
    dialogue.receive(window(0, 1 << 20), window(3, 1 << 20))
    assert {each.stream_id for each in dialogue.frames[seen:]} == {3}
    assert dialogue.answers[3].content == bytes(200_000)
    assert dialogue.answers[1].reset is None


# §5.5: extending HTTP/2


def test_5_5_unknown_settings_are_ignored() -> None:
    dialogue = Dialogue().receive(settings((0x0, 1), (0x7, 2), (0xFF00, 0xFFFFFFFF), (0xA, 1)))
    assert [(each.kind, each.flags) for each in dialogue.frames] == [(SETTINGS, 1)]
    assert dialogue.alive


def test_5_5_unknown_frames_are_discarded_anywhere_but_in_a_block() -> None:
    unknown = frame(0x16, 0xFF, 0, b"test") + frame(0x16, 0, 1, b"")
    dialogue = Dialogue().receive(
        unknown, post(1), unknown, data(1, b"x"), unknown, headers(1, TRAILERS), unknown
    )
    assert dialogue.handler.names == ["start", "data", "end"]
    assert connection_error(headers(1, end_headers=False), unknown) == PROTOCOL_ERROR


@pytest.mark.parametrize("code", [0xE, 0xFF, 0xFFFFFFFF])
def test_5_5_and_7_unknown_error_codes_are_like_any_other(code: int) -> None:
    dialogue = Dialogue().receive(headers(1), headers(3), reset(1, code))
    assert [handler.names for handler in dialogue.handlers] == [["start", "reset"], ["start"]]
    assert dialogue.alive
    dialogue.receive(goaway(0, code))
    dialogue.handlers[1].answer()
    dialogue.collect()
    assert dialogue.answers[3].content == b"ok"


def test_7_an_answer_that_stays_incomplete_is_our_fault() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.send_head(200)
    dialogue.handler.send(b"half")
    cut(dialogue)
    assert dialogue.answers[1].content == b"half"
    assert dialogue.resets == {1: INTERNAL_ERROR}
