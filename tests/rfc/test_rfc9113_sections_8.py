"""HTTP semantics in HTTP/2: RFC 9113 §8, as it binds a server; with RFC 8441's extended CONNECT."""

import pytest

from tests.support.http1 import RecordingHandler, answer_at_once
from tests.support.http2 import (
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    END_HEADERS,
    END_STREAM,
    GET,
    HEADERS,
    NO_ERROR,
    POST,
    PREFACE,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    TRAILERS,
    Dialogue,
    block,
    data,
    frame,
    headers,
    post,
    settings,
    stream_error,
)


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in GET if field[0] != name]


def replaced(name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    return [(key, value if key == name else old) for key, old in GET]


def malformed(*fields: tuple[bytes, bytes]) -> None:
    """A request of exactly these fields is a stream error PROTOCOL_ERROR (§8.1.1), and opens no exchange."""
    assert stream_error(headers(1, fields)) == PROTOCOL_ERROR
    assert stream_error(headers(1, fields, end=False)) == PROTOCOL_ERROR
    assert Dialogue().receive(headers(1, fields)).handlers == []


def accepted(*fields: tuple[bytes, bytes], end: bool = True) -> RecordingHandler:
    dialogue = Dialogue().receive(headers(1, fields, end=end))
    assert dialogue.frames == []
    return dialogue.handler


# §8.1: HTTP message framing


def test_8_1_a_request_with_content_and_trailers() -> None:
    dialogue = Dialogue().receive(
        post(1), data(1, b"some "), data(1), data(1, b"content"), headers(1, TRAILERS)
    )
    assert dialogue.handler.content == b"some content"
    assert dialogue.handler.events[-1] == ("end", TRAILERS)


def test_8_1_trailers_end_the_request() -> None:
    assert stream_error(post(1), data(1, b"x"), headers(1, TRAILERS, end=False)) == PROTOCOL_ERROR
    assert stream_error(post(1), headers(1, TRAILERS, end=False)) == PROTOCOL_ERROR


@pytest.mark.parametrize("name", [b":method", b":path", b":status", b":authority", b":unknown"])
def test_8_1_trailers_have_no_pseudo_header_fields(name: bytes) -> None:
    assert stream_error(post(1), headers(1, [(name, b"200")])) == PROTOCOL_ERROR
    assert stream_error(post(1), data(1, b"x"), headers(1, [*TRAILERS, (name, b"200")])) == PROTOCOL_ERROR


def test_8_1_an_answer_is_one_head_then_content_then_trailers() -> None:
    dialogue = Dialogue().receive(headers(1))
    handler = dialogue.handler
    handler.stream.send_informational(103, [(b"link", b"</a>")])
    handler.send_head(200, (b"x", b"y"), trailers=True)
    handler.stream.send_data(b"content", False)
    handler.stream.send_trailers(TRAILERS)
    handler.stream.flush()
    dialogue.collect()
    answer = dialogue.answers[1]
    assert answer.interim == [((b":status", b"103"), (b"link", b"</a>"))]
    assert (b"x", b"y") in answer.fields
    assert (answer.content, list(answer.trailers), answer.ended) == (b"content", TRAILERS, True)
    assert [each.kind for each in dialogue.frames] == [HEADERS, HEADERS, DATA, HEADERS]


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_8_1_an_answer_without_content_ends_on_its_head(method: bytes, status: int) -> None:
    dialogue = Dialogue().receive(headers(1, [(b":method", method), *GET[1:]]))
    dialogue.handler.send_head(status)
    dialogue.handler.send(b"dropped", True)
    (answer,) = dialogue.collect()
    assert answer.kind == HEADERS
    assert answer.ends_stream


def test_8_1_an_empty_answer_ends_on_its_head() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.answer(b"")
    (answer,) = dialogue.collect()
    assert answer.ends_stream


def test_8_1_an_answer_before_the_request_is_complete() -> None:
    dialogue = Dialogue().receive(post(1, (b"content-length", b"1000000")))
    dialogue.handler.answer(b"too much", 413)
    kinds = [each.kind for each in dialogue.wait(1).frames]
    assert kinds == [HEADERS, DATA, RST_STREAM]
    assert dialogue.resets == {1: NO_ERROR}
    assert dialogue.receive(data(1, bytes(10000))).alive


# §8.1.1: malformed messages


@pytest.mark.parametrize(
    "sent",
    [
        [data(1, b"test", end=True)],
        [data(1, b"te"), data(1, b"st", end=True)],
        [data(1, b"te"), data(1, b"st")],
        [data(1, end=True)],
        [headers(1, TRAILERS)],
        [data(1, b"12"), headers(1, TRAILERS)],
    ],
)
def test_8_1_1_content_length_is_that_of_the_content(sent: list[bytes]) -> None:
    assert stream_error(post(1, (b"content-length", b"3")), *sent) == PROTOCOL_ERROR


def test_8_1_1_content_length_without_content() -> None:
    assert stream_error(headers(1, [*POST, (b"content-length", b"1")])) == PROTOCOL_ERROR
    assert accepted(*POST, (b"content-length", b"0")).names == ["start"]


def test_8_1_1_content_length_that_fits() -> None:
    for sent in (
        [data(1, b"test", end=True)],
        [data(1, b"te", padding=9), data(1, b"st"), data(1, end=True)],
    ):
        dialogue = Dialogue().receive(post(1, (b"content-length", b"4")), *sent)
        assert dialogue.handler.content == b"test"
        assert dialogue.handler.names[-1] == "end"
    dialogue = Dialogue().receive(post(1, (b"content-length", b"4")), data(1, b"test"), headers(1, TRAILERS))
    assert dialogue.handler.events[-1] == ("end", TRAILERS)


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"+1", b"1 1", b"0x1", b"1,1", b"1" * 30, b"\xb2"])
def test_8_1_1_content_length_that_is_no_number(value: bytes) -> None:
    assert stream_error(post(1, (b"content-length", value))) == PROTOCOL_ERROR


