"""The chunked transfer coding, decoded (RFC 9112 §7.1)."""

from tidegate.http.errors import RequestError
from tidegate.http.fields import FORBIDDEN_TRAILERS, TOKEN
from tidegate.http1.section import FieldSection

_MAX_SIZE_DIGITS = 16
_MAX_SIZE = 1 << 59  # with one more digit a size stays within 63 bits
_MAX_EXTENSION = 256  # octets behind the size in one chunk line
_MAX_EXTENSIONS = 16 * 1024  # and in one message: extensions are a way to send much that means nothing

# States. Those up to _LINE_LF are those of a chunk line, and rows of _NEXT.
(
    _REFUSED,
    _SIZE_FIRST,  # the size's first digit
    _SIZE,  # more digits
    _BEFORE_SEMICOLON,  # BWS before ";"
    _AFTER_SEMICOLON,  # BWS behind ";", before a name
    _NAME,
    _BEFORE_EQUALS,  # BWS behind a name
    _AFTER_EQUALS,  # BWS behind "="
    _VALUE,  # a token
    _QUOTED,  # inside a quoted-string
    _ESCAPED,  # behind a backslash in it
    _QUOTED_END,  # behind its closing quote
    _LINE_LF,  # behind the CR
    _LINE_END,  # behind the LF
    _DATA,
    _DATA_CR,
    _DATA_LF,
    _TRAILERS,
    _COMPLETE,
) = range(19)

# Classes of octets in a chunk line: columns of _NEXT.
_OTHER, _HEXDIG, _TCHAR, _BLANK, _SEMICOLON, _EQUALS, _QUOTE, _BACKSLASH, _TEXT, _CR, _LF = range(11)
_CLASSES = 11


def _octet_class(c: int) -> int:
    if c in b"0123456789ABCDEFabcdef":
        return _HEXDIG
    if TOKEN[c]:
        return _TCHAR
    special = {0x20: _BLANK, 0x09: _BLANK, 0x3B: _SEMICOLON, 0x3D: _EQUALS, 0x22: _QUOTE, 0x5C: _BACKSLASH}
    special |= {0x0D: _CR, 0x0A: _LF, 0x7F: _OTHER}
    return special.get(c, _TEXT if c > 0x20 else _OTHER)


_CLASS = bytes(_octet_class(c) for c in range(256))


def _transitions() -> bytes:
    """chunk-size [ chunk-ext ] CRLF (RFC 9112 §7.1, §7.1.1): a row per state, a column per class of octet."""
    after_name = {_SEMICOLON: _AFTER_SEMICOLON, _EQUALS: _AFTER_EQUALS}
    after_value = {_BLANK: _BEFORE_SEMICOLON, _SEMICOLON: _AFTER_SEMICOLON, _CR: _LINE_LF}
    quoted = dict.fromkeys((_HEXDIG, _TCHAR, _BLANK, _SEMICOLON, _EQUALS, _TEXT), _QUOTED)
    rows: dict[int, dict[int, int]] = {
        _REFUSED: {},
        _SIZE_FIRST: {_HEXDIG: _SIZE},
        _SIZE: {_HEXDIG: _SIZE} | after_value,
        _BEFORE_SEMICOLON: {_BLANK: _BEFORE_SEMICOLON, _SEMICOLON: _AFTER_SEMICOLON},
        _AFTER_SEMICOLON: {_BLANK: _AFTER_SEMICOLON, _HEXDIG: _NAME, _TCHAR: _NAME},
        _NAME: {_HEXDIG: _NAME, _TCHAR: _NAME, _BLANK: _BEFORE_EQUALS, _CR: _LINE_LF} | after_name,
        _BEFORE_EQUALS: {_BLANK: _BEFORE_EQUALS} | after_name,
        _AFTER_EQUALS: {_BLANK: _AFTER_EQUALS, _HEXDIG: _VALUE, _TCHAR: _VALUE, _QUOTE: _QUOTED},
        _VALUE: {_HEXDIG: _VALUE, _TCHAR: _VALUE} | after_value,
        _QUOTED: quoted | {_QUOTE: _QUOTED_END, _BACKSLASH: _ESCAPED},
        _ESCAPED: quoted | {_QUOTE: _QUOTED, _BACKSLASH: _QUOTED},
        _QUOTED_END: after_value,
        _LINE_LF: {_LF: _LINE_END},
    }
    return bytes(row.get(column, _REFUSED) for row in rows.values() for column in range(_CLASSES))


