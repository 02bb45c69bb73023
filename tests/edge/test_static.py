"""Static files over real connections: methods, validators, ranges, encoded siblings, what is not served."""

import os
import re
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.edge.conftest import FILES
from tests.support.inprocess import Serving, serving
from tests.support.process import eventually
from tests.support.tls import Authority
from tests.support.wire import Client
from tidegate.config import TLS, Edge
from tidegate.config.edge import CacheRule, Mount, Route

MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
BEFORE = "Tue, 14 Nov 2023 22:13:19 GMT"
AFTER = formatdate(1_800_000_000, usegmt=True)
LARGE = FILES["large.bin"]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"from the application"})


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest, tree: Path) -> Iterator[Serving]:
    edge = Edge(
        static=(Mount("/static", str(tree)), Mount("/static/deep", str(tree / "d"))),
        static_cache=(CacheRule("d/*", "max-age=60"), CacheRule("*.html", "no-cache")),
        route=(Route("/static", headers=((b"x-frame-options", b"DENY"),), cache_control="max-age=5"),),
    )
    with serving(hello, loop=request.param, edge=edge) as server:
        yield server
        assert server.loop_errors == []


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.mark.parametrize("name", [name for name in FILES if name != ".hidden"])
def test_content(client: Client, name: str) -> None:
    path = name.encode().replace(b"%", b"%25").replace(b" ", b"%20").decode("latin-1")
    for _ in range(2):  # as it is opened, and as it is remembered
        answer = client.request("GET", f"/static/{path}")
        assert (answer.status, answer.body) == (200, FILES[name])
        assert answer.header("last-modified") == MODIFIED.encode()
        assert answer.header("accept-ranges") == b"bytes"
        assert answer.header("x-content-type-options") == b"nosniff"
        head = client.request("HEAD", f"/static/{path}")
        assert [field for field in head.headers if field[0] != b"date"] == [
            field for field in answer.headers if field[0] != b"date"
        ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("page.html", "text/html; charset=utf-8"),
        ("d/data.json", "application/json"),
        ("coded.css", "text/css; charset=utf-8"),
        ("coded.css.gz", "application/gzip"),
        ("coded.css.br", "application/octet-stream"),
        ("small.bin", "application/octet-stream"),
        ("empty", "application/octet-stream"),
    ],
)
def test_types(client: Client, name: str, expected: str) -> None:
    assert client.request("GET", f"/static/{name}").header("content-type") == expected.encode()


def test_cache_control(client: Client) -> None:
    def cache_control(path: str) -> bytes | None:
        return client.request("GET", path).header("cache-control")

    assert cache_control("/static/d/index.html") == b"max-age=60"  # the first pattern that matches
    assert cache_control("/static/page.html") == b"no-cache"
    assert cache_control("/static/a.txt") == b"max-age=5"  # the route's
    assert client.request("GET", "/static/a.txt").header("x-frame-options") == b"DENY"


@pytest.mark.parametrize(
    "path",
    [
        "nothing", "nothing/", "a.txt/", "a.txt/b", "bare", "bare/", "fifo", "loop", "dangling", "x" * 3000,
        ".hidden", "d/../a.txt", "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt",
        "d/%2e%2e/%2e%2e/secret.txt", "d/./data.json", "..", ".", "..%5csecret.txt", "outside",
        "outside-relative", "outside-dir/a.txt", "outside-dir/", "outside-dir", "outside-twin/a.txt", "%ff",
        "%ed%a0%80", "%u002e", "a.txt%20", "A.TXT", "deep/a.txt",
    ],
)  # fmt: skip
def test_what_is_not_there(client: Client, path: str) -> None:
    answer = client.request("GET", f"/static/{path}")
    assert answer.status == 404
    assert b"secret" not in answer.body
    assert client.request("POST", f"/static/{path}", body=b"x").status == 404


