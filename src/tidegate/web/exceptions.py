"""The exceptions that become answers."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KNOWN_STATUSES = frozenset(http.HTTPStatus)


class HTTPException(Exception):
    """Answer with `status_code`; `detail` defaults to its reason phrase (RFC 9110 §15)."""

    def __init__(
        self, status_code: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = status_code
        if detail is None:
            detail = http.HTTPStatus(status_code).phrase if status_code in KNOWN_STATUSES else ""
        self.detail = detail
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(status_code={self.status_code!r}, detail={self.detail!r})"


class WebSocketException(Exception):
    """Close the WebSocket with `code` and `reason` (RFC 6455 §7.4)."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        self.code = code
        self.reason = reason or ""

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(code={self.code!r}, reason={self.reason!r})"


class StarletteDeprecationWarning(UserWarning):
    """What warns of deprecated parts; named as users' warning filters name it."""
