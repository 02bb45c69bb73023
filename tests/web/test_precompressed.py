"""Static files in several codings, and how long they are fresh: RFC 9110 §8.8.3.3, §12.5.3, §13, §14; RFC 8246."""

from __future__ import annotations

import gzip
import os
import re
from typing import TYPE_CHECKING, Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call
from tidegate.asgi.compression import CODINGS, compress
from tidegate.web.middleware.compression import CompressionMiddleware
from tidegate.web.staticfiles import HASHED_NAME, StaticFiles

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

SCRIPT = b"console.log('tide');\n" * 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    for coding, suffix in (("zstd", "zst"), ("br", "br"), ("gzip", "gz")):
        (root / f"app.js.{suffix}").write_bytes(compress(coding, SCRIPT))
    (root / "docs" / "index.html").write_text("<h1>docs</h1>")
    (root / "docs" / "index.html.gz").write_bytes(gzip.compress(b"<h1>docs</h1>"))
    (root / "plain.txt").write_text("plain")
    (root / "app.js").write_bytes(SCRIPT)
    for each in root.rglob("*.*"):
        os.utime(each, (1_700_000_000, 1_700_000_000))
    return root


async def get(app: Any, path: str, method: str = "GET", **headers: str) -> Sent:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return await call(app, path, method, headers=fields)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br;q=0.9", "gzip"),
        ("br, gzip", "br"),
        ("identity", None),
        ("zstd;q=0", None),
    ],
)
async def test_the_form_that_the_client_likes_best(root: Path, accept: str, coding: str | None) -> None:
    app = StaticFiles(directory=root, precompressed=True)
    sent = await get(app, "/app.js", accept_encoding=accept)
    assert sent.headers.get("content-encoding") == coding
    assert sent.headers["content-type"].startswith("text/javascript")
    assert sent.headers["vary"] == "Accept-Encoding"
    assert sent.body == (compress(coding, SCRIPT) if coding else SCRIPT)
    assert sent.headers["content-length"] == str(len(sent.body))
    head = await get(app, "/app.js", "HEAD", accept_encoding=accept)
    assert (head.headers, head.body) == (sent.headers, b"")


async def test_only_what_is_asked_for(root: Path) -> None:
    everything = {"accept_encoding": "zstd, br, gzip"}
    assert "content-encoding" not in (await get(StaticFiles(directory=root), "/app.js", **everything)).headers
    some = StaticFiles(directory=root, precompressed=("br",))
    assert (await get(some, "/app.js", **everything)).headers["content-encoding"] == "br"
    sent = await get(some, "/plain.txt", **everything)
    assert (sent.body, "vary" in sent.headers) == (b"plain", False)
    with pytest.raises(ValueError, match="deflate"):
        StaticFiles(directory=root, precompressed=["deflate"])


async def test_index_pages(root: Path) -> None:
    sent = await get(
        StaticFiles(directory=root, html=True, precompressed=True), "/docs/", accept_encoding="gzip"
    )
    assert gzip.decompress(sent.body) == b"<h1>docs</h1>"
    assert sent.headers["content-type"].startswith("text/html")


async def test_each_form_has_a_tag_and_ranges_of_its_own(root: Path) -> None:
    app = StaticFiles(directory=root, precompressed=True)
    sent = {coding: await get(app, "/app.js", accept_encoding=coding) for coding in (*CODINGS, "identity")}
    tags = {coding: each.headers["etag"] for coding, each in sent.items()}
    assert len(set(tags.values())) == 4
    for coding, tag in tags.items():
        for other in tags:
            again = await get(app, "/app.js", accept_encoding=other, if_none_match=tag)
            assert again.status == (304 if other == coding else 200)
            assert again.headers["vary"] == "Accept-Encoding"
        part = await get(app, "/app.js", accept_encoding=coding, range="bytes=3-9", if_range=tag)
        assert (part.status, part.body) == (206, sent[coding].body[3:10])
    many = await get(app, "/app.js", accept_encoding="br", range="bytes=0-1,5-6")
    assert many.status == 206
    assert many.headers["content-encoding"] == "br"
    assert many.headers["content-type"].startswith("multipart/byteranges")
    missed = await get(app, "/app.js", accept_encoding="br", if_match=tags["gzip"])
    assert missed.status == 412


