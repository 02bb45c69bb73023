"""Which HTTP version a connection speaks: what comes first decides, however it is split (RFC 9113 §3.3)."""

import pytest

from tests.support.http1 import CLOSED, RecordingWire
from tidegate.http.connection import Connection
from tidegate.net.negotiate import PREFACE, PrefaceReader, alpn_protocol, begins_preface


class Recorder(Connection):
    def __init__(self) -> None:
        self.calls: list[object] = []

    def receive_eof(self, now: float) -> None:
        self.calls.append("eof")

    def connection_lost(self) -> None:
        self.calls.append("lost")

    def shutdown(self, now: float) -> None:
        self.calls.append("shutdown")

    def cut(self) -> None:
        self.calls.append("cut")


class Choice:
    def __init__(self) -> None:
        self.wire = RecordingWire()
        self.http1 = Recorder()
        self.http2 = Recorder()
        self.chosen: tuple[Connection, bytes] | None = None
        self.reader = PrefaceReader(
            self.wire, self.http1, lambda now: self.http2, self.switch, now=100.0, timeout=10.0
        )

    def switch(self, connection: Connection, data: bytes, now: float) -> None:
        assert self.chosen is None
        self.chosen = (connection, data)


@pytest.mark.parametrize("size", range(1, 24))
def test_the_preface_split_anywhere(size: int) -> None:
    choice = Choice()
    choice.reader.receive_data(PREFACE[:size], 100.0)
    assert choice.chosen is None
    choice.reader.receive_data(PREFACE[size:] + b"rest", 100.0)
    assert choice.chosen == (choice.http2, PREFACE + b"rest")


@pytest.mark.parametrize("size", range(1, 24))
def test_what_only_begins_like_the_preface(size: int) -> None:
    choice = Choice()
    choice.reader.receive_data(PREFACE[:size], 100.0)
    choice.reader.receive_data(b"\xff", 100.0)
    assert choice.chosen == (choice.http1, PREFACE[:size] + b"\xff")


def test_a_client_that_goes_or_waits() -> None:
    choice = Choice()
    choice.reader.receive_data(b"P", 100.0)
    choice.reader.shutdown(100.0)
    choice.reader.receive_eof(100.0)
    assert choice.chosen == (choice.http1, b"P")
    assert choice.http1.calls == ["shutdown", "eof"]
    slow = Choice()
    slow.reader.receive_data(b"PR", 100.0)
    assert slow.reader.next_timeout() == 110.0
    slow.reader.handle_timeout(109.9)
    assert slow.wire.ended is None
    slow.reader.handle_timeout(110.0)
    assert slow.wire.ended == CLOSED
    slow.reader.connection_lost()
    slow.reader.cut()
    assert slow.http1.calls == ["lost", "cut"]


def test_begins_preface() -> None:
    assert begins_preface(PREFACE[:1])
    assert begins_preface(PREFACE + b"x")
    assert not begins_preface(b"POST / HTTP/1.1\r\n")


@pytest.mark.parametrize("chosen", ["h2", "http/1.1", None])
def test_alpn(chosen: str | None) -> None:
    class TLS:
        def selected_alpn_protocol(self) -> str | None:
            return chosen

    class Transport:
        def get_extra_info(self, name: str) -> object:
            return TLS() if name == "ssl_object" else None

    assert alpn_protocol(Transport()) == chosen
