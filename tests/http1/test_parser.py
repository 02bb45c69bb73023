from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.errors import RequestError
from tidegate.http.fields import KNOWN
from tidegate.http.head import NO_CONTENT, UNKNOWN_LENGTH, RequestHead
from tidegate.http1.parser import HeadParser

BROWSER = (
    b"GET /caf%C3%A9?q=1&r=? HTTP/1.1\r\nHost: example.com:8000\r\nConnection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="124"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nx-OWN: \t a b \t\r\n'
    b"Accept-Encoding: gzip, br\r\nEmpty:\r\nCookie: a=b; c=d\r\n\r\n"
)


def parser(max_request_line: int = 8192, max_head: int = 65536, max_fields: int = 100) -> HeadParser:
    return HeadParser(max_request_line, max_head, max_fields)


def parse(data: bytes) -> RequestHead:
    """The one head that `data` holds, taken whole, then octet by octet, with the same outcome."""
    heads = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        p = parser()
        ends = [p.receive(piece, 0) for piece in pieces]
        assert all(end == -1 for end in ends[:-1])
        assert ends[-1] == len(pieces[-1])
        heads.append(p.head)
    assert state(heads[0]) == state(heads[1])
    return heads[0]


def refused(data: bytes) -> int:
    """The status with which `data` is refused, taken whole and octet by octet."""
    statuses = set()
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        p = parser()
        try:
            for piece in pieces:
                assert p.receive(piece, 0) == -1
        except RequestError as error:
            statuses.add(error.status)
        else:
            statuses.add(200)
    assert len(statuses) == 1
    return statuses.pop()


FIELDS = (
    *(
        "authority",
        "client_trailers",
        "navigation",
        "content_length",
        "expect_continue",
        "headers",
        "http_version",
    ),
    *("keep_alive", "method", "path", "protocol", "query_string", "raw_path", "target"),
)


def state(head: RequestHead) -> dict[str, object]:
    return {name: getattr(head, name) for name in FIELDS}


def get(*lines: bytes, version: bytes = b"1.1", host: bytes = b"Host: h") -> bytes:
    return b"\r\n".join([b"GET / HTTP/" + version, *([host] if host else []), *lines, b"", b""])


def test_browser_request() -> None:
    head = parse(BROWSER)
    assert head.method == "GET"
    assert head.target == b"/caf%C3%A9?q=1&r=?"
    assert (head.raw_path, head.query_string, head.path) == (b"/caf%C3%A9", b"q=1&r=?", "/café")
    assert head.http_version == "1.1"
    assert head.authority == b"example.com:8000"
    assert head.headers == [
        (b"host", b"example.com:8000"),
        (b"connection", b"keep-alive"),
        (b"sec-ch-ua", b'"Chromium";v="124"'),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"x-own", b"a b"),
        (b"accept-encoding", b"gzip, br"),
        (b"empty", b""),
        (b"cookie", b"a=b; c=d"),
    ]
    assert head.content_length == NO_CONTENT
    assert head.keep_alive
    assert (head.expect_continue, head.client_trailers, head.protocol) == (False, False, b"")


@pytest.mark.parametrize(
    ("value", "expected"), [(b"navigate", True), (b"cors", False), (b"navigate2", False)]
)
def test_a_browser_s_navigation(value: bytes, expected: bool) -> None:
    assert parse(get(b"Sec-Fetch-Mode: " + value)).navigation == expected


@given(st.lists(st.integers(0, len(BROWSER)), max_size=8))
def test_any_split_gives_the_same_head(cuts: list[int]) -> None:
    p = parser()
    edges = [0, *sorted(cuts), len(BROWSER)]
    ends = [p.receive(BROWSER[a:b], 0) for a, b in pairwise(edges) if a < b]
    assert ends[-1] == edges[-1] - max(e for e in edges if e < edges[-1])
    assert state(p.head) == state(parse(BROWSER))


def test_pipelined_heads_in_one_buffer() -> None:
    data = get() + b"\r\n" + get(b"X: 2")
    p = parser()
    first = p.receive(data, 0)
    assert first == len(get())
    one = p.head
    p.reset()
    assert p.receive(data, first) == len(data)
    assert p.head is not one
    assert p.head.headers == [(b"host", b"h"), (b"x", b"2")]


