"""Responses: each is an ASGI application that sends itself. Here are those made while they are sent: streams
and files."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from email.utils import formatdate
from functools import partial
from mimetypes import guess_type
from typing import IO
from urllib.parse import quote

import anyio
import anyio.to_thread

from tidegate.asgi.preconditions import Answer, Preconditions
from tidegate.asgi.ranges import (
    MalformedRangeHeader,
    RangeNotSatisfiable,
    byteranges_head,
    byteranges_length,
    parse_range,
)
from tidegate.web._response import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    denial_send,
)
from tidegate.web._utils import create_collapsing_task_group
from tidegate.web.background import BackgroundTask, run_after_response
from tidegate.web.concurrency import in_file_thread, iterate_in_threadpool
from tidegate.web.datastructures import URL as URL
from tidegate.web.datastructures import Headers, MutableHeaders
from tidegate.web.requests import ClientDisconnect
from tidegate.web.types import Message, Receive, Scope, Send

__all__ = [
    "ContentStream",
    "FileResponse",
    "HTMLResponse",
    "JSONResponse",
    "MalformedRangeHeader",
    "PlainTextResponse",
    "RangeNotSatisfiable",
    "RedirectResponse",
    "Response",
    "StreamingResponse",
]

NOT_MODIFIED_FIELDS = {
    b"cache-control",
    b"content-location",
    b"date",
    b"etag",
    b"expires",
    b"vary",
    b"set-cookie",
}

Content = str | bytes | memoryview
SyncContentStream = Iterable[Content]
AsyncContentStream = AsyncIterable[Content]
ContentStream = AsyncContentStream | SyncContentStream


def spec_version(scope: Scope) -> tuple[int, ...]:
    version = scope.get("asgi", {}).get("spec_version", "2.0")
    return tuple(int(part) for part in version.split(".") if part.isdigit())


class StreamingResponse(Response):
    """A response whose body is made while it is sent; blocking iterators run in threads."""

    body_iterator: AsyncContentStream

    def __init__(
        self,
        content: ContentStream,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.body_iterator = content if isinstance(content, AsyncIterable) else iterate_in_threadpool(content)
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        self.background = background
        self.init_headers(headers)

    async def listen_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for chunk in self.body_iterator:
                if not isinstance(chunk, (bytes, memoryview)):
                    chunk = chunk.encode(self.charset)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            # A generator that is left in the middle is closed now, not whenever it is collected.
            aclose = getattr(self.body_iterator, "aclose", None)
            if aclose is not None:
                await aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send_head(self, send: Send) -> None:
        """Answer HEAD: what makes the body is not begun, which may have no end (RFC 9110 §9.3.2)."""
        aclose = getattr(self.body_iterator, "aclose", None)
        if aclose is not None:
            await aclose()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.stream_response(denial_send(send))
        elif scope.get("method") == "HEAD":
            await self.send_head(send)
        elif spec_version(scope) >= (2, 4):  # send() raises OSError once the client has gone
            try:
                await self.stream_response(send)
            except OSError:
                raise ClientDisconnect() from None
        else:
            async with create_collapsing_task_group() as task_group:

                async def cancel_after(step: Callable[[], Awaitable[None]]) -> None:
                    await step()
                    task_group.cancel_scope.cancel()

                task_group.start_soon(cancel_after, partial(self.stream_response, send))
                await cancel_after(partial(self.listen_for_disconnect, receive))
        if self.background is not None:
            await run_after_response(self.background, scope)


async def open_for_reading(path: str | os.PathLike[str]) -> IO[bytes]:
    """The file, opened in a thread; one of anyio's own only if that is free, as slow endpoints may hold all."""
    if anyio.to_thread.current_default_thread_limiter().available_tokens >= 1:
        return (await anyio.open_file(path, "rb")).wrapped
    return await in_file_thread(open, path, "rb")


