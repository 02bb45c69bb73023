"""What a client must not get away with, and what real clients do that looks like it.

Abuse ends in GOAWAY ENHANCE_YOUR_CALM, with bounded work and memory; the names are those of the CVEs.
"""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.support.http1 import RecordingHandler, answer_at_once, octets
from tests.support.http2 import (
    CANCEL,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GET,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    POST,
    PRIORITY,
    RST_STREAM,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    Dialogue,
    block,
    continuation,
    data,
    dependency,
    frame,
    headers,
    ping,
    post,
    priority_update,
    reset,
    settings,
    window,
)

STREAMS = range(1, 1 << 31, 2)
FLOOD = 20_000  # frames: far more than any budget


def flood(dialogue: Dialogue, attack: Callable[[int], bytes], most: int = FLOOD) -> int:
    """Send `attack(stream_id)` for one stream after another, at one moment; how often until the connection ended."""
    for sent, stream_id in zip(range(most), STREAMS, strict=False):
        if dialogue.wire.ended is not None:
            return sent
        dialogue.receive(attack(stream_id))
    return most


def calmed(dialogue: Dialogue) -> None:
    (last,) = dialogue.of(GOAWAY)
    assert last.code == ENHANCE_YOUR_CALM
    assert dialogue.frames[-1] is last
    assert dialogue.wire.ended is not None


# Streams that are opened and reset: CVE-2023-44487 ("rapid reset"), and CVE-2025-8671 ("made you reset"), where the
# client makes us do it


def test_rapid_reset() -> None:
    dialogue = Dialogue()
    assert flood(dialogue, lambda n: headers(n) + reset(n)) < 2000
    calmed(dialogue)
    assert all(handler.names == ["start", "reset"] for handler in dialogue.handlers)


def test_rapid_reset_all_at_once() -> None:
    """In one read: what it starts is bounded all the same."""
    dialogue = Dialogue().receive(b"".join(headers(n) + reset(n) for n in range(1, 4001, 2)))
    calmed(dialogue)
    assert len(dialogue.handlers) < 1500


def test_rapid_reset_with_an_error_code_that_sounds_innocent() -> None:
    for code in (0, CANCEL, 0xFFFF):
        dialogue = Dialogue()
        assert flood(dialogue, lambda n, code=code: headers(n) + reset(n, code)) < 2000
        calmed(dialogue)


@pytest.mark.parametrize(
    "provoke",
    [
        lambda n: window(n, 0),
        lambda n: window(n, (1 << 31) - 1),
        lambda n: frame(PRIORITY, 0, n, b"1234"),
        lambda n: frame(PRIORITY, 0, n, dependency(n)),
        lambda n: data(n, b"x", end=True) + data(n, b"y"),
        lambda n: data(n, b"x", end=True) + headers(n),
        lambda n: headers(n, [(b":path", b"/")]),
        lambda n: headers(n, [(b"x", b"y")], end=False),
    ],
    ids=["increment 0", "overflow", "size", "itself", "data", "headers", "trailers", "no end"],
)
def test_made_you_reset(provoke: Callable[[int], bytes]) -> None:
    dialogue = Dialogue()
    assert flood(dialogue, lambda n: post(n) + provoke(n)) < 2000
    calmed(dialogue)


@pytest.mark.parametrize(
    "malformed",
    [
        lambda n: headers(n, [*GET, (b"connection", b"x")]),
        lambda n: headers(n, GET[1:]),
        lambda n: headers(n, GET, priority=dependency(n)),
        lambda n: post(n, (b"content-length", b"1")) + data(n, b"too much"),
    ],
)
def test_made_you_reset_by_malformed_requests(malformed: Callable[[int], bytes]) -> None:
    dialogue = Dialogue()
    assert flood(dialogue, malformed) < 2000
    calmed(dialogue)