def test_started_only_behind_the_blank_line() -> None:
    p = parser()
    seen = []
    for piece in (b"", b"\r", b"\n", b"G"):
        assert p.receive(piece, 0) == -1
        seen.append(p.started)
    assert seen == [False, False, False, True]
    p.receive(b"ET / HTTP/1.0\r\n\r\n", 0)
    p.reset()
    assert not p.started


@pytest.mark.parametrize("data", [b"\r\n\r\n" + get(), b"\n" + get(), b"\rX" + get()[1:]])
def test_no_more_than_one_crlf_before_the_request_line(data: bytes) -> None:
    assert refused(data) == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"G@T / HTTP/1.1", 400),
        (b" / HTTP/1.1", 400),
        (b"GET", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /#a HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\t HTTP/1.1", 400),
        (b"GET /", 400),
        (b"GET / ", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ftp://h/ HTTP/1.1", 400),
        (b"GET http:/// HTTP/1.1", 400),
        (b"GET http://:80/ HTTP/1.1", 400),
        (b"GET http://u@h/ HTTP/1.1", 400),
        (b"CONNECT h:443 HTTP/1.1", 501),
        (b"M" * 33 + b" / HTTP/1.1", 501),
        (b"GET /" + b"a" * 8180 + b" HTTP/1.1", 414),
    ],
)
def test_refused_request_lines(line: bytes, status: int) -> None:
    assert refused(line + b"\r\nHost: h\r\n\r\n") == status


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"GET / HTTP/1.1\n", b"GET\t", b"GET /\x00", b"GET / X"])
def test_a_wrong_octet_is_not_waited_out(data: bytes) -> None:
    assert refused(data) == 400


@pytest.mark.parametrize(
    ("line", "version", "path"),
    [
        (b"GET / HTTP/1.0", "1.0", "/"),
        (b"GET / HTTP/1.2", "1.1", "/"),
        (b"GET / HTTP/1.9", "1.1", "/"),
        (b"M!X / HTTP/1.1", "1.1", "/"),
        (b"GET //a/../b HTTP/1.1", "1.1", "//a/../b"),
        (b'GET /"<>[]{}|\\^` HTTP/1.1', "1.1", '/"<>[]{}|\\^`'),
        (b"GET /\xe9 HTTP/1.1", "1.1", "/\ufffd"),
        (b"GET /\xc3\xa9 HTTP/1.1", "1.1", "/é"),
        (b"GET /%zz%4 HTTP/1.1", "1.1", "/%zz%4"),
        (b"GET /?a#b"[:-2] + b" HTTP/1.1", "1.1", "/"),
        (b"OPTIONS * HTTP/1.1", "1.1", "*"),
        (b"OPTIONS http://h HTTP/1.1", "1.1", "*"),
        (b"GET http://h HTTP/1.1", "1.1", "/"),
        (b"GET HTTPS://h/p?q HTTP/1.1", "1.1", "/p"),
        (b"GET http://h?q HTTP/1.1", "1.1", "/"),
    ],
)
def test_accepted_request_lines(line: bytes, version: str, path: str) -> None:
    head = parse(line + b"\r\nHost: h\r\n\r\n")
    assert (head.http_version, head.path) == (version, path)
    assert head.target == line.split()[1]


def test_the_authority_of_the_target_replaces_host() -> None:
    head = parse(b"GET http://a:1/p?q HTTP/1.1\r\nX: y\r\nHost: b\r\n\r\n")
    assert head.headers == [(b"x", b"y"), (b"host", b"a:1")]
    assert (head.authority, head.raw_path, head.query_string) == (b"a:1", b"/p", b"q")
    head = parse(b"GET http://a HTTP/1.0\r\nX: y\r\n\r\n")
    assert head.headers == [(b"host", b"a"), (b"x", b"y")]


