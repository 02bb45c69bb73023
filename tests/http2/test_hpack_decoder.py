"""Header blocks that come in (RFC 7541)."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.errors import ProtocolError
from tidegate.http.fields import KNOWN
from tidegate.http2.hpack import NAMES, STATIC_TABLE, Decoder

Fields = list[tuple[bytes, bytes]]


def decoder(max_table_size: int = 4096, max_list_size: int = 1 << 20, max_fields: int = 1000) -> Decoder:
    return Decoder(max_table_size, max_list_size, max_fields)


def refused(subject: Decoder, block: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        subject.decode(block)
    assert caught.value.code == 9
    return caught.value.detail


def integer(value: int, flags: int, prefix: int) -> bytes:
    """RFC 7541 §5.1's pseudo-code."""
    if value < prefix:
        return bytes([flags | value])
    out = [flags | prefix]
    value -= prefix
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def string(value: bytes) -> bytes:
    return integer(len(value), 0, 127) + value


def literal(name: bytes, value: bytes, flags: int = 0x40) -> bytes:
    return bytes([flags]) + string(name) + string(value)


def table_size(size: int) -> bytes:
    return integer(size, 0x20, 0x1F)


def table_of(subject: Decoder) -> Fields:
    """The dynamic table, newest first, seen through its indices; reading it changes nothing."""
    fields: Fields = []
    while True:
        try:
            fields += subject.decode(integer(62 + len(fields), 0x80, 0x7F))
        except ProtocolError:
            return fields


# RFC 7541 Appendix A


def test_static_table() -> None:
    assert len(STATIC_TABLE) == 61
    assert tuple(STATIC_TABLE) == hpack.hpack.HeaderTable.STATIC_TABLE
    assert decoder().decode(bytes(0x80 | index for index in range(1, 62))) == STATIC_TABLE


# RFC 7541 C.1: integers. An 8-bit prefix (C.1.3) stands nowhere in HPACK; 42 is read here behind 7 bits.


@pytest.mark.parametrize(("size", "octets"), [(10, "2a"), (1337, "3f9a0a"), (42, "3f0b")])
def test_c_1_integers(size: int, octets: str) -> None:
    assert table_size(size).hex() == octets
    subject = decoder()
    subject.decode(bytes.fromhex(octets))
    filling = [literal(b"n", b"v" * 2)] * 100  # of 35 octets each
    subject.decode(b"".join(filling))
    assert len(table_of(subject)) == size // 35


def test_c_1_3_an_integer_within_its_prefix() -> None:
    assert decoder().decode(b"\x00\x01n" + b"\x2a" + b"v" * 42) == [(b"n", b"v" * 42)]


# RFC 7541 C.2 to C.6: blocks, their fields, and the table behind each

GET: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]
AUTHORITY = (b":authority", b"www.example.com")
CUSTOM = (b"custom-key", b"custom-value")
NO_CACHE = (b"cache-control", b"no-cache")
REQUESTS: list[tuple[Fields, Fields]] = [
    ([*GET, AUTHORITY], [AUTHORITY]),
    ([*GET, AUTHORITY, NO_CACHE], [NO_CACHE, AUTHORITY]),
    (
        [GET[0], (b":scheme", b"https"), (b":path", b"/index.html"), AUTHORITY, CUSTOM],
        [CUSTOM, NO_CACHE, AUTHORITY],
    ),
]
PRIVATE = (b"cache-control", b"private")
DATES = [(b"date", b"Mon, 21 Oct 2013 20:13:2%d GMT" % second) for second in (1, 2)]
LOCATION = (b"location", b"https://www.example.com")
COOKIE = (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
GZIP = (b"content-encoding", b"gzip")
STATUS = {status: (b":status", b"%d" % status) for status in (200, 302, 307)}
RESPONSES: list[tuple[Fields, Fields]] = [
    ([STATUS[302], PRIVATE, DATES[0], LOCATION], [LOCATION, DATES[0], PRIVATE, STATUS[302]]),
    ([STATUS[307], PRIVATE, DATES[0], LOCATION], [STATUS[307], LOCATION, DATES[0], PRIVATE]),
    ([STATUS[200], PRIVATE, DATES[1], LOCATION, GZIP, COOKIE], [COOKIE, GZIP, DATES[1]]),
]


@pytest.mark.parametrize(
    ("block", "field", "indexed"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), True),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), False),
        ("100870617373776f726406736563726574", (b"password", b"secret"), False),
        ("82", (b":method", b"GET"), False),
    ],
    ids=["C.2.1", "C.2.2", "C.2.3", "C.2.4"],
)
def test_c_2_representations(block: str, field: tuple[bytes, bytes], indexed: bool) -> None:
    subject = decoder()
    assert subject.decode(bytes.fromhex(block)) == [field]
    assert table_of(subject) == [field] * indexed


