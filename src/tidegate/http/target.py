"""Request targets: authorities and paths (RFC 3986 §3.2, RFC 9110 §4.2 and §7.2)."""

from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote_to_bytes

_HEX = b"0123456789ABCDEFabcdef"
_UNRESERVED = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~"
_SUB_DELIMS = b"!$&'()*+,;="

# What an octet is in a request target: its end, plain, the first "?", or to be decoded. Octets that RFC 3986 forbids
# but that cannot be taken for a delimiter pass, as curl and browsers send them.
TARGET_END, TARGET_PLAIN, TARGET_QUESTION, TARGET_ENCODED = range(4)
TARGET = bytes(
    TARGET_END
    if c <= 0x20 or c in b"#\x7f"
    else TARGET_QUESTION
    if c == 0x3F
    else TARGET_ENCODED
    if c == 0x25 or c >= 0x80
    else TARGET_PLAIN
    for c in range(256)
)

# Indexed by an octet, 1 where it may stand in a reg-name, apart from the "%" of an escape (RFC 3986 §3.2.2).
_REG_NAME = bytes(c in _UNRESERVED + _SUB_DELIMS for c in range(256))


def is_authority(value: bytes) -> bool:
    """Whether `value` is uri-host [":" port], the value of a Host field (RFC 9110 §7.2); empty ones are."""
    p = value
    n = len(value)
    allowed = _REG_NAME
    i = 0
    if n and p[0] == 0x5B:  # "["
        i = value.find(b"]") + 1
        if not i or not _is_ip_literal(value[1 : i - 1]):
            return False
    else:
        while i < n:
            if allowed[p[i]]:
                i += 1
            elif p[i] == 0x25 and i + 2 < n and p[i + 1] in _HEX and p[i + 2] in _HEX:  # "%" HEXDIG HEXDIG
                i += 3
            else:
                break
    if i == n:
        return True
    if p[i] != 0x3A:  # ":"
        return False
    i += 1
    while i < n and 0x30 <= p[i] <= 0x39:
        i += 1
    return i == n


def _is_ip_literal(value: bytes) -> bool:
    """Whether `value`, less its brackets, is an IPv6address or an IPvFuture (RFC 3986 §3.2.2)."""
    if value[:1] in (b"v", b"V"):
        version, dot, address = value[1:].partition(b".")
        return (
            bool(version and dot and address)
            and not version.strip(_HEX)
            and not address.strip(_UNRESERVED + _SUB_DELIMS + b":")
        )
    if value.strip(_HEX + b":."):  # IPv6Address would take a zone too
        return False
    try:
        IPv6Address(value.decode("ascii"))
    except (AddressValueError, UnicodeDecodeError):
        return False
    return True


def decode_path(raw: bytes) -> str:
    """A path with its percent-escapes decoded; what is not UTF-8 is replaced, what is no escape stays."""
    return unquote_to_bytes(raw).decode("utf-8", "replace")


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """The authority and the path with query of an absolute-form http or https target (RFC 9112 §3.2.2).

    None where it is no such URI, has userinfo (RFC 9110 §4.2.4) or an empty host (§4.2.1).
    """
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return None
    end = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    authority = rest[:end]
    if authority[:1] in (b"", b":") or not is_authority(authority):
        return None
    return authority, rest[end:]
