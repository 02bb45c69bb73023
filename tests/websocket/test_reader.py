"""RFC 6455 §5, §8.1 and RFC 7692 §6, §7: which octets are which messages, and which are errors."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.websocket.support import Event, Server, agreed, close_frame, frame
from tidegate.websocket.deflate import Deflater

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
EURO = "€".encode()


def message(payload: str | bytes) -> Event:
    return ("message", payload)


def closes(code: int) -> Event:
    return ("close", code)


def judge(data: bytes, *, compress: bool = False, **limits: int) -> list[Event]:
    """The events of `data`, errors without their words."""
    server = Server(deflate=agreed() if compress else None, **limits)
    server.receive(data)
    return [event[:2] for event in server.events]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 125, 126, 127, 65535, 65536, 70000])
def test_a_message_of_any_length(size: int) -> None:
    payload = bytes(i & 127 for i in range(size))
    assert judge(frame(TEXT, payload) + frame(BINARY, payload)) == [
        message(payload.decode()),
        message(payload),
    ]


@pytest.mark.parametrize(
    "data",
    [
        # §5.2: reserved bits
        *(frame(opcode, rsv=rsv) for opcode in (0, 1, 2, 8, 9, 10) for rsv in (0x40, 0x20, 0x10, 0x70)),
        # §5.2: reserved opcodes
        *(frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        # §5.1: no mask
        frame(TEXT, b"x", key=None),
        # §5.2: lengths not in their shortest form, or with the most significant bit
        b"\x82\xfe\x00\x7dkkkk",
        b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffkkkk",
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00kkkk",
        # §5.5: control frames
        *(frame(opcode, fin=False) for opcode in (8, 9, 10)),
        *(frame(opcode, bytes(126)) for opcode in (8, 9, 10)),
        # §5.4: fragments
        frame(0, b"x"),
        frame(0, b"x", fin=False),
        frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"),
        frame(TEXT, b"x", fin=False) + frame(BINARY, b"x", fin=False),
        frame(TEXT, b"x", fin=False) + frame(0, b"x", rsv=0x40),
        # §5.5.1, §7.4: close codes
        frame(CLOSE, b"\x03"),
        *(
            frame(CLOSE, code.to_bytes(2, "big"))
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
        ),
    ],
)
def test_what_breaks_the_protocol(data: bytes) -> None:
    assert judge(frame(BINARY, b"before") + data + frame(BINARY, b"behind"))[-1] == closes(1002)
    assert judge(frame(BINARY, b"before") + data)[0] == message(b"before")


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"\xff"),
        frame(TEXT, b"\xed\xa0\x80"),
        frame(TEXT, EURO[:2]),
        frame(TEXT, EURO[:2], fin=False) + frame(0, b""),
        frame(TEXT, EURO[:2], fin=False) + frame(0, b"x"),
        frame(TEXT, EURO[:2], fin=False) + frame(0, b"", fin=False) + frame(0, b"x", fin=False),
        frame(CLOSE, b"\x03\xe8\xff"),
    ],
)
def test_text_that_is_not_utf8(data: bytes) -> None:
    assert judge(data) == [closes(1007)]


@pytest.mark.parametrize(
    "text", [b"\x80", b"abc\xff", b"\xc0", b"\xe2\x28", b"\xed\xa0", b"\xf4\x90", b"\xe2\x82\xac\xf0\x80"]
)
def test_bad_utf8_is_found_at_its_octet(text: bytes) -> None:
    # The last octet is bad; the frame announces 100 more.
    octets = frame(TEXT, text + bytes(100))[:-100]
    server = Server()
    server.receive(octets[:-1])
    assert server.events == []
    server.receive(octets[-1:])
    assert [event[:2] for event in server.events] == [closes(1007)]


def test_fragments_with_control_frames_between_them() -> None:
    server = Server()
    server.receive(
        frame(TEXT, b"a" + EURO[:1], fin=False)
        + frame(PING, b"1")
        + frame(0, b"", fin=False)
        + frame(PONG, b"unasked")
        + frame(0, EURO[1:], fin=False)
        + frame(0, b"")
        + frame(BINARY, b"b", fin=False)
        + frame(0, b"c")
    )
    assert server.events == [message("a€"), message(b"bc")]
    assert server.take() == b"\x8a\x011"


def test_a_message_may_be_as_large_as_the_limit_and_no_larger() -> None:
    whole = frame(BINARY, bytes(1000))
    parts = frame(BINARY, bytes(600), fin=False) + frame(0, bytes(400))
    assert judge(whole + parts, max_message=1000) == [message(bytes(1000))] * 2
    assert judge(whole, max_message=999) == [closes(1009)]
    assert judge(parts, max_message=999) == [closes(1009)]


def test_a_message_too_big_is_refused_at_its_header() -> None:
    head = frame(BINARY, bytes(70000))[:14]
    assert judge(head, max_message=69999) == [closes(1009)]
    assert judge(head, max_message=70000) == []
    assert judge(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffkkkk") == [closes(1009)]
    assert judge(frame(BINARY, b"x", fin=False) + b"\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xffkkkk") == [
        closes(1009)
    ]


def test_fragments_are_counted() -> None:
    fragment = frame(0, b"x", fin=False)
    assert judge(frame(TEXT, b"x", fin=False) + fragment * 8 + frame(0, b"x"), max_frames=10) == [
        message("x" * 10)
    ]
    assert judge(frame(TEXT, b"x", fin=False) + fragment * 9 + frame(0, b"x"), max_frames=10) == [
        closes(1008)
    ]
    empty = frame(0, fin=False)
    assert judge(frame(TEXT, fin=False) + empty * 2 + frame(0, b"x"), max_empty_frames=3) == [message("x")]
    assert judge(frame(TEXT, fin=False) + empty * 3, max_empty_frames=3) == [closes(1008)]
    # Each message has its own count.
    assert len(judge((frame(TEXT, fin=False) + frame(0)) * 5, max_frames=2, max_empty_frames=2)) == 5


@pytest.mark.parametrize("cut", [0, 1, 5, 40])
def test_compressed_messages(cut: int) -> None:
    text = "Grüße, " * 10
    deflater = Deflater(12, True, 2, 5)
    data = b""
    for opcode in (TEXT, BINARY):
        payload = deflater.deflate(text.encode())
        data += frame(opcode, payload, rsv=0x40)
        payload = deflater.deflate(text.encode())
        data += frame(opcode, payload[:cut], rsv=0x40, fin=False) + frame(0, payload[cut:])
        payload = deflater.deflate(text.encode())
        data += frame(opcode, payload, rsv=0x40, fin=False) + frame(0)
        data += frame(opcode, text.encode())
    assert judge(data, compress=True) == [message(text)] * 4 + [message(text.encode())] * 4


def test_compressed_text_that_is_not_utf8() -> None:
    for text in (b"\xff" * 10, EURO[:2]):
        payload = Deflater(12, True, 2, 5).deflate(text)
        assert judge(frame(TEXT, payload, rsv=0x40), compress=True) == [closes(1007)]
        data = frame(TEXT, payload, rsv=0x40, fin=False) + frame(0)
        assert judge(data, compress=True) == [closes(1007)]


@pytest.mark.parametrize(
    "data",
    [
        # RFC 7692 §6.1: not on continuations, §5: nor on control frames
        frame(TEXT, b"\x00", rsv=0x40, fin=False) + frame(0, b"", rsv=0x40),
        frame(PING, rsv=0x40),
        frame(TEXT, rsv=0x20),
    ],
)
def test_misplaced_reserved_bits_with_compression(data: bytes) -> None:
    assert judge(data, compress=True) == [closes(1002)]


def test_the_limit_is_for_what_a_message_inflates_to() -> None:
    payload = Deflater(12, True, 2, 5).deflate(bytes(1000))
    whole = frame(BINARY, payload, rsv=0x40)
    parts = frame(BINARY, payload[:4], rsv=0x40, fin=False) + frame(0, payload[4:])
    for data in (whole, parts):
        assert judge(data, compress=True, max_message=1000) == [message(bytes(1000))]
        assert judge(data, compress=True, max_message=999) == [closes(1009)]


def test_what_does_not_compress_may_be_as_large_as_the_limit() -> None:
    octets = bytes((i * 7919 >> 3) & 255 for i in range(4000))
    stored = Deflater(15, True, 0, 8).deflate(octets)
    assert len(stored) > 4000
    data = frame(BINARY, stored, rsv=0x40)
    assert judge(data, compress=True, max_message=4000) == [message(octets)]
    # Blocks of nothing cost time, if no memory.
    nothing = b"\x00\x00\x00\xff\xff" * 2000
    assert judge(frame(BINARY, nothing, rsv=0x40), compress=True, max_message=4000) == [closes(1009)]


FRAMES = st.one_of(
    st.text(max_size=40).map(lambda text: frame(TEXT, text.encode())),
    st.binary(max_size=200).map(lambda data: frame(BINARY, data)),
    st.binary(max_size=125).map(lambda data: frame(PING, data)),
    st.lists(st.text(max_size=10), min_size=1, max_size=4).map(
        lambda parts: b"".join(
            frame(0 if i else TEXT, part.encode(), fin=i == len(parts) - 1) for i, part in enumerate(parts)
        )
    ),
    st.sampled_from(
        [
            frame(TEXT, b"\xc3", fin=False) + frame(0, b"\xa9"),
            frame(TEXT, b"caf\xc3"),
            frame(TEXT, rsv=0x20),
            frame(TEXT, Deflater(12, False, 2, 5).deflate(b"compressed " * 9), rsv=0x40),
            frame(BINARY, bytes(66000)),
            close_frame(1000, "bye"),
            close_frame(1005),
        ]
    ),
)


@given(st.lists(FRAMES, max_size=6).map(b"".join), st.data())
@settings(max_examples=200)
def test_any_split_of_the_octets_gives_the_same(octets: bytes, data: st.DataObject) -> None:
    whole = Server(deflate=agreed())
    whole.receive(octets)
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=12).map(sorted))
    split = Server(deflate=agreed())
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        split.receive(octets[start:end])
    assert (split.events, split.stream.sent, split.stream.ended) == (
        whole.events,
        whole.stream.sent,
        whole.stream.ended,
    )


@given(st.lists(FRAMES, max_size=4).map(b"".join))
@settings(max_examples=50)
def test_octet_by_octet_gives_the_same(octets: bytes) -> None:
    octets = octets[:2000]
    whole, split = Server(deflate=agreed()), Server(deflate=agreed())
    whole.receive(octets)
    for i in range(len(octets)):
        split.receive(octets[i : i + 1])
    assert (split.events, split.stream.sent) == (whole.events, whole.stream.sent)


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=500)
def test_random_octets_never_crash(octets: bytes, compress: bool) -> None:
    server = Server(deflate=agreed() if compress else None)
    server.receive(octets)
    server.connection.receive_eof()
    assert server.events[-1][0] == "close"


@given(st.lists(FRAMES, min_size=1, max_size=4).map(b"".join), st.data())
@settings(max_examples=300)
def test_damaged_frames_never_crash(octets: bytes, data: st.DataObject) -> None:
    damaged = bytearray(octets)
    for at in data.draw(st.lists(st.integers(0, min(len(octets), 400) - 1), max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    server = Server(deflate=agreed())
    server.receive(bytes(damaged))
    server.connection.receive_eof()
    assert [event[0] for event in server.events].count("close") == 1
