"""Values as text, for the debug page: bounded, never raising, and without secrets, as far as those can be told by
their names and their looks."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

from tidegate.web.datastructures import Secret
from tidegate.web.requests import HTTPConnection

MASK = "********"
BRACKETS: dict[type[Any], tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}")}
MAX_TEXT = 400  # characters of one value
MAX_ITEMS = 20  # of one container
MAX_DEPTH = 3
MAX_SECRETS = 500
MIN_SECRET = 5  # characters: shorter ones would be found in everything

NAME = (
    r"pass(?:word|wd|phrase|code)|passw|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|encryption[_-]?key|"
    r"signing[_-]?key|credential|auth(?!or(?!i))|bearer|cookie|session|csrf|xsrf|signature|jwt|otp|cvv|ssn|card[_-]?number|salt"
)
SECRET_NAME = re.compile(NAME, re.IGNORECASE)
# `name=value` within a text: of a dataclass's repr, a query, a DSN, a message.
ASSIGNED = re.compile(
    rf"""((?<![\w-])["']?[\w-]{{0,40}}?(?:{NAME})[\w-]{{0,40}}["']?\s{{0,3}}[=:]\s{{0,3}}[bru]{{0,2}})"""
    r"""("[^"\n]*"?|'[^'\n]*'?|[^\s,;&)\]}'"<>]+)""",
    re.IGNORECASE,
)
# In source only what is written out: `token = request.headers["x"]` says how, not what.
ASSIGNED_LITERAL = re.compile(
    rf"""((?<![\w-])["']?[\w-]{{0,40}}?(?:{NAME})[\w-]{{0,40}}["']?\]?\s{{0,3}}(?:=|:)\s{{0,3}}[bruf]{{0,2}})("[^"]+"?|'[^']+'?)""",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(
    r"""
      eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?                          # JWT (RFC 7519)
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----.*                          # PEM (RFC 7468)
    | (?<=://)[^/\s:@"']*:[^/\s@"']+(?=@)                           # userinfo (RFC 3986 §3.2.1)
    | (?<=[Bb]asic\ )[\w+/=-]{6,}                                   # RFC 7617
    | (?<=[Bb]earer\ )[\w.~+/=-]{6,}                                # RFC 6750
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                                 # AWS
    | \b(?:gh[opsur]_|github_pat_|glpat-|xox[abprs]-|[spr]k_(?:live|test)_|sk-|AIza)[\w-]{10,}
    | \$(?:2[aby]|argon2\w{1,2}|6|5|1)\$[^\s'"]{8,}                 # password hashes
    """,
    re.VERBOSE | re.DOTALL,
)


def is_secret_name(name: object) -> bool:
    if isinstance(name, bytes):
        name = name[:100].decode("latin-1")
    return isinstance(name, str) and SECRET_NAME.search(name[:100]) is not None


class Masker:
    """Shows values. What it has masked by its name it remembers, to be masked wherever else it stands."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()

    def remember(self, value: object) -> None:
        if isinstance(value, Secret):
            value = str(value)
        elif isinstance(value, (bytes, bytearray)):
            value = bytes(value[:4096]).decode("latin-1")
        if isinstance(value, str) and MIN_SECRET <= len(value) <= 4096 and len(self.secrets) < MAX_SECRETS:
            self.secrets.add(value)

    def clean(self, text: str) -> str:
        """`text` without what looks like a secret."""
        return ASSIGNED.sub(rf"\1{MASK}", SECRET_VALUE.sub(MASK, text))

    def clean_source(self, line: str) -> str:
        return ASSIGNED_LITERAL.sub(rf"\1{MASK}", SECRET_VALUE.sub(MASK, line))

    def finish(self, text: str) -> str:
        """`text` without any of the remembered values: to be called last, when all are known."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, MASK)
            escaped = repr(secret)[1:-1]
            if escaped in text:
                text = text.replace(escaped, MASK)
        return text

    def named(self, name: object, value: object) -> str:
        """The value of a variable, key or field of this name."""
        if is_secret_name(name):
            self._remember_all(value)
            return MASK
        return self.show(value)

    def _remember_all(self, value: object) -> None:
        try:
            if isinstance(value, Mapping):
                for item in islice(value.values(), MAX_ITEMS):
                    self.remember(item)
            elif isinstance(value, (list, tuple, set, frozenset)):
                for item in islice(value, MAX_ITEMS):
                    self.remember(item)
            else:
                self.remember(value)
        except Exception:
            return  # a mapping of somebody's own that cannot be read is not shown either

    def show(self, value: object, depth: int = MAX_DEPTH) -> str:
        try:
            return self._show(value, depth)
        except Exception as error:
            return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"

    def _show(self, value: Any, depth: int) -> str:
        if isinstance(value, Secret):
            self.remember(value)
            return repr(value)
        if isinstance(value, str):
            shown = self.clean(repr(str.__str__(value[:MAX_TEXT])))
            return shown if len(value) <= MAX_TEXT else f"{shown}... ({len(value)} characters)"
        if isinstance(value, (bytes, bytearray, memoryview)):
            size = value.nbytes if isinstance(value, memoryview) else len(value)
            start = value.tobytes()[:MAX_TEXT] if isinstance(value, memoryview) else bytes(value[:MAX_TEXT])
            shown = self.clean(repr(start))
            return shown if size <= MAX_TEXT else f"{shown}... ({size} octets)"
        if isinstance(value, int) and value.bit_length() > 1000:
            return f"<int of {value.bit_length()} bits>"
        if isinstance(value, HTTPConnection):
            return f"<{type(value).__name__} {self.clean(str(value.scope.get('path', ''))[:MAX_TEXT])!r}>"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            return self._items(value, depth)
        text = repr(value)
        cut = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
        return self.clean(cut)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> str:
        name = "" if type(value) is dict else type(value).__name__
        if depth == 0 and len(value):
            inside = "..."
        else:
            shown = []
            for key, item in islice(value.items(), MAX_ITEMS):
                secret = is_secret_name(key)
                if secret:
                    self._remember_all(item)
                shown.append(f"{self.show(key, 0)}: {MASK if secret else self.show(item, depth - 1)}")
            if len(value) > MAX_ITEMS:
                shown.append(f"... ({len(value)} items)")
            inside = ", ".join(shown)
        return f"{name}({{{inside}}})" if name else f"{{{inside}}}"

    def _items(self, value: Any, depth: int) -> str:
        kind: type[Any] = type(value)
        opening, closing = BRACKETS.get(kind) or (f"{kind.__name__}([", "])")
        if depth == 0 and len(value):
            return f"{opening}...{closing}"
        if isinstance(value, tuple) and len(value) == 2 and is_secret_name(value[0]):
            # A header field, or an item of a mapping.
            self._remember_all(value[1])
            return f"{opening}{self.show(value[0], 0)}, {MASK}{closing}"
        shown = [self.show(item, depth - 1) for item in islice(value, MAX_ITEMS)]
        if len(value) > MAX_ITEMS:
            shown.append(f"... ({len(value)} items)")
        return f"{opening}{', '.join(shown)}{closing}"
