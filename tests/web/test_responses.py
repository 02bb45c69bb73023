"""Responses: HEAD, header fields, files with their conditions and ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call
from tidegate.asgi.preconditions import entity_tags, http_date
from tidegate.asgi.ranges import (
    MalformedRangeHeader,
    RangeNotSatisfiable,
    parse_range,
)
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask, BackgroundTasks
from tidegate.web.datastructures import Headers, MutableHeaders
from tidegate.web.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from tidegate.web.routing import Route

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "digits.txt"
    path.write_bytes(b"0123456789")
    return path


async def test_head_has_the_headers_and_no_body() -> None:
    sent = await call(PlainTextResponse("hello"), "/", "HEAD")
    assert (sent.headers["content-length"], sent.body) == ("5", b"")


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=1", "a\nb", "a\rb", "a\x00b"])
def test_no_value_starts_another_header(value: str) -> None:
    with pytest.raises(ValueError):
        Response(headers={"x": value})
    with pytest.raises(ValueError):
        Response().headers["x"] = value
    with pytest.raises(ValueError):
        Response().set_cookie("x", "1", path=f"/{value}")
    with pytest.raises(ValueError):
        MutableHeaders().append("x", value)
    with pytest.raises(ValueError):
        Response(media_type=f"text/{value}")
    location = RedirectResponse(f"/{value}").headers["location"]
    assert not set("\r\n\0") & set(location)


@pytest.mark.parametrize("name", ["a b", "a:b", "", "é", "a\n"])
def test_header_names_are_tokens(name: str) -> None:
    with pytest.raises(ValueError):
        Response(headers={name: "x"})


async def get(path: Path, **headers: str) -> Sent:
    fields = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return await call(FileResponse(path), "/", headers=fields)


async def test_conditional_requests_for_files(file: Path) -> None:
    full = await get(file)
    etag, modified = full.headers["etag"], full.headers["last-modified"]
    assert (full.status, full.body) == (200, b"0123456789")
    for headers in [
        {"if_none_match": etag},
        {"if_none_match": f'"x", W/{etag}'},
        {"if_none_match": "*"},
        {"if_modified_since": modified},
    ]:
        sent = await get(file, **headers)
        assert (sent.status, sent.body) == (304, b"")
        assert sent.headers["etag"] == etag
        assert "content-length" not in sent.headers
    for headers in [
        {"if_none_match": '"x"'},
        {"if_none_match": '"x"', "if_modified_since": modified},
        {"if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"if_modified_since": "nonsense"},
        {"if_match": etag},
        {"if_match": "*"},
        {"if_unmodified_since": modified},
    ]:
        assert (await get(file, **headers)).status == 200
    for headers in [{"if_match": '"x"'}, {"if_unmodified_since": "Thu, 01 Jan 1970 00:00:00 GMT"}]:
        assert (await get(file, **headers)).status == 412


async def test_ranges_of_files(file: Path) -> None:
    sent = await get(file, range="bytes=2-4")
    assert (sent.status, sent.body, sent.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    sent = await get(file, range="bytes=-3")
    assert sent.body == b"789"
    sent = await get(file, range="bytes=0-1,8-")
    assert sent.status == 206
    assert len(sent.body) == int(sent.headers["content-length"])
    assert sent.body.count(b"Content-Range: bytes ") == 2
    # RFC 9110 §14.1.2: satisfiable if one of its members is
    assert (await get(file, range="bytes=0-1,30-40")).body == b"01"
    assert (await get(file, range="bytes=30-")).status == 416
    # RFC 9110 §14.2: another unit is ignored
    assert (await get(file, range="lines=0-1")).body == b"0123456789"
    assert (await get(file, range="bytes=5-2")).status == 400
    assert (await get(file, range="bytes=" + ",".join(f"{i}-{i}" for i in range(0, 400, 2)))).status == 200


async def test_if_range(file: Path) -> None:
    full = await get(file)
    assert (await get(file, range="bytes=0-1", if_range=full.headers["etag"])).status == 206
    assert (await get(file, range="bytes=0-1", if_range=full.headers["last-modified"])).status == 206
    assert (await get(file, range="bytes=0-1", if_range='"other"')).status == 200
    assert (await get(file, range="bytes=0-1", if_range="W/" + full.headers["etag"])).status == 200


async def test_head_never_opens_the_file(file: Path) -> None:
    response = FileResponse(file, stat_result=file.stat())
    file.unlink()
    sent = await call(response, "/", "HEAD")
    assert (sent.status, sent.headers["content-length"], sent.body) == (200, "10", b"")


async def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not exist"):
        await call(FileResponse(tmp_path / "none"), "/")
    with pytest.raises(RuntimeError, match="is not a file"):
        await call(FileResponse(tmp_path), "/")


@given(st.text(alphabet="bytes=0123456789-, \t*", max_size=60), st.integers(0, 50))
def test_any_range_gives_sorted_disjoint_ranges_inside_the_file(value: str, size: int) -> None:
    try:
        ranges = parse_range(value, size, 100)
    except (MalformedRangeHeader, RangeNotSatisfiable):
        return
    if ranges is None:
        return
    position = -1
    for start, end in ranges:
        assert 0 <= start < end <= size
        assert start > position
        position = end


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8))
def test_ranges_cover_what_was_asked(asked: list[tuple[int, int]]) -> None:
    size = 20
    field = "bytes=" + ",".join(f"{min(pair)}-{max(pair)}" for pair in asked)
    wanted = {i for pair in asked for i in range(min(pair), max(pair) + 1) if i < size}
    try:
        ranges = parse_range(field, size, 100)
    except RangeNotSatisfiable:
        assert not wanted
        return
    assert ranges is not None
    assert {i for start, end in ranges for i in range(start, end)} == wanted


def test_ranges_are_linear() -> None:
    assert parse_range("bytes=" + "0-0," * 1_000_000, 10, 100) is None
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=" + "9" * 1_000_000 + "-", 10, 100)
    with pytest.raises(MalformedRangeHeader):
        parse_range("bytes=" + "9" * 1_000_000 + "x-", 10, 100)


@pytest.mark.parametrize("digits", ["9", "18446744073709551615", "9" * 5000, "0" * 5000 + "9"])
def test_what_is_past_the_end_is_the_end(digits: str) -> None:
    # RFC 9110 §14.1.2
    assert parse_range(f"bytes=0-{digits}", 10, 100) == [(0, 10)]
    assert parse_range(f"bytes=-{digits}", 9, 100) == [(0, 9)]
    assert parse_range("bytes=" + "0" * 5000 + "3-4", 9, 100) == [(3, 5)]


@given(st.text(max_size=40))
def test_dates_and_tags_never_raise(value: str) -> None:
    http_date(value)
    entity_tags(value)


async def test_one_failing_background_task_stops_no_other() -> None:
    ran: list[str] = []

    def fails() -> None:
        raise LookupError("first")

    async def runs() -> None:
        ran.append("second")

    tasks = BackgroundTasks([BackgroundTask(fails)])
    tasks.add_task(runs)
    with pytest.raises(LookupError):
        await call(Response(background=tasks), "/")
    assert ran == ["second"]
    tasks.add_task(fails)
    with pytest.raises(ExceptionGroup):
        await tasks()


async def test_a_stream_is_not_read_past_the_client() -> None:
    produced = 0

    async def endless() -> Any:
        nonlocal produced
        while True:
            produced += 1
            yield b"x"

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    app = Application(routes=[Route("/", lambda request: StreamingResponse(endless()))])
    from tests.web.conftest import http_scope
    from tidegate.web.requests import ClientDisconnect

    with pytest.raises(ClientDisconnect):
        await app(http_scope("/"), None, send)  # type: ignore[arg-type]
    assert produced == 1


def test_vary() -> None:
    headers = MutableHeaders()
    headers.add_vary_header("Cookie")
    headers.add_vary_header("cookie")
    headers.add_vary_header("Accept-Encoding, Cookie")
    assert headers["vary"] == "Cookie, Accept-Encoding"
    star = MutableHeaders({"vary": "*"})
    star.add_vary_header("Cookie")
    assert star["vary"] == "*"
    assert Headers({"A": "1"})["a"] == "1"
