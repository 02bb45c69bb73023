"""Forms in request bodies: multipart/form-data and application/x-www-form-urlencoded, both incremental and
capped."""

from __future__ import annotations

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
MAX_MEMORY_SIZE = (
    16 * 1024 * 1024
)  # octets of one form in memory: its fields, and files before they are spooled
# Encoding §4.2, without what is UTF-8 or Latin-1. Asking `codecs` for a client's word would import, and remember,
# anything; and some of its codecs (punycode, idna) take quadratic time.
CHARSETS = frozenset(
    ["ascii", "big5", "big5hkscs", "cp866", "cp874", "cp932", "euc-jp", "euc-kr", "gb18030", "gb2312", "gbk"]
    + ["iso-2022-jp", "koi8-r", "koi8-u", "macroman", "shift-jis", "utf-16", "utf-16be", "utf-16le"]
    + [f"iso-8859-{part}" for part in (*range(2, 12), *range(13, 17))]
    + [f"windows-{page}" for page in range(1250, 1259)]
)


class MultiPartException(Exception):
    """The form cannot be read, or passes a limit."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def check_memory(size: int, max_part_size: int) -> None:
    """Raises MultiPartException once the fields of a form together pass what one form may hold in memory."""
    if size > max(MAX_MEMORY_SIZE, max_part_size):
        raise MultiPartException("The fields of the form are too large together.")


def parse_media_type(value: str | None) -> tuple[str, dict[str, str]]:
    """The type and parameters of a Content-Type field; a malformed one is no type."""
    if not value:
        return "", {}
    try:
        return parse_parameters(value)
    except MultipartError:
        return "", {}


def known_charset(charset: str) -> str:
    """The name of the codec of a charset parameter; Latin-1 for what is none of CHARSETS."""
    name = charset.strip().lower().replace("_", "-")
    if name in ("utf-8", "utf8"):
        return "utf-8"
    return name if name in CHARSETS else "latin-1"


def decode_text(data: bytes | bytearray, charset: str) -> str:
    """`data` in `charset`, or in Latin-1 if that fails: what the client sent is never lost."""
    try:
        return data.decode(charset)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_disposition(fields: list[tuple[bytes, bytes]], charset: str) -> tuple[str, str | None]:
    """The name of a part, and the file name that its client gives, if any (RFC 7578 §4.2).

    Raises MultiPartException, MultipartError.
    """
    dispositions = [value for name, value in fields if name == b"content-disposition"]
    if len(dispositions) > 1:
        raise MultiPartException("A part has more than one Content-Disposition header field.")
    disposition = decode_text(dispositions[0], charset) if dispositions else ""
    _, parameters = parse_parameters(disposition)
    if "name" not in parameters:
        raise MultiPartException('The Content-Disposition header field "name" must be provided.')
    return parameters["name"], parameters.get("filename")


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
        self._size = 0  # octets of all fields

    async def parse(self) -> FormData:
        """Raises MultiPartException, ClientDisconnect."""
        pending = bytearray()
        equals = -1  # where the first `=` of the pending field is
        async for chunk in self.stream:
            position = 0
            while True:
                end = chunk.find(b"&", position)
                if end < 0:
                    break
                pending += chunk[position:end]
                self._add(pending)
                pending.clear()
                equals = -1
                position = end + 1
            # Only what is new is searched: however small the pieces are, the time is linear.
            known = len(pending)
            pending += chunk[position:]
            if equals < 0:
                equals = pending.find(b"=", known)
            self._check_size(len(pending) if equals < 0 else max(equals, len(pending) - equals - 1))
        self._add(pending)
        return FormData(self._items)

    def _check_size(self, size: int) -> None:
        if size > self.max_part_size:
            raise MultiPartException(f"Field exceeded maximum size of {self.max_part_size // 1024}KB.")

    def _add(self, field: bytearray) -> None:
        if not field:
            return
        if len(self._items) >= self.max_fields:
            raise MultiPartException(f"Too many fields. Maximum number of fields is {self.max_fields}.")
        self._size += len(field)
        check_memory(self._size, self.max_part_size)
        name, _, value = bytes(field).replace(b"+", b" ").partition(b"=")
        self._check_size(max(len(name), len(value)))
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
        self._fields_size = 0
        self._spools_size = 0
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
        self._name, filename = parse_disposition(fields, self._charset)
        self._field = bytearray()
        self._file = None
        if filename is None:
            self._current_fields += 1
            if self._current_fields > self.max_fields:
                raise MultiPartException(f"Too many fields. Maximum number of fields is {self.max_fields}.")
            return
        self._current_files += 1
        if self._current_files > self.max_files:
            raise MultiPartException(f"Too many files. Maximum number of files is {self.max_files}.")
        # The client's file name never names a file here: the temporary file has none.
        file = cast("BinaryIO", SpooledTemporaryFile(max_size=self._spool_size()))  # noqa: SIM115
        self._files_to_close.append(file)
        self._file = UploadFile(file=file, size=0, filename=filename, headers=Headers(raw=fields))

    def _spool_size(self) -> int:
        """How much of the next file may stay in memory: many small files together are not for memory either."""
        if self._spools_size + self.spool_max_size > MAX_MEMORY_SIZE:
            return 1  # 0 would mean no limit
        return self.spool_max_size

    async def _part_data(self, data: bytes) -> None:
        if self._file is None:
            if len(self._field) + len(data) > self.max_part_size:
                raise MultiPartException(f"Part exceeded maximum size of {self.max_part_size // 1024}KB.")
            self._fields_size += len(data)
            check_memory(self._fields_size, self.max_part_size)
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
        if self._file._in_memory:
            self._spools_size += self._file.size or 0
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
