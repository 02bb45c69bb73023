"""HTTP/2 by real clients, without TLS and over it: curl, nghttp, h2load (where they are installed) and httpx2."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ServerProcess, start_server
from tests.support.tls import Authority

APPS = Path(__file__).parent / "apps"


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def run(*command: str, timeout: float = 30) -> str:
    done = subprocess.run(command, capture_output=True, timeout=timeout, check=True)
    return done.stdout.decode("latin-1")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with start_server("--no-access-log", app="http2_app:app", app_dir=APPS) as running:
        yield running


@needs("curl")
def test_curl(server: ServerProcess, tmp_path: Path) -> None:
    told = json.loads(run("curl", "-sS", "--http2-prior-knowledge", f"{server.url}/told?x=1"))
    assert told["http_version"] == "2"
    assert told["query"] == "x=1"
    assert told["host"] == server.url.removeprefix("http://")
    content = os.urandom(3_000_000)
    (tmp_path / "up").write_bytes(content)
    url = f"{server.url}/echo"
    upload = ("--data-binary", f"@{tmp_path}/up", "-o", str(tmp_path / "down"))
    status = run("curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_code} %{http_version}", *upload, url)
    assert status == "200 2"
    assert (tmp_path / "down").read_bytes() == content


@needs("curl")
def test_curl_over_http1_beside_it(server: ServerProcess) -> None:
    assert json.loads(run("curl", "-sS", "--http1.1", f"{server.url}/told"))["http_version"] == "1.1"
    upgraded = json.loads(run("curl", "-sS", "--http2", f"{server.url}/told"))
    assert upgraded["http_version"] == "1.1", "Upgrade: h2c is not followed unless told to"


@pytest.fixture(scope="module")
def upgrading() -> Iterator[ServerProcess]:
    with start_server("--no-access-log", "--h2c-upgrade", app="http2_app:app", app_dir=APPS) as running:
        yield running


@needs("curl")
def test_curl_by_upgrade(upgrading: ServerProcess, tmp_path: Path) -> None:
    urls = [f"{upgrading.url}/told?{n}" for n in range(3)]
    answers = run("curl", "-sS", "--http2", "-w", "\n%{http_version}\n", *urls).splitlines()
    assert answers[1::2] == ["2"] * 3
    told = [json.loads(answer) for answer in answers[::2]]
    assert [each["query"] for each in told] == ["0", "1", "2"]
    assert {each["http_version"] for each in told} == {"2"}
    (tmp_path / "up").write_bytes(os.urandom(300_000))
    upload = ("--data-binary", f"@{tmp_path}/up", "-o", str(tmp_path / "down"), "-H", "Expect:")
    version = run("curl", "-sS", "--http2", "-w", "%{http_version}", *upload, f"{upgrading.url}/echo")
    assert version == "1.1", "a request with content is not followed"
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()


@needs("nghttp")
def test_nghttp_by_upgrade(upgrading: ServerProcess) -> None:
    log = re.sub("\x1b\\[[0-9;]*m", "", run("nghttp", "-v", "--upgrade", f"{upgrading.url}/everything"))
    assert "HTTP Upgrade success" in log
    assert re.search(r"recv \(stream_id=1\) :status: 200", log)
    assert re.search(r"recv \(stream_id=1\) x-checksum: 7", log)


@needs("curl")
def test_a_file(server: ServerProcess, tmp_path: Path) -> None:
    run("curl", "-sS", "--http2-prior-knowledge", f"{server.url}/file", "-o", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == Path(APPS / "http2_app.py").read_bytes()


@needs("nghttp")
def test_nghttp_push_trailers_and_hints(server: ServerProcess) -> None:
    log = re.sub("\x1b\\[[0-9;]*m", "", run("nghttp", "-v", f"{server.url}/everything"))
    assert "recv PUSH_PROMISE frame" in log
    assert re.search(r"recv \(stream_id=2\) :status: 200", log)
    assert re.search(r"recv \(stream_id=\d+\) :status: 103", log)
    assert re.search(r"recv \(stream_id=\d+\) x-checksum: 7", log)
    assert "pushed content" in log
    assert "RST_STREAM" not in log


@needs("nghttp")
def test_nghttp_without_push(server: ServerProcess) -> None:
    log = run("nghttp", "-v", "--no-push", f"{server.url}/everything")
    assert "PUSH_PROMISE frame" not in log


@needs("h2load")
def test_h2load(server: ServerProcess) -> None:
    for path, count in (("told", 2000), ("file", 500)):
        report = run("h2load", "-c4", "-m32", f"-n{count}", f"{server.url}/{path}")
        assert f"{count} succeeded, 0 failed, 0 errored" in report


HTTPX2 = """
import asyncio, ssl, sys, httpx2
url, verify = sys.argv[1], ssl.create_default_context(cafile=sys.argv[2]) if sys.argv[2:] else True
async def main():
    async with httpx2.AsyncClient(http1=False, http2=True, timeout=30, verify=verify) as client:
        answers = await asyncio.gather(*[client.post(url, content=b"%d" % n * 5000) for n in range(50)])
        assert [a.content for a in answers] == [b"%d" % n * 5000 for n in range(50)]
        assert {a.http_version for a in answers} == {"HTTP/2"}
