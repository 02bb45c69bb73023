"""Every state x event of both tables, and that the connection and the stream obey them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.http1 import Dialogue
from tidegate.http.errors import ProtocolError
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http1 import state
from tidegate.http1.stream import H1Stream

RECEIVING = {
    ("IDLE", "HEAD_STARTED"): "HEAD",
    ("IDLE", "HEAD_RECEIVED"): "CONTENT",
    ("HEAD", "HEAD_STARTED"): "HEAD",
    ("HEAD", "HEAD_RECEIVED"): "CONTENT",
    ("CONTENT", "END_RECEIVED"): "COMPLETE",
    ("COMPLETE", "NEXT_REQUEST"): "IDLE",
    ("COMPLETE", "SWITCHED"): "TUNNEL",
} | {(name, "STOPPED"): "CLOSED" for name in state.STATES}

SENDING = {
    ("WAITING", "SEND_INTERIM"): "WAITING",
    ("WAITING", "SEND_HEAD"): "SENDING",
    ("WAITING", "SEND_SWITCH"): "TUNNELLING",
    ("WAITING", "SEND_RESET"): "RESET",
    ("SENDING", "SEND_CONTENT"): "SENDING",
    ("SENDING", "SEND_END"): "SENT",
    ("SENDING", "SEND_RESET"): "RESET",
    ("TUNNELLING", "SEND_CONTENT"): "TUNNELLING",
    ("TUNNELLING", "SEND_END"): "SENT",
    ("TUNNELLING", "SEND_RESET"): "RESET",
    ("SENT", "SEND_RESET"): "SENT",
    ("RESET", "SEND_RESET"): "RESET",
}


@pytest.mark.parametrize(
    ("table", "states", "events", "expected"),
    [
        (state.RECEIVING, state.STATES, state.EVENTS, RECEIVING),
        (state.SENDING_TABLE, state.SEND_STATES, state.SEND_EVENTS, SENDING),
    ],
)
def test_tables(
    table: bytes, states: tuple[str, ...], events: tuple[str, ...], expected: dict[tuple[str, str], str]
) -> None:
    assert len(table) == len(states) * len(events)
    assert len(events) == state.COLUMNS
    for row, name in enumerate(states):
        assert getattr(state, name) == row
        for column, event in enumerate(events):
            assert getattr(state, event) == column
            after = table[row * state.COLUMNS + column]
            assert (None if after == state.BAD else states[after]) == expected.get((name, event))


# What each call on a stream is, as an event.
CALLS: dict[str, Callable[[Any], None]] = {
    "SEND_INTERIM": lambda stream: stream.send_informational(103, []),
    "SEND_HEAD": lambda stream: stream.send_head(ResponseHead(200)),
    "SEND_CONTENT": lambda stream: stream.send_data(b"a", False),
    "SEND_END": lambda stream: stream.send_data(b"a", True),
    "SEND_SWITCH": lambda stream: stream.accept_tunnel([]),
    "SEND_RESET": lambda stream: stream.reset(),
}
REACH = {
    "WAITING": (),
    "SENDING": ("SEND_HEAD",),
    "TUNNELLING": ("SEND_SWITCH",),
    "SENT": ("SEND_HEAD", "SEND_END"),
    "RESET": ("SEND_RESET",),
}
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


@pytest.mark.parametrize("name", state.SEND_STATES)
@pytest.mark.parametrize("event", state.SEND_EVENTS)
def test_every_call_in_every_state_of_a_stream(name: str, event: str) -> None:
    dialogue = Dialogue().receive(UPGRADE)
    stream = dialogue.handler.stream
    assert isinstance(stream, H1Stream)
    for step in REACH[name]:
        CALLS[step](stream)
    stream.flush()
    before = dialogue.wire.take()
    ended = dialogue.wire.ended
    if name in ("SENT", "RESET"):
        # Late calls are the rule, since the application does not know: they do nothing.
        CALLS[event](stream)
        stream.flush()
        assert dialogue.wire.sent == b""
        assert dialogue.wire.ended == ended
    elif (name, event) in SENDING:
        CALLS[event](stream)
        stream.flush()
        assert dialogue.wire.sent or event == "SEND_RESET"
        assert (dialogue.wire.ended is not None) == (
            event == "SEND_RESET" or (name, event) == ("TUNNELLING", "SEND_END")
        )
    else:
        with pytest.raises(ProtocolError, match=f"{event} in state {name}"):
            CALLS[event](stream)
        assert dialogue.wire.sent == b""
    assert stream.head_sent == (name != "WAITING" or event in ("SEND_HEAD", "SEND_SWITCH", "SEND_RESET"))
    assert not before or before.startswith(b"HTTP/1.1 ")


def test_a_tunnel_needs_a_complete_request() -> None:
    dialogue = Dialogue().receive(
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n"
    )
    with pytest.raises(ProtocolError, match="SWITCHED in state CONTENT"):
        dialogue.handler.stream.accept_tunnel([])


def test_a_stream_that_is_detached_does_nothing() -> None:
    dialogue = Dialogue().receive(UPGRADE)
    stream = dialogue.handler.stream
    dialogue.connection.connection_lost()
    for call in CALLS.values():
        call(stream)
    stream.send_trailers([])
    stream.pause_reading()
    stream.resume_reading()
    stream.flush()
    assert dialogue.wire.sent == b""
    assert dialogue.handler.names == ["start", "reset"]
    assert isinstance(dialogue.handler.request, RequestHead)