def test_what_is_there_all_the_same(client: Client) -> None:
    for path, name in (
        ("inside", "a.txt"),
        ("inside-dir/data.json", "d/data.json"),
        ("d%2fdata.json", "d/data.json"),
        ("//d///data.json", "d/data.json"),
        ("%61.txt", "a.txt"),
        ("a.txt?query=1", "a.txt"),
        ("d/", "d/index.html"),
        ("deep/", "d/index.html"),
        ("deep/data.json", "d/data.json"),
    ):
        answer = client.request("GET", f"/static/{path}")
        assert (answer.status, answer.body) == (200, FILES[name]), path


def test_nul(client: Client) -> None:
    assert client.request("GET", "/static/a.txt%00.html").status == 400
    assert client.request("GET", "/elsewhere%00").body == b"from the application"


def test_the_application_has_the_rest(client: Client) -> None:
    for path in ("/", "/stati", "/static.txt", "/staticx/a.txt", "/x/static/a.txt"):
        assert client.request("GET", path).body == b"from the application"
    assert client.request("OPTIONS", "*").body == b"from the application"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/static/d", b"./d/"),
        ("/static/d?a=1&b=2", b"./d/?a=1&b=2"),
        ("/static/inside-dir", b"./inside-dir/"),
        ("/static//d", b"./d/"),
        ("/static/x%2f%2fd", None),
        ("/static/deep", b"./deep/"),
        ("/static%2fd", b"./static%2fd/"),
    ],
)
def test_a_directory_is_where_its_slash_is(client: Client, path: str, location: bytes | None) -> None:
    answer = client.request("GET", path)
    assert answer.status == (404 if location is None else 301)
    assert answer.header("location") == location


def test_no_redirect_leads_to_another_host(tree: Path) -> None:
    with serving(hello, edge=Edge(static=(Mount("", str(tree)),))) as server, server.client() as client:
        assert client.request("GET", "//d").header("location") == b"./d/"
        answer = client.request("GET", "//evil.example/%2e%2e/d")
        assert (answer.status, answer.header("location")) == (404, None)
        assert client.request("GET", "/").status == 404
        assert client.request("OPTIONS", "*").body == b"from the application"


def test_methods(client: Client) -> None:
    answer = client.request("OPTIONS", "/static/a.txt")
    assert (answer.status, answer.header("allow")) == (204, b"GET, HEAD, OPTIONS")
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
        answer = client.request(method, "/static/a.txt", body=b"x" * 999)
        assert (answer.status, answer.header("allow")) == (405, b"GET, HEAD, OPTIONS")
    assert client.request("GET", "/static/a.txt").status == 200  # the connection stays


def validators(client: Client, name: str = "a.txt") -> tuple[str, str]:
    answer = client.request("GET", f"/static/{name}")
    return (answer.header("etag") or b"").decode(), (answer.header("last-modified") or b"").decode()


def test_preconditions(client: Client) -> None:
    tag, date = validators(client)
    assert date == MODIFIED

    def status(*headers: tuple[str, str], method: str = "GET") -> int:
        return client.request(method, "/static/a.txt", *headers).status

    # RFC 9110 §13.2.2, in its order.
    assert status(("If-Match", tag)) == 200
    assert status(("If-Match", "*")) == 200
    assert status(("If-Match", f'"x", {tag}')) == 200
    assert status(("If-Match", '"x"')) == 412
    assert status(("If-Match", f"W/{tag}")) == 412
    assert status(("If-Match", '"x"'), ("If-None-Match", tag)) == 412
    assert status(("If-Match", tag), ("If-Unmodified-Since", BEFORE)) == 200
    assert status(("If-Unmodified-Since", BEFORE)) == 412
    assert status(("If-Unmodified-Since", MODIFIED)) == 200
    assert status(("If-None-Match", tag)) == 304
    assert status(("If-None-Match", f"W/{tag}")) == 304
    assert status(("If-None-Match", "*")) == 304
    assert status(("If-None-Match", '"x"')) == 200
    assert status(("If-None-Match", '"x"'), ("If-Modified-Since", AFTER)) == 200
    assert status(("If-Modified-Since", MODIFIED)) == 304
    assert status(("If-Modified-Since", AFTER)) == 304
    assert status(("If-Modified-Since", BEFORE)) == 200
    assert status(("If-Modified-Since", "yesterday")) == 200
    assert status(("If-None-Match", tag), method="HEAD") == 304
    # §13.2.1: not where there is nothing.
    assert client.request("GET", "/static/nothing", ("If-Match", '"x"')).status == 404


