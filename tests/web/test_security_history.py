"""What toolkits and their parsers have been attacked by, tried on this one: a test for each advisory, named by it.

Starlette, FastAPI, python-multipart, multipart, Litestar, Quart, Werkzeug, Flask, BlackSheep and aiohttp (server side).
Where an advisory is about a part that the toolkit does not have, the test shows that what it does have is not open
to the same attack. What has no advisory is tried beside the part: test_staticfiles.py (traversal, links, NUL),
test_middleware.py (forged sessions, key rotation, hosts), test_routing.py, test_datastructures.py, test_forms.py.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import logging
import os
import re
import string
import subprocess
import sys
import threading
import time
import tracemalloc
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from tests.support.http1 import Dialogue, answer_at_once
from tests.web.conftest import call, http_scope
from tidegate.asgi.ranges import parse_range
from tidegate.web.applications import Application
from tidegate.web.datastructures import URL, FormData, Headers, UploadFile
from tidegate.web.endpoints import HTTPEndpoint
from tidegate.web.formparsers import FormParser, MultiPartException, MultiPartParser
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.cors import CORSMiddleware
from tidegate.web.middleware.httpsredirect import HTTPSRedirectMiddleware
from tidegate.web.middleware.sessions import SessionMiddleware
from tidegate.web.middleware.trustedhost import TrustedHostMiddleware
from tidegate.web.multipart import (
    MAX_EPILOGUE_SIZE,
    MAX_PART_HEADER_SIZE,
    MAX_PREAMBLE_SIZE,
    parse_parameters,
)
from tidegate.web.requests import Request, cookie_parser
from tidegate.web.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from tidegate.web.routing import Host, Mount, Route, Router
from tidegate.web.staticfiles import StaticFiles
from tidegate.web.templating import Jinja2Templates
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

MULTIPART = "multipart/form-data; boundary=frontier"
LAST = b"--frontier--\r\n"


def part(disposition: str, data: bytes = b"x", *fields: bytes) -> bytes:
    head = b"\r\n".join([f"Content-Disposition: form-data; {disposition}".encode(), *fields])
    return b"--frontier\r\n" + head + b"\r\n\r\n" + data + b"\r\n"


async def chunks(data: bytes, size: int = 64 * 1024) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def multipart(
    body: bytes, content_type: str = MULTIPART, size: int = 64 * 1024, **limits: Any
) -> FormData:
    return await MultiPartParser(
        Headers({"content-type": content_type}), chunks(body, size), **limits
    ).parse()


async def urlencoded(body: bytes, size: int = 64 * 1024, **limits: Any) -> FormData:
    return await FormParser(Headers({}), chunks(body, size), **limits).parse()


def form_app() -> Application:
    """An endpoint that reads its form as most do: with the limits that nobody has thought about."""

    async def endpoint(request: Request) -> JSONResponse:
        async with request.form() as form:
            return JSONResponse([key for key, _ in form.multi_items()])

    return Application(routes=[Route("/", endpoint, methods=["POST"])])


def json_app() -> Application:
    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse(await request.json())

    return Application(routes=[Route("/", endpoint, methods=["POST"])])


def seconds(work: Callable[[], Any]) -> float:
    """The least CPU time that `work` takes."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def assert_linear(work: Callable[[int], Any], size: int) -> None:
    """Eight times the input takes nowhere near 64 times the time (and the clock's grain is no reason to fail)."""
    small, large = seconds(lambda: work(size)), seconds(lambda: work(8 * size))
    assert large < 24 * small + 0.02, (small, large)


# Starlette


async def test_cve_2023_30798_a_form_of_very_many_parts() -> None:
    content_type = [(b"content-type", MULTIPART.encode())]
    body = part('name="a"') * 1001 + LAST
    assert (await call(form_app(), "/", "POST", body=body, headers=content_type)).status == 400
    body = part('name="a"; filename="a"') * 1001 + LAST
    assert (await call(form_app(), "/", "POST", body=body, headers=content_type)).status == 400
    body = part('name="a"') * 1000 + LAST
    assert (await call(form_app(), "/", "POST", body=body, headers=content_type)).status == 200


