"""Starting HTTP/2, and its frames: RFC 9113 §3 and §4, as they bind a server."""

import hpack
import pytest

from tests.support.http1 import answer_at_once, octets
from tests.support.http2 import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    GET,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    MAX_FRAME_SIZE,
    NO_RFC7540_PRIORITIES,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Dialogue,
    block,
    connection_error,
    continuation,
    data,
    frame,
    headers,
    integer,
    ping,
    post,
    reset,
    settings,
    stream_error,
    window,
)

BIG = 16384


def values(payload: bytes) -> dict[int, int]:
    """A SETTINGS frame's."""
    pairs = [payload[i : i + 6] for i in range(0, len(payload), 6)]
    return {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}


# §3.4: connection preface


def test_3_4_the_first_frame_is_settings_and_theirs_are_acknowledged_behind_it() -> None:
    for pieces in ([PREFACE + settings()], octets(PREFACE + settings())):
        dialogue = Dialogue(greet=False).receive(*pieces)
        first, *others = dialogue.frames
        assert (first.kind, first.flags, first.stream_id) == (SETTINGS, 0, 0)
        assert [(other.kind, other.flags) for other in others if other.kind == SETTINGS] == [(SETTINGS, 1)]


def test_3_4_what_the_first_settings_say() -> None:
    dialogue = Dialogue(greet=False).receive(PREFACE + settings())
    said = values(dialogue.frames[0].payload)
    assert said.get(ENABLE_PUSH, 0) == 0  # §6.5.2: a server must not say 1
    assert said[NO_RFC7540_PRIORITIES] == 1  # RFC 9218 §2.1: in the first SETTINGS


def test_3_4_requests_may_follow_the_preface_at_once() -> None:
    for split in (False, True):
        dialogue = Dialogue(answer_at_once, greet=False)
        sent = PREFACE + settings() + headers(1) + SETTINGS_ACK
        dialogue.receive(*(octets(sent) if split else [sent]))
        assert dialogue.answers[1].content == b"ok"


