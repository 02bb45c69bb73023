from hypothesis import given
from hypothesis import strategies as st

from tidegate.websocket.mask import rotate, unmask, xor


@given(st.binary(max_size=300), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_every_octet_is_xored_with_its_key_octet(payload: bytes, offset: int, key: int) -> None:
    octets = key.to_bytes(4, "little")
    data = bytes(offset) + payload + b"behind"
    expected = bytes(octet ^ octets[i & 3] for i, octet in enumerate(payload))
    assert unmask(data, offset, offset + len(payload), key) == expected


@given(st.binary(max_size=100), st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_a_payload_in_two_pieces_with_a_rotated_key_is_the_same(payload: bytes, cut: int, key: int) -> None:
    cut = min(cut, len(payload))
    whole = unmask(payload, 0, len(payload), key)
    assert unmask(payload, 0, cut, key) + unmask(payload, cut, len(payload), rotate(key, cut)) == whole


@given(st.binary(min_size=2, max_size=100), st.integers(0, 2**32 - 1))
def test_in_place(payload: bytes, key: int) -> None:
    out = bytearray(payload)
    xor(out, len(out), key)
    assert out == unmask(payload, 0, len(payload), key)
