"""HPACK: header blocks, decoded and encoded (RFC 7541)."""

from tidegate.http.errors import ProtocolError
from tidegate.http.fields import KNOWN
from tidegate.http2.huffman import COMPRESSION_ERROR, decode_huffman, encode_huffman, huffman_size

DEFAULT_TABLE_SIZE = 4096  # RFC 9113 §6.5.2: SETTINGS_HEADER_TABLE_SIZE, where a peer has not set it
ENTRY_OVERHEAD = 32  # octets: RFC 7541 §4.1, and RFC 9113 §6.5.2 for SETTINGS_MAX_HEADER_LIST_SIZE

# RFC 7541 Appendix A, from index 1: a name, and its values.
_STATIC = (
    (b":authority",),
    (b":method", b"GET", b"POST"),
    (b":path", b"/", b"/index.html"),
    (b":scheme", b"http", b"https"),
    (b":status", b"200", b"204", b"206", b"304", b"400", b"404", b"500"),
    (b"accept-charset",),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name,)
        for name in (
            b"accept-language accept-ranges accept access-control-allow-origin age allow authorization"
            b" cache-control content-disposition content-encoding content-language content-length"
            b" content-location content-range content-type cookie date etag expect expires from host if-match"
            b" if-modified-since if-none-match if-range if-unmodified-since last-modified link location"
            b" max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server"
            b" set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate"
        ).split()
    ),
)

# A lower-case name -> its one object: that of `fields.KNOWN`, or this module's own for pseudo-header fields.
NAMES: dict[bytes, bytes] = {name: name for name in KNOWN.values()}
for _name in (*(row[0] for row in _STATIC), b":protocol"):
    NAMES.setdefault(_name, _name)

STATIC_TABLE: list[tuple[bytes, bytes]] = [
    (NAMES[row[0]], value) for row in _STATIC for value in row[1:] or (b"",)
]
_STATIC_SIZE = len(STATIC_TABLE)
_STATIC_TABLE = [(b"", b""), *STATIC_TABLE]
_STATIC_INDEX = {field: index for index, field in enumerate(_STATIC_TABLE)}
# The first of a name's indices.
_STATIC_NAME = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC_TABLE)))}

_NAMES = NAMES
_COOKIE = NAMES[b"cookie"]
_STATUS_FIELDS = [(NAMES[b":status"], b"%d" % status) for status in range(1000)]

# Integers (§5.1) of no more than this many octets behind the first, all of them within 35 bits.
_MAX_CONTINUATION = 5
_INITIAL_SLOTS = 16

# How a field goes where it is in no table. What changes from one answer to the next would only push what repeats
# out of the table; what is secret must not be guessed by the size of what an attacker makes us send (§7.1).
_INDEXED, _UNINDEXED, _CACHED, _NEVER = range(4)
_POLICY = dict.fromkeys(
    b"age content-range etag expires if-modified-since if-none-match last-modified location retry-after"
    b" server-timing x-correlation-id x-process-time x-request-id".split(),
    _UNINDEXED,
)
# Soon sent again with the same value, and as soon with another: here we remember how it was encoded.
_POLICY.update(dict.fromkeys((b"content-length", b"date"), _CACHED))
_POLICY.update(
    dict.fromkeys(
        (b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"x-csrf-token"), _NEVER
    )
)
_MAX_CACHED = 16
_MAX_SEEN = 64


class DynamicTable:
    """The newest fields first, within `max_size` octets (RFC 7541 §2.3.2, §4).

    A ring: the field inserted as number k, from 0, stands in slot k modulo the number of slots.
    """

    __slots__ = ("_mask", "_ring", "inserted", "length", "max_size", "size")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.size = 0
        self.length = 0
        self.inserted = 0  # how many fields ever
        self._mask = _INITIAL_SLOTS - 1
        self._ring: list[tuple[bytes, bytes] | None] = [None] * _INITIAL_SLOTS

    def get(self, index: int) -> tuple[bytes, bytes]:
        """The field at `index` < `length`, 0 being the newest."""
        return self._ring[(self.inserted - 1 - index) & self._mask]  # type: ignore[return-value]

    def add(self, field: tuple[bytes, bytes]) -> bool:
        """Insert `field`, if it fits into the table at all; an empty table is left where it does not (§4.4)."""
        name, value = field
        size = len(name) + len(value) + ENTRY_OVERHEAD
        self.shrink(self.max_size - size)
        if size > self.max_size:
            return False
        if self.length > self._mask:
            self._grow()
        self._ring[self.inserted & self._mask] = field
        self.inserted += 1
        self.length += 1
        self.size += size
        return True

    def resize(self, max_size: int) -> None:
        self.max_size = max_size
        self.shrink(max_size)

    def shrink(self, size: int) -> None:
        """Evict the oldest fields until no more than `size` octets are left (§4.3)."""
        while self.length and self.size > size:
            slot = (self.inserted - self.length) & self._mask
            field = self._ring[slot]
            name, value = field  # type: ignore[misc]
            self._ring[slot] = None
            self.length -= 1
            self.size -= len(name) + len(value) + ENTRY_OVERHEAD
            self.evicted(field, self.inserted - self.length - 1)  # type: ignore[arg-type]

    def evicted(self, field: tuple[bytes, bytes], number: int) -> None:
        """Called for each field that leaves the table."""

    def _grow(self) -> None:
        fields = [self.get(index) for index in range(self.length)]
        self._mask = self._mask * 2 + 1
        self._ring = [None] * (self._mask + 1)
        for index in range(self.length):
            self._ring[(self.inserted - 1 - index) & self._mask] = fields[index]


class Decoder:
    """Decodes a connection's header blocks, in order.

    `max_table_size` is our SETTINGS_HEADER_TABLE_SIZE, binding once the peer has acknowledged it;
    `max_list_size` our SETTINGS_MAX_HEADER_LIST_SIZE, in octets as RFC 9113 §6.5.2 counts them; `max_fields` a
    number of field lines, among which pseudo-header fields do not count, and all of Cookie's (§8.2.3) count as
    one.
    """

    __slots__ = (
        "_block",
        "_limit",
        "_max_fields",
        "_max_list_size",
        "_max_table_size",
        "_position",
        "_table",
        "_update_due",
        "oversized",
    )

    def __init__(self, max_table_size: int, max_list_size: int, max_fields: int) -> None:
        self.oversized = False  # whether the last block's list passed a limit, and was cut there
        self._max_table_size = max_table_size
        self._max_list_size = max_list_size
        self._max_fields = max_fields
        self._limit = max(max_table_size, DEFAULT_TABLE_SIZE)
        self._table = DynamicTable(DEFAULT_TABLE_SIZE)
        self._update_due = False
        self._block = b""
        self._position = 0

    def settings_acknowledged(self) -> None:
        """The peer has taken our SETTINGS: from here on it keeps to `max_table_size`."""
        self._limit = self._max_table_size
        self._update_due = self._table.max_size > self._limit

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The fields of a whole header block, known names being the objects in NAMES.

        A list that passes a limit is cut there, and `oversized` set; the block is still decoded to its end, as
        the table needs it. Work and memory are linear in the block's size. Raises ProtocolError with
        COMPRESSION_ERROR for what RFC 7541 does not allow.
        """
        p = block
        n = len(block)
        table = self._table
        fields: list[tuple[bytes, bytes]] = []
        room = self._max_list_size
        count = 0
        cookies = False
        updates_end = False
        self.oversized = False
        self._block = block
        self._position = 0
        while self._position < n:
            first = p[self._position]
            if first >= 0x20 and first < 0x40:
                if updates_end:
                    raise ProtocolError(COMPRESSION_ERROR, "table size update behind a field")  # §4.2
                self._update_size()
                continue
            if not updates_end:
                updates_end = True
                if self._update_due:
                    raise ProtocolError(COMPRESSION_ERROR, "table size update missing")  # §4.2
            if first >= 0x80:
                # §6.1: indexed field
                index = first & 0x7F
                if index == 0x7F:
                    index = self._integer(0x7F)
                else:
                    self._position += 1
                if index > _STATIC_SIZE:
                    index -= _STATIC_SIZE + 1
                    if index >= table.length:
                        raise ProtocolError(COMPRESSION_ERROR, "index beyond the tables")  # §2.3.3
                    field = table.get(index)
                elif index:
                    field = _STATIC_TABLE[index]
                else:
                    raise ProtocolError(COMPRESSION_ERROR, "index 0")  # §6.1
                name, value = field
            else:
                # §6.2: literal field, to be indexed (01), not (0000), or never (0001), which is for proxies
                name = self._name(0x3F if first >= 0x40 else 0x0F)
                value = self._string()
                field = (name, value)
                if first >= 0x40:
                    table.add(field)
            if self.oversized:
                continue
            room -= len(name) + len(value) + ENTRY_OVERHEAD
            if name is _COOKIE:
                if not cookies:
                    cookies = True
                    count += 1
            elif not name or name[0] != 0x3A:
                count += 1
            if room < 0 or count > self._max_fields:
                self.oversized = True
            else:
                fields.append(field)
        self._block = b""
        return fields

    def _update_size(self) -> None:
        """Dynamic table size update (§6.3)."""
        size = self._integer(0x1F)
        if size > self._limit:
            raise ProtocolError(COMPRESSION_ERROR, "table size over the limit")
        self._table.resize(size)
        self._update_due = False

    def _name(self, prefix: int) -> bytes:
        index = self._integer(prefix)
        if index == 0:
            name = self._string()
            return _NAMES.get(name, name)
        if index <= _STATIC_SIZE:
            field = _STATIC_TABLE[index]
        else:
            index -= _STATIC_SIZE + 1
            if index >= self._table.length:
                raise ProtocolError(COMPRESSION_ERROR, "index beyond the tables")
            field = self._table.get(index)
        return field[0]

    def _integer(self, prefix: int) -> int:
        """The integer whose first octet's bits of `prefix` are at the position (§5.1)."""
        p = self._block
        n = len(self._block)
        i = self._position
        if i >= n:
            raise ProtocolError(COMPRESSION_ERROR, "header block ends in a field")
        value = p[i] & prefix
        i += 1
        if value == prefix:
            shift = 0
            while True:
                if i >= n:
                    raise ProtocolError(COMPRESSION_ERROR, "header block ends in an integer")
                if shift == 7 * _MAX_CONTINUATION:
                    raise ProtocolError(COMPRESSION_ERROR, "integer too long")
                octet = p[i]
                high = octet & 0x7F
                value += high << shift
                i += 1
                shift += 7
                if octet < 0x80:
                    break
        self._position = i
        return value

    def _string(self) -> bytes:
        """The string literal at the position (§5.2)."""
        p = self._block
        n = len(self._block)
        huffman = self._position < n and p[self._position] >= 0x80
        length = self._integer(0x7F)
        start = self._position
        if length > n - start:
            raise ProtocolError(COMPRESSION_ERROR, "header block ends in a string")
        end = start + length
        self._position = end
        if huffman:
            return decode_huffman(self._block, start, end)
        return p[start:end]


class _EncoderTable(DynamicTable):
    """A dynamic table whose fields are found by what they are."""

    __slots__ = ("fields", "names")

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        # -> number in the table; or, of a field that is not there, its representation
        self.fields: dict[tuple[bytes, bytes], int | bytes] = {}
        self.names: dict[bytes, int] = {}  # -> number of the newest field of this name

    def evicted(self, field: tuple[bytes, bytes], number: int) -> None:
        del self.fields[field]
        name = field[0]
        if self.names[name] == number:
            del self.names[name]


class Encoder:
    """Encodes a connection's header blocks, in order.

    A field goes into the table when it is sent for the second time, so that what is sent once leaves the table
    to what repeats.
    """

    __slots__ = ("_cached", "_least_size", "_out", "_seen", "_table", "_update_due")

    def __init__(self) -> None:
        self._table = _EncoderTable(DEFAULT_TABLE_SIZE)
        self._seen: set[int] = set()  # hashes of fields that were sent once
        self._cached: list[tuple[bytes, bytes]] = []  # those in the table's dictionary only
        self._update_due = False
        self._least_size = DEFAULT_TABLE_SIZE  # since the last block
        self._out = bytearray()

    def set_max_table_size(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE, in octets; of more than our own maximum no use is made."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size != self._table.max_size:
            self._table.resize(size)
            self._least_size = min(size, self._least_size)
            self._update_due = True

    def encode_response(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        """The header block of a response: `status` from 100 to 999, and fields as `encode` takes them."""
        out = self._out = bytearray()
        self._begin()
        self._encode_field(_STATUS_FIELDS[status])
        for field in fields:
            self._encode_field(field)
        return bytes(out)

    def encode(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        """The header block of `fields`, a list of (lower-case name, value)."""
        out = self._out = bytearray()
        self._begin()
        for field in fields:
            self._encode_field(field)
        return bytes(out)

    def _begin(self) -> None:
        if self._update_due:
            # RFC 7541 §4.2: the least size since the last block, then the present one
            if self._least_size < self._table.max_size:
                self._integer(self._least_size, 0x20, 0x1F)
            self._integer(self._table.max_size, 0x20, 0x1F)
            self._least_size = DEFAULT_TABLE_SIZE
            self._update_due = False

    def _encode_field(self, field: tuple[bytes, bytes]) -> None:
        known = self._table.fields.get(field)
        if known is None:
            self._encode_literal(field)
        elif isinstance(known, bytes):
            self._out += known
        else:
            number = known
            self._integer(_STATIC_SIZE + self._table.inserted - number, 0x80, 0x7F)

    def _encode_literal(self, field: tuple[bytes, bytes]) -> None:
        """Encode a field that is not in the dynamic table, though it may be in the static one."""
        index = _STATIC_INDEX.get(field, 0)
        if index:
            self._out.append(0x80 | index)
            return
        table = self._table
        name, value = field
        index = _STATIC_NAME.get(name, 0)
        if not index:
            number = table.names.get(name, -1)
            if number >= 0:
                index = _STATIC_SIZE + table.inserted - number
        start = len(self._out)
        policy = _POLICY.get(name, _INDEXED)
        if policy == _INDEXED and not self._worth_indexing(field):
            policy = _UNINDEXED
        if policy == _INDEXED:
            self._integer(index, 0x40, 0x3F)
        else:
            self._integer(index, 0x10 if policy == _NEVER else 0, 0x0F)
        if not index:
            self._string(name)
        self._string(value)
        if policy == _INDEXED:
            table.add(field)
            table.fields[field] = table.names[name] = table.inserted - 1
        elif policy == _CACHED:
            if len(self._cached) == _MAX_CACHED:
                del table.fields[self._cached.pop(0)]
            self._cached.append(field)
            table.fields[field] = bytes(self._out[start:])

    def _worth_indexing(self, field: tuple[bytes, bytes]) -> bool:
        """Whether `field` was sent before, and leaves room in the table for others."""
        size = len(field[0]) + len(field[1]) + ENTRY_OVERHEAD
        if size * 4 > self._table.max_size * 3:
            return False
        digest = hash(field)
        if digest in self._seen:
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(digest)
        return False

    def _integer(self, value: int, flags: int, prefix: int) -> None:
        out = self._out
        if value < prefix:
            out.append(flags | value)
            return
        out.append(flags | prefix)
        value -= prefix
        while value >= 0x80:
            out.append(0x80 | (value & 0x7F))
            value >>= 7
        out.append(value)

    def _string(self, value: bytes) -> None:
        size = huffman_size(value)
        if size < len(value):
            self._integer(size, 0x80, 0x7F)
            encode_huffman(value, self._out)
        else:
            self._integer(len(value), 0, 0x7F)
            self._out += value