@pytest.mark.parametrize(
    "preface",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        b"INVALID CONNECTION PREFACE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_3_4_an_invalid_preface_ends_the_connection(preface: bytes) -> None:
    for pieces in ([preface], octets(preface)):
        dialogue = Dialogue(greet=False).receive(*pieces)
        assert dialogue.wire.ended is not None
        assert [each.code for each in dialogue.of(GOAWAY)] in ([PROTOCOL_ERROR], [])


@pytest.mark.parametrize(
    "first",
    [
        headers(1),
        ping(),
        SETTINGS_ACK,
        window(0, 1),
        frame(0xEE),
        data(1, b"x"),
        frame(PRIORITY, 0, 1, bytes(5)),
    ],
)
def test_3_4_the_clients_first_frame_is_settings(first: bytes) -> None:
    assert connection_error(PREFACE + first + settings(), greet=False) == PROTOCOL_ERROR


# §4.1: frame format


def test_4_1_frames_of_unknown_types_are_ignored() -> None:
    for kind in (0x0A, 0x0B, 0x0C, 0x11, 0x42, 0xFF):
        for stream_id in (0, 1, 2, 77):
            for payload in (b"", b"x", bytes(BIG)):
                dialogue = Dialogue().receive(frame(kind, 0xFF, stream_id, payload))
                assert dialogue.frames == []
                assert dialogue.alive


UNDEFINED = {DATA: 0xF6, HEADERS: 0xD2, PRIORITY: 0xFF, RST_STREAM: 0xFF, SETTINGS: 0xFE, PING: 0xFE}
UNDEFINED |= {WINDOW_UPDATE: 0xFF, CONTINUATION: 0xFB, GOAWAY: 0xFF}


def test_4_1_flags_that_a_type_does_not_define_are_ignored() -> None:
    dialogue = Dialogue().receive(
        frame(HEADERS, UNDEFINED[HEADERS], 1, block(GET)[:5]),
        frame(CONTINUATION, UNDEFINED[CONTINUATION] | END_HEADERS, 1, block(GET)[5:]),
        frame(DATA, UNDEFINED[DATA], 1, b"some"),
        frame(PRIORITY, UNDEFINED[PRIORITY], 1, bytes(5)),
        frame(WINDOW_UPDATE, UNDEFINED[WINDOW_UPDATE], 1, b"\0\0\0\1"),
        frame(SETTINGS, UNDEFINED[SETTINGS]),
        frame(PING, UNDEFINED[PING], 0, b"12345678"),
        frame(RST_STREAM, UNDEFINED[RST_STREAM], 1, b"\0\0\0\x08"),
    )
    assert dialogue.handler.names == ["start", "data", "reset"]
    assert [each.kind for each in dialogue.frames if each.kind != WINDOW_UPDATE] == [SETTINGS, PING]
    assert dialogue.alive
    assert dialogue.receive(frame(GOAWAY, 0xFF, 0, bytes(8))).wire.ended is not None


def test_4_1_the_reserved_bit_is_ignored() -> None:
    reserved = bytearray(headers(1, end=False))
    reserved[5] |= 0x80
    update = bytearray(window(1, 1))
    update[5] |= 0x80
    update[9] |= 0x80
    content = bytearray(data(1, b"x", end=True))
    content[5] |= 0x80
    pinged = bytearray(ping())
    pinged[5] |= 0x80
    dialogue = Dialogue().receive(bytes(reserved), bytes(update), bytes(content), bytes(pinged))
    assert dialogue.handler.names == ["start", "data", "end"]
    assert len(dialogue.of(PING)) == 1


# §4.2: frame size


def test_4_2_frames_up_to_16384_octets_are_taken() -> None:
    dialogue = Dialogue()
    large = [*GET, (b"x", b"v" * (BIG - 9 - len(block(GET))))]
    assert len(headers(1, large)) - 9 <= BIG
    dialogue.receive(headers(1, large), post(3), data(3, bytes(BIG)), data(3, bytes(BIG), end=True))
    assert dialogue.handlers[0].names == ["start"]
    assert dialogue.handlers[1].content == bytes(2 * BIG)
    dialogue.receive(frame(0x42, 0, 0, bytes(BIG)), settings(*[(0x99, 1)] * (BIG // 6)))
    assert dialogue.alive


@pytest.mark.parametrize(
    "large",
    [
        headers(1, [*GET, (b"x", b"v" * BIG)]),
        settings(*[(0x99, 1)] * (BIG // 6 + 1)),
        frame(DATA, 0, 1, bytes(BIG + 1)),
        frame(PING, 0, 0, bytes(BIG + 1)),
        frame(GOAWAY, 0, 0, bytes(BIG + 1)),
        frame(0x42, 0, 1, bytes(BIG + 1)),
    ],
    ids=["HEADERS", "SETTINGS", "DATA", "PING", "GOAWAY", "unknown"],
)
def test_4_2_larger_frames_are_a_frame_size_error(large: bytes) -> None:
    before = post(1) if large[3] == DATA else b""
    assert connection_error(before, large) == FRAME_SIZE_ERROR


def test_4_2_the_largest_frame_is_refused_before_it_has_come() -> None:
    dialogue = Dialogue().receive(b"\xff\xff\xff" + bytes([HEADERS, 4]) + b"\0\0\0\1")
    assert [each.code for each in dialogue.of(GOAWAY)] == [FRAME_SIZE_ERROR]


@pytest.mark.parametrize("size", [16384, 20000, 1 << 20])
def test_4_2_what_we_send_keeps_to_the_clients_limit(size: int) -> None:
    dialogue = Dialogue(client=((MAX_FRAME_SIZE, size),))
    dialogue.parser.max_frame_size = size
    dialogue.receive(window(0, 1 << 24), headers(1), window(1, 1 << 24))
    field = (b"x-large", bytes(range(0x21, 0x7F)) * 500)
    dialogue.handler.answer(bytes(100_000), 200, field)
    dialogue.collect()
    assert dialogue.answers[1].content == bytes(100_000)
    assert field in dialogue.answers[1].fields


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (PING, 7),
        (PING, 9),
        (PING, 0),
        (RST_STREAM, 3),
        (RST_STREAM, 5),
        (WINDOW_UPDATE, 3),
        (WINDOW_UPDATE, 5),
    ],
)
def test_4_2_frames_of_a_fixed_size(kind: int, size: int) -> None:
    stream_id = 0 if kind == PING else 1
    assert connection_error(post(1), frame(kind, 0, stream_id, bytes(size))) == FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    "short",
    [
        frame(SETTINGS, 0, 0, bytes(5)),
        frame(SETTINGS, 0, 0, bytes(7)),
        frame(GOAWAY, 0, 0, bytes(7)),
        frame(WINDOW_UPDATE, 0, 0, bytes(3)),
        frame(HEADERS, END_HEADERS | PADDED, 1),
        frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, bytes(4)),
        frame(HEADERS, END_HEADERS | WITH_PRIORITY | PADDED, 1, bytes(5)),
        frame(DATA, PADDED, 1),
    ],
)
def test_4_2_frames_too_small_for_what_they_must_hold(short: bytes) -> None:
    before = post(1) if short[3] == DATA else b""
    assert connection_error(before, short) == FRAME_SIZE_ERROR


# §4.3: field sections


def test_4_3_a_field_block_in_any_number_of_frames() -> None:
    whole = block([*GET, (b"x-name", b"value")])
    for cut in range(len(whole) + 1):
        for middle in ([], [b""], [whole[cut:]]):
            rest = whole[cut:] if not middle or not middle[0] else b""
            dialogue = Dialogue().receive(
                frame(HEADERS, END_STREAM, 1, whole[:cut]),
                *(continuation(1, piece, end=False) for piece in middle),
                continuation(1, rest),
            )
            assert dialogue.handler.request.headers[-1] == (b"x-name", b"value")
            assert dialogue.handler.names == ["start"]


@pytest.mark.parametrize(
    "between",
    [
        data(1, b"x"),
        headers(1),
        headers(3),
        frame(PRIORITY, 0, 1, bytes(5)),
        reset(1),
        settings(),
        SETTINGS_ACK,
        frame(PUSH_PROMISE, END_HEADERS, 1, bytes(8)),
        ping(),
        frame(GOAWAY, 0, 0, bytes(8)),
        window(0, 1),
        window(1, 1),
        continuation(3, b""),
        continuation(0, b""),
        frame(0x10, 0, 0, b"\0\0\0\1u=1"),
        frame(0x42, 0, 1, b"x"),  # §5.5: nor an unknown one
        frame(0x42, 0, 0, b""),
    ],
)
def test_4_3_nothing_stands_between_the_frames_of_a_field_block(between: bytes) -> None:
    for opened in (
        headers(1, end_headers=False),
        headers(1, end_headers=False) + continuation(1, b"", end=False),
    ):
        assert connection_error(opened, between, continuation(1, b"")) == PROTOCOL_ERROR


@pytest.mark.parametrize(
    "fragment",
    [
        b"\x80",  # index 0
        b"\xbe",  # beyond the tables
        b"\x7f\x80\x80\x80\x80\x80\x80\x01",  # an integer too long
        b"\x00\x05na",  # ends in a string
        b"\x00\x01n\x81\x18",  # padded with zeros
        b"\x00\x01n\x82\x1f\xff",  # padded with more than seven bits
        b"\x00\x01n\x84\xff\xff\xff\xff",  # EOS
        b"\x82\x20",  # a size update behind a field
        b"\x3f\xe2\x1f",  # 4097
    ],
    ids=bytes.hex,
)
def test_4_3_a_block_that_does_not_decompress_is_a_compression_error(fragment: bytes) -> None:
    assert connection_error(frame(HEADERS, END_HEADERS, 1, fragment)) == COMPRESSION_ERROR
    assert (
        connection_error(frame(HEADERS, 0, 1, fragment[:1]), continuation(1, fragment[1:]))
        == COMPRESSION_ERROR
    )
    # in trailers, and for a stream whose fields nobody needs any more
    assert (
        connection_error(post(1), frame(HEADERS, END_HEADERS | END_STREAM, 1, fragment)) == COMPRESSION_ERROR
    )
    many = post(1) + frame(HEADERS, END_HEADERS, 3, fragment)
    assert connection_error(many, max_streams=1) == COMPRESSION_ERROR


def indexed(stream_id: int, *fields: tuple[bytes, bytes], end: bool = True) -> bytes:
    """A request whose `fields` go into the dynamic table."""
    return frame(HEADERS, END_HEADERS | end * END_STREAM, stream_id, block(GET) + block(fields, 0x40))


def test_4_3_compression_state_is_kept_over_what_is_refused() -> None:
    """Malformed, too many, too large, trailers, a stream that was reset: each block enters the table."""
    dialogue = Dialogue(max_streams=2, max_header_list=1000)
    dialogue.receive(indexed(1, (b"a", b"1"), end=False))
    dialogue.receive(indexed(3, (b"connection", b"2")))
    dialogue.receive(indexed(5, (b"c", b"3"), end=False))
    dialogue.receive(indexed(7, (b"d", b"4")))
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(b"e", b"5")], 0x40)))
    dialogue.handlers[0].answer()
    dialogue.receive(indexed(9, (b"f", b"6"), (b"x", b"v" * 1500), (b"g", b"7")))
    dialogue.receive(reset(5))
    # newest first: g, x, f, e, d, c, connection, a
    dialogue.receive(
        frame(HEADERS, END_HEADERS | END_STREAM, 11, block(GET) + bytes([0xBE, *range(0xC0, 0xC4), 0xC5]))
    )
    assert dialogue.handler.request.headers[1:] == [
        (b"g", b"7"),
        *((b"f", b"6"), (b"e", b"5"), (b"d", b"4"), (b"c", b"3")),
        (b"a", b"1"),
    ]


