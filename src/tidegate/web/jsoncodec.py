"""JSON (RFC 8259) behind one small interface, so that an application chooses who encodes and decodes.

The codec of the running request is a context variable: `JSONResponse` renders when it is made, which may be
anywhere in the
application's code, its threads included.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any, Protocol

try:
    import msgspec.json as msgspec_json
except ImportError:  # pragma: no cover - msgspec comes with tidegate[web]
    msgspec_json = None  # type: ignore[assignment]

__all__ = ["JSONCodec", "MsgspecCodec", "OrjsonCodec", "StandardCodec", "current_codec", "default_codec"]


class JSONCodec(Protocol):
    """`encode` raises ValueError or TypeError for what JSON cannot say; `decode` raises
    json.JSONDecodeError."""

    def encode(self, value: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> Any: ...


class StandardCodec:
    """The standard library's json: compact, UTF-8, no NaN."""

    def encode(self, value: Any, /) -> bytes:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, indent=None, separators=(",", ":")
        ).encode("utf-8")

    def decode(self, data: bytes, /) -> Any:
        try:
            return json.loads(data)
        except RecursionError:
            raise json.JSONDecodeError("Too deeply nested", "", 0) from None


class MsgspecCodec:
    """msgspec's: about ten times as fast; also encodes dataclasses, dates, UUIDs, enums. NaN and infinity
    become null.

    What msgspec refuses (subclasses of str or int, say; UTF-16 text when decoding) is left to the standard
    library.
    """

    def encode(self, value: Any, /) -> bytes:
        try:
            return msgspec_json.encode(value)
        except (TypeError, ValueError):
            return _standard.encode(value)

    def decode(self, data: bytes, /) -> Any:
        try:
            return msgspec_json.decode(data)
        except (ValueError, RecursionError):
            return _standard.decode(data)


class OrjsonCodec:
    """orjson's, if it is installed."""

    def __init__(self) -> None:
        try:
            import orjson  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise RuntimeError("OrjsonCodec needs the `orjson` package: pip install orjson") from None
        self.encode = orjson.dumps
        self.decode = orjson.loads


_standard = StandardCodec()
default_codec: JSONCodec = _standard if msgspec_json is None else MsgspecCodec()
current_codec: ContextVar[JSONCodec] = ContextVar("tidegate.web.json", default=default_codec)
