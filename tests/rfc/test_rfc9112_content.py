"""The length and the codings of content on the wire, both ways: RFC 9112 §6, §7, RFC 9110 §6.5, §8.6."""

import pytest

from tests.support.http1 import (
    ABORTED,
    GET,
    LINGERING,
    OK,
    Dialogue,
    RecordingHandler,
    answer_at_once,
    error_answer,
    octets,
    refusal,
)

CHUNKED = b"Transfer-Encoding: chunked"


def post(*lines: bytes, content: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST /zqz HTTP/" + version, b"Host: h", *lines, b"", content])


def received(data: bytes) -> RecordingHandler:
    """The one request that `data` holds, the same however it is split."""
    handlers = []
    for pieces in ([data + GET], [*octets(data), GET]):
        dialogue = Dialogue().receive(*pieces)
        assert dialogue.refusals == []
        assert len(dialogue.handlers) == 1
        handlers.append(dialogue.handler)
        assert dialogue.handler.names.count("start") == 1
        dialogue.handler.answer()
        assert len(dialogue.handlers) == 2, "what follows is the next request"
    whole, split = handlers
    assert whole.content == split.content
    assert [e for e in whole.events if e[0] == "end"] == [e for e in split.events if e[0] == "end"]
    return whole


# RFC 9112 §6.1, §6.3: which framing applies


@pytest.mark.parametrize(
    "lines",
    [(b"Content-Length: 3", CHUNKED), (CHUNKED, b"Content-Length: 3"), (b"Content-Length: 0", CHUNKED)],
)
def test_6_1_transfer_encoding_with_content_length(lines: tuple[bytes, ...]) -> None:
    assert refusal(post(*lines, content=b"0\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 3", b"Content-Length: 4"),
        (b"Content-Length: 3", b"Content-Length: 3"),
        (b"Content-Length: 3, 3",),
        (b"Content-Length: 3, 4",),
    ],
)
def test_6_3_content_length_repeated(lines: tuple[bytes, ...]) -> None:
    assert refusal(post(*lines, content=b"abc")) == 400


@pytest.mark.parametrize(
    "value",
    [b"", b"+3", b"-3", b"3.0", b"0x3", b"3 3", b"1_0", b"abc", b"\xb2", b"3;", b"1e1", b"9" * 19, b"1" * 40],
)
def test_rfc9110_8_6_content_length_is_digits(value: bytes) -> None:
    assert refusal(post(b"Content-Length: " + value, content=b"abc")) == 400


@pytest.mark.parametrize(
    "value",
    [
        b"identity",
        b"gzip",
        b"chunked, gzip",
        b"chunked, identity",
        b"xchunked",
        b"chunked;a=b",
        b"",
        b"chunke",
        b"chunked, ",
        b",",
        b'"chunked"',
        b"chunked gzip",
    ],
)
def test_6_3_the_last_coding_is_chunked(value: bytes) -> None:
    assert refusal(post(b"Transfer-Encoding: " + value, content=b"0\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "lines",
    [
        (CHUNKED, CHUNKED),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: chunked, gzip, chunked",),
    ],
)
def test_6_1_chunked_named_twice(lines: tuple[bytes, ...]) -> None:
    assert refusal(post(*lines, content=b"0\r\n\r\n")) == 400


def test_6_1_transfer_encoding_in_http_1_0() -> None:
    assert refusal(post(CHUNKED, content=b"0\r\n\r\n", version=b"1.0")) == 400


@pytest.mark.parametrize(
    "lines", [(b"Transfer-Encoding: gzip, chunked",), (b"Transfer-Encoding: deflate", CHUNKED)]
)
def test_6_1_another_coding_before_chunked_is_not_implemented(lines: tuple[bytes, ...]) -> None:
    assert refusal(post(*lines, content=b"0\r\n\r\n")) == 501


@pytest.mark.parametrize("coding", [b"g zip, chunked", b"gz(ip, chunked", b", chunked", b"gzip,, chunked"])
def test_6_1_malformed_codings(coding: bytes) -> None:
    assert refusal(post(b"Transfer-Encoding: " + coding, content=b"0\r\n\r\n")) == 400


def test_6_3_content_of_known_length() -> None:
    handler = received(post(b"Content-Length: 5", content=b"hello"))
    assert (handler.content, handler.events[-1]) == (b"hello", ("end", [])) or handler.names[-1] == "start"
    assert handler.request.content_length == 5


def test_6_3_no_content_without_either() -> None:
    for lines in ((), (b"Content-Length: 0",)):
        assert received(post(*lines)).names == ["start"]


def test_6_3_content_of_get_is_framed_too() -> None:
    assert received(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").content == b"abc"


# RFC 9112 §7.1: chunked


def test_7_1_chunked() -> None:
    for size in (b"5", b"05", b"0000000000000005"):
        handler = received(post(b"transfer-encoding: \tChunKed ", content=size + b"\r\nhello\r\n0\r\n\r\n"))
        assert handler.content == b"hello"
        assert ("end", []) in handler.events
    assert received(post(CHUNKED, content=b"0\r\n\r\n")).content == b""


@pytest.mark.parametrize(
    "size",
    [
        b"+5",
        b"-5",
        b"0x5",
        b"5_0",
        b" 5",
        b"g",
        b"",
        b"00000000000000005",
        b"\xb2",
        b"5 5",
        b"0X5",
        b"5h",
        b".",
        b"ffffffffffffffff",
        b"8000000000000000",
    ],
)
def test_7_1_chunk_sizes(size: bytes) -> None:
    assert refusal(post(CHUNKED, content=size + b"\r\nhello\r\n0\r\n\r\n")) == 400


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"x\r\n", b"\r\r\n", b"0\r\n", b"  \r\n"])
def test_7_1_a_chunk_is_followed_by_crlf(end: bytes) -> None:
    assert refusal(post(CHUNKED, content=b"5\r\nhello" + end + b"0\r\n\r\n")) == 400


