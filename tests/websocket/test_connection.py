"""The state machine, the close handshake (RFC 6455 §7), pings (§5.5.2), backpressure and time."""

from collections.abc import Callable
from math import inf

import pytest

from tests.websocket.support import Server, agreed, close_frame, frame
from tidegate.websocket import state
from tidegate.websocket.deflate import Inflater
from tidegate.websocket.sender import MessageSender

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAX_PONGS = 32  # that a read is answered with, and the last one


# --- every state x every input


def opened() -> Server:
    return Server()


def closing() -> Server:
    server = Server()
    server.connection.send_close(1000, "", 0.0)
    assert server.take() == b"\x88\x02\x03\xe8"
    return server


def ending() -> Server:
    server = Server()
    server.receive(close_frame(4001, "away"))
    server.events.clear()
    return server


def failed() -> Server:
    server = Server()
    server.receive(frame(TEXT, b"\xff"))
    server.events.clear()
    return server


def closed() -> Server:
    server = ending()
    server.connection.finish()
    server.take()
    return server


STATES: dict[str, Callable[[], Server]] = {
    "OPEN": opened,
    "CLOSING": closing,
    "ENDING": ending,
    "ENDING (failed)": failed,
    "CLOSED": closed,
}

INPUTS: dict[str, Callable[[Server], object]] = {
    "text": lambda server: server.receive(frame(TEXT, b"x"), 1.0),
    "ping": lambda server: server.receive(frame(PING, b"x"), 1.0),
    "pong": lambda server: server.receive(frame(PONG, b"x"), 1.0),
    "close": lambda server: server.receive(close_frame(4000, "bye"), 1.0),
    "close without code": lambda server: server.receive(frame(CLOSE), 1.0),
    "error": lambda server: server.receive(frame(TEXT, b"x", rsv=0x10), 1.0),
    "eof": lambda server: server.connection.receive_eof(),
    "reset": lambda server: server.connection.receive_reset(),
    "send_text": lambda server: server.connection.send_text("é"),
    "send_binary": lambda server: server.connection.send_binary(b"b"),
    "send_close": lambda server: server.connection.send_close(1001, "", 1.0),
    "finish": lambda server: server.connection.finish(),
    "expired": lambda server: [server.connection.handle_timeout(1000.0 * i) for i in (1, 2)],
}

