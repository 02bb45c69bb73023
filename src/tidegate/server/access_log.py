"""The access log: one line per complete exchange, made from a template of named atoms.

Whatever came from the network is escaped, so that nobody can forge a line or drive a terminal.
"""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from random import getrandbits, random
from typing import Any, Final

from tidegate.config import ConfigError, Logging

INFO: Final = logging.INFO
WELL_FORMED_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class AccessRecord:
    """What is known of an exchange once it is complete.

    `client` is the scope's; `target` and `headers` are as received; times are in seconds, from the request's
    head; `status` is 0 and `ttfb` None where no answer was begun; `body_bytes` counts the content sent.
    `session` is a WebSocket's, at its end: `close_code`, `messages_received`, `messages_sent`, `body_received`.
    """

    __slots__ = (
        "body_bytes",
        "client",
        "duration",
        "headers",
        "http_version",
        "method",
        "request_id",
        "session",
        "status",
        "target",
        "ttfb",
    )

    def __init__(
        self,
        client: Sequence[Any] | None,
        method: str,
        target: bytes,
        http_version: str,
        status: int,
        body_bytes: int,
        ttfb: float | None,
        duration: float,
        request_id: str,
        headers: Iterable[tuple[bytes, bytes]],
        session: Any = None,
    ) -> None:
        self.client = client
        self.method = method
        self.target = target
        self.http_version = http_version
        self.status = status
        self.body_bytes = body_bytes
        self.ttfb = ttfb
        self.duration = duration
        self.request_id = request_id
        self.headers = headers
        self.session = session


Getter = Callable[[AccessRecord], Any]

ATOMS: Final[dict[str, Getter]] = {
    "client": lambda record: _address(record.client),
    "method": lambda record: record.method,
    "target": lambda record: record.target,
    "version": lambda record: record.http_version,
    "status": lambda record: record.status or None,
    "bytes": lambda record: record.body_bytes,
    "ttfb": lambda record: record.ttfb,
    "duration": lambda record: record.duration,
    "request_id": lambda record: record.request_id,
    "bytes_received": lambda record: record.session and record.session.body_received,
    "close_code": lambda record: record.session and record.session.close_code,
    "messages_received": lambda record: record.session and record.session.messages_received,
    "messages_sent": lambda record: record.session and record.session.messages_sent,
}


class AccessLog:
    """Logs `AccessRecord`s to `logger`, at INFO.

    `template` is text with atoms in braces: those of ATOMS, and {header.NAME} for a request's field. With
    `format` "text" the message is the template filled in, escaped; with "json" the atoms it names are the
    attribute `fields` of the log record, as they are, for a JSON formatter to write. Raises ConfigError.
    """

    __slots__ = ("_getters", "_json", "_line", "_logger", "_names")

    def __init__(self, logger: logging.Logger, format: str, template: str) -> None:
        self._logger = logger
        self._json = format == "json"
        self._names, self._line = compile_template(template)
        suit = _for_json if self._json else _for_text
        self._getters = [suit(_getter(name)) for name in self._names]

    def log(self, record: AccessRecord) -> None:
        logger = self._logger
        if not logger.isEnabledFor(INFO):
            return
        values = tuple([get(record) for get in self._getters])
        message = "request" if self._json else self._line % values
        # Logger.info() would walk the stack for the caller's file and line, which say nothing here.
        entry = logger.makeRecord(logger.name, INFO, "(access)", 0, message, (), None)
        if self._json:
            entry.fields = dict(zip(self._names, values, strict=True))
        logger.handle(entry)


def selection(settings: Logging, draw: Callable[[], float] = random) -> Callable[[str, int], bool] | None:
    """Which requests are logged, by path and status; None for all.

    What failed (5xx, or 0 for no answer) is not left to the sample; a path that is excluded is never logged.
    """
    share = settings.access_log_sample
    paths = frozenset(settings.access_log_exclude)
    below = tuple(path for path in settings.access_log_exclude if path.endswith("/"))
    if share >= 1.0 and not paths:
        return None

    def selects(path: str, status: int) -> bool:
        if path in paths or path.startswith(below):
            return False
        return status == 0 or 500 <= status <= 599 or share >= 1.0 or draw() < share

    return selects


def request_id(headers: Iterable[tuple[bytes, bytes]], header_name: bytes | None) -> str:
    """The request's id: its field `header_name` (in lower case) where that is well-formed, else a new one."""
    if header_name is not None:
        for name, value in headers:
            if name == header_name:
                if WELL_FORMED_ID.fullmatch(value):
                    return value.decode("ascii")
                break
    return f"{getrandbits(64):016x}"


def escape(text: str | bytes) -> str:
    """`text` with what is not printable as \\xNN, \\uNNNN or \\UNNNNNNNN, and \\ before quote and backslash.

    Bytes are read as UTF-8; those that are not UTF-8 are written as \\xNN.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join([_escape_one(character) for character in text])


def _escape_one(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # an octet that is not UTF-8 (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _address(client: Sequence[Any] | None) -> str | None:
    if not client:
        return None
    host, port = str(client[0]), client[1]
    if not port:
        return host or None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def compile_template(template: str) -> tuple[list[str], str]:
    """The names of the atoms in `template`, and the template for the % operator. Raises ConfigError."""
    if escape(template).replace('\\"', '"').replace("\\\\", "\\") != template:
        raise ConfigError("access_log_template: it has control characters: take them out")
    names: list[str] = []
    line = ""
    for literal, atom in re.findall(r"([^{}]+)|(\{\{|\}\}|\{[^{}]*\}|[{}])", template):
        if literal:
            line += literal.replace("%", "%%")
        elif atom in ("{{", "}}"):
            line += atom[0]
        else:
            names.append(_checked(atom))
            line += "%s"
    return names, line


def _checked(atom: str) -> str:
    name = atom[1:-1]
    if len(atom) == 1:
        raise ConfigError(f"access_log_template: a brace stands alone: write {atom * 2} for a plain one")
    if name not in ATOMS and not re.fullmatch(r"header\.[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        known = ", ".join(ATOMS)
        raise ConfigError(f"access_log_template: {atom} is not an atom: give one of {known}, header.NAME")
    return name.lower()


def _getter(name: str) -> Getter:
    if name in ATOMS:
        return ATOMS[name]
    wanted = name.removeprefix("header.").encode()

    def field(record: AccessRecord) -> bytes | None:
        for name, value in record.headers:
            if name == wanted:
                return value
        return None

    return field


def _for_text(get: Getter) -> Getter:
    def text(record: AccessRecord) -> Any:
        value = get(record)
        if value is None:
            return "-"
        if isinstance(value, float):
            return f"{value * 1000:.3f}ms"
        return value if isinstance(value, int) else escape(value)

    return text


def _for_json(get: Getter) -> Getter:
    def plain(record: AccessRecord) -> Any:
        value = get(record)
        if isinstance(value, float):
            return round(value, 6)
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value

    return plain