def test_not_modified_has_what_caches_need(client: Client) -> None:
    tag, _ = validators(client, "coded.css")
    answer = client.request("GET", "/static/coded.css", ("If-None-Match", tag))
    assert answer.status == 304
    assert answer.header("etag") == tag.encode()
    assert answer.header("vary") == b"Accept-Encoding"
    assert answer.header("cache-control") == b"max-age=5"
    assert answer.header("content-length") is None


@pytest.mark.parametrize("name", ["small.bin", "large.bin"])
@pytest.mark.parametrize(
    ("field", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1-9", 1, 10),
        ("bytes=-5", -5, None),
        ("bytes=1000-", 1000, None),
        ("bytes=10-99999999999", 10, None),
        ("bytes=-99999999", 0, None),
        ("BYTES=3-4", 3, 5),
        ("bytes= 3-4 , 4-9", 3, 10),
        ("bytes=7-8,bad", 7, 9),
    ],
)
def test_one_range(client: Client, name: str, field: str, start: int, end: int | None) -> None:
    whole = FILES[name]
    answer = client.request("GET", f"/static/{name}", ("Range", field))
    assert (answer.status, answer.body) == (206, whole[start:end])
    first = start if start >= 0 else len(whole) + start
    assert answer.header("content-range") == b"bytes %d-%d/%d" % (
        first,
        first + len(answer.body) - 1,
        len(whole),
    )


@pytest.mark.parametrize("field", ["bytes=99999999-", "bytes=5-3", "bytes=x", "bytes=-0", "bytes=--1"])
def test_no_such_range(client: Client, field: str) -> None:
    answer = client.request("GET", "/static/small.bin", ("Range", field))
    assert (answer.status, answer.header("content-range")) == (416, b"bytes */1024")


@pytest.mark.parametrize(
    "field",
    [
        "octets=0-1",
        "bytes",
        "bytes=",
        "lines=1-2",
        "",
        "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 80, 2)),
    ],
)
def test_ranges_that_do_not_count(client: Client, field: str) -> None:
    assert client.request("GET", "/static/small.bin", ("Range", field)).status == 200


@pytest.mark.parametrize("name", ["small.bin", "large.bin"])
def test_several_ranges(client: Client, name: str) -> None:
    whole = FILES[name]
    answer = client.request("GET", f"/static/{name}", ("Range", "bytes=900-909, 0-1, -2, 1-3"))
    assert answer.status == 206
    kind = (answer.header("content-type") or b"").decode()
    boundary = kind.removeprefix("multipart/byteranges; boundary=").encode()
    parts = answer.body.split(b"--" + boundary)
    assert (parts[0], parts[-1]) == (b"", b"--")
    found = []
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        match = re.search(rb"Content-Range: bytes (\d+)-(\d+)/(\d+)", head)
        assert match is not None
        assert b"Content-Type: application/octet-stream" in head
        first, last, size = map(int, match.groups())
        assert size == len(whole)
        assert content == whole[first : last + 1] + b"\r\n"
        found.append((first, last))
    # Those that overlap are one (RFC 9110 §14.2).
    assert found == [(0, 3), (900, 909), (len(whole) - 2, len(whole) - 1)]
    assert client.request("GET", "/static/a.txt").status == 200


