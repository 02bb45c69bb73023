"""What a connection does in time, under flow control and at its end; the wire format is in tests/rfc."""

import os
import tempfile

import pytest

from tests.support.http1 import (
    ABORTED,
    CLOSED,
    GET,
    LINGERING,
    OK,
    Dialogue,
    RecordingHandler,
    answer_at_once,
    error_answer,
)
from tidegate.http.defaults import ResponseDefaults
from tidegate.http.head import ResponseHead

NEVER = float("inf")
EXPECT = b"Expect: 100-continue\r\n"
DRAIN = 65536  # octets, the default


def post(length: int, lines: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n" % (length, lines)


# --- time


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r"])
def test_idle_before_the_first_octet(before: bytes) -> None:
    dialogue = Dialogue(idle_timeout=5.0).receive(before) if before else Dialogue(idle_timeout=5.0)
    assert dialogue.connection.idle_since == 1000.0
    assert dialogue.connection.next_timeout() == 1005.0
    dialogue.wait(4.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert dialogue.wire.ended == CLOSED
    assert dialogue.wire.sent == b"", "balancers take a 408 for an answer"
    assert dialogue.connection.next_timeout() == NEVER
    assert dialogue.connection.idle_since == NEVER


def test_only_an_idle_connection_makes_room() -> None:
    idle, busy = Dialogue(), Dialogue().receive(GET)
    for dialogue in (idle, busy):
        dialogue.connection.close_idle()
    assert idle.wire.ended == CLOSED
    assert busy.wire.ended is None


def test_keep_alive() -> None:
    dialogue = Dialogue(keep_alive_timeout=5.0, idle_timeout=1.0).receive(GET)
    assert dialogue.connection.next_timeout() == NEVER
    assert dialogue.connection.idle_since == NEVER
    dialogue.wait(100)
    changed = dialogue.wire.timeouts_changed
    dialogue.handler.answer()
    assert dialogue.wire.timeouts_changed == changed + 1
    assert dialogue.connection.idle_since == NEVER, "not known before the wire says what time it is"
    assert dialogue.connection.next_timeout() < dialogue.now
    dialogue.wait(4.9)
    assert dialogue.connection.idle_since == 1100.0
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert dialogue.wire.ended == CLOSED
    assert dialogue.wire.sent == OK


def test_a_timeout_that_is_not_due_does_nothing() -> None:
    for data in (b"", GET[:5], post(5), GET, GET[:-2]):
        dialogue = Dialogue()
        if data:
            dialogue.receive(data)
        for _ in range(3):
            dialogue.connection.handle_timeout(dialogue.now + 1)
        assert dialogue.wire.ended is None


def test_head_complete_within_its_time_of_the_first_octet() -> None:
    dialogue = Dialogue(head_timeout=3.0)
    dialogue.wait(20)
    for octet in GET[:15]:
        dialogue.receive(bytes([octet]))
        dialogue.wait(0.19)
    assert dialogue.wire.ended is None
    assert dialogue.connection.next_timeout() == 1023.0
    dialogue.wait(0.2)
    assert error_answer(dialogue.wire.sent)[0] == 408
    assert dialogue.wire.ended == LINGERING
    assert dialogue.refusals[0][1] is None


@pytest.mark.parametrize(
    ("octets", "status", "known"),
    [
        (b"GET /a?b HTTP/1.0\r\nx y: z\r\n\r\n", 400, ("GET", b"/a?b", "/a", "1.0")),
        (b"HEAD /%61 HTTP/1.1\r\n\r\n", 400, ("HEAD", b"/%61", "/a", "1.1")),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70000, 431, ("GET", b"/", "/", "1.1")),
        (
            b"NEW / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            ("NEW", b"/", "/", "1.1"),
        ),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501, ("CONNECT", b"a:443", "", "1.1")),
        (b"GET http:///x HTTP/1.1\r\n\r\n", 400, ("GET", b"http:///x", "", "1.1")),
        (b"GET / HTTP/1.1\r\nHost:", 408, ("GET", b"/", "/", "1.1")),
        (b"GET / HTTP/1", 408, None),
        (b"GET / HTTP/2.0\r\n", 505, None),
        (b"GET /\x01", 400, None),
    ],
)
def test_what_is_known_of_a_request_that_is_refused_in_its_head(
    octets: bytes, status: int, known: tuple[str, bytes, str, str] | None
) -> None:
    for before in (b"", GET):
        dialogue = Dialogue(script=answer_at_once)
        dialogue.receive(before, octets)
        dialogue.wait(60)
        ((error, head),) = dialogue.refusals
        assert error.status == status
        assert known == (None if head is None else (head.method, head.target, head.path, head.http_version))
        assert dialogue.wire.sent.endswith(b"\r\n\r\n") == (known is not None and known[0] == "HEAD")