def test_streams_beyond_the_limit() -> None:
    dialogue = Dialogue(max_streams=10).receive(*(headers(n) for n in range(1, 20, 2)))
    assert flood(dialogue, lambda n: headers(n + 20)) < 2000
    calmed(dialogue)
    assert len(dialogue.handlers) == 10


def test_applications_that_outlive_their_streams_are_bounded() -> None:
    """A reset frees the stream's place, and not what the application still does."""
    dialogue = Dialogue(max_streams=10)
    for n in range(1, 2000, 2):
        dialogue.receive(post(n), reset(n))
        dialogue.now += 1
        running = [handler for handler in dialogue.handlers if "reset" not in handler.names]
        assert len(running) <= 10
        if dialogue.wire.ended:
            break
    # none of these ever said that it was done (`Stream.release`)
    assert len(dialogue.handlers) <= 100


# Frames that cost us something and mean nothing: CVE-2019-9512 (PING), 9513 (PRIORITY), 9515 (SETTINGS), 9518 (empty
# frames), and their like

# Stream 1 is closed, stream 3 open.
EMPTY = {
    "PING": lambda n: ping(),
    "PING ACK": lambda n: ping(ack=True),
    "SETTINGS": lambda n: settings(),
    "SETTINGS that change windows": lambda n: settings((INITIAL_WINDOW_SIZE, 65535 - n // 2 % 2)),
    "SETTINGS ACK": lambda n: SETTINGS_ACK,
    "PRIORITY": lambda n: frame(PRIORITY, 0, 3, dependency(n + 4)),
    "PRIORITY of idle streams": lambda n: frame(PRIORITY, 0, n + 10, dependency(1)),
    "PRIORITY_UPDATE": lambda n: priority_update(3, b"u=%d" % (n % 8)),
    "PRIORITY_UPDATE of an idle stream": lambda n: priority_update(5, b"u=%d" % (n % 8)),
    "WINDOW_UPDATE": lambda n: window(0, 1),
    "WINDOW_UPDATE of a stream": lambda n: window(3, 1),
    "WINDOW_UPDATE of a closed stream": lambda n: window(1, 1),
    "RST_STREAM of a closed stream": lambda n: reset(1),
    "empty DATA": lambda n: data(3),
    "DATA of padding alone": lambda n: data(3, padding=0),
    "an unknown frame": lambda n: frame(0x42, 0, 0),
    "an unknown frame of a stream": lambda n: frame(0x42, 0, 3, b"x"),
}


@pytest.mark.parametrize("attack", EMPTY.values(), ids=EMPTY.keys())
def test_frames_that_mean_nothing(attack: Callable[[int], bytes]) -> None:
    dialogue = Dialogue(answer_at_once).receive(headers(1))
    dialogue.script = None
    dialogue.receive(post(3))
    assert flood(dialogue, attack) < FLOOD
    calmed(dialogue)
    assert dialogue.handler.content == b""


def test_empty_data_on_a_stream_that_we_reset() -> None:
    dialogue = Dialogue().receive(post(1))
    dialogue.handler.stream.reset()
    assert flood(dialogue, lambda n: data(1)) < FLOOD
    calmed(dialogue)


def test_answers_to_pings_that_nobody_reads() -> None:
    """The transport is full: we stop reading rather than queue."""
    dialogue = Dialogue()
    dialogue.connection.pause_writing()
    for _ in range(FLOOD):
        if not dialogue.wire.reading or dialogue.wire.ended is not None:
            break
        dialogue.receive(ping())
    assert not dialogue.wire.reading or dialogue.wire.ended is not None
    assert len(dialogue.of(PING)) * 17 < 200_000


# Header blocks: CVE-2024-27316 and its like ("CONTINUATION flood"), bombs


@pytest.mark.parametrize("fragment", [b"", b"x", block([(b"a", b"b")]), bytes(16384)], ids=len)
def test_continuation_flood(fragment: bytes) -> None:
    dialogue = Dialogue().receive(headers(1, end_headers=False))
    taken = 0
    for _ in range(FLOOD):
        if dialogue.wire.ended is not None:
            break
        dialogue.receive(continuation(1, fragment, end=False))
        taken += len(fragment)
    calmed(dialogue)
    assert taken < 1 << 20
    assert dialogue.handlers == []


def test_blocks_that_never_end_in_time() -> None:
    dialogue = Dialogue().receive(headers(1, end_headers=False)).wait(120)
    assert dialogue.wire.ended is not None
    assert dialogue.handlers == []


def test_blocks_that_drip() -> None:
    dialogue = Dialogue().receive(headers(1, end_headers=False))
    for _ in range(100):
        dialogue.wait(1)
        if dialogue.wire.ended is not None:
            break
        dialogue.receive(continuation(1, b"", end=False))
    assert dialogue.wire.ended is not None
    assert dialogue.now < 1000 + 61


def test_a_bomb_of_indices() -> None:
    """4 KiB in the table, then one octet for each time it is named: 431, and the connection goes on."""
    dialogue = Dialogue(answer_at_once)
    large = (b"x", b"v" * 4000)
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET) + block([large], 0x40)))
    bomb = block(GET) + b"\xbe" * 16000
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, bomb))
    assert dialogue.answers[3].status == 431
    assert len(dialogue.handlers) == 1
    assert dialogue.alive


