"""multipart/form-data, part by part as it arrives (RFC 7578): nothing is kept that was not asked for."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import anyio

from tidegate.web._utils import is_async_callable
from tidegate.web.concurrency import in_file_thread
from tidegate.web.datastructures import Headers
from tidegate.web.exceptions import HTTPException
from tidegate.web.formparsers import (
    WRITE_SIZE,
    MultiPartException,
    decode_text,
    known_charset,
    parse_disposition,
    parse_media_type,
)
from tidegate.web.multipart import Event, MultipartDecoder, MultipartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["Part", "PartReader"]


class Part:
    """One part, to be read before the next one is asked for; what is not read by then is passed over.

    `async for data in part` gives its octets as they arrive. name, filename: the client's words; filename is None
    for what is no file, and never to be used as a path.
    """

    __slots__ = ("_charset", "_passed", "_reader", "ended", "filename", "headers", "name", "size")

    def __init__(
        self,
        reader: PartReader,
        fields: list[tuple[bytes, bytes]],
        name: str,
        filename: str | None,
        charset: str,
    ) -> None:
        self._reader = reader
        self._charset = charset
        self._passed = False
        self.headers = Headers(raw=fields)
        self.name = name
        self.filename = filename
        self.size = 0  # octets read so far
        self.ended = False

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Raises RuntimeError if the next part has been asked for already, and what `Request.parts` raises."""
        if self._passed:
            raise RuntimeError("This part has been passed over: read it before the next one.")
        if self.ended:
            raise StopAsyncIteration
        data = await self._reader.data(self)
        if data is None:
            raise StopAsyncIteration
        return data

    async def read(self, max_size: int = 1024 * 1024) -> bytes:
        """The rest of the part. Raises HTTPException 413 for more than `max_size` octets."""
        read = bytearray()
        async for data in self:
            if len(read) + len(data) > max_size:
                raise part_too_large()
            read += data
        return bytes(read)

    async def text(self, max_size: int = 1024 * 1024) -> str:
        """The rest of the part as text, in the form's charset. Raises what `read` does."""
        return decode_text(await self.read(max_size), self._charset)

    async def save(self, sink: str | os.PathLike[str] | Any, max_size: int | None = None) -> int:
        """Write the rest of the part to a path or a file (`write`: blocking, run in a thread, or async).

        Gives how many octets. A path has the whole part in the end, or what it had before. Raises OSError (the
        disk is full), HTTPException 413 for more than `max_size` octets, and what reading raises.
        """
        if isinstance(sink, (str, os.PathLike)):
            return await self._save_file(os.fspath(sink), max_size)
        return await self._write(sink.write, max_size)

    async def _save_file(self, path: str, max_size: int | None) -> int:
        temporary = os.path.join(os.path.dirname(path), f".{token_hex(8)}.part")
        file = await in_file_thread(open, temporary, "xb")
        try:
            try:
                size = await self._write(file.write, max_size)
            finally:
                with anyio.CancelScope(shield=True):
                    await in_file_thread(file.close)
            await in_file_thread(os.replace, temporary, path)
        except BaseException:
            with anyio.CancelScope(shield=True), contextlib.suppress(OSError):
                await in_file_thread(os.unlink, temporary)
            raise
        return size

    async def _write(self, write: Callable[[bytes], Any], max_size: int | None) -> int:
        size, held, waiting = 0, 0, list[bytes]()
        call: Callable[[bytes], Awaitable[Any]]
        call = write if is_async_callable(write) else lambda data: in_file_thread(write, data)
        async for data in self:
            size += len(data)
            if max_size is not None and size > max_size:
                raise part_too_large()
            waiting.append(data)
            held += len(data)
            if held >= WRITE_SIZE:
                await call(waiting[0] if len(waiting) == 1 else b"".join(waiting))
                held, waiting = 0, []
        if waiting:
            await call(b"".join(waiting))
        return size


def part_too_large() -> HTTPException:
    """RFC 9110 §15.5.14."""
    return HTTPException(413, detail="A part of the form is too large.")


class PartReader:
    """The parts of a body, as an async iterator: what `Request.parts` gives. stream: `Request.stream`.

    Raises MultiPartException for what is malformed, unless `in_application`.
    """

    def __init__(
        self,
        headers: Headers,
        stream: Callable[[], AsyncIterator[bytes]],
        *,
        max_parts: int = 1000,
        max_part_size: int | None = None,
        in_application: bool = False,
    ) -> None:
        self._in_application = in_application  # which answers HTTPException
        self._content_type = headers.get("content-type")
        self._open = stream  # called when the first part is asked for
        self._stream: AsyncIterator[bytes] | None = None
        self._max_parts = max_parts
        self._max_part_size = max_part_size
        self._decoder: MultipartDecoder | None = None
        self._charset = "utf-8"
        self._events: deque[tuple[Event, Any]] = deque()
        self._part: Part | None = None
        self._count = 0

    def __aiter__(self) -> AsyncIterator[Part]:
        return self

    async def __anext__(self) -> Part:
        """Pass over the rest of the last part. Raises what `Request.parts` says."""
        part = self._part
        if part is not None:
            while not part.ended:
                await self.data(part)
            part._passed = True
            self._part = None
        event, value = await self._next()
        if event is Event.END:
            await self._to_end()
            raise StopAsyncIteration
        self._count += 1
        if self._count > self._max_parts:
            raise self._refusal(f"Too many parts. Maximum number of parts is {self._max_parts}.")
        try:
            name, filename = parse_disposition(value, self._charset)
        except (MultipartError, MultiPartException) as error:
            raise self._refusal(str(error)) from None
        self._part = Part(self, value, name, filename, self._charset)
        return self._part

    async def data(self, part: Part) -> bytes | None:
        """The next octets of the part; None at its end."""
        event, value = await self._next()
        if event is Event.PART_END:
            part.ended = True
            return None
        data: bytes = value
        part.size += len(data)
        if self._max_part_size is not None and part.size > self._max_part_size:
            raise part_too_large()
        return data

    async def _next(self) -> tuple[Event, Any]:
        events = self._events
        while not events:
            if self._decoder is None:
                self._decoder = self._begin()
            elif self._decoder.complete:
                return Event.END, None
            await self._feed(self._decoder)
        return events.popleft()

    def _begin(self) -> MultipartDecoder:
        media_type, parameters = parse_media_type(self._content_type)
        if media_type != "multipart/form-data":
            raise HTTPException(415, detail="multipart/form-data is expected.")
        if "boundary" not in parameters:
            raise self._refusal("Missing boundary in multipart.")
        self._charset = known_charset(parameters.get("charset", "utf-8"))
        try:
            return MultipartDecoder(parameters["boundary"].encode("latin-1", "replace"))
        except MultipartError as error:
            raise self._refusal(str(error)) from None

    async def _feed(self, decoder: MultipartDecoder) -> bool:
        """Whether there was more of the body."""
        if self._stream is None:
            self._stream = self._open()
        chunk = await anext(self._stream, None)
        try:
            if chunk is None:
                decoder.finish()
                return False
            self._events.extend(decoder.feed(chunk))
        except MultipartError as error:
            raise self._refusal(str(error)) from None
        return True

    async def _to_end(self) -> None:
        """Read what follows the last part, so that the connection can be used again."""
        assert self._decoder is not None
        while await self._feed(self._decoder):
            pass

    def _refusal(self, message: str) -> Exception:
        return HTTPException(400, detail=message) if self._in_application else MultiPartException(message)
