"""Streaming multipart/form-data: RFC 7578, RFC 2046 §5.1; what goes wrong while it streams."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import http_scope
from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.formparsers import MultiPartException
from tidegate.web.multipart import MultipartError
from tidegate.web.requests import ClientDisconnect, Request
from tidegate.web.responses import FileResponse, JSONResponse, Response, StreamingResponse
from tidegate.web.testclient import AsyncTestClient, TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

TYPE = "multipart/form-data; boundary=b"


def part(data: bytes, name: str = "a", extra: str = "") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def file(data: bytes, name: str = "f") -> bytes:
    return part(data, name, f'; filename="{name}.bin"')


END = b"--b--\r\n"


def request(pieces: list[bytes], content_type: str = TYPE, whole: bool = True) -> Request[Any]:
    """Without `whole` the client goes after the last piece."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b""} if whole else {"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0)

    scope = http_scope("/", "POST", headers=[(b"content-type", content_type.encode())])
    found: Request[Any] = Request(scope, receive)
    found.left = messages  # type: ignore[attr-defined]
    return found


async def test_parts_in_turn() -> None:
    body = part(b"hello", "text") + file(b"octets" * 1000) + part("é".encode(), "é") + END
    seen = [
        (each.name, each.filename, each.content_type, len(await each.read()))
        async for each in request([body]).parts()
    ]
    assert seen == [("text", None, None, 5), ("f", "f.bin", None, 6000), ("é", None, None, 2)]


async def test_data_comes_as_it_arrives() -> None:
    """Nothing of the body is asked for before it is read."""
    incoming = request([file(b"x" * 10)[:-2], b"y" * 10, b"\r\n" + END])
    async for each in incoming.parts():
        assert len(incoming.left) == 3  # type: ignore[attr-defined]
        sizes = [len(data) async for data in each]
        assert sizes == [10, 10]
        assert (each.size, each.ended) == (20, True)
    assert incoming.left == []  # type: ignore[attr-defined]


async def test_unread_parts_are_passed_over() -> None:
    body = file(b"1" * 100_000) + part(b"wanted", "text") + file(b"2" * 100_000) + END
    pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)]
    passed = []
    async for each in request(pieces).parts():
        if each.name == "text":
            assert await each.text() == "wanted"
        elif not passed:
            assert await anext(each) != b""  # begun only
        passed.append(each)
    assert [each.size for each in passed] == [100_000, 6, 100_000]
    with pytest.raises(RuntimeError, match="passed over"):
        await passed[0].read()


async def test_a_part_that_is_read_has_nothing_more() -> None:
    async for each in request([part(b"x") + END]).parts():
        assert (await each.read(), await each.read()) == (b"x", b"")


@given(
    bodies=st.lists(st.binary(max_size=100), max_size=5),
    size=st.integers(min_value=1, max_value=50),
    how=st.sampled_from(["read", "iterate", "pass"]),
)
def test_any_parts_in_any_pieces(bodies: list[bytes], size: int, how: str) -> None:
    bodies = [body.replace(b"--b", b"--x") for body in bodies]
    octets = b"".join(map(file, bodies)) + END
    pieces = [octets[i : i + size] for i in range(0, len(octets), size)]

    async def run() -> list[bytes]:
        found = []
        async for each in request(pieces).parts():
            if how == "read":
                found.append(await each.read())
            elif how == "iterate":
                found.append(b"".join([data async for data in each]))
            else:
                found.append(b"")
        return found

    assert anyio.run(run) == (bodies if how != "pass" else [b""] * len(bodies))


async def test_to_a_path(tmp_path: Path) -> None:
    target = tmp_path / "upload.bin"
    target.write_bytes(b"before")
    data = bytes(range(256)) * 4000
    body = file(data) + END
    pieces = [body[i : i + 60_000] for i in range(0, len(body), 60_000)]
    async for each in request(pieces).parts():
        assert await each.save(target) == len(data)
    assert target.read_bytes() == data
    assert list(tmp_path.iterdir()) == [target]


async def test_to_files(tmp_path: Path) -> None:
    blocking = io.BytesIO()
    async with await anyio.open_file(tmp_path / "async", "w+b") as coroutines:
        sinks: list[Any] = [blocking, coroutines]
        async for each in request([file(b"1" * 300_000) + file(b"2" * 9) + END]).parts():
            await each.save(sinks.pop(0))
    assert blocking.getvalue() == b"1" * 300_000
    assert (tmp_path / "async").read_bytes() == b"2" * 9


async def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """/dev/full is one; a path keeps its file, and no other is left."""
    with open("/dev/full", "wb", buffering=0) as full:
        async for each in request([file(b"x" * 1000) + END]).parts():
            with pytest.raises(OSError) as raised:
                await each.save(full)
            assert raised.value.errno == errno.ENOSPC
    target = tmp_path / "no-such-directory" / "upload"
    async for each in request([file(b"x") + END]).parts():
        with pytest.raises(FileNotFoundError):
            await each.save(target)


async def test_a_client_that_goes_in_the_middle(tmp_path: Path) -> None:
    target = tmp_path / "upload"
    target.write_bytes(b"before")
    parts = request([file(b"x" * 1000)[:500]], whole=False).parts()
    each = await anext(parts)
    with pytest.raises(ClientDisconnect):
        await each.save(target)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


