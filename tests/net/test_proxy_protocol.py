"""The PROXY protocol's header, whole, split anywhere, and malformed (HAProxy's doc/proxy-protocol.txt)."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.net.proxy_protocol import MAX_V1, MAX_V2, SIGNATURE, ProxyHeaderParser, ProxyProtocolError

V4 = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 5001, 443)
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 5001, 443)
)
UNIX = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")
ENDS_V4 = (("203.0.113.7", 5001), ("192.0.2.1", 443))
ENDS_V6 = (("2001:db8::7", 5001), ("2001:db8::1", 443))
TLS = b"\x20" + struct.pack("!H", 5) + b"\x01\0\0\0\0"
PLAIN_SSL = b"\x20" + struct.pack("!H", 5) + b"\x06\0\0\0\0"
AUTHORITY = b"\x02" + struct.pack("!H", 11) + b"example.com"


def v2(command: int, family: int, data: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(data)) + data


GOOD = {
    b"PROXY TCP4 203.0.113.7 192.0.2.1 5001 443\r\n": (True, *ENDS_V4, False),
    b"PROXY TCP6 2001:db8::7 2001:DB8::1 5001 443\r\n": (True, *ENDS_V6, False),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n": (
        True,
        ("255.255.255.255", 65535),
        ("255.255.255.255", 0),
        False,
    ),
    b"PROXY TCP6 ::ffff:203.0.113.7 ::FFFF:192.0.2.1 5001 443\r\n": (True, *ENDS_V4, False),
    b"PROXY UNKNOWN\r\n": (False, None, None, False),
    b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n": (False, None, None, False),
    v2(0x21, 0x11, V4): (True, *ENDS_V4, False),
    v2(0x21, 0x21, V6): (True, *ENDS_V6, False),
    v2(0x21, 0x31, UNIX): (True, None, None, False),
    v2(0x21, 0x00, b""): (False, None, None, False),
    v2(0x21, 0x00, TLS): (False, None, None, True),
    v2(0x21, 0x11, V4 + AUTHORITY + TLS): (True, *ENDS_V4, True),
    v2(0x21, 0x11, V4 + PLAIN_SSL + b"\x04\0\0"): (True, *ENDS_V4, False),
    v2(0x20, 0x00, b""): (False, None, None, False),
    v2(0x20, 0x11, V4 + b"ignored"): (False, None, None, False),
    v2(0x20, 0x77, b"??"): (False, None, None, False),
    v2(0x21, 0x11, V4 + b"\x04" + struct.pack("!H", MAX_V2 - 15) + bytes(MAX_V2 - 15)): (
        True,
        *ENDS_V4,
        False,
    ),
    v2(
        0x21,
        0x21,
        socket.inet_pton(socket.AF_INET6, "::ffff:203.0.113.7") * 2 + struct.pack("!HH", 1, 2),
    ): (True, ("203.0.113.7", 1), ("203.0.113.7", 2), False),
}

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"PROXZ",
    b"proxy TCP4",
    b"PROXY  TCP4 203.0.113.7 192.0.2.1 5001 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 5001\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 5001 443\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 5001 443 \r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 05001 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
    b"PROXY TCP4 203.0.113.256 192.0.2.1 5001 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 5001 443\r\n",
    b"PROXY TCP6 203.0.113.7 192.0.2.1 5001 443\r\n",
    b"PROXY TCP6 2001:db8:::7 2001:db8::1 5001 443\r\n",
    b"PROXY UDP4 203.0.113.7 192.0.2.1 5001 443\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN " + b"x" * MAX_V1,
    SIGNATURE[:-1] + b"\r",
    b"\r\n\r\nGET",
    v2(0x11, 0x11, V4),
    v2(0x22, 0x11, V4),
    v2(0x21, 0x12, V4),
    v2(0x21, 0x22, V6),
    v2(0x21, 0x32, UNIX),
    v2(0x21, 0x41, V4),
    v2(0x21, 0x01, V4),
    v2(0x21, 0x11, V4[:-1]),
    v2(0x21, 0x21, V4),
    v2(0x21, 0x31, V4),
    v2(0x21, 0x11, V4 + b"\x04\0"),
    v2(0x21, 0x11, V4 + b"\x04\0\x02x"),
    v2(0x21, 0x11, V4 + b"\x20\0\x04\x01\0\0\0"),
    v2(0x21, 0x11, V4 + bytes(MAX_V2)),
    v2(0x20, 0x00, bytes(MAX_V2 + 1)),
]


def parse(pieces: list[bytes], version: str = "any") -> tuple[tuple[object, ...] | None, bytes]:
    parser = ProxyHeaderParser(version)
    rest = b""
    for piece in pieces:
        taken = parser.receive(piece)
        assert taken == len(piece) or parser.header is not None
        rest += piece[taken:]
    header = parser.header
    found = None if header is None else (header.known, header.source, header.destination, header.secure)
    return found, rest


@pytest.mark.parametrize("data", GOOD, ids=lambda data: repr(data[:40]))
def test_headers_split_anywhere(data):
    expected = GOOD[data]
    assert parse([data]) == (expected, b"")
    assert parse([data + b"GET / HTTP/1.1\r\n"]) == (expected, b"GET / HTTP/1.1\r\n")
    for i in range(0, len(data), 1 if len(data) < 300 else 97):
        assert parse([data[:i], data[i:] + b"\x16\x03"]) == (expected, b"\x16\x03")
    assert parse([data[i : i + 1] for i in range(len(data))] + [b"x"]) == (expected, b"x")
    assert parse([data[:-1]])[0] is None


@pytest.mark.parametrize("data", BAD, ids=lambda data: repr(data[:60]))
def test_malformed_headers(data):
    with pytest.raises(ProxyProtocolError):
        parse([data])
    with pytest.raises(ProxyProtocolError):
        parse([data[i : i + 1] for i in range(len(data))])


def test_only_the_version_that_is_expected():
    line, block = b"PROXY UNKNOWN\r\n", v2(0x20, 0, b"")
    assert parse([line], "v1")[0]
    assert parse([block], "v2")[0]
    with pytest.raises(ProxyProtocolError):
        parse([line], "v2")
    with pytest.raises(ProxyProtocolError):
        parse([block], "v1")


def test_what_is_wrong_shows_at_its_first_octet():
    for data in (b"G", b"PG", SIGNATURE[:3] + b"x", SIGNATURE + b"\x21\x12\0\x0c"):
        with pytest.raises(ProxyProtocolError):
            parse([data])


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"]), st.binary(max_size=200)
)
def test_any_octets_are_a_header_or_an_error(start, data):
    parser = ProxyHeaderParser("any")
    try:
        taken = parser.receive(start + data)
    except ProxyProtocolError:
        return
    assert taken == len(start + data) or parser.header is not None