def test_8_1_1_two_content_lengths() -> None:
    assert stream_error(post(1, (b"content-length", b"1"), (b"content-length", b"2"))) == PROTOCOL_ERROR


def test_8_1_1_an_answer_to_head_may_have_a_content_length() -> None:
    dialogue = Dialogue().receive(headers(1, [(b":method", b"HEAD"), *GET[1:]]))
    dialogue.handler.answer(b"twelve bytes")
    (answer,) = dialogue.collect()
    assert dict(answer.fields)[b"content-length"] == b"12"


# §8.2: fields


@pytest.mark.parametrize("name", [b"X-Test", b"x-tesT", b"Cookie", b"Host"])
def test_8_2_1_names_are_in_lower_case(name: bytes) -> None:
    malformed(*GET, (name, b"v"))
    assert stream_error(post(1), headers(1, [(name, b"v")])) == PROTOCOL_ERROR


@pytest.mark.parametrize("octet", [*range(0x21), *b'"(),/;<=>?@[\\]{}', 0x3A, *range(0x7F, 0x100, 13), 0xFF])
def test_8_2_1_names_are_tokens(octet: int) -> None:
    malformed(*GET, (b"na" + bytes([octet]) + b"me", b"v"))


def test_8_2_1_an_empty_name() -> None:
    malformed(*GET, (b"", b"v"))


@pytest.mark.parametrize("octet", [0x00, 0x0A, 0x0D])
def test_8_2_1_values_hold_no_nul_cr_or_lf(octet: int) -> None:
    for value in (b"a" + bytes([octet]) + b"b", bytes([octet]), b"a" + bytes([octet]), bytes([octet]) + b"b"):
        malformed(*GET, (b"name", value))
        malformed(*GET, (b"cookie", value))
        for name in (b":path", b":method", b":scheme", b":authority"):
            malformed(*replaced(name, b"/" + value))
        assert stream_error(post(1), headers(1, [(b"name", value)])) == PROTOCOL_ERROR


