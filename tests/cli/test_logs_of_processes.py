"""What real processes write: the banner, and JSON on every line."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import tests.support.http2 as h2
from tests.support.admin import Observed, observed, value
from tests.support.process import eventually, run_command
from tidegate.config import Config, Logging
from tidegate.supervisor.channel import Channel, Start

HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"


def test_the_banner_says_what_runs() -> None:
    with observed("--limit-concurrency", "7") as server:
        server.wait_for_log(r"Listening on http://127\.0\.0\.1:\d+")
        server.wait_for_log("Limits: 10000 connections, 7 requests at once, heads of 64k, bodies of any size")
        server.wait_for_log(
            r"Tidegate [\d.]+ \((compiled|pure Python)\), Python 3\.[\d.]+, (uvloop|asyncio), process \d+: ready"
        )


def test_samples_and_exclusions_of_the_access_log() -> None:
    options = ("--access-log-sample", "0", "--access-log-exclude", "/healthz")
    with observed(*options) as server:
        for path in ("/", "/healthz", "/raise"):
            with server.client() as client:
                client.request("GET", path)
        server.wait_for_log('"GET /raise HTTP/1.1" 500')
        server.log = server.log.replace("Traceback", "")
    assert '"GET / HTTP/1.1"' not in server.log
    assert "/healthz HTTP" not in server.log


def every_line_is_json(log: str) -> list[dict[str, object]]:
    assert log
    return [json.loads(line) for line in log.splitlines()]


def test_everything_is_json_in_many_processes(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import logging, sys, threading, time, warnings\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan': raise NotImplementedError\n"
        "    if scope['path'] == '/raise': raise LookupError('two\\nlines')\n"
        "    if scope['path'] == '/block': time.sleep(1.5)\n"
        "    logging.getLogger('mine').warning('of the application')\n"
        "    warnings.warn('of Python')\n"
        "    thread = threading.Thread(target=int, args=('x',), name='broken')\n"
        "    thread.start(); thread.join()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    options = (
        "--workers",
        "1",
        "--log-format",
        "json",
        "--timeout-stall-log",
        "0.4",
        "--timeout-stall",
        "30",
    )
    server = Observed(["--port", "0", "--app-dir", str(tmp_path), *options, "noisy:app"], {})
    try:
        server.wait_for_log("workers: ready", 30)
        server.port = int(server.wait_for_log(r"Listening on http://127\.0\.0\.1:(\d+)")[1])
        for path in ("/raise", "/", "/block"):
            with server.client() as client:  # one that failed closes its connection
                client.request("GET", path)
        server.wait_for_log("threads of process")
        server.wait_for_log("its event loop turns again", 10)
        assert server.terminate() == 0
    finally:
        server.process.kill()
        server.wait()
    lines = every_line_is_json(server.log)

    def line(pattern: str) -> dict[str, object]:
        return next(each for each in lines if re.search(pattern, str(each["message"])))

    assert "LookupError: two\nlines" in str(line("Exception in the application")["exception"])
    assert line("of the application")["logger"] == "mine"
    assert line("of Python")["logger"] == "py.warnings"
    assert "ValueError: invalid literal" in str(line("in thread broken")["exception"])
    assert "in app\n" in str(line("threads of process")["exception"])
    assert {each["level"] for each in lines} >= {"info", "warning", "error"}


def test_failures_to_start_are_json_too(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1/0\n")
    arguments = ["--port", "0", "--log-format", "json", "--app-dir", str(tmp_path), "broken:app"]
    ended = run_command(*arguments)
    assert ended.returncode == 3
    (line,) = every_line_is_json(ended.stderr)
    assert "ZeroDivisionError" in str(line["exception"])
    for wrong in (["--ssl-certfile", "/not/there"], ["--recycle-requests", "9"]):
        ended = run_command(*arguments, *wrong)
        assert ended.returncode == 2
        (line,) = every_line_is_json(ended.stderr)
        assert wrong[0] in str(line["message"])
    server = Observed(["--workers", "1", *arguments], {})
    try:
        server.wait_for_log("ZeroDivisionError", 20)
        server.wait_for_log("ended before it was up", 20)
        log = server.log
    finally:
        server.signal(9)
        server.wait()
    assert any("ZeroDivisionError" in str(line.get("exception")) for line in every_line_is_json(log))


def test_a_worker_without_a_supervisor_says_so_in_json(tmp_path: Path) -> None:
    """The supervisor is killed before its worker, which has yet to set up logging, looks."""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(30)\n")
    config = Config(app="slow:app", app_dir=str(tmp_path), logging=Logging(format="json"))
    ours, theirs = Channel.pair()
    with theirs:
        ours.send(Start(config, sys.path, "worker 1", []))
        ours.close()
        ended = subprocess.run(
            [sys.executable, "-m", "tidegate.cli.child", "worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 130
    lines = every_line_is_json(ended.stdout + ended.stderr)
    assert ("warning", "The supervisor has gone") in [(line["level"], line["message"]) for line in lines]


def test_what_cannot_be_raised_is_json(tmp_path: Path) -> None:
    (tmp_path / "unraisable.py").write_text(
        "class Broken:\n    def __del__(self): raise LookupError('in a destructor')\nBroken()\n"
    )
    ended = run_command("--port", "0", "--log-format", "json", "--app-dir", str(tmp_path), "unraisable:app")
    first, last = every_line_is_json(ended.stderr)
    assert "Broken.__del__" in str(first["message"])
    assert "LookupError: in a destructor" in str(first["exception"])
    assert "has no attribute" in str(last["message"])


def test_counting_and_logging_together() -> None:
    """Both look at the same exchange."""
    with observed() as server:
        with server.client() as client:
            client.request()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            answer = client.read_response()
            assert answer.status == 400
        server.wait_for_log('"GET / HTTP/1.1" 200')
        server.wait_for_log(f'"GET / HTTP/1.1" 400 {len(answer.body)} ')
        eventually(lambda: value(server.metrics(), "errors_total", kind="bad_request") == 1)
        with server.client() as client:
            client.send(h2.PREFACE + h2.settings() + h2.headers(1, [*h2.GET, (b"te", b"gzip")]))
            server.wait_for_log('"GET / HTTP/2" - 0 ')
        eventually(lambda: value(server.metrics(), "errors_total", kind="bad_request") == 2)
        assert value(server.metrics(), "requests_total", method="GET", status="none", protocol="2") == 1


def test_the_octets_of_a_refusal() -> None:
    with observed("--limit-body", "10") as server:
        for method, length in (("POST", 11), ("HEAD", 11), ("POST", None)):
            with server.client() as client:
                if length is None:  # the application has begun
                    client.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
                    time.sleep(0.1)
                    client.send(b"b\r\n01234567890\r\n0\r\n\r\n")
                else:
                    head = f"{method} /declared HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
                    client.send(head.encode())
                answer = client.read_response(method)
                assert answer.status == 413
                assert bool(answer.body) == (method == "POST")
            path = "/echo" if length is None else "/declared"
            server.wait_for_log(rf'"{method} {path} HTTP/1.1" 413 {len(answer.body)} ')