@pytest.mark.parametrize("lf", [b"\n", b"\r\r\n", b"\rx\n"])
def test_7_1_chunk_lines_end_in_crlf(lf: bytes) -> None:
    assert refusal(post(CHUNKED, content=b"5" + lf + b"hello\r\n0\r\n\r\n")) == 400
    assert refusal(post(CHUNKED, content=b"5;a=b" + lf + b"hello\r\n0\r\n\r\n")) == 400
    assert refusal(post(CHUNKED, content=b"5\r\nhello\r\n0" + lf + b"\r\n")) == 400
    assert refusal(post(CHUNKED, content=b"5\r\nhello\r\n0\r\nA: b" + lf + b"\r\n")) == 400


# RFC 9112 §7.1.1: chunk extensions


@pytest.mark.parametrize(
    "extension",
    [b";a", b";a=b", b" ; a = b", b'\t;a="b c;\\"\xff"', b";a;b=c", b';a=""', b";" + b"a" * 255],
)
def test_7_1_1_valid_extensions_are_ignored(extension: bytes) -> None:
    handler = received(post(CHUNKED, content=b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"))
    assert handler.content == b"hello"


@pytest.mark.parametrize(
    "extension",
    [
        b";",
        b";;a",
        b";=b",
        b";a=",
        b";a=b c",
        b';a="b',
        b';a="b"c',
        b";a b",
        b" ",
        b"a;",
        b";a=\x00",
        b",a=b",
        b";a=\xff",
        b';a="\x7f"',
        b";" + b"a" * 256,
    ],
)
def test_7_1_1_malformed_extensions(extension: bytes) -> None:
    assert refusal(post(CHUNKED, content=b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")) == 400


def test_7_1_1_extensions_of_a_body_are_bounded() -> None:
    chunk = b"1;" + b"a" * 255 + b"\r\nx\r\n"
    assert len(chunk) * 64 > 16384
    for count, status in ((64, None), (65, 400)):
        dialogue = Dialogue().receive(post(CHUNKED, content=chunk * count))
        assert (error_answer(dialogue.wire.sent)[0] if dialogue.wire.ended else None) == status


# RFC 9112 §7.1.2: trailers of a request


def test_7_1_2_request_trailers_are_not_merged_into_the_headers() -> None:
    handler = received(post(CHUNKED, content=b"0\r\nX-Sum: 1\r\nA:\r\n\r\n"))
    assert ("end", [(b"x-sum", b"1"), (b"a", b"")]) in handler.events
    assert handler.request.headers == [(b"host", b"h"), (b"transfer-encoding", b"chunked")]


def test_rfc9110_6_5_1_trailers_that_cannot_stand_there_are_dropped() -> None:
    trailers = b"Content-Length: 5\r\nHost: zqz\r\nX: 1\r\nTransfer-Encoding: chunked\r\nAuthorization: a\r\n"
    assert ("end", [(b"x", b"1")]) in received(post(CHUNKED, content=b"0\r\n" + trailers + b"\r\n")).events


@pytest.mark.parametrize(
    "line", [b"A : b", b"zqz", b" A: b", b": b", b"A: \x00", b"A: b\nC: d", b"A: b\r\n c"]
)
def test_7_1_2_malformed_trailers(line: bytes) -> None:
    assert refusal(post(CHUNKED, content=b"0\r\n" + line + b"\r\n\r\n")) == 400


def test_7_1_2_trailers_are_bounded() -> None:
    trailers = b"A: " + b"b" * 92 + b"\r\n\r\n"
    assert len(trailers) == 99
    assert refusal(post(CHUNKED, content=b"0\r\n" + trailers), max_trailers=98) == 431
    assert refusal(post(CHUNKED, content=b"0\r\n" + trailers), max_trailers=99) == 0
    assert refusal(post(CHUNKED, content=b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n")) == 431


# RFC 9110 §15.5.14: content too large


def test_rfc9110_15_5_14_known_length_before_the_application_is_called() -> None:
    dialogue = Dialogue(max_content=4).receive(post(b"Content-Length: 5", content=b"hello") + GET)
    assert error_answer(dialogue.wire.sent)[0] == 413
    assert dialogue.handlers == []
    error, head = dialogue.refusals[0]
    assert error.status == 413
    assert head is not None
    assert head.target == b"/zqz"
    assert dialogue.wire.ended == LINGERING
    assert refusal(post(b"Content-Length: 5", content=b"hello"), max_content=4) == 413
    assert refusal(post(b"Content-Length: 4", content=b"hell"), max_content=4) == 0
    assert refusal(post(b"Content-Length: 0"), max_content=0) == 0


def test_rfc9110_15_5_14_chunked_as_soon_as_it_is_over() -> None:
    dialogue = Dialogue(max_content=4).receive(post(CHUNKED, content=b"3\r\nabc\r\n"))
    dialogue.receive(b"2\r\nde\r\n")
    assert error_answer(dialogue.wire.sent)[0] == 413
    assert dialogue.handler.events == [("data", b"abc"), ("start",), ("reset",)]
    assert dialogue.refusals[0][1] is dialogue.handler.request
    content = b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
    assert refusal(post(CHUNKED, content=content), max_content=4) == 0
    assert refusal(post(CHUNKED, content=content), max_content=3) == 413


def test_rfc9110_15_5_14_the_answer_to_head_has_no_content() -> None:
    dialogue = Dialogue(max_content=4).receive(b"HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
    assert dialogue.wire.sent.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert dialogue.wire.sent.endswith(b"\r\n\r\n")


# RFC 9112 §8: incomplete messages


def test_8_content_cut_short_by_the_client() -> None:
    for pieces in ((b"Content-Length: 5", b"hell"), (CHUNKED, b"4\r\nhell\r\n")):
        dialogue = Dialogue().receive(post(pieces[0], content=pieces[1])).receive_eof()
        assert dialogue.handler.names[-1] == "reset"
        assert error_answer(dialogue.wire.sent)[0] == 400


def test_8_an_answer_under_way_stays_visibly_incomplete() -> None:
    dialogue = Dialogue().receive(post(CHUNKED))
    dialogue.handler.send_head()
    dialogue.handler.send(b"a")
    dialogue.receive(b"zqz\r\n")
    assert dialogue.wire.sent == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"
    assert dialogue.wire.ended == ABORTED
    assert dialogue.refusals == []
    assert dialogue.handler.names[-1] == "reset"


def test_8_a_fault_in_content_that_came_with_the_head_starts_nothing() -> None:
    dialogue = Dialogue().receive(post(CHUNKED, content=b"3\r\nabc\r\nzqz"))
    assert error_answer(dialogue.wire.sent)[0] == 400
    assert dialogue.handler.events == []


# Content of answers: RFC 9112 §6.3, §7.1, RFC 9110 §6.4.1


def exchange(
    method: bytes = b"GET", version: bytes = b"1.1", *lines: bytes
) -> tuple[Dialogue, RecordingHandler]:
    head = b"\r\n".join([method + b" / HTTP/" + version, b"Host: h", *lines, b"", b""])
    dialogue = Dialogue().receive(head)
    return dialogue, dialogue.handler


def test_6_3_an_answer_of_unknown_length_is_chunked() -> None:
    dialogue, handler = exchange()
    handler.send_head()
    handler.send(b"hello, " * 2)
    handler.send(b"")
    handler.send(b"!")
    handler.send(b"", True)
    assert dialogue.wire.sent == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ne\r\nhello, hello, \r\n1\r\n!\r\n0\r\n\r\n"
    )
    assert dialogue.wire.ended is None
    dialogue.wire.take()
    dialogue.receive(GET)
    dialogue.handler.send_head()
    dialogue.handler.send(b"x" * 20000, True)
    assert dialogue.wire.sent.endswith(b"chunked\r\n\r\n4e20\r\n" + b"x" * 20000 + b"\r\n0\r\n\r\n")
    dialogue.wire.take()
    dialogue.receive(GET)
    dialogue.handler.send_head()
    dialogue.handler.send(b"x" * 20000)
    dialogue.handler.send(b"y", True)
    assert dialogue.wire.sent.endswith(b"x\r\n1\r\ny\r\n0\r\n\r\n")


def test_6_1_no_chunked_answer_to_http_1_0() -> None:
    for lines in ((), (b"Connection: keep-alive",)):
        dialogue, handler = exchange(b"GET", b"1.0", *lines)
        handler.send_head()
        handler.send(b"a")
        handler.send(b"b", True)
        assert dialogue.wire.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab"
        assert dialogue.wire.ended is not None


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("length", [(), ((b"content-length", b"5"),)])
def test_rfc9110_9_3_2_answers_to_head_have_no_content(
    version: bytes, length: tuple[tuple[bytes, bytes], ...]
) -> None:
    dialogue, handler = exchange(b"HEAD", version, b"Connection: keep-alive")
    handler.send_head(200, *length)
    handler.send(b"hello")
    handler.send(b"", True)
    lines = b"content-length: 5\r\n" if length else b""
    lines += b"connection: keep-alive\r\n" if version == b"1.0" else b""
    assert dialogue.wire.sent == b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
    dialogue.wire.take()
    dialogue.receive(GET)
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (204, b"HTTP/1.1 204 No Content\r\n"),
        (205, b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n"),
        (304, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n"),
    ],
)
def test_rfc9110_6_4_1_statuses_without_content(status: int, lines: bytes) -> None:
    dialogue, handler = exchange()
    handler.answer(b"hello", status, (b"a", b"b"))
    name, sep, rest = lines.partition(b"\r\n")
    expected = name + sep + (b"a: b\r\n" if status != 304 else b"") + rest
    if status == 304:
        expected = name + sep + b"a: b\r\n" + rest
    assert dialogue.wire.sent == expected + b"\r\n"
    dialogue.wire.take()
    dialogue.receive(GET)
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK


def test_rfc9110_6_5_trailers_of_an_answer_go_to_a_client_that_takes_them() -> None:
    dialogue, handler = exchange(b"GET", b"1.1", b"TE: gzip, trailers;q=1", b"Connection: te")
    handler.send_head(trailers=True)
    handler.send(b"a")
    handler.stream.send_trailers([(b"x-sum", b"1"), (b"b", b"")])
    handler.stream.flush()
    assert dialogue.wire.sent == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\nb: \r\n\r\n"
    )
    dialogue.receive(GET)
    assert len(dialogue.handlers) == 2


@pytest.mark.parametrize("te", [b"", b"TE: gzip", b"TE: trailersx", b'TE: x="trailers"'])
def test_rfc9110_6_5_1_and_to_no_other(te: bytes) -> None:
    dialogue, handler = exchange(b"GET", b"1.1", *([te] if te else []))
    handler.send_head(trailers=True)
    handler.send(b"a")
    handler.stream.send_trailers([(b"x-sum", b"1")])
    handler.stream.flush()
    assert dialogue.wire.sent.endswith(b"1\r\na\r\n0\r\n\r\n")


def test_6_1_trailers_need_chunked() -> None:
    dialogue, handler = exchange(b"GET", b"1.0", b"TE: trailers")
    handler.send_head(trailers=True)
    handler.send(b"a")
    handler.stream.send_trailers([(b"x-sum", b"1")])
    handler.stream.flush()
    assert dialogue.wire.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na"


def test_a_refusal_carries_the_fields_of_its_error() -> None:
    from tidegate.http.errors import RequestError

    error = RequestError(503, "The server is busy.", ((b"retry-after", b"1"),))
    dialogue = Dialogue(refuse=error).receive(GET + GET)
    assert error_answer(dialogue.wire.sent) == (503, b"The server is busy.\n")
    assert b"\r\nretry-after: 1\r\n" in dialogue.wire.sent
    assert dialogue.refusals[0][0] is error
    assert dialogue.wire.ended == LINGERING


def test_content_is_delivered_as_it_comes() -> None:
    dialogue = Dialogue().receive(post(b"Content-Length: 6", content=b"ab"), b"cd", b"ef" + GET)
    assert dialogue.handler.events == [
        ("data", b"ab"),
        ("start",),
        ("data", b"cd"),
        ("data", b"ef"),
        ("end", []),
    ]
    whole = Dialogue(answer_at_once).receive(post(b"Content-Length: 2", content=b"ab") + GET)
    assert whole.handlers[0].events == [("data", b"ab"), ("end", []), ("start",)]
    assert whole.wire.writes == [OK + OK]