async def test_a_form_that_is_older_is_not_sent(root: Path) -> None:
    os.utime(root / "app.js", (1_700_000_001, 1_700_000_001))
    sent = await get(StaticFiles(directory=root, precompressed=True), "/app.js", accept_encoding="br")
    assert (sent.body, "content-encoding" in sent.headers) == (SCRIPT, False)


async def test_nothing_outside_is_sent(root: Path) -> None:
    """Not by a form that leads there, nor a directory as one."""
    (root.parent / "secret.gz").write_bytes(gzip.compress(b"secret"))
    (root / "plain.txt.gz").symlink_to(root.parent / "secret.gz")
    (root / "plain.txt.br").mkdir()
    app = StaticFiles(directory=root, precompressed=True)
    assert (await get(app, "/plain.txt", accept_encoding="gzip, br")).body == b"plain"
    linked = StaticFiles(directory=root, precompressed=True, follow_symlink=True)
    assert gzip.decompress((await get(linked, "/plain.txt", accept_encoding="gzip")).body) == b"secret"


async def test_a_name_that_is_too_long_with_its_suffix(root: Path) -> None:
    name = "a" * 253
    (root / name).write_text("long")
    sent = await get(StaticFiles(directory=root, precompressed=True), f"/{name}", accept_encoding="gzip, br")
    assert sent.body == b"long"


async def test_compression_leaves_them_alone(root: Path) -> None:
    app = CompressionMiddleware(StaticFiles(directory=root, precompressed=["br"]), minimum_size=0)
    sent = await get(app, "/app.js", accept_encoding="br, gzip;q=0.5")
    assert brotli.decompress(sent.body) == SCRIPT
    sent = await get(app, "/app.js", accept_encoding="gzip")
    assert gzip.decompress(sent.body) == SCRIPT
    assert sent.headers["vary"] == "Accept-Encoding"


async def test_a_file_that_vanishes_before_it_is_sent(root: Path) -> None:
    class Racing(StaticFiles):
        def file_response(self, full_path: Any, *args: Any, **kwargs: Any) -> Any:
            response = super().file_response(full_path, *args, **kwargs)
            os.unlink(full_path)
            return response

    with pytest.raises(FileNotFoundError):  # nothing has been sent: a 500
        await get(Racing(directory=root, precompressed=True), "/app.js", accept_encoding="br")


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("app.3f2a9c1b.js", True),
        ("app-3f2a9c1b77d0e5aa.min.css", True),
        ("logo_0123456789abcdef0123456789abcdef.png", True),
        ("app.js", False),
        ("report-20240131.pdf", False),  # a date
        ("app.deadbeef.js", False),  # a word, perhaps
        ("app.3f2a9c1.js", False),  # too short to be no chance
        ("3f2a9c1b", False),
        ("app.3F2A9C1B.js", False),
    ],
)
async def test_hashed_names_never_change(tmp_path: Path, name: str, hashed: bool) -> None:
    (tmp_path / name).write_text("x")
    sent = await get(StaticFiles(directory=tmp_path, immutable=True, max_age=60), f"/{name}")
    expected = "public, max-age=31536000, immutable" if hashed else "public, max-age=60"
    assert sent.headers["cache-control"] == expected
    again = await get(
        StaticFiles(directory=tmp_path, immutable=True, max_age=60),
        f"/{name}",
        if_none_match=sent.headers["etag"],
    )
    assert (again.status, again.headers["cache-control"]) == (304, expected)


@given(st.text(alphabet="0123456789abcdef.-_xyz", max_size=40))
def test_what_a_hashed_name_is(name: str) -> None:
    expected = any(
        8 <= len(piece) <= 64
        and set(piece) <= set("0123456789abcdef")
        and set(piece) & set("0123456789")
        and set(piece) & set("abcdef")
        for piece in re.findall(r"(?<=[.\-_])[0-9a-f]+(?=\.)", name)
    )
    assert bool(HASHED_NAME.search(name)) is bool(expected)


async def test_own_patterns_and_ages(root: Path) -> None:
    for pattern in (r"^app\.", re.compile(r"^app\.")):
        app = StaticFiles(directory=root, immutable=pattern)
        assert "immutable" in (await get(app, "/app.js")).headers["cache-control"]
        assert "cache-control" not in (await get(app, "/plain.txt")).headers
    sent = await get(StaticFiles(directory=root, max_age=0), "/plain.txt")
    assert sent.headers["cache-control"] == "public, max-age=0"
    with pytest.raises(ValueError, match="negative"):
        StaticFiles(directory=root, max_age=-1)