def test_if_range(client: Client) -> None:
    tag, date = validators(client, "small.bin")
    for value, status in (
        (tag, 206),
        (date, 206),
        ('"x"', 200),
        (f"W/{tag}", 200),
        (BEFORE, 200),
        (AFTER, 200),
    ):
        answer = client.request("GET", "/static/small.bin", ("Range", "bytes=0-1"), ("If-Range", value))
        assert answer.status == status, value


def test_a_range_of_what_has_not_changed(client: Client) -> None:
    tag, _ = validators(client, "small.bin")
    assert (
        client.request("GET", "/static/small.bin", ("Range", "bytes=0-1"), ("If-None-Match", tag)).status
        == 304
    )
    assert (
        client.request("HEAD", "/static/small.bin", ("Range", "bytes=0-1")).status == 200
    )  # §14.2: GET alone


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("gzip", b"gzip"),
        ("gzip, br", b"br"),
        ("gzip, deflate, br, zstd", b"zstd"),
        ("gzip;q=1, br;q=0.5", b"gzip"),
        ("br;q=0, gzip;q=0.1", b"gzip"),
        ("identity", None),
        ("*", b"zstd"),
        ("*;q=0", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("deflate", None),
        ("x-gzip", b"gzip"),
    ],
)
def test_encoded_siblings(client: Client, accepted: str | None, coding: bytes | None) -> None:
    headers = [] if accepted is None else [("Accept-Encoding", accepted)]
    answer = client.request("GET", "/static/coded.css", *headers)
    assert answer.header("content-encoding") == coding
    assert answer.body == (FILES["coded.css"] if coding is None else b"as " + coding)
    assert answer.header("vary") == b"Accept-Encoding"
    assert answer.header("content-type") == b"text/css; charset=utf-8"
    # Each coding is a representation of its own, with its own validator and ranges.
    tag = (answer.header("etag") or b"").decode()
    assert client.request("GET", "/static/coded.css", *headers, ("If-None-Match", tag)).status == 304
    other = [("Accept-Encoding", "br" if coding != b"br" else "gzip")]
    assert client.request("GET", "/static/coded.css", *other, ("If-None-Match", tag)).status == 200
    assert (
        client.request("GET", "/static/coded.css", *headers, ("Range", "bytes=-4")).body == answer.body[-4:]
    )


def test_what_has_no_siblings_varies_by_nothing(client: Client) -> None:
    answer = client.request("GET", "/static/a.txt", ("Accept-Encoding", "gzip"))
    assert (answer.header("vary"), answer.header("content-encoding")) == (None, None)


def test_pipelined(client: Client) -> None:
    for name in ("large.bin", "a.txt", "nothing", "large.bin", "d/data.json"):
        client.send_request("GET", f"/static/{name}")
    assert client.read_response().body == LARGE
    assert client.read_response().body == FILES["a.txt"]
    assert client.read_response().status == 404
    assert client.read_response().body == LARGE
    assert client.read_response().body == FILES["d/data.json"]


def test_many_ranges_of_a_large_file_to_a_client_that_reads_late(server: Serving) -> None:
    with server.client(receive_buffer=4096) as client:
        ranges = ",".join(f"{start}-{start + 40000}" for start in range(0, 1_000_000, 100_000))
        client.send_request("GET", "/static/large.bin", ("Range", f"bytes={ranges}"))
        client.send_request("GET", "/static/a.txt")
        answer = client.read_response()
        assert answer.status == 206
        assert answer.body.count(b"Content-Range") == 10
        assert client.read_response().body == FILES["a.txt"]