NOTHING = ([], b"", "")
LOST = [("close", 1006, "")]
# State, input -> events, what is sent, and how the stream ends.
EXPECTED: dict[tuple[str, str], tuple[list[tuple[object, ...]], bytes, str]] = {
    ("OPEN", "text"): ([("message", "x")], b"", ""),
    ("OPEN", "ping"): ([], b"\x8a\x01x", ""),
    ("OPEN", "pong"): NOTHING,
    ("OPEN", "close"): ([("close", 4000, "bye")], b"", ""),
    ("OPEN", "close without code"): ([("close", 1005, "")], b"", ""),
    ("OPEN", "error"): ([("close", 1002, "reserved bits set")], b"", ""),
    ("OPEN", "eof"): (LOST, b"", "ended"),
    ("OPEN", "reset"): (LOST, b"", "ended"),
    ("OPEN", "send_text"): ([], b"\x81\x02\xc3\xa9", ""),
    ("OPEN", "send_binary"): ([], b"\x82\x01b", ""),
    ("OPEN", "send_close"): ([], b"\x88\x02\x03\xe9", ""),
    ("OPEN", "finish"): NOTHING,
    ("OPEN", "expired"): (LOST, b"\x89\x00", "reset"),
    ("CLOSING", "text"): NOTHING,
    ("CLOSING", "ping"): ([], b"\x8a\x01x", ""),
    ("CLOSING", "pong"): NOTHING,
    ("CLOSING", "close"): ([("close", 4000, "bye")], b"", "ended"),
    ("CLOSING", "close without code"): ([("close", 1005, "")], b"", "ended"),
    ("CLOSING", "error"): ([("close", 1002, "reserved bits set")], b"", "ended"),
    ("CLOSING", "eof"): (LOST, b"", "ended"),
    ("CLOSING", "reset"): (LOST, b"", "ended"),
    ("CLOSING", "send_text"): NOTHING,
    ("CLOSING", "send_binary"): NOTHING,
    ("CLOSING", "send_close"): NOTHING,
    ("CLOSING", "finish"): NOTHING,
    ("CLOSING", "expired"): (LOST, b"", "reset"),
    ("ENDING", "text"): NOTHING,
    ("ENDING", "ping"): NOTHING,
    ("ENDING", "pong"): NOTHING,
    ("ENDING", "close"): NOTHING,
    ("ENDING", "close without code"): NOTHING,
    ("ENDING", "error"): NOTHING,
    ("ENDING", "eof"): NOTHING,
    ("ENDING", "reset"): ([], b"", "ended"),
    ("ENDING", "send_text"): ([], b"\x81\x02\xc3\xa9", ""),
    ("ENDING", "send_binary"): ([], b"\x82\x01b", ""),
    ("ENDING", "send_close"): ([], b"\x88\x06\x0f\xa1away", "ended"),
    ("ENDING", "finish"): ([], b"\x88\x06\x0f\xa1away", "ended"),
    ("ENDING", "expired"): ([], b"\x88\x06\x0f\xa1away", "ended"),
    **{("CLOSED", name): NOTHING for name in INPUTS},
}
EXPECTED |= {
    ("ENDING (failed)", name): (
        events,
        sent and sent.replace(b"\x88\x06\x0f\xa1away", b"\x88\x13\x03\xeftext is not UTF-8"),
        end,
    )
    for (before, name), (events, sent, end) in EXPECTED.items()
    if before == "ENDING"
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("before", STATES)
def test_every_input_in_every_state(before: str, name: str) -> None:
    server = STATES[before]()
    ended = server.stream.ended
    INPUTS[name](server)
    end = "reset" if server.stream.was_reset else "ended" if server.stream.ended and not ended else ""
    assert (server.events, server.stream.sent, end) == EXPECTED[before, name]
    assert server.handler.closed == server.connection.closed == (end != "" or before == "CLOSED")


def test_the_table_is_whole_and_tells_once() -> None:
    assert len(state.TABLE) == len(state.STATES) * state.COLUMNS
    assert len(state.EVENTS) == state.COLUMNS
    for before in range(len(state.STATES)):
        for event in range(state.COLUMNS):
            entry = state.TABLE[before * state.COLUMNS + event]
            after = entry & state.STATE
            if entry & state.TELL:
                # Told on the way into a state from which nothing tells again.
                assert before < state.ENDING <= after
            if after == state.CLOSED and before != state.CLOSED:
                assert bool(entry & state.END) != bool(entry & state.RESET)


# --- closing


def test_a_close_takes_effect_behind_the_answers_to_what_came_before_it() -> None:
    server = Server()
    server.receive(frame(TEXT, b"question") + close_frame(1000) + frame(TEXT, b"never"))
    assert server.events == [("message", "question"), ("close", 1000, "")]
    server.connection.send_text("answer")
    server.connection.finish()
    assert server.take() == b"\x81\x06answer\x88\x02\x03\xe8"
    assert server.stream.ended


def test_an_error_takes_effect_behind_the_answers_to_what_came_before_it() -> None:
    # Autobahn 3.2
    server = Server()
    server.receive(frame(TEXT, b"question") + frame(TEXT, b"", rsv=0x20) + frame(PING))
    assert not server.connection.closing
    server.connection.send_text("answer")
    server.connection.finish()
    assert server.connection.closing
    assert server.take() == b"\x81\x06answer\x88\x13\x03\xeareserved bits set"


def test_a_close_without_a_code_is_answered_by_one_without() -> None:
    server = Server()
    server.receive(frame(CLOSE))
    server.connection.finish()
    assert server.take() == b"\x88\x00"


def test_an_application_that_never_finishes_is_not_waited_for() -> None:
    server = Server(close_timeout=10.0)
    server.receive(close_frame(1000), 5.0)
    assert server.connection.next_timeout() == 15.0
    server.connection.handle_timeout(14.0)
    assert not server.stream.ended
    server.connection.handle_timeout(15.0)
    assert (server.take(), server.stream.ended) == (b"\x88\x02\x03\xe8", True)
    assert server.connection.next_timeout() == inf


def test_a_peer_that_never_closes_is_not_waited_for() -> None:
    server = Server(close_timeout=10.0)
    server.connection.send_close(1000, "done", 5.0)
    server.receive(frame(TEXT, b"still here"), 14.0)
    assert server.connection.next_timeout() == 15.0
    server.connection.handle_timeout(15.0)
    assert server.stream.was_reset


def test_a_close_that_cannot_be_sent_changes_nothing() -> None:
    server = Server()
    for code, reason in ((1006, ""), (1000, "x" * 124)):
        with pytest.raises(ValueError, match="close"):
            server.connection.send_close(code, reason, 0.0)
    server.connection.send_text("x")
    assert server.take() == b"\x81\x01x"


# --- messages out


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 65537, 200000])
def test_sent_messages_of_any_length(size: int) -> None:
    server = Server()
    server.connection.send_binary(bytes(size))
    header = {True: b"\x82" + bytes((min(size, 126),)), False: b"\x82\x7f"}[size < 65536]
    length = b"" if size < 126 else size.to_bytes(2, "big") if size < 65536 else size.to_bytes(8, "big")
    assert server.take() == header + length + bytes(size)


