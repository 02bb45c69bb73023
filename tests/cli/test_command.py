"""The `tidegate` command as a user meets it: what it prints, and how it fails."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tidegate
from tests.support.process import run_command, start_server
from tidegate.cli.main import main, run, version
from tidegate.config import OPTIONS

APPLICATIONS = {
    "good.py": """
        import os
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    message = await receive()
                    await send({"type": message["type"] + ".complete"})
                    if message["type"] == "lifespan.shutdown":
                        return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": os.environ.get("GREETING", "hello").encode()})
        def create_app():
            return app
        def create_broken():
            raise RuntimeError("no database")
        number = 1
    """,
    "syntax.py": "def app(:\n    pass\n",
    "raises.py": "def connect():\n    raise RuntimeError('no database')\nconnect()\n",
    "missing.py": "import not_there\n",
    "unguarded.py": """
        import tidegate
        async def app(scope, receive, send): ...
        tidegate.run("unguarded:app", port=0, reload=True)
    """,
    "startup_failed.py": """
        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})
    """,
    "shutdown_failed.py": """
        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.failed", "message": "no database"})
    """,
}


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    for name, source in APPLICATIONS.items():
        lines = source.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        (tmp_path / name).write_text("\n".join(line[indent:] for line in lines) + "\n")
    return tmp_path


WRONG = {
    "no application": (
        (),
        2,
        "there is no application: give it as module:attribute, such as: tidegate main:app",
    ),
    "unknown option": (("--prot", "1", "good:app"), 2, "No such option '--prot'.* '--port'"),
    "two applications": (("good:app", "good:app"), 2, "Got unexpected extra argument"),
    "option without value": (("good:app", "--port"), 2, "Option '--port' requires an argument"),
    "bad port": (("--port", "http", "good:app"), 2, "--port: 'http' is not a whole number: give 0 to 65535"),
    "port out of range": (
        ("--port", "65536", "good:app"),
        2,
        "--port: 65536 is out of range: give 0 to 65535",
    ),
    "bad address": (("--bind", ":80", "good:app"), 2, "--bind: ':80' has no host or no port: give HOST:PORT"),
    "bad size": (("--limit-head", "lots", "good:app"), 2, "--limit-head: 'lots' is not a size: give octets"),
    "bad seconds": (
        ("--timeout-idle", "0", "good:app"),
        2,
        "--timeout-idle: 0 is out of range: give seconds",
    ),
    "bad choice": (
        ("--loop", "fast", "good:app"),
        2,
        "--loop: 'fast' is not a choice: give auto or uvloop or",
    ),
    "bad header": (("--header", "x", "good:app"), 2, "--header: 'x' has no colon: give NAME:VALUE"),
    "bad template": (
        ("--access-log-template", "{x}", "good:app"),
        2,
        "access_log_template: {x} is not an atom",
    ),
    "two ways to bind": (
        ("--bind", "[::1]:0", "--port", "1", "good:app"),
        2,
        "--bind, --port: these say different",
    ),
    "not an import string": (
        ("good.py",),
        2,
        """APP: 'good.py' names no attribute: .* such as "good:app\"""",
    ),
    "no directory": (("--app-dir", "{dir}/none", "good:app"), 2, "--app-dir: there is no directory .*/none"),
    "no reload directory": (
        ("--reload-dir", "{dir}/none", "good:app"),
        2,
        "--reload-dir: there is no directory",
    ),
    "no config file": (
        ("--config", "{dir}/none", "good:app"),
        2,
        "--config: can't read .*/none: No such file",
    ),
    "no env file": (
        ("--env-file", "{dir}/none", "good:app"),
        2,
        "--env-file: can't read .*/none: No such file",
    ),
    "no log config": (
        ("--log-config", "{dir}/none", "good:app"),
        2,
        "--log-config: can't read .*/none: No such",
    ),
    "wrong log config": (
        ("--log-config", "{dir}/good.py", "good:app"),
        2,
        "--log-config: .*good.py: .*section",
    ),
    "missing module": (("godo:app",), 3, 'there is no module "godo" in .*: did you mean "good"?'),
    "missing attribute": (("good:ap",), 3, '"good" has no attribute "ap": did you mean "app"?'),
    "not callable": (("good:number",), 3, '"good:number" is of type int, not an application'),
    "a factory": (("good:create_app",), 3, '"good:create_app" takes no arguments: give --factory'),
    "not a factory": (("--factory", "good:app"), 3, '"good:app" can\'t be called as a factory'),
    "startup failed": (("startup_failed:app",), 3, "the application failed to start: no database"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_invocation(case: str, apps: Path) -> None:
    arguments, code, message = WRONG[case]
    port = ["--port=0"] if code == 3 else []
    result = run_command(
        "--app-dir", str(apps), *port, *(each.replace("{dir}", str(apps)) for each in arguments)
    )
    assert result.returncode == code, result.stderr
    assert re.fullmatch(f"tidegate: error: .*{message}.*\n", result.stderr), result.stderr
    assert result.stdout == ""


RAISING = {
    "syntax error": ("syntax:app", "def app(:", '"syntax" has a syntax error'),
    "raises at import": (
        "raises:app",
        "    raise RuntimeError('no database')",
        '"raises" raised RuntimeError when',
    ),
    "import within": (
        "missing:app",
        "    import not_there",
        '"missing" needs "not_there", which is not installed',
    ),
    "factory raises": (
        "good:create_broken",
        'raise RuntimeError("no database")',
        "raised RuntimeError when it was called",
    ),
}


def test_an_application_that_runs_itself_when_it_is_imported(apps: Path) -> None:
    result = run_command("--app-dir", str(apps), "--port", "0", "unguarded:app")
    assert result.returncode == 3
    assert 'call it below if __name__ == "__main__"' in result.stderr
    assert result.stderr.endswith('tidegate: error: "unguarded" raised RuntimeError when it was imported\n')


@pytest.mark.parametrize("case", RAISING)
def test_the_applications_own_traceback_is_shown_and_none_of_ours(case: str, apps: Path) -> None:
    app, shown, message = RAISING[case]
    factory = ["--factory"] if "create" in app else []
    result = run_command("--app-dir", str(apps), "--port", "0", *factory, app)
    assert result.returncode == 3
    *traceback, last = result.stderr.splitlines()
    assert last.startswith("tidegate: error: ")
    assert message in last
    assert shown in "\n".join(traceback)
    assert "importlib" not in result.stderr
    assert f"tidegate{os.sep}" not in result.stderr


def test_a_busy_port(apps: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for more in ([], ["--reload"]):
            result = run_command("--app-dir", str(apps), "--port", str(port), *more, "good:app")
            assert result.returncode == 2
            fault = f"cannot listen on 127.0.0.1:{port}: the address is in use: .* give another port"
            assert re.fullmatch(f"tidegate: error: {fault}\n", result.stderr)


@pytest.mark.parametrize("option", ["--env-file", "--config", "--log-config"])
def test_a_file_that_cannot_be_read(option: str, apps: Path) -> None:
    result = run_command("--app-dir", str(apps), option, str(apps), "good:app")  # a directory, even to root
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"tidegate: error: {option}: can't read {apps}: Is a directory\n"


def test_a_failed_shutdown(apps: Path) -> None:
    with start_server(app="shutdown_failed:app", app_dir=apps, exit_code=1) as server:
        pass
    assert "no database" in server.log
    assert server.log.endswith("tidegate: error: the application's lifespan shutdown failed\n")
    assert "Traceback" not in server.log


def test_it_serves_with_an_env_file_and_a_factory(apps: Path) -> None:
    (apps / ".env").write_text("# ours\nexport GREETING='good day'\nPATH=taken\n")
    with start_server(
        "--factory", "--env-file", str(apps / ".env"), app="good:create_app", app_dir=apps
    ) as server:
        import urllib.request

        with urllib.request.urlopen(server.url) as response:
            assert response.read() == b"good day"
        server.wait_for_log(
            r'127\.0\.0\.1:\d+ "GET / HTTP/1\.1" 200 8 \d+\.\d{3}ms \d+\.\d{3}ms [0-9a-f]{16}\n'
        )
        server.signal(signal.SIGINT)
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("watchfiles", ["--reload"], "--reload: watchfiles is not installed: pip install 'tidegate[reload]'"),
        (
            "dotenv",
            ["--env-file", "{dir}/.env"],
            "--env-file: dotenv is not installed: pip install 'python-dotenv'",
        ),
        (
            "yaml",
            ["--log-config", "{dir}/log.yaml"],
            "needs PyYAML, which is missing: pip install pyyaml, or write",
        ),
        ("uvloop", ["--loop", "uvloop"], "--loop: uvloop is not installed: pip install 'uvloop'"),
    ],
)
def test_what_is_not_installed(  # type: ignore[no-untyped-def]
    capsys, monkeypatch, tmp_path: Path, module: str, arguments: list[str], message: str
) -> None:
    (tmp_path / ".env").touch()
    (tmp_path / "log.yaml").touch()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as caught:
        main(["--check-config", *(each.replace("{dir}", str(tmp_path)) for each in arguments)])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_check_config(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_LIMIT_HAED", "1")
    with pytest.raises(SystemExit) as caught:
        main(["--check-config", "not.there:app"])  # which is not imported
    assert caught.value.code == 0
    assert capsys.readouterr() == (
        "The configuration is sound.\n",
        "tidegate: warning: TIDEGATE_LIMIT_HAED in the environment is not an option\n",
    )
    with pytest.raises(SystemExit) as caught:
        main(["--check-config", "--app-dir", "/not/there"])
    assert caught.value.code == 2


def test_print_config(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ACCESS_LOG", "off")
    with pytest.raises(SystemExit) as caught:
        main(["--print-config", "--no-date-header", "--header", "a: b", "--header", "c: d", "not.there:app"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'app = "not.there:app"  # command line' in lines
    assert "date-header = false  # command line" in lines
    assert 'header = ["a: b", "c: d"]  # command line' in lines
    assert "access-log = false  # environment" in lines
    assert 'bind = ["127.0.0.1:8000"]  # default' in lines


def test_every_option_is_taken_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cli.test_options import OTHER, SHORTHANDS

    arguments = ["--print-config", "main:app"]
    for name, text in OTHER.items():
        if name == "app" or name in SHORTHANDS:
            continue
        option = OPTIONS[name]
        plain = option.default is None if name == "use_colors" else option.default is False
        arguments += (
            [option.flag]
            if plain
            else [f"--no-{option.key}"]
            if option.default is True
            else [option.flag, text]
        )
    with pytest.raises(SystemExit):
        main(arguments)
    settings = [line for line in capsys.readouterr().out.splitlines() if " = " in line]
    assert len(settings) == len(OPTIONS) - len(SHORTHANDS)
    assert all(line.endswith("  # command line") for line in settings)


def test_uvicorns_name_for_the_head_limit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--print-config", "--h11-max-incomplete-event-size", "16k"])
    assert "limit-head = 16384  # command line" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    line = capsys.readouterr().out
    assert line == version() + "\n"
    from tidegate.http import head

    build = "pure Python" if head.__file__.endswith(".py") else "compiled"
    python = f"CPython {sys.version.split()[0]}"
    assert re.match(rf"tidegate {tidegate.__version__} \({build}\), {python}, (uvloop \S+|asyncio), ", line)


def test_help_has_every_option_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    group = ""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(\w+):", line):
            group = match[1]
        elif match := re.match(r"  (?:-h, )?(APP|--[\w-]+)", line):
            found[match[1]] = group
    for option in OPTIONS.values():
        assert found.pop(option.flag) == option.group
    assert found == dict.fromkeys(
        ("--config", "--check-config", "--print-config", "--version", "--help"), "Command"
    )
    assert max(map(len, text.splitlines())) <= 110


def unmeasured() -> dict[str, str]:
    """The environment without what makes coverage measure our processes too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def cpu_seconds(*arguments: str) -> float:
    """What a process takes: as it waits for nothing, its time on an idle machine, however busy ours is."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=unmeasured())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_starts_at_once() -> None:
    assert min(cpu_seconds("-m", "tidegate", "--help") for _ in range(5)) < 0.15


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, tidegate.cli.main as m\ntry:\n m.main(['--help'])\nfinally:\n print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured()
    )
    modules = set(result.stdout.splitlines()[-1].split())
    assert not modules & {
        "asyncio",
        "uvloop",
        "socket",
        "logging",
        "tomllib",
        "tidegate.server",
        "tidegate.web",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prot": 1}, 'run\\(\\) has no option "prot": did you mean "port"?'),
        ({"zzzz": 1}, 'no option "zzzz"'),
    ],
)
def test_run_refuses_an_option_that_there_is_not(options: dict[str, int], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        run("main:app", **options)


async def application(scope: object, receive: object, send: object) -> None: ...


@pytest.mark.parametrize(
    ("app", "options", "code", "message"),
    [
        ("main:app", {"port": "x"}, 2, "run(): port: 'x' is not a whole number: give 0 to 65535"),
        ("main:app", {"reload_dirs": ["/not/there"]}, 2, "--reload-dir: there is no directory /not/there"),
        ("not_there:app", {"port": 0}, 3, 'there is no module "not_there"'),
        (application, {"port": 0, "factory": True}, 3, '"application" can\'t be called as a factory'),
        (
            application,
            {"port": 0, "reload": True},
            2,
            "reload: it starts new processes: give the application as",
        ),
        (
            application,
            {"uds": "/not/there/x"},
            2,
            "cannot listen on unix:/not/there/x: there is no such directory",
        ),
    ],
)
def test_run_ends_the_process_where_it_fails(  # type: ignore[no-untyped-def]
    capsys, app, options, code: int, message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        tidegate.run(app, **options)
    assert caught.value.code == code
    assert message in capsys.readouterr().err


def test_who_catches_the_exit_goes_on() -> None:
    """Also where a thread of the application's is still running."""
    program = (
        "import threading, time\n"
        "from tidegate.cli.main import main\n"
        "thread = threading.Thread(target=time.sleep, args=(3,))\n"
        "thread.start()\n"
        "try: main(['--check-config', 'a:b'])\n"
        "except SystemExit as error: print(error.code)\n"
        "thread.join()\n"
        "print('still here')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "The configuration is sound.\n0\nstill here\n")


def test_run_serves_an_application(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import tidegate, asyncio\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    length = [(b'content-length', b'5')]\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': length})\n"
        "    await send({'type': 'http.response.body', 'body': b'hello'})\n"
        "tidegate.run(app, uds='s', lifespan='off', h11_max_incomplete_event_size='16k', headers=['a: b'])\n"
        "print('returned')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.abspath(os.environ.get("PYTHONPATH", ""))}
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "s").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            while True:
                try:
                    client.connect(str(tmp_path / "s"))
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.endswith(b"hello")
        assert b"\r\na: b\r\n" in answer
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
        assert out.endswith(b"returned\n")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
