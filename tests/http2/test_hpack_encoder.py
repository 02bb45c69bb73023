"""Header blocks that go out (RFC 7541), read by another decoder."""

import random

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http2.hpack import STATIC_TABLE, Decoder, Encoder

Fields = list[tuple[bytes, bytes]]

DATE = b"Mon, 21 Oct 2013 20:13:%02d GMT"


class Peer:
    """A client's side: its decoder, and the fields that it saw marked as never to be indexed."""

    def __init__(self) -> None:
        self.decoder = hpack.Decoder(max_header_list_size=1 << 30)

    def decode(self, block: bytes) -> Fields:
        fields = self.decoder.decode(block, raw=True)
        self.never = [bytes_of(field) for field in fields if not field.indexable]
        return [bytes_of(field) for field in fields]

    @property
    def table(self) -> Fields:
        return list(self.decoder.header_table.dynamic_entries)


def bytes_of(field: hpack.HeaderTuple) -> tuple[bytes, bytes]:
    return bytes(field[0]), bytes(field[1])


@pytest.mark.parametrize("status", [200, 204, 206, 304, 400, 404, 500])
def test_common_statuses_are_one_octet(status: int) -> None:
    block = Encoder().encode_response(status, [])
    assert len(block) == 1
    assert Peer().decode(block) == [(b":status", b"%d" % status)]


@pytest.mark.parametrize("status", [100, 103, 201, 302, 429, 503, 999])
def test_status_comes_first(status: int) -> None:
    encoder, peer = Encoder(), Peer()
    for _ in range(3):
        block = encoder.encode_response(status, [(b"vary", b"origin")])
        assert peer.decode(block) == [(b":status", b"%d" % status), (b"vary", b"origin")]
    assert len(block) == 2


def test_what_the_static_table_holds_is_one_octet() -> None:
    block = Encoder().encode(STATIC_TABLE)
    assert block == bytes(0x80 | index for index in range(1, 62))


def test_what_repeats_is_one_octet_from_its_third_time_on() -> None:
    encoder, peer = Encoder(), Peer()
    fields = [(b"content-type", b"text/html"), (b"server", b"tidegate"), (b"x-frame-options", b"DENY")]
    sizes = []
    for _ in range(4):
        block = encoder.encode(fields)
        assert peer.decode(block) == fields
        sizes.append(len(block))
    assert sizes[1] <= sizes[0] > sizes[2] == sizes[3] == 3
    assert peer.table == fields[::-1]


def test_names_that_are_only_in_the_dynamic_table_are_used() -> None:
    encoder, peer = Encoder(), Peer()
    for _ in range(2):
        peer.decode(encoder.encode([(b"x-a-rather-long-name", b"1")]))
    block = encoder.encode([(b"x-a-rather-long-name", b"2")])
    assert len(block) == 4  # an index of two octets, the length, the value
    assert peer.decode(block) == [(b"x-a-rather-long-name", b"2")]