def test_4_3_blocks_of_a_stream_that_we_reset_are_decompressed() -> None:
    dialogue = Dialogue().receive(indexed(1, (b"a", b"1"), end=False))
    dialogue.handler.stream.reset()
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(b"b", b"2")], 0x40)))
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, block(GET) + bytes([0xBE, 0xBF])))
    assert dialogue.handler.request.headers[1:] == [(b"b", b"2"), (b"a", b"1")]


# §4.3.1: compression state


def test_4_3_1_a_reduced_table_is_confirmed_at_the_start_of_the_next_block() -> None:
    """The client's SETTINGS_HEADER_TABLE_SIZE binds our encoder; a size update says so (RFC 7541 §4.2)."""
    dialogue = Dialogue(answer_at_once).receive(
        headers(1), headers(3), settings((HEADER_TABLE_SIZE, 0)), headers(5)
    )
    first, second, third = dialogue.of(HEADERS)
    assert third.payload[0] == 0x20
    assert not any(each.payload[0] & 0xE0 == 0x20 for each in (first, second))
    assert dialogue.parser.decoder.header_table.maxsize == 0
    dialogue.receive(headers(7))
    assert dialogue.of(HEADERS)[-1].payload[0] != 0x20
    dialogue.receive(settings((HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 100)), headers(9))
    assert hpack.hpack.decode_integer(dialogue.of(HEADERS)[-1].payload, 5)[0] == 100


