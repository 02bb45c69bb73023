"""The Huffman code of RFC 7541 §5.2 and Appendix B."""

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as oracle_decode
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.errors import ProtocolError
from tidegate.http2.huffman import COMPRESSION_ERROR, decode_huffman, encode_huffman, huffman_size

ORACLE = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def encode(data: bytes) -> bytes:
    out = bytearray()
    encode_huffman(data, out)
    assert len(out) == huffman_size(data)
    return bytes(out)


def decode(data: bytes) -> bytes:
    """`data` decoded where it stands alone, and where it stands between other octets."""
    alone = decode_huffman(data, 0, len(data))
    assert decode_huffman(b"\x00\xa5" + data + b"\xa5\x00", 2, 2 + len(data)) == alone
    return alone


def refused(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        decode_huffman(data, 0, len(data))
    assert caught.value.code == COMPRESSION_ERROR == 9
    return caught.value.detail


# RFC 7541 C.4 and C.6


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        (b"no-cache", "a8eb10649cbf"),
        (b"custom-key", "25a849e95ba97d7f"),
        (b"custom-value", "25a849e95bb8e8b4bf"),
        (b"302", "6402"),
        (b"private", "aec3771a4b"),
        (b"Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        (b"https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
        (b"307", "640eff"),
        (b"Mon, 21 Oct 2013 20:13:22 GMT", "d07abe941054d444a8200595040b8166e084a62d1bff"),
        (b"gzip", "9bd9ab"),
        (
            b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ),
        (b"", ""),
    ],
)
def test_appendix_c_strings(text: bytes, code: str) -> None:
    assert encode(text).hex() == code
    assert decode(bytes.fromhex(code)) == text


@pytest.mark.parametrize("octet", range(256))
def test_each_octet_alone_and_in_company(octet: int) -> None:
    for text in (bytes([octet]), bytes([octet]) * 9, b"a" + bytes([octet]) + b"zz"):
        assert encode(text) == ORACLE.encode(text)
        assert decode(encode(text)) == text


@given(st.binary(max_size=300))
def test_round_trip(text: bytes) -> None:
    code = encode(text)
    assert code == ORACLE.encode(text)
    assert decode(code) == text


@given(
    st.one_of(st.binary(max_size=12), st.lists(st.sampled_from(b"\xff\xfe\x7f\x00"), max_size=9).map(bytes))
)
def test_any_octets_as_the_oracle(code: bytes) -> None:
    try:
        text = oracle_decode(code)
    except HPACKDecodingError:
        refused(code)
    else:
        assert decode(code) == text


def test_padding() -> None:
    assert decode(b"\x1f") == b"a"  # 00011, and three bits of EOS
    assert "padding" in refused(b"\x18")  # zeros
    assert "padding" in refused(b"\x1e")  # not all ones
    assert "padding" in refused(b"\x1f\xff")  # more than seven bits
    assert "padding" in refused(b"\xff")  # eight, behind nothing
    assert decode(encode(b"00000000")) == b"00000000"  # forty bits: no padding at all


@pytest.mark.parametrize("before", range(9))
def test_eos_in_a_string(before: int) -> None:
    bits = "00000" * before + "1" * 30
    bits += "1" * (-len(bits) % 8)
    assert "EOS" in refused(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    assert refused(b"\xff" * 200)