async def test_sizes(tmp_path: Path) -> None:
    body = [file(b"x" * 1000) + END]
    for read in (
        lambda each: each.read(999),
        lambda each: each.text(999),
        lambda each: each.save(tmp_path / "x", 999),
    ):
        each = await anext(request(body).parts())
        with pytest.raises(HTTPException) as raised:
            await read(each)
        assert raised.value.status_code == 413
    assert list(tmp_path.iterdir()) == []
    parts = request(body).parts(max_part_size=999)
    await anext(parts)
    with pytest.raises(HTTPException, match="413"):  # passed over, and still too large
        await anext(parts)
    assert [len(await each.read(1000)) async for each in request(body).parts(max_part_size=1000)] == [1000]


MALFORMED = [
    (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", 'header field "name"'),
    (file(b"x"), "ends before"),
    (b"--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n", "given twice"),
    (b"--bx\r\n\r\n", "followed by other data"),
    (part(b"") * 11 + END, "Too many parts"),
]


@pytest.mark.parametrize(("body", "message"), MALFORMED, ids=[message for _, message in MALFORMED])
async def test_what_is_malformed(body: bytes, message: str) -> None:
    async def read() -> None:
        async for each in request([body]).parts(max_parts=10):
            await each.read()

    with pytest.raises(MultiPartException, match=message):
        await read()
    app = Application()

    @app.post("/")
    async def endpoint(incoming: Request) -> Response:
        return JSONResponse([len(await each.read()) async for each in incoming.parts(max_parts=10)])

    response = await AsyncTestClient(app).post("/", content=body, headers={"content-type": TYPE})
    assert response.status_code == 400
    assert message in response.text


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("application/json", HTTPException),
        ("multipart/form-data", MultiPartException),
        ("multipart/form-data; boundary=" + "x" * 71, MultiPartException),
    ],
)
async def test_other_types(content_type: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await anext(request([END], content_type).parts())


async def test_after_the_body_was_read_as_a_whole() -> None:
    incoming = request([part(b"x") + END])
    await incoming.body()
    assert [await each.read() async for each in incoming.parts()] == [b"x"]


def site() -> Application:
    app = Application()

    @app.post("/")
    async def endpoint(incoming: Request) -> Response:
        found = {}
        async for each in incoming.parts():
            found[each.name] = [len(data) async for data in each]
        return JSONResponse(found)

    return app


def streamed() -> Iterator[bytes]:
    yield file(b"x" * 5)[:-2]
    yield b"x" * 7
    yield b"\r\n" + END


async def astreamed() -> AsyncIterator[bytes]:
    for piece in streamed():
        yield piece


async def test_the_clients_stream_what_they_send() -> None:
    """Piece by piece, as it is made."""
    headers = {"content-type": TYPE}
    assert TestClient(site()).post("/", content=streamed(), headers=headers).json() == {"f": [5, 7]}
    response = await AsyncTestClient(site()).post("/", content=astreamed(), headers=headers)
    assert response.json() == {"f": [5, 7]}
    for files in ({"f": ("f", b"octets")}, {"f": ("f", io.BytesIO(b"octets"))}):
        assert TestClient(site()).post("/", files=files).json() == {"f": [6]}
        assert (await AsyncTestClient(site()).post("/", files=files)).json() == {"f": [6]}


async def test_a_client_that_fails_has_gone() -> None:
    gone: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await Request(scope, receive).body()
        except ClientDisconnect:
            gone.append("gone")

    def fails() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    async def afails() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TestClient(app).post("/", content=fails())
    with pytest.raises(ZeroDivisionError):
        await AsyncTestClient(app).post("/", content=afails())
    assert gone == ["gone", "gone"]


def replaced(*, cut: bool = False) -> Application:
    """A stream whose parts replace each other, and a file."""
    app = Application()

    async def content() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"--x\r\nContent-Type: text/plain\r\n\r\n%d" % number
            yield b"\r\n"
        yield b"" if cut else b"--x--"

    @app.get("/")
    async def endpoint(incoming: Request) -> Response:
        return StreamingResponse(content(), media_type="multipart/x-mixed-replace; boundary=x")

    @app.get("/file")
    async def ranges(incoming: Request) -> Response:
        return FileResponse(__file__)

    return app


async def test_the_clients_read_parts() -> None:
    with TestClient(replaced()).parts("/") as parts:
        assert [(each.headers["content-type"], each.content) for each in parts] == [
            ("text/plain", b"0"),
            ("text/plain", b"1"),
            ("text/plain", b"2"),
        ]
    async with AsyncTestClient(replaced()).parts("/") as aparts:
        assert (await anext(aparts)).content == b"0"  # and leaves
    async with AsyncTestClient(replaced()).parts("/file", headers={"range": "bytes=0-2,9-11"}) as aparts:
        assert [each.content for each in [part async for part in aparts]] == [b'"""', b"ing"]
    with (
        TestClient(replaced(cut=True)).parts("/") as parts,
        pytest.raises(MultipartError, match="ends before"),
    ):
        list(parts)
    with TestClient(replaced()).parts("/file") as parts, pytest.raises(RuntimeError, match="No multipart"):
        next(parts)