def test_what_is_worth_it_is_compressed() -> None:
    sender = MessageSender(level=2, mem_level=5, min_text=10, min_binary=20)
    server = Server(deflate=agreed(), sender=sender)
    server.connection.send_text("a" * 9)
    server.connection.send_binary(b"b" * 19)
    assert server.take() == b"\x81\x09" + b"a" * 9 + b"\x82\x13" + b"b" * 19
    inflater = Inflater(12, True)
    for first, payload in ((0xC1, b"a" * 10), (0xC2, b"b" * 20)):
        if first == 0xC1:
            server.connection.send_text(payload.decode())
        else:
            server.connection.send_binary(payload)
        sent = server.take()
        assert sent[0] == first
        assert inflater.inflate(sent[2:], 100, True) == payload


def test_lone_surrogates_are_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        Server().connection.send_text("\ud800")


def test_messages_and_octets_are_counted() -> None:
    server = Server()
    server.receive(frame(TEXT, b"x") + frame(PING))
    server.connection.send_text("abc")
    connection = server.connection
    assert (connection.messages_received, connection.messages_sent) == (1, 1)
    assert (connection.octets_received, connection.octets_sent) == (7 + 6, 5 + 2)


# --- backpressure


def test_pings_to_a_peer_that_does_not_read_are_answered_once() -> None:
    # RFC 6455 §5.5.3
    server = Server()
    server.connection.pause_writing()
    server.receive(b"".join(frame(PING, b"%d" % i) for i in range(100)))
    assert server.take() == b""
    server.connection.resume_writing()
    assert server.take() == b"\x8a\x0299"
    server.connection.pause_writing()
    server.connection.resume_writing()
    assert server.take() == b""


def test_of_many_pings_at_once_the_first_are_answered_and_the_last() -> None:
    # RFC 6455 §5.5.3
    server = Server()
    for _ in range(2):
        server.receive(b"".join(frame(PING, b"%03d" % i) for i in range(1000)))
        numbers = [*range(MAX_PONGS), 999]
        assert server.take() == b"".join(b"\x8a\x03%03d" % i for i in numbers)
    server.receive(b"".join(frame(PING, b"%03d" % i) for i in range(MAX_PONGS + 1)) + close_frame(1000))
    assert server.take().count(b"\x8a") == MAX_PONGS