asyncio.run(main())
"""


def test_httpx2(server: ServerProcess) -> None:
    subprocess.run([sys.executable, "-c", HTTPX2, f"{server.url}/echo"], check=True, timeout=60)


# Over TLS, where ALPN chooses it


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[ServerProcess]:
    site = authority.issue("localhost", "127.0.0.1")
    arguments = ("--no-access-log", "--ssl-certfile", str(site))
    with start_server(*arguments, app="http2_app:app", app_dir=APPS) as running:
        yield running


def https(server: ServerProcess, path: str) -> str:
    return f"https://127.0.0.1:{server.port}/{path}"


@needs("curl")
def test_curl_over_tls(secure: ServerProcess, authority: Authority) -> None:
    command = ("curl", "-sS", "--cacert", str(authority.file), "-w", "\n%{http_version}\n")
    told = run(*command, https(secure, "told?1"), https(secure, "told?2")).splitlines()
    assert told[1::2] == ["2", "2"]
    assert [json.loads(each)["query"] for each in told[::2]] == ["1", "2"]


@needs("nghttp")
def test_nghttp_over_tls(secure: ServerProcess) -> None:
    log = re.sub("\x1b\\[[0-9;]*m", "", run("nghttp", "-v", https(secure, "everything")))
    assert "The negotiated protocol: h2" in log
    assert "pushed content" in log
    assert re.search(r"recv \(stream_id=\d+\) x-checksum: 7", log)


@needs("h2load")
def test_h2load_over_tls(secure: ServerProcess) -> None:
    for path, count in (("told", 2000), ("file", 500)):
        report = run("h2load", "-c4", "-m32", f"-n{count}", https(secure, path))
        assert "Application protocol: h2\n" in report
        assert f"{count} succeeded, 0 failed, 0 errored" in report


@needs("h2load")
def test_certificates_are_renewed_under_load(authority: Authority, tmp_path: Path) -> None:
    """h2load's connections come and go, and live on, while the files are replaced: no request fails."""
    site = tmp_path / "site.pem"

    def renew() -> None:
        os.replace(authority.issue("localhost", "127.0.0.1", file="renewed.pem"), site)

    renew()
    arguments = ("--no-access-log", "--ssl-certfile", str(site), "--ssl-reload-interval", "0.05")
    with start_server(*arguments, app="http2_app:app", app_dir=APPS) as running:
        for round_ in range(1, 3):
            load = [
                subprocess.Popen(
                    ["h2load", f"-c{clients}", "-m8", f"-n{count}", https(running, "told")],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for clients, count in ((4, 2000), (60, 120))
            ]
            renew()
            running.wait_for_log("New certificates: ", count=round_)
            for each, count in zip(load, (2000, 120), strict=True):
                report, _ = each.communicate(timeout=30)
                assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in report


def test_httpx2_over_tls(secure: ServerProcess, authority: Authority) -> None:
    command = [sys.executable, "-c", HTTPX2, https(secure, "echo"), str(authority.file)]
    subprocess.run(command, check=True, timeout=60)
