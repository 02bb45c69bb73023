from collections.abc import Iterable
from typing import Any

import pytest

from tidegate.http.errors import ApplicationError
from tidegate.http.fields import (
    FORBIDDEN_TRAILERS,
    KNOWN,
    is_token,
    link_fields,
    list_members,
    response_fields,
    trailer_fields,
)
from tidegate.http.head import UNKNOWN_LENGTH, ResponseHead


def fill(headers: Iterable[Any]) -> ResponseHead:
    head = ResponseHead(200)
    response_fields(head, headers)
    return head


def test_tokens() -> None:
    assert is_token(b"a!#$%&'*+-.^_`|~Z9")
    assert not any(is_token(value) for value in (b"", b"a b", b"a:", b"\x80", b"a\x00", b"(", b'"'))


def test_list_members() -> None:
    assert list_members(b" A ,, b\t,C d,") == [b"a", b"b", b"c d"]
    assert list_members(b"") == []


def test_known_names_are_lower_case_and_one_object() -> None:
    for name, lowered in KNOWN.items():
        assert is_token(name)
        assert not name.endswith(b"-")
        assert name.lower() == lowered
        assert KNOWN[lowered] is lowered
    assert {b"If-Unmodified-Since", b"Content-Disposition", b"Access-Control-Request-Headers"} <= KNOWN.keys()


def test_fields_in_any_iterable() -> None:
    expected = [
        (b"content-type", b"text/plain"),
        (b"x-own", b"a"),
        (b"set-cookie", b""),
        (b"set-cookie", b"b\xe9"),
    ]
    pairs = [
        (b"Content-Type", b"text/plain"),
        (b"X-Own", b" a\t"),
        (b"set-cookie", b" "),
        (b"SET-cookie", b"b\xe9"),
    ]
    for headers in (
        pairs,
        [list(p) for p in pairs],
        (iter(p) for p in pairs),
        map(tuple, pairs),
        dict(pairs[:2]).items(),
    ):
        head = fill(headers)
        assert head.fields == expected[: len(head.fields)]
        assert len(head.fields) >= 2
    assert fill([(bytearray(b"A"), memoryview(b"b"))]).fields == [(b"a", b"b")]
    assert fill([]).fields == []


def test_content_length() -> None:
    assert fill([]).content_length == UNKNOWN_LENGTH
    head = fill([(b"Content-Length", b"12"), (b"content-length", b"012")])
    assert (head.content_length, head.fields) == (12, [(b"content-length", b"12")])


def test_hop_by_hop_fields_are_dropped() -> None:
    dropped = (b"Keep-Alive", b"Proxy-Connection", b"Transfer-Encoding", b"Upgrade", b"TE", b"Connection")
    head = fill(
        [*((name, b"x") for name in dropped), (b"trailer", b"X-Sum"), (b"date", b"d"), (b"SERVER", b"s")]
    )
    assert head.fields == [(b"trailer", b"X-Sum"), (b"date", b"d"), (b"server", b"s")]
    assert (head.has_date, head.has_server, head.close) == (True, True, False)
    head = fill([(b"connection", b"x, Close")])
    assert (head.has_date, head.has_server, head.close) == (False, False, True)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("x-foo", b"a"), "'x-foo'.*name must be bytes, not str"),
        ((b"x-foo", "a"), "'x-foo'.*value must be bytes, not str"),
        ((b"x-foo", 1), "'x-foo'.*value must be bytes, not int"),
        ((None, b"a"), "None.*name must be bytes, not NoneType"),
        ((b"", b"a"), "b'' is not a token"),
        ((b"a b", b"a"), "b'a b' is not a token"),
        ((b"a\r\nb", b"a"), "is not a token"),
        ((b"X-Foo", b"a\r\nb"), "header x-foo has a control character"),
        ((b"x-foo", b"a\nb"), "header x-foo has a control character"),
        ((b"x-foo", b"a\x00"), "header x-foo has a control character"),
        ((b"x-foo", b"a\x7f"), "header x-foo has a control character"),
        ((b"x-foo",), "pair, not 1 items"),
        ((b"a", b"b", b"c"), "pair, not 3 items"),
        (b"ab", "pair, not bytes"),
        ("ab", "pair, not str"),
        (7, "pair, not int"),
        ((b"content-length", b"x"), "content-length must be"),
        ((b"content-length", b""), "content-length must be"),
        ((b"content-length", b"1, 1"), "content-length must be"),
    ],
)
def test_refused_headers(header: Any, message: str) -> None:
    with pytest.raises(ApplicationError, match=message):
        fill([(b"a", b"b"), header])


def test_conflicting_content_lengths() -> None:
    with pytest.raises(ApplicationError, match="content-length was sent twice"):
        fill([(b"content-length", b"1"), (b"content-length", b"2")])


def test_trailer_fields() -> None:
    assert trailer_fields([[b"X-Sum", b" 1"]]) == [(b"x-sum", b"1")]
    with pytest.raises(ApplicationError, match="content-length cannot be sent as a trailer"):
        trailer_fields([(b"Content-Length", b"1")])


def test_link_fields() -> None:
    assert link_fields([b"</a>; rel=preload"]) == [(b"link", b"</a>; rel=preload")]
    with pytest.raises(ApplicationError, match=r"'link'.*str"):
        link_fields(["</a>"])  # type: ignore[list-item]


def test_forbidden_trailers_are_field_names() -> None:
    assert b"if-unmodified-since" in FORBIDDEN_TRAILERS
    assert not any(name.endswith(b"-") or name != name.lower() for name in FORBIDDEN_TRAILERS)
