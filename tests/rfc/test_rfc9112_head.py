"""Request heads on the wire: RFC 9112 §2 to §5, through the whole connection."""

import pytest

from tests.support.http1 import CLOSED, GET, OK, Dialogue, answer_at_once, error_answer, octets, refusal


def request(
    *lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: example.org"
) -> bytes:
    return b"\r\n".join([line, *([] if host is None else [host]), *lines, b"", b""])


def parsed(data: bytes) -> Dialogue:
    """`data` is one good request, however it is split."""
    for pieces in (octets(data), [data]):
        dialogue = Dialogue().receive(*pieces)
        assert dialogue.refusals == []
        assert len(dialogue.handlers) == 1
        assert dialogue.handler.names[-1] == "start"
    return dialogue


# RFC 9112 §2.2: message parsing


@pytest.mark.parametrize("lf", [b"\n", b"\r\r\n", b"\r"])
def test_2_2_a_line_ends_in_crlf_alone(lf: bytes) -> None:
    assert refusal(b"GET / HTTP/1.1" + lf + b"Host: h\r\n\r\n") == 400
    assert refusal(b"GET / HTTP/1.1\r\nHost: h" + lf + b"A: b\r\n\r\n") == 400
    assert refusal(b"GET / HTTP/1.1\r\nHost: h\r\nA: b" + lf + b"\r\n") == 400
    assert refusal(b"GET / HTTP/1.1\r\nHost: h\r\n" + lf + b"X\r\n") == 400


def test_2_2_bare_cr_in_a_value() -> None:
    assert refusal(request(b"A: b\rzqz: c")) == 400


def test_2_2_one_crlf_before_a_request_line_is_skipped() -> None:
    parsed(b"\r\n" + request())
    dialogue = Dialogue(answer_at_once).receive(GET + b"\r\n" + GET)
    assert dialogue.wire.sent == OK + OK


@pytest.mark.parametrize("blank", [b"\r\n\r\n", b"\n", b"\r\r\n", b"\r\n\n", b" \r\n"])
def test_2_2_only_one_crlf_is_skipped(blank: bytes) -> None:
    assert refusal(blank + request()) == 400


@pytest.mark.parametrize("line", [b" A: zqz", b"\tA: zqz", b" "])
def test_2_2_white_space_before_the_first_field(line: bytes) -> None:
    assert refusal(request(b"Host: h", line=b"GET / HTTP/1.1\r\n" + line, host=None)) == 400


# RFC 9112 §2.3: HTTP version


def test_2_3_later_minor_versions_are_served_as_1_1() -> None:
    for version in (b"1.1", b"1.2", b"1.9"):
        dialogue = parsed(request(line=b"GET / HTTP/" + version))
        assert dialogue.handler.request.http_version == "1.1"
        dialogue.handler.answer()
        assert dialogue.wire.sent == OK


def test_2_3_http_1_0() -> None:
    assert parsed(request(line=b"GET / HTTP/1.0")).handler.request.http_version == "1.0"


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9"])
def test_2_3_another_major_version(version: bytes) -> None:
    assert refusal(request(line=b"GET /zqz " + version)) == 505  # RFC 9110 §15.6.6


def test_2_3_the_preface_of_http_2() -> None:
    assert refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505


@pytest.mark.parametrize(
    "version",
    [
        b"",
        b"http/1.1",
        b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/11",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTTP/1.1 ",
        b" HTTP/1.1",
        b"RTSP/1.0",
        b"HTTP/1.x",
        b"HTTP 1.1",
        b"HTTPS/1.1",
        b"HTTP/-1.1",
    ],
)
def test_2_3_malformed_version(version: bytes) -> None:
    assert refusal(request(line=b"GET / " + version)) == 400


def test_2_3_http_0_9() -> None:
    assert refusal(b"GET /\r\n") == 400


# RFC 9112 §3: request line


@pytest.mark.parametrize("octet", [bytes([c]) for c in b'\x00\x07\x1b(),/:;<=>?@[\\]{}"\x7f\x80\xff'])
def test_3_1_invalid_octets_in_the_method(octet: bytes) -> None:
    assert refusal(request(line=b"zqz" + octet + b"T / HTTP/1.1")) == 400