def test_head_of_a_request_that_had_waited() -> None:
    dialogue = Dialogue(head_timeout=3.0).receive(GET + GET[:9])
    dialogue.wait(50)
    dialogue.handler.answer()
    assert dialogue.connection.idle_since == NEVER
    dialogue.wait(2.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert error_answer(dialogue.wire.sent.removeprefix(OK))[0] == 408


def test_content_at_a_rate() -> None:
    dialogue = Dialogue(body_rate=100.0, body_window=10.0).receive(post(100_000))
    for _ in range(40):
        dialogue.receive(b"a" * 300)
        dialogue.wait(2.5)
    assert dialogue.wire.ended is None
    dialogue.receive(b"a" * 999)
    dialogue.wait(20)
    assert error_answer(dialogue.wire.sent)[0] == 408
    assert dialogue.handler.names[-1] == "reset"
    assert dialogue.refusals[0][1] is dialogue.handler.request


def test_no_rate_where_it_is_off() -> None:
    dialogue = Dialogue(body_rate=0.0).receive(post(5))
    assert dialogue.connection.next_timeout() == NEVER
    dialogue.wait(1e6)
    assert dialogue.wire.ended is None


def test_the_clock_stands_still_while_the_application_does_not_read() -> None:
    dialogue = Dialogue(body_window=10.0).receive(post(5))
    dialogue.wait(9)
    dialogue.handler.stream.pause_reading()
    dialogue.wait(1000)
    assert dialogue.connection.next_timeout() == NEVER
    assert dialogue.wire.ended is None
    changed = dialogue.wire.timeouts_changed
    dialogue.handler.stream.resume_reading()
    assert dialogue.wire.timeouts_changed == changed + 1
    dialogue.wait(9.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert error_answer(dialogue.wire.sent)[0] == 408


def test_the_clock_starts_with_100_continue() -> None:
    dialogue = Dialogue(body_window=10.0).receive(post(5, EXPECT))
    dialogue.wait(1000)
    assert dialogue.wire.ended is None
    dialogue.handler.stream.send_informational(100, [])
    dialogue.handler.stream.flush()
    dialogue.wire.take()
    dialogue.wait(9.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert error_answer(dialogue.wire.sent)[0] == 408


def test_the_clock_starts_with_content_that_came_unasked() -> None:
    dialogue = Dialogue(body_window=10.0).receive(post(5, EXPECT))
    dialogue.wait(1000)
    changed = dialogue.wire.timeouts_changed
    dialogue.receive(b"a")
    assert dialogue.wire.timeouts_changed == changed + 1
    dialogue.wait(10.1)
    assert error_answer(dialogue.wire.sent)[0] == 408


def test_the_clock_ends_with_the_head_of_the_answer() -> None:
    dialogue = Dialogue(body_window=10.0).receive(post(5))
    dialogue.wait(5)
    dialogue.handler.send_head()
    dialogue.wait(1000)
    assert dialogue.wire.ended is None


# --- flow control


def test_reading_pauses_with_the_application() -> None:
    dialogue = Dialogue().receive(post(10), b"abc")
    dialogue.handler.stream.pause_reading()
    assert not dialogue.wire.reading
    dialogue.handler.stream.resume_reading()
    assert dialogue.wire.reading


def test_reading_goes_on_once_the_content_is_complete() -> None:
    dialogue = Dialogue().receive(post(3))
    dialogue.handler.stream.pause_reading()
    dialogue.receive(b"abc")
    assert dialogue.wire.reading, "or a client that goes is not seen"
    dialogue.handler.stream.pause_reading()
    assert dialogue.wire.reading
    dialogue.receive(b"x" * 65536)
    assert not dialogue.wire.reading
    dialogue.handler.stream.resume_reading()
    assert not dialogue.wire.reading, "the octets that wait are bounded"


def test_reading_goes_on_to_drain() -> None:
    dialogue = Dialogue().receive(post(3))
    dialogue.handler.stream.pause_reading()
    dialogue.handler.answer()
    assert dialogue.wire.reading
    dialogue.receive(b"abc" + GET)
    assert len(dialogue.handlers) == 2


@pytest.mark.parametrize(("size", "told"), [(DRAIN + 4, True), (DRAIN + 3, False)])
def test_a_client_is_told_where_its_content_is_too_long_to_be_drained(size: int, told: bool) -> None:
    # RFC 9112 §9.6
    dialogue = Dialogue().receive(post(size) + b"abc")
    dialogue.handler.answer()
    assert (b"connection: close\r\n" in dialogue.wire.sent) == told
    assert (dialogue.wire.ended is not None) == told


def test_an_answer_that_is_streamed_may_wait_for_the_content() -> None:
    dialogue = Dialogue().receive(post(DRAIN + 4))
    stream = dialogue.handler.stream
    stream.send_head(ResponseHead(200))
    stream.flush()
    assert b"connection: close" not in dialogue.wire.sent
    stream.send_data(b"", True)
    assert dialogue.wire.ended == LINGERING


def test_a_slow_reader_gets_no_more_answers_than_it_reads() -> None:
    dialogue = Dialogue().receive(GET * 3)
    dialogue.connection.pause_writing()
    assert dialogue.handler.names == ["start", "pause"]
    dialogue.handler.answer()
    assert len(dialogue.handlers) == 1
    assert dialogue.connection.idle_since == NEVER
    dialogue.wait(1e6)
    assert dialogue.wire.ended is None
    dialogue.connection.resume_writing()
    assert len(dialogue.handlers) == 2
    dialogue.connection.pause_writing()
    dialogue.connection.resume_writing()
    assert dialogue.handler.names == ["start", "pause", "resume"]
    dialogue.handler.answer()
    dialogue.handler.answer()
    dialogue.flush_due()
    assert dialogue.wire.sent == OK * 3


def test_what_a_slow_reader_sends_waits_too() -> None:
    dialogue = Dialogue(answer_at_once)
    dialogue.connection.pause_writing()
    dialogue.receive(GET, GET[:5], GET[5:])
    assert dialogue.handlers == []
    dialogue.connection.resume_writing()
    assert dialogue.wire.writes == [OK * 2]
    dialogue.connection.pause_writing()
    dialogue.connection.resume_writing()


def test_a_request_that_had_begun_when_writing_was_paused() -> None:
    dialogue = Dialogue().receive(GET[:9])
    dialogue.connection.pause_writing()
    dialogue.receive(GET[9:])
    assert dialogue.handler.names == ["pause", "start"]


def test_pausing_between_immediate_answers() -> None:
    def pause(handler: RecordingHandler) -> None:
        handler.answer()
        dialogue.connection.pause_writing()

    dialogue = Dialogue(pause)
    dialogue.receive(GET * 3)
    for count in (1, 2, 3):
        assert len(dialogue.handlers) == count
        dialogue.connection.resume_writing()
    assert dialogue.wire.sent.count(b"HTTP/1.1 200") == 3


# --- output


def test_a_step_of_the_application_is_one_write() -> None:
    dialogue = Dialogue().receive(GET)
    handler = dialogue.handler
    handler.send_head()
    for part in (b"a", b"b", b"c"):
        handler.stream.send_data(part, False)
    assert dialogue.wire.writes == []
    handler.stream.flush()
    assert len(dialogue.wire.writes) == 1
    handler.stream.flush()
    assert len(dialogue.wire.writes) == 1


def test_at_most_64_kib_are_held() -> None:
    dialogue = Dialogue().receive(GET)
    handler = dialogue.handler
    handler.send_head(200, (b"content-length", b"200000"))
    handler.stream.send_data(b"x" * 40000, False)
    assert dialogue.wire.writes == []
    handler.stream.send_data(b"y" * 40000, False)
    assert dialogue.wire.sent.endswith(b"\r\n\r\n" + b"x" * 40000 + b"y" * 40000)


@pytest.mark.parametrize(
    ("framing", "head", "start", "between", "end"),
    [
        ((b"content-length", b"9"), b"content-length: 9\r\n", b"", b"", b""),
        ((b"a", b"b"), b"a: b\r\ntransfer-encoding: chunked\r\n", b"4\r\n", b"\r\n5\r\n", b"\r\n0\r\n\r\n"),
    ],
)
def test_files(framing: tuple[bytes, bytes], head: bytes, start: bytes, between: bytes, end: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        dialogue = Dialogue().receive(GET + GET)
        handler = dialogue.handler
        handler.send_head(200, framing)
        handler.stream.send_file(os.dup(file.fileno()), 1, 4, False)
        handler.stream.send_file(os.dup(file.fileno()), 5, 5, True)
        handler.stream.flush()
        dialogue.flush_due()
        assert dialogue.wire.sent == (
            b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + start + b"1234" + between + b"56789" + end
        )
        assert len(dialogue.handlers) == 2


def closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("case", ["head", "204", "empty", "ended", "gone", "chunked empty"])
def test_a_file_that_is_not_sent_is_closed(case: str) -> None:
    dialogue = Dialogue().receive(GET.replace(b"GET", b"HEAD") if case == "head" else GET)
    handler = dialogue.handler
    lengths: dict[str, tuple[bytes, bytes]] = {
        "chunked empty": (b"a", b"b"),
        "empty": (b"content-length", b"0"),
    }
    handler.send_head(204 if case == "204" else 200, lengths.get(case, (b"content-length", b"4")))
    if case == "ended":
        handler.send(b"abcd", True)
    if case == "gone":
        dialogue.connection.connection_lost()
    sent = dialogue.wire.take()
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        descriptor = os.dup(file.fileno())
        count = 0 if "empty" in case else 4
        handler.stream.send_file(descriptor, 0, count, True)
        assert closed(descriptor)
    handler.stream.flush()
    if case in ("ended", "gone"):
        assert dialogue.wire.sent == b""
    else:
        assert (sent + dialogue.wire.sent).endswith(b"0\r\n\r\n" if case == "chunked empty" else b"\r\n\r\n")
        dialogue.receive(GET)
        assert len(dialogue.handlers) == 2


# --- ends


def test_shutdown_of_an_idle_connection_allows_one_more_request() -> None:
    dialogue = Dialogue()
    dialogue.wait(10)
    dialogue.connection.shutdown(dialogue.now)
    assert dialogue.connection.next_timeout() == dialogue.now + 2
    dialogue.receive(GET)
    assert dialogue.handler.names == ["shutdown", "start"]
    dialogue.handler.answer()
    assert dialogue.wire.sent == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    assert dialogue.wire.ended == LINGERING
    dialogue = Dialogue(shutdown_idle=1.0)
    dialogue.connection.shutdown(dialogue.now)
    dialogue.wait(1.1)
    assert dialogue.wire.sent == b""
    assert dialogue.wire.ended == LINGERING, "a request that crosses it must not be answered by a reset"


def test_shutdown_tells_the_exchange_that_is_under_way() -> None:
    dialogue = Dialogue().receive(GET)
    dialogue.handler.send_head()
    dialogue.connection.shutdown(dialogue.now)
    assert dialogue.handler.names == ["start", "shutdown"]
    dialogue.handler.send(b"a", True)
    assert dialogue.wire.ended is None, "its head promised a connection that persists"
    dialogue.wait(1.9)
    assert dialogue.wire.ended is None
    dialogue.wait(0.2)
    assert dialogue.wire.ended == LINGERING


def test_shutdown_while_a_head_arrives() -> None:
    dialogue = Dialogue().receive(GET[:9])
    dialogue.connection.shutdown(dialogue.now)
    dialogue.receive(GET[9:])
    dialogue.handler.answer()
    assert dialogue.wire.ended == LINGERING


def test_the_peer_goes() -> None:
    for data in (b"", GET[:4], post(5), GET + GET):
        dialogue = Dialogue()
        if data:
            dialogue.receive(data)
        dialogue.connection.connection_lost()
        assert [h.names[-1] for h in dialogue.handlers] == ["reset"] * len(dialogue.handlers)
        for handler in dialogue.handlers:
            handler.stream.send_head(ResponseHead(200))
            handler.send(b"a", True)
        dialogue.receive(GET)
        dialogue.receive_eof()
        assert dialogue.wire.sent == b""
        assert dialogue.connection.next_timeout() == NEVER
        assert len(dialogue.handlers) <= 1


def test_the_peer_goes_while_more_waits_than_is_read() -> None:
    dialogue = Dialogue().receive(GET, b"x" * 65536)
    dialogue.connection.connection_lost()
    assert not dialogue.wire.reading, "there is nothing to read"


def test_cut() -> None:
    dialogue = Dialogue().receive(GET)
    dialogue.handler.send_head()
    dialogue.connection.cut()
    assert dialogue.handler.names == ["start", "reset"]
    assert dialogue.wire.ended == ABORTED
    dialogue.handler.send(b"a", True)
    assert dialogue.wire.sent == b""


@pytest.mark.parametrize(
    ("version", "sent", "ended"),
    [
        (b"1.1", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", LINGERING),
        (b"1.0", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na", ABORTED),
    ],
)
def test_reset_shows_that_the_answer_is_incomplete(version: bytes, sent: bytes, ended: str) -> None:
    dialogue = Dialogue().receive(b"GET / HTTP/" + version + b"\r\nHost: h\r\n\r\n" + GET)
    dialogue.handler.send_head()
    dialogue.handler.stream.send_data(b"a", False)
    dialogue.handler.stream.reset()
    assert dialogue.wire.sent == sent
    assert dialogue.wire.ended == ended
    assert dialogue.handler.names == ["start"], "it asked for it, and hears no more"
    assert len(dialogue.handlers) == 1


def test_reset_before_any_answer() -> None:
    dialogue = Dialogue().receive(GET)
    dialogue.handler.stream.reset()
    assert dialogue.wire.sent == b""
    assert dialogue.wire.ended == LINGERING


def test_reset_while_content_arrives() -> None:
    for split in (False, True):
        dialogue = Dialogue(lambda handler: handler.stream.reset())
        pieces = [post(3), b"abc" + GET] if split else [post(3) + b"abc" + GET]
        dialogue.receive(*pieces)
        assert dialogue.wire.ended == LINGERING
        assert len(dialogue.handlers) == 1


class Resetting(RecordingHandler):
    def data_received(self, data: bytes) -> None:
        RecordingHandler.data_received(self, data)
        self.stream.reset()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
        (b"Content-Length: 1\r\n\r\n", b"a"),
    ],
)
def test_reset_from_the_content_that_arrives(pieces: tuple[bytes, bytes]) -> None:
    dialogue = Dialogue(handler_class=Resetting)
    dialogue.receive(b"POST / HTTP/1.1\r\nHost: h\r\n" + pieces[0], pieces[1] + GET)
    assert dialogue.handler.events == [("start",), ("data", b"a")]
    assert dialogue.wire.ended == LINGERING
    assert len(dialogue.handlers) == 1


# --- the fields of every answer


def test_defaults_are_never_doubled() -> None:
    defaults = ResponseDefaults(b"tidegate", True, ((b"X-Frame-Options", b"DENY"),))
    assert defaults.lines(False, False) == b"server: tidegate\r\n"
    assert defaults.fields(False, False) == [(b"server", b"tidegate")]
    defaults.set_date(b"D")
    assert defaults.lines(False, False) == b"date: D\r\nserver: tidegate\r\n"
    assert defaults.fields(False, False) == [(b"date", b"D"), (b"server", b"tidegate")]
    for has_date, has_server, lines in (
        (True, False, b"server: tidegate\r\n"),
        (False, True, b"date: D\r\n"),
        (True, True, b""),
    ):
        assert defaults.lines(has_date, has_server) == lines
    silent = ResponseDefaults(None, False, ())
    silent.set_date(b"D")
    assert silent.lines(False, False) == b""
    dialogue = Dialogue().receive(GET * 2)
    dialogue.connection.defaults = defaults
    dialogue.handler.answer()
    dialogue.flush_due()
    assert dialogue.wire.take() == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Frame-Options: DENY\r\ndate: D\r\nserver: tidegate\r\n\r\nok"
    )
    dialogue.handler.answer(b"ok", 299, (b"Date", b"E"), (b"Server", b"s"), (b"x-FRAME-options", b"o"))
    assert dialogue.wire.sent == (
        b"HTTP/1.1 299 \r\ndate: E\r\nserver: s\r\nx-frame-options: o\r\ncontent-length: 2\r\n\r\nok"
    )


def test_request_head_field() -> None:
    head = Dialogue().receive(GET).handler.request
    assert head.field(b"host") == b"h"
    assert head.field(b"cookie") == b""
