"""tidegate.server.access_log: templates, escaping, request ids."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import ConfigError, Logging
from tidegate.server.access_log import ATOMS, AccessLog, AccessRecord, escape, request_id, selection

HEADERS = [(b"host", b"a"), (b"user-agent", b'x "y" \x1b[31m\n'), (b"accept", b"*/*")]


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[Records]:
    logger, handler = logging.getLogger("tests.access"), Records()
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler
    logger.removeHandler(handler)


def record(**changes: Any) -> AccessRecord:
    values: dict[str, Any] = {
        "client": ("127.0.0.1", 1234), "method": "GET", "target": b"/a?b=c", "http_version": "1.1",
        "status": 200, "body_bytes": 12, "ttfb": 0.0015, "duration": 0.00251234567, "request_id": "abc",
        "headers": HEADERS,
    }  # fmt: skip
    return AccessRecord(**(values | changes))


def logged(records: Records, template: str, entry: AccessRecord, format: str = "text") -> logging.LogRecord:
    AccessLog(logging.getLogger("tests.access"), format, template).log(entry)
    assert len(records.records) == 1
    return records.records.pop()


def test_the_default_template(records: Records) -> None:
    entry = logged(records, Logging().template, record())
    assert entry.getMessage() == '127.0.0.1:1234 "GET /a?b=c HTTP/1.1" 200 12 1.500ms 2.512ms abc'
    assert (entry.name, entry.levelname) == ("tests.access", "INFO")


def test_what_there_is_not_is_a_dash(records: Records) -> None:
    entry = record(client=None, status=0, ttfb=None, body_bytes=0)
    template = "{client} {status} {ttfb} {bytes} {header.x-none}"
    assert logged(records, template, entry).getMessage() == "- - - 0 -"


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (("::1", 80), "[::1]:80"),
        (("/run/x\n", None), r"/run/x\x0a"),
        (["1.1.1.1", 5], "1.1.1.1:5"),
        (("", None), "-"),
    ],
)
def test_clients(records: Records, client: Any, text: str) -> None:
    assert logged(records, "{client}", record(client=client)).getMessage() == text


def test_fields_of_the_request_and_literal_text(records: Records) -> None:
    template = "100% {{x}} %s {header.User-Agent}|{header.host}"
    assert logged(records, template, record()).getMessage() == r"100% {x} %s x \"y\" \x1b[31m\x0a|a"


def test_json_has_the_atoms_as_they_are(records: Records) -> None:
    template = "{client} {target} {status} {ttfb} {duration} {header.user-agent} {header.x-none}"
    entry = logged(records, template, record(target=b"/\xff"), "json")
    assert entry.fields == {  # type: ignore[attr-defined]
        "client": "127.0.0.1:1234", "target": "/\\xff", "status": 200, "ttfb": 0.0015, "duration": 0.002512,
        "header.user-agent": 'x "y" \x1b[31m\n', "header.x-none": None,
    }  # fmt: skip


def test_nothing_is_made_where_the_level_is_higher(records: Records) -> None:
    logger = logging.getLogger("tests.access")
    logger.setLevel("WARNING")
    AccessLog(logger, "text", "{client}").log(record(client=object()))  # reading it would raise
    assert not records.records


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{nope}", r"{nope} is not an atom: give one of client, method,.* header\.NAME"),
        ("{}", "{} is not an atom"),
        ("{header.a b}", "is not an atom"),
        ("{client", "a brace stands alone: write {{ for a plain one"),
        ("client}", "a brace stands alone: write }} for a plain one"),
        ("a\nb", "it has control characters"),
    ],
)
def test_wrong_templates(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"access_log_template: .*{message}"):
        AccessLog(logging.getLogger("tests.access"), "text", template)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (b"/plain", "/plain"),
        ("größe ñ 日本", "größe ñ 日本"), ("größe".encode(), "größe"), (b"\xff\xc3", r"\xff\xc3"),
        ("\x00\t\r\n\x1b\x7f\x80\x9f", r"\x00\x09\x0d\x0a\x1b\x7f\x80\x9f"), ('a"\\', r"a\"\\"),
        ("\u202e\u2028", r"\u202e\u2028"), ("\U000e0001", r"\U000e0001"), ("\ud800", r"\ud800"),
    ],
)  # fmt: skip
def test_escape(text: str | bytes, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.one_of(st.text(), st.binary()))
def test_what_is_escaped_is_printable_and_in_one_piece(text: str | bytes) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    assert '"' not in re.sub(r'\\["\\]', "", escaped)


@given(st.binary(max_size=50), st.binary(max_size=20), st.sampled_from(sorted(ATOMS)))
def test_no_request_forges_a_line(target: bytes, value: bytes, atom: str) -> None:
    handler, logger = Records(), logging.Logger("tests.forged")
    logger.addHandler(handler)
    entry = record(target=target, headers=[(b"a", value)])
    AccessLog(logger, "text", f"{{{atom}}} {{header.a}}").log(entry)
    assert handler.records[0].getMessage().isprintable()


@pytest.mark.parametrize("value", [b"a", b"0194-AF.x_y", b"x" * 128])
def test_a_well_formed_id_is_taken(value: bytes) -> None:
    assert request_id([(b"a", b"b"), (b"x-request-id", value)], b"x-request-id") == value.decode()


@pytest.mark.parametrize("value", [b"", b"a b", b"a\n", b"x" * 129, b"\xff", b"a/b", b'"'])
def test_an_ill_formed_id_is_not(value: bytes) -> None:
    made = request_id([(b"x-request-id", value), (b"x-request-id", b"second")], b"x-request-id")
    assert re.fullmatch(r"[0-9a-f]{16}", made)


def test_ids_are_made_anew() -> None:
    assert len({request_id([(b"x-request-id", b"taken")], None) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("settings", "path", "status", "draw", "expected"),
    [
        (Logging(access_log_sample=0.5), "/", 200, 0.4, True),
        (Logging(access_log_sample=0.5), "/", 200, 0.5, False),
        (Logging(access_log_sample=0.0), "/", 404, 0.0, False),
        (Logging(access_log_sample=0.0), "/", 500, 0.9, True),  # what failed is always logged
        (Logging(access_log_sample=0.0), "/", 0, 0.9, True),
        (Logging(access_log_exclude=("/healthz",)), "/healthz", 200, 0.0, False),
        (Logging(access_log_exclude=("/healthz",)), "/healthz", 500, 0.0, False),
        (Logging(access_log_exclude=("/healthz",)), "/healthz/x", 200, 0.9, True),
        (Logging(access_log_exclude=("/static/",)), "/static/x", 200, 0.0, False),
        (Logging(access_log_exclude=("/static/",)), "/static", 200, 0.9, True),
    ],
)
def test_which_requests_are_logged(
    settings: Logging, path: str, status: int, draw: float, expected: bool
) -> None:
    selects = selection(settings, lambda: draw)
    assert selects is not None
    assert selects(path, status) is expected


def test_without_a_sample_nothing_is_asked() -> None:
    assert selection(Logging()) is None
