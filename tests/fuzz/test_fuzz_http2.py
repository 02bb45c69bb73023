"""The kept HTTP/2 inputs: however they are split they come to the same, and both builds agree on every event."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.replay_http2 import COMPILED, CORPUS, outcome, splits, transcripts
from tests.support.builds import assert_builds_agree
from tests.support.http2 import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    STREAM_CLOSED,
)

ROOT = Path(__file__).parents[2]
INPUTS = sorted(CORPUS.iterdir())
# Whether a client that says good-bye has a stream open, and how many applications have been started whose clients have
# gone since, depends on how much comes at once.
DEPENDENT = ("goaway", "goaway-while-open", "abandoned")


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return transcripts()


def test_the_corpus_reaches_what_it_is_for(seen: dict[str, Any]) -> None:
    assert len(INPUTS) >= 100
    statuses = {refusal[0] for transcript in seen.values() for refusal in transcript["refusals"]}
    assert statuses >= {0, 413, 414, 431, 501}
    frames = [each for transcript in seen.values() for each in transcript["frames"]]
    ends = {int.from_bytes(each[3][4:8].encode("latin-1"), "big") for each in frames if each[0] == GOAWAY}
    assert ends >= {
        *(PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, STREAM_CLOSED, COMPRESSION_ERROR),
        ENHANCE_YOUR_CALM,
    }
    resets = {int.from_bytes(each[3].encode("latin-1"), "big") for each in frames if each[0] == RST_STREAM}
    assert resets >= {PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED, FLOW_CONTROL_ERROR}
    assert any(each[0] == PUSH_PROMISE for each in frames)
    assert len({transcript["ended"] for transcript in seen.values()}) >= 2


def test_real_clients_are_served(seen: dict[str, Any]) -> None:
    clients = {name: each for name, each in seen.items() if name.startswith("client-")}
    assert len(clients) == 6 * 4
    for name, transcript in clients.items():
        assert transcript["requests"], name
        assert all("('end'" in each["events"] or each["length"] == -1 for each in transcript["requests"]), (
            name
        )


def test_compiled_and_pure_builds_agree_on_every_event(seen: dict[str, Any]) -> None:
    assert_builds_agree("tests.fuzz.replay_http2", COMPILED, seen)


@pytest.mark.parametrize(
    "path", [path for path in INPUTS if path.name not in DEPENDENT], ids=lambda path: path.name
)
def test_any_input_of_the_corpus_comes_to_the_same(path: Path) -> None:
    data = path.read_bytes()
    whole = outcome([data])
    for pieces in splits(data).values():
        assert outcome(pieces) == whole


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([path for path in INPUTS if path.name not in DEPENDENT]), st.lists(st.integers(0, 20_000))
)
def test_any_split_of_the_corpus_comes_to_the_same(path: Path, cuts: list[int]) -> None:
    data = path.read_bytes()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assert outcome([data[a:b] for a, b in pairwise(edges)]) == outcome([data])