def test_3_1_methods_are_case_sensitive_tokens() -> None:
    for method in (b"GET", b"get", b"M-SEARCH", b"!#$%&'*+-.^_`|~9"):
        assert parsed(request(line=method + b" / HTTP/1.1")).handler.request.method == method.decode()


@pytest.mark.parametrize(
    "line", [b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1"]
)
def test_3_one_space_between_the_parts(line: bytes) -> None:
    assert refusal(request(line=line)) == 400


def test_3_a_method_longer_than_any_is_not_implemented() -> None:
    assert refusal(request(line=b"A" * 33 + b" / HTTP/1.1")) == 501


def test_3_a_request_line_too_long() -> None:
    line = b"GET /" + b"a" * 86 + b" HTTP/1.1"
    assert len(line) == 100
    assert refusal(request(line=line), max_request_line=99) == 414  # RFC 9110 §15.5.15
    assert refusal(request(line=line), max_request_line=100) == 0
    default = Dialogue().receive(b"GET /" + b"a" * 9000)
    assert error_answer(default.wire.sent)[0] == 414


def test_3_a_tls_client_hello_is_refused_at_its_first_octet() -> None:
    dialogue = Dialogue().receive(b"\x16")
    assert error_answer(dialogue.wire.sent)[0] == 400


@pytest.mark.parametrize("octet", [bytes([c]) for c in [*range(0x21), 0x7F, 0x23]])
def test_3_2_octets_that_cannot_stand_in_a_target(octet: bytes) -> None:
    assert refusal(request(line=b"GET /zqz" + octet + b"b HTTP/1.1")) == 400


@pytest.mark.parametrize("octet", [bytes([c]) for c in b'"<>[]\\^`{|}\x80\xc3\xff'])
def test_3_2_other_octets_pass_raw(octet: bytes) -> None:
    head = parsed(request(line=b"GET /a" + octet + b"?b" + octet + b" HTTP/1.1")).handler.request
    assert head.raw_path == b"/a" + octet
    assert head.query_string == b"b" + octet
    assert head.path == "/a" + octet.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "target", [b"index.html", b"zqz:80", b"*", b"?a", b"ftp://h/", b"http:/h", b"mailto:x"]
)
def test_3_2_malformed_targets(target: bytes) -> None:
    assert refusal(request(line=b"GET " + target + b" HTTP/1.1")) == 400


# RFC 9112 §3.2: Host


def test_3_2_host_missing_in_1_1() -> None:
    assert refusal(request(host=None)) == 400
    parsed(request(line=b"GET / HTTP/1.0", host=None))


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_3_2_host_repeated(version: bytes) -> None:
    line = b"GET / HTTP/" + version
    assert refusal(request(b"Host: example.org", line=line)) == 400
    assert refusal(request(b"A: b", b"hOST: zqz", line=line)) == 400


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"user@h",
        b"h:x",
        b"h:80:80",
        b"h/",
        b"http://h",
        b"[::1",
        b"[::1]x",
        b"[zqz]",
        b"a\\b",
        b"h:-1",
        b"h?",
        b"\xff",
        b"::1",
        b"[::1%eth0]",
        b"h%zz",
        b"[1.2.3.4]",
        b'"h"',
    ],
)
def test_3_2_malformed_host(host: bytes) -> None:
    for version in (b"1.0", b"1.1"):
        assert refusal(request(line=b"GET / HTTP/" + version, host=b"Host: " + host)) == 400


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"h",
        b"h:",
        b"h:80",
        b"a_b.example",
        b"[::1]",
        b"[::1]:8000",
        b"[v1.x]:1",
        b"127.0.0.1:1",
        b"h%41",
        b"[::ffff:1.2.3.4]",
        b"EXAMPLE.org",
    ],
)
def test_3_2_well_formed_host(host: bytes) -> None:
    head = parsed(request(host=b"Host: " + host)).handler.request
    assert head.authority == host
    assert head.headers == [(b"host", host)]


