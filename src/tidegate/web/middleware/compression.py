"""Compresses responses by zstd, br or gzip, whichever the client likes best (RFC 9110 §8.4, §12.5.3)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio.to_thread

from tidegate.asgi.compression import (
    CODINGS,
    COMPRESSIBLE_TYPES,
    EVENT_STREAM,
    available,
    bare_type,
    check_level,
    codec,
    compress,
    compressor,
    eligible,
    encoded_headers,
    field_value,
    not_modified_headers,
    ranked,
    vary_on_encoding,
)
from tidegate.web.concurrency import in_file_thread
from tidegate.web.middleware.gzip import compression_limiter
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidegate.asgi.compression import Compressor

READ_SIZE = 64 * 1024


class CompressionMiddleware:
    """Encode bodies of `minimum_size` octets and more whose media type is among `types`.

    codings: those offered, best first; by default all whose packages are installed. levels: of each coding.
    thread_minimum_size: octets; longer pieces are compressed in a thread. event_streams: compress
    text/event-stream as well. Raises MissingCodec for a coding without its package, ValueError for an unknown
    one, or a level that it lacks.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        codings: Sequence[str] | None = None,
        minimum_size: int = 500,
        levels: Mapping[str, int] | None = None,
        types: Sequence[str] = COMPRESSIBLE_TYPES,
        thread_minimum_size: int = 128 * 1024,
        event_streams: bool = False,
    ) -> None:
        self.app = app
        self.codings = available() if codings is None else tuple(codings)
        for coding in self.codings:
            codec(coding)
        self.minimum_size = minimum_size
        self.levels = {coding: check_level(coding, (levels or {}).get(coding)) for coding in CODINGS}
        self.types = tuple(types)
        self.thread_minimum_size = thread_minimum_size
        self.event_streams = event_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, CompressedResponse(self, scope, send))


