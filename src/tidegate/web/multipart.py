"""multipart/form-data (RFC 7578, RFC 2046 §5.1), parsed as it arrives: no I/O, one pass, everything but the
files capped.

One grammar for header parameters, the one that browsers write (WHATWG HTML, "multipart/form-data encoding
algorithm"):
`filename*` is not read (RFC 7578 §4.2 forbids it), and a parameter given twice is an error, so nothing is
understood two ways.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

MAX_BOUNDARY_LENGTH = 70  # RFC 2046 §5.1.1
MAX_PART_HEADER_SIZE = 8 * 1024
MAX_PART_HEADERS = 8
MAX_PREAMBLE_SIZE = 8 * 1024
MAX_EPILOGUE_SIZE = 64 * 1024
MAX_PADDING = 256

BOUNDARY_CHARACTERS = frozenset(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'()+_,-./:=? "
)
TOKEN_CHARACTERS = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class MultipartError(ValueError):
    """The body is not multipart/form-data, or passes a limit."""


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """`value; name=token; name="quoted"` as the lower-cased value and its parameters (RFC 9110 §5.6.6), in
    one pass.

    Names are lower-cased. Raises MultipartError for a name given twice, or an unfinished quoted string.
    """
    head, _, rest = value.partition(";")
    parameters: dict[str, str] = {}
    index, end = 0, len(rest)
    while index < end:
        if rest[index] in "; \t":
            index += 1
            continue
        start = index
        while index < end and rest[index] not in "=;":
            index += 1
        name = rest[start:index].strip().lower()
        text = ""
        if index < end and rest[index] == "=":
            index += 1
            while index < end and rest[index] in " \t":
                index += 1
            if index < end and rest[index] == '"':
                index += 1
                pieces: list[str] = []
                start = index
                while True:
                    if index >= end:
                        raise MultipartError("Unfinished quoted string in a header parameter.")
                    if rest[index] == '"':
                        break
                    # Only the quote is escaped so: a backslash in a file name is itself.
                    if rest[index] == "\\" and index + 1 < end and rest[index + 1] == '"':
                        pieces.append(rest[start:index])
                        start = index + 1
                        index += 1
                    index += 1
                pieces.append(rest[start:index])
                text = "".join(pieces)
                index += 1
                while index < end and rest[index] != ";":
                    index += 1
            else:
                start = index
                while index < end and rest[index] != ";":
                    index += 1
                text = rest[start:index].strip()
        if name in parameters:
            raise MultipartError(f"Header parameter {name!r} is given twice.")
        parameters[name] = text
    return head.strip().lower(), parameters


def check_boundary(boundary: bytes) -> bytes:
    if not boundary or len(boundary) > MAX_BOUNDARY_LENGTH or not BOUNDARY_CHARACTERS.issuperset(boundary):
        raise MultipartError("Invalid multipart data.")
    return boundary


class Event(Enum):
    PART_BEGIN = "begin"  # with its header fields, names lower-cased
    PART_DATA = "data"  # with octets
    PART_END = "end"
    END = "complete"


class State(Enum):
    PREAMBLE = 0
    DELIMITER = 1  # after `--boundary`: what ends the line, or the body
    HEADERS = 2
    DATA_BEGIN = 3
    DATA = 4
    EPILOGUE = 5


class MultipartDecoder:
    """Feed it octets as they arrive; it gives (event, value) pairs. Holds back less than a delimiter of
    data."""

    __slots__ = ("_delimiter", "_pending", "_state", "_stray")

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + check_boundary(boundary)
        # A delimiter begins with the line break before it, which the first one may lack.
        self._pending = b"\r\n"
        self._state = State.PREAMBLE
        self._stray = 0

    @property
    def complete(self) -> bool:
        return self._state is State.EPILOGUE

    def feed(self, data: bytes) -> list[tuple[Event, Any]]:
        """The events of the next octets. Raises MultipartError."""
        events: list[tuple[Event, Any]] = []
        data = self._pending + data if self._pending else data
        self._pending = b""
        position = 0
        while True:
            before = position
            state = self._state
            if state is State.DATA:
                position = self._data(data, position, events)
            elif state is State.PREAMBLE:
                position = self._preamble(data, position)
            elif state is State.DELIMITER:
                position = self._after_delimiter(data, position, events)
            elif state is State.HEADERS:
                position = self._headers(data, position, events)
            elif state is State.DATA_BEGIN:
                position = self._begin_data(data, position, events)
            else:
                self._stray += len(data) - position
                if self._stray > MAX_EPILOGUE_SIZE:
                    raise MultipartError("Too much data after the last part.")
                return events
            if position == before and self._state is state:
                self._pending = data[position:]
                return events

    def finish(self) -> None:
        """The body has ended. Raises MultipartError if its last delimiter has not been seen."""
        if self._state is not State.EPILOGUE:
            raise MultipartError("The multipart body ends before its last boundary.")

    def _preamble(self, data: bytes, position: int) -> int:
        delimiter = self._delimiter
        found = data.find(delimiter, position)
        if found < 0:
            keep = max(len(data) - len(delimiter) + 1, position)
            self._count_stray(keep - position)
            return keep
        self._count_stray(found - position)
        self._state = State.DELIMITER
        return found + len(delimiter)

    def _count_stray(self, octets: int) -> None:
        self._stray += octets
        if self._stray > MAX_PREAMBLE_SIZE:
            raise MultipartError("Too much data before the first part.")

    def _after_delimiter(self, data: bytes, position: int, events: list[tuple[Event, Any]]) -> int:
        end = len(data)
        if end - position < 2:
            return position
        if data.startswith(b"--", position):
            self._state = State.EPILOGUE
            self._stray = 0
            events.append((Event.END, None))
            return position + 2
        index = position  # RFC 2046 §5.1.1: transport padding
        while index < end and data[index] in b" \t":
            index += 1
        if index - position > MAX_PADDING:
            raise MultipartError("Too much padding after a boundary.")
        if end - index < 2:
            return position
        if not data.startswith(b"\r\n", index):
            raise MultipartError("A boundary is followed by other data.")
        self._state = State.HEADERS
        # Keep the line break: a part without header fields is one more line break.
        return index

    def _headers(self, data: bytes, position: int, events: list[tuple[Event, Any]]) -> int:
        found = data.find(b"\r\n\r\n", position, position + MAX_PART_HEADER_SIZE + 4)
        if found < 0:
            if len(data) - position >= MAX_PART_HEADER_SIZE + 4:
                raise MultipartError("The header of a part is too large.")
            return position
        events.append((Event.PART_BEGIN, parse_part_header(data[position + 2 : found])))
        self._state = State.DATA_BEGIN
        # The line break that ends the header may begin the delimiter, if the part is empty.
        return found + 2

    def _begin_data(self, data: bytes, position: int, events: list[tuple[Event, Any]]) -> int:
        delimiter = self._delimiter
        if data.startswith(delimiter, position):
            events.append((Event.PART_END, None))
            self._state = State.DELIMITER
            return position + len(delimiter)
        if len(data) - position < len(delimiter) and delimiter.startswith(data[position:]):
            return position
        self._state = State.DATA
        return position + 2

    def _data(self, data: bytes, position: int, events: list[tuple[Event, Any]]) -> int:
        delimiter = self._delimiter
        found = data.find(delimiter, position)
        if found >= 0:
            if found > position:
                events.append((Event.PART_DATA, data[position:found]))
            events.append((Event.PART_END, None))
            self._state = State.DELIMITER
            return found + len(delimiter)
        # What may be the beginning of the delimiter waits for more.
        keep = data.rfind(b"\r", max(position, len(data) - len(delimiter) + 1))
        end = len(data)
        while keep >= 0 and not delimiter.startswith(data[keep:end]):
            keep = data.rfind(b"\r", max(position, end - len(delimiter) + 1), keep)
        stop = end if keep < 0 else keep
        if stop > position:
            events.append((Event.PART_DATA, data[position:stop] if position or stop < end else data))
        return stop


def parse_part_header(block: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields of a part, names lower-cased. Raises MultipartError."""
    fields: list[tuple[bytes, bytes]] = []
    if not block:
        return fields
    lines = block.split(b"\r\n", MAX_PART_HEADERS)
    if len(lines) > MAX_PART_HEADERS:
        raise MultipartError("A part has too many header fields.")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not TOKEN_CHARACTERS.issuperset(name):
            raise MultipartError("Malformed header field in a part.")
        if b"\r" in value or b"\n" in value or b"\0" in value:
            raise MultipartError("Malformed header field in a part.")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields
