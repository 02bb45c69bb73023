"""HPACK's Huffman code (RFC 7541 §5.2, Appendix B)."""

from tidegate.http.errors import ProtocolError

COMPRESSION_ERROR = 0x9  # RFC 9113 §7

# Appendix B, in bits: an octet's code, and last that of EOS. The code is canonical: this determines it.
# fmt: off
LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
)
# fmt: on
_EOS = 256
_LONGEST = 30
_SHORTEST = 5

# Octets by code, in ascending order; and for each length the index there of its first code, that code, and the
# least string of _LONGEST bits that starts with no code of this length or a shorter one.
_ORDER = sorted(range(257), key=lambda symbol: (LENGTHS[symbol], symbol))


def _canonical() -> tuple[list[int], list[int], list[int], list[int]]:
    codes = [0] * 257
    first_index = [0] * (_LONGEST + 1)
    first_code = [0] * (_LONGEST + 1)
    bounds = [0] * (_LONGEST + 1)
    code = index = 0
    for length in range(1, _LONGEST + 1):
        code <<= 1
        first_index[length] = index
        first_code[length] = code
        while index < 257 and LENGTHS[_ORDER[index]] == length:
            codes[_ORDER[index]] = code
            code += 1
            index += 1
        bounds[length] = code << (_LONGEST - length)
    return codes, first_index, first_code, bounds


_TABLES = _canonical()
_CODES = _TABLES[0]
_FIRST_INDEX = _TABLES[1]
_FIRST_CODE = _TABLES[2]
_BOUNDS = _TABLES[3]
_SYMBOLS = _ORDER
_BITS = LENGTHS

# A code of up to _PEEK bits is found by the next _PEEK bits of the string; where they are those of a longer one,
# its length stands as 0.
_PEEK = 10
_PEEK_SYMBOL = bytes(
    symbol for symbol in _ORDER if LENGTHS[symbol] <= _PEEK for _ in range(1 << (_PEEK - LENGTHS[symbol]))
).ljust(1 << _PEEK, b"\0")
_PEEK_LENGTH = bytes(
    LENGTHS[symbol]
    for symbol in _ORDER
    if LENGTHS[symbol] <= _PEEK
    for _ in range(1 << (_PEEK - LENGTHS[symbol]))
).ljust(1 << _PEEK, b"\0")


def decode_huffman(data: bytes, start: int, end: int) -> bytes:
    """The string of octets whose code is `data[start:end]`.

    Raises ProtocolError for EOS in the string, and padding of more than 7 bits or other than EOS's first bits
    (RFC 7541 §5.2).
    """
    p = data
    out = bytearray((end - start) * 8 // _SHORTEST)
    o = out
    peek_symbol = _PEEK_SYMBOL
    peek_length = _PEEK_LENGTH
    count = 0
    window = 0  # the next `bits` bits
    bits = 0
    i = start
    while True:
        if bits < _LONGEST:
            while bits <= 48 and i < end:
                window = window << 8 | p[i]
                bits += 8
                i += 1
        # Behind the string's last bit stands EOS, as in its padding.
        if bits >= _PEEK:
            peek = window >> (bits - _PEEK)
        else:
            peek = (window + 1 << (_PEEK - bits)) - 1
        length = peek_length[peek]
        symbol = peek_symbol[peek]
        if length == 0:
            if bits >= _LONGEST:
                peek = window >> (bits - _LONGEST)
            else:
                peek = (window + 1 << (_LONGEST - bits)) - 1
            length = _PEEK + 1
            while length < _LONGEST and peek >= _BOUNDS[length]:
                length += 1
            symbol = _SYMBOLS[_FIRST_INDEX[length] + (peek >> (_LONGEST - length)) - _FIRST_CODE[length]]
        if length > bits:
            break
        if symbol == _EOS:
            raise ProtocolError(COMPRESSION_ERROR, "EOS in a Huffman-coded string")
        o[count] = symbol
        count += 1
        bits -= length
        window -= window >> bits << bits
    if bits > 7 or window != (1 << bits) - 1:
        raise ProtocolError(COMPRESSION_ERROR, "wrong padding of a Huffman-coded string")
    return bytes(o[:count])


def huffman_size(data: bytes) -> int:
    """How many octets `encode_huffman` makes of `data`."""
    p = data
    n = len(data)
    bits = 0
    i = 0
    while i < n:
        bits += _BITS[p[i]]
        i += 1
    return (bits + 7) >> 3


def encode_huffman(data: bytes, out: bytearray) -> None:
    """Append the code of `data` to `out`."""
    p = data
    n = len(data)
    window = 0
    bits = 0
    i = 0
    while i < n:
        c = p[i]
        window = window << _BITS[c] | _CODES[c]
        bits += _BITS[c]
        i += 1
        while bits >= 8:
            bits -= 8
            out.append(window >> bits)
            window &= (1 << bits) - 1
    if bits:
        # padded with EOS's first bits
        out.append((window + 1 << (8 - bits)) - 1)
