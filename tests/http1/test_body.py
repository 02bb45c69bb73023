from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.errors import RequestError
from tidegate.http1.body import ChunkedDecoder

BODY = (
    b"5\r\nhello\r\n"
    b'00a ; a ; b = c;d="x\\"\t\xff;" ; e\r\n0123456789\r\n'
    b"1;x=y\r\n!\r\n"
    b'0;last=""\r\nX-Sum: 1 \r\nContent-Length: 5\r\nE:\r\n\r\n'
)
CONTENT = b"hello0123456789!"
TRAILERS = [(b"x-sum", b"1"), (b"e", b"")]


def decoder(max_trailers: int = 8192, max_fields: int = 100) -> ChunkedDecoder:
    return ChunkedDecoder(max_trailers, max_fields)


def decode(pieces: list[bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    d = decoder()
    chunks: list[bytes] = []
    for piece in pieces:
        assert not d.complete
        assert d.receive(piece, 0, chunks) == len(piece)
    assert d.complete
    return b"".join(chunks), d.trailers


def refused(body: bytes, **limits: int) -> int:
    statuses = set()
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        d = decoder(**limits)
        try:
            for piece in pieces:
                assert d.receive(piece, 0, []) == len(piece)
        except RequestError as error:
            statuses.add(error.status)
        else:
            statuses.add(200)
    assert len(statuses) == 1
    return statuses.pop()


@given(st.lists(st.integers(1, len(BODY) - 1), max_size=8))
def test_any_split_gives_the_same_content(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(BODY)]
    assert decode([BODY[a:b] for a, b in pairwise(edges)]) == (CONTENT, TRAILERS)


def test_octet_by_octet() -> None:
    assert decode([BODY[i : i + 1] for i in range(len(BODY))]) == (CONTENT, TRAILERS)


def test_what_follows_the_body_is_left() -> None:
    d = decoder()
    data = b"xx" + BODY + b"GET /"
    for start in (2, 2):
        chunks: list[bytes] = []
        assert d.receive(data, start, chunks) == len(data) - 5
        assert (b"".join(chunks), d.trailers, d.complete) == (CONTENT, TRAILERS, True)
        d.reset()
        assert (d.trailers, d.complete) == ([], False)


def test_nothing_is_taken_once_complete() -> None:
    d = decoder()
    d.receive(b"0\r\n\r\n", 0, [])
    assert d.receive(b"5\r\n", 0, []) == 0


def test_a_piece_that_is_content_is_not_copied() -> None:
    d = decoder()
    chunks: list[bytes] = []
    d.receive(b"10\r\n", 0, chunks)
    piece = bytes(range(8))
    d.receive(piece, 0, chunks)
    d.receive(piece + b"\r\n", 0, chunks)
    assert chunks == [piece, piece]
    assert chunks[0] is piece


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"x\r\n",
        b"+1\r\n",
        b"-1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1\rx",
        b"0x1\r\n",
        b"1_0\r\n",
        b";a\r\n",
        b"1,2\r\n",
        b"\x00",
        b"1" * 17,
        b"0" * 17,
        b"8" + b"0" * 15,
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\rb",
        b"1\r\na0",
    ],
)
def test_refused_chunks(body: bytes) -> None:
    assert refused(body) == 400


def test_the_largest_size() -> None:
    d = decoder()
    chunks: list[bytes] = []
    assert d.receive(b"7fffffffffffffff\r\nabc", 0, chunks) == 21
    assert chunks == [b"abc"]
    assert decode([b"0000000000000001\r\na\r\n0\r\n\r\n"]) == (b"a", [])


@pytest.mark.parametrize(
    "extension",
    [
        b";",
        b"; ",
        b";;",
        b";=",
        b";a=",
        b";a= ",
        b";a ",
        b";a b",
        b";a=b c",
        b";a=b=c",
        b";a=b ",
        b' ;a="b',
        b';a="b"c',
        b';a="b" ',
        b';a="b" c',
        b';a="\x00"',
        b';a="\\\x01"',
        b';a="\n"',
        b";a=(",
        b";\xff",
        b";a\x00",
        b";a\n",
    ],
)
def test_refused_extensions(extension: bytes) -> None:
    assert refused(b"1" + extension + b"\r\nx\r\n") == 400


def test_extensions_are_bounded() -> None:
    line = b"1;" + b"a" * 255 + b"\r\nx\r\n"
    assert refused(line.replace(b";a", b";aa")) == 400
    last = b"0\r\n\r\n"
    assert decode([line * 64 + last])[0] == b"x" * 64
    assert refused(line * 64 + b"1;a\r\nx\r\n") == 400


@pytest.mark.parametrize(
    "trailers",
    [
        b" a: b\r\n\r\n",
        b"a : b\r\n\r\n",
        b"a: b\n",
        b"a: b\r\n c\r\n",
        b"a\r\n",
        b"\x00",
        b"a:\x00\r\n",
        b"\n",
    ],
)
def test_refused_trailers(trailers: bytes) -> None:
    assert refused(b"0\r\n" + trailers) == 400


def test_trailers_are_bounded() -> None:
    section = b"a: b\r\nc: d\r\n\r\n"
    for end in (len(section), 1):
        d = decoder(len(section), 2)
        body = b"0\r\n" + section
        assert d.receive(body[:end], 0, []) == end
        d.receive(body[end:], 0, [])
        assert d.complete
    assert refused(b"0\r\n" + section, max_trailers=len(section) - 1) == 431
    assert refused(b"0\r\n" + section, max_trailers=5) == 431
    assert refused(b"0\r\n" + section, max_fields=1) == 431


@given(
    st.lists(
        st.binary(max_size=20) | st.sampled_from([b"1", b"a", b"\r\n", b";", b'"', b"0\r\n", b"A: b\r\n"])
    )
)
def test_any_octets_never_crash(pieces: list[bytes]) -> None:
    d = decoder(100, 3)
    for piece in pieces:
        chunks: list[bytes] = []
        try:
            end = d.receive(piece, 0, chunks)
        except RequestError:
            return
        assert 0 <= end <= len(piece)
        assert sum(map(len, chunks)) <= end
        if d.complete:
            d.reset()
