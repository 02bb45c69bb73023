"""RFC 9110 §13.2.2: the order of preconditions, each combination of them."""

import itertools

import pytest

from tidegate.asgi.preconditions import Answer, Preconditions

TAG, DATE = '"now"', "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER, LATER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"

# field -> value -> whether its condition is true of TAG and DATE (None: to be ignored)
CONDITIONS: dict[str, dict[str | None, bool | None]] = {
    "if-match": {None: None, '"now"': True, "*": True, '"x", "now"': True, '"old"': False, 'W/"now"': False},
    "if-unmodified-since": {None: None, DATE: True, LATER: True, EARLIER: False, "yesterday": None},
    "if-none-match": {None: None, '"now"': False, 'W/"now"': False, "*": False, '"old"': True},
    "if-modified-since": {None: None, DATE: False, LATER: False, EARLIER: True, "0": None},
}


def expected(method: str, truth: dict[str, bool | None], given: dict[str, str | None]) -> Answer:
    """The section's steps, word for word."""
    reading = method in ("GET", "HEAD")
    if given["if-match"] is not None:  # step 1
        if not truth["if-match"]:
            return Answer.PRECONDITION_FAILED
    elif truth["if-unmodified-since"] is False:  # step 2
        return Answer.PRECONDITION_FAILED
    if given["if-none-match"] is not None:  # step 3
        if truth["if-none-match"]:
            return Answer.PROCEED
        return Answer.NOT_MODIFIED if reading else Answer.PRECONDITION_FAILED
    if reading and truth["if-modified-since"] is False:  # step 4
        return Answer.NOT_MODIFIED
    return Answer.PROCEED


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_every_combination(method: str) -> None:
    for values in itertools.product(*CONDITIONS.values()):
        given = dict(zip(CONDITIONS, values, strict=True))
        truth = {field: CONDITIONS[field][value] for field, value in given.items()}
        headers = [(field.encode(), value.encode()) for field, value in given.items() if value is not None]
        found = Preconditions(headers).evaluate(method, TAG, DATE)
        assert found is expected(method, truth, given), (method, given)


def test_what_does_not_exist_yet() -> None:
    create = Preconditions([(b"if-none-match", b"*")])
    assert create.evaluate("PUT", None, None, exists=False) is Answer.PROCEED
    assert create.evaluate("PUT", None, None) is Answer.PRECONDITION_FAILED
    change = Preconditions([(b"if-match", b"*")])
    assert change.evaluate("PUT", None, None, exists=False) is Answer.PRECONDITION_FAILED
    assert change.evaluate("PUT", None, None) is Answer.PROCEED


def test_without_validators_nothing_is_known() -> None:
    for field in ("if-modified-since", "if-unmodified-since"):
        conditions = Preconditions([(field.encode(), DATE.encode())])
        assert conditions.evaluate("GET", None, None) is Answer.PROCEED
    assert Preconditions([(b"if-none-match", b'"a"')]).evaluate("GET", None, None) is Answer.PROCEED
    assert Preconditions([(b"if-match", b'"a"')]).evaluate("GET", None, None) is Answer.PRECONDITION_FAILED


def test_lines_are_joined() -> None:
    conditions = Preconditions([(b"if-none-match", b'"a"'), (b"x", b"y"), (b"if-none-match", b'"now"')])
    assert conditions.evaluate("GET", TAG, DATE) is Answer.NOT_MODIFIED
    # §13.1.3: not one date
    twice = Preconditions([(b"if-modified-since", DATE.encode())] * 2)
    assert twice.evaluate("GET", None, DATE) is Answer.PROCEED


def test_truth() -> None:
    assert not Preconditions([(b"if-range", b'"a"'), (b"host", b"a")])
    assert Preconditions([(b"if-unmodified-since", DATE.encode())])


@pytest.mark.parametrize(
    ("if_range", "etag", "applies"),
    [
        (None, TAG, True),
        (TAG, TAG, True),
        (DATE, TAG, True),
        (EARLIER, TAG, False),
        (LATER, TAG, False),  # §13.1.5: the exact date
        ('W/"now"', 'W/"now"', False),
        ('"old"', TAG, False),
    ],
)
def test_if_range(if_range: str | None, etag: str, applies: bool) -> None:
    headers = [] if if_range is None else [(b"if-range", if_range.encode())]
    assert Preconditions(headers).range_applies(etag, DATE) is applies