@pytest.mark.parametrize("octet", [*range(1, 9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
def test_8_2_1_nor_what_http_1_1_would_refuse(octet: int) -> None:
    malformed(*GET, (b"name", b"a" + bytes([octet]) + b"b"))


@pytest.mark.parametrize("value", [b" a", b"a ", b"\ta", b"a\t", b" ", b" a "])
def test_8_2_1_values_have_no_white_space_around_them(value: bytes) -> None:
    malformed(*GET, (b"name", value))


@pytest.mark.parametrize(
    "value", [b"", b"a b", b"a\tb", b"\xff", "\u00fc".encode(), bytes(range(0x21, 0x7F))]
)
def test_8_2_1_other_values_arrive_as_they_were_sent(value: bytes) -> None:
    assert accepted(*GET, (b"name", value)).request.headers[-1] == (b"name", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"connection", b"keep-alive"),
        (b"connection", b"x"),
        (b"proxy-connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"gzip"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"te", b"trailers, deflate;q=0.5"),
        (b"te", b""),
    ],
)
def test_8_2_2_fields_of_a_connection(name: bytes, value: bytes) -> None:
    malformed(*GET, (name, value))


def test_8_2_2_te_trailers_is_taken() -> None:
    assert accepted(*GET, (b"te", b"trailers")).request.client_trailers


def test_8_2_2_answers_have_no_fields_of_a_connection() -> None:
    dialogue = Dialogue().receive(headers(1))
    dialogue.handler.answer(
        b"ok",
        200,
        (b"connection", b"close"),
        (b"Transfer-Encoding", b"chunked"),
        (b"keep-alive", b"timeout=5"),
        (b"upgrade", b"h2c"),
        (b"X-Kept", b"Value"),
    )
    dialogue.collect()
    assert dialogue.answers[1].fields == (
        (b":status", b"200"),
        (b"x-kept", b"Value"),
        (b"content-length", b"2"),
    )


def test_8_2_3_cookie_crumbs_are_joined() -> None:
    request = accepted(
        *GET, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d"), (b"cookie", b"e=f")
    ).request
    assert request.headers[1:] == [(b"cookie", b"a=b; c=d; e=f"), (b"x", b"y")]


def test_8_2_3_cookie_crumbs_are_one_field() -> None:
    dialogue = Dialogue(max_fields=5)
    dialogue.receive(headers(1, [*GET, *((b"cookie", b"%d=" % number) for number in range(100))]))
    assert len(dialogue.handlers) == 1
    dialogue.receive(headers(3, [*GET, *((b"x-%d" % number, b"") for number in range(6))]))
    assert len(dialogue.handlers) == 1
    assert dialogue.answers[3].status == 431


# §8.3: control data


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path"])
def test_8_3_1_each_is_there_once(name: bytes) -> None:
    malformed(*without(name))
    malformed(*GET, (name, dict(GET)[name]))
    malformed((name, dict(GET)[name]), *GET)


def test_8_3_1_authority_is_there_once() -> None:
    malformed(*GET, (b":authority", b"h"))


@pytest.mark.parametrize("name", [b":unknown", b":test", b":", b":Method", b":host"])
def test_8_3_unknown_pseudo_header_fields(name: bytes) -> None:
    malformed(*GET, (name, b"v"))
    malformed((name, b"v"), *GET)


def test_8_3_status_is_for_answers() -> None:
    malformed(*GET, (b":status", b"200"))


def test_8_3_pseudo_header_fields_come_first() -> None:
    for at in range(4):
        fields = [*GET[:at], *GET[at + 1 :], (b"x", b"y"), GET[at]]
        malformed(*fields)
        malformed(*GET[:at], *GET[at + 1 :], (b"host", b"h"), GET[at])
        malformed(*GET[:at], *GET[at + 1 :], (b"cookie", b"c"), GET[at])


@pytest.mark.parametrize(
    "path", [b"", b"a", b"a/b", b"?q", b"*", b"http://h/", b"/a b", b"/a#f", b"/\x7f", b"/\x01"]
)
def test_8_3_1_path_is_absolute(path: bytes) -> None:
    malformed(*replaced(b":path", path))


def test_8_3_1_asterisk_is_for_options() -> None:
    request = accepted((b":method", b"OPTIONS"), *replaced(b":path", b"*")[1:]).request
    assert request.target == b"*"


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/a%20b?q=1&r", "/a b", b"/a%20b", b"q=1&r"),
        (b"/caf%C3%A9", "/caf\u00e9", b"/caf%C3%A9", b""),
        (b"//a/../b", "//a/../b", b"//a/../b", b""),
        (b"/?", "/", b"/", b""),
    ],
)
def test_8_3_1_path_and_query(target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    request = accepted(*replaced(b":path", target)).request
    assert (request.path, request.raw_path, request.query_string) == (path, raw_path, query)


@pytest.mark.parametrize("method", [b"", b"G T", b"GET\x00", b"G(T", b"GET:"])
def test_8_3_1_method_is_a_token(method: bytes) -> None:
    malformed((b":method", method), *GET[1:])


def test_8_3_1_methods_are_case_sensitive_and_may_be_new() -> None:
    for method in (b"get", b"PROPFIND", b"X-NEW"):
        assert accepted((b":method", method), *GET[1:]).request.method.upper().encode() == method.upper()


@pytest.mark.parametrize(
    "authority", [b"user@h", b"user:secret@h:80", b"h h", b"h/x", b"[::1", b"h:x", b"h?", b"h#"]
)
def test_8_3_1_authority_has_no_userinfo_and_is_well_formed(authority: bytes) -> None:
    dialogue = Dialogue().receive(headers(1, replaced(b":authority", authority)))
    assert dialogue.handlers == []
    assert dialogue.resets == {1: PROTOCOL_ERROR} or dialogue.answers[1].status == 400
    assert dialogue.alive


def test_8_3_1_authority_becomes_host() -> None:
    request = accepted(*replaced(b":authority", b"example.org:8443"), (b"a", b"b")).request
    assert request.headers == [(b"host", b"example.org:8443"), (b"a", b"b")]
    assert request.authority == b"example.org:8443"


def test_8_3_1_host_in_place_of_authority() -> None:
    request = accepted(*without(b":authority"), (b"a", b"b"), (b"host", b"example.org")).request
    assert request.authority == b"example.org"
    assert [value for name, value in request.headers if name == b"host"] == [b"example.org"]


def test_8_3_1_a_host_that_differs_from_the_authority() -> None:
    malformed(*GET, (b"host", b"other"))
    malformed(*GET, (b"host", b"h"), (b"host", b"h"))
    malformed(*GET, (b"host", b""))
    request = accepted(*GET, (b"host", b"h")).request
    assert request.headers == [(b"host", b"h")]


def test_8_3_1_neither_host_nor_authority() -> None:
    dialogue = Dialogue().receive(headers(1, without(b":authority")))
    assert dialogue.handlers == []
    assert dialogue.resets == {1: PROTOCOL_ERROR} or dialogue.answers[1].status == 400
    assert dialogue.alive


def test_8_3_2_status_comes_first_and_is_the_only_pseudo_header_field() -> None:
    for status in (200, 302, 404, 418, 599):
        dialogue = Dialogue().receive(headers(1))
        dialogue.handler.answer(b"ok", status, (b"x", b"y"))
        dialogue.collect()
        fields = dialogue.answers[1].fields
        assert fields[0] == (b":status", b"%d" % status)
        assert not any(name.startswith(b":") for name, _ in fields[1:])


# §8.4: server push; what a client may send of it is in §6.6's tests


def test_8_4_nothing_is_pushed_unasked() -> None:
    dialogue = Dialogue(answer_at_once).receive(headers(1), headers(3))
    assert dialogue.of(PUSH_PROMISE) == []


# §8.5: CONNECT

CONNECT = [(b":method", b"CONNECT"), (b":authority", b"example.org:443")]
WEBSOCKET = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/chat"),
    (b":authority", b"h"),
    (b"sec-websocket-version", b"13"),
]


