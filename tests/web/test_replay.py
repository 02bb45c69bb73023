"""Both builds make the same of one kept corpus."""

import json

from tests.support.builds import assert_builds_agree
from tests.web.replay import COMPILED, CORPUS, PARSERS, results


def test_both_builds_agree() -> None:
    assert_builds_agree("tests.web.replay", COMPILED, results())


def test_the_corpus_has_what_each_parser_takes_and_what_it_refuses() -> None:
    assert json.loads(CORPUS.read_text()).keys() == PARSERS.keys()
    made = results()
    assert made["routes '/items/7'"] == [200, "/items/{id:int} {'id': 7}"]
    assert made["cookies 'a=b; c=\"d e\"'"] == {"a": "b", "c": "d e"}
    assert made["ranges 'bytes=2-1'"].startswith("refused: MalformedRangeHeader")
