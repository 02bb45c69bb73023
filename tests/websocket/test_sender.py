import pytest

from tests.websocket.support import Tape, agreed
from tidegate.websocket.deflate import Inflater
from tidegate.websocket.sender import MessageSender

TEXT = "a broadcast " * 20


class Pieces(Tape):
    """A stream that keeps each piece that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def send_data(self, data: bytes, end_stream: bool) -> None:
        self.pieces.append(data)


def sender(min_text: int = 0) -> MessageSender:
    return MessageSender(level=2, mem_level=5, min_text=min_text, min_binary=0)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("message", [TEXT, TEXT.encode()])
def test_a_broadcast_is_encoded_once(compressed: bool, message: str | bytes) -> None:
    shared = sender()
    stream = Pieces()
    for _ in range(3):
        # A connection each.
        deflater = shared.deflater(agreed(takeover=False)) if compressed else None
        if isinstance(message, str):
            octets = shared.send_text(stream, message, deflater)
        else:
            octets = shared.send_binary(stream, message, deflater)
        assert octets == len(stream.pieces[-1])
    first, second, third = stream.pieces
    assert first is second is third
    assert first[0] == (0x40 if compressed else 0) | (0x81 if isinstance(message, str) else 0x82)


def test_sockets_with_and_without_compression_do_not_mix() -> None:
    shared = sender()
    stream = Pieces()
    agreements = [None, agreed(takeover=False), agreed("server_max_window_bits=9", takeover=False), agreed()]
    deflaters = [deflate and shared.deflater(deflate) for deflate in agreements]
    for deflater in deflaters * 2:
        shared.send_text(stream, TEXT, deflater)
    plain, wide, narrow, own = stream.pieces[:4]
    assert plain == stream.pieces[4] == b"\x81\x7e\x00\xf0" + TEXT.encode()
    assert wide == stream.pieces[5]
    assert narrow == stream.pieces[6]
    assert len(stream.pieces[7]) < len(own)  # its context is taken over
    assert all(
        Inflater(15, True).inflate(piece[2:], 1000, True) == TEXT.encode() for piece in (wide, narrow, own)
    )


def test_another_message_of_the_same_text_is_the_same_frame() -> None:
    shared = sender(min_text=1000)
    stream = Pieces()
    deflater = shared.deflater(agreed(takeover=False))
    for message in (TEXT, TEXT + "!", "".join([TEXT])):
        shared.send_text(stream, message, deflater)
    assert stream.pieces == [
        b"\x81\x7e\x00\xf0" + TEXT.encode(),
        b"\x81\x7e\x00\xf1" + TEXT.encode() + b"!",
        b"\x81\x7e\x00\xf0" + TEXT.encode(),
    ]


def test_a_large_message_is_neither_copied_nor_kept() -> None:
    shared = sender()
    stream = Pieces()
    large = bytes(65537)
    assert shared.send_binary(stream, large, None) == len(large) + 10
    assert shared.send_binary(stream, large, None) == len(large) + 10
    assert [len(piece) for piece in stream.pieces] == [10, len(large)] * 2
    assert stream.pieces[1] is stream.pieces[3] is large


def test_lone_surrogates_are_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        sender().send_text(Pieces(), "\ud800", None)
