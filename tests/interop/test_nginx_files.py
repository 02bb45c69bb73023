"""Static files and compression beside nginx: the same requests get the same answers.

But for three liberties of RFC 9110 §14.2: nginx ignores ranges where it would compress, of what lies compressed, and of
empty files; here the first are of the file as it is, the second of its encoded form, the third unsatisfiable.
"""

import gzip
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.interop.test_proxies import NGINX, free_port, needs_nginx
from tests.support.inprocess import serving
from tests.support.process import eventually
from tests.support.wire import Client, Response
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.compression import CompressionMiddleware
from tidegate.web.routing import Mount
from tidegate.web.staticfiles import StaticFiles

pytestmark = needs_nginx

CONFIG = """
events {}
http {
  access_log off;
  TEMPORARY
  types { text/plain txt; text/css css; image/png png; }
  default_type application/octet-stream;
  gzip on; gzip_static on; gzip_vary on; gzip_types text/css text/plain; gzip_min_length 500;
  server { listen 127.0.0.1:PORT; root ROOT; }
}
"""
TEXT = b"The tide comes in, the tide goes out. " * 100


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    directory = tmp_path_factory.mktemp("nginx")
    root = directory / "root"
    root.mkdir()
    (root / "text.txt").write_bytes(TEXT)
    (root / "short.txt").write_bytes(TEXT[:100])
    (root / "style.css").write_bytes(TEXT)
    (root / "style.css.gz").write_bytes(gzip.compress(TEXT))
    (root / "image.png").write_bytes(bytes(range(256)) * 20)
    for each in root.iterdir():
        os.utime(each, (1_700_000_000, 1_700_000_000))
    port = free_port()
    temporary = "".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = directory / "nginx.conf"
    config = CONFIG.replace("PORT", str(port)).replace("ROOT", str(root)).replace("TEMPORARY", temporary)
    path.write_text(config if os.getuid() else f"user root;{config}")
    options = f"daemon off; master_process off; error_log stderr; pid {directory}/pid;"
    log = (directory / "log").open("wb")
    process = subprocess.Popen(
        [str(NGINX), "-p", str(directory), "-e", "stderr", "-c", str(path), "-g", options],
        stdout=log,
        stderr=log,
    )

    def up() -> bool:
        assert process.poll() is None, (directory / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    files = Mount("/", StaticFiles(directory=root, precompressed=["gzip"]))
    app = Application(routes=[files], middleware=[Middleware(CompressionMiddleware, codings=["gzip"])])
    try:
        eventually(up)
        with serving(app) as server:
            yield port, server.port
    finally:
        process.terminate()
        process.wait(10)
        log.close()
        shutil.rmtree(directory)


def ask(port: int, method: str, target: str, headers: dict[str, str]) -> Response:
    with Client("127.0.0.1", port) as client:
        return client.request(method, target, *headers.items())


DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
GZIP = {"Accept-Encoding": "gzip"}
HEADERS: list[dict[str, str]] = [
    {},
    GZIP,
    {"Accept-Encoding": "gzip;q=0"},
    {"Accept-Encoding": "br, gzip;q=0.5"},
    {"Accept-Encoding": "identity"},
    {"If-Modified-Since": DATE},
    {"If-Modified-Since": DATE, **GZIP},
    {"If-Modified-Since": "yesterday"},
    {"If-Unmodified-Since": EARLIER},
    {"If-Unmodified-Since": DATE},
    {"If-None-Match": "*"},
    {"If-None-Match": '"other"', "If-Modified-Since": DATE},
    {"If-Match": '"other"'},
    {"If-Match": "*"},
    {"If-None-Match": "ETAG"},
    {"If-None-Match": "W/ETAG"},
    {"If-Match": "ETAG"},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=90-"},
    {"Range": "bytes=-10"},
    {"Range": "bytes=99-99999"},
    {"Range": "bytes=5000000-"},
    {"Range": "bytes=0-9", "If-Range": DATE},
    {"Range": "bytes=0-9", "If-Range": EARLIER},
    {"Range": "bytes=0-9", "If-Range": '"other"'},
    {"Range": "bytes=0-9", "If-Range": "ETAG"},
    {"Range": "octets=0-9"},
]


def told(response: Response) -> dict[str, object]:
    """What a client goes by; validators and boundaries are each server's own."""
    etag = response.header("etag")
    coding = response.header("content-encoding")
    whole = response.status == 200
    told: dict[str, object] = {
        "status": response.status,
        "encoding": coding,
        "range": response.header("content-range"),
        "modified": response.header("last-modified") if response.status < 300 else None,
        "weak": etag is not None and etag.startswith(b"W/") if whole else None,
        "vary": response.header("vary") if whole else None,
        "accept-ranges": response.header("accept-ranges") if whole and not coding else None,
    }
    if response.status in (200, 206):
        told["body"] = gzip.decompress(response.body) if coding and whole and response.body else response.body
        if not coding:
            told["length"] = response.header("content-length")
    return told


@pytest.mark.parametrize("target", ["/text.txt", "/style.css", "/image.png", "/short.txt", "/none.txt"])
@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_the_same_answers(ports: tuple[int, int], target: str, headers: dict[str, str]) -> None:
    found = []
    for port in ports:
        fields = headers
        if "ETAG" in "".join(headers.values()):
            etag = (ask(port, "GET", target, {}).header("etag") or b'"none"').decode()
            fields = {name: value.replace("ETAG", etag) for name, value in headers.items()}
        found.append(told(ask(port, "GET", target, fields)))
    nginx, own = found
    assert own == nginx


def test_several_ranges(ports: tuple[int, int]) -> None:
    for port in ports:
        response = ask(port, "GET", "/image.png", {"Range": "bytes=0-1,10-12"})
        assert response.status == 206
        content_type = response.header("content-type") or b""
        assert content_type.startswith(b"multipart/byteranges; boundary=")
        boundary = content_type.rpartition(b"=")[2]
        parts = response.body.split(b"--" + boundary)[1:-1]
        assert [part.partition(b"\r\n\r\n")[2] for part in parts] == [b"\x00\x01\r\n", b"\x0a\x0b\x0c\r\n"]
        assert [b"Content-Range: bytes 10-12/5120" in part for part in parts] == [False, True]
        assert response.header("content-length") == str(len(response.body)).encode()
