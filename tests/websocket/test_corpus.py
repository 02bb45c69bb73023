import json

import pytest

from tests.websocket.corpus import PATH, replay

CASES = json.loads(PATH.read_text())


def test_the_corpus_means_what_it_meant() -> None:
    assert len(CASES) > 900
    for case in CASES:
        kept = {name: case[name] for name in ("events", "sent", "reset")}
        outcome = replay(bytes.fromhex(case["octets"]), case["compress"], 0)
        assert json.loads(json.dumps(outcome)) == kept, case["name"]


@pytest.mark.parametrize("step", [1, 7])
def test_the_corpus_in_pieces_means_the_same(step: int) -> None:
    for case in CASES:
        events = [event[:2] for event in case["events"]]
        outcome = replay(bytes.fromhex(case["octets"]), case["compress"], step)
        # Where several things are wrong, which one is found first depends on the pieces; the code does not.
        assert [event[:2] for event in json.loads(json.dumps(outcome["events"]))] == events, case["name"]
