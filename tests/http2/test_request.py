"""Field sections into requests: what each field means, and what is malformed (RFC 9113 §8.2, §8.3, RFC 8441 §4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.errors import RequestError, StreamError
from tidegate.http.head import NO_CONTENT, UNKNOWN_LENGTH
from tidegate.http2.priority import parse_priority
from tidegate.http2.request import RequestReader, receive_trailers

Field = tuple[bytes, bytes]
METHOD, SCHEME, PATH, AUTHORITY = GET = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/a%20b?q=%31"),
    (b":authority", b"example.org"),
]
CONNECT = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]


def test_a_request() -> None:
    reader = RequestReader(8192)
    head = reader.receive([*GET, (b"accept", b"*/*"), (b"x-y", b"z")], True)
    assert (head.method, head.http_version, head.authority) == ("GET", "2", b"example.org")
    assert (head.target, head.path, head.raw_path, head.query_string) == (
        b"/a%20b?q=%31",
        "/a b",
        b"/a%20b",
        b"q=%31",
    )
    assert head.headers == [(b"host", b"example.org"), (b"accept", b"*/*"), (b"x-y", b"z")]
    assert (head.content_length, head.keep_alive, head.client_trailers) == (NO_CONTENT, True, True)
    assert (head.expect_continue, head.protocol) == (False, b"")
    assert (reader.priority, reader.scheme) == (b"", b"https")


def test_the_length_of_the_content() -> None:
    reader = RequestReader(8192)
    assert reader.receive(GET, False).content_length == UNKNOWN_LENGTH
    assert reader.receive([*GET, (b"content-length", b"7")], False).content_length == 7
    assert reader.receive([*GET, (b"content-length", b"0")], True).content_length == 0


def test_what_fields_say() -> None:
    reader = RequestReader(8192)
    fields = [(b"expect", b"100-Continue"), (b"te", b"trailers"), (b"priority", b"u=1"), (b"priority", b"i")]
    head = reader.receive([*GET, *fields], False)
    assert head.expect_continue
    assert head.headers[1:] == fields
    assert reader.priority == b"u=1, i"
    assert not reader.receive([*GET, *fields], True).expect_continue
    reader.receive([*GET, (b"te", b"Trailers")], False)  # RFC 9110 §10.1.4: in any case
    # Lists that HPACK makes cheap to repeat are not read.
    long = [(b"expect", b"100-continue" + b",a" * 130), (b"priority", b"u=1" + b",a" * 130)]
    assert not reader.receive([*GET, *long], False).expect_continue
    assert parse_priority(reader.priority) == parse_priority(b"")
    reader.receive([*GET, *[(b"priority", b"a" * 100)] * 600], False)
    assert len(reader.priority) < 500
    assert not reader.receive([*GET, (b"expect", b"x")], False).expect_continue
    assert reader.priority == b""


def test_cookie_crumbs() -> None:
    crumbs = [(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")]
    head = RequestReader(8192).receive([*GET, *crumbs], True)
    assert head.headers[1:] == [(b"cookie", b"a=1; b=2; c=3"), (b"x", b"y")]


def test_host_in_place_of_authority() -> None:
    reader = RequestReader(8192)
    head = reader.receive([*GET[:3], (b"x", b"y"), (b"host", b"Example.org:80")], True)
    assert head.authority == b"Example.org:80"
    assert head.headers == [(b"host", b"Example.org:80"), (b"x", b"y")]
    assert reader.receive([*GET, (b"host", b"EXAMPLE.org")], True).headers == [(b"host", b"example.org")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", ("/", b"/", b"")),
        (b"/?", ("/", b"/", b"")),
        (b"/?a?b%20", ("/", b"/", b"a?b%20")),
        (b"/%C3%A9%zz", ("/é%zz", b"/%C3%A9%zz", b"")),
        (b"//x", ("//x", b"//x", b"")),
    ],
)
def test_paths(path: bytes, expected: tuple[str, bytes, bytes]) -> None:
    head = RequestReader(8192).receive([METHOD, SCHEME, (b":path", path), AUTHORITY], True)
    assert (head.path, head.raw_path, head.query_string) == expected


def test_methods() -> None:
    reader = RequestReader(8192)
    assert reader.receive([(b":method", b"BREW"), *GET[1:]], True).method == "BREW"
    options = [(b":method", b"OPTIONS"), SCHEME, (b":path", b"*"), AUTHORITY]
    assert reader.receive(options, True).path == "*"


def test_extended_connect() -> None:
    head = RequestReader(8192).receive([*CONNECT, (b"sec-websocket-version", b"13")], False)
    assert (head.method, head.protocol, head.path) == ("CONNECT", b"websocket", "/a b")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(b":method", b"M" * 33), *GET[1:]], 501),
        ([(b":method", b"CONNECT"), AUTHORITY], 501),
        ([(b":method", b"CONNECT"), (b":protocol", b"connect-udp"), *GET[1:]], 501),
        ([METHOD, SCHEME, AUTHORITY, (b":path", b"/" * 101)], 414),
    ],
)
def test_what_is_refused(fields: list[Field], status: int) -> None:
    with pytest.raises(RequestError) as caught:
        RequestReader(100).receive(fields, True)
    assert caught.value.status == status


MALFORMED: dict[str, list[Field]] = {
    "no method": GET[1:],
    "no scheme": [METHOD, PATH, AUTHORITY],
    "no path": [METHOD, SCHEME, AUTHORITY],
    "no authority": GET[:3],
    **{f"{name.decode()} twice": [*GET, (name, value)] for name, value in GET},
    ":protocol twice": [*CONNECT, (b":protocol", b"websocket")],
    ":protocol without CONNECT": [*GET, (b":protocol", b"websocket")],
    ":protocol without :authority": [*CONNECT[:4], (b"host", b"h")],
    ":protocol that is no token": [(b":method", b"CONNECT"), (b":protocol", b"a b"), *GET[1:]],
    "CONNECT with a path": [(b":method", b"CONNECT"), *GET[1:]],
    "CONNECT without authority": [(b":method", b"CONNECT"), (b"host", b"h")],
    "pseudo behind others": [*GET[:3], (b"a", b"b"), AUTHORITY],
    "pseudo behind host": [*GET[:3], (b"host", b"example.org"), AUTHORITY],
    "unknown pseudo": [*GET, (b":status", b"200")],
    "empty method": [(b":method", b""), *GET[1:]],
    "method": [(b":method", b"G T"), *GET[1:]],
    "scheme": [METHOD, (b":scheme", b"ht tp"), PATH, AUTHORITY],
    "empty path": [METHOD, SCHEME, (b":path", b""), AUTHORITY],
    "absolute path": [METHOD, SCHEME, (b":path", b"http://h/"), AUTHORITY],
    "asterisk": [METHOD, SCHEME, (b":path", b"*"), AUTHORITY],
    "fragment": [METHOD, SCHEME, (b":path", b"/#a"), AUTHORITY],
    "space in the path": [METHOD, SCHEME, (b":path", b"/a b"), AUTHORITY],
    "empty authority": [*GET[:3], (b":authority", b"")],
    "authority": [*GET[:3], (b":authority", b"user@h")],
    "authority without host": [*GET[:3], (b":authority", b":80")],
    "empty host": [*GET[:3], (b"host", b"")],
    "host differs": [*GET, (b"host", b"example.com")],
    "host twice": [*GET, (b"host", b"example.org"), (b"host", b"example.org")],
    "length twice": [*GET, (b"content-length", b"0"), (b"content-length", b"0")],
    "length": [*GET, (b"content-length", b"-1")],
    "length without content": [*GET, (b"content-length", b"1")],
    "te": [*GET, (b"te", b"gzip")],
    **{
        name: [*GET, (name.encode(), b"x")]
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
        ]
    },
    "capitals": [*GET, (b"Accept", b"x")],
    "more capitals": [*GET, (b"x-Y", b"x")],
    "empty name": [*GET, (b"", b"x")],
    "name": [*GET, (b"a b", b"x")],
    "name of octets": [*GET, (b"a\xff", b"x")],
    "NUL": [*GET, (b"a", b"x\0")],
    "CR": [*GET, (b"a", b"x\r")],
    "LF": [*GET, (b"a", b"x\ny: z")],
    "space before": [*GET, (b"a", b" x")],
    "space behind": [*GET, (b"a", b"x ")],
    "tab before": [*GET, (b"a", b"\tx")],
    "tab behind": [*GET, (b"a", b"x\t")],
    "control in a pseudo": [METHOD, SCHEME, (b":path", b"/\x7f"), AUTHORITY],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(fields: list[Field]) -> None:
    with pytest.raises(StreamError) as caught:
        RequestReader(8192).receive(fields, True)
    assert caught.value.code == 0x1


def test_trailers() -> None:
    fields = [(b"grpc-status", b"0"), (b"content-length", b"3"), (b"etag", b"x")]
    assert receive_trailers(fields) == [(b"grpc-status", b"0"), (b"etag", b"x")]
    for field in ((b":path", b"/"), (b"connection", b"x"), (b"A", b"x"), (b"a", b"x\n")):
        with pytest.raises(StreamError):
            receive_trailers([field])


names = st.sampled_from(
    [name for name, _ in CONNECT]
    + b"host cookie te content-length expect priority connection x X \x00".split(b" ")
)
values = st.sampled_from(
    [*b"GET CONNECT http / * h h:1 trailers 0 1 websocket a=1".split(), b"", b" ", b"\n"]
)


@given(st.lists(st.tuples(names, values), max_size=12), st.booleans())
def test_whatever_comes_is_taken_or_refused(fields: list[Field], end: bool) -> None:
    try:
        head = RequestReader(8192).receive(fields, end)
    except (StreamError, RequestError):
        return
    assert head.method
    assert head.path[0] in "/*"
    assert [name for name, _ in head.headers].count(b"host") == 1
    assert [name for name, _ in head.headers].count(b"cookie") <= 1
    assert not any(name.startswith(b":") or b"\n" in value for name, value in head.headers)