def test_bombs_are_not_for_free() -> None:
    dialogue = Dialogue(answer_at_once)
    large = (b"x", b"v" * 4000)
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET) + block([large], 0x40)))
    bomb = block(GET) + b"\xbe" * 16000
    most = 100
    for n in range(3, 2 * most, 2):
        if dialogue.wire.ended is not None:
            return
        dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, n, bomb))
    assert len(dialogue.handlers) == 1
    assert [answer.status for answer in dialogue.answers.values()] == [200, *[431] * (most - 1)]


# Clients that do not take what they asked for: CVE-2019-9511 ("data dribble"), 9517 ("internal data buffering")


class Streaming(RecordingHandler):
    """Sends without end, as fast as it may."""

    written = 0

    def start(self) -> None:
        super().start()
        self.send_head()
        self.resume()

    def resume(self) -> None:
        while self.names[-1] in ("start", "resume"):
            self.stream.send_data(bytes(16384), False)
            self.written += 16384
        self.stream.flush()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.resume()


def test_window_0_on_100_streams() -> None:
    """Each stream is cut for itself, in its time; the memory that waits is bounded; the connection goes on."""
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),), handler_class=Streaming)
    for n in range(1, 200, 2):
        dialogue.receive(headers(n))
    handlers = dialogue.handlers[:]
    assert len(handlers) == 100
    assert all(handler.names == ["start", "pause"] for handler in handlers)
    assert sum(handler.written for handler in handlers) < 100 * (128 << 10)
    for _ in range(60):  # the client is alive, and says so
        dialogue.wait(5)
        for each in dialogue.of(PING):
            if not each.flags:
                dialogue.receive(ping(each.payload, ack=True))
        dialogue.frames = [each for each in dialogue.frames if each.kind != PING]
    assert all(handler.names[-1] == "reset" for handler in handlers)
    assert dialogue.of(GOAWAY) == [] or dialogue.of(GOAWAY)[0].code == 0


def test_a_stalled_stream_leaves_its_neighbours_alone() -> None:
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 1000),), handler_class=Streaming)
    dialogue.receive(headers(1), window(0, 1 << 24))
    dialogue.handler_class = RecordingHandler
    dialogue.receive(post(3))
    busy = dialogue.handler
    for _ in range(400):
        dialogue.wait(1).receive(data(3, bytes(1000)), ping(b"alive...", ack=True))
        if 1 in dialogue.resets:
            break
    assert list(dialogue.resets) == [1]
    assert "reset" not in busy.names
    busy.answer()
    dialogue.collect()
    assert dialogue.answers[3].content == b"ok"