def test_8_5_connect_has_no_scheme_and_no_path() -> None:
    malformed(*CONNECT, (b":scheme", b"http"))
    malformed(*CONNECT, (b":path", b"/"))
    malformed(*CONNECT, (b":scheme", b"http"), (b":path", b"/"))


@pytest.mark.parametrize("authority", [None, b"", b"h", b"user@h:1", b"h:"])
def test_8_5_connect_has_a_host_and_a_port(authority: bytes | None) -> None:
    fields = [CONNECT[0]] + ([] if authority is None else [(b":authority", authority)])
    dialogue = Dialogue().receive(headers(1, fields, end=False))
    assert dialogue.handlers == []
    assert 1 in dialogue.resets or dialogue.answers[1].status >= 400
    assert dialogue.alive


def test_8_5_connect_is_no_tunnel_here() -> None:
    """We are an origin server: the application answers it like any method, or we refuse it."""
    dialogue = Dialogue(answer_at_once).receive(headers(1, CONNECT, end=False))
    assert (
        1 in dialogue.resets
        or dialogue.answers[1].status >= 400
        or dialogue.handlers[0].request.method == "CONNECT"
    )
    assert dialogue.alive


# RFC 8441: extended CONNECT


def test_8441_3_extended_connect_is_announced() -> None:
    dialogue = Dialogue(greet=False).receive(PREFACE + settings())
    assert ENABLE_CONNECT_PROTOCOL.to_bytes(2, "big") + b"\0\0\0\1" in dialogue.frames[0].payload


