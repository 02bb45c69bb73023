"""Header and trailer sections, line by line (RFC 9112 §5)."""

from tidegate.http.errors import RequestError
from tidegate.http.fields import KNOWN, TOKEN, VALUE

_KNOWN = KNOWN
_TOKEN = TOKEN
_VALUE = VALUE

# Known names by a hash of their length and three octets: found without making an object of what was received.
# Those that share a slot with another are found in KNOWN, as if they were spelt unusually.
_SLOTS = 1024
_SPELLED: list[bytes] = [b""] * _SLOTS
_NAMES: list[bytes] = [b""] * _SLOTS
for _name, _lowered in KNOWN.items():
    _slot = (
        len(_name) * 57 + _name[0] * 11 + _name[len(_name) >> 1] * 14 + _name[len(_name) - 1] * 12
    ) % _SLOTS
    _SPELLED[_slot] = _name
    _NAMES[_slot] = _lowered


class FieldSection:
    """Takes one field section, however it is split, in time linear in its octets.

    `begin` starts a section; `receive` fills `fields`, a list of (lower-case name, value), and raises
    RequestError 400 for a malformed line, 431 beyond the octets given (the last CRLF included) or the number
    of fields.
    """

    __slots__ = ("_ended", "_max_fields", "_partial", "_previous", "_repeated", "_room", "fields")

    def __init__(self, max_fields: int) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self._max_fields = max_fields
        self._partial = bytearray()  # an unfinished line
        self._room = 0
        self._ended = False
        # A client's requests are much alike: a field that stood there in its last one is not made anew.
        self._previous: list[tuple[bytes, bytes]] = []
        self._repeated = True

    def forget(self) -> None:
        """Let go of the last section's fields."""
        self.fields = []
        self._previous = []

    def begin(self, max_octets: int) -> None:
        self.fields = []
        self._partial.clear()
        self._room = max_octets
        self._ended = False
        self._repeated = True

    def receive(self, data: bytes, start: int) -> int:
        """Take `data[start:]`; the index behind the section's empty line, or -1 where more is needed."""
        n = len(data)
        i = start
        if self._partial:
            # A line is read again only once it is whole, so that small pieces do not cost its square.
            end = data.find(b"\n", i) + 1
            size = (end if end else n) - i
            if size > self._room:
                raise RequestError(431, "header section too large")
            self._partial += data[i : i + size]
            self._room -= size
            i += size
            if end:
                line = bytes(self._partial)
                self._partial.clear()
                self._take_lines(line, 0, len(line))
                if self._ended:
                    return i
        size = min(n - i, self._room)
        end = self._take_lines(data, i, i + size) if not self._partial else i
        if self._ended:
            return end
        self._room -= size
        if self._room == 0:
            raise RequestError(431, "header section too large")
        if end < n:
            self._partial += data[end:]
        return -1

    def _take_lines(self, data: bytes, start: int, limit: int) -> int:
        """Take the whole lines of `data[start:limit]`, `_ended` at an empty one; the index behind them."""
        p = data
        token = _TOKEN
        allowed = _VALUE
        fields = self.fields
        previous = self._previous
        count = len(fields)
        i = start
        while i < limit:
            colon = i
            while colon < limit and token[p[colon]]:
                colon += 1
            if colon == limit:
                break
            if p[colon] != 0x3A or colon == i:
                if p[i] != 0x0D:
                    raise self._malformed_name(p[colon], colon == i)
                if i + 1 == limit:
                    break
                if p[i + 1] != 0x0A:
                    raise RequestError(400, "bare CR in the header section")  # RFC 9112 §2.2
                self._ended = True
                if not self._repeated or count != len(previous):
                    self._previous = fields[:]
                return i + 2

            length = colon - i
            slot = (length * 57 + p[i] * 11 + p[i + (length >> 1)] * 14 + p[colon - 1] * 12) % _SLOTS
            name = _SPELLED[slot]
            if len(name) == length and data.startswith(name, i):
                name = _NAMES[slot]
            else:
                raw = p[i:colon]
                name = _KNOWN.get(raw, b"")
                if not name:
                    raw = raw.lower()
                    name = _KNOWN.get(raw, raw)

            value = colon + 1
            while value < limit and (p[value] == 0x20 or p[value] == 0x09):
                value += 1
            if count < len(previous):
                field = previous[count]
                known = field[1]
                end = value + len(known)
                if (
                    field[0] is name
                    and end + 1 < limit
                    and p[end] == 0x0D
                    and p[end + 1] == 0x0A
                    and count < self._max_fields
                    and data.startswith(known, value)
                ):
                    fields.append(field)
                    count += 1
                    i = end + 2
                    continue
            end = value
            while end < limit and allowed[p[end]]:
                end += 1
            if end == limit:
                break
            if p[end] != 0x0D:
                # RFC 9110 §5.5; a bare LF ends no line: RFC 9112 §2.2
                raise RequestError(400, "bare LF or control character in a field value")
            if end + 1 == limit:
                break
            if p[end + 1] != 0x0A:
                raise RequestError(400, "bare CR in a field value")  # RFC 9112 §2.2

            if count >= self._max_fields:
                raise RequestError(431, "too many fields")
            last = end
            while last > value and (p[last - 1] == 0x20 or p[last - 1] == 0x09):
                last -= 1
            fields.append((name, p[value:last]))
            count += 1
            self._repeated = False
            i = end + 2
        return i

    def _malformed_name(self, octet: int, first: bool) -> RequestError:
        if octet == 0x20 or octet == 0x09:
            if not first:
                return RequestError(400, "white space between field name and colon")  # RFC 9112 §5.1
            if not self.fields:
                return RequestError(400, "white space before the first field")  # RFC 9112 §2.2
            return RequestError(400, "obsolete line folding")  # RFC 9112 §5.2
        if octet == 0x0A:
            return RequestError(400, "bare LF in the header section")  # RFC 9112 §2.2
        if octet == 0x3A:
            return RequestError(400, "empty field name")
        return RequestError(400, "field name is not a token")  # RFC 9110 §5.1