def test_data_dribble() -> None:
    """A window that is opened an octet at a time makes us send a frame for each."""
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 0),), handler_class=Streaming).receive(headers(1))
    assert flood(dialogue, lambda n: window(1, 1)) < FLOOD
    calmed(dialogue)


# Stream identifiers


def test_identifiers_that_leap() -> None:
    """Gaps are remembered, and not without end."""
    dialogue = Dialogue(answer_at_once)
    for n in range(1, 1 << 31, (1 << 31) // 5000 & ~1):
        dialogue.receive(headers(n))
    assert dialogue.wire.ended is None
    assert len(dialogue.answers) >= 5000
    assert all(answer.content == b"ok" for answer in dialogue.answers.values())


def test_the_last_identifier_is_used() -> None:
    dialogue = Dialogue(answer_at_once).receive(headers((1 << 31) - 1))
    assert dialogue.alive
    assert dialogue.receive(headers(1)).of(GOAWAY)


# What real clients do


def acknowledge(dialogue: Dialogue) -> None:
    """Answer the server's pings."""
    for each in dialogue.frames:
        if each.kind == PING and not each.flags:
            dialogue.receive(ping(each.payload, ack=True))


def test_grpc_bdp_pings() -> None:
    """gRPC sends a PING with what it receives, about once per round trip, to measure the bandwidth-delay product;
    and keep-alive pings while nothing happens."""
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 1 << 20),)).receive(window(0, 1 << 24), post(1))
    dialogue.handler.send_head()
    for _ in range(5000):
        dialogue.handler.send(b"message")
        dialogue.collect()
        dialogue.receive(ping(), window(0, 7))
        dialogue.now += 0.0005
    assert dialogue.answers[1].content == b"message" * 5000
    for _ in range(500):
        dialogue.receive(ping())
        dialogue.wait(10)
        acknowledge(dialogue)
        dialogue.frames.clear()
    assert dialogue.alive


def test_grpc_with_a_ping_per_message_each_way() -> None:
    dialogue = Dialogue().receive(post(1))
    dialogue.handler.send_head()
    for _ in range(5000):
        dialogue.receive(data(1, b"\0\0\0\0\5hello"), ping())
        dialogue.handler.send(b"\0\0\0\0\2hi")
    assert len(dialogue.handler.content) == 50_000
    assert dialogue.alive


def test_small_messages_both_ways() -> None:
    dialogue = Dialogue().receive(post(1), window(0, 1 << 20), window(1, 1 << 20))
    dialogue.handler.send_head()
    for _ in range(10_000):
        dialogue.receive(data(1, b"x"))
        dialogue.handler.send(b"y")
    dialogue.collect()
    assert dialogue.handler.content == b"x" * 10_000
    assert dialogue.answers[1].content == b"y" * 10_000
    assert dialogue.alive


@pytest.mark.parametrize("size", [1, 100, 16384])
def test_a_window_update_per_data_frame(size: int) -> None:
    """For the stream and for the connection, as many clients do."""
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.send_head()
    for _ in range(4000):
        dialogue.handler.send(bytes(size))
        for each in dialogue.collect():
            dialogue.receive(window(0, len(each.payload)), window(1, len(each.payload)))
    assert len(dialogue.answers[1].content) == 4000 * size
    assert dialogue.alive


def test_a_window_update_per_data_frame_of_a_small_window() -> None:
    """A client with a window of 16 KiB that takes 1 MiB."""
    dialogue = Dialogue(client=((INITIAL_WINDOW_SIZE, 16384),)).receive(headers(1))
    dialogue.handler.answer(bytes(1 << 20))
    received = dialogue.collect()
    while received:
        size = sum(len(each.payload) for each in received)
        seen = len(dialogue.frames)
        dialogue.receive(window(1, size), window(0, size))
        received = [each for each in dialogue.frames[seen:] if each.kind == 0]
    assert len(dialogue.answers[1].content) == 1 << 20
    assert dialogue.alive


