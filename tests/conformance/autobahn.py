"""Autobahn's fuzzing client, which judges a WebSocket server case by case (RFC 6455, RFC 7692).

`python -m tests.conformance.autobahn` runs all its cases against this tree's server, compiled and pure;
`python -m tests.conformance.autobahn URL [CASES]` against any echo server ("-" is this tree's). With `--through
haproxy`, before those, HAProxy speaks HTTP/2 to this tree's server and opens WebSockets there by extended CONNECT
(RFC 8441): the suite itself speaks HTTP/1.1 only. It is Python 2.7 code; the environment that it needs is made once,
in .cache/autobahn, from a Python 2.7 that is on the PATH, pyenv's, or named by $PYTHON27.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.support.process import ServerProcess, eventually, free_port, start_server

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "autobahn"
APPS = Path(__file__).parent / "apps"

# The last versions of everything that run under 2.7; the suite's own list would take incompatible ones.
SUITE = "autobahntestsuite==25.10.1"
NEEDED = [
    "attrs<22",
    "autobahn==0.10.9",
    "Twisted==19.10.0",
    "txaio==2.1.0",
    "cryptography==3.3.2",
    "pyOpenSSL==19.1.0",
    "klein==17.10.0",
    "Werkzeug==1.0.1",
    "Jinja2==2.11.3",
    "MarkupSafe==1.1.1",
    "wsaccel==0.6.6",
    "ujson==2.0.3",
    "unittest2==1.1.0",
    "zope.interface==4.6.0",
]
VIRTUALENV = "virtualenv<20.22"  # the last that makes environments of 2.7

PASSED = ("OK", "INFORMATIONAL")
AGENT = "server"

Verdict = tuple[str, str]  # of the case, and of how it closed


class NoPython27(Exception):
    """There is no Python 2.7 here."""


def find_python27() -> str:
    """The interpreter that runs the suite. Raises NoPython27."""
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7")]
    candidates += sorted(map(str, Path.home().glob(".pyenv/versions/2.7*/bin/python")))
    for candidate in candidates:
        # Asked, since pyenv leaves a shim on the PATH that runs nothing.
        if (
            candidate
            and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    raise NoPython27("no Python 2.7 on the PATH or of pyenv: name one in $PYTHON27")


def install() -> Path:
    """The suite's command, with its environment made if need be. Raises NoPython27, CalledProcessError."""
    command = CACHE / "v27" / "bin" / "wstest"
    CACHE.mkdir(parents=True, exist_ok=True)
    # The tests of both builds may come here at a time.
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(command)
    return command


def _install(command: Path) -> None:
    if not command.exists():
        python27 = find_python27()
        maker = CACHE / "virtualenv"
        run(sys.executable, "-m", "venv", str(maker))
        run(str(maker / "bin" / "pip"), "install", "-q", VIRTUALENV)
        run(str(maker / "bin" / "virtualenv"), "-q", "-p", python27, str(CACHE / "v27"))
        pip = str(CACHE / "v27" / "bin" / "pip")
        run(pip, "install", "-q", *NEEDED)
        run(pip, "install", "-q", "--no-deps", SUITE)


def run(*command: str) -> None:
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def judge(
    url: str, cases: Iterable[str] = ("*",), *, exclude: Iterable[str] = (), report: str = "report"
) -> dict[str, Verdict]:
    """Run `cases` ("1.*", "9.1.1") against the echo server at `url`; the verdict of each, in order."""
    command = install()
    directory = CACHE / report
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    specification = directory / "specification.json"
    specification.write_text(
        json.dumps(
            {
                "outdir": str(directory),
                "servers": [{"agent": AGENT, "url": url}],
                "cases": list(cases),
                "exclude-cases": list(exclude),
                "exclude-agent-cases": {},
            }
        )
    )
    with (directory / "output.log").open("wb") as output:
        subprocess.run(
            [command, "-m", "fuzzingclient", "-s", specification],
            stdout=output,
            stderr=output,
            cwd=directory,
            check=True,
        )
    found = json.loads((directory / "index.json").read_text())[AGENT]
    return {
        case: (found[case]["behavior"], found[case]["behaviorClose"]) for case in sorted(found, key=number)
    }


def number(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def failures(verdicts: dict[str, Verdict]) -> dict[str, Verdict]:
    """The cases that failed, are non-strict or unimplemented, or did not close as they should."""
    return {
        case: verdict
        for case, verdict in verdicts.items()
        if verdict[0] not in PASSED or verdict[1] == "FAILED"
    }


def summary(verdicts: dict[str, Verdict]) -> str:
    """`OK 514, NON-STRICT 0, FAILED 0, UNIMPLEMENTED 0, INFORMATIONAL 3`"""
    counts = Counter("FAILED" if "FAILED" in verdict else verdict[0] for verdict in verdicts.values())
    names = ["OK", "NON-STRICT", "FAILED", "UNIMPLEMENTED", "INFORMATIONAL"]
    return ", ".join(f"{name} {counts.pop(name, 0)}" for name in names) + "".join(
        f", {name} {count}" for name, count in counts.items()
    )


HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
# HAProxy's own limits are none: the suite's largest messages take a while.
PROXY = """
defaults
  mode http
  timeout connect 10s
  timeout client 300s
  timeout server 300s
  timeout tunnel 300s
listen suite
  bind 127.0.0.1:{front}
  server tidegate 127.0.0.1:{back} proto h2 ws h2
"""


@contextmanager
def through_haproxy(server: ServerProcess) -> Iterator[str]:
    """The URL at which HAProxy takes WebSockets over HTTP/1.1, for the server to get over HTTP/2."""
    assert HAPROXY is not None
    front = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(PROXY.format(front=front, back=server.port))
        config.flush()
        with subprocess.Popen([HAPROXY, "-f", config.name, "-db"], stderr=subprocess.DEVNULL) as proxy:
            try:
                eventually(lambda: answers(front), timeout=10)
                yield f"ws://127.0.0.1:{front}/"
            finally:
                proxy.kill()  # it has nothing to lose, and may have been told to ignore SIGTERM


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main(arguments: list[str]) -> int:
    proxied = arguments[:2] == ["--through", "haproxy"]
    if proxied:
        arguments = arguments[2:]
    cases = arguments[1].split(",") if len(arguments) > 1 else ["*"]
    if arguments and arguments[0] != "-":
        return tell(arguments[0], judge(arguments[0], cases))
    if proxied and HAPROXY is None:
        sys.exit("HAProxy is not installed")
    code = 0
    pure = {"PYTHONPATH": str(ROOT / "src"), "TIDEGATE_EXTENSIONS": "skip"}
    for build, environment in (("compiled", {"PYTHONPATH": ""}), ("pure", pure)):
        with start_server("--no-access-log", app="echo:app", app_dir=APPS, env=environment) as server:
            server.wait_for_log(r": ready")
            assert ("pure Python" in server.log) == (build == "pure"), server.log
            direct = nullcontext(f"ws://{server.host}:{server.port}/")
            with through_haproxy(server) if proxied else direct as url:
                code |= tell(build, judge(url, cases, report=build))
            assert "Traceback" not in server.log, server.log
    return code


def tell(who: str, verdicts: dict[str, Verdict]) -> int:
    failed = failures(verdicts)
    for case, (behaviour, close) in failed.items():
        print(f"{case}: {behaviour}, close {close}")
    print(f"{who}: {summary(verdicts)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NoPython27 as error:
        sys.exit(str(error))