def test_4_3_1_the_least_and_the_last_of_several_sizes_are_confirmed() -> None:
    for frames in (
        [settings((HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 4096))],
        [settings((HEADER_TABLE_SIZE, 0)), settings((HEADER_TABLE_SIZE, 4096))],
    ):
        dialogue = Dialogue(answer_at_once).receive(headers(1), *frames, headers(3))
        assert dialogue.of(HEADERS)[-1].payload.startswith(b"\x20\x3f\xe1\x1f")


def test_4_3_1_a_larger_table_is_not_used_beyond_our_own_limit() -> None:
    dialogue = Dialogue(client=((HEADER_TABLE_SIZE, 0xFFFFFFFF),))
    for number in range(200):
        stream_id = 2 * number + 1
        dialogue.receive(headers(stream_id))
        field = (b"x-%d" % (number // 2), b"v" * 100)
        dialogue.handler.answer(b"", 200, field)
        dialogue.collect()
        assert field in dialogue.answers[stream_id].fields
    assert dialogue.parser.decoder.header_table._current_size <= 4096


def test_4_3_1_the_clients_table_is_as_large_as_we_said() -> None:
    dialogue = Dialogue(greet=False).receive(PREFACE + settings() + SETTINGS_ACK)
    size = values(dialogue.frames[0].payload).get(HEADER_TABLE_SIZE, 4096)
    update = integer(size, 0x20, 0x1F)
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, update + block(GET)))
    assert len(dialogue.handlers) == 1
    update = integer(size + 1, 0x20, 0x1F)
    dialogue.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, update + block(GET)))
    assert [each.code for each in dialogue.of(GOAWAY)] == [COMPRESSION_ERROR]


def test_4_3_a_malformed_block_ends_one_stream_only() -> None:
    assert stream_error(headers(1, [*GET, (b"connection", b"x")])) == PROTOCOL_ERROR