_NEXT = _transitions()
_HEX = bytes(int(chr(c), 16) if c in b"0123456789ABCDEFabcdef" else 0 for c in range(256))


class ChunkedDecoder:
    """Decodes one chunked body after another, however they are split.

    `max_trailers` is in octets, the last CRLF included; `max_fields` a number of trailer fields. Once
    `complete`, `trailers` is a list of (lower-case name, value); `reset` makes ready for the next body.
    """

    __slots__ = (
        "_digits",
        "_extension",
        "_extensions",
        "_left",
        "_max_trailers",
        "_section",
        "_state",
        "complete",
        "trailers",
    )

    def __init__(self, max_trailers: int, max_fields: int) -> None:
        self._max_trailers = max_trailers
        self._section = FieldSection(max_fields)
        self.reset()

    def reset(self) -> None:
        """Make ready for the next body."""
        self.complete = False
        self.trailers: list[tuple[bytes, bytes]] = []
        self._state = _SIZE_FIRST
        self._digits = 0  # of the size in this chunk line
        self._left = 0  # the size, then how much of the chunk is still to come
        self._extension = 0  # octets behind the size in this chunk line
        self._extensions = 0  # and in this body

    def receive(self, data: bytes, start: int, chunks: list[bytes]) -> int:
        """Take `data[start:]` up to the end of the body, append its content to `chunks`; the index behind it.

        Content that is the whole of `data` is appended as that very object. Raises RequestError: 400 for what
        is malformed (RFC 9112 §7.1), 431 for a trailer section over its limits.
        """
        p = data
        n = len(data)
        i = start
        while i < n and self._state != _COMPLETE:
            if self._state == _DATA:
                size = min(n - i, self._left)
                chunks.append(data if size == n else p[i : i + size])
                self._left -= size
                i += size
                if self._left == 0:
                    self._state = _DATA_CR
            elif self._state < _LINE_END:
                i = self._take_line(data, i)
            elif self._state == _TRAILERS:
                i = self._section.receive(data, i)
                if i < 0:
                    return n
                self._take_trailers()
            else:
                # RFC 9112 §7.1: chunk-data CRLF
                if p[i] != (0x0D if self._state == _DATA_CR else 0x0A):
                    raise RequestError(400, "chunk is not followed by CRLF")
                self._state = _DATA_LF if self._state == _DATA_CR else _SIZE_FIRST
                i += 1
        return i

    def _take_line(self, data: bytes, start: int) -> int:
        """Take a chunk line, or as much of it as has come; the index behind."""
        p = data
        classes = _CLASS
        following = _NEXT
        digits = _HEX
        state = self._state
        size = self._left
        n = len(data)
        i = start
        while i < n and state != _LINE_END:
            c = p[i]
            state = following[state * _CLASSES + classes[c]]
            if state == _SIZE:
                self._digits += 1
                # bounded before the arithmetic, so that no size wraps around
                if self._digits > _MAX_SIZE_DIGITS or size >= _MAX_SIZE:
                    raise RequestError(400, "chunk size too large")
                size = size * 16 + digits[c]
            elif state == _REFUSED:
                raise RequestError(400, "malformed chunk line")
            elif state < _LINE_LF:
                self._extension += 1
                self._extensions += 1
                if self._extension > _MAX_EXTENSION or self._extensions > _MAX_EXTENSIONS:
                    raise RequestError(400, "chunk extensions too long")
            i += 1
        if state == _LINE_END:
            self._digits = 0
            self._extension = 0
            state = _DATA
            if size == 0:
                state = _TRAILERS
                self._section.begin(self._max_trailers)
        self._left = size
        self._state = state
        return i

    def _take_trailers(self) -> None:
        # RFC 9110 §6.5.1 forbids these there, and RFC 9112 §7.1.2 lets a recipient discard trailer fields.
        self.trailers = [field for field in self._section.fields if field[0] not in FORBIDDEN_TRAILERS]
        self._state = _COMPLETE
        self.complete = True
