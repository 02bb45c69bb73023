"""Properties of a whole connection, for any bytes, any split and any order of events; and both builds agree."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.replay import COMPILED, CORPUS, LIMITS, Application, outcome, transcripts
from tests.support.builds import assert_builds_agree
from tests.support.http1 import Dialogue, octets

ROOT = Path(__file__).parents[2]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


# --- valid streams

tokens = st.text("abcXYZ09-_.!~", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=20).map(
    lambda v: bytes(c for c in v if c == 9 or (c >= 32 and c != 127)).strip(b" \t")
)
extensions = st.sampled_from([b"", b";a", b" ; a = b", b';a="b\\"c;"', b";a=b;c"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One valid request."""
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"1.7"]))
    path = draw(
        st.sampled_from([b"/", b"/a%20b?c=%ff", b"/stream", b"/early", b"/204", b"http://x:1/y?z", b"/\xe9"])
    )
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"M-SEARCH"]))
    lines = [method + b" " + path + b" HTTP/" + version, b"Host: example.org"]
    lines += [
        b"X-" + name + b":" + value for name, value in draw(st.lists(st.tuples(tokens, values), max_size=4))
    ]
    if draw(st.booleans()):
        lines.append(draw(st.sampled_from([b"Connection: keep-alive", b"TE: trailers", b"Upgrade: x"])))
    content = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
    if version == b"1.0" or draw(st.booleans()):
        body = b"".join(content)
        if body or draw(st.booleans()):
            lines.append(b"Content-Length: %d" % len(body))
    else:
        lines.append(b"Transfer-Encoding: chunked")
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), draw(extensions), chunk) for chunk in content)
        trailers = b"".join(
            name + b": " + value + b"\r\n"
            for name, value in draw(st.lists(st.tuples(tokens, values), max_size=2))
        )
        body += b"0\r\n" + trailers + b"\r\n"
    return draw(st.sampled_from([b"", b"\r\n"])) + b"\r\n".join([*lines, b"", body])


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 4000), max_size=12))
@settings(deadline=None)
def test_any_split_of_a_valid_stream_gives_the_same(stream: list[bytes], cuts: list[int]) -> None:
    data = b"".join(stream)
    limits = {"max_content": -1}
    whole = outcome([data], **limits)
    assert whole["refused"] == []
    assert whole["requests"]
    assert outcome(split(data, cuts), **limits) == whole
    assert outcome(octets(data), **limits) == whole


# --- any bytes

FRAGMENTS = st.sampled_from(
    [
        *(
            b"GET / HTTP/1.1\r\n",
            b"POST /a?b HTTP/1.0\r\n",
            b"Host: h\r\n",
            b"Content-Length: 5\r\n",
            b"hello",
        ),
        *(b"Transfer-Encoding: chunked\r\n\r\n", b"5;a=b\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n"),
        *(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"Connection: close\r\n", b"\n", b"\r", b"\r\n", b" ", b": "),
        *(b"GET /tunnel HTTP/1.1\r\nHost: h\r\n", b"Upgrade: x\r\nConnection: upgrade\r\n", b"x: y\r\n" * 4),
        *(b"HTTP/", b"\x00", b"A" * 150, b"9" * 20),
    ]
)
BYTES = st.lists(FRAGMENTS | FRAGMENTS | st.binary(max_size=8), max_size=20).map(b"".join)


@given(BYTES, st.lists(st.integers(0, 2000), max_size=8))
@settings(deadline=None)
def test_any_split_of_any_bytes_comes_to_the_same(data: bytes, cuts: list[int]) -> None:
    end = b"\n"  # of the last line
    whole = outcome([data, end] if data else [end])
    assert outcome([*split(data, cuts), end]) == whole
    assert outcome([*octets(data), end]) == whole


ACTIONS = st.sampled_from(
    [
        *(
            "eof",
            "lost",
            "pause",
            "resume",
            "shutdown",
            "wait",
            "flush",
            "answer",
            "head",
            "data",
            "end",
            "reset",
        ),
        *("continue", "stop reading", "go on reading", "cut", "tunnel"),
    ]
)


