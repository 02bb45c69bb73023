"""What a connection does in time, and at its end."""

from typing import Any

import pytest

from tests.support.http1 import ABORTED, CLOSED, LINGERING, answer_at_once
from tests.support.http2 import (
    CANCEL,
    CONNECT,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    NEVER,
    NO_ERROR,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    SETTINGS_TIMEOUT,
    Dialogue,
    codes,
    continuation,
    data,
    goaway,
    headers,
    ping,
    post,
    reset,
    settings,
    window,
)
from tidegate.http.errors import ProtocolError, RequestError
from tidegate.http2 import state

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