def test_what_changes_stays_out_of_the_table() -> None:
    encoder, peer = Encoder(), Peer()
    for number in range(300):
        fields = [
            (b"date", DATE % (number // 60)),
            (b"content-length", b"%d" % (number // 2)),
            (b"etag", b'"%d"' % (number // 2)),
            (b"x-request-id", b"%d" % (number // 2)),
            (b"x-unknown", b"%d" % number),
        ]
        for _ in range(2):
            assert peer.decode(encoder.encode(fields[:4])) == fields[:4]
        assert peer.decode(encoder.encode(fields)) == fields
    assert peer.table == []


@pytest.mark.parametrize("name", [b"set-cookie", b"authorization", b"proxy-authorization", b"cookie"])
def test_7_1_3_secrets_are_never_indexed(name: bytes) -> None:
    encoder, peer = Encoder(), Peer()
    for _ in range(5):
        assert peer.decode(encoder.encode([(name, b"secret"), (b"vary", b"x")])) == [
            (name, b"secret"),
            (b"vary", b"x"),
        ]
        assert peer.never == [(name, b"secret")]
    assert peer.table == [(b"vary", b"x")]


def test_huffman_where_it_is_shorter() -> None:
    assert Encoder().encode([(b"etag", b"0000")]) == b"\x0f\x13\x83\x00\x00\x0f"
    assert Encoder().encode([(b"etag", b"{}{}")]) == b"\x0f\x13\x04{}{}"
    assert Encoder().encode([(b"etag", b"12")]) == b"\x0f\x13\x0212"


def test_long_values() -> None:
    for size in (126, 127, 128, 300, 20000):
        for octet in (b"a", b"\x00"):
            field = (b"link", octet * size)
            encoder, peer = Encoder(), Peer()
            for _ in range(3):
                assert peer.decode(encoder.encode([field])) == [field]


def test_a_field_that_would_fill_the_table_stays_out() -> None:
    encoder, peer = Encoder(), Peer()
    large, fitting = (b"link", b"\x00" * (3072 - 35)), (b"link", b"\x00" * (3072 - 36))
    for _ in range(3):
        peer.decode(encoder.encode([large, fitting]))
    assert peer.table == [fitting]


def test_eviction() -> None:
    encoder, peer = Encoder(), Peer()
    order = random.Random(7541)
    fields = [(b"x-%d" % (number % 40), b"v%d" % number) for number in range(200)]
    for _ in range(3000):
        some = order.sample(fields[: order.choice((20, 60, 200))], order.randrange(6))
        assert peer.decode(encoder.encode(some)) == some
        assert peer.decoder.header_table._current_size <= 4096


# RFC 7541 §4.2: size updates


def updates(block: bytes) -> list[int]:
    """The sizes that a block starts with."""
    sizes = []
    while block and 0x20 <= block[0] < 0x40:
        size, used = hpack.hpack.decode_integer(block, 5)
        sizes.append(size)
        block = block[used:]
    return sizes


def test_4_2_the_least_and_the_last_size_are_signalled_once() -> None:
    encoder, peer = Encoder(), Peer()
    fields = [(b"server", b"tidegate"), (b"vary", b"x")]
    for _ in range(2):
        peer.decode(encoder.encode(fields))
    assert len(peer.table) == 2

    for sizes, expected in (
        ([4096], []),
        ([65536], []),
        ([0], [0]),
        ([0], []),
        ([100], [100]),
        ([0, 4096], [0, 4096]),
        ([4096, 50, 200, 100], [50, 100]),
        ([100, 200], [200]),
        ([200, 60, 200], [60, 200]),
        ([1 << 32], [4096]),
    ):
        for size in sizes:
            encoder.set_max_table_size(size)
        peer.decoder.max_allowed_table_size = min(sizes[-1], 4096)
        block = encoder.encode(fields)
        assert updates(block) == expected, sizes
        assert peer.decode(block) == fields
        assert updates(encoder.encode([])) == []
        assert peer.decoder.header_table.maxsize == min(sizes[-1], 4096)


def test_without_a_table_nothing_is_indexed() -> None:
    encoder, peer = Encoder(), Peer()
    encoder.set_max_table_size(0)
    peer.decoder.max_allowed_table_size = 0
    for _ in range(4):
        assert peer.decode(encoder.encode_response(302, [(b"vary", b"x")])) == [
            (b":status", b"302"),
            (b"vary", b"x"),
        ]
    assert peer.table == []


NAMES = st.sampled_from(
    [b"content-length", b"date", b"set-cookie", b"vary", b"x", b"a-rather-long-name", b"content-type"]
)
FIELDS = st.lists(
    st.tuples(NAMES, st.sampled_from([b"", b"a", b"text/html", b"v" * 900]) | st.binary(max_size=50))
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 200, 302, 404]),
        FIELDS,
        st.lists(st.sampled_from([0, 40, 100, 4096, 9999]), max_size=3),
    ),
    max_size=12,
)


@given(STEPS)
def test_another_decoder_and_ours_read_it(steps: list[tuple[int, Fields, list[int]]]) -> None:
    encoder, peer, ours = Encoder(), Peer(), Decoder(4096, 1 << 20, 1000)
    for status, fields, sizes in steps:
        for size in sizes:
            encoder.set_max_table_size(size)
            peer.decoder.max_allowed_table_size = min(size, 4096)
        # twice, as a field is indexed the second time
        for _ in range(2):
            block = encoder.encode_response(status, fields) if status else encoder.encode(fields)
            expected = ([(b":status", b"%d" % status)] if status else []) + fields
            assert peer.decode(block) == expected
            assert ours.decode(block) == expected