@given(st.lists(BYTES | BYTES | ACTIONS, max_size=15))
@settings(deadline=None)
def test_any_order_of_events_never_crashes(steps: list[bytes | str]) -> None:
    dialogue = Dialogue(**LIMITS)
    stages: dict[int, str] = {}
    lost = False
    for step in steps:
        stage = stages.get(len(dialogue.handlers), "waiting")
        if isinstance(step, bytes):
            # As a transport does: nothing comes while it is paused, or once it is closed.
            if step and dialogue.wire.reading and dialogue.wire.ended is None and not lost:
                dialogue.receive(step)
        elif step == "wait":
            dialogue.wait(40)
        elif step == "flush":
            dialogue.flush_due()
        elif step == "shutdown":
            dialogue.connection.shutdown(dialogue.now)
        elif step == "pause":
            dialogue.connection.pause_writing()
        elif step == "resume":
            dialogue.connection.resume_writing()
        elif step == "eof":
            if dialogue.wire.ended is None and not lost:
                dialogue.receive_eof()
        elif step == "lost":
            dialogue.connection.connection_lost()
            lost = True
        elif step == "cut":
            dialogue.connection.cut()
        elif dialogue.handlers and "start" in dialogue.handler.names:
            key = len(dialogue.handlers)
            handler = dialogue.handler
            complete = "end" in handler.names or handler.request.content_length in (-1, 0)
            if step == "stop reading":
                handler.stream.pause_reading()
            elif step == "go on reading":
                handler.stream.resume_reading()
            elif step == "reset":
                handler.stream.reset()
                stages[key] = "done"
            elif stage == "waiting" and step == "continue":
                handler.stream.send_informational(100, [])
                handler.stream.flush()
            elif stage == "waiting" and step == "answer":
                handler.answer()
                stages[key] = "done"
            elif stage == "waiting" and step == "head":
                handler.send_head()
                stages[key] = "sending"
            elif stage == "waiting" and step == "tunnel" and handler.request.protocol and complete:
                handler.stream.accept_tunnel([])
                stages[key] = "sending"
            elif stage == "sending" and step in ("data", "end"):
                handler.send(b"data", step == "end")
                stages[key] = "done" if step == "end" else "sending"
        check(dialogue)
    dialogue.connection.connection_lost()
    check(dialogue)
    assert all(handler.discards == ("start" not in handler.names) for handler in dialogue.handlers)


def check(dialogue: Dialogue) -> None:
    """What holds at any time."""
    for handler in dialogue.handlers:
        names = handler.names
        assert names.count("start") <= 1
        assert names.count("reset") <= 1
        assert "reset" not in names[:-1]
        assert names.count("end") <= 1 or handler.request.protocol
        if "end" in names and not handler.request.protocol:
            assert "data" not in names[names.index("end") :]
    if dialogue.wire.ended is not None:
        assert dialogue.connection.idle_since == float("inf")
        assert dialogue.connection.next_timeout() == float("inf")


# --- the kept corpus


def test_the_corpus_reaches_what_it_is_for() -> None:
    seen = transcripts()
    assert len(seen) >= 100
    statuses = {refusal[0] for transcript in seen.values() for refusal in transcript["refusals"]}
    assert statuses >= {400, 413, 414, 431, 501, 505}
    endings = {transcript["ended"] for transcript in seen.values()}
    assert len(endings) >= 3
    assert any("101 Switching" in write for transcript in seen.values() for write in transcript["writes"])


def test_compiled_and_pure_builds_agree_on_every_event() -> None:
    assert_builds_agree("tests.fuzz.replay", COMPILED, transcripts())


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_any_input_of_the_corpus_comes_to_the_same(path: Path) -> None:
    data = path.read_bytes()
    if b"early" in data or b"Expect" in data:
        return
    assert outcome([*octets(data), b"\n"]) == outcome([data, b"\n"])


def test_the_application_of_the_replay_answers() -> None:
    dialogue = Dialogue(handler_class=Application).receive(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert dialogue.wire.sent.endswith(b"\r\n\r\n/x")
