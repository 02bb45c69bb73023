"""Content codings: RFC 9110 §8.4 and §12.5.3, and what must never be encoded."""

import gzip
import sys
import zlib
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.asgi import compression
from tidegate.asgi.compression import (
    CODINGS,
    MissingCodec,
    available,
    compress,
    compressor,
    eligible,
    encoded_headers,
    negotiate,
    ranked,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

each_coding = pytest.mark.parametrize("coding", CODINGS)


def decode(coding: str, data: bytes) -> bytes:
    """By the libraries themselves, and nothing may follow."""
    if coding == "gzip":
        return gzip.decompress(data)
    return bytes(brotli.decompress(data) if coding == "br" else zstd.decompress(data))


class Decoder:
    """What a client has after each flush."""

    def __init__(self, coding: str) -> None:
        if coding == "gzip":
            self.feed: Any = zlib.decompressobj(31).decompress
        elif coding == "br":
            self.feed = brotli.Decompressor().process
        else:
            self.feed = zstd.ZstdDecompressor().decompress


@pytest.mark.parametrize(
    ("field", "coding"),
    [
        (None, "identity"),
        ("", "identity"),  # RFC 9110 §12.5.3: no coding wanted
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, br;q=0.8", "gzip"),
        ("br;q=0.5, gzip;q=0.5", "br"),
        ("*", "zstd"),
        ("*;q=0", "identity"),
        ("zstd;q=0, *", "br"),
        ("zstd;q=0, br;q=0, *;q=0.1", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.5, identity", "identity"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0", "identity"),  # nothing acceptable: sent as it is
        ("deflate, compress", "identity"),
        ("gzip;q=2, br;q=x, zstd;q=-1", "identity"),
        (",,gzip ; q=0.3,,", "gzip"),
        ("compress;q=0.5, gzip;q=1.0", "gzip"),  # the RFC's own examples
        ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip"),
    ],
)
def test_negotiation(field: str | None, coding: str) -> None:
    assert negotiate(field) == coding


def test_only_what_is_offered_is_chosen() -> None:
    assert ranked("gzip, br;q=0.9, zstd;q=0.8", ("zstd", "gzip")) == ("gzip", "zstd")
    assert negotiate("br", ("gzip",)) == "identity"
    assert ranked("gzip, br, zstd", ("gzip", "br")) == ("gzip", "br")


def test_a_long_field_is_read_too_but_not_remembered() -> None:
    before = compression._ranked.cache_info().currsize
    assert negotiate("x" * 5000 + ", gzip") == "gzip"
    assert negotiate("x," * 5000 + ", gzip") == "identity"  # more members than are read
    assert compression._ranked.cache_info().currsize == before


@given(st.text(alphabet="gzipbrstd*;q=01.,- x", max_size=60))
def test_any_field_gives_what_is_offered(field: str) -> None:
    found = ranked(field)
    assert set(found) <= set(CODINGS)
    assert len(set(found)) == len(found)


@given(
    st.dictionaries(
        st.sampled_from([*CODINGS, "identity", "*"]), st.integers(min_value=0, max_value=1000), max_size=5
    )
)
def test_weights_decide(weights: dict[str, int]) -> None:
    field = ", ".join(f"{coding};q={weight / 1000:.3f}" for coding, weight in weights.items())
    found = negotiate(field)
    of = {coding: weights.get(coding, weights.get("*", 0)) for coding in CODINGS}
    if found == "identity":
        assert all(weight == 0 or weight < weights.get("identity", 0) for weight in of.values())
    else:
        assert of[found] == max(of.values()) > 0
        assert of[found] >= weights.get("identity", 0)


@each_coding
@given(pieces=st.lists(st.binary(max_size=2000), max_size=6))
def test_what_is_flushed_can_be_decoded(coding: str, pieces: list[bytes]) -> None:
    encoder, decoder = compressor(coding), Decoder(coding)
    whole = b""
    for piece in pieces:
        octets = encoder.compress(piece) + encoder.flush()
        whole += octets
        assert decoder.feed(octets) == piece
    assert decode(coding, whole + encoder.finish()) == b"".join(pieces)


@each_coding
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_whole_bodies(coding: str, size: int) -> None:
    body = b"tide " * (size // 5)
    assert decode(coding, compress(coding, body)) == body
    assert compress(coding, body) == compress(coding, body)
    assert compress(coding, body, compression.LEVELS[coding][0])


@each_coding
def test_levels(coding: str) -> None:
    with pytest.raises(ValueError, match=f"levels of {coding}"):
        compressor(coding, 99)
    for level in (compression.LEVELS[coding][0], compression.LEVELS[coding][-1]):
        encoder = compressor(coding, level)
        assert decode(coding, encoder.compress(b"x" * 1000) + encoder.finish()) == b"x" * 1000


def test_a_zstd_window_that_every_client_has() -> None:
    """RFC 9659 §3: at most 8 MiB, at whatever level."""
    encoder = compressor("zstd", 19)
    frame = encoder.compress(bytes(range(256)) * 100) + encoder.flush()
    exponent, mantissa = frame[5] >> 3, frame[5] & 7  # RFC 8878 §3.1.1.1.2, for an unknown size
    base = 1 << (10 + exponent)
    assert base + base // 8 * mantissa <= 8 << 20


def test_unknown_codings() -> None:
    with pytest.raises(ValueError, match="Unknown content coding"):
        compressor("deflate")


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compression.MODULES, "br", ("no_such_brotli",))
    assert available() == ("zstd", "gzip")
    with pytest.raises(MissingCodec, match=r"tidegate\[compression\]"):
        compressor("br")


HTML = (b"content-type", b"text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("status", "headers", "may"),
    [
        (200, [HTML], True),
        (404, [HTML], True),
        (200, [], False),
        (200, [(b"content-type", b"Application/Problem+JSON")], True),
        (200, [(b"content-type", b"image/svg+xml")], True),
        (200, [(b"content-type", b"image/png")], False),
        (200, [(b"content-type", b"application/octet-stream")], False),
        (200, [(b"content-type", b"text/event-stream")], False),
        (200, [HTML, (b"content-encoding", b"br")], False),
        (200, [HTML, (b"content-encoding", b"identity")], False),  # how an application says no
        (206, [HTML], False),
        (416, [HTML, (b"content-range", b"bytes */5")], False),
        (204, [HTML], False),
        (205, [HTML], False),
        (304, [HTML], False),
        (101, [HTML], False),
        (200, [HTML, (b"cache-control", b"public, No-Transform")], False),
        (200, [HTML, (b"cache-control", b"max-age=5")], True),
        (200, [HTML, (b"repr-digest", b"sha-256=:YWJj:")], False),
        (200, [HTML, (b"content-digest", b"sha-256=:YWJj:")], False),
    ],
)
def test_what_may_be_encoded(status: int, headers: list[tuple[bytes, bytes]], may: bool) -> None:
    assert eligible(status, headers) is may


def test_event_streams_when_asked() -> None:
    assert eligible(200, [(b"content-type", b"text/event-stream; charset=utf-8")], event_streams=True)


def test_headers_of_the_encoded_form() -> None:
    headers = [HTML, (b"etag", b'"a"'), (b"content-length", b"9"), (b"accept-ranges", b"bytes")]
    assert encoded_headers(headers, "br", 5) == [
        HTML,
        (b"etag", b'W/"a"'),
        (b"content-encoding", b"br"),
        (b"content-length", b"5"),
        (b"vary", b"Accept-Encoding"),
    ]
    headers = [(b"etag", b'W/"a"'), (b"vary", b"Cookie, accept-encoding")]
    assert encoded_headers(headers, "gzip", None) == [
        (b"etag", b'W/"a"'),
        (b"vary", b"Cookie, accept-encoding"),
        (b"content-encoding", b"gzip"),
    ]
    assert (b"vary", b"Accept-Encoding") not in encoded_headers([(b"vary", b"*")], "gzip", None)