async def test_cve_2023_29159_a_directory_whose_name_begins_alike(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static_secret").mkdir()
    (tmp_path / "static_secret" / "key.txt").write_text("key")
    app = Application(routes=[Mount("/s", StaticFiles(directory=tmp_path / "static"))])
    for path in ("/s/../static_secret/key.txt", "/s/x/../../static_secret/key.txt"):
        assert (await call(app, path)).status == 404


async def test_cve_2024_47874_a_field_without_end() -> None:
    read = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal read
        yield b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        while True:
            read += 64 * 1024
            yield b"x" * 64 * 1024

    with pytest.raises(MultiPartException, match="exceeded maximum size of 1024KB"):
        await MultiPartParser(Headers({"content-type": MULTIPART}), endless()).parse()
    assert read <= 1024 * 1024 + 2 * 64 * 1024


async def test_cve_2025_54121_no_write_to_disk_on_the_event_loop() -> None:
    class Watched(SpooledTemporaryFile[bytes]):
        on_loop: list[int]

        def write(self, data: Any) -> int:
            will_be_on_disk = self._rolled or self.tell() + len(data) > 1024  # type: ignore[attr-defined]
            if will_be_on_disk and threading.current_thread() is threading.main_thread():
                self.on_loop.append(len(data))
            return super().write(data)

    with Watched(max_size=1024) as file:
        file.on_loop = []
        upload = UploadFile(cast("Any", file), size=0)
        for _ in range(8):
            await upload.write(b"x" * 300)
        assert file._rolled  # type: ignore[attr-defined]
        assert file.on_loop == []
        assert upload.size == 2400


async def test_cve_2025_62727_ranges_in_quadratic_time(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    many = "bytes=" + ",".join(f"{start}-" for start in range(5000))
    sent = await call(FileResponse(tmp_path / "f"), "/", headers=[(b"range", many.encode())])
    assert (sent.status, len(sent.body)) == (200, 1000)
    assert_linear(lambda n: parse_range("bytes=" + "0-," * n, 1000, 100), 20_000)
    assert_linear(lambda n: parse_range("bytes=" + " " * n + "0-0", 1000, 100), 20_000)
    assert_linear(
        lambda n: parse_range("bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(n)), 10**6, n), 1000
    )


@pytest.mark.parametrize(
    "host",
    [
        b"example.org/admin?x=",
        b"example.org?",
        b"example.org#",
        b"user@evil.example",
        b"a b",
        b"example.org\\x",
        b"[",
    ],
)
async def test_cve_2026_48710_a_host_that_moves_the_path(host: bytes) -> None:
    url = URL(scope=http_scope("/public", headers=[(b"host", host)], server=("10.0.0.1", 8000)))
    assert str(url) == "http://10.0.0.1:8000/public"
    request = Request(http_scope("/public", headers=[(b"host", host)], server=("10.0.0.1", 8000)))
    assert str(request.base_url) == "http://10.0.0.1:8000/"


@pytest.mark.parametrize(
    "method",
    ["DISPATCH", "METHOD_NOT_ALLOWED", "SECRET", "__INIT__", "__CLASS__", "_ALLOWED_METHODS", "SCOPE", "get"],
)
async def test_cve_2026_48817_a_method_that_names_an_attribute(method: str) -> None:
    class Endpoint(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("get")

        async def secret(self, request: Request) -> Response:
            return PlainTextResponse("secret")

    for app in (Endpoint, Application(routes=[Route("/", Endpoint)])):
        sent = await call(app, "/", method)
        assert (sent.status, sent.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["@evil.example/", ":80@evil.example", ".evil.example", "//evil.example", "\\evil"]
)
async def test_pysec_2026_248_a_path_that_moves_the_authority(path: str) -> None:
    url = URL(scope=http_scope(path))
    assert (url.hostname, url.username, url.netloc) == ("example.org", None, "example.org")
    url = URL(scope=http_scope(path, headers=[], server=None))
    assert url.netloc == ""


async def test_cve_2026_54283_limits_hold_for_urlencoded_forms_too() -> None:
    urlencoded_type = [(b"content-type", b"application/x-www-form-urlencoded")]
    for body in (b"a=1&" * 1001, b"a=" + b"x" * (1024 * 1024 + 1), b"x" * (1024 * 1024 + 1)):
        assert (await call(form_app(), "/", "POST", body=body, headers=urlencoded_type)).status == 400
    assert (await call(form_app(), "/", "POST", body=b"a=1&" * 1000, headers=urlencoded_type)).status == 200


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "//etc/passwd", "C:\\Windows\\win.ini", "C:/x", "\\\\host\\share\\x", "//host/share/x"],
)
async def test_starlette_1_1_0_absolute_and_unc_paths(tmp_path: Path, path: str) -> None:
    files = StaticFiles(directory=tmp_path)
    assert files.lookup_path(path) == ("", None)
    assert (await call(Application(routes=[Mount("/s", files)]), "/s/" + path)).status == 404


# FastAPI


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(b"content-type", b"text/plain"), (b"sec-fetch-site", b"cross-site")], 415),
        ([(b"content-type", b"text/plain"), (b"sec-fetch-site", b"same-site")], 415),
        ([(b"content-type", b"text/plain"), (b"origin", b"https://evil.example")], 415),
        ([(b"content-type", b"text/plain"), (b"origin", b"null")], 415),
        (
            [(b"content-type", b"application/x-www-form-urlencoded"), (b"origin", b"https://evil.example")],
            415,
        ),
        ([(b"content-type", b"text/plain; application/json"), (b"origin", b"https://evil.example")], 415),
        ([(b"sec-fetch-site", b"cross-site")], 415),  # a Blob without a type
        ([(b"content-type", b"application/json"), (b"sec-fetch-site", b"cross-site")], 200),
        (
            [
                (b"content-type", b"application/problem+JSON; charset=utf-8"),
                (b"origin", b"https://a.example"),
            ],
            200,
        ),
        ([(b"content-type", b"text/plain"), (b"sec-fetch-site", b"same-origin")], 200),
        ([(b"content-type", b"text/plain"), (b"origin", b"https://example.org")], 200),
        ([(b"content-type", b"text/plain")], 200),  # no browser sends this: a webhook, curl
    ],
)
async def test_cve_2021_32677_json_as_text_across_sites(fields: list[Any], status: int) -> None:
    sent = await call(json_app(), "/", "POST", body=b"{}", headers=[(b"host", b"example.org"), *fields])
    assert sent.status == status


