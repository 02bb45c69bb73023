"""Masking (RFC 6455 §5.3): octet i of a payload is XORed with octet i mod 4 of the masking key."""

from typing import Any

# Interpreted, a loop costs 50 ns an octet, and one XOR of two long integers is quicker.
INTERPRETED = __file__.endswith(".py")


def unmask(data: bytes, start: int, end: int, key: int) -> bytes:
    """`data[start:end]` unmasked. `key` is the masking key's octets as a little-endian integer of 32 bits."""
    n = end - start
    if INTERPRETED or n < 2:  # pragma: no branch
        mask = int.from_bytes((key.to_bytes(4, "little") * ((n + 3) >> 2))[:n], "little")
        return (int.from_bytes(data[start:end], "little") ^ mask).to_bytes(n, "little")
    # pragma below: never interpreted, where bytes cannot be written to. The tests call `xor` with a bytearray.
    p = data  # pragma: no cover
    out = p[start:end]  # pragma: no cover
    xor(out, n, key)  # pragma: no cover
    return out  # pragma: no cover


def xor(out: Any, n: int, key: int) -> None:
    """Unmask `out`, of `n` octets, in place. Compiled, bytes can be written to: `out` is new, and of two octets or
    more, which Python never shares."""
    o = out
    k0 = key & 255
    k1 = key >> 8 & 255
    k2 = key >> 16 & 255
    k3 = key >> 24 & 255
    i = 0
    # `n - 3` and not `i + 3 < n`: the bound stays put, which is what lets the C compiler make wide XORs of it.
    while i < n - 3:
        o[i] ^= k0
        o[i + 1] ^= k1
        o[i + 2] ^= k2
        o[i + 3] ^= k3
        i += 4
    if i < n:
        o[i] ^= k0
    if i + 1 < n:
        o[i + 1] ^= k1
    if i + 2 < n:
        o[i + 2] ^= k2


def rotate(key: int, count: int) -> int:
    """The key for what follows `count` octets of the same payload."""
    shift = (count & 3) * 8
    return (key >> shift | key << (32 - shift)) & 0xFFFFFFFF