@pytest.mark.parametrize(
    "value", [b"", b"a_b", b"h:", b"h:80", b"[::1]:8000", b"[v1.a:b]", b"1.2.3.4", b"%41x"]
)
def test_well_formed_hosts(value: bytes) -> None:
    head = parse(get(host=b"Host: " + value))
    assert head.authority == value


@pytest.mark.parametrize(
    "value",
    [
        b"u@h",
        b"a b",
        b"h/p",
        b"h:x",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[x]",
        b"[v1]",
        b"[::1%eth0]",
        b"h%4",
        b"a:1:2",
        b"\xe9",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_malformed_hosts(value: bytes, version: bytes) -> None:
    assert refused(get(host=b"Host: " + value, version=version)) == 400


def test_host_is_wanted_once() -> None:
    assert refused(get(host=b"")) == 400
    assert refused(get(b"Host: h")) == 400
    assert refused(get(b"Host: h", version=b"1.0")) == 400
    assert parse(get(host=b"", version=b"1.0")).authority == b""


@pytest.mark.parametrize(
    "line",
    [
        b"A: b\nC: d",
        b"A: b\rC: d",
        b"A: b\r\n\rX",
        b"A: b\r\n c",
        b"A: b\r\n\tc",
        b"A : b",
        b"A\t: b",
        b": b",
        b"A",
        b"A\x00: b",
        b"A\x80: b",
        b"A(: b",
        b"\n",
        b"A: \x00",
        b"A: b\x7f",
        b"A: b\x1b",
        b"A: \x0b",
    ],
)
def test_refused_fields(line: bytes) -> None:
    assert refused(get(line)) == 400


def test_white_space_before_the_first_field() -> None:
    assert refused(get(host=b" Host: h")) == 400


def test_obs_text_and_tabs_pass() -> None:
    assert parse(get(b"A: b\tc\x80\xff")).headers[-1] == (b"a", b"b\tc\x80\xff")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Content-Length: 1", b"Content-Length: 1"], 400),
        ([b"Content-Length: 1", b"Content-Length: 2"], 400),
        ([b"Content-Length: 1, 1"], 400),
        ([b"Content-Length: +1"], 400),
        ([b"Content-Length: -1"], 400),
        ([b"Content-Length: 0x1"], 400),
        ([b"Content-Length: 1_0"], 400),
        ([b"Content-Length:"], 400),
        ([b"Content-Length: " + b"9" * 19], 400),
        ([b"Content-Length: 1", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 1"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding: chunked, gzip"], 400),
        ([b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding: xchunked"], 400),
        ([b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding: ,chunked"], 400),
        ([b"Transfer-Encoding: chunked,"], 400),
        ([b"Transfer-Encoding: chunked;a=b"], 400),
        ([b'Transfer-Encoding: "x", chunked'], 400),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Transfer-Encoding: gzip;q=1", b"Transfer-Encoding: chunked"], 501),
    ],
)
def test_refused_framing(lines: list[bytes], status: int) -> None:
    assert refused(get(*lines)) == status


def test_transfer_encoding_in_http_1_0() -> None:
    assert refused(get(b"Transfer-Encoding: chunked", version=b"1.0")) == 400


@pytest.mark.parametrize(
    ("line", "length"),
    [
        (b"Content-Length: 0", 0),
        (b"content-LENGTH: 0042", 42),
        (b"Content-Length: " + b"9" * 18, 10**18 - 1),
        (b"Transfer-Encoding: Chunked", UNKNOWN_LENGTH),
    ],
)
def test_framing(line: bytes, length: int) -> None:
    assert parse(get(line)).content_length == length


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"Connection: x, ,CLOSE"], False),
        (b"1.1", [b"Connection: x", b"Connection: close"], False),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_persistence(version: bytes, lines: list[bytes], keep_alive: bool) -> None:
    assert parse(get(*lines, version=version)).keep_alive == keep_alive


@pytest.mark.parametrize(
    ("version", "lines", "protocol"),
    [
        (b"1.1", [b"Connection: Upgrade", b"Upgrade: WebSocket"], b"websocket"),
        (b"1.1", [b"Connection: keep-alive, upgrade", b"Upgrade: h2c", b"Upgrade: websocket"], b"websocket"),
        (b"1.1", [b"Connection: upgrade", b"Upgrade: h2c, WebSocket, x"], b"websocket"),
        (b"1.1", [b"Connection: upgrade", b"Upgrade: h2c, TLS/1.0"], b"h2c"),
        (b"1.1", [b"Upgrade: websocket"], b""),
        (b"1.1", [b"Connection: close", b"Upgrade: websocket"], b""),
        (b"1.1", [b"Connection: upgrade", b"Upgrade: ,"], b""),
        (b"1.0", [b"Connection: upgrade", b"Upgrade: websocket"], b""),
    ],
)
def test_upgrade(version: bytes, lines: list[bytes], protocol: bytes) -> None:
    assert parse(get(*lines, version=version)).protocol == protocol


@pytest.mark.parametrize(
    ("lines", "forwarded"),
    [
        ([], False),
        ([b"X-Forwarded-For: 192.0.2.1"], True),
        ([b"x-forwarded-PREFIX: /a"], True),
        ([b"X-Forwarded-Host: a"], True),
        ([b"X-Forwarded-Port: 1"], True),
        ([b"X-Forwarded-Proto: https"], True),
        ([b"forwarded: for=x"], True),
        ([b"X-Forwarded: for=x", b"From: a", b"X-Request-ID: 1", b"Forwarded-For: a"], False),
    ],
)
def test_forwarded_fields_are_noticed(lines: list[bytes], forwarded: bool) -> None:
    parser = HeadParser(8192, 65536, 100)
    for after in ([b"X-Forwarded-For: 192.0.2.1"], lines):  # the head before leaves nothing behind
        data = get(*after)
        assert parser.receive(data, 0) == len(data)
        head = parser.head
        parser.reset()
    assert head.forwarded == forwarded


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [
        (b"1.1", [b"Expect: 100-Continue"], True),
        (b"1.1", [b"Expect: x", b"Expect: 100-continue"], True),
        (b"1.1", [b"Expect: 200-ok"], False),
        (b"1.0", [b"Expect: 100-continue"], False),
    ],
)
def test_expect(version: bytes, lines: list[bytes], expected: bool) -> None:
    assert parse(get(*lines, version=version)).expect_continue == expected


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [
        (b"1.1", [b"TE: trailers"], True),
        (b"1.1", [b"TE: deflate;q=0.5 , Trailers ;q=1"], True),
        (b"1.1", [b"TE: gzip", b"TE: trailers"], True),
        (b"1.1", [b"TE: xtrailers"], False),
        (b"1.0", [b"TE: trailers"], False),
    ],
)
def test_te(version: bytes, lines: list[bytes], expected: bool) -> None:
    assert parse(get(*lines, version=version)).client_trailers == expected


