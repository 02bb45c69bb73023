"""Persistence, pipelining, expectations, upgrades and the end of a connection: RFC 9112 §9, RFC 9110 §7.8, §10.1.1."""

import pytest

from tests.support.http1 import (
    CLOSED,
    GET,
    LINGERING,
    OK,
    Dialogue,
    RecordingHandler,
    answer_at_once,
    error_answer,
    octets,
)


def get(*lines: bytes, version: bytes = b"1.1", target: bytes = b"/") -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/" + version, b"Host: h", *lines, b"", b""])


def post(length: int, *lines: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: h", b"Content-Length: %d" % length, *lines, b"", b""])


EXPECT = b"Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSING_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
KEPT_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok"


# RFC 9112 §9.3: persistence


@pytest.mark.parametrize(
    ("request_", "answer", "ended"),
    [
        (get(), OK, None),
        (get(b"Connection: keep-alive"), OK, None),
        (get(b"Connection: x, CLOSE ,y"), CLOSING_OK, CLOSED),
        (get(b"Connection: x", b"Connection: close"), CLOSING_OK, CLOSED),
        (get(b"Connection: keep-alive, close"), CLOSING_OK, CLOSED),
        (get(b"Connection: closed"), OK, None),
        (get(b"Connection: ,"), OK, None),
        (get(version=b"1.0"), CLOSING_OK, CLOSED),
        (get(b"Connection: Keep-Alive", version=b"1.0"), KEPT_OK, None),
        (get(b"Connection: keep-alive, close", version=b"1.0"), CLOSING_OK, CLOSED),
        (get(b"Connection: x", version=b"1.0"), CLOSING_OK, CLOSED),
        (get(b"Keep-Alive: timeout=5", version=b"1.0"), CLOSING_OK, CLOSED),
    ],
)
def test_9_3_persistence(request_: bytes, answer: bytes, ended: str | None) -> None:
    for script in (None, answer_at_once):
        dialogue = Dialogue(script).receive(request_)
        if script is None:
            dialogue.handler.answer()
        assert dialogue.wire.take() == answer
        assert dialogue.wire.ended == ended
        dialogue.receive(request_)
        assert len(dialogue.handlers) == (2 if ended is None else 1)


def test_9_6_the_application_may_close() -> None:
    dialogue = Dialogue().receive(GET)
    dialogue.handler.answer(b"ok", 200, (b"Connection", b"x, Close"))
    assert dialogue.wire.sent == CLOSING_OK
    assert dialogue.wire.ended == LINGERING


def test_9_6_what_follows_a_close_is_not_parsed() -> None:
    for follows in (GET, b"zqz", b"\x00" * 100):
        for script in (None, answer_at_once):
            dialogue = Dialogue(script).receive(get(b"Connection: close") + follows)
            if script is None:
                dialogue.handler.answer()
            assert dialogue.wire.sent == CLOSING_OK
            assert dialogue.wire.ended == LINGERING, "what is unread must not reset the answer"
            dialogue.receive(GET)
            assert len(dialogue.handlers) == 1
            assert dialogue.refusals == []


# RFC 9112 §9.3.2: pipelining


def test_9_3_2_answers_come_in_order_one_at_a_time() -> None:
    data = b"".join(get(target=b"/%d" % i) for i in range(10))
    for pieces in ([data], octets(data), [data[:100], data[100:]]):
        dialogue = Dialogue().receive(*pieces)
        expected = b""
        for i in range(10):
            assert len(dialogue.handlers) == i + 1
            dialogue.handler.answer(b"%d" % i)
            dialogue.flush_due()
            expected += b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % i
            assert dialogue.wire.sent == expected
        assert [h.request.path for h in dialogue.handlers] == [f"/{i}" for i in range(10)]


def test_9_3_2_pipelined_posts_with_content() -> None:
    data = (
        post(3)
        + b"abc"
        + b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
        + GET
    )
    dialogue = Dialogue(answer_at_once).receive(data)
    assert [h.content for h in dialogue.handlers] == [b"abc", b"de", b""]
    dialogue = Dialogue().receive(data)
    for count in (1, 2, 3):
        assert len(dialogue.handlers) == count
        dialogue.handler.answer()
    assert [h.content for h in dialogue.handlers] == [b"abc", b"de", b""]


def test_9_3_2_immediate_answers_go_out_in_one_write() -> None:
    dialogue = Dialogue(answer_at_once).receive(GET * 16)
    assert dialogue.wire.writes == [OK * 16]


def test_9_3_2_immediate_answers_leave_turns_to_other_connections() -> None:
    dialogue = Dialogue(answer_at_once).receive(GET * 40)
    assert len(dialogue.handlers) == 16
    assert dialogue.wire.take() == OK * 16
    assert dialogue.wire.flushes_wanted == 1
    dialogue.receive(GET * 2).receive_eof()
    assert len(dialogue.handlers) == 16
    dialogue.flush_due()
    assert dialogue.wire.take() == OK * 26
    assert len(dialogue.handlers) == 42
    assert dialogue.wire.ended == CLOSED


def test_9_3_2_answers_to_what_waited_share_a_write() -> None:
    dialogue = Dialogue().receive(GET * 3)
    for _ in range(3):
        dialogue.handler.answer()
    dialogue.flush_due()
    assert dialogue.wire.writes == [OK * 3]


@pytest.mark.parametrize("piece", [1, 7, 28, 1000])
def test_9_3_2_the_number_of_waiting_requests_is_bounded(piece: int) -> None:
    dialogue = Dialogue().receive(GET)
    data = GET * 40
    sent = 0
    while dialogue.wire.reading and sent < len(data):
        dialogue.receive(data[sent : sent + piece])
        sent += piece
    assert not dialogue.wire.reading
    assert sent <= 16 * len(GET) + max(piece, 900)
    while dialogue.wire.reading is False:
        dialogue.handler.answer()
    dialogue.receive(data[sent:])
    while len(dialogue.handlers) < 41:
        dialogue.handler.answer()
        dialogue.wire.take()
    assert dialogue.wire.reading


def test_9_3_2_the_octets_that_wait_are_bounded() -> None:
    dialogue = Dialogue().receive(GET, b"GET /" + b"a" * 65536)
    assert not dialogue.wire.reading
    dialogue = Dialogue().receive(GET)
    for count in range(65536 // 64):
        assert dialogue.wire.reading, count
        dialogue.receive(b"x")
    assert not dialogue.wire.reading


def test_9_3_2_a_good_request_before_a_bad_one_is_answered() -> None:
    dialogue = Dialogue(answer_at_once).receive(GET + b"zqz\r\n" + GET)
    assert dialogue.wire.sent.startswith(OK)
    assert error_answer(dialogue.wire.sent.removeprefix(OK))[0] == 400
    assert len(dialogue.handlers) == 1


# RFC 9112 §9.3: content that the application does not read


def test_9_3_unread_content_is_drained_to_keep_the_connection() -> None:
    dialogue = Dialogue().receive(post(65536), b"a" * 10)
    dialogue.handler.answer()
    assert dialogue.wire.ended is None
    dialogue.receive(b"b" * 65000, b"c" * 526 + GET)
    assert len(dialogue.handlers) == 2
    assert dialogue.handlers[0].content == b"a" * 10
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK + OK


def test_9_3_unread_chunked_content_is_drained() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    for script in (None, answer_at_once):
        dialogue = Dialogue(script).receive(head)
        if script is None:
            dialogue.handler.answer()
        dialogue.receive(
            b"8000\r\n" + b"a" * 32768 + b"\r\n8000\r\n" + b"b" * 32768 + b"\r\n0\r\nA: b\r\n\r\n" + GET
        )
        assert len(dialogue.handlers) == 2
        assert dialogue.handlers[0].names == ["start"]


def test_9_3_too_much_unread_content_closes() -> None:
    dialogue = Dialogue().receive(post(65537))
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")  # §9.6
    assert dialogue.wire.ended == LINGERING
    chunks = Dialogue(answer_at_once).receive(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunks.receive(b"10001\r\n" + b"a" * 32768)
    assert chunks.wire.ended is None
    chunks.receive(b"a" * 32769 + b"\r\n" + b"1\r\nb\r\n" * 3 + b"0\r\n\r\n" + GET)
    assert chunks.wire.ended == LINGERING
    assert chunks.wire.sent == OK
    assert len(chunks.handlers) == 1


def test_9_3_a_fault_in_what_is_drained_closes_without_a_second_answer() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    for fault in (b"zqz\r\n", b"1\r\nabc\r\n", b"5\r\nhello\r\n"):
        dialogue = Dialogue(answer_at_once, max_content=4).receive(head, fault)
        assert dialogue.wire.sent == OK
        assert dialogue.wire.ended == LINGERING
        assert dialogue.refusals == []


def test_9_3_the_end_of_input_while_draining() -> None:
    dialogue = Dialogue(answer_at_once).receive(post(5), b"abc").receive_eof()
    assert dialogue.wire.sent == OK
    assert dialogue.wire.ended is not None
    assert dialogue.refusals == []


def test_9_3_draining_does_not_wait_for_ever() -> None:
    dialogue = Dialogue(answer_at_once, keep_alive_timeout=7.0).receive(post(5))
    dialogue.wait(6.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert dialogue.wire.ended == CLOSED
    assert dialogue.wire.sent == OK


# RFC 9112 §9.6: a peer that ends its side


def test_9_6_end_of_input_between_requests() -> None:
    for dialogue in (Dialogue().receive_eof(), Dialogue(answer_at_once).receive(GET).receive_eof()):
        assert dialogue.wire.ended == CLOSED


def test_9_6_a_half_closed_client_gets_its_answer() -> None:
    dialogue = Dialogue().receive(GET).receive_eof()
    assert dialogue.handler.names == ["start", "peer closed"]
    assert dialogue.wire.ended is None
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK
    assert dialogue.wire.ended == CLOSED


def test_9_6_a_half_closed_client_gets_all_that_it_pipelined() -> None:
    dialogue = Dialogue().receive(GET * 3).receive_eof()
    for count in (1, 2, 3):
        assert len(dialogue.handlers) == count
        assert dialogue.handler.names == ["start", "peer closed"]
        dialogue.handler.answer()
    dialogue.flush_due()
    assert dialogue.wire.sent == OK * 3
    assert dialogue.wire.ended == CLOSED


def test_9_6_what_a_half_closed_client_left_incomplete() -> None:
    dialogue = Dialogue().receive(GET + GET[:10]).receive_eof()
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK
    assert dialogue.wire.ended == CLOSED
    dialogue = Dialogue().receive(GET + post(5) + b"abc").receive_eof()
    dialogue.handler.answer()
    assert dialogue.handler.events == [("data", b"abc"), ("start",), ("reset",)]
    assert error_answer(dialogue.wire.sent.removeprefix(OK))[0] == 400


def test_9_6_a_half_closed_client_that_reads_slowly() -> None:
    dialogue = Dialogue(answer_at_once)
    dialogue.connection.pause_writing()
    dialogue.receive(GET * 2).receive_eof()
    assert dialogue.handlers == []
    assert dialogue.wire.ended is None
    assert dialogue.connection.next_timeout() == float("inf")
    dialogue.connection.resume_writing()
    assert dialogue.wire.sent == OK * 2
    assert dialogue.wire.ended == CLOSED


# RFC 9110 §10.1.1: Expect


def test_rfc9110_10_1_1_continue_is_sent_when_the_application_first_asks() -> None:
    dialogue = Dialogue().receive(post(2, b"Expect: 100-Continue"))
    assert dialogue.handler.request.expect_continue
    assert dialogue.wire.sent == b""
    for _ in range(2):
        dialogue.handler.stream.send_informational(100, [])
        dialogue.handler.stream.flush()
        assert dialogue.wire.sent == CONTINUE
    dialogue.receive(b"ab")
    dialogue.handler.answer()
    assert dialogue.wire.sent == CONTINUE + OK
    assert dialogue.wire.ended is None


def test_rfc9110_10_1_1_not_once_content_came() -> None:
    dialogue = Dialogue().receive(post(2, EXPECT), b"a")
    dialogue.handler.stream.send_informational(100, [])
    dialogue.receive(b"b")
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK
    assert dialogue.wire.ended is None
    empty = Dialogue(answer_at_once).receive(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + EXPECT + b"\r\n\r\n0\r\n\r\n"
    )
    assert empty.wire.sent == OK


def test_rfc9110_10_1_1_a_final_answer_instead_closes() -> None:
    dialogue = Dialogue(answer_at_once).receive(post(2, EXPECT))
    assert dialogue.wire.sent == CLOSING_OK
    assert dialogue.wire.ended == LINGERING


def test_rfc9110_10_1_1_an_answer_of_which_the_head_was_sent_before_the_content() -> None:
    dialogue = Dialogue().receive(post(2, EXPECT))
    dialogue.handler.stream.send_informational(100, [])
    dialogue.handler.send_head(200, (b"content-length", b"2"))
    dialogue.receive(b"ab")
    dialogue.handler.send(b"ok", True)
    assert dialogue.wire.sent == CONTINUE + OK
    assert dialogue.wire.ended is None


@pytest.mark.parametrize("data", [GET, get(EXPECT), post(0, EXPECT), post(2, b"Expect: x")])
def test_rfc9110_10_1_1_no_continue_where_none_is_expected(data: bytes) -> None:
    dialogue = Dialogue().receive(data)
    dialogue.handler.stream.send_informational(100, [])
    dialogue.handler.stream.flush()
    assert dialogue.wire.sent == b""


def test_rfc9110_15_2_no_interim_answer_to_http_1_0() -> None:
    dialogue = Dialogue().receive(post(2, EXPECT).replace(b"1.1", b"1.0"))
    assert not dialogue.handler.request.expect_continue
    dialogue.handler.stream.send_informational(100, [])
    dialogue.handler.stream.send_informational(103, [(b"link", b"</a>")])
    dialogue.handler.answer()
    assert dialogue.wire.sent == CLOSING_OK


def test_rfc8297_early_hints() -> None:
    dialogue = Dialogue().receive(GET)
    dialogue.handler.stream.send_informational(103, [(b"link", b"</a>"), (b"link", b"</b>")])
    dialogue.handler.stream.flush()
    assert dialogue.wire.take() == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"
    dialogue.handler.answer()
    assert dialogue.wire.sent == OK


# RFC 9110 §7.8: Upgrade


UPGRADE = get(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket, x")


@pytest.mark.parametrize(
    "data",
    [
        UPGRADE,
        get(b"Upgrade: websocket"),
        get(b"Connection: upgrade"),
        get(b"Connection: upgrade", b"Upgrade: ,"),
        get(b"Connection: upgrade, keep-alive", b"Upgrade: websocket", version=b"1.0"),
    ],
)
def test_rfc9110_7_8_an_upgrade_that_nobody_takes_is_ignored(data: bytes) -> None:
    dialogue = Dialogue(answer_at_once).receive(data + GET)
    assert dialogue.handlers[0].request.protocol == (b"websocket" if data is UPGRADE else b"")
    assert len(dialogue.handlers) == 2
    assert dialogue.wire.sent.endswith(OK)


def switched(dialogue: Dialogue) -> RecordingHandler:
    handler = dialogue.handler
    handler.stream.accept_tunnel([(b"a", b"b")])
    handler.stream.flush()
    assert dialogue.wire.take() == (
        b"HTTP/1.1 101 Switching Protocols\r\na: b\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    )
    return handler


def test_rfc9110_7_8_a_tunnel_carries_bytes_both_ways() -> None:
    dialogue = Dialogue().receive(UPGRADE)
    handler = switched(dialogue)
    dialogue.receive(b"zqz\x00", GET)
    assert handler.events == [("start",), ("data", b"zqz\x00"), ("data", GET)]
    handler.send(b"\xff\x00")
    assert dialogue.wire.take() == b"\xff\x00"
    dialogue.wait(1e6)
    assert dialogue.wire.ended is None
    dialogue.receive_eof()
    assert handler.events[-1] == ("end", [])
    handler.send(b"bye")
    handler.send(b"", True)
    assert dialogue.wire.sent == b"bye"
    assert dialogue.wire.ended == LINGERING
    dialogue.receive(b"x")
    assert handler.events[-1] == ("end", [])


@pytest.mark.parametrize("script", [None, lambda handler: handler.stream.accept_tunnel([])])
def test_rfc9110_7_8_what_came_behind_the_request_is_the_tunnels(script: None) -> None:
    dialogue = Dialogue(script).receive(UPGRADE + b"abc")
    if script is None:
        dialogue.receive(b"d" * 70000)
        assert not dialogue.wire.reading
        switched(dialogue)
        assert dialogue.wire.reading
        assert dialogue.handler.content == b"abc" + b"d" * 70000
    else:
        assert dialogue.handler.content == b"abc"
    assert len(dialogue.handlers) == 1
    assert dialogue.refusals == []


def test_rfc9110_7_8_flow_control_in_a_tunnel() -> None:
    dialogue = Dialogue().receive(UPGRADE)
    handler = switched(dialogue)
    handler.stream.pause_reading()
    assert not dialogue.wire.reading
    handler.stream.resume_reading()
    assert dialogue.wire.reading
    dialogue.connection.pause_writing()
    dialogue.connection.resume_writing()
    assert handler.names[-2:] == ["pause", "resume"]
    dialogue.connection.connection_lost()
    assert handler.names[-1] == "reset"
