"""The same answers as nginx, request by request; where ours are others, docs/static.md says why."""

import shutil
import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.edge.conftest import FILES
from tests.support.inprocess import Serving, serving
from tests.support.process import eventually
from tests.support.wire import Client, Response, UnixClient
from tidegate.config import Edge
from tidegate.config.edge import Mount

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIGURATION = """\
daemon off;
master_process off;
pid {top}/nginx.pid;
error_log {top}/nginx.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {top}/body;
  proxy_temp_path {top}/proxy;
  fastcgi_temp_path {top}/fastcgi;
  uwsgi_temp_path {top}/uwsgi;
  scgi_temp_path {top}/scgi;
  default_type application/octet-stream;
  types {{ text/plain txt; text/html html; text/css css; application/json json; }}
  gzip_static on;
  gzip_vary on;
  server {{
    listen unix:{top}/nginx.sock;
    location /static/ {{ alias {www}/; }}
    location / {{ return 404; }}
  }}
}}
"""
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
BEFORE = "Tue, 14 Nov 2023 22:13:19 GMT"
AFTER = formatdate(1_800_000_000, usegmt=True)
TAG = "(the entity tag)"  # each server's own

Request = tuple[str, str, dict[str, str]]


@pytest.fixture(scope="module")
def nginx(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    top = tmp_path_factory.mktemp("nginx")
    (top / "nginx.conf").write_text(CONFIGURATION.format(top=top, www=tree))
    assert NGINX is not None
    with subprocess.Popen(
        [NGINX, "-p", str(top), "-e", str(top / "nginx.log"), "-c", str(top / "nginx.conf")]
    ) as process:
        try:
            eventually(lambda: (top / "nginx.sock").exists() or process.poll() is not None, 20)
            assert process.poll() is None, (top / "nginx.log").read_text()
            yield top / "nginx.sock"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def tidegate(tree: Path) -> Iterator[Serving]:
    with serving(edge=Edge(static=(Mount("/static", str(tree)),))) as server:
        yield server


def ask(client: Client, request: Request) -> Response:
    method, target, headers = request
    if TAG in "".join(headers.values()):
        plain = {name: value for name, value in headers.items() if name == "Accept-Encoding"}
        tag = (client.request("GET", target, *plain.items()).header("etag") or b"").decode()
        headers = {name: value.replace(TAG, tag) for name, value in headers.items()}
    body = b"x" if method in ("POST", "PUT") else None
    return client.request(method, target, *headers.items(), body=body)


def both(nginx: Path, tidegate: Serving, request: Request) -> tuple[Response, Response]:
    with UnixClient(str(nginx)) as theirs, tidegate.client() as ours:
        return ask(theirs, request), ask(ours, request)


def get(target: str, **headers: str) -> Request:
    return "GET", f"/static/{target}", {name.replace("_", "-"): value for name, value in headers.items()}


SAME: list[Request] = [
    *(
        get(name)
        for name in (
            "a.txt",
            "empty",
            "page.html",
            "small.bin",
            "large.bin",
            "d/",
            "d/index.html",
            "d/data.json",
        )
    ),
    get("a%20b+c%25.txt"),
    get("k%C3%A4se.txt"),
    get("a.txt?query"),
    get("%61.txt"),
    get("d%2fdata.json"),
    get("d//data.json"),
    get("/d///data.json"),
    get(".well-known/security.txt"),
    get("inside"),
    get("inside-dir/data.json"),
    # what is not there
    get("nothing"),
    get("a.txt/"),
    get("a.txt/b"),
    get("A.TXT"),
    get("a.txt%20"),
    get("..%5csecret.txt"),
    get("x" * 300),
    get("x/" * 2500),
    get("x" * 5000),
    get("dangling"),
    get("fifo"),
    ("POST", "/static/nothing", {}),
    get("%ff"),
    get("../secret.txt"),
    get("%2e%2e/secret.txt"),
    get("%2e%2e%2fsecret.txt"),
    get("d/../../secret.txt"),
    get("a.txt%00"),
    get("%00"),
    get("a.txt%00.html"),
    get("x" * 9000),
    # methods
    ("HEAD", "/static/a.txt", {}),
    ("HEAD", "/static/large.bin", {}),
    ("HEAD", "/static/nothing", {}),
    ("PUT", "/static/a.txt", {}),
    ("DELETE", "/static/a.txt", {}),
    ("POST", "/static/a.txt", {}),
    ("PATCH", "/static/a.txt", {}),
    # preconditions
    get("a.txt", If_None_Match=TAG),
    get("a.txt", If_None_Match=f"W/{TAG}"),
    get("a.txt", If_None_Match=f'"x", {TAG}'),
    get("a.txt", If_None_Match='"x"'),
    get("a.txt", If_None_Match="*"),
    get("a.txt", If_Match=TAG),
    get("a.txt", If_Match="*"),
    get("a.txt", If_Match='"x"'),
    get("a.txt", If_Match=f"W/{TAG}"),
    get("a.txt", If_Modified_Since=MODIFIED),
    get("a.txt", If_Modified_Since=BEFORE),
    get("a.txt", If_Modified_Since="yesterday"),
    get("a.txt", If_Unmodified_Since=MODIFIED),
    get("a.txt", If_Unmodified_Since=BEFORE),
    get("a.txt", If_Unmodified_Since=AFTER),
    get("a.txt", If_None_Match='"x"', If_Modified_Since=MODIFIED),
    get("a.txt", If_Match=TAG, If_None_Match=TAG),
    get("a.txt", If_Match='"x"', If_None_Match=TAG),
    ("HEAD", "/static/a.txt", {"If-None-Match": TAG}),
    get("nothing", If_Match='"x"'),
    # ranges
    *(
        get(name, Range=value)
        for name in ("small.bin", "large.bin")
        for value in (
            "bytes=0-0",
            "bytes=1-9",
            "bytes=-5",
            "bytes=1000-",
            "bytes=10-99999999999",
            "bytes=-99999999",
            "BYTES=3-4",
            "bytes=0-0,-1",
            "bytes=0-1,5-9,100-200",
            "bytes=99999999-",
            "bytes=99999999-,0-1",
            "octets=0-1",
            "bytes",
            "bytes= 3-4 , 10-11",
            "bytes=x",
            "bytes=",
            "bytes=5-3",
            "bytes=-0",
        )
    ),
    get("small.bin", Range="bytes=0-1", If_Range=TAG),
    get("small.bin", Range="bytes=0-1", If_Range='"x"'),
    get("small.bin", Range="bytes=0-1", If_Range=MODIFIED),
    get("small.bin", Range="bytes=0-1", If_Range=BEFORE),
    get("small.bin", Range="bytes=0-1", If_None_Match=TAG),
    get("small.bin", Range="bytes=0-1", If_Match='"x"'),
    # codings: nginx has siblings of gzip alone
    *(
        get("coded.css", Accept_Encoding=value)
        for value in (
            "gzip",
            "gzip;q=0.5",
            "gzip;q=0",
            "identity",
            "",
            "deflate",
            "gzip;q=0.001",
            "gzip;q=1.0, identity",
            "GZIP",
            "*;q=0",
        )
    ),
    get("coded.css"),
    get("coded.css", Accept_Encoding="gzip", If_None_Match=TAG),
    get("coded.css", If_None_Match=TAG),
    get("a.txt", Accept_Encoding="gzip"),
    # directories
    get("d"),
    get("d?a=1"),
    get("inside-dir"),
    get("nothing/"),
]

# What nginx answers, and what Tidegate does.
DIFFERENT: list[tuple[Request, int, int]] = [
    (get("d/../a.txt"), 200, 404), (get("d/%2e%2e/a.txt"), 200, 404), (get("d/./data.json"), 200, 404),
    (get("..%2f..%2f..%2fnothing/a.txt"), 400, 404), (get("%u002e"), 400, 404),
    (get(".hidden"), 200, 404), (get("outside"), 200, 404), (get("outside-relative"), 200, 404),
    (get("outside-dir/a.txt"), 200, 404), (get("outside-twin/a.txt"), 200, 404),
    (get("bare"), 301, 404), (get("bare/"), 403, 404), (get(""), 403, 404),
    (get("loop"), 403, 404),
    (("OPTIONS", "/static/a.txt", {}), 405, 204),
    (get("a.txt", If_Modified_Since=AFTER), 200, 304),
    (get("empty", Range="bytes=0-0"), 200, 416),
    (get("small.bin", Range="bytes=0-18446744073709551615"), 416, 206),
    (get("large.bin", Range="bytes=0-99999999999999999999999"), 416, 206),
    (("HEAD", "/static/small.bin", {"Range": "bytes=0-1"}), 206, 200),
    (get("small.bin", Range="bytes=0-1000,0-1000"), 200, 206),
    (get("small.bin", Range="bytes=" + ",".join(f"{i}-{i}" for i in range(0, 80, 2))), 206, 200),
    (get("coded.css", Accept_Encoding="gzip", Range="bytes=0-2"), 200, 206),
]  # fmt: skip


def shown(request: Request) -> str:
    return " ".join(
        [request[0], request[1][:40], *(f"{name}: {value}"[:60] for name, value in request[2].items())]
    )


def parts(answer: Response) -> object:
    """What is compared of an answer's content; of several ranges, their (content, Content-Range) in order."""
    kind = answer.header("content-type") or b""
    if not kind.startswith(b"multipart/byteranges"):
        return answer.body if answer.status in (200, 206) else b""
    boundary = b"--" + kind.partition(b"boundary=")[2]
    found = []
    for part in answer.body.split(boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        ranges = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-range")]
        found.append((ranges, content.removesuffix(b"\r\n")))
    return found


@pytest.mark.parametrize("request_sent", SAME, ids=shown)
def test_same(nginx: Path, tidegate: Serving, request_sent: Request) -> None:
    theirs, ours = both(nginx, tidegate, request_sent)
    assert ours.status == theirs.status
    assert parts(ours) == parts(theirs)
    if ours.status in (200, 206, 304):
        for name in ("content-range", "content-encoding", "last-modified", "vary"):
            assert (name, ours.header(name)) == (name, theirs.header(name))
    if ours.status == 301:
        # Theirs is absolute.
        assert (
            urljoin(f"http://test{request_sent[1]}", (ours.header("location") or b"").decode())
            == (theirs.header("location") or b"").decode()
        )
    if ours.status == 200:
        assert ours.header("content-length") == theirs.header("content-length")
        assert ours.header("etag") is not None
        assert theirs.header("etag") is not None


@pytest.mark.parametrize(
    ("request_sent", "their_status", "our_status"),
    DIFFERENT,
    ids=lambda value: shown(value) if isinstance(value, tuple) else None,
)
def test_different(
    nginx: Path, tidegate: Serving, request_sent: Request, their_status: int, our_status: int
) -> None:
    theirs, ours = both(nginx, tidegate, request_sent)
    assert (theirs.status, ours.status) == (their_status, our_status)
    assert FILES[".hidden"] not in ours.body
