"""tidegate.cli.logging: what is written, where, and in which form."""

import io
import json
import logging
import logging.config
import re
import sys
import time
from pathlib import Path

import pytest

from tidegate.cli.logging import JSONFormatter, TextFormatter, read_log_config, set_up_logging, wants_colors
from tidegate.config import ConfigError, Logging
from tidegate.server.access_log import AccessLog, AccessRecord


def raised() -> logging.LogRecord:
    record = logging.LogRecord(
        "tidegate.error", logging.ERROR, "", 0, "request %s failed", ("/\n\x1b",), None
    )
    try:
        raise ValueError("bad \x1b[2J\x9b value")
    except ValueError:
        record.exc_info = sys.exc_info()
    return record


def test_text() -> None:
    formatter = TextFormatter()
    lines = formatter.format(raised()).split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR request /\\x0a\\x1b failed", lines[0])
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: bad \x1b[2J\x9b value"
    later = raised()
    later.created += 3600
    later.exc_info, later.stack_info = None, "Stack (most recent call last):\n  here"
    assert formatter.format(later).endswith("failed\nStack (most recent call last):\n  here")


def test_the_time_is_the_same_wherever_the_application_says_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django sets TZ from its TIME_ZONE."""
    formatters = (TextFormatter(), JSONFormatter())
    try:
        for zone in ("UTC", "America/Chicago", "Asia/Kolkata"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            for created, expected in (
                (1769860800.125, "2026-01-31T12:00:00.125Z"),
                (0, "1970-01-01T00:00:00.000Z"),
            ):
                record = logging.makeLogRecord({"created": created, "levelname": "INFO", "msg": "hello"})
                text, entry = (formatter.format(record) for formatter in formatters)
                assert text == f"{expected} INFO hello"
                assert json.loads(entry)["time"] == expected
    finally:
        monkeypatch.undo()
        time.tzset()


def test_colors_are_around_the_level_only() -> None:
    record = logging.LogRecord("tidegate", logging.INFO, "", 0, "hello", (), None)
    assert TextFormatter(colors=True).format(record).endswith(" \x1b[32mINFO\x1b[0m hello")
    record.levelname = "NOTICE"
    assert " \x1b[0mNOTICE\x1b[0m " in TextFormatter(colors=True).format(record)


def test_json() -> None:
    line = JSONFormatter().format(raised())
    assert line.isprintable()
    assert line.isascii()
    entry = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    assert (entry["level"], entry["logger"], entry["message"]) == (
        "error",
        "tidegate.error",
        "request /\n\x1b failed",
    )
    assert entry["exception"].endswith("ValueError: bad \x1b[2J\x9b value")


def test_json_of_the_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Logging(format="json", template="{status} {target}")
    set_up_logging(settings)
    log = AccessLog(logging.getLogger("tidegate.access"), settings.format, settings.template)
    log.log(AccessRecord(None, "GET", b"/\x7f\xc2\x9b\n", "1.1", 200, 0, None, 0.1, "id", ()))
    out = capsys.readouterr().out
    assert out.strip().isprintable()
    entry = json.loads(out)
    assert (entry["status"], entry["target"], entry["message"]) == (200, "/\x7f\x9b\n", "request")


def test_errors_go_to_stderr_and_the_access_log_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(Logging())
    set_up_logging(Logging())  # again: nothing is written twice
    logging.getLogger("tidegate.error").warning("careful")
    logging.getLogger("tidegate.access").info("GET")
    logging.getLogger("tidegate").debug("not shown")
    out, err = capsys.readouterr()
    assert re.fullmatch(r"\S+ INFO GET\n", out)
    assert re.fullmatch(r"\S+ WARNING careful\n", err)


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(Logging(level="error"))
    logging.getLogger("tidegate.error").warning("not shown")
    logging.getLogger("tidegate.access").info("not shown")
    set_up_logging(Logging(level="trace"))
    logging.getLogger("tidegate.error").log(5, "shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" TRACE shown\n")


def test_colors_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colors(Logging(), Terminal())
    assert not wants_colors(Logging(), io.StringIO())
    assert wants_colors(Logging(use_colors=True), io.StringIO())
    assert not wants_colors(Logging(use_colors=False), Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colors(Logging(), Terminal())


CONFIGS = {
    "log.json": """{"formatters": {"f": {"()": "tidegate.cli.logging.JSONFormatter"}},
        "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f", "stream": "ext://sys.stdout"}},
        "loggers": {"tidegate": {"handlers": ["h"], "level": "DEBUG", "propagate": false}}}""",
    "log.toml": """version = 1
        formatters.f."()" = "tidegate.cli.logging.JSONFormatter"
        handlers.h = { class = "logging.StreamHandler", formatter = "f", stream = "ext://sys.stdout" }
        loggers.tidegate = { handlers = ["h"], level = "DEBUG", propagate = false }""",
    "log.yaml": """
formatters: {f: {"()": tidegate.cli.logging.JSONFormatter}}
handlers: {h: {class: logging.StreamHandler, formatter: f, stream: "ext://sys.stdout"}}
loggers: {tidegate: {handlers: [h], level: DEBUG, propagate: false}}""",
    "log.ini": """
[loggers]
keys=root,tidegate
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
handlers=
[logger_tidegate]
handlers=h
qualname=tidegate
level=DEBUG
propagate=0
[handler_h]
class=StreamHandler
formatter=f
args=(sys.stdout,)
[formatter_f]
class=tidegate.cli.logging.JSONFormatter
""",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_decides(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logging.getLogger("tidegate.error").disabled = False
        (tmp_path / name).write_text(CONFIGS[name])
        set_up_logging(Logging(config=str(tmp_path / name), level="critical"))
        logging.getLogger("tidegate.error").debug("hello")
        assert json.loads(capsys.readouterr().out)["message"] == "hello"
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.ini", None, "can't read .*none.ini: No such file or directory"),
        ("bytes.json", b"\xff", "can't read .*bytes.json: it is not UTF-8"),
        ("bad.json", b"{", "bad.json is not JSON: Expecting property name"),
        ("bad.toml", b"a", "bad.toml is not TOML: Expected '=' after a key"),
        ("bad.yaml", b"a: [", "bad.yaml is not YAML: "),
        ("list.yml", b"- a", "list.yml has no table: give the keys of logging.config.dictConfig"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"--log-config: .*{message}") as caught:
        read_log_config(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "wrong.json",
            '{"handlers": {"h": {"class": "no.Such"}}}',
            "Unable to configure handler 'h' \\(Cannot resolve 'no.Such'",
        ),
        ("wrong.ini", "[loggers]\n", "it has no 'formatters'"),
        ("version.json", '{"version": 7}', "Unsupported version: 7"),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=f"--log-config: .*{name}: .*{message}") as caught:
        set_up_logging(Logging(config=str(tmp_path / name)))
    assert "\n" not in str(caught.value)