async def test_cve_2024_24762_content_types_in_quadratic_time() -> None:
    assert_linear(lambda n: parse_parameters('a; !="' + "\\" * n + 'x"'), 20_000)
    assert_linear(lambda n: parse_parameters('a; !="' + '\\"' * n + '"'), 20_000)
    assert_linear(lambda n: parse_parameters("a" + "; " * n), 20_000)
    hostile = b'application/x-www-form-urlencoded; !="' + b"\\" * 60_000
    assert (
        await call(form_app(), "/", "POST", body=b"a=1", headers=[(b"content-type", hostile)])
    ).body == b"[]"


# python-multipart, multipart


async def test_cve_2024_53981_nothing_is_logged_about_what_lies_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(MultiPartException, match="before the first part"):
            await multipart(b"\r\n" * 100_000)
        await multipart(part('name="a"') + LAST + b"\r\n" * 10_000)
    assert caplog.records == []


async def test_cve_2026_24486_the_clients_file_name_names_no_file(tmp_path: Path) -> None:
    evil = str(tmp_path / "evil.txt")
    body = part(f'name="a"; filename="{evil}"', b"x" * (2 * 1024 * 1024)) + LAST
    form = await multipart(body)
    file = form["a"]
    assert isinstance(file, UploadFile)
    assert file.filename == evil
    assert file.file._rolled  # type: ignore[attr-defined]
    assert not isinstance(file.file.name, str)  # a file without a name
    assert os.listdir(tmp_path) == []
    await form.close()


async def test_cve_2026_40347_preamble_and_epilogue_are_bounded() -> None:
    await multipart(b"x" * (MAX_PREAMBLE_SIZE - 4) + b"\r\n" + part('name="a"') + LAST)
    for size in (1000, 64 * 1024):
        with pytest.raises(MultiPartException, match="before the first part"):
            await multipart(b"x" * (MAX_PREAMBLE_SIZE + 100), size=size)
        with pytest.raises(MultiPartException, match="after the last part"):
            await multipart(part('name="a"') + LAST + b"x" * (MAX_EPILOGUE_SIZE + 1), size=size)


async def test_cve_2026_42561_the_header_of_a_part_is_bounded() -> None:
    for size in (100, 64 * 1024):
        with pytest.raises(MultiPartException, match="header of a part is too large"):
            await multipart(b"--frontier\r\nX: " + b"x" * (MAX_PART_HEADER_SIZE + 100), size=size)
        with pytest.raises(MultiPartException, match="too many header fields"):
            await multipart(part('name="a"', b"x", *[b"X: 1"] * 8) + LAST, size=size)


async def test_cve_2026_53537_rfc_2231_names_smuggle_nothing() -> None:
    form = await multipart(part("name=\"a\"; filename*=utf-8''evil.php") + LAST)
    assert form["a"] == "x"  # no file
    form = await multipart(part('name="a"; filename="safe.txt"; filename*=utf-8\'\'evil.php') + LAST)
    assert cast("UploadFile", form["a"]).filename == "safe.txt"
    await form.close()
    with pytest.raises(MultiPartException, match='"name" must be provided'):
        await multipart(part("name*=utf-8''a") + LAST)
    with pytest.raises(MultiPartException, match='"name" must be provided'):
        await multipart(part('name*0="a"; name*1="b"') + LAST)
    with pytest.raises(MultiPartException, match="given twice"):
        await multipart(part('name="a"; NAME="b"') + LAST)


async def test_cve_2026_53538_a_semicolon_separates_nothing() -> None:
    assert (await urlencoded(b"a=1;admin=1")).multi_items() == [("a", "1;admin=1")]
    assert Request(http_scope("/", query_string=b"a=1;admin=1")).query_params.multi_items() == [
        ("a", "1;admin=1")
    ]


