from tidegate.http.date import format_date
from tidegate.http.status import REASONS


def test_reasons() -> None:
    known = {200: b"OK", 404: b"Not Found", 413: b"Content Too Large", 422: b"Unprocessable Content"}
    assert {status: REASONS[status] for status in known} == known
    assert 599 not in REASONS  # RFC 9112 §4: the phrase may be empty


def test_dates() -> None:
    assert format_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"  # RFC 9110 §5.6.7
    assert format_date(0.9) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert format_date(1709164800) == b"Thu, 29 Feb 2024 00:00:00 GMT"
