"""RFC 9110 §13.2.2: the order of preconditions, each combination of them."""

import itertools
import os
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.asgi.preconditions import Answer, Preconditions, http_date

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


def test_a_long_list_of_tags_is_not_read() -> None:
    for length, answer in ((4088, Answer.NOT_MODIFIED), (4089, Answer.PROCEED)):
        value = b'"now", ' + b"," * (length + 1)
        found = Preconditions([(b"if-none-match", value)]).evaluate("GET", TAG, None)
        assert found == answer, len(value)


@pytest.fixture(scope="module", autouse=True)
def elsewhere() -> Iterator[None]:
    """No date may depend on where the server stands."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Kolkata"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_formats_of_a_date(text: str) -> None:
    assert http_date(text) == 784111777


@given(st.integers(0, 4_102_444_800))
def test_dates_of_our_own(seconds: int) -> None:
    assert http_date(formatdate(seconds, usegmt=True)) == seconds
    assert http_date(time.asctime(time.gmtime(seconds))) == seconds


def test_a_year_of_two_digits() -> None:
    # RFC 9110 §5.6.7: more than 50 years ahead is the past.
    for ahead in (-49, -1, 0, 50):
        year = time.gmtime().tm_year + ahead
        long = f"Sun, 06 Nov {year} 08:49:37 GMT"
        assert http_date(f"Sunday, 06-Nov-{year % 100:02} 08:49:37 GMT") == http_date(long)
    year = time.gmtime().tm_year + 51
    long = f"Sun, 06 Nov {year - 100} 08:49:37 GMT"
    assert http_date(f"Sunday, 06-Nov-{year % 100:02} 08:49:37 GMT") == http_date(long)


def test_a_leap_second() -> None:
    before = http_date("Sat, 31 Dec 2016 23:59:59 GMT")
    assert before is not None
    assert http_date("Sat, 31 Dec 2016 23:59:60 GMT") == before + 1


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 +0200",
        "Sun, 06 Nov 1994 08:49:37 EST",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_date(text: str | None) -> None:
    assert http_date(text) is None
