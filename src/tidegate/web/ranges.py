"""Range requests and preconditions (RFC 9110 §13 and §14), decided without I/O."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.web.datastructures import Headers

MAX_DIGITS = 19  # more than any file size has


class MalformedRangeHeader(Exception):
    def __init__(self, content: str = "Malformed range header.") -> None:
        self.content = content


class RangeNotSatisfiable(Exception):
    def __init__(self, max_size: int) -> None:
        self.max_size = max_size


def parse_range(value: str, size: int, max_ranges: int) -> list[tuple[int, int]] | None:
    """The ranges of a Range field as sorted, merged [start, end) pairs within `size` octets.

    None: the field is to be ignored (another unit: RFC 9110 §14.2; more members than `max_ranges`).
    Raises MalformedRangeHeader, RangeNotSatisfiable (no member is satisfiable: §15.5.17). Linear but for
    one sort.
    """
    unit, equals, specifier = value.partition("=")
    if not equals:
        raise MalformedRangeHeader()
    if unit.strip().lower() != "bytes":
        return None
    members = specifier.split(",", max_ranges + 1)
    if len(members) > max_ranges:
        return None
    ranges: list[tuple[int, int]] = []
    asked = False
    for member in members:
        first, dash, last = member.strip().partition("-")
        first, last = first.strip(), last.strip()
        if not dash or not (first or last) or not is_position(first) or not is_position(last):
            continue
        asked = True
        if not first:  # suffix-range: the last N octets
            length = min(int(last), size)
            if length:
                ranges.append((size - length, size))
            continue
        start = int(first)
        end = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            raise MalformedRangeHeader("Range header: start must be less than end")
        if start < size:
            ranges.append((start, end))
    if not asked:
        raise MalformedRangeHeader("Range header: range must be requested")
    if not ranges:
        raise RangeNotSatisfiable(size)
    ranges.sort()
    merged = [ranges[0]]
    for start, end in ranges[1:]:
        last_start, last_end = merged[-1]
        if start <= last_end:
            merged[-1] = (last_start, max(last_end, end))
        else:
            merged.append((start, end))
    return merged


def is_position(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS)


ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"|[^\s,"]+')


def entity_tags(value: str) -> list[str]:
    """The members of an If-Match or If-None-Match field (RFC 9110 §8.8.3), `W/` kept; unquoted ones as
    they are."""
    return ENTITY_TAG.findall(value)


def not_modified(request: Headers, etag: str | None, last_modified: str | None) -> bool:
    """Whether 304 answers a GET or HEAD: If-None-Match by weak comparison, which outranks If-Modified-
    Since (§13.2.2)."""
    none_match = request.getlist("if-none-match")
    if none_match:
        if etag is None:
            return False
        opaque = etag.removeprefix("W/")
        tags = entity_tags(",".join(none_match))
        return tags == ["*"] or any(tag.removeprefix("W/") == opaque for tag in tags)
    since, modified = http_date(request.get("if-modified-since")), http_date(last_modified)
    return since is not None and modified is not None and since >= modified


def precondition_failed(request: Headers, etag: str | None, last_modified: str | None) -> bool:
    """Whether 412 answers: If-Match by strong comparison, else If-Unmodified-Since (RFC 9110 §13.1.1,
    §13.1.4)."""
    match = request.getlist("if-match")
    if match:
        tags = entity_tags(",".join(match))
        return tags != ["*"] and (etag is None or etag.startswith("W/") or etag not in tags)
    since, modified = http_date(request.get("if-unmodified-since")), http_date(last_modified)
    return since is not None and modified is not None and modified > since


def range_applies(if_range: str | None, etag: str | None, last_modified: str | None) -> bool:
    """Whether If-Range lets the Range field count: the exact date, or the same strong tag (RFC 9110
    §13.1.5)."""
    if if_range is None:
        return True
    if if_range == last_modified:
        return True
    return etag is not None and not etag.startswith("W/") and if_range == etag


def http_date(value: str | None) -> float | None:
    """Seconds since the epoch of an HTTP-date (RFC 9110 §5.6.7), or None if there is none that can be
    read."""
    if not value:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def byteranges_head(boundary: str, content_type: str, start: int, end: int, size: int) -> bytes:
    """The head of one part of multipart/byteranges (RFC 9110 §14.6)."""
    return (
        f"--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Range: bytes {start}-{end - 1}/{size}\r\n\r\n"
    ).encode("latin-1")


def byteranges_length(ranges: Sequence[tuple[int, int]], boundary: str, content_type: str, size: int) -> int:
    parts = sum(
        len(byteranges_head(boundary, content_type, start, end, size)) + (end - start) + len("\r\n")
        for start, end in ranges
    )
    return parts + len(f"--{boundary}--")
