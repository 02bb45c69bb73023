"""Compresses responses by gzip (RFC 9110 §8.4.1.3) for clients that accept it, large pieces in a thread."""

from __future__ import annotations

import zlib
from typing import Any, NoReturn

import anyio
import anyio.lowlevel
import anyio.to_thread

from tidegate.asgi.compression import GZIP_WBITS, bare_type
from tidegate.asgi.negotiation import accepts_coding
from tidegate.web.datastructures import Headers, MutableHeaders
from tidegate.web.types import ASGIApp, Message, Receive, Scope, Send

DEFAULT_EXCLUDED_CONTENT_TYPES = (
    "application/grpc",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "audio/*",
    "font/woff",
    "font/woff2",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/event-stream",
    "video/*",
)
COMPRESSION_THREADS = 8

_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("tidegate.web.gzip_limiter")


def compression_limiter() -> anyio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(COMPRESSION_THREADS)
        _limiter.set(limiter)
        return limiter


class GZipMiddleware:
    """Compress bodies of `minimum_size` octets and more; pieces of `thread_minimum_size` and more in a
    thread."""

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int = 500,
        compresslevel: int = 9,
        thread_minimum_size: int = 128 * 1024,
        *,
        exclude_content_types: tuple[str, ...] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        self.app = app
        self.minimum_size = minimum_size
        self.compresslevel = compresslevel
        self.thread_minimum_size = thread_minimum_size
        self.exclude_content_types = exclude_content_types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        responder: IdentityResponder
        if accepts_coding(Headers(scope=scope).getlist("accept-encoding"), "gzip"):
            responder = GZipResponder(
                self.app,
                self.minimum_size,
                self.compresslevel,
                thread_minimum_size=self.thread_minimum_size,
                exclude_content_types=self.exclude_content_types,
            )
        else:
            responder = IdentityResponder(
                self.app, self.minimum_size, exclude_content_types=self.exclude_content_types
            )
        await responder(scope, receive, send)


class IdentityResponder:
    """One response left as it is, but for Vary: another client may get it compressed (RFC 9110 §12.5.3)."""

    content_encoding = ""

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int,
        *,
        exclude_content_types: tuple[str, ...] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        self.app = app
        self.minimum_size = minimum_size
        self.exclude_content_types = tuple(map(bare_type, exclude_content_types))
        self.send: Send = unattached_send
        self.initial_message: Message = {}
        self.started = False
        self.passing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.send = send
        await self.app(scope, receive, self.send_with_compression)

    def _excluded(self, headers: Headers) -> bool:
        content_type = bare_type(headers.get("content-type", ""))
        for pattern in self.exclude_content_types:
            if pattern.endswith("/*"):
                if content_type.startswith(pattern[:-1]):
                    return True
            # application/grpc also stands for application/grpc+proto and the like
            elif content_type == pattern or content_type.startswith(pattern + "+"):
                return True
        return False

    async def send_with_compression(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.initial_message = {**message, "headers": list(message.get("headers", ()))}
            headers = Headers(raw=self.initial_message["headers"])
            # RFC 9110 §14.2: the octets of a 206 are those of the representation as it was selected.
            if "content-encoding" in headers or message["status"] == 206 or self._excluded(headers):
                self.passing = self.started = True
                await self.send(self.initial_message)
        elif kind == "http.response.body" and not self.passing:
            await self._body(message)
        else:
            if kind == "http.response.pathsend" and not self.started:
                self.passing = self.started = True
                await self.send(self.initial_message)
            await self.send(message)

    async def _body(self, message: Message) -> None:
        body = message.get("body", b"")
        more_body = message.get("more_body", False)
        if self.started:
            compressed = await self.apply_compression(body, more_body=more_body)
            await self.send({**message, "body": compressed})
            return
        self.started = True
        headers = MutableHeaders(raw=self.initial_message["headers"])
        if len(body) < self.minimum_size and not more_body:
            self.passing = True
            await self.send(self.initial_message)
            await self.send(message)
            return
        compressed = await self.apply_compression(body, more_body=more_body)
        headers.add_vary_header("Accept-Encoding")
        if compressed is not body:
            headers["Content-Encoding"] = self.content_encoding
            weaken_etag(headers)
            # With trailers the length is not what ends the body.
            if more_body or self.initial_message.get("trailers", False):
                del headers["Content-Length"]
            else:
                headers["Content-Length"] = str(len(compressed))
        await self.send(self.initial_message)
        await self.send({**message, "body": compressed})

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        return body


def weaken_etag(headers: MutableHeaders) -> None:
    """A strong validator names one sequence of octets, which compression changes (RFC 9110 §8.8.3.3)."""
    etag = headers.get("etag")
    if etag is not None and not etag.startswith("W/"):
        headers["etag"] = f"W/{etag}"


class GZipResponder(IdentityResponder):
    """One response compressed; every piece is flushed, so that what is sent is also received."""

    content_encoding = "gzip"

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int,
        compresslevel: int = 9,
        *,
        thread_minimum_size: int = 128 * 1024,
        exclude_content_types: tuple[str, ...] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        super().__init__(app, minimum_size, exclude_content_types=exclude_content_types)
        self.compresslevel = compresslevel
        self.thread_minimum_size = thread_minimum_size
        self._compressor: Any = None

    @property
    def compressor(self) -> Any:
        if self._compressor is None:
            self._compressor = zlib.compressobj(self.compresslevel, zlib.DEFLATED, GZIP_WBITS)
        return self._compressor

    def _compress(self, body: bytes, more_body: bool) -> bytes:
        compressor = self.compressor
        compressed: bytes = compressor.compress(body)
        compressed += compressor.flush(zlib.Z_SYNC_FLUSH if more_body else zlib.Z_FINISH)
        return compressed

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        if len(body) >= self.thread_minimum_size:
            return await anyio.to_thread.run_sync(
                self._compress, body, more_body, limiter=compression_limiter()
            )
        return self._compress(body, more_body)


async def unattached_send(message: Message) -> NoReturn:
    raise RuntimeError("send awaitable not set")