class CompressedResponse:
    """The `send` of one request. The response's start is held until its first octets tell its size."""

    def __init__(self, settings: CompressionMiddleware, scope: Scope, send: Send) -> None:
        self.settings = settings
        self.scope = scope
        self.send = send
        self.start: Message | None = None  # held
        self.coding = ""
        self.encoder: Compressor | None = None
        self.flushing = False

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            await self._started(message)
        elif self.start is not None and kind in FIRST:
            start, self.start = self.start, None
            await FIRST[kind](self, start, message)
        elif self.encoder is not None and kind == "http.response.body":
            await self._piece(message)
        elif self.encoder is not None and kind == "http.response.zerocopysend":
            await self._descriptor(message)
        else:
            await self.send(message)

    async def _started(self, message: Message) -> None:
        settings = self.settings
        headers = list(message.get("headers", ()))
        if message["status"] == 304:
            known = field_value(self.scope["headers"], b"if-none-match")
            message = {**message, "headers": not_modified_headers(headers, known)}
        elif eligible(message["status"], headers, settings.types, event_streams=settings.event_streams):
            choices = ranked(field_value(self.scope["headers"], b"accept-encoding"), settings.codings)
            self.coding = choices[0] if choices else ""
            self.start = {**message, "headers": headers}
            content_type = field_value(headers, b"content-type") or ""
            if bare_type(content_type) == EVENT_STREAM:  # endless: its client waits for the head alone
                start, self.start = self.start, None
                await self._begin(start, None)
            return
        await self.send(message)

    def _length(self, start: Message) -> int | None:
        length = field_value(start["headers"], b"content-length")
        return int(length) if length is not None and length.isdigit() else None

    async def _first_body(self, start: Message, message: Message) -> None:
        body, more_body = message.get("body", b""), message.get("more_body", False)
        length = self._length(start)
        heading = self.scope["method"] == "HEAD"
        # An answer to HEAD that tells no size by either is left as it is: only GET's content could (RFC 9110 §9.3.2).
        size = length if length is not None else None if more_body else len(body)
        if size is not None and size < self.settings.minimum_size:
            await self.send(start)
            await self.send(message)
        elif heading:
            # What GET would get (RFC 9110 §9.3.2); how long that is, only GET can tell (§8.6).
            start["headers"] = self._headers(start, None)
            await self.send(start)
            await self.send(message)
        elif more_body or start.get("trailers", False) or not self.coding:
            await self._begin(start, length)
            await self._piece(message) if self.encoder is not None else await self.send(message)
        else:
            encoded = await self._run(len(body), lambda: self._whole(bytes(body)))
            start["headers"] = self._headers(start, len(encoded))
            await self.send(start)
            await self.send({**message, "body": encoded})

    def _whole(self, body: bytes) -> bytes:
        return compress(self.coding, body, self.settings.levels[self.coding])

    async def _first_path(self, start: Message, message: Message) -> None:
        """A file by its path: read here if it is to be encoded, else left to the server."""
        length = self._length(start)
        if length is None:
            length = (await in_file_thread(os.stat, message["path"])).st_size
        if length < self.settings.minimum_size:
            await self.send(start)
            await self.send(message)
            return
        file = await in_file_thread(open, message["path"], "rb") if self.coding else None
        try:
            await self._begin(start, length)
            if file is None:
                await self.send(message)
                return
            while piece := await in_file_thread(file.read, READ_SIZE):
                await self._piece({"type": "http.response.body", "body": piece, "more_body": True})
            await self._piece({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if file is not None:
                file.close()

    async def _first_descriptor(self, start: Message, message: Message) -> None:
        """A file by its descriptor: the application has chosen that no octet of it passes here."""
        await self.send(start)
        await self.send(message)

    async def _descriptor(self, message: Message) -> None:
        """A file's octets in a body that is being encoded."""
        file, offset, left = message["file"], message.get("offset"), message.get("count")
        descriptor = file if isinstance(file, int) else file.fileno()
        if offset is not None:
            await in_file_thread(os.lseek, descriptor, offset, os.SEEK_SET)
        while left is None or left > 0:
            wanted = READ_SIZE if left is None else min(READ_SIZE, left)
            piece = await in_file_thread(os.read, descriptor, wanted)
            if not piece:
                break
            left = None if left is None else left - len(piece)
            await self._piece({"type": "http.response.body", "body": piece, "more_body": True})
        if not message.get("more_body", False):
            await self._piece({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self, start: Message, length: int | None) -> list[tuple[bytes, bytes]]:
        if self.coding:
            return encoded_headers(start["headers"], self.coding, length)
        headers: list[tuple[bytes, bytes]] = start["headers"]
        vary_on_encoding(headers)
        return headers

    async def _begin(self, start: Message, length: int | None) -> None:
        start["headers"] = self._headers(start, None)
        if self.coding:
            self.encoder = compressor(self.coding, self.settings.levels[self.coding])
            # A body whose length is known is a whole one in pieces; any other may be made while it is sent.
            self.flushing = length is None
        await self.send(start)

    async def _piece(self, message: Message) -> None:
        body, more_body = message.get("body", b""), message.get("more_body", False)
        encoded = await self._run(len(body), lambda: self._encode(bytes(body), more_body))
        if encoded or not more_body:
            await self.send({**message, "type": "http.response.body", "body": encoded})

    def _encode(self, body: bytes, more_body: bool) -> bytes:
        encoder = self.encoder
        assert encoder is not None
        encoded = encoder.compress(body) if body else b""
        if not more_body:
            return encoded + encoder.finish()
        return encoded + encoder.flush() if self.flushing and body else encoded

    async def _run(self, size: int, work: Callable[[], bytes]) -> bytes:
        if size < self.settings.thread_minimum_size:
            return work()
        return await anyio.to_thread.run_sync(work, limiter=compression_limiter())


FIRST = {
    "http.response.body": CompressedResponse._first_body,
    "http.response.pathsend": CompressedResponse._first_path,
    "http.response.zerocopysend": CompressedResponse._first_descriptor,
}
