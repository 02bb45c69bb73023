"""Responses: each is an ASGI application that sends itself (RFC 9110 §3.4, §15; RFC 6265 for cookies)."""

from __future__ import annotations

import hashlib
import http.cookies
import os
import secrets
import stat
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime, formatdate
from functools import partial
from mimetypes import guess_type
from typing import IO, TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import anyio
import anyio.to_thread

from tidegate.web._utils import create_collapsing_task_group
from tidegate.web.background import run_after_response
from tidegate.web.concurrency import in_file_thread, iterate_in_threadpool
from tidegate.web.datastructures import (
    URL,
    Headers,
    MutableHeaders,
    encode_field_name,
    encode_field_value,
)
from tidegate.web.jsoncodec import current_codec
from tidegate.web.ranges import (
    MalformedRangeHeader,
    RangeNotSatisfiable,
    byteranges_head,
    byteranges_length,
    not_modified,
    parse_range,
    precondition_failed,
    range_applies,
)
from tidegate.web.requests import ClientDisconnect

if TYPE_CHECKING:
    from tidegate.web.background import BackgroundTask
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

# Sub-delimiters and what is already encoded stay as they are (RFC 3986 §2).
REDIRECT_SAFE = ":/%#?=@[]!$&'()*+,;"
NOT_MODIFIED_FIELDS = {
    b"cache-control",
    b"content-location",
    b"date",
    b"etag",
    b"expires",
    b"vary",
    b"set-cookie",
}
CONTENT_LENGTHS = [(b"content-length", str(length).encode()) for length in range(1024)]


class Response:
    """A whole response, its body in memory."""

    media_type: str | None = None
    charset = "utf-8"
    background: BackgroundTask | None = None
    _headers: MutableHeaders | None = None

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        self.background = background
        self.body = self.render(content)
        self.init_headers(headers)

    def render(self, content: Any) -> bytes | memoryview:
        """The content as octets: text in the response's charset."""
        if type(content) is str:
            return content.encode(self.charset)
        if content is None:
            return b""
        if isinstance(content, (bytes, memoryview)):
            return content
        return content.encode(self.charset)  # type: ignore[no-any-return]

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set `raw_headers`: the caller's, then Content-Length and Content-Type unless they are among
        them."""
        raw_headers: list[tuple[bytes, bytes]] = []
        add_length = add_type = True
        if headers:
            for key, value in headers.items():
                name = encode_field_name(key)
                raw_headers.append((name, encode_field_value(value)))
                if name == b"content-length":
                    add_length = False
                elif name == b"content-type":
                    add_type = False
        if add_length:
            body = getattr(self, "body", None)
            status_code = self.status_code
            # RFC 9110 §8.6: no Content-Length in 1xx and 204; 304's would be the full answer's.
            if body is not None and not (status_code < 200 or status_code in (204, 304)):
                length = body.nbytes if type(body) is memoryview else len(body)
                raw_headers.append(
                    CONTENT_LENGTHS[length] if length < 1024 else (b"content-length", str(length).encode())
                )
        media_type = self.media_type
        if add_type and media_type is not None:
            wanted = (media_type, self.charset)
            raw_headers.append(_content_types.get(wanted) or content_type_field(wanted))
        self.raw_headers = raw_headers

    @property
    def headers(self) -> MutableHeaders:
        headers = self._headers
        if headers is None:
            headers = self._headers = MutableHeaders(raw=self.raw_headers)
        return headers

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: int | None = None,
        expires: datetime | str | int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: Literal["lax", "strict", "none"] | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Add a Set-Cookie field (RFC 6265 §4.1). Times in seconds. Raises ValueError for what is not a
        cookie."""
        cookie: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        cookie[key] = value
        morsel = cookie[key]
        if max_age is not None:
            morsel["max-age"] = max_age
        if expires is not None:
            if isinstance(expires, datetime):
                morsel["expires"] = format_datetime(expires, usegmt=True)
            else:
                morsel["expires"] = expires
        if path is not None:
            morsel["path"] = path
        if domain is not None:
            morsel["domain"] = domain
        if secure:
            morsel["secure"] = True
        if httponly:
            morsel["httponly"] = True
        if samesite is not None:
            assert samesite.lower() in ("strict", "lax", "none"), (
                "samesite must be either 'strict', 'lax' or 'none'"
            )
            morsel["samesite"] = samesite
        if partitioned:
            if sys.version_info < (3, 14):
                raise ValueError("Partitioned cookies are only supported in Python 3.14 and above.")
            morsel["partitioned"] = True
        self.raw_headers.append((b"set-cookie", encode_field_value(cookie.output(header="").strip())))

    def delete_cookie(
        self,
        key: str,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: Literal["lax", "strict", "none"] | None = "lax",
        partitioned: bool = False,
    ) -> None:
        self.set_cookie(
            key,
            max_age=0,
            expires=0,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            send = denial_send(send)
            body = self.body
        else:
            # RFC 9110 §9.3.2: HEAD has the headers of GET and no content.
            body = b"" if scope.get("method") == "HEAD" else self.body
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": body})
        if self.background is not None:
            await run_after_response(self.background, scope)


def denial_send(send: Send) -> Send:
    """Send an HTTP response on a WebSocket that is not accepted (ASGI websocket.http.response extension)."""

    async def send_denial(message: Message) -> None:
        if message["type"] in ("http.response.start", "http.response.body"):
            message = {**message, "type": "websocket." + message["type"]}
        await send(message)

    return send_denial


_content_types: dict[tuple[str, str], tuple[bytes, bytes]] = {}


def content_type_field(key: tuple[str, str]) -> tuple[bytes, bytes]:
    """The Content-Type field of a (media type, charset): text gets its charset (RFC 9110 §8.3.2)."""
    text, charset = key
    if text.startswith("text/") and "charset=" not in text.lower():
        text = f"{text}; charset={charset}"
    field = (b"content-type", encode_field_value(text))
    if len(_content_types) < 256:
        _content_types[key] = field
    return field


class HTMLResponse(Response):
    media_type = "text/html"


class PlainTextResponse(Response):
    media_type = "text/plain"


class JSONResponse(Response):
    """`content` encoded by the application's JSON codec; a subclass may override `render`."""

    media_type = "application/json"

    def __init__(
        self,
        content: Any,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, media_type, background)

    def render(self, content: Any) -> bytes:
        return current_codec.get().encode(content)


class RedirectResponse(Response):
    def __init__(
        self,
        url: str | URL,
        status_code: int = 307,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content=b"", status_code=status_code, headers=headers, background=background)
        # quote() also encodes CR and LF: nothing in the URL starts another field.
        self.headers["location"] = quote(str(url), safe=REDIRECT_SAFE)


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
        request, own = Headers(scope=scope), self.headers
        etag, last_modified = own.get("etag"), own.get("last-modified")
        if precondition_failed(request, etag, last_modified):
            return Response(status_code=412)
        if not_modified(request, etag, last_modified):
            response = Response(status_code=304)
            response.raw_headers = [item for item in self.raw_headers if item[0] in NOT_MODIFIED_FIELDS]
            return response
        return None

    def _ranges(self, request: Headers, size: int) -> list[tuple[int, int]] | None:
        field = request.get("range")
        own = self.headers
        if field is None or not range_applies(
            request.get("if-range"), own.get("etag"), own.get("last-modified")
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