async def test_cve_2026_53539_bodies_in_quadratic_time() -> None:
    head = b'--frontier\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'

    def decode(data: bytes, size: int) -> None:
        async def run() -> None:
            with pytest.raises(MultiPartException):
                await multipart(data, size=size)

        anyio_run(run)

    for unit in (b"\r", b"\r\n", b"\r\n--frontie", b"\r\n--"):
        assert_linear(lambda n, unit=unit: decode(head + unit * (n // len(unit)), 4096), 64_000)
    assert_linear(lambda n: decode(head + b"\r\n" * n, 3), 2_000)


async def test_cve_2026_53540_a_negative_length() -> None:
    fields = [(b"content-type", MULTIPART.encode()), (b"content-length", b"-1")]
    body = part('name="a"') + LAST
    assert (await call(form_app(), "/", "POST", body=body, headers=fields)).body == b'["a"]'
    limited = Application(routes=form_app().routes, max_body_size=20)
    assert (await call(limited, "/", "POST", body=body, headers=fields)).status == 413


async def test_cve_2026_28356_part_headers_in_quadratic_time() -> None:
    def parse(value: str) -> None:
        with pytest.raises(ValueError):
            parse_parameters(value)

    assert_linear(lambda n: parse("form-data; " + 'a="' + " " * n), 20_000)
    assert_linear(lambda n: parse_parameters("form-data; a=" + " " * n + ";" * n), 20_000)


# Litestar


async def test_cve_2023_25578_and_cve_2024_52581_an_upload_is_never_whole_in_memory() -> None:
    piece = b"x" * 64 * 1024

    async def upload() -> AsyncGenerator[bytes, None]:
        for _ in range(2):
            yield b'--frontier\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
            for _ in range(256):  # 16 MiB
                yield piece
            yield b"\r\n"
        yield LAST

    tracemalloc.start()
    try:
        form = await MultiPartParser(Headers({"content-type": MULTIPART}), upload()).parse()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [cast("UploadFile", file).size for _, file in form.multi_items()] == [16 * 1024 * 1024] * 2
    assert peak < 6 * 1024 * 1024
    await form.close()


@pytest.mark.parametrize("html", [False, True])
def test_cve_2024_32982_encoded_traversal(tmp_path: Path, html: bool) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    app = Application(routes=[Mount("/s", StaticFiles(directory=tmp_path / "public", html=html))])
    client = TestClient(app)
    for path in (
        "/s/%2e%2e/secret.txt",
        "/s/..%2fsecret.txt",
        "/s/%2e%2e%2fsecret.txt",
        "/s/..%5csecret.txt",
    ):
        assert client.get(path).status_code == 404, path


async def test_cve_2025_59152_and_pysec_2026_2603_forwarding_fields_are_not_believed() -> None:
    fields = [
        (b"host", b"example.org"),
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-port", b"1"),
        (b"x-forwarded-prefix", b"/evil"),
        (b"x-real-ip", b"203.0.113.9"),
        (b"forwarded", b"for=203.0.113.9;host=evil.example;proto=https"),
    ]
    request = Request(http_scope("/a", headers=fields))
    assert request.client is not None
    assert request.client.host == "127.0.0.1"
    assert (str(request.url), str(request.base_url)) == ("http://example.org/a", "http://example.org/")
    trusted = TrustedHostMiddleware(PlainTextResponse("ok"), ["evil.example"])
    assert (await call(trusted, "/", headers=fields)).status == 400
    redirect = await call(HTTPSRedirectMiddleware(PlainTextResponse("ok")), "/a", headers=fields)
    assert redirect.headers["location"] == "https://example.org/a"


async def test_cve_2026_25478_and_cve_2026_25479_a_dot_is_a_dot() -> None:
    cors = CORSMiddleware(PlainTextResponse("ok"), allow_origins=["https://api.example.org"])
    hosts = TrustedHostMiddleware(PlainTextResponse("ok"), ["api.example.org", "*.sub.example.org"])
    routes = Router([Host("api.example.org", PlainTextResponse("ok"))])
    for host, allowed in (
        (b"api.example.org", True),
        (b"apixexample.org", False),
        (b"api.exampleXorg", False),
    ):
        sent = await call(cors, "/", headers=[(b"origin", b"https://" + host)])
        assert ("access-control-allow-origin" in sent.headers) is allowed
        assert ((await call(hosts, "/", headers=[(b"host", host)])).status == 200) is allowed
        assert ((await call(routes, "/", headers=[(b"host", host)])).status == 200) is allowed
    assert (await call(hosts, "/", headers=[(b"host", b"aXsub.example.org")])).status == 400


async def test_cve_2026_25480_keys_that_read_alike_do_not_collide(tmp_path: Path) -> None:
    # Nothing here is cached by a key that a client makes. What is compared are entity tags.
    tags = set()
    for size, mtime in ((1, 11), (11, 1), (111, 1), (1, 111)):
        path = tmp_path / f"{size}-{mtime}"
        path.write_bytes(b"x" * size)
        os.utime(path, (mtime, mtime))
        tags.add((await call(FileResponse(path), "/")).headers["etag"])
    assert len(tags) == 4


async def test_cve_2026_48060_what_clients_send_is_escaped_in_pages(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    (tmp_path / "page.html").write_text("{{ request.cookies.token }}{{ request.query_params.q }}{{ token }}")
    templates = Jinja2Templates(tmp_path)

    async def page(request: Request) -> Response:
        return templates.TemplateResponse(request, "page.html", {"token": request.cookies["token"]})

    async def fail(request: Request) -> Response:
        raise RuntimeError(request.cookies["token"])

    fields = [(b"cookie", f'token="{attack}"'.encode()), (b"accept", b"text/html")]
    app = Application(routes=[Route("/", page)])
    sent = await call(app, "/", headers=fields, query_string=b"q=" + attack.encode())
    assert b"<script" not in sent.body
    assert sent.body.count(b"&lt;script&gt;") == 3
    client = TestClient(Application(routes=[Route("/", fail)], debug=True), raise_server_exceptions=False)
    shown = client.get("/", headers={"cookie": f'token="{attack}"', "accept": "text/html"})
    assert "<script" not in shown.text
    assert "&lt;script&gt;" in shown.text


# Quart, Werkzeug, Flask


async def test_cve_2023_25577_and_cve_2024_49767_all_that_stays_in_memory_is_counted() -> None:
    kilobytes = b"x" * 1000 * 1000
    with pytest.raises(MultiPartException, match="too large together"):
        await multipart(part('name="a"', kilobytes) * 18 + LAST)
    with pytest.raises(MultiPartException, match="too large together"):
        await urlencoded(b"&".join([b"a=" + kilobytes] * 18))
    body = part('name="a"; filename="a"', kilobytes) * 40 + LAST
    form = await multipart(body)
    files = [cast("UploadFile", file) for _, file in form.multi_items()]
    in_memory = sum(cast("int", file.size) for file in files if file._in_memory)
    assert 0 < in_memory <= 16 * 1024 * 1024
    assert [await file.read() for file in (files[0], files[-1])] == [kilobytes, kilobytes]
    await form.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda session: "a" in session,
        lambda session: session.get("a"),
        lambda session: len(session),
        lambda session: list(session),
        lambda session: bool(session),
        lambda session: session == {},
        lambda session: session.keys(),
        lambda session: None,  # it was asked for: what became of it nobody knows
    ],
)
async def test_cve_2023_30861_and_cve_2026_27205_whatever_reads_the_session_varies(
    use: Callable[[Any], Any],
) -> None:
    async def endpoint(request: Request) -> Response:
        use(request.session)
        return PlainTextResponse("ok")

    app = Application(
        routes=[Route("/", endpoint)], middleware=[Middleware(SessionMiddleware, secret_key="k")]
    )
    assert (await call(app, "/")).headers["vary"] == "Cookie"


# BlackSheep


@pytest.mark.parametrize("value", ["a\r\nset-cookie: evil=1", "a\nb", "a\rb", "a\0b"])
async def test_cve_2026_22779_no_value_starts_a_header_field(value: str) -> None:
    response = Response()
    for attempt in (
        lambda: Response(headers={"x-a": value}),
        lambda: Response(headers={value: "a"}),
        lambda: Response(media_type=value),
        lambda: Response(headers={"content-type": value}),
        lambda: FileResponse("f", content_disposition_type=value, filename="a"),
        lambda: Headers({"x-a": value}),
        lambda: response.headers.__setitem__("x-a", value),
        lambda: response.headers.append("x-a", value),
        lambda: response.headers.setdefault("x-b", value),
        lambda: response.headers.update({"x-a": value}),
        lambda: response.headers.add_vary_header(value),
        lambda: response.set_cookie("a", "b", path=value),
        lambda: response.set_cookie("a", "b", domain=value),
    ):
        with pytest.raises((ValueError, AssertionError)):
            attempt()
    # Cookie values and URLs have an encoding of their own; file names too.
    with contextlib.suppress(ValueError):  # of newer Pythons, which take no control character in a cookie
        response.set_cookie("a", value)
    assert not re.search(rb"[\r\n\0]", b"".join(field for _, field in response.raw_headers))
    assert not re.search(r"[\r\n\0]", RedirectResponse(value).headers["location"])
    disposition = FileResponse("f", filename=value).headers["content-disposition"]
    assert not re.search(r"[\r\n\0]", disposition)
    request = Request(
        http_scope("/", extensions={"http.response.early_hint": {}, "http.response.push": {}}),
        send=send_nothing,
    )
    with pytest.raises(ValueError, match="Invalid header value"):
        await request.send_early_hints(value)
    with pytest.raises(ValueError, match="Invalid header value"):
        await request.send_push_promise(value)


async def send_nothing(message: Any) -> None:
    raise AssertionError(message)


# aiohttp


@pytest.mark.parametrize("server", [("127.0.0.1", 80), None])
@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/..", "///evil.example", "/\\evil.example/"]
)
async def test_cve_2021_21330_a_redirect_never_leaves_the_host(path: str, server: Any) -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("ok")

    app = Application(routes=[Route("/{rest:path}x/", endpoint), Route("/{rest:path}y", endpoint)])
    headers = [] if server is None else [(b"host", b"example.org")]
    for ending in ("x", "y/"):
        sent = await call(app, path + ending, headers=headers, server=server)
        assert sent.status == 307
        location = sent.headers["location"]
        assert location.startswith("http://example.org/" if server else ("/%2F", "/%5C")), location


# Requests that two HTTP parsers could read differently are the server's to refuse, and ours does; the toolkit decides
# nothing by Content-Length or Transfer-Encoding.
HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(HEAD + b"X: a\rTransfer-Encoding: chunked\r\n\r\n", id="CVE-2023-37276 bare CR"),
        pytest.param(HEAD + b": x\r\n\r\n", id="CVE-2023-37276 empty field name"),
        pytest.param(HEAD + b"Content-Length: +1\r\n\r\nx", id="CVE-2023-47627 signed length"),
        pytest.param(HEAD + b"Content-Length: 0_1\r\n\r\nx", id="CVE-2023-47627 underscore"),
        pytest.param(HEAD + "Content-Length: \u0661\r\n\r\nx".encode(), id="CVE-2023-47627 Unicode digit"),
        pytest.param(HEAD + b"Content-Length : 1\r\n\r\nx", id="CVE-2023-47627 space before the colon"),
        pytest.param(HEAD + b"X: a\0b\r\n\r\n", id="CVE-2023-47627 NUL"),
        pytest.param(
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="CVE-2023-47641 both lengths",
        ),
        pytest.param(b"POST / HTTP/1.1x\r\nHost: h\r\n\r\n", id="CVE-2024-23829 version"),
        pytest.param(HEAD + b"Transfer_Encoding\xe2: chunked\r\n\r\n", id="CVE-2024-23829 field name"),
        pytest.param(
            CHUNKED + b"1;a\nb\r\nx\r\n0\r\n\r\n", id="CVE-2024-52304 line break in a chunk extension"
        ),
        pytest.param(CHUNKED + b"0\r\nX\r\n\r\n", id="CVE-2025-53643 trailer section"),
        pytest.param(
            HEAD + "Transfer-Encoding: chun\u212aed\r\n\r\n".encode(), id="CVE-2025-69224 Unicode case"
        ),
        pytest.param(HEAD + b"Host: evil.example\r\n\r\n", id="CVE-2026-34525 duplicate Host"),
    ],
)
def test_smuggling_cve_2023_37276_to_cve_2026_34525(octets: bytes) -> None:
    dialogue = Dialogue(answer_at_once)
    dialogue.receive(octets)
    assert dialogue.refusals
    assert not any("end" in handler.names for handler in dialogue.handlers)
    assert dialogue.wire.ended is not None