@pytest.mark.parametrize(
    ("blocks", "expected", "max_table_size"),
    [
        (
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            REQUESTS,
            4096,
        ),
        (
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            REQUESTS,
            4096,
        ),
        (
            [
                "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
                "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                "4803333037c1c0bf",
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f"
                "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076"
                "657273696f6e3d31",
            ],
            RESPONSES,
            256,
        ),
        (
            [
                "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
                "0b97c8e9ae82ae43d3",
                "4883640effc1c0bf",
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
                "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            ],
            RESPONSES,
            256,
        ),
    ],
    ids=["C.3", "C.4", "C.5", "C.6"],
)
def test_c_3_to_c_6_sequences(
    blocks: list[str], expected: list[tuple[Fields, Fields]], max_table_size: int
) -> None:
    subject = decoder(max_table_size)
    subject.settings_acknowledged()
    update = b"" if max_table_size == 4096 else table_size(max_table_size)
    for block, (fields, table) in zip(blocks, expected, strict=True):
        assert subject.decode(update + bytes.fromhex(block)) == fields
        assert table_of(subject) == table
        update = b""


# The dynamic table: RFC 7541 §2.3.2, §4


def test_table_is_a_ring_of_any_length() -> None:
    subject = decoder()
    sent: Fields = []
    for number in range(1000):
        field = (b"x", b"%d" % number)
        sent.insert(0, field)
        assert subject.decode(literal(*field)) == [field]
        if number % 50 == 0 or number > 990:
            table = table_of(subject)
            assert table == sent[: len(table)]
            assert sum(32 + len(name) + len(value) for name, value in table) <= 4096
    assert len(table) == 4096 // 36


def test_4_4_a_field_larger_than_the_table_empties_it() -> None:
    subject = decoder()
    subject.decode(literal(b"a", b"b") + literal(b"c", b"d"))
    large = (b"n", b"v" * (4096 - 32))
    assert subject.decode(literal(*large)) == [large]
    assert table_of(subject) == []
    fitting = (b"n", b"v" * (4096 - 33))
    assert subject.decode(literal(*fitting)) == [fitting]
    assert table_of(subject) == [fitting]


def test_4_4_a_name_may_be_that_of_the_field_it_evicts() -> None:
    subject = decoder()
    subject.decode(literal(b"name", b"v" * (4096 - 36)))
    assert subject.decode(integer(62, 0x40, 0x3F) + string(b"w")) == [(b"name", b"w")]
    assert table_of(subject) == [(b"name", b"w")]


def test_size_updates_evict() -> None:
    subject = decoder()
    subject.decode(b"".join(literal(b"x", b"%d" % number) for number in range(10)))
    subject.decode(table_size(34 * 3 + 1))
    assert table_of(subject) == [(b"x", b"9"), (b"x", b"8"), (b"x", b"7")]
    subject.decode(table_size(0) + table_size(4096))
    assert table_of(subject) == []


def test_4_2_size_updates_stand_at_the_start_of_a_block() -> None:
    assert decoder().decode(table_size(0) + table_size(100) + b"\x82") == [(b":method", b"GET")]
    for field in (b"\x82", literal(b"a", b"b"), literal(b"a", b"b", 0x00), literal(b"a", b"b", 0x10)):
        assert "behind a field" in refused(decoder(), field + table_size(100))


def test_6_3_size_updates_keep_to_the_limit() -> None:
    assert "over the limit" in refused(decoder(), table_size(4097))
    assert decoder(8192).decode(table_size(8192)) == []
    assert "over the limit" in refused(decoder(8192), table_size(8193))


@pytest.mark.parametrize("ours", [0, 100, 4095])
def test_4_2_a_lower_limit_binds_once_acknowledged_and_must_be_confirmed(ours: int) -> None:
    def lowered() -> Decoder:
        subject = decoder(ours)
        # before the peer has seen our SETTINGS its table is the default one
        subject.decode(table_size(4096) + literal(b"a", b"b"))
        assert table_of(subject) == [(b"a", b"b")]
        subject.settings_acknowledged()
        return subject

    assert "missing" in refused(lowered(), b"\x82")
    assert "over the limit" in refused(lowered(), table_size(ours + 1))
    subject = lowered()
    assert subject.decode(b"") == []
    subject.decode(table_size(ours) + b"\x82")
    assert table_of(subject) == [(b"a", b"b")] * (ours >= 34)
    subject.settings_acknowledged()
    assert subject.decode(b"\x82") == [(b":method", b"GET")]


def test_no_update_is_due_where_the_peer_uses_less_already() -> None:
    subject = decoder(100)
    subject.decode(table_size(50))
    subject.settings_acknowledged()
    assert subject.decode(b"\x82") == [(b":method", b"GET")]


# What is no header block


@pytest.mark.parametrize(
    ("block", "detail"),
    [
        (b"\x80", "index 0"),  # §6.1
        (b"\xbe", "beyond"),  # §2.3.3: 62 in an empty table
        (b"\xff\x00", "beyond"),
        (b"\xff\xff\xff\xff\xff\x7f", "beyond"),
        (b"\x7e\x01v", "beyond"),  # a name's index
        (b"\x0f\x2f\x01v", "beyond"),
        (b"\xff", "in an integer"),
        (b"\xff\x80", "in an integer"),
        (b"\xff\xff\xff\xff\xff\xff\x00", "integer too long"),  # §5.1
        (b"\xff\x80\x80\x80\x80\x80\x00", "integer too long"),
        (b"\x3f\xff\xff\xff\xff\x7f", "over the limit"),
        (b"\x40", "in a field"),
        (b"\x41", "in a field"),
        (b"\x40\x01", "in a string"),
        (b"\x40\x01n", "in a field"),
        (b"\x40\x01n\x01", "in a string"),
        (b"\x40\x81", "in a string"),
        (b"\x00\x7f\xff\xff\xff\xff\x7f", "in a string"),
        (b"\x00\x01n\x81\x18", "padding"),
        (b"\x00\x01n\x84\xff\xff\xff\xff", "EOS"),
    ],
    ids=lambda part: part.hex() if isinstance(part, bytes) else part,
)
def test_malformed(block: bytes, detail: str) -> None:
    assert detail in refused(decoder(), block)
    assert detail in refused(decoder(), b"\x82" + block if block[0] != 0x3F else block)


def test_integers_may_be_padded_with_zeros() -> None:
    assert decoder().decode(b"\x00\x01n\x7f\x80\x80\x00" + b"v" * 127) == [(b"n", b"v" * 127)]


def test_every_cut_of_a_block_is_refused_or_decoded() -> None:
    block = literal(b"name", b"value") + b"\x82" + integer(62, 0x80, 0x7F) + b"\x5a\x83\x9b\xd9\xab"
    whole = decoder().decode(block)
    assert len(whole) == 4
    for cut in range(len(block)):
        try:
            fields = decoder().decode(block[:cut])
        except ProtocolError as error:
            assert error.code == 9  # noqa: PT017
        else:
            assert fields == whole[: len(fields)]
            assert len(fields) < len(whole)


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_octets_never_crash(blocks: list[bytes]) -> None:
    subject = Decoder(256, 500, 5)
    oracle = hpack.Decoder(max_header_list_size=1 << 30)
    for block in blocks:
        try:
            theirs: Fields | None = [
                (bytes(name), bytes(value)) for name, value in oracle.decode(block, raw=True)
            ]
        except hpack.HPACKError:
            theirs = None
        try:
            ours = subject.decode(block)
        except ProtocolError as error:
            assert error.code == 9  # noqa: PT017
            # the oracle takes less: integers are cut off at other lengths
            return
        if theirs is None:
            return
        assert ours == theirs[: len(ours)]
        assert subject.oversized or len(ours) == len(theirs)


NAMES_SENT = st.sampled_from(
    [b":path", b"cookie", b"x", b"content-type", b"user-agent", b"a-rather-long-name"]
)
FIELDS = st.lists(st.tuples(NAMES_SENT, st.binary(max_size=100) | st.sampled_from([b"", b"a", b"text/html"])))
STEPS = st.lists(
    st.tuples(FIELDS, st.booleans(), st.lists(st.sampled_from([0, 40, 100, 200, 4000, 4096]), max_size=2)),
    max_size=8,
)


@given(STEPS)
def test_what_another_encoder_sends(steps: list[tuple[Fields, bool, list[int]]]) -> None:
    oracle = hpack.Encoder()
    subject = decoder()
    for fields, huffman, sizes in steps:
        for size in sizes:
            if size != oracle.header_table_size:  # it forgets a change that is followed by no change
                oracle.header_table_size = size
        assert subject.decode(oracle.encode(fields, huffman=huffman)) == fields
        assert not subject.oversized


# Names are the objects that others compare with


def test_known_names_are_the_interned_ones() -> None:
    for name in (b"content-length", b"cookie", b"x-request-id", b"host", b"te"):
        for block in (literal(name, b"v"), literal(name, b"v", 0x00)):
            assert decoder().decode(block)[0][0] is KNOWN[name]
    for name, _ in decoder().decode(bytes(0x80 | index for index in range(1, 62))):
        assert name is NAMES[name]
        assert name is KNOWN.get(name, name)
    block = bytes([0x00, 0x80 | len(code := hpack_huffman(b":path"))]) + code + string(b"/x")
    assert decoder().decode(block)[0][0] is NAMES[b":path"]


def hpack_huffman(text: bytes) -> bytes:
    return hpack.Encoder().huffman_coder.encode(text)


def test_names_come_as_they_were_sent() -> None:
    fields = [(b"X-Upper", b"v"), (b"", b""), (b"sp ace", b"\x00\r\n")]
    assert decoder().decode(b"".join(literal(*field) for field in fields)) == fields


# Limits: no header bombs


def test_list_over_its_size_is_cut_and_the_table_kept() -> None:
    subject = decoder(max_list_size=100)
    block = literal(b"a", b"b") + literal(b"c", b"v" * 30) + literal(b"e", b"f")
    assert subject.decode(block) == [(b"a", b"b"), (b"c", b"v" * 30)]
    assert subject.oversized
    # the next block finds what was cut off in the table
    assert subject.decode(b"\xbe\xc0") == [(b"e", b"f"), (b"a", b"b")]
    assert not subject.oversized


@pytest.mark.parametrize(("size", "oversized"), [(34, False), (33, True)])
def test_list_size_is_counted_as_rfc_9113_6_5_2_says(size: int, oversized: bool) -> None:
    subject = decoder(max_list_size=size)
    assert subject.decode(literal(b"a", b"b")) == [(b"a", b"b")] * (not oversized)
    assert subject.oversized == oversized


def test_number_of_fields() -> None:
    subject = decoder(max_fields=3)
    pseudo = b"\x82\x84\x86\x41\x01h"
    assert len(subject.decode(pseudo + literal(b"a", b"b") * 3)) == 7
    assert not subject.oversized
    assert len(subject.decode(pseudo + literal(b"a", b"b") * 4)) == 7
    assert subject.oversized
    assert subject.decode(literal(b"", b"") * 4) == [(b"", b"")] * 3
    assert subject.oversized


def test_cookie_crumbs_count_as_one_field() -> None:
    subject = decoder(max_fields=2)
    crumbs = [(b"cookie", b"c=%d" % number) for number in range(50)]
    assert subject.decode(b"".join(literal(*crumb) for crumb in crumbs) + literal(b"a", b"b")) == [
        *crumbs,
        (b"a", b"b"),
    ]
    assert not subject.oversized
    subject.decode(literal(b"cookie", b"c") * 2 + literal(b"a", b"b") * 2)
    assert subject.oversized


def test_a_bomb_of_indices_is_cut_at_the_limit() -> None:
    """One octet each that stand for 4 KiB: 64 KiB of them would be 256 MiB."""
    subject = decoder(max_list_size=65536)
    large = (b"n", b"v" * 4000)
    subject.decode(literal(*large))
    fields = subject.decode(b"\xbe" * 65536)
    assert subject.oversized
    assert fields == [large] * 16
    assert all(field is fields[0] for field in fields)
    assert table_of(subject) == [large]


def test_a_malformed_field_behind_the_limit_is_still_an_error() -> None:
    subject = decoder(max_list_size=10)
    assert "index 0" in refused(subject, literal(b"a", b"b") + b"\x80")
