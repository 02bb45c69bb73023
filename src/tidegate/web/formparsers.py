"""Forms in request bodies: multipart/form-data and application/x-www-form-urlencoded, both incremental and
capped."""

from __future__ import annotations

import codecs
import contextlib
from enum import Enum
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

from tidegate.web.datastructures import FormData, Headers, UploadFile
from tidegate.web.multipart import Event, MultipartDecoder, MultipartError, parse_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import BinaryIO

__all__ = ["FormParser", "MultiPartException", "MultiPartParser"]

WRITE_SIZE = 256 * 1024  # octets gathered for one write to disk


class MultiPartException(Exception):
    """The form cannot be read, or passes a limit."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def parse_media_type(value: str | None) -> tuple[str, dict[str, str]]:
    """The type and parameters of a Content-Type field; a malformed one is no type."""
    if not value:
        return "", {}
    try:
        return parse_parameters(value)
    except MultipartError:
        return "", {}


def known_charset(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "latin-1"


def decode_text(data: bytes | bytearray, charset: str) -> str:
    """`data` in `charset`, or in Latin-1 if that fails: what the client sent is never lost."""
    try:
        return data.decode(charset)
    except (UnicodeDecodeError, LookupError):  # LookupError: a codec, but none of text
        return data.decode("latin-1")


class FormParser:
    """application/x-www-form-urlencoded (WHATWG URL §5.1): at most `max_fields` fields of `max_part_size`
    octets."""

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        *,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> None:
        self.headers = headers
        self.stream = stream
        self.max_fields = max_fields
        self.max_part_size = max_part_size
        self._items: list[tuple[str, UploadFile | str]] = []

    async def parse(self) -> FormData:
        """Raises MultiPartException, ClientDisconnect."""
        pending = bytearray()
        async for chunk in self.stream:
            position = 0
            while True:
                end = chunk.find(b"&", position)
                if end < 0:
                    break
                pending += chunk[position:end]
                self._add(pending)
                pending.clear()
                position = end + 1
            pending += chunk[position:]
            self._check_size(pending)
        self._add(pending)
        return FormData(self._items)

    def _check_size(self, field: bytearray) -> None:
        name, _, value = field.partition(b"=")
        if max(len(name), len(value)) > self.max_part_size:
            raise MultiPartException(f"Field exceeded maximum size of {self.max_part_size // 1024}KB.")

    def _add(self, field: bytearray) -> None:
        if not field:
            return
        if len(self._items) >= self.max_fields:
            raise MultiPartException(f"Too many fields. Maximum number of fields is {self.max_fields}.")
        self._check_size(field)
        name, _, value = bytes(field).replace(b"+", b" ").partition(b"=")
        self._items.append((decode_component(name), decode_component(value)))


def decode_component(component: bytes) -> str:
    return unquote_to_bytes(component).decode("utf-8", "replace")


class MultiPartParser:
    """multipart/form-data: fields in memory up to `max_part_size` octets each, files spooled to disk past
    `spool_max_size`."""

    spool_max_size = 1024 * 1024
    max_part_size = 1024 * 1024

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        *,
        max_files: int | float = 1000,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> None:
        self.headers = headers
        self.stream = stream
        self.max_files = max_files
        self.max_fields = max_fields
        self.max_part_size = max_part_size
        self.items: list[tuple[str, str | UploadFile]] = []
        self._charset = "utf-8"
        self._files_to_close: list[BinaryIO] = []
        self._current_files = 0
        self._current_fields = 0
        self._name = ""
        self._file: UploadFile | None = None
        self._field = bytearray()
        self._unwritten: list[bytes] = []
        self._unwritten_size = 0

    async def parse(self) -> FormData:
        """Raises MultiPartException (every file made so far is closed then), ClientDisconnect."""
        try:
            _, parameters = parse_parameters(self.headers["Content-Type"])
            if "boundary" not in parameters:
                raise MultiPartException("Missing boundary in multipart.")
            self._charset = known_charset(parameters.get("charset", "utf-8"))
            decoder = MultipartDecoder(parameters["boundary"].encode("latin-1", "replace"))
            async for chunk in self.stream:
                for event, value in decoder.feed(chunk):
                    if event is Event.PART_DATA:
                        await self._part_data(value)
                    elif event is Event.PART_BEGIN:
                        self._part_begin(value)
                    elif event is Event.PART_END:
                        await self._part_end()
            decoder.finish()
        except MultipartError as error:
            self._close_files()
            raise MultiPartException(str(error)) from None
        except BaseException:
            self._close_files()
            raise
        return FormData(self.items)

    def _close_files(self) -> None:
        for file in self._files_to_close:
            with contextlib.suppress(OSError):
                file.close()

    def _part_begin(self, fields: list[tuple[bytes, bytes]]) -> None:
        dispositions = [value for name, value in fields if name == b"content-disposition"]
        if len(dispositions) > 1:
            raise MultiPartException("A part has more than one Content-Disposition header field.")
        disposition = decode_text(dispositions[0], self._charset) if dispositions else ""
        _, parameters = parse_parameters(disposition)
        if "name" not in parameters:
            raise MultiPartException('The Content-Disposition header field "name" must be provided.')
        self._name = parameters["name"]
        self._field = bytearray()
        self._file = None
        if "filename" not in parameters:
            self._current_fields += 1
            if self._current_fields > self.max_fields:
                raise MultiPartException(f"Too many fields. Maximum number of fields is {self.max_fields}.")
            return
        self._current_files += 1
        if self._current_files > self.max_files:
            raise MultiPartException(f"Too many files. Maximum number of files is {self.max_files}.")
        # The client's file name never names a file here: the temporary file has none.
        file = cast("BinaryIO", SpooledTemporaryFile(max_size=self.spool_max_size))  # noqa: SIM115
        self._files_to_close.append(file)
        self._file = UploadFile(
            file=file, size=0, filename=parameters["filename"], headers=Headers(raw=fields)
        )

    async def _part_data(self, data: bytes) -> None:
        if self._file is None:
            if len(self._field) + len(data) > self.max_part_size:
                raise MultiPartException(f"Part exceeded maximum size of {self.max_part_size // 1024}KB.")
            self._field += data
            return
        self._unwritten.append(data)
        self._unwritten_size += len(data)
        if self._unwritten_size >= WRITE_SIZE:
            await self._write(self._file)

    async def _write(self, file: UploadFile) -> None:
        data = self._unwritten[0] if len(self._unwritten) == 1 else b"".join(self._unwritten)
        self._unwritten = []
        self._unwritten_size = 0
        await file.write(data)

    async def _part_end(self) -> None:
        if self._file is None:
            self.items.append((self._name, decode_text(self._field, self._charset)))
            return
        if self._unwritten:
            await self._write(self._file)
        await self._file.seek(0)
        self.items.append((self._name, self._file))


async def parse_form(
    headers: Headers,
    stream: AsyncGenerator[bytes, None],
    *,
    max_files: int | float,
    max_fields: int | float,
    max_part_size: int,
) -> FormData:
    """The form that `stream` holds, by its Content-Type; empty if that is none of a form. Closes `stream`."""
    media_type, _ = parse_media_type(headers.get("content-type"))
    try:
        if media_type == "multipart/form-data":
            return await MultiPartParser(
                headers, stream, max_files=max_files, max_fields=max_fields, max_part_size=max_part_size
            ).parse()
        if media_type == "application/x-www-form-urlencoded":
            return await FormParser(
                headers, stream, max_fields=max_fields, max_part_size=max_part_size
            ).parse()
        return FormData()
    finally:
        await stream.aclose()


class FormMessage(Enum):
    """Kept for what imports it; nothing here uses it."""

    FIELD_START = 1
    FIELD_NAME = 2
    FIELD_DATA = 3
    FIELD_END = 4
    END = 5

    @classmethod
    def _missing_(cls, value: object) -> None:
        return None