def test_changes_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("one")
    edge = Edge(static=(Mount("/s", str(tmp_path)),))
    with serving(hello, edge=edge) as server, server.client() as client:
        first = client.request("GET", "/s/file.txt")
        assert (first.body, first.header("vary")) == (b"one", None)
        (tmp_path / "new").write_text("two!")
        os.replace(tmp_path / "new", file)
        (tmp_path / "file.txt.gz").write_bytes(b"gzip")

        def settled(expected: bytes) -> bool:
            return client.request("GET", "/s/file.txt", ("Accept-Encoding", "gzip")).body == expected

        eventually(lambda: settled(b"gzip"))
        assert client.request("GET", "/s/file.txt").body == b"two!"
        (tmp_path / "file.txt.gz").unlink()
        eventually(lambda: settled(b"two!"))
        file.unlink()
        eventually(lambda: client.request("GET", "/s/file.txt").status == 404)


def test_a_deployment_by_symbolic_link(tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.txt").write_text(release)
    (tmp_path / "current").symlink_to("one")
    edge = Edge(static=(Mount("/s", str(tmp_path / "current")),))
    with serving(hello, edge=edge) as server, server.client() as client:
        assert client.request("GET", "/s/a.txt").body == b"one"
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", tmp_path / "current")
        eventually(lambda: client.request("GET", "/s/a.txt").body == b"two")


def test_fallthrough(tree: Path) -> None:
    edge = Edge(static=(Mount("", str(tree)),), static_fallthrough=True)
    with serving(hello, edge=edge) as server, server.client() as client:
        assert client.request("GET", "/a.txt").body == FILES["a.txt"]
        for path in ("/", "/nothing", "/bare/", "/.hidden", "/outside", "/../x"):
            assert client.request("GET", path).body == b"from the application"
        assert client.request("POST", "/nothing", body=b"x").body == b"from the application"
        assert client.request("POST", "/a.txt", body=b"x").status == 405


def test_nothing_stays_open(tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    edge = Edge(static=(Mount("/s", str(tree)),), static_open_files=1)
    with serving(hello, edge=edge) as server:
        with server.client() as client:
            for _ in range(3):
                for name in ("large.bin", "small.bin", "a.txt", "coded.css", "nothing"):
                    client.request("GET", f"/s/{name}", ("Range", "bytes=0-9,20-29"))
        with server.client(receive_buffer=4096) as client:
            client.send_request("GET", "/s/large.bin", ("Range", "bytes=0-499999,500001-"))
            client.read_head()
            client.reset()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("http2", [False, True])
def test_over_tls(tree: Path, tmp_path: Path, http2: bool) -> None:
    authority = Authority(tmp_path)
    settings = {
        "tls": TLS(certfile=(str(authority.issue("localhost")),)),
        "edge": Edge(static=(Mount("/s", str(tree)),)),
    }
    context = authority.client_context(*(["h2"] if http2 else ["http/1.1"]))
    with serving(hello, **settings) as server, httpx2.Client(verify=context, http2=http2) as client:
        url = f"https://localhost:{server.port}/s"
        answer = client.get(f"{url}/large.bin")
        assert (answer.http_version, answer.content) == ("HTTP/2" if http2 else "HTTP/1.1", LARGE)
        assert client.get(f"{url}/a.txt").content == FILES["a.txt"]
        assert client.get(f"{url}/large.bin", headers={"Range": "bytes=500000-"}).content == LARGE[500000:]
        parts = client.get(f"{url}/large.bin", headers={"Range": "bytes=0-99999,200000-299999"})
        assert LARGE[200000:300000] in parts.content
        tag = answer.headers["etag"]
        assert client.get(f"{url}/large.bin", headers={"If-None-Match": tag}).status_code == 304
        head = client.head(f"{url}/large.bin")
        assert (head.headers["content-length"], head.content) == (str(len(LARGE)), b"")
        assert client.post(f"{url}/a.txt", content=b"x" * 1000).status_code == 405
        assert client.get(f"{url}/nothing").status_code == 404


def test_the_application_is_not_called(server: Serving, client: Client) -> None:
    called = server.called
    for name in ("a.txt", "large.bin", "nothing", "d"):
        client.request("GET", f"/static/{name}")
    assert server.called == called