@pytest.mark.parametrize("closed", [False, True])
def test_pings_are_answered_until_the_peers_close(closed: bool) -> None:
    # RFC 6455 §5.5.2
    server = Server()
    server.connection.pause_writing()
    server.receive(frame(PING, b"x"))
    server.connection.send_close(1000, "", 0.0)
    if closed:
        server.receive(close_frame(1000))
    server.connection.resume_writing()
    assert server.take() == b"\x88\x02\x03\xe8" + (b"" if closed else b"\x8a\x01x")


def test_a_pause_holds_back_what_is_here_already() -> None:
    server = Server(pause_after=2)
    messages = [("message", str(i)) for i in range(6)]
    octets = b"".join(frame(TEXT, b"%d" % i) for i in range(6))
    server.receive(octets[:-3])
    assert server.events == messages[:2]
    assert not server.stream.reading
    server.receive(octets[-3:])
    assert server.events == messages[:2]
    server.handler.pause_after = 3
    server.connection.resume_reading(0.0)
    assert server.events == messages[:5]
    assert not server.stream.reading
    server.connection.resume_reading(0.0)
    assert server.events == messages
    assert server.stream.reading
    server.connection.resume_reading(0.0)
    assert server.receive(frame(TEXT, b"6")) == [("message", "6")]


def test_a_close_behind_a_pause_comes_behind_it() -> None:
    server = Server(pause_after=1)
    server.receive(frame(TEXT, b"1") + frame(TEXT, b"2") + close_frame(1000) + frame(TEXT, b"3"))
    assert len(server.events) == 1
    server.connection.resume_reading(0.0)
    assert server.events[1:] == [("message", "2"), ("close", 1000, "")]
    # What comes now is discarded, so it may come.
    assert server.stream.reading


def test_an_end_behind_a_pause_comes_behind_the_messages() -> None:
    messages = [("message", str(i)) for i in range(4)]
    server = Server(pause_after=1)
    server.receive(b"".join(frame(TEXT, b"%d" % i) for i in range(4)) + frame(TEXT, b"half")[:-1])
    server.connection.receive_eof()
    assert server.events == messages[:1]
    server.handler.pause_after = 1
    server.connection.resume_reading(0.0)
    assert server.events == messages[:2]
    server.connection.resume_reading(0.0)
    assert server.events == [*messages, ("close", 1006, "")]
    assert server.stream.ended


@pytest.mark.parametrize("end", ["reset", "close", "our close"])
def test_what_ends_a_connection_whose_end_waits(end: str) -> None:
    server = Server(pause_after=1)
    behind = close_frame(1000) if end == "close" else b""
    server.receive(frame(TEXT, b"0") + frame(TEXT, b"1") + behind)
    server.connection.receive_eof()
    assert server.events == [("message", "0")]
    if end == "reset":
        server.connection.receive_reset()
        expected: list[object] = [("close", 1006, "")]
    elif end == "our close":
        server.connection.send_close(1000, "", 0.0)
        assert server.take() == b"\x88\x02\x03\xe8"
        expected = [("close", 1006, "")]
    else:
        server.connection.resume_reading(0.0)
        server.connection.finish()
        expected = [("message", "1"), ("close", 1000, "")]
    assert server.events[1:] == expected
    assert server.connection.closed
    assert server.stream.ended


def test_closing_reads_on_for_the_peers_close() -> None:
    server = Server(pause_after=1)
    server.receive(frame(TEXT, b"1") + frame(TEXT, b"2"))
    server.connection.send_close(1000, "", 0.0)
    assert server.stream.reading
    server.connection.pause_reading()
    assert server.stream.reading
    server.receive(frame(TEXT, b"3") + close_frame(1000))
    assert server.events == [("message", "1"), ("close", 1000, "")]
    assert server.stream.ended


