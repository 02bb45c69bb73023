"""Conditional requests (RFC 9110 §13), decided without I/O from ASGI header fields."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Octets of a list of tags that is read: repeated by HPACK, a long one costs its sender next to nothing.
MAX_TAGS = 4096
ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"|[^\s,"]+')

# RFC 9110 §5.6.7: IMF-fixdate, and what is obsolete: RFC 850's format, asctime's. All of them are in UTC.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
MONTH = f"(?P<month>{'|'.join(MONTHS)})"
TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
HTTP_DATES = (
    re.compile(f"{DAY}, (?P<day>[0-9]{{2}}) {MONTH} (?P<year>[0-9]{{4}}) {TIME} GMT"),
    re.compile(f"{LONG_DAY}, (?P<day>[0-9]{{2}})-{MONTH}-(?P<year>[0-9]{{2}}) {TIME} GMT"),
    re.compile(f"{DAY} {MONTH} (?P<day>[0-9 ][0-9]) {TIME} (?P<year>[0-9]{{4}})"),
)

LISTS = (b"if-match", b"if-none-match")


class Answer(Enum):
    """What the preconditions of a request make of it."""

    PROCEED = 200
    NOT_MODIFIED = 304
    PRECONDITION_FAILED = 412


def entity_tags(value: str) -> list[str]:
    """The members of an If-Match or If-None-Match field (RFC 9110 §8.8.3), `W/` kept; unquoted ones as
    they are. None of a list that is longer than MAX_TAGS octets, by which a condition is false at worst."""
    return ENTITY_TAG.findall(value) if len(value) <= MAX_TAGS else []


def http_date(value: str | None) -> float | None:
    """Seconds since the epoch of an HTTP-date (RFC 9110 §5.6.7); None for anything else."""
    if not value:
        return None
    for pattern in HTTP_DATES:
        found = pattern.fullmatch(value)
        if found is not None:
            break
    else:
        return None
    year, day, hour, minute, second = map(int, found.group("year", "day", "hour", "minute", "second"))
    if len(found["year"]) == 2:
        # One that would be more than 50 years ahead is the last one in the past with the same digits.
        now = time.gmtime().tm_year
        year += now - now % 100
        if year > now + 50:
            year -= 100
    leap = second == 60
    try:
        read = datetime(year, MONTHS.index(found["month"]) + 1, day, hour, minute, second - leap, tzinfo=UTC)
    except ValueError:
        return None
    return read.timestamp() + leap


class Preconditions:
    """The conditional fields of one request; None for those that it lacks."""

    __slots__ = ("if_match", "if_modified_since", "if_none_match", "if_range", "if_unmodified_since")

    if_match: str | None
    if_none_match: str | None
    if_modified_since: str | None
    if_unmodified_since: str | None
    if_range: str | None

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`headers`: the fields of the request, names lower-cased."""
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if not name.startswith(b"if-"):
                continue
            if name not in found:
                found[name] = value
            elif name in LISTS:
                found[name] += b", " + value
            else:  # §13.1.3, §13.1.4: several dates are none
                found[name] = b""
        self.if_match = text(found.get(b"if-match"))
        self.if_none_match = text(found.get(b"if-none-match"))
        self.if_modified_since = text(found.get(b"if-modified-since"))
        self.if_unmodified_since = text(found.get(b"if-unmodified-since"))
        self.if_range = text(found.get(b"if-range"))

    def __bool__(self) -> bool:
        """Whether there is anything to evaluate."""
        return not (
            self.if_match is None
            and self.if_none_match is None
            and self.if_modified_since is None
            and self.if_unmodified_since is None
        )

    def evaluate(
        self, method: str, etag: str | None, last_modified: str | None, *, exists: bool = True
    ) -> Answer:
        """RFC 9110 §13.2.2, steps 1 to 4, for a representation with these validators (or, without `exists`,
        none)."""
        reading = method in ("GET", "HEAD")
        if self.if_match is not None:
            if not self._matches(etag, exists):
                return Answer.PRECONDITION_FAILED
        elif self.if_unmodified_since is not None and self._modified_since(
            self.if_unmodified_since, last_modified, unknown=False
        ):
            return Answer.PRECONDITION_FAILED
        if self.if_none_match is not None:
            if self._none_matches(etag, exists):
                return Answer.PROCEED
            return Answer.NOT_MODIFIED if reading else Answer.PRECONDITION_FAILED
        if (
            reading
            and self.if_modified_since is not None
            and not self._modified_since(self.if_modified_since, last_modified, unknown=True)
        ):
            return Answer.NOT_MODIFIED
        return Answer.PROCEED

    def _matches(self, etag: str | None, exists: bool) -> bool:
        """§13.1.1, by strong comparison."""
        assert self.if_match is not None
        tags = entity_tags(self.if_match)
        if tags == ["*"]:
            return exists
        return etag is not None and not etag.startswith("W/") and etag in tags

    def _none_matches(self, etag: str | None, exists: bool) -> bool:
        """§13.1.2, by weak comparison."""
        assert self.if_none_match is not None
        tags = entity_tags(self.if_none_match)
        if tags == ["*"]:
            return not exists
        if etag is None:
            return True
        opaque = etag.removeprefix("W/")
        return all(tag.removeprefix("W/") != opaque for tag in tags)

    def _modified_since(self, field: str, last_modified: str | None, *, unknown: bool) -> bool:
        """§13.1.3, §13.1.4: `unknown` where there is no date to compare, and the field is to be ignored."""
        since, modified = http_date(field), http_date(last_modified)
        if since is None or modified is None:
            return unknown
        return modified > since

    def range_applies(self, etag: str | None, last_modified: str | None) -> bool:
        """Whether If-Range lets the Range field count: the exact date, or the same strong tag (§13.1.5)."""
        if_range = self.if_range
        if if_range is None or if_range == last_modified:
            return True
        return etag is not None and not etag.startswith("W/") and if_range == etag


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
