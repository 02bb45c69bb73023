"""Our own compressor, judged by zlib's inflater."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.websocket.quick import QuickDeflater

WORDS = st.sampled_from([b'{"name": ', b'"alice"', b"}, ", b"0123456789", "é€".encode(), b"a", bytes(300)])
MESSAGES = st.lists(
    st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=30).map(b"".join)), max_size=8
)


@given(MESSAGES, st.integers(9, 15), st.booleans())
def test_messages_come_back(messages: list[bytes], bits: int, takeover: bool) -> None:
    deflater = QuickDeflater(bits, takeover)
    inflater = zlib.decompressobj(-bits)
    for message in messages:
        if not takeover:
            inflater = zlib.decompressobj(-bits)
        assert inflater.decompress(deflater.deflate(message) + b"\x00\x00\xff\xff") == message


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_references_reach_as_far_as_the_window_and_wrap_around(bits: int) -> None:
    rng = random.Random(bits)
    deflater = QuickDeflater(bits, True)
    inflater = zlib.decompressobj(-bits)
    block = rng.randbytes(1 << (bits - 1))
    message = block * 4 + rng.randbytes(70_000) + block
    for _ in range(3):
        assert inflater.decompress(deflater.deflate(message) + b"\x00\x00\xff\xff") == message


def test_every_length_of_a_match() -> None:
    for length in (*range(260), 515, 516, 517):
        message = b"<" + b"x" * length + b">" + bytes([255]) * length
        sent = QuickDeflater(15, False).deflate(message)
        assert zlib.decompressobj(-15).decompress(sent + b"\x00\x00\xff\xff") == message


def test_what_was_sent_before_makes_a_message_small() -> None:
    message = b'{"name": "alice", "value": 0.123}, {"name": "bob", "value": 0.456}'
    kept = QuickDeflater(12, True)
    sizes = [len(kept.deflate(message)) for _ in range(2)]
    assert sizes[0] < len(message)
    assert sizes[1] < 10
    alone = QuickDeflater(12, False)
    assert [len(alone.deflate(message)) for _ in range(2)] == [sizes[0]] * 2


def test_what_cannot_be_compressed_grows_by_an_eighth_at_most() -> None:
    message = bytes([255, 254, 253, 252]) + random.Random(1).randbytes(10_000)
    assert len(QuickDeflater(12, True).deflate(message)) <= len(message) * 9 // 8 + 3
