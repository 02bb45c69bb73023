"""Logging: the standard library's, set up as text or JSON, or from a file of the user's own.

Loggers: `tidegate.error` (and `tidegate`) on stderr, `tidegate.access` on stdout. No other logger is touched.
"""

import json
import logging
import os
import re
import sys
import threading
import time
from configparser import Error as INIError
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO

from tidegate.config import ConfigError, Logging

TRACE: Final = 5
COLORS: Final = {
    "CRITICAL": "1;31",
    "ERROR": "31",
    "WARNING": "33",
    "INFO": "32",
    "DEBUG": "36",
    "TRACE": "34",
}
LINE: Final = {character: f"\\x{character:02x}" for character in (*range(0x20), *range(0x7F, 0xA0))}
BLOCK: Final = {character: escaped for character, escaped in LINE.items() if chr(character) not in "\n\t"}
ENCODE: Final = json.JSONEncoder(default=str).encode


class Timestamps:
    """Moments in UTC, as RFC 3339 §5.6 writes them: not local time, which the application may change (Django does)."""

    def __init__(self) -> None:
        self._last = (-1, "")

    def text(self, moment: float) -> str:
        """`2026-01-31T12:00:00.123Z`, of `moment` in seconds since the epoch."""
        second, fraction = divmod(int(moment * 1000), 1000)
        known, text = self._last
        if second != known:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._last = (second, text)
        return f"{text}.{fraction:03d}Z"


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO message`; a traceback follows on lines of its own.

    Control characters are escaped, so that nothing that came from the network drives the terminal.
    """

    def __init__(self, colors: bool = False) -> None:
        super().__init__()
        self._colors = colors
        self._timestamps = Timestamps()

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname
        if self._colors:
            level = f"\x1b[{COLORS.get(level, '0')}m{level}\x1b[0m"
        message = record.getMessage()
        if not message.isprintable():
            message = message.translate(LINE)
        line = f"{self._timestamps.text(record.created)} {level} {message}"
        for block in _blocks(self, record):
            line += "\n" + block.translate(BLOCK)
        return line


class JSONFormatter(logging.Formatter):
    """One JSON object per line: time (UTC, RFC 3339), level, logger, message, exception where there is one,
    and the record's `fields` where it has them: the access log's atoms."""

    timestamps = Timestamps()

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": self.timestamps.text(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= getattr(record, "fields", {})
        blocks = _blocks(self, record)
        if blocks:
            entry["exception"] = "\n".join(blocks)
        return json.dumps(entry, default=str).replace(
            "\x7f", "\\u007f"
        )  # ASCII, and DEL is all that JSON leaves


def set_up_logging(settings: Logging) -> None:
    """Configure the loggers as `settings` says. Raises ConfigError.

    A file (`--log-config`) decides everything: then level, format and colours are its own.
    """
    logging.addLevelName(TRACE, "TRACE")
    if settings.config is not None:
        _apply(settings.config, read_log_config(settings.config))
        return
    level = logging.getLevelName(settings.level.upper())
    for name, stream in (("tidegate", sys.stderr), ("tidegate.access", sys.stdout)):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(
            JSONFormatter() if settings.format == "json" else TextFormatter(wants_colors(settings, stream))
        )
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


def log_all_as_json() -> None:
    """In a process of ours: what no logger of the user's takes comes as JSON too.

    That is what loggers without a handler would write as text (warnings and worse), Python's warnings, and exceptions
    that nobody caught or could catch.
    """
    last = logging.StreamHandler(sys.stderr)
    last.setLevel(logging.WARNING)
    last.setFormatter(JSONFormatter())
    logging.lastResort = last
    logging.captureWarnings(True)
    warned = logging.getLogger("py.warnings")
    if not warned.handlers:  # it would be given one that does nothing
        warned.addHandler(last)
        warned.propagate = False
    error = logging.getLogger("tidegate.error")

    def uncaught(kind: Any, value: Any, traceback: Any) -> None:
        error.critical("An exception that nobody caught", exc_info=(kind, value, traceback))

    def uncaught_in_thread(arguments: Any) -> None:
        if arguments.exc_type is not SystemExit:
            name = "unknown" if arguments.thread is None else arguments.thread.name
            found = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
            error.error("An exception in thread %s", name, exc_info=found)

    def unraisable(found: Any) -> None:
        message = f"{found.err_msg or 'Exception ignored in'}: {found.object!r}"
        error.error("%s", message, exc_info=(found.exc_type, found.exc_value, found.exc_traceback))

    sys.excepthook = uncaught
    sys.unraisablehook = unraisable
    threading.excepthook = uncaught_in_thread


def logs_json() -> bool:
    """Whether the log is written as JSON: then nothing else is to be."""
    handlers = logging.getLogger("tidegate").handlers
    return any(isinstance(handler.formatter, JSONFormatter) for handler in handlers)


def log_traceback(message: str, traceback: str | None) -> None:
    """Log an error with a traceback that is text already."""
    logger = logging.getLogger("tidegate.error")
    record = logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), None)
    record.exc_text = traceback
    logger.handle(record)


def reopen_log_files() -> None:
    """Open the files that loggers write to anew: something has moved them away (logrotate(8))."""
    loggers = [logging.getLogger(name) for name in ("", *logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if isinstance(handler, logging.FileHandler):
            with handler.lock or nullcontext():
                if handler.stream is not None:
                    handler.stream.close()
                    handler.stream = handler._open()


def wants_colors(settings: Logging, stream: TextIO) -> bool:
    """As `--use-colors` says; else on a terminal, unless NO_COLOR is set (no-color.org)."""
    if settings.use_colors is not None:
        return settings.use_colors
    return stream.isatty() and not os.environ.get("NO_COLOR")


def read_log_config(file: str) -> dict[str, Any] | None:
    """What is in a --log-config file: a dictConfig, or None for the INI format. Raises ConfigError."""
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--log-config: can't read {file}: {reason}") from None
    suffix = path.suffix.lower()
    if suffix not in (".json", ".toml", ".yaml", ".yml"):
        return None
    try:
        settings = _parse(text, suffix)
    except ImportError:
        raise ConfigError(
            f"--log-config: {file} needs PyYAML, which is missing: pip install pyyaml, or write JSON or TOML"
        ) from None
    except ValueError as error:
        raise ConfigError(f"--log-config: {file} is not {suffix[1:].upper()}: {_one_line(error)}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"--log-config: {file} has no table: give the keys of logging.config.dictConfig")
    return settings


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    yaml = import_module("yaml")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def _apply(file: str, settings: dict[str, Any] | None) -> None:
    import logging.config  # here, since few need it and it takes half a megabyte

    try:
        if settings is None:
            logging.config.fileConfig(file, disable_existing_loggers=False)
        else:
            # The standard default would silence every logger made before now.
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **settings})
    except KeyError as error:
        raise ConfigError(f"--log-config: {file}: it has no {error}") from None
    except (ValueError, TypeError, AttributeError, ImportError, RuntimeError, OSError, INIError) as error:
        cause = f" ({_one_line(error.__cause__)})" if error.__cause__ else ""
        raise ConfigError(f"--log-config: {file}: {_one_line(error)}{cause}") from None


def _blocks(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The traceback and the stack that `record` carries."""
    if record.exc_info and not record.exc_text:
        record.exc_text = formatter.formatException(record.exc_info)
    return [
        block
        for block in (record.exc_text, record.stack_info and formatter.formatStack(record.stack_info))
        if block
    ]


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)) or type(error).__name__
