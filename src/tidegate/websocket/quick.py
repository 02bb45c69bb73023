"""A quick DEFLATE compressor for messages: fixed Huffman codes (RFC 1951 §3.2.6), one candidate for each match.

For a message of a few KiB zlib spends more on its tables than on the octets. This one needs 8 KiB and a window for a
context, and never clears them: a stale entry is only a candidate whose octets differ. It is for compiled code; zlib is
quicker than an interpreted loop.
"""

HASH_BITS = 12
MIN_MATCH = 4
MAX_MATCH = 258


def _reversed(code: int, bits: int) -> int:
    # RFC 1951 §3.1.1: Huffman codes go out with their most significant bit first
    return int(f"{code:0{bits}b}"[::-1], 2)


def _length_codes() -> tuple[bytes, bytes, bytes]:
    """For each length from 3 on, its code with its extra bits (low and high octet), and how many bits that is."""
    low, high, bits = bytearray(), bytearray(), bytearray()
    for length in range(3, MAX_MATCH + 1):
        if length == MAX_MATCH:
            symbol, extra, value = 285, 0, 0
        elif length < 11:
            symbol, extra, value = 254 + length, 0, 0
        else:
            extra = (length - 3).bit_length() - 3
            symbol = 257 + 4 * extra + (length - 3 >> extra)
            value = length - 3 & (1 << extra) - 1
        size, code = (7, symbol - 256) if symbol < 280 else (8, 192 + symbol - 280)
        entry = _reversed(code, size) | value << size
        low.append(entry & 255)
        high.append(entry >> 8)
        bits.append(size + extra)
    return bytes(low), bytes(high), bytes(bits)


# The last eight bits of each literal's code; those from 144 on have a one before them.
LITERALS = bytes([_reversed(48 + octet if octet < 144 else octet, 8) for octet in range(256)])
LENGTHS_LOW, LENGTHS_HIGH, LENGTHS_BITS = _length_codes()
DISTANCES = bytes([_reversed(symbol, 5) for symbol in range(30)])


class QuickDeflater:
    """Compresses messages, with references to the 2**`window_bits` octets before where `takeover` says so."""

    __slots__ = ("_position", "_table", "_takeover", "_window", "_window_size")

    def __init__(self, window_bits: int, takeover: bool) -> None:
        self._window_size = 1 << window_bits
        self._takeover = takeover
        self._window = b""
        # Where each hash was last seen, modulo 65536.
        self._table = bytearray(2 << HASH_BITS)
        self._position = 0

    def deflate(self, data: bytes) -> bytes:
        """One block with `data`, and the start of the empty one that flushes it (RFC 7692 §7.2.1)."""
        start = len(self._window)
        if start:
            data = self._window + data
        # A literal takes nine bits at most.
        size = len(data) - start
        out = bytearray(size + (size >> 3) + 16)
        end = self._encode(data, start, out)
        self._position = (self._position + size) & 65535
        if self._takeover:
            self._window = data[max(len(data) - self._window_size, 0) :]
        o = out
        return bytes(o[:end])

    def _encode(self, data: bytes, start: int, out: bytearray) -> int:
        """Compress `data` from `start` on into `out`; how many octets that makes."""
        p = data
        o = out
        table = self._table
        literals = LITERALS
        lengths_low = LENGTHS_LOW
        lengths_high = LENGTHS_HIGH
        lengths_bits = LENGTHS_BITS
        distances = DISTANCES
        window = self._window_size
        base = self._position - start
        n = len(data)
        i = start
        k = 0
        # RFC 1951 §3.2.3: not the final block, fixed codes
        held = 2
        bits = 3
        while i < n:
            distance = 0
            length = 0
            if i < n - 3:
                key = p[i + 3]
                key = key << 8 | p[i + 2]
                key = key << 8 | p[i + 1]
                key = key << 8 | p[i]
                # 32 bits by 29: no overflow of 63.
                slot = (key * 506832829 >> (32 - HASH_BITS) & (1 << HASH_BITS) - 1) << 1
                at = base + i
                distance = at - (table[slot] | table[slot + 1] << 8) & 65535
                table[slot] = at & 255
                table[slot + 1] = at >> 8 & 255
                if distance > window or distance > i:
                    distance = 0
            if distance > 0:
                j = i - distance
                most = n - i
                if most > MAX_MATCH:
                    most = MAX_MATCH
                while length < most and p[j + length] == p[i + length]:
                    length += 1
            if length >= MIN_MATCH:
                i += length
                length -= 3
                key = lengths_low[length] | lengths_high[length] << 8
                held |= key << bits
                bits += lengths_bits[length]
                distance -= 1
                # RFC 1951 §3.2.5: two symbols for each power of two
                extra = 0
                while distance >> extra > 3:
                    extra += 1
                key = distances[2 * extra + (distance >> extra)]
                held |= key << bits
                bits += 5
                key = distance & (1 << extra) - 1
                held |= key << bits
                bits += extra
            else:
                key = p[i]
                i += 1
                at = literals[key]
                if key < 144:
                    held |= at << bits
                    bits += 8
                else:
                    # Through `at`: in one expression C would compute it as an int, and overflow.
                    at = at << 1 | 1
                    held |= at << bits
                    bits += 9
            # Less than 32 bits, and 31 of a match: no overflow of 63.
            if bits >= 32:
                o[k] = held & 255
                o[k + 1] = held >> 8 & 255
                o[k + 2] = held >> 16 & 255
                o[k + 3] = held >> 24 & 255
                held >>= 32
                bits -= 32
                k += 4
        # The end of the block is seven zeros, the start of an empty stored one three.
        bits += 10
        while bits > 0:
            o[k] = held & 255
            held >>= 8
            bits -= 8
            k += 1
        return k
