import pytest

from tidegate.http.errors import ProtocolError
from tidegate.websocket.codes import BINARY, FIN, PING, RSV1, TEXT
from tidegate.websocket.frames import decode_close, encode_close, encode_header, is_close_code

# RFC 6455 §7.4, and the registry's 1012 to 1014
VALID = [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]


@pytest.mark.parametrize(
    ("first", "size", "header"),
    [
        (FIN | TEXT, 0, b"\x81\x00"),
        (FIN | TEXT, 125, b"\x81\x7d"),
        (FIN | BINARY, 5, b"\x82\x05"),
        (FIN | PING, 5, b"\x89\x05"),
        (FIN | RSV1 | TEXT, 5, b"\xc1\x05"),
        (FIN | TEXT, 126, b"\x81\x7e\x00\x7e"),
        (FIN | BINARY, 65535, b"\x82\x7e\xff\xff"),
        (FIN | BINARY, 65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_header_takes_the_shortest_form_of_its_length(first: int, size: int, header: bytes) -> None:
    assert encode_header(first, size) == header


def test_close_codes() -> None:
    assert [code for code in range(65536) if is_close_code(code)] == VALID


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1005, ""), (4999, "é" * 61)])
def test_a_close_payload_says_what_was_encoded(code: int, reason: str) -> None:
    assert decode_close(encode_close(code, reason)) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), [(1006, ""), (0, ""), (5000, ""), (70000, ""), (1000, "é" * 62)])
def test_what_no_close_frame_may_say_is_not_encoded(code: int, reason: str) -> None:
    with pytest.raises(ValueError, match="close"):
        encode_close(code, reason)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        (b"\x03\xed", 1002),
        (b"\x00\x00", 1002),
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xe8\xe2\x82", 1007),
    ],
)
def test_a_bad_close_payload_is_an_error(payload: bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_close(payload)
    assert caught.value.code == code
