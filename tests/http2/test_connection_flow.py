"""Flow control, both ways (RFC 9113 §5.2)."""

from typing import Any

from tests.support.http1 import RecordingHandler
from tests.support.http2 import (
    CANCEL,
    FLOW_CONTROL_ERROR,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    Dialogue,
    codes,
    data,
    headers,
    post,
    reset,
    settings,
    window,
)

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
