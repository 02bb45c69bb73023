"""The length of a message's content, as its fields declare it (RFC 9110 §8.6)."""

# 10**18 - 1 octets: more than anything has, and far from wrapping a Py_ssize_t.
_MAX_DIGITS = 18


def parse_content_length(value: bytes) -> int:
    """The number of octets that a Content-Length names, or -1 where it is not 1*DIGIT, or over 18 digits."""
    p = value
    n = len(value)
    if n == 0 or n > _MAX_DIGITS:
        return -1
    length = 0
    i = 0
    while i < n:
        c = p[i]
        if c < 0x30 or c > 0x39:
            return -1
        length = length * 10 + (c - 0x30)
        i += 1
    return length