@pytest.mark.parametrize("step", [1, 7, 100000])
def test_limits(step: int) -> None:
    def outcome(data: bytes, p: HeadParser) -> int:
        try:
            ends = [p.receive(data[i : i + step], 0) for i in range(0, len(data), step)]
        except RequestError as error:
            return error.status
        return ends[-1] and 200

    line = b"GET /" + b"a" * 86 + b" HTTP/1.1"  # 100 octets
    assert outcome(line + b"\r\nHost:\r\n\r\n", parser(max_request_line=100)) == 200
    assert outcome(b"\r\n" + line + b"\r\nHost:\r\n\r\n", parser(max_request_line=100)) == 200
    assert outcome(line + b"\r\nHost:\r\n\r\n", parser(max_request_line=99)) == 414
    assert outcome(line, parser(max_request_line=98)) == 414
    head = get(b"X: y", b"Z:" + b" " * 50)
    assert outcome(head, parser(max_head=len(head))) == 200
    assert outcome(head, parser(max_head=len(head) - 1)) == 431
    assert outcome(head, parser(max_head=len(head) - 10)) == 431
    assert outcome(head, parser(max_head=len(b"GET / HTTP/1.1\r\n"))) in (431, 414)
    assert outcome(head, parser(max_fields=3)) == 200
    assert outcome(head, parser(max_fields=2)) == 431


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"GET ", b"/ ", b"HTTP/1.1\r\n", b"Host: h\r\n", b"\r\n"])
    )
)
def test_any_octets_never_crash(pieces: list[bytes]) -> None:
    p = parser(200, 400, 5)
    for piece in pieces:
        try:
            end = p.receive(piece, 0)
        except RequestError:
            break
        assert -1 <= end <= len(piece)
        if end >= 0:
            p.reset()


