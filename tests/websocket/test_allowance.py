"""What inflates to much, from one socket and from many, lets others have their turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.websocket.support import Server, agreed, close_frame, frame
from tidegate.websocket.allowance import Allowance
from tidegate.websocket.deflate import Deflater

TEXT, BINARY, PING = 1, 2, 9


def compressed(payload: bytes) -> bytes:
    return frame(BINARY, Deflater(12, False, 6, 5).deflate(payload), rsv=0x40)


def bomb(number: int, size: int = 100_000) -> bytes:
    return compressed(bytes([number]) * size)


def received(number: int, size: int = 100_000) -> tuple[str, bytes]:
    return ("message", bytes([number]) * size)


def fed(allowance: Allowance) -> Server:
    """A server that has read five bombs, and rests."""
    server = Server(deflate=agreed(), allowance=allowance)
    server.receive(b"".join(bomb(i) for i in range(5)))
    assert len(server.events) < 5
    assert server.handler.turns_wanted == 1
    assert not server.stream.reading
    return server


def play_on(server: Server) -> int:
    """Take turns until reading goes on; how many."""
    turns = 0
    while not server.stream.reading and not server.connection.closed:
        server.allowance.refill()
        server.connection.take_turn(0.0)
        turns += 1
        assert turns < 10_000
    return turns


def test_much_in_one_read_takes_its_turns() -> None:
    server = fed(Allowance(octets=150_000, each=1000))
    assert server.events == [received(0), received(1)]
    assert server.handler.spent == 1
    assert play_on(server) == 2
    assert server.events == [received(i) for i in range(5)]
    assert server.handler.spent == 2
    assert server.receive(bomb(5)) == [received(5)]


def test_little_passes_when_the_allowance_is_spent() -> None:
    allowance = Allowance(octets=150_000, each=1000)
    fed(allowance)
    assert allowance.left <= 0
    other = Server(deflate=agreed(), allowance=allowance)
    little = compressed(b"little")
    assert other.receive(little + frame(TEXT, b"plain" * 1000) + frame(PING)) == [
        ("message", b"little"),
        ("message", "plain" * 1000),
    ]
    assert other.handler.spent == 0
    # More than its own part: in pieces, of which the first are within it.
    assert other.receive(bomb(1)) == []
    assert other.handler.turns_wanted == 1
    assert play_on(other) == 1
    assert other.events[-1] == received(1)


def test_a_message_is_inflated_piece_by_piece() -> None:
    size = 8 << 20
    server = Server(deflate=agreed(), allowance=Allowance(octets=1, each=1 << 20))
    server.receive(bomb(7, size))
    assert server.events == []
    # Four pieces of 2 MiB, the first of them in the read.
    assert play_on(server) == 3
    assert server.events == [received(7, size)]


def test_streams_cost() -> None:
    # RFC 7692 §7.2.3.4: an empty block with BFINAL ends a stream.
    server = Server(deflate=agreed(), allowance=Allowance(octets=100_000, each=1000))
    message = frame(BINARY, b"\x03\x00" * 30 + b"\x00", rsv=0x40)
    server.receive(message)
    assert server.events == [("message", b"")]
    assert server.handler.spent == 1


@pytest.mark.parametrize("paused", [False, True])
def test_an_application_that_pauses_and_resumes_does_not_jump_the_queue(paused: bool) -> None:
    server = fed(Allowance(octets=150_000, each=1000))
    before = len(server.events)
    if paused:
        server.connection.pause_reading()
    server.connection.resume_reading(0.0)
    assert len(server.events) == before
    assert not server.stream.reading
    play_on(server)
    assert len(server.events) == 5


def test_an_application_that_pauses_within_its_turn_stays_paused() -> None:
    server = fed(Allowance(octets=150_000, each=1000))
    server.handler.pause_after = 1
    server.allowance.refill()
    server.connection.take_turn(0.0)
    assert len(server.events) == 3
    assert server.handler.turns_wanted == 1
    server.allowance.refill()
    server.connection.resume_reading(0.0)
    assert len(server.events) == 5


@pytest.mark.parametrize("end", ["eof", "reset", "our close", "close", "error"])
def test_what_ends_a_connection_that_rests(end: str) -> None:
    server = Server(deflate=agreed(), allowance=Allowance(octets=1, each=1))
    behind = {"close": close_frame(1000, "bye"), "error": frame(3)}.get(end, b"")
    server.receive(bomb(0) + bomb(1) + behind)
    assert not server.stream.reading
    if end == "eof":
        server.connection.receive_eof()
    elif end == "reset":
        server.connection.receive_reset()
    elif end == "our close":
        server.connection.send_close(1001, "", 0.0)
    play_on(server)
    messages = [event for event in server.events if event[0] == "message"]
    assert messages == [received(0), received(1)][: 1 if end in ("reset", "our close") else 2]
    codes = [event[1] for event in server.events if event[0] == "close"]
    expected = {"eof": [1006], "reset": [1006], "our close": [], "close": [1000], "error": [1002]}
    assert codes == expected[end]
    assert server.connection.closed == (end in ("eof", "reset"))


@given(
    st.lists(
        st.one_of(
            st.integers(0, 5000).map(lambda size: compressed(bytes(size))),
            st.binary(max_size=300).map(compressed),
            st.text(max_size=50).map(lambda text: frame(TEXT, text.encode())),
            st.sampled_from([frame(PING, b"?"), close_frame(1000), frame(TEXT, b"\xff")]),
        ),
        max_size=8,
    ).map(b"".join),
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.data(),
)
def test_turns_change_nothing(octets: bytes, all_together: int, each: int, data: st.DataObject) -> None:
    whole = Server(deflate=agreed())
    whole.receive(octets)
    split = Server(deflate=agreed(), allowance=Allowance(all_together, each))
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=6).map(sorted))
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        split.receive(octets[start:end])
        if data.draw(st.booleans()):
            play_on(split)
    play_on(split)
    assert (split.events, split.stream.sent, split.stream.ended) == (
        whole.events,
        whole.stream.sent,
        whole.stream.ended,
    )