async def test_cve_2026_34525_a_second_host_is_trusted_in_nothing() -> None:
    two = [(b"host", b"example.org"), (b"host", b"evil.example")]
    assert (
        await call(TrustedHostMiddleware(PlainTextResponse("ok"), ["example.org"]), "/", headers=two)
    ).status == 400


async def test_cve_2024_23334_and_cve_2024_42367_links(tmp_path: Path) -> None:
    public = tmp_path / "public"
    (public / "folder").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "index.html").write_text("secret")
    (public / "file.txt").symlink_to(tmp_path / "secret.txt")
    (public / "file.txt.gz").symlink_to(tmp_path / "secret.txt")
    (public / "directory").symlink_to(tmp_path / "outside")
    (public / "folder" / "index.html").symlink_to(tmp_path / "secret.txt")
    (public / "404.html").symlink_to(tmp_path / "secret.txt")
    app = Application(routes=[Mount("/s", StaticFiles(directory=public, html=True))])
    for path in (
        "/file.txt",
        "/file.txt.gz",
        "/directory/",
        "/directory/index.html",
        "/folder/",
        "/404.html",
        "/no",
    ):
        sent = await call(app, "/s" + path, headers=[(b"accept-encoding", b"gzip, br, zstd")])
        assert (sent.status, b"secret" in sent.body) == (404, False), path
    # Links may be allowed to lead outside; `..` still may not.
    app = Application(routes=[Mount("/s", StaticFiles(directory=public, follow_symlink=True))])
    assert (await call(app, "/s/file.txt")).body == b"secret"
    assert (await call(app, "/s/../secret.txt")).status == 404
    # The directory itself may be a link.
    (tmp_path / "linked").symlink_to(tmp_path / "outside")
    app = Application(routes=[Mount("/s", StaticFiles(directory=tmp_path / "linked"))])
    assert (await call(app, "/s/index.html")).status == 200