class FileResponse(Response):
    """A file, with its validators (ETag, Last-Modified), ranges and preconditions (RFC 9110 §8.8, §13, §14).

    The file is looked at when the response is sent. Raises RuntimeError then if it is missing or no regular
    file.
    """

    chunk_size = 64 * 1024
    max_ranges = 100

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        filename: str | None = None,
        stat_result: os.stat_result | None = None,
        content_disposition_type: str = "attachment",
    ) -> None:
        self.path = path
        self.status_code = status_code
        self.filename = filename
        if media_type is None:
            media_type = guess_type(filename or path)[0] or "application/octet-stream"
        self.media_type = media_type
        self.background = background
        self.init_headers(headers)
        self.headers.setdefault("accept-ranges", "bytes")
        if filename is not None:
            quoted = quote(filename, safe="")
            if quoted == filename:
                disposition = f'{content_disposition_type}; filename="{filename}"'
            else:  # RFC 8187
                disposition = f"{content_disposition_type}; filename*=utf-8''{quoted}"
            self.headers.setdefault("content-disposition", disposition)
        self.stat_result = stat_result
        if stat_result is not None:
            self.set_stat_headers(stat_result)

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        tag = hashlib.md5(f"{stat_result.st_mtime}-{stat_result.st_size}".encode(), usedforsecurity=False)
        self.headers.setdefault("content-length", str(stat_result.st_size))
        self.headers.setdefault("last-modified", formatdate(stat_result.st_mtime, usegmt=True))
        self.headers.setdefault("etag", f'"{tag.hexdigest()}"')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "GET").upper()
        if scope["type"] == "websocket":
            send = denial_send(send)
        if self.stat_result is None:
            try:
                stat_result = await in_file_thread(os.stat, self.path)
            except FileNotFoundError:
                raise RuntimeError(f"File at path {self.path} does not exist.") from None
            if not stat.S_ISREG(stat_result.st_mode):
                raise RuntimeError(f"File at path {self.path} is not a file.")
            self.set_stat_headers(stat_result)
        else:
            stat_result = self.stat_result
        selecting = scope["type"] == "http" and method in ("GET", "HEAD") and self.status_code == 200
        response = self._precondition_answer(scope) if selecting else None
        if response is None:
            ranges = None
            if selecting:
                try:
                    ranges = self._ranges(Headers(scope=scope), stat_result.st_size)
                except MalformedRangeHeader as error:
                    response = PlainTextResponse(error.content, status_code=400)
                except RangeNotSatisfiable as error:
                    unsatisfied = {"content-range": f"bytes */{error.max_size}"}
                    response = PlainTextResponse(status_code=416, headers=unsatisfied)
            if response is None:
                await self._send_ranges(ranges, stat_result.st_size, method == "HEAD", scope, receive, send)
        if response is not None:
            await response(scope, receive, send)
        if self.background is not None:
            await run_after_response(self.background, scope)

    def _precondition_answer(self, scope: Scope) -> Response | None:
        """304 or 412, where the request's preconditions ask for one (RFC 9110 §13.2.2)."""
        own = self.headers
        answer = Preconditions(scope["headers"]).evaluate(
            scope["method"], own.get("etag"), own.get("last-modified")
        )
        if answer is Answer.PRECONDITION_FAILED:
            return Response(status_code=412)
        if answer is Answer.NOT_MODIFIED:
            response = Response(status_code=304)
            response.raw_headers = [item for item in self.raw_headers if item[0] in NOT_MODIFIED_FIELDS]
            return response
        return None

    def _ranges(self, request: Headers, size: int) -> list[tuple[int, int]] | None:
        field = request.get("range")
        own = self.headers
        if field is None or not Preconditions(request.raw).range_applies(
            own.get("etag"), own.get("last-modified")
        ):
            return None
        return parse_range(field, size, self.max_ranges)

    async def _send_ranges(
        self,
        ranges: list[tuple[int, int]] | None,
        size: int,
        head_only: bool,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        headers = MutableHeaders(raw=self.raw_headers[:])
        status_code = self.status_code
        boundary = ""
        content_type = self.headers.get("content-type", "application/octet-stream")
        if ranges is None:
            if not head_only and "http.response.pathsend" in scope.get("extensions", {}):
                await send({"type": "http.response.start", "status": status_code, "headers": headers.raw})
                await send({"type": "http.response.pathsend", "path": os.path.abspath(self.path)})
                return
        else:
            status_code = 206
            if len(ranges) == 1:
                start, end = ranges[0]
                headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
                headers["content-length"] = str(end - start)
            else:
                boundary = secrets.token_hex(13)
                length = byteranges_length(ranges, boundary, content_type, size)
                headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
                headers["content-length"] = str(length)
        start_message = {"type": "http.response.start", "status": status_code, "headers": headers.raw}
        if head_only:
            await send(start_message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif scope["type"] == "http" and spec_version(scope) < (2, 4):
            await self._send_until_disconnect(
                start_message, ranges, boundary, content_type, size, receive, send
            )
        else:
            await self._send_file(start_message, ranges, boundary, content_type, size, send)

    async def _send_until_disconnect(
        self,
        start_message: Message,
        ranges: list[tuple[int, int]] | None,
        boundary: str,
        content_type: str,
        size: int,
        receive: Receive,
        send: Send,
    ) -> None:
        # Before ASGI 2.4 send() does not say that the client has gone: only receive() does.
        async with create_collapsing_task_group() as task_group:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                task_group.cancel_scope.cancel()

            task_group.start_soon(listen)
            await self._send_file(start_message, ranges, boundary, content_type, size, send)
            task_group.cancel_scope.cancel()

    async def _send_file(
        self,
        start_message: Message,
        ranges: list[tuple[int, int]] | None,
        boundary: str,
        content_type: str,
        size: int,
        send: Send,
    ) -> None:
        file = await open_for_reading(self.path)
        try:
            await send(start_message)
            if ranges is None:
                more_body = True
                while more_body:
                    chunk = await in_file_thread(file.read, self.chunk_size)
                    more_body = len(chunk) == self.chunk_size
                    await send({"type": "http.response.body", "body": chunk, "more_body": more_body})
                return
            if len(ranges) == 1:
                await self._send_range(file, *ranges[0], send, more_after=False)
                return
            for start, end in ranges:
                head = byteranges_head(boundary, content_type, start, end, size)
                await send({"type": "http.response.body", "body": head, "more_body": True})
                await self._send_range(file, start, end, send, more_after=True)
                await send({"type": "http.response.body", "body": b"\r\n", "more_body": True})
            tail = f"--{boundary}--".encode("latin-1")
            await send({"type": "http.response.body", "body": tail, "more_body": False})
        finally:
            with anyio.CancelScope(shield=True):
                await in_file_thread(file.close)

    async def _send_range(
        self, file: IO[bytes], start: int, end: int, send: Send, *, more_after: bool
    ) -> None:
        """Send the octets [start, end). Raises RuntimeError if the file ends before: Content-Length cannot
        be kept."""
        await in_file_thread(file.seek, start)
        while start < end:
            chunk = await in_file_thread(file.read, min(self.chunk_size, end - start))
            if not chunk:
                raise RuntimeError(f"File at path {self.path} is shorter than expected.")
            start += len(chunk)
            more_body = more_after or start < end
            await send({"type": "http.response.body", "body": chunk, "more_body": more_body})

    def generate_multipart(
        self, ranges: Sequence[tuple[int, int]], boundary: str, max_size: int, content_type: str
    ) -> tuple[int, Callable[[int, int], bytes]]:
        """The length of a multipart/byteranges body of these [start, end) ranges, and what makes its part
        heads."""
        return (
            byteranges_length(ranges, boundary, content_type, max_size),
            lambda start, end: byteranges_head(boundary, content_type, start, end, max_size),
        )
