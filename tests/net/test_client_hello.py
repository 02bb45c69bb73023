"""The ClientHello, as real clients send it and as nobody should."""

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.net.client_hello import (
    DECODE_ERROR,
    MAX_HELLO,
    UNEXPECTED_MESSAGE,
    Incomplete,
    Malformed,
    alert,
    read_client_hello,
)


def hello(name: str | None = None, *alpn: str, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What OpenSSL sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = maximum
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same message, in records of at most `size` octets."""
    message = data[5:]
    pieces = [message[i : i + size] for i in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


WHOLE = hello("Example.test", "h2", "http/1.1")


def test_what_a_client_says() -> None:
    found = read_client_hello(WHOLE)
    assert (found.server_name, found.alpn, found.version) == ("example.test", (b"h2", b"http/1.1"), 0x0304)
    found = read_client_hello(hello(maximum=ssl.TLSVersion.TLSv1_2))
    assert (found.server_name, found.alpn, found.version) == ("", None, 0x0303)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 17, 100, 16384])
def test_records_of_any_size(size: int) -> None:
    found = read_client_hello(in_records(WHOLE, size) + b"what follows")
    assert (found.server_name, found.alpn) == ("example.test", (b"h2", b"http/1.1"))


@pytest.mark.parametrize("data", [WHOLE, in_records(WHOLE, 50)], ids=["one", "many"])
def test_cut_anywhere_it_asks_for_more_and_never_for_too_much(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(Incomplete) as caught:
            read_client_hello(data[:length])
        assert length < caught.value.needed <= len(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", UNEXPECTED_MESSAGE),
        (b"\x17\x03\x03\x00\x01x", UNEXPECTED_MESSAGE),
        (b"\x16\x02\x00\x00\x01x", UNEXPECTED_MESSAGE),
        (b"\x80\x2e\x01\x03\x01", UNEXPECTED_MESSAGE),  # SSL 2.0
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", UNEXPECTED_MESSAGE),  # a ServerHello
        (b"\x16\x03\x01\x00\x00", DECODE_ERROR),  # RFC 8446 §5.1: no empty fragments
        (b"\x16\x03\x01\x40\x01", DECODE_ERROR),  # nor longer ones
        (b"\x16\x03\x01\x00\x04\x01" + (MAX_HELLO + 1).to_bytes(3, "big"), DECODE_ERROR),
        (b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03", DECODE_ERROR),
        (WHOLE.replace(b"\x00\x00\x00\x11", b"\x00\x00\x00\x12"), DECODE_ERROR),  # a server_name's length
    ],
)
def test_what_is_malformed(data: bytes, code: int) -> None:
    with pytest.raises(Malformed) as caught:
        read_client_hello(data)
    assert caught.value.alert == code


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda data: b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data),
        st.lists(st.tuples(st.integers(5, len(WHOLE) - 1), st.integers(0, 255)), max_size=3).map(
            lambda changes: bytes(dict(changes).get(i, octet) for i, octet in enumerate(WHOLE))
        ),
    )
)
def test_nothing_else_is_raised(data: bytes) -> None:
    try:
        found = read_client_hello(data)
    except (Incomplete, Malformed):
        pass
    else:
        assert isinstance(found.server_name, str)


def test_an_alert_is_what_openssl_reads() -> None:
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(alert(120))
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        client.do_handshake()
