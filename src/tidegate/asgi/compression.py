"""Content codings (RFC 9110 §8.4): which one a client gets, of what, and what makes them. No I/O.

gzip is Python's own; br (RFC 7932) is the `brotli` package's, zstd (RFC 8878) Python's from 3.14 on and the
`backports.zstd` package's before. A package is imported when its coding is first asked for.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from tidegate.asgi.negotiation import weighted
from tidegate.asgi.preconditions import entity_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CODINGS = ("zstd", "br", "gzip")  # the server's preference, where the client has none
SUFFIXES = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}  # of files that hold a representation already encoded
MODULES = {
    "zstd": ("compression.zstd", "backports.zstd"),
    "br": ("brotli", "brotlicffi"),
    "gzip": ("zlib",),
}
LEVELS = {"zstd": range(1, 20), "br": range(12), "gzip": range(1, 10)}
# Of these none costs much more than the others: what a page costs to compress while its client waits.
DEFAULT_LEVELS = {"zstd": 3, "br": 4, "gzip": 6}
GZIP_WBITS = 16 + zlib.MAX_WBITS
ZSTD_WINDOW_LOG = 20  # RFC 9659 §3 lets a client's decoder have 2^23 octets; we need not fill them
BROTLI_WINDOW_LOG = 19
MAX_REMEMBERED = 256  # octets of an Accept-Encoding field whose ranking is kept

COMPRESSIBLE_TYPES = (
    "text/*",
    "*+json",
    "*+text",
    "*+xml",
    "application/ecmascript",
    "application/javascript",
    "application/json",
    "application/jsonl",
    "application/manifest+json",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/x-icon",
)
EVENT_STREAM = "text/event-stream"
# Digests of octets that compression changes (RFC 9530 §2, §3; RFC 3230; RFC 2616 §14.15).
DIGESTS = (b"content-digest", b"content-md5", b"digest", b"repr-digest")
UNTOUCHED = frozenset([b"content-encoding", b"content-range", *DIGESTS])


class MissingCodec(ImportError):
    """The package that a coding needs is not installed."""


class Compressor(Protocol):
    """One body being encoded. Not for two threads at once."""

    def compress(self, data: bytes) -> bytes:
        """Take `data` in; give what octets of the encoded body are ready, often none."""

    def flush(self) -> bytes:
        """Give octets such that all that was taken in so far can be decoded."""

    def finish(self) -> bytes:
        """End the body."""


def codec(coding: str) -> Any:
    """The module that makes `coding`. Raises MissingCodec; ValueError for a coding that is none of CODINGS."""
    if coding not in MODULES:
        raise ValueError(f"Unknown content coding {coding!r}: one of {', '.join(CODINGS)} is meant.")
    for name in MODULES[coding]:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingCodec(
        f"The content coding {coding} needs the package {MODULES[coding][-1 if coding == 'zstd' else 0]}: "
        "pip install 'tidegate[compression]'"
    )


def available(codings: Iterable[str] = CODINGS) -> tuple[str, ...]:
    """Those of `codings` whose package is installed."""
    found = []
    for coding in codings:
        try:
            codec(coding)
        except MissingCodec:
            continue
        found.append(coding)
    return tuple(found)


def check_level(coding: str, level: int | None) -> int:
    """`level`, or the default of `coding`. Raises ValueError for a level that it does not have."""
    if level is None:
        return DEFAULT_LEVELS[coding]
    if level not in LEVELS[coding]:
        levels = LEVELS[coding]
        raise ValueError(f"The levels of {coding} are {levels[0]} to {levels[-1]}, not {level}.")
    return level


@lru_cache(maxsize=256)
def _ranked(accept_encoding: str, offered: tuple[str, ...]) -> tuple[str, ...]:
    members = weighted([accept_encoding])
    if "x-gzip" in members:  # RFC 9110 §8.4.1.3
        members.setdefault("gzip", members["x-gzip"])
    others = members.get("*", 0.0)
    weights = {coding: members.get(coding, others) for coding in offered}
    # §12.5.3: what is not encoded is acceptable too; preferred only by a weight of its own.
    identity = members.get("identity", 0.0)
    taken = [coding for coding in offered if weights[coding] > 0 and weights[coding] >= identity]
    return tuple(sorted(taken, key=weights.__getitem__, reverse=True))


def ranked(accept_encoding: str | None, offered: tuple[str, ...] = CODINGS) -> tuple[str, ...]:
    """Those of `offered` that the client prefers to no coding, best first (RFC 9110 §12.5.3, §12.4.2).

    accept_encoding: the field's value, several lines joined by commas; None without the field: then nobody knows
    what the client can decode. Of one weight, the earlier offered is better.
    """
    if not accept_encoding:
        return ()
    if len(accept_encoding) > MAX_REMEMBERED:
        return _ranked.__wrapped__(accept_encoding, offered)
    return _ranked(accept_encoding, offered)


def negotiate(accept_encoding: str | None, offered: tuple[str, ...] = CODINGS) -> str:
    """The best of `offered` for the client, or "identity".

    Never 406: a client that refuses identity too is still sent it (RFC 9110 §12.5.3 asks for no more).
    """
    found = ranked(accept_encoding, offered)
    return found[0] if found else "identity"


def field_value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The value of a list-based field, its lines joined (RFC 9110 §5.3); None if there is none."""
    lines = [value for key, value in headers if key == name]
    return b", ".join(lines).decode("latin-1") if lines else None


def bare_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def matches_type(content_type: str, patterns: Iterable[str]) -> bool:
    """Whether the media type, lower-cased and bare, is one of `patterns`: whole, `text/*`, or `*+json`."""
    for pattern in patterns:
        if pattern.endswith("/*"):
            if content_type.startswith(pattern[:-1]):
                return True
        elif pattern.startswith("*+"):
            if content_type.endswith(pattern[1:]):
                return True
        elif content_type == pattern:
            return True
    return False


