import pytest

from tidegate.http.date import format_date
from tidegate.http.status import may_have_content, reason


def test_reasons() -> None:
    known = {
        200: b"OK",
        404: b"Not Found",
        413: b"Content Too Large",
        422: b"Unprocessable Content",
        599: b"",
    }
    assert {status: reason(status) for status in known} == known


@pytest.mark.parametrize(
    ("status", "content"),
    [(100, False), (103, False), (200, True), (204, False), (205, True), (304, False), (500, True)],
)
def test_may_have_content(status: int, content: bool) -> None:
    assert may_have_content(status) is content


def test_dates() -> None:
    assert format_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"  # RFC 9110 §5.6.7
    assert format_date(0.9) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert format_date(1709164800) == b"Thu, 29 Feb 2024 00:00:00 GMT"
