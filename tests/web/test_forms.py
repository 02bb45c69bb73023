"""Forms: multipart/form-data and urlencoded, however they arrive, and capped."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.conftest import call
from tidegate.web.applications import Application
from tidegate.web.datastructures import FormData, Headers, UploadFile
from tidegate.web.formparsers import FormParser, MultiPartException, MultiPartParser
from tidegate.web.multipart import (
    MAX_EPILOGUE_SIZE,
    MAX_PART_HEADER_SIZE,
    Event,
    MultipartDecoder,
    MultipartError,
    parse_parameters,
)
from tidegate.web.responses import JSONResponse
from tidegate.web.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio
BOUNDARY = b"frontier"


def part(data: bytes, *fields: bytes) -> bytes:
    return b"".join(
        [b"--", BOUNDARY, b"\r\n", *[field + b"\r\n" for field in fields], b"\r\n", data, b"\r\n"]
    )


def field(name: str, data: bytes, extra: str = "") -> bytes:
    return part(data, f'Content-Disposition: form-data; name="{name}"{extra}'.encode())


LAST = b"--" + BOUNDARY + b"--\r\n"


def decode(pieces: Iterable[bytes]) -> list[tuple[list[tuple[bytes, bytes]], bytes]]:
    """The parts, as (header, data)."""
    decoder = MultipartDecoder(BOUNDARY)
    parts: list[tuple[Any, bytes]] = []
    for event, value in itertools.chain.from_iterable(map(decoder.feed, pieces)):
        if event is Event.PART_BEGIN:
            parts.append((value, b""))
        elif event is Event.PART_DATA:
            assert value
            header, data = parts[-1]
            parts[-1] = (header, data + value)
    decoder.finish()
    return parts


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *[place % (len(data) + 1) for place in places]})
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


# Data that looks as much like delimiters as data can.
tricky = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", BOUNDARY[:4], b"\r\n--" + BOUNDARY[:7], b"x"]
    ),
    max_size=12,
).map(b"".join)


@given(st.lists(tricky, min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
def test_however_it_is_cut(datas: list[bytes], places: list[int], preamble: bool) -> None:
    datas = [data for data in datas if BOUNDARY not in data]
    body = (b"preamble\r\n" if preamble else b"") + b"".join(field("f", data) for data in datas) + LAST
    if not datas:
        body = field("f", b"") + LAST
        datas = [b""]
    assert [data for _, data in decode(cut(body, places))] == datas
    assert [data for _, data in decode([bytes([octet]) for octet in body])] == datas


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                b"--frontier",
                b"\r\n",
                b"--",
                b"Content-Disposition: form-data; name=a",
                b":",
                b" ",
                b"x",
                b"\0",
            ]
        ),
        max_size=30,
    ).map(b"".join),
    st.lists(st.integers(0, 1000), max_size=6),
)
def test_anything_is_parts_or_an_error(body: bytes, places: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> Any:
        try:
            return decode(pieces)
        except MultipartError:
            return MultipartError

    assert outcome(cut(body, places)) == outcome([body])


@given(st.text(alphabet='a;="\\ *é', max_size=40))
def test_parameters_never_hang(value: str) -> None:
    with contextlib.suppress(MultipartError):
        parse_parameters(value)


def test_parameters() -> None:
    assert parse_parameters('form-data; name="a\\"b"; filename="C:\\x\\y.txt"') == (
        "form-data",
        {"name": 'a"b', "filename": "C:\\x\\y.txt"},
    )
    assert parse_parameters("Text/HTML;charset = x ;a") == ("text/html", {"charset": "x", "a": ""})
    for twice in ('x; name="a"; name="b"', "x; NAME=a; name=b", 'x; name="open'):
        with pytest.raises(MultipartError):
            parse_parameters(twice)


async def chunks(body: bytes, size: int = 1000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


TYPE = "multipart/form-data; boundary=frontier"


async def multipart(body: bytes, content_type: str = TYPE, **limits: Any) -> FormData:
    return await MultiPartParser(Headers({"content-type": content_type}), chunks(body), **limits).parse()


async def test_fields_and_files() -> None:
    body = (
        field("text", "é".encode())
        + part(
            b"content",
            b'Content-Disposition: form-data; name="file"; filename="../../etc/passwd"',
            b"Content-Type: text/x",
        )
        + LAST
    )
    form = await multipart(body)
    assert form["text"] == "é"
    file = form["file"]
    assert isinstance(file, UploadFile)
    assert (file.filename, file.content_type, file.size) == ("../../etc/passwd", "text/x", 7)
    assert await file.read() == b"content"
    await form.close()


async def test_big_files_go_to_disk_whole() -> None:
    data = bytes(range(256)) * 8192  # 2 MiB
    form = await multipart(field("f", data, '; filename="x"') + LAST)
    file = form["f"]
    assert isinstance(file, UploadFile)
    assert file.file._rolled  # type: ignore[attr-defined]
    assert await file.read() == data
    await form.close()


@pytest.mark.parametrize(
    ("body", "limits", "message"),
    [
        (field("a", b"1") * 11 + LAST, {"max_fields": 10}, "Too many fields"),
        (field("a", b"1", '; filename="x"') * 11 + LAST, {"max_files": 10}, "Too many files"),
        (field("a", b"x" * 2000) + LAST, {"max_part_size": 1024}, "Part exceeded maximum size of 1KB"),
        (part(b"", b"X: " + b"x" * (MAX_PART_HEADER_SIZE + 1)) + LAST, {}, "header of a part is too large"),
        (part(b"", *[b"X: 1"] * 9) + LAST, {}, "too many header fields"),
        (b"x" * 20_000, {}, "before the first part"),
        (field("a", b"1") + LAST + b"x" * (MAX_EPILOGUE_SIZE + 1), {}, "after the last part"),
        (field("a", b"1"), {}, "ends before its last boundary"),
        (part(b"", b"Content-Type: text/x") + LAST, {}, '"name" must be provided'),
        (part(b"", b"no colon") + LAST, {}, "Malformed header"),
        (part(b"", b"Bad Name: x") + LAST, {}, "Malformed header"),
        (part(b"", b"X: a\nY: b") + LAST, {}, "Malformed header"),
        (b"--frontierx\r\n\r\n" + LAST, {}, "followed by other data"),
        (
            part(b"", b"Content-Disposition: form-data; name=a", b"Content-Disposition: form-data; name=b")
            + LAST,
            {},
            "more than one",
        ),
        (field("a", b"", '; name="b"') + LAST, {}, "given twice"),
    ],
)
async def test_what_is_refused(body: bytes, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(MultiPartException, match=message):
        await multipart(body, **limits)


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a\tb", "a\x7fb", "é"])
async def test_boundaries_that_are_none(boundary: str) -> None:
    with pytest.raises(MultiPartException):
        await multipart(b"", f'multipart/form-data; boundary="{boundary}"')


async def test_rfc_2231_names_are_not_read() -> None:
    form = await multipart(field("a", b"1", "; filename*=utf-8''evil.txt") + LAST)
    assert form["a"] == "1"


async def test_files_are_closed_after_an_error() -> None:
    parser = MultiPartParser(
        Headers({"content-type": "multipart/form-data; boundary=frontier"}),
        chunks(field("f", b"x", '; filename="x"') + b"--frontierx"),
    )
    with pytest.raises(MultiPartException):
        await parser.parse()
    assert [file.closed for file in parser._files_to_close] == [True]


async def urlencoded(body: bytes, size: int = 7, **limits: Any) -> FormData:
    return await FormParser(Headers({}), chunks(body, size), **limits).parse()


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=6), st.integers(1, 20))
async def test_urlencoded_however_it_is_cut(pairs: list[tuple[str, str]], size: int) -> None:
    from urllib.parse import parse_qsl, urlencode

    body = urlencode([(name, value.encode("utf-8", "replace")) for name, value in pairs]).encode()
    assert (await urlencoded(body, size)).multi_items() == parse_qsl(body.decode(), keep_blank_values=True)


async def test_urlencoded_limits_and_grammar() -> None:
    # `;` separates nothing (WHATWG URL)
    assert (await urlencoded(b"a=1;b=2&c&=d&&%zz=%C3%A9+x")).multi_items() == [
        ("a", "1;b=2"),
        ("c", ""),
        ("", "d"),
        ("%zz", "é x"),
    ]
    with pytest.raises(MultiPartException, match="Too many fields"):
        await urlencoded(b"a=1&" * 11, max_fields=10)
    for body in (b"a=" + b"x" * 3000, b"x" * 3000):
        with pytest.raises(MultiPartException, match="Field exceeded maximum size of 1KB"):
            await urlencoded(body, max_part_size=1024)


async def test_bad_forms_are_400_in_an_application() -> None:
    async def endpoint(request: Request) -> JSONResponse:
        async with request.form(max_fields=2) as form:
            return JSONResponse(dict(form))

    app = Application(routes=[Route("/", endpoint, methods=["POST"])])
    plain = [(b"content-type", b"application/x-www-form-urlencoded")]
    assert (await call(app, "/", "POST", body=b"a=1&b=2", headers=plain)).body == b'{"a":"1","b":"2"}'
    assert (await call(app, "/", "POST", body=b"a&b&c", headers=plain)).status == 400
    multi = [(b"content-type", b"multipart/form-data; boundary=frontier")]
    assert (await call(app, "/", "POST", body=b"x", headers=multi)).status == 400
    assert (await call(app, "/", "POST", body=b"x", headers=[(b"content-type", b'a; b="')])).body == b"{}"