def test_8441_4_a_tunnel_both_ways() -> None:
    dialogue = Dialogue().receive(headers(1, WEBSOCKET, end=False))
    request = dialogue.handler.request
    assert (request.protocol, request.path, request.authority) == (b"websocket", "/chat", b"h")
    dialogue.handler.stream.accept_tunnel([(b"sec-websocket-protocol", b"chat")])
    dialogue.handler.stream.flush()
    dialogue.receive(data(1, b"from the client"))
    dialogue.handler.send(b"from the server")
    dialogue.collect()
    answer = dialogue.answers[1]
    assert answer.fields == ((b":status", b"200"), (b"sec-websocket-protocol", b"chat"))
    assert (answer.content, answer.ended) == (b"from the server", False)
    assert dialogue.handler.events[-1] == ("data", b"from the client")
    dialogue.receive(data(1, end=True))
    assert dialogue.handler.names[-1] == "end"
    dialogue.handler.send(b"bye", True)
    dialogue.collect()
    assert (answer.content, answer.ended, answer.reset) == (b"from the serverbye", True, None)


@pytest.mark.parametrize("missing", [b":scheme", b":path"])
def test_8441_4_extended_connect_has_a_scheme_and_a_path(missing: bytes) -> None:
    fields = [field for field in WEBSOCKET if field[0] != missing]
    assert stream_error(headers(1, fields, end=False)) == PROTOCOL_ERROR


def test_8441_4_protocol_is_for_connect() -> None:
    malformed(*GET, (b":protocol", b"websocket"))


def test_8441_5_frames_of_http_1_1_upgrades_are_refused() -> None:
    assert stream_error(headers(1, [*WEBSOCKET, (b"upgrade", b"websocket")], end=False)) == PROTOCOL_ERROR
    assert stream_error(headers(1, [*WEBSOCKET, (b"connection", b"upgrade")], end=False)) == PROTOCOL_ERROR


# §8.6: Upgrade


def test_8_6_there_is_no_101() -> None:
    dialogue = Dialogue().receive(headers(1, WEBSOCKET, end=False))
    dialogue.handler.stream.accept_tunnel([])
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert [each.status for each in dialogue.of(HEADERS)] == [200]


# §8.7: request reliability


def test_8_7_a_refused_stream_was_not_processed() -> None:
    dialogue = Dialogue(max_streams=1).receive(post(1), post(3), data(3, b"content", end=True))
    assert len(dialogue.handlers) == 1
    assert dialogue.alive


def test_an_oversized_header_list_is_answered_with_431() -> None:
    dialogue = Dialogue(answer_at_once, max_header_list=1000)
    large = [*GET, (b"x", b"v" * 2000)]
    dialogue.receive(headers(1, large), headers(3, large, end=False), data(3, b"x", end=True), headers(5))
    assert [dialogue.answers[stream_id].status for stream_id in (1, 3, 5)] == [431, 431, 200]
    assert dialogue.answers[1].ended
    assert dialogue.alive


def test_expect_100_continue() -> None:
    dialogue = Dialogue().receive(post(1, (b"expect", b"100-continue")))
    assert dialogue.handler.request.expect_continue
    dialogue.handler.stream.send_informational(100, [])
    dialogue.handler.stream.flush()
    dialogue.collect()
    assert dialogue.answers[1].interim == [((b":status", b"100"),)]


def test_a_head_in_one_frame_and_in_many_is_the_same() -> None:
    whole = block([*GET, (b"a", b"b")])
    one = Dialogue().receive(frame(HEADERS, END_STREAM | END_HEADERS, 1, whole)).handler.request
    pieces = [frame(9, 0, 1, whole[at : at + 1]) for at in range(1, 20)]
    many = Dialogue().receive(
        frame(HEADERS, END_STREAM, 1, whole[:1]), *pieces, frame(9, END_HEADERS, 1, whole[20:])
    )
    assert many.handler.request.headers == one.headers