async def test_cve_2024_27306_directories_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "<img src=x onerror=alert(1)>").write_text("x")
    for html in (False, True):
        app = Application(routes=[Mount("/s", StaticFiles(directory=tmp_path, html=html))])
        sent = await call(app, "/s/")
        assert (sent.status, b"img" in sent.body) == (404, False)


@pytest.mark.parametrize("size", [1, 7, 64 * 1024])
async def test_cve_2024_30251_a_malformed_body_ends(size: int) -> None:
    whole = part('name="a"; filename="a"', b"data") + LAST
    with anyio.fail_after(20):
        for end in range(len(whole) - len(b"--\r\n")):
            with pytest.raises(MultiPartException):
                await multipart(whole[:end], size=size)


async def test_cve_2024_52303_requests_leave_nothing_behind() -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(request.url.path)

    async def inline(request: Request) -> Any:
        response = yield
        response.headers["x-a"] = "b"

    app = Application(
        routes=[Route("/a/{name}", endpoint), Mount("/m", routes=[Route("/{name}", endpoint)])],
        middleware=[Middleware(cast("Any", inline))],
    )

    async def many(first: int) -> None:
        for number in range(first, first + 300):
            for path, method in (("/a/", "GET"), ("/m/", "GET"), ("/none/", "GET"), ("/a/", "DELETE")):
                await call(app, f"{path}{number}", method)

    await many(0)
    gc.collect()
    before = len(gc.get_objects())
    await many(1000)
    gc.collect()
    assert len(gc.get_objects()) - before < 200