def test_3_2_2_the_authority_of_an_absolute_target_wins_over_host() -> None:
    head = parsed(request(b"A: b", line=b"GET http://other:81/p?q HTTP/1.1")).handler.request
    assert head.authority == b"other:81"
    assert head.headers == [(b"host", b"other:81"), (b"a", b"b")]
    assert (head.path, head.raw_path, head.query_string) == ("/p", b"/p", b"q")
    assert head.target == b"http://other:81/p?q"
    old = parsed(request(b"A: b", line=b"GET HTTPS://other HTTP/1.0", host=None)).handler.request
    assert old.headers == [(b"host", b"other"), (b"a", b"b")]
    assert old.path == "/"
    assert refusal(request(line=b"GET http://other/ HTTP/1.1", host=None)) == 400
    assert refusal(request(line=b"GET http://other/ HTTP/1.1", host=b"Host: a b")) == 400


@pytest.mark.parametrize(
    "target", [b"http://", b"http:///p", b"http://:80/", b"http://u:p@h/", b"http://a b/"]
)
def test_3_2_2_malformed_absolute_targets(target: bytes) -> None:
    assert refusal(request(line=b"GET " + target + b" HTTP/1.1")) == 400  # RFC 9110 §4.2.1, §4.2.4


def test_3_2_3_connect_is_refused() -> None:
    assert refusal(request(line=b"CONNECT example.org:443 HTTP/1.1")) == 501  # RFC 9110 §9.3.6


def test_3_2_4_asterisk_form() -> None:
    for target in (b"*", b"http://example.org"):
        head = parsed(request(line=b"OPTIONS " + target + b" HTTP/1.1")).handler.request
        assert (head.method, head.path, head.raw_path) == ("OPTIONS", "*", b"*")


# RFC 9112 §5: field syntax


@pytest.mark.parametrize(
    "line", [b"A : zqz", b"A\t: zqz", b"Content-Length : 3", b"Transfer-Encoding : chunked"]
)
def test_5_1_white_space_before_the_colon(line: bytes) -> None:
    assert refusal(request(line)) == 400


@pytest.mark.parametrize("name", [b"", b"a b", b"a(b", b"a@", b"a\x00", b"\x7f", b"\xc3\xa9", b"a/b", b'"a"'])
def test_5_1_names_are_tokens(name: bytes) -> None:
    assert refusal(request(name + b": zqz")) == 400


def test_5_1_a_line_without_a_colon() -> None:
    assert refusal(request(b"zqz")) == 400


def test_5_1_white_space_around_a_value_is_no_part_of_it() -> None:
    head = parsed(request(b"A: \t b c \t", b"B:", b"C:d", b"a: \xff\t\x80")).handler.request
    assert head.headers[1:] == [(b"a", b"b c"), (b"b", b""), (b"c", b"d"), (b"a", b"\xff\t\x80")]


@pytest.mark.parametrize("fold", [b" ", b"\t", b"  c: d"])
def test_5_2_obsolete_line_folding(fold: bytes) -> None:
    assert refusal(request(b"A: zqz", fold + b"b")) == 400


@pytest.mark.parametrize("octet", [bytes([c]) for c in [*range(9), 11, 12, *range(14, 32), 0x7F]])
def test_rfc9110_5_5_control_octets_in_a_value(octet: bytes) -> None:
    assert refusal(request(b"A: zqz" + octet + b"b")) == 400


# RFC 6585 §5


def test_rfc6585_5_head_too_large() -> None:
    head = request(b"A: " + b"zqz" * 20)
    assert refusal(head, max_head=len(head) - 1) == 431
    assert refusal(head, max_head=len(head)) == 0
    split = Dialogue(max_head=60).receive(head[:40], head[40:])
    assert error_answer(split.wire.sent)[0] == 431
    default = Dialogue().receive(b"GET / HTTP/1.1\r\n", *[b"A: " + b"b" * 995 + b"\r\n"] * 66)
    assert error_answer(default.wire.sent)[0] == 431


def test_rfc6585_5_too_many_fields() -> None:
    assert refusal(request(*[b"A: b"] * 100)) == 431
    assert refusal(request(*[b"A: b"] * 99)) == 0


def test_8_an_incomplete_head_at_the_end_of_input_is_dropped_silently() -> None:
    dialogue = Dialogue().receive(GET[:-2]).receive_eof()
    assert dialogue.wire.ended == CLOSED
    assert dialogue.wire.sent == b""
    assert dialogue.handlers == []
