"""Which requests are followed to HTTP/2 (RFC 7540 §3.2.1), and what they are there."""

import base64

import pytest

from tests.support.http1 import Dialogue
from tidegate.http.head import RequestHead
from tidegate.net.upgrade import as_http2, upgrade_settings

WINDOW = base64.urlsafe_b64encode(b"\0\4\0\0\0\5").rstrip(b"=")


def parsed(*lines: bytes, start: bytes = b"GET / HTTP/1.1") -> RequestHead:
    dialogue = Dialogue().receive(b"\r\n".join([start, b"Host: h", *lines, b"", b""]))
    return dialogue.handler.request


def asking(settings: bytes = WINDOW, *lines: bytes, start: bytes = b"GET / HTTP/1.1") -> RequestHead:
    fields = (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: " + settings)
    return parsed(*fields, *lines, start=start)


@pytest.mark.parametrize(
    ("settings", "payload"),
    [
        (WINDOW, b"\0\4\0\0\0\5"),
        (b"", b""),
        (b"AAMAAABkAAQAAP__", b"\0\3\0\0\0\x64\0\4\0\0\xff\xff"),
        (b"AAQAAAAF", b"\0\4\0\0\0\5"),
        (base64.urlsafe_b64encode(bytes(48)), bytes(48)),
        (base64.urlsafe_b64encode(bytes(12) + b"\0\4\xff\xff\xff\xfb"), bytes(12) + b"\0\4\xff\xff\xff\xfb"),
    ],
)
def test_settings(settings: bytes, payload: bytes) -> None:
    assert upgrade_settings(asking(settings)) == payload
    assert upgrade_settings(asking(settings, b"Content-Length: 0", start=b"POST / HTTP/1.1")) == payload


@pytest.mark.parametrize(
    "settings",
    [
        b"AAQAAAA",
        b"AAQAAAAFA",
        b"AAQAAAAFAA",
        b"AAQAAP//",
        b"AAQA AAF",
        b"AAQAAAAF===",
        b"=",
        b"\xff",
        b"A=QA",
    ],
)
def test_malformed_settings(settings: bytes) -> None:
    assert upgrade_settings(asking(settings)) is None


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 1"],
        [b"Transfer-Encoding: chunked"],
        [b"X-Forwarded-For: 192.0.2.1"],
        [b"Forwarded: for=192.0.2.1"],
        [b"Via: 1.1 proxy"],
        [b"HTTP2-Settings: " + WINDOW],
    ],
)
def test_what_is_not_followed(lines: list[bytes]) -> None:
    assert upgrade_settings(asking(WINDOW, *lines)) is None


@pytest.mark.parametrize(
    "lines",
    [
        [b"Connection: Upgrade, HTTP2-Settings"],
        [b"Connection: Upgrade", b"HTTP2-Settings: " + WINDOW],
        [b"Connection: Upgrade, X-HTTP2-Settings", b"HTTP2-Settings: " + WINDOW],
    ],
)
def test_settings_that_are_not_there_or_not_named(lines: list[bytes]) -> None:
    assert upgrade_settings(parsed(b"Upgrade: h2c", *lines)) is None


def test_the_request_as_http2_has_it() -> None:
    head = asking(
        WINDOW,
        b"X-Hop: 1",
        b"Connection: x-hop",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"Expect: 100-continue",
        b"A: b",
    )
    names = (b"host", b"expect", b"a")
    converted = as_http2(head)
    assert [name for name, _ in converted.headers] == list(names)
    assert (converted.http_version, converted.protocol) == ("2", b"")
    assert (converted.expect_continue, converted.client_trailers) == (False, True)