async def test_cve_2025_69223_nothing_is_decompressed() -> None:
    bomb = gzip.compress(b'{"a":"' + b"x" * 10_000_000 + b'"}')

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    app = Application(routes=[Route("/", endpoint, methods=["POST"])], max_body_size=100_000)
    fields = [(b"content-encoding", b"gzip"), (b"content-type", b"application/json")]
    assert (await call(app, "/", "POST", body=bomb, headers=fields)).body == str(len(bomb)).encode()
    fields = [(b"content-encoding", b"gzip"), (b"content-type", MULTIPART.encode())]
    compressed = gzip.compress(part('name="a"') + LAST)
    assert (await call(form_app(), "/", "POST", body=compressed, headers=fields)).status == 400


@pytest.mark.parametrize("digits", ["\u0663", "\u00b3", "\uff13", "-1", "+1", "1_0", " 1 2"])
async def test_cve_2025_69225_digits_are_ascii(tmp_path: Path, digits: str) -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(repr(request.path_params["n"]))

    app = Application(routes=[Route("/i/{n:int}", endpoint), Route("/f/{n:float}", endpoint)])
    assert [(await call(app, f"/{kind}/{digits}")).status for kind in "if"] == [404, 404]
    (tmp_path / "f").write_bytes(b"0123456789")
    value = f"bytes={digits}-5".encode("latin-1", "replace")
    sent = await call(FileResponse(tmp_path / "f"), "/", headers=[(b"range", value)])
    assert sent.status != 206
    url = URL(
        scope=http_scope("/", headers=[(b"host", f"example.org:{digits}".encode("latin-1", "replace"))])
    )
    assert url.netloc == "127.0.0.1"


async def test_cve_2025_69226_what_is_outside_cannot_be_guessed(tmp_path: Path) -> None:
    public = tmp_path / "public"
    (public / "folder").mkdir(parents=True)
    (tmp_path / "there.txt").write_text("secret")
    (tmp_path / "there").mkdir()
    for name in ("there.txt", "there", "not-there"):
        (public / name).symlink_to(tmp_path / name)
    for html in (False, True):
        app = Application(routes=[Mount("/s", StaticFiles(directory=public, html=html))])
        for form in ("/s/../{}", "/s/folder/../../{}", "/s/{}", f"/s/{tmp_path}/{{}}", "/s//{}", "/s/../{}/"):
            answers = {
                (sent.status, sent.body)
                for name in ("there.txt", "there", "not-there")
                for sent in [await call(app, form.format(name))]
            }
            assert answers == {(404, b"Not Found")}, form