# --- time


def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    server = Server(ping_interval=20.0, ping_timeout=15.0)
    assert server.connection.next_timeout() == 20.0
    server.connection.handle_timeout(19.0)
    assert server.take() == b""
    server.connection.handle_timeout(20.0)
    assert server.take() == b"\x89\x00"
    assert server.connection.next_timeout() == 35.0
    server.connection.handle_timeout(35.0)
    assert server.events == [("close", 1006, "")]
    assert server.stream.was_reset


@pytest.mark.parametrize("octets", [frame(PONG), frame(TEXT, b"x"), frame(TEXT, b"x")[:1]])
def test_any_octet_shows_that_the_peer_lives(octets: bytes) -> None:
    server = Server(ping_interval=20.0, ping_timeout=20.0)
    server.connection.handle_timeout(20.0)
    server.receive(octets, 39.0)
    assert server.connection.next_timeout() == 59.0
    server.connection.handle_timeout(40.0)
    assert not server.stream.was_reset
    server.receive(octets, 58.0)
    assert server.connection.next_timeout() == 78.0


def test_the_clock_stands_while_we_do_not_read() -> None:
    server = Server(ping_interval=20.0, ping_timeout=20.0)
    server.connection.handle_timeout(20.0)
    server.take()
    server.connection.pause_reading()
    for now in (1000.0, 1020.0, 1040.0):
        server.connection.handle_timeout(now)
        # It may have gone: what is sent to it will tell.
        assert server.take() == b"\x89\x00"
        assert server.connection.next_timeout() == now + 20.0
    server.connection.pause_writing()
    server.connection.handle_timeout(1060.0)
    assert server.take() == b""
    assert server.connection.next_timeout() == 1080.0
    assert not server.stream.was_reset
    server.connection.resume_reading(1070.0)
    assert server.connection.next_timeout() == 1090.0


@pytest.mark.parametrize(("interval", "timeout"), [(0.0, 20.0), (20.0, 0.0)])
def test_no_pings_or_no_pongs_wanted(interval: float, timeout: float) -> None:
    server = Server(ping_interval=interval, ping_timeout=timeout)
    for now in (20.0, 40.0, 1000.0):
        server.connection.handle_timeout(now)
        assert server.take() == (b"\x89\x00" if interval else b"")
        assert server.connection.next_timeout() == (now + 20.0 if interval else inf)
    assert not server.events


@pytest.mark.parametrize("answers", [False, True])
def test_a_peer_that_is_slow_to_take_a_message_is_not_given_up(answers: bool) -> None:
    server = Server(ping_interval=20.0, ping_timeout=15.0)
    server.connection.send_binary(bytes(1000))
    server.stream.waiting = 1000
    server.connection.handle_timeout(20.0)
    # The ping stands behind the message.
    for now, waiting in ((35.0, 700), (50.0, 300), (65.0, 0)):
        server.stream.waiting = waiting
        server.connection.handle_timeout(now)
        assert not server.events
        assert server.connection.next_timeout() == now + 15.0
    # Now it has the ping, and as long for its pong as others.
    if answers:
        server.receive(frame(PONG), 79.0)
        assert server.connection.next_timeout() == 99.0
    else:
        server.connection.handle_timeout(80.0)
        assert server.events == [("close", 1006, "")]


@pytest.mark.parametrize("before", [0, 1000])
def test_a_peer_that_takes_nothing_is_given_up(before: int) -> None:
    server = Server(ping_interval=20.0, ping_timeout=15.0)
    server.connection.send_binary(bytes(1000))
    server.stream.waiting = before
    server.connection.handle_timeout(20.0)
    server.connection.send_binary(bytes(500))
    server.stream.waiting = before + 508
    server.connection.handle_timeout(35.0)
    assert server.events == [("close", 1006, "")]
