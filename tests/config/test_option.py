"""Kinds of value: reading from text, and writing back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import OPTIONS, Bind
from tidegate.config.option import Flag, HeaderField, Kind, Seconds, Size, did_you_mean


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0", 0), ("65536", 65536), ("64k", 65536), ("64K", 65536), (" 64 KiB ", 65536), ("10M", 10 << 20),
     ("1g", 1 << 30), ("12b", 12)],
)  # fmt: skip
def test_size(text: str, octets: int) -> None:
    assert Size().parse(text) == octets


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5M", "1T", "1 0", "9" * 20, "1_000", "٣"])
def test_size_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: give octets"):
        Size().parse(text)


@given(st.integers(0, 2**62))
def test_a_size_is_written_as_it_is_read(octets: int) -> None:
    assert Size().parse(Size().format(octets)) == octets


@pytest.mark.parametrize("word", ["true", "1", "YES", " on "])
def test_flag_on(word: str) -> None:
    assert Flag().parse(word) is True


@pytest.mark.parametrize("word", ["false", "0", "No", "off"])
def test_flag_off(word: str) -> None:
    assert Flag().parse(word) is False


def test_flag_refuses() -> None:
    with pytest.raises(ValueError, match="'maybe' is neither yes nor no: give true or false"):
        Flag().parse("maybe")


def test_seconds() -> None:
    assert Seconds().parse("2.5") == 2.5
    with pytest.raises(ValueError, match="'2s' is not a number: give seconds, 0 or more"):
        Seconds().parse("2s")


@pytest.mark.parametrize(
    ("text", "field"),
    [("X-A: b", (b"x-a", b"b")), ("x-a:", (b"x-a", b"")), ("Link: </a>; rel=b", (b"link", b"</a>; rel=b")),
     ("x: é", (b"x", b"\xe9"))],
)  # fmt: skip
def test_header_field(text: str, field: tuple[bytes, bytes]) -> None:
    kind = HeaderField()
    assert kind.parse(text) == field
    kind.check(field)
    assert kind.parse(kind.format(field)) == field


@pytest.mark.parametrize(
    ("text", "fault"), [("x-a", "has no colon"), ("x: €", "is not Latin-1"), ("é: x", "Latin-1")]
)
def test_header_field_refuses(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        HeaderField().parse(text)


def test_a_repeatable_option_takes_one_value_or_several() -> None:
    bind = OPTIONS["bind"]
    assert bind.read("[::1]:80") == (Bind(host="::1", port=80),)
    assert bind.read(["[::1]:80", Bind(port=1)]) == (Bind(host="::1", port=80), Bind(port=1))
    assert bind.read_env("[::1]:80, unix:/x,") == (Bind(host="::1", port=80), Bind(kind="unix", path="/x"))
    header = OPTIONS["header"]
    assert header.read((b"x-a", b"b")) == ((b"x-a", b"b"),)
    assert header.read_env("vary: a, b\nx-a: c") == ((b"vary", b"a, b"), (b"x-a", b"c"))


def test_a_kind_must_say_what_it_takes() -> None:
    with pytest.raises(NotImplementedError):
        Kind().check("x")


def test_did_you_mean() -> None:
    assert did_you_mean("limit_haed", OPTIONS) == ': did you mean "limit_head"?'
    assert did_you_mean("qqqqqqqq", OPTIONS) == ""