def test_cve_2025_69227_no_defence_is_an_assert(tmp_path: Path) -> None:
    """The same attacks under `python -O`, which drops assert statements."""
    (tmp_path / "public").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    script = string.Template(
        """
import anyio
from tidegate.web.applications import Application
from tidegate.web.datastructures import Headers, MutableHeaders
from tidegate.web.formparsers import MultiPartException, MultiPartParser
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.sessions import SessionMiddleware
from tidegate.web.responses import JSONResponse, Response
from tidegate.web.routing import Mount, Route
from tidegate.web.staticfiles import StaticFiles
from tidegate.web.testclient import TestClient

def check(fine):
    if not fine:
        raise SystemExit("a defence is gone")

def refused(function):
    try:
        function()
    except ValueError:
        return True

async def session(request):
    return JSONResponse(dict(request.session))

async def form(request):
    return JSONResponse(len(await request.form()))

app = Application(
    routes=[Route("/session", session), Route("/form", form, methods=["POST"]),
            Mount("/s", StaticFiles(directory="$directory/public", html=True))],
    middleware=[Middleware(SessionMiddleware, secret_key="k")],
    max_body_size=100_000,
)
client = TestClient(app)
for path in ("/s/%2e%2e/secret.txt", "/s/$directory/secret.txt", "/s/C:/x", "/s/a%00b", "/s/..%5Csecret.txt"):
    check(client.get(path).status_code == 404)
for cookie in ("eyJhIjoxfQ==", "eyJhIjoxfQ==.aaaaaa.bbbb", "null", "..", "a.b.c.d"):
    check(client.get("/session", headers={"cookie": "session=" + cookie}).json() == {})
check(refused(lambda: Response(headers={"x": "a\\r\\nb"})))
check(refused(lambda: Response(headers={"x y": "a"})))
multipart = {"content-type": "multipart/form-data; boundary=frontier"}
one = b'--frontier\\r\\nContent-Disposition: form-data; name="a"\\r\\n\\r\\nx\\r\\n'
for body in (one, one * 1001 + b"--frontier--", b"", b"x" * 50_000, b"--frontierx", b"--frontier\\r\\n\\r\\n"):
    check(client.post("/form", content=body, headers=multipart).status_code == 400)
check(client.post("/form", content=b"x" * 200_000, headers=multipart).status_code == 413)
check(client.request("DISPATCH", "/form").status_code == 405)
check(client.get("/s//evil.example/..").status_code == 404)
if __debug__:
    raise SystemExit("asserts are on")
"""
    ).substitute(directory=tmp_path)
    run = subprocess.run(
        [sys.executable, "-O", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


async def test_cve_2025_69228_a_form_has_a_size_altogether() -> None:
    app = Application(routes=form_app().routes, max_body_size=10_000)
    body = part('name="a"; filename="a"', b"x" * 500) * 100 + LAST
    for fields in ([], [(b"content-length", b"10")], [(b"content-length", str(len(body)).encode())]):
        fields = [(b"content-type", MULTIPART.encode()), *fields]
        assert (await call(app, "/", "POST", body=body, headers=fields)).status == 413


async def test_cve_2025_69228_a_body_has_a_limit_by_default() -> None:
    received = 0

    async def endpoint(request: Request) -> Response:
        await request.body()
        return PlainTextResponse("read")

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": megabytes, "more_body": received < 40}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    megabytes = bytes(8 * 1024 * 1024)
    await Application(routes=[Route("/", endpoint)])(http_scope("/"), receive, send)
    assert (sent[0]["status"], received) == (413, 3)


async def test_cve_2025_69229_tiny_pieces_take_no_quadratic_time() -> None:
    async def parse_and_close(body: bytes, parser: Any) -> None:
        form: FormData = await parser(body, size=2)
        for value in form.values():
            if isinstance(value, UploadFile):
                value.file.close()

    def parse(body: bytes, parser: Any) -> None:
        anyio_run(lambda: parse_and_close(body, parser))

    assert_linear(lambda n: parse(b"a=" + b"x" * n, urlencoded), 30_000)
    assert_linear(lambda n: parse(b"x" * n, urlencoded), 30_000)
    assert_linear(lambda n: parse(part('name="a"', b"x" * n) + LAST, multipart), 20_000)
    assert_linear(lambda n: parse(part('name="a"; filename="a"', b"x" * n) + LAST, multipart), 20_000)


async def test_aiohttp_cookies_that_are_none_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    cookie = b"; ".join(b"a\x01%d[]=\xff;=;;=" % number for number in range(500))

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(str(len(request.cookies)))

    with caplog.at_level(logging.DEBUG):
        sent = await call(Application(routes=[Route("/", endpoint)]), "/", headers=[(b"cookie", cookie)])
    assert sent.status == 200
    assert caplog.records == []


def anyio_run(function: Callable[[], Any]) -> None:
    """Run a coroutine that never waits, to its end (a test on the loop cannot start another loop)."""
    with pytest.raises(StopIteration):
        function().send(None)


# CPython's own parsers, which some of the above have handed clients' input to


def test_cve_2024_7592_quoted_cookies_in_quadratic_time() -> None:
    assert_linear(lambda n: cookie_parser('a="' + '\\"' * n + '"'), 8_000)
    assert_linear(lambda n: cookie_parser('a="' + "\\" * n + '"'), 8_000)
    assert_linear(lambda n: cookie_parser("a=1;" * n), 8_000)
    assert cookie_parser('a="x\\"y\\073\\\\z"; b="; c="') == {"a": 'x"y;\\z', "b": '"', "c": '"'}


def test_cve_2022_45061_a_charset_chooses_no_codec() -> None:
    import codecs
    import encodings

    from tidegate.web.formparsers import CHARSETS, known_charset

    known = len(encodings._cache)  # type: ignore[attr-defined]
    for charset in ("punycode", "idna", "unicode_escape", "hex", "zlib", "../os", "x" * 1000, "Nonsense-1"):
        assert known_charset(charset) == "latin-1"
    assert len(encodings._cache) == known  # type: ignore[attr-defined]
    assert {known_charset(name) for name in ("UTF-8", "utf_8", " Utf8 ")} == {"utf-8"}
    for charset in CHARSETS:
        assert codecs.lookup(known_charset(charset.upper())).name != "iso8859-1"


async def test_deeply_nested_json_is_an_error_of_the_client() -> None:
    from json import JSONDecodeError

    for body in (b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(JSONDecodeError):
            await call(json_app(), "/", "POST", body=body)