def eligible(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    types: Sequence[str] = COMPRESSIBLE_TYPES,
    *,
    event_streams: bool = False,
) -> bool:
    """Whether a response with these header fields, names lower-cased, may be encoded, its size apart.

    Not: what is encoded already, a part of a representation (§14), what has no content (§6.4.1), what a digest
    is sent of, `Cache-Control: no-transform` (RFC 9111 §5.2.2.6), event streams unless `event_streams`.
    """
    if status < 200 or status in (204, 205, 206, 304):
        return False
    content_type = ""
    for name, value in headers:
        if name == b"content-type":
            content_type = bare_type(value.decode("latin-1"))
        elif name in UNTOUCHED or (name == b"cache-control" and no_transform(value)):
            return False
    if content_type == EVENT_STREAM:
        return event_streams
    return matches_type(content_type, types)


def no_transform(cache_control: bytes) -> bool:
    return any(directive.strip() == b"no-transform" for directive in cache_control.lower().split(b","))


def weaken_etag(value: bytes) -> bytes:
    """The tag of an encoding made on the way: not the same octets each time (RFC 9110 §8.8.1, §8.8.3.3)."""
    return value if value.startswith(b"W/") else b"W/" + value


def vary_on_encoding(headers: list[tuple[bytes, bytes]]) -> None:
    """Say in place that other clients get other octets (RFC 9110 §12.5.5)."""
    members = {
        member.strip().lower() for name, value in headers if name == b"vary" for member in value.split(b",")
    }
    if not members & {b"*", b"accept-encoding"}:
        headers.append((b"vary", b"Accept-Encoding"))


def not_modified_headers(
    headers: Iterable[tuple[bytes, bytes]], if_none_match: str | None
) -> list[tuple[bytes, bytes]]:
    """The header fields of a 304, made those of the answer that the client has (RFC 9110 §15.4.5): of the encoded one
    where it asks for that by its weak tag. `if_none_match`: that field's value, if any."""
    kept = list(headers)
    known = entity_tags(if_none_match or "")
    for index, (name, value) in enumerate(kept):
        if name == b"etag" and weaken_etag(value).decode("latin-1") in known:
            kept[index] = (name, weaken_etag(value))
            vary_on_encoding(kept)
            break
    return kept


def encoded_headers(
    headers: Iterable[tuple[bytes, bytes]], coding: str, length: int | None
) -> list[tuple[bytes, bytes]]:
    """The header fields of an eligible response, made those of its encoded form; `length` in octets if known."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        # Ranges would be of the encoded octets, which another request might not get again (§14.2).
        if name in (b"content-length", b"accept-ranges"):
            continue
        kept.append((name, weaken_etag(value) if name == b"etag" else value))
    kept.append((b"content-encoding", coding.encode("ascii")))
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    vary_on_encoding(kept)
    return kept


class GzipCompressor:
    """RFC 1952; no time and no name in its header, so that the same body gives the same octets."""

    __slots__ = ("_zlib",)

    def __init__(self, level: int) -> None:
        self._zlib = zlib.compressobj(level, zlib.DEFLATED, GZIP_WBITS)

    def compress(self, data: bytes) -> bytes:
        return self._zlib.compress(data)

    def flush(self) -> bytes:
        return self._zlib.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._zlib.flush(zlib.Z_FINISH)


class BrotliCompressor:
    """RFC 7932."""

    __slots__ = ("_brotli",)

    def __init__(self, module: Any, level: int) -> None:
        self._brotli = module.Compressor(quality=level, lgwin=BROTLI_WINDOW_LOG)

    def compress(self, data: bytes) -> bytes:
        octets: bytes = self._brotli.process(data)
        return octets

    def flush(self) -> bytes:
        octets: bytes = self._brotli.flush()
        return octets

    def finish(self) -> bytes:
        octets: bytes = self._brotli.finish()
        return octets


class ZstdCompressor:
    """RFC 8878, in one frame whose window any client can hold (RFC 9659)."""

    __slots__ = ("_block", "_frame", "_zstd")

    def __init__(self, module: Any, level: int, size: int | None) -> None:
        parameter = module.CompressionParameter
        options = {parameter.compression_level: level, parameter.window_log: ZSTD_WINDOW_LOG}
        self._zstd = module.ZstdCompressor(options=options)
        self._block, self._frame = self._zstd.FLUSH_BLOCK, self._zstd.FLUSH_FRAME
        if size is not None:
            self._zstd.set_pledged_input_size(size)

    def compress(self, data: bytes) -> bytes:
        octets: bytes = self._zstd.compress(data)
        return octets

    def flush(self) -> bytes:
        octets: bytes = self._zstd.flush(self._block)
        return octets

    def finish(self) -> bytes:
        octets: bytes = self._zstd.flush(self._frame)
        return octets


def compressor(coding: str, level: int | None = None) -> Compressor:
    """What encodes one body. Raises MissingCodec, ValueError (no such coding or level)."""
    module = codec(coding)
    level = check_level(coding, level)
    if coding == "gzip":
        return GzipCompressor(level)
    if coding == "br":
        return BrotliCompressor(module, level)
    return ZstdCompressor(module, level, None)


def compress(coding: str, data: bytes, level: int | None = None) -> bytes:
    """A whole body encoded. Raises what `compressor` raises."""
    level = check_level(coding, level)
    if coding == "zstd":  # a frame that tells its size lets the decoder allocate once (RFC 8878 §3.1.1.1)
        one: Compressor = ZstdCompressor(codec(coding), level, len(data))
    else:
        one = compressor(coding, level)
    return one.compress(data) + one.finish()
