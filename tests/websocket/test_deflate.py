import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.websocket.support import agreed
from tidegate.http.errors import ProtocolError
from tidegate.websocket.deflate import (
    MAX_STREAMS,
    Deflater,
    Inflater,
    MakeCompressor,
    default_compressor,
    negotiate,
    zlib_compressor,
)

TAIL = b"\x00\x00\xff\xff"


@pytest.mark.parametrize(
    ("offer", "response", "numbers"),
    [
        ("", "", (False, False, 12, 15)),
        ("server_no_context_takeover", "server_no_context_takeover", (True, False, 12, 15)),
        ("client_no_context_takeover", "client_no_context_takeover", (False, True, 12, 15)),
        ("server_max_window_bits=9", "server_max_window_bits=9", (False, False, 9, 15)),
        ("server_max_window_bits=15", "server_max_window_bits=12", (False, False, 12, 15)),
        ("client_max_window_bits", "client_max_window_bits=12", (False, False, 12, 12)),
        ("client_max_window_bits=8", "client_max_window_bits=8", (False, False, 12, 8)),
        ("client_max_window_bits=15", "client_max_window_bits=12", (False, False, 12, 12)),
        (
            "client_max_window_bits=10; server_no_context_takeover; server_max_window_bits=10",
            "client_max_window_bits=10; server_no_context_takeover; server_max_window_bits=10",
            (True, False, 10, 10),
        ),
    ],
)
def test_an_offer_and_its_answer(offer: str, response: str, numbers: tuple[bool, bool, int, int]) -> None:
    deflate = agreed(offer)
    assert deflate.response == "; ".join(filter(None, ("permessage-deflate", response)))
    assert numbers == (
        deflate.server_no_context_takeover,
        deflate.client_no_context_takeover,
        deflate.server_max_window_bits,
        deflate.client_max_window_bits,
    )


@pytest.mark.parametrize("offer", ["", "server_no_context_takeover"])
def test_a_server_may_renounce_its_takeover_unasked(offer: str) -> None:
    # RFC 7692 §7.1.1.1
    deflate = agreed(offer, takeover=False)
    assert deflate.server_no_context_takeover
    assert not deflate.client_no_context_takeover
    assert deflate.response == "permessage-deflate; server_no_context_takeover"


@pytest.mark.parametrize(
    "offer",
    [
        [("server_no_context_takeover", "1")],
        [("client_no_context_takeover", "1")],
        [("server_max_window_bits", None)],
        [("server_max_window_bits", "8")],
        [("server_max_window_bits", "16")],
        [("server_max_window_bits", "010")],
        [("client_max_window_bits", "7")],
        [("client_max_window_bits", "x")],
        [("unknown", None)],
        [("client_max_window_bits", None), ("client_max_window_bits", None)],
    ],
)
def test_an_offer_that_cannot_be_accepted(offer: list[tuple[str, str | None]]) -> None:
    assert negotiate(offer, 12, True) is None


@given(
    st.lists(st.binary(max_size=2000), min_size=1, max_size=8),
    st.booleans(),
    st.integers(9, 15),
    st.integers(0, 9),
    st.integers(0, 50),
    st.sampled_from([default_compressor, zlib_compressor]),
)
def test_messages_come_back(
    messages: list[bytes], takeover: bool, bits: int, level: int, cut: int, make: MakeCompressor
) -> None:
    deflater = Deflater(bits, takeover, level, 5, make)
    inflater = Inflater(bits, takeover)
    for message in messages:
        payload = deflater.deflate(message)
        first = inflater.inflate(payload[:cut], 2000, False)
        assert first + inflater.inflate(payload[cut:], 2000 - len(first), True) == message


@pytest.mark.parametrize("make", [default_compressor, zlib_compressor])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_no_distance_is_beyond_the_window(make: MakeCompressor, bits: int) -> None:
    deflater = Deflater(bits, True, 2, 5, make)
    strict = zlib.decompressobj(-bits)
    text = b"".join(b"%d tides and %x shores, " % (n, n * n) for n in range(4000))
    for start in range(0, len(text), 3001):
        payload = deflater.deflate(text[start : start + 3001])
        assert strict.decompress(payload + TAIL) == text[start : start + 3001]


@pytest.mark.parametrize("make", [default_compressor, zlib_compressor])
def test_the_level_counts(make: MakeCompressor) -> None:
    text = b"".join(b"%d tides and %x shores, " % (n, n * n) for n in range(200))
    stored, fast, small = (len(Deflater(12, True, level, 5, make).deflate(text)) for level in (0, 1, 9))
    assert stored > len(text) > fast >= small


def test_a_taken_over_context_makes_a_repeated_message_small() -> None:
    message = bytes(range(256))
    kept, forgotten = Deflater(12, True, 2, 5), Deflater(12, False, 2, 5)
    kept.deflate(message)
    forgotten.deflate(message)
    assert len(kept.deflate(message)) < 20
    assert len(forgotten.deflate(message)) > 200


@given(st.lists(st.binary(max_size=9000), min_size=1, max_size=6), st.integers(9, 15), st.integers(0, 9))
def test_without_takeover_nothing_refers_to_another_message(
    messages: list[bytes], bits: int, level: int
) -> None:
    # One context serves many connections.
    deflater = Deflater(bits, False, level, 5)
    for message in [*messages, *messages]:
        assert Inflater(bits, True).inflate(deflater.deflate(message), 9000, True) == message


def test_a_bomb_never_gets_big() -> None:
    bomb = Deflater(15, True, 9, 8).deflate(bytes(50_000_000))
    with pytest.raises(ProtocolError) as caught:
        Inflater(15, True).inflate(bomb, 100_000, True)
    assert caught.value.code == 1009


def test_exactly_the_room_passes() -> None:
    payload = Deflater(12, True, 2, 5).deflate(bytes(5000))
    assert Inflater(12, True).inflate(payload, 5000, True) == bytes(5000)
    with pytest.raises(ProtocolError):
        Inflater(12, True).inflate(payload, 4999, True)


def final_block(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -12)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("takeover", [True, False])
def test_a_stream_may_end_within_a_message(takeover: bool) -> None:
    # RFC 7692 §7.2.3.4: BFINAL, and an octet of padding
    inflater = Inflater(12, takeover)
    for _ in range(3):
        assert inflater.inflate(final_block(b"one") + final_block(b"two") + b"\x00", 6, True) == b"onetwo"
        assert inflater.inflate(final_block(b""), 6, False) == b""
        assert inflater.inflate(b"\x00", 6, True) == b""


def test_a_stream_that_ends_past_the_room_is_too_big() -> None:
    with pytest.raises(ProtocolError) as caught:
        Inflater(12, True).inflate(final_block(b"one") + final_block(bytes(10000)) + b"\x00", 3, True)
    assert caught.value.code == 1009


def test_streams_within_a_message_are_counted() -> None:
    with pytest.raises(ProtocolError) as caught:
        Inflater(12, True).inflate(final_block(b"") * MAX_STREAMS + b"\x00", 100, True)
    assert caught.value.code == 1008


def test_what_is_not_deflate_is_an_error() -> None:
    with pytest.raises(ProtocolError) as caught:
        Inflater(12, True).inflate(b"\xff\xff\xff\xff", 100, True)
    assert caught.value.code == 1007
