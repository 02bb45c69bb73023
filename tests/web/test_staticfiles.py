"""Static files: what is outside the directory does not exist, however it is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.conftest import call
from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.routing import Mount
from tidegate.web.staticfiles import StaticFiles

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory `public` with files, beside what nobody may read."""
    public = tmp_path / "public"
    (public / "docs").mkdir(parents=True)
    (public / "empty").mkdir()
    (public / "a.txt").write_text("public")
    (public / "docs" / "index.html").write_text("<h1>docs</h1>")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "public-not").mkdir()
    (tmp_path / "public-not" / "secret.txt").write_text("secret")
    (public / "link.txt").symlink_to(tmp_path / "secret.txt")
    (public / "inside.txt").symlink_to(public / "a.txt")
    (public / "loop").symlink_to(public / "loop")
    return public


def site(root: Path, **options: Any) -> Application:
    return Application(routes=[Mount("/static", StaticFiles(directory=root, **options))])


async def test_files(root: Path) -> None:
    app = site(root)
    sent = await call(app, "/static/a.txt")
    assert (sent.status, sent.body, sent.headers["content-type"]) == (
        200,
        b"public",
        "text/plain; charset=utf-8",
    )
    assert (await call(app, "/static/docs/index.html")).status == 200
    assert (await call(app, "/static/docs")).status == 404
    assert (await call(app, "/static/inside.txt")).body == b"public"
    head = await call(app, "/static/a.txt", "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "6", b"")
    again = await call(app, "/static/a.txt", headers=[(b"if-none-match", sent.headers["etag"].encode())])
    assert (again.status, again.headers["etag"], again.body) == (304, sent.headers["etag"], b"")
    assert "content-length" not in again.headers
    refused = await call(app, "/static/a.txt", "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/../public-not/secret.txt",
        "/..\\secret.txt",
        "/C:/secret.txt",
        "/C:secret.txt",
        "/\\\\host\\share\\secret.txt",
        "/\\secret.txt",
        "/a.txt\0",
        "/a.txt\0.png",
        "/" + "x" * 300,
        "/missing.txt",
        "/a.txt/b",
        "/link.txt",
        "/loop",
        "/empty/",
        "/",
        "",
    ],
)
@pytest.mark.parametrize("html", [False, True])
async def test_what_does_not_exist(root: Path, path: str, html: bool) -> None:
    sent = await call(site(root, html=html), "/static" + path)
    assert b"secret" not in sent.body
    assert sent.status == (307 if path == "" else 404)


async def test_absolute_paths(root: Path) -> None:
    secret = os.fspath(root.parent / "secret.txt")
    for path in (secret, "/" + secret, "/./" + secret):
        assert (await call(site(root), "/static" + path)).status == 404
    # Called by itself, as a subclass may.
    files = StaticFiles(directory=root)
    assert files.lookup_path(secret) == ("", None)
    assert files.lookup_path("../secret.txt") == ("", None)
    assert files.lookup_path("..\\..\\secret.txt")[1] is None


async def test_links_are_followed_only_when_told(root: Path) -> None:
    app = site(root, follow_symlink=True)
    assert (await call(app, "/static/link.txt")).body == b"secret"
    assert (await call(app, "/static/../secret.txt")).status == 404


@settings(max_examples=50, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            ["..", ".", "", "docs", "a.txt", "secret.txt", "public-not", "public", "\\", "C:", "\0", "~"]
        )
    )
)
def test_no_path_leads_outside(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "outside"
    public = base / "public"
    public.mkdir(parents=True, exist_ok=True)
    (base / "secret.txt").write_text("secret")
    files = StaticFiles(directory=public)
    path = files.get_path({"path": "/" + "/".join(parts), "root_path": ""})
    try:
        found, _ = files.lookup_path(path)
    except ValueError:  # a NUL
        return
    assert not found or found == str(public.resolve()) or found.startswith(str(public.resolve()) + os.sep)


async def test_html(root: Path) -> None:
    app = site(root, html=True)
    assert (await call(app, "/static/docs/")).body == b"<h1>docs</h1>"
    sent = await call(app, "/static/docs")
    assert (sent.status, sent.headers["location"]) == (307, "http://example.org/static/docs/")
    (root / "404.html").write_text("<h1>none</h1>")
    missing = await call(app, "/static/missing")
    assert (missing.status, missing.body) == (404, b"<h1>none</h1>")


async def test_a_redirect_to_a_directory_stays_on_the_host(root: Path) -> None:
    app = StaticFiles(directory=root, html=True)
    sent = await call(app, "//docs", headers=[], server=None)
    assert sent.headers["location"].startswith("/%2Fdocs")


async def test_packages() -> None:
    app = StaticFiles(packages=[("tests.web", ".")])
    assert b"The messages that an application sent" in (await call(app, "/conftest.py")).body
    with pytest.raises(AssertionError, match="could not be found"):
        StaticFiles(packages=["no_such_package"])
    with pytest.raises(AssertionError, match="Directory 'statics'"):
        StaticFiles(packages=["tests.web"])


async def test_configuration(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not exist"):
        StaticFiles(directory=tmp_path / "none")
    with pytest.raises(RuntimeError, match="does not exist"):
        await call(StaticFiles(directory=tmp_path / "none", check_dir=False), "/a")
    with pytest.raises(RuntimeError, match="is not a directory"):
        await call(StaticFiles(directory=root / "a.txt", check_dir=False), "/a")


async def test_websockets_are_closed(root: Path) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    await StaticFiles(directory=root)({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_a_file_that_may_not_be_read(root: Path) -> None:
    class Refused(StaticFiles):
        def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
            raise PermissionError

    with pytest.raises(HTTPException) as caught:
        await call(Refused(directory=root), "/a.txt")
    assert caught.value.status_code == 401

    async def another(scope: Any, receive: Any, send: Any) -> None:
        """A framework that does not know the exception."""
        await Refused(directory=root)({**scope, "app": another}, receive, send)

    assert (await call(another, "/a.txt")).status == 401

    class Failing(StaticFiles):
        def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        await call(Failing(directory=root), "/a.txt")