def test_the_last_host_is_checked_once_but_others_again() -> None:
    p = parser()
    for host in (b"a", b"a", b"b"):
        p.receive(get(host=b"Host: " + host), 0)
        assert p.head.authority == host
        p.reset()
    with pytest.raises(RequestError):
        p.receive(get(host=b"Host: @"), 0)


def test_fields_that_a_client_repeats() -> None:
    """What is remembered of one head never shows in the next."""
    p = parser(max_fields=4)

    def fields(*lines: bytes) -> list[tuple[bytes, bytes]]:
        data = get(*lines)
        assert p.receive(data, 0) == len(data)
        p.reset()
        return p.head.headers

    host = (b"host", b"h")
    first = fields(b"A: b", b"Accept: */*", b"X:")
    assert first == [host, (b"a", b"b"), (b"accept", b"*/*"), (b"x", b"")]
    assert fields(b"A: b", b"Accept: */*", b"X:") == first
    first.clear()  # it is the application's
    for lines, expected in (
        ((b"A: b", b"Accept: */*, x", b"X: "), [(b"a", b"b"), (b"accept", b"*/*, x"), (b"x", b"")]),
        ((b"A: bc", b"accept:*/*", b"X: y"), [(b"a", b"bc"), (b"accept", b"*/*"), (b"x", b"y")]),
        ((b"Accept: *", b"Accept: */*"), [(b"accept", b"*"), (b"accept", b"*/*")]),
        ((b"Accept: * ", b"ACCEPT: \t*/*\t"), [(b"accept", b"*"), (b"accept", b"*/*")]),
        ((), []),
        ((b"Accept: *",), [(b"accept", b"*")]),
    ):
        assert fields(*lines) == [host, *expected]
        assert fields(*lines) == [host, *expected]
    p.forget()
    assert p.head.headers == []
    assert fields(b"Accept: *") == [host, (b"accept", b"*")]
    four = (b"Accept: *",) * 3
    assert fields(*four) == fields(*four)
    with pytest.raises(RequestError) as caught:
        fields(*four, b"Accept: *")
    assert caught.value.status == 431


@pytest.mark.parametrize(
    "line", [b"Accept: *\x00", b"Accept: *\n", b"Accept: *\r", b"Accept : *", b"Accept: *\rX"]
)
def test_a_fault_behind_what_is_repeated(line: bytes) -> None:
    p = parser()
    data = get(b"Accept: *")
    p.receive(data, 0)
    p.reset()
    with pytest.raises(RequestError) as caught:
        p.receive(get(line), 0)
    assert caught.value.status == 400


@given(
    st.lists(
        st.sampled_from([b"A: b", b"A: c", b"Accept: b", b"accept:b", b"X-Own: b \t", b"Cookie:"]), max_size=5
    )
)
def test_repeated_fields_are_the_same_as_fresh_ones(lines: list[bytes]) -> None:
    p = parser()
    for data in (get(b"A: b", b"Accept: b"), get(*lines), get(*lines[1:]), get(*lines)):
        assert p.receive(data, 0) == len(data)
        p.reset()
        assert state(p.head) == state(parse(data))


FRAMING = (b"host", b"content-length", b"transfer-encoding")


def test_every_known_name_is_its_one_object() -> None:
    names = sorted(name for name in KNOWN if name.lower() not in FRAMING)
    for start in range(0, len(names), 50):
        some = names[start : start + 50]
        p = parser()
        p.receive(get(*[name + b": x" for name in some]), 0)
        assert len(p.head.headers) == len(some) + 1
        for name, (found, _) in zip(some, p.head.headers[1:], strict=True):
            assert found is KNOWN[name]