@pytest.mark.parametrize("times", [1, 3])
def test_a_browser_cancels_all_100_streams(times: int) -> None:
    """The user leaves the page while its images load; and again."""
    dialogue = Dialogue()
    streams: Iterator[int] = iter(STREAMS)
    for _ in range(times):
        hundred = [next(streams) for _ in range(100)]
        dialogue.receive(b"".join(headers(n) for n in hundred))
        assert [len(handler.names) for handler in dialogue.handlers[-100:]] == [1] * 100
        dialogue.receive(b"".join(reset(n) for n in hundred))
        for handler in dialogue.handlers[-100:]:
            assert handler.names == ["start", "reset"]
            release = getattr(handler.stream, "release", None)
            if release is not None:
                release()
        dialogue.now += 1
    dialogue.script = answer_at_once
    hundred = [next(streams) for _ in range(100)]
    dialogue.receive(b"".join(headers(n) for n in hundred))
    assert all(dialogue.answers[n].content == b"ok" for n in hundred)
    assert dialogue.alive


def test_a_browser_that_cancels_now_and_then() -> None:
    """Videos and searches as one types: a few cancelled streams a second, for an hour, among those that are served."""
    dialogue = Dialogue()
    for n in count(1, 4):
        if n > 4 * 3600:
            break
        dialogue.receive(headers(n), reset(n), headers(n + 2))
        dialogue.handlers[-2].stream.release()
        dialogue.handlers[-1].answer()
        dialogue.collect()
        dialogue.now += 0.5
    assert dialogue.alive


def test_firefox_and_its_tree_of_priorities() -> None:
    tree = b"".join(frame(PRIORITY, 0, n, dependency(0 if n < 7 else 3, 200)) for n in (3, 5, 7, 9, 11, 13))
    dialogue = Dialogue(answer_at_once).receive(
        settings((1, 65536), (4, 131072), (5, 16384)), window(0, 12517377), tree
    )
    for n in range(15, 1015, 2):
        dialogue.receive(headers(n, priority=dependency(13, 41)))
    assert all(dialogue.answers[n].content == b"ok" for n in range(15, 1015, 2))
    assert dialogue.alive


def test_uploads_that_end_with_an_empty_frame() -> None:
    dialogue = Dialogue()
    for n in range(1, 4001, 2):
        dialogue.receive(headers(n, POST, end=False), data(n, b"form"), data(n, end=True))
        dialogue.handler.answer()
        dialogue.collect()
        assert dialogue.answers[n].content == b"ok"
    assert dialogue.alive


def test_frames_that_come_octet_by_octet_count_as_frames() -> None:
    """Padding; and what crosses our reset."""
    dialogue = Dialogue(max_control=10).receive(post(1), post(3))
    dialogue.handlers[1].stream.reset()
    for _ in range(3):
        dialogue.receive(*octets(data(1, b"content", padding=255)), *octets(data(3, bytes(500))))
    assert dialogue.handlers[0].content == b"content" * 3
    assert dialogue.alive
    for _ in range(20):
        dialogue.receive(*octets(data(1, padding=9)))
    calmed(dialogue)


def test_3_000_requests_on_a_connection() -> None:
    dialogue = Dialogue(answer_at_once)
    request = block(GET)
    for n in range(1, 6001, 2):
        dialogue.connection.receive_data(frame(HEADERS, END_HEADERS | END_STREAM, n, request), dialogue.now)
    dialogue.collect()
    assert len(dialogue.answers) == 3000
    assert dialogue.of(RST_STREAM) == []
    assert dialogue.alive
    assert CONTINUATION not in {each.kind for each in dialogue.frames}
    assert WINDOW_UPDATE not in {each.kind for each in dialogue.frames}
