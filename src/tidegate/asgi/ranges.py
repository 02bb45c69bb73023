"""Range requests (RFC 9110 §14), decided without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# More than any size has; longer numbers are not computed, but taken for this many nines.
MAX_DIGITS = 19


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
            length = min(position(last), size)
            if length:
                ranges.append((size - length, size))
            continue
        start = position(first)
        end = min(position(last) + 1, size) if last else size
        if last and position(last) < start:
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
    return not text or (text.isascii() and text.isdigit())


def position(digits: str) -> int:
    # RFC 9110 §14.1.2: what is past the end means the end, however far.
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS - 1


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
