"""Any frames, in any order and pieces, against any application: nothing is raised, and nothing wrong is sent."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http1 import RecordingHandler
from tests.support.http2 import (
    GOAWAY,
    POST,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    Answer,
    Dialogue,
    block,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    headers,
    ping,
    priority_update,
    reset,
    window,
)
from tests.support.http2 import settings as settings_frame

STREAMS = st.sampled_from([1, 1, 3, 3, 5, 5, 7, 9, 0, 2, 101])
FIELDS = st.lists(
    st.sampled_from(
        [
            (b"content-length", b"3"),
            (b"content-length", b"0"),
            (b"cookie", b"a=b"),
            (b"te", b"trailers"),
            (b"expect", b"100-continue"),
            (b"priority", b"u=1, i"),
            (b"connection", b"close"),
            (b"x", b"v" * 600),
            (b"Bad", b"\n"),
            (b":status", b"200"),
        ]
    ),
    max_size=3,
)
STARTS = st.sampled_from(
    [
        POST,
        POST,
        [(b":method", b"GET"), *POST[1:]],
        [(b":method", b"HEAD"), *POST[1:]],
        [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *POST[1:]],
        [(b":method", b"CONNECT"), (b":authority", b"h:1")],
        POST[1:],
        [],
    ]
)
SIZES = st.sampled_from([0, 1, 3, 100, 5000])
NUMBERS = st.sampled_from([0, 1, 100, 16384, 65535, 1 << 20, (1 << 31) - 1])
PADDING = st.none() | st.integers(0, 255)

FRAMES = st.one_of(
    st.builds(
        lambda stream, start, fields, end, whole, padding: headers(
            stream, [*start, *fields], end=end, end_headers=whole, padding=padding
        ),
        *(STREAMS, STARTS, FIELDS, st.booleans(), st.sampled_from([True, True, True, False]), PADDING),
    ),
    st.builds(lambda stream, size, end: data(stream, b"d" * size, end=end), STREAMS, SIZES, st.booleans()),
    st.builds(
        lambda stream, size, padding: data(stream, b"d" * size, padding=padding), STREAMS, SIZES, PADDING
    ),
    st.builds(
        lambda stream, fields, end: continuation(stream, block(fields), end=end),
        STREAMS,
        FIELDS,
        st.booleans(),
    ),
    st.builds(reset, STREAMS, st.integers(0, 14)),
    st.builds(window, STREAMS, NUMBERS),
    st.builds(
        settings_frame, st.tuples(st.integers(0, 10), NUMBERS), st.tuples(st.sampled_from([1, 4, 5]), NUMBERS)
    ),
    st.just(SETTINGS_ACK),
    st.builds(lambda ack: ping(ack=ack), st.booleans()),
    st.builds(lambda payload: ping(payload, ack=True), st.sampled_from([b"shutdown", b"tidegate"])),
    st.builds(goaway, STREAMS),
    st.builds(lambda stream, on: frame(2, 0, stream, dependency(on)), STREAMS, STREAMS),
    st.builds(priority_update, STREAMS, st.sampled_from([b"u=0", b"i", b"u=7, i", b"?"])),
    st.builds(frame, st.integers(0, 20), st.integers(0, 255), STREAMS, st.binary(max_size=12)),
    st.binary(max_size=12),
)


class Application(RecordingHandler):
    """Keeps to the order that `Stream` asks for: the head comes before the content, once."""

    begun = False


def before(act: Callable[[Application], Any]) -> Callable[[Dialogue, int], None]:
    return step(act, begun=False, begins=False)


def begin(act: Callable[[Application], Any]) -> Callable[[Dialogue, int], None]:
    return step(act, begun=False, begins=True)


def behind(act: Callable[[Application], Any]) -> Callable[[Dialogue, int], None]:
    return step(act, begun=True, begins=False)


def anytime(act: Callable[[Application], Any]) -> Callable[[Dialogue, int], None]:
    return step(act, begun=None, begins=False)


def step(
    act: Callable[[Application], Any], *, begun: bool | None, begins: bool
) -> Callable[[Dialogue, int], None]:
    def taken(dialogue: Dialogue, number: int) -> None:
        if dialogue.handlers:
            handler = dialogue.handlers[number % len(dialogue.handlers)]
            assert isinstance(handler, Application)
            if "start" in handler.names and begun in (None, handler.begun):
                handler.begun = handler.begun or begins
                act(handler)
                handler.stream.flush()

    return taken


def accept(handler: Application) -> None:
    if handler.request.protocol:
        handler.stream.accept_tunnel([])
    else:
        handler.send_head()


def lose(dialogue: Dialogue, number: int) -> None:
    dialogue.connection.connection_lost()


# What the applications, the transport and the clock do, to the stream of that number where it is a stream's.
STEPS: dict[str, Callable[[Dialogue, int], Any]] = {
    "interim": before(lambda handler: handler.stream.send_informational(103, [(b"link", b"</a>")])),
    "continue": before(lambda handler: handler.stream.send_informational(100, [])),
    "head": begin(lambda handler: handler.send_head(200, (b"x", b"y"))),
    "no content": begin(lambda handler: handler.send_head(204)),
    "some": behind(lambda handler: handler.stream.send_data(b"content", False)),
    "much": behind(lambda handler: handler.stream.send_data(bytes(100_000), False)),
    "end": behind(lambda handler: handler.stream.send_data(b"", True)),
    "last": behind(lambda handler: handler.stream.send_data(b"last", True)),
    "answer": begin(lambda handler: handler.answer()),
    "trailers": behind(lambda handler: handler.stream.send_trailers([(b"x-trailer", b"t")])),
    "no trailers": behind(lambda handler: handler.stream.send_trailers([])),
    "tunnel": begin(accept),
    "reset": anytime(lambda handler: handler.stream.reset()),
    "pause": anytime(lambda handler: handler.stream.pause_reading()),
    "resume": anytime(lambda handler: handler.stream.resume_reading()),
    "full": lambda dialogue, number: dialogue.connection.pause_writing(),
    "free": lambda dialogue, number: dialogue.connection.resume_writing(),
    "moment": lambda dialogue, number: dialogue.wait(1),
    "minute": lambda dialogue, number: dialogue.wait(61),
    "end of input": lambda dialogue, number: dialogue.connection.receive_eof(dialogue.now),
    "shutdown": lambda dialogue, number: dialogue.connection.shutdown(dialogue.now),
    "cut": lambda dialogue, number: dialogue.connection.cut(),
    "lost": lose,
}
RARE = ("minute", "end of input", "shutdown", "cut", "lost", "full")
ACTIONS = st.one_of(
    FRAMES,
    FRAMES,
    st.tuples(st.sampled_from([name for name in STEPS if name not in RARE]), st.integers(0, 5)),
    st.tuples(st.sampled_from([name for name in STEPS if name not in RARE]), st.integers(0, 5)),
    st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 5)),
)


def is_answered(answer: Answer | None) -> bool:
    """Whether the answer has had its end, or the application has cut it."""
    return answer is not None and (answer.ended or answer.reset is not None)


def check(handler: RecordingHandler) -> None:
    """The order that `StreamHandler` promises."""
    names = handler.names
    assert names.count("start") <= 1
    assert names.count("end") <= 1
    assert names.count("reset") <= 1
    if "reset" in names:
        assert names[-1] == "reset"
    if "end" in names:
        assert "data" not in names[names.index("end") :]
    writing = [name for name in names if name in ("pause", "resume")]
    assert writing == ["pause", "resume"] * (len(writing) // 2) + ["pause"] * (len(writing) % 2)


@given(st.lists(ACTIONS, max_size=40), st.integers(1, 5))
def test_any_frames_against_any_application(actions: list[Any], max_streams: int) -> None:
    dialogue = Dialogue(
        handler_class=Application, max_streams=max_streams, max_header_list=2000, max_content=20_000
    )
    dialogue.parser.max_frame_size = 1 << 24
    lost = False
    for action in actions:
        if isinstance(action, bytes):
            if action and not lost and dialogue.wire.reading:
                dialogue.receive(action)
        else:
            name, number = action
            lost = lost or name in ("lost", "cut")
            STEPS[name](dialogue, number)
            dialogue.flush_due()
            dialogue.collect()
        for handler in dialogue.handlers:
            check(handler)
        over = dialogue.of(GOAWAY)
        if over and over[-1].code:
            assert dialogue.frames[-1] is over[-1]
            assert dialogue.wire.ended is not None
    dialogue.connection.connection_lost()
    dialogue.flush_due()
    for handler in dialogue.handlers:
        check(handler)
        assert handler.discards == ("start" not in handler.names)
        answer = dialogue.answers.get(handler.stream.stream_id)  # type: ignore[attr-defined]
        assert handler.names == [] or handler.names[-1] == "reset" or is_answered(answer)
    seen = len(dialogue.frames)
    for name in STEPS:
        for number in range(len(dialogue.handlers)):
            STEPS[name](dialogue, number)
    dialogue.collect()
    assert len(dialogue.frames) == seen


def outcome(dialogue: Dialogue) -> list[Any]:
    """What does not depend on how the input was split, as long as no application answers."""
    requests = [
        (handler.request.target, handler.request.headers, handler.content, "end" in handler.names)
        for handler in dialogue.handlers
    ]
    errors = [
        (each.kind, each.stream_id, each.code)
        for each in dialogue.frames
        if each.kind in (RST_STREAM, GOAWAY)
    ]
    return [requests, errors, dialogue.wire.ended]


# A client that says good-bye when it has no streams is left alone at once, whatever it sends behind that.
@given(st.lists(FRAMES.filter(lambda sent: sent[3:4] != b"\x07"), min_size=1, max_size=12), st.data())
def test_frames_mean_the_same_however_they_are_split(frames: list[bytes], draw: st.DataObject) -> None:
    stream = PREFACE + settings_frame() + SETTINGS_ACK + b"".join(frames)
    whole = Dialogue(greet=False, max_header_list=2000).receive(stream)
    cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    split = Dialogue(greet=False, max_header_list=2000).receive(*pieces)
    assert outcome(split) == outcome(whole)


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    for start in (b"", PREFACE, PREFACE + settings_frame()):
        dialogue = Dialogue(greet=False)
        if start + octets:
            dialogue.receive(start + octets)
        dialogue.connection.receive_eof(dialogue.now)
        dialogue.collect()
        dialogue.wait(1000)
        assert dialogue.wire.ended is not None
