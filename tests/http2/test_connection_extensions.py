"""Tunnels (RFC 8441), push (RFC 9113 §8.4) and priorities (RFC 9218) on a connection."""

import pytest

from tests.support.http1 import RecordingHandler
from tests.support.http2 import (
    CANCEL,
    CONNECT,
    DATA,
    GET,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    NEVER,
    NO_ERROR,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    SETTINGS_ACK,
    Dialogue,
    codes,
    data,
    dependency,
    frame,
    goaway,
    headers,
    priority_update,
    reset,
    settings,
    urgencies,
    window,
)
from tidegate.http.errors import RequestError

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
