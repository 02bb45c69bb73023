"""docs/deployment.md and docs/proxies.md: what they name exists, and the files of examples/deploy work.

HAProxy's and nginx' are run by tests/interop.
"""

import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.process import ADDRESS, ServerProcess, eventually
from tests.support.wire import Client
from tidegate.cli.options import flags
from tidegate.config import OPTIONS, Config, Timeouts
from tidegate.supervisor.worker import Plan

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "examples" / "deploy"
PAGE = (ROOT / "docs" / "deployment.md").read_text()
PROXIES = (ROOT / "docs" / "proxies.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
KNOWN = {flag for option in OPTIONS.values() for flag in flags(option)} | {
    *("--check-config", "--config", "--print-config", "--version"),
}


def rows() -> list[tuple[str, str, str]]:
    """(server, its options, ours and the notes) of the tables `From ...`."""
    found = []
    for title, body in re.findall(r"^## From (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        for line in body.splitlines():
            if line.startswith("| ") and not line.startswith(f"| {title} "):
                theirs, ours, notes = (cell.strip() for cell in line.strip("|").split(" | ", 2))
                found.append((title, theirs, f"{ours} {notes}".strip()))
    return found


@pytest.mark.parametrize(("server", "theirs", "ours"), rows(), ids=lambda cell: cell[:40])
def test_the_options_of_the_tables_exist(server, theirs, ours):
    named = set(OPTION.findall(theirs if ours.startswith("the same") else ""))
    named |= set(OPTION.findall(ours)) - {"--reload-delay", "--ssl-version"}  # theirs, in a note
    assert named or ours.startswith("-")
    assert named <= KNOWN


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "granian", "hypercorn"])
def test_the_options_of_the_others_exist(server):
    """By their own --help."""
    pytest.importorskip(server)
    told = subprocess.run(
        [sys.executable, "-m", server, "--help"],
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    option = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")
    named = {each for name, theirs, _ in rows() if name == server for each in option.findall(theirs)}
    assert len(named) > 15
    assert named <= set(option.findall(told))


def test_there_is_a_table_for_each_server():
    assert [server for server, _, _ in rows()].count("uvicorn") > 10
    assert {server for server, _, _ in rows()} == {"uvicorn", "gunicorn", "granian", "hypercorn"}


@pytest.mark.parametrize(
    "page", [PAGE.partition("## From uvicorn")[0], PROXIES], ids=["deployment", "proxies"]
)
def test_the_options_of_the_text_exist(page):
    own = {"--no-install-recommends", "--no-cache-dir", "--from", "--system", "--no-create-home"}
    assert set(OPTION.findall(page)) - own <= KNOWN


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_the_page_shows_the_files(path):
    shown = re.search(
        rf"<!-- examples/deploy/{re.escape(path.name)} -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL
    )
    assert shown is not None
    assert shown[1] == path.read_text()


def shutdown_seconds() -> float:
    timeouts = Timeouts()
    return timeouts.graceful_shutdown + timeouts.shutdown_cancel + timeouts.lifespan_shutdown


# --- Kubernetes


def test_the_manifests_settings_are_taken():
    deployment, _ = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = {variable["name"]: variable["value"] for variable in container["env"]}
    assert all(isinstance(value, str) for value in settings.values())  # as EnvVar's value is to be
    checked = subprocess.run(
        [sys.executable, "-m", "tidegate", "--check-config"],
        env={**settings, "PYTHONPATH": absolute_path()},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert "TIDEGATE" not in checked.stdout + checked.stderr  # no variable that is not known
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert before + shutdown_seconds() < pod["terminationGracePeriodSeconds"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[name]["httpGet"]["path"] == settings["TIDEGATE_LIMIT_EXEMPT"]


def test_the_manifest_is_one_of_its_kind():
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert deployment.keys() == {"apiVersion", "kind", "metadata", "spec"} == service.keys()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]
        assert probe["httpGet"]["port"] in ports
        assert probe.keys() <= {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}
    # The image that the Dockerfile makes listens there.
    assert f"0.0.0.0:{ports['http']}" in dockerfile()[-1][1]


# --- the container image


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, its arguments) of the Dockerfile."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    return [
        (name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name not in ("", "#")
    ]


def test_the_images_stages_fit():
    steps = dockerfile()
    assert {name for name, _ in steps} == {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "CMD"}
    bases = [rest.split() for name, rest in steps if name == "FROM"]
    assert [base[0] for base in bases] == [bases[0][0]] * 2  # the same Python, or the venv would not run
    assert ("COPY", f"--from={bases[0][2]} /venv /venv") in steps
    order = [name for name, _ in steps]
    assert order.index("USER") > max(n for n, name in enumerate(order) if name in ("RUN", "COPY"))
    exposed = dict(steps)["EXPOSE"]
    assert json.loads(dict(steps)["CMD"])[1:3] == ["--bind", f"0.0.0.0:{exposed}"]


def test_the_images_command_serves_and_stops(tmp_path):
    command = json.loads(dict(dockerfile())["CMD"])
    (tmp_path / "main.py").write_text(APP)
    arguments = [each.replace("0.0.0.0:8000", "127.0.0.1:0") for each in command[1:]]
    server = ServerProcess([*arguments, "--app-dir", str(tmp_path)], {})
    try:
        server.port = int(server.wait_for_log(ADDRESS, 20)[1])
        with server.client() as client:
            assert client.request("GET", "/", ("Connection", "close")).body == b"shop"
        assert server.terminate() == 0
    finally:
        server.process.kill()
        server.process.wait()


# --- systemd

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"shop"})
"""


def absolute_path() -> str:
    """PYTHONPATH for another working directory."""
    return os.pathsep.join(
        os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)
    )


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / name).read_text())
    return parser


def test_systemd_takes_the_units(tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not there")
    service = (DEPLOY / "tidegate.service").read_text()
    program = unit("tidegate.service")["Service"]["ExecStart"].split()[0]
    (tmp_path / "shop.service").write_text(service.replace(program, "/bin/true"))
    shutil.copy(DEPLOY / "tidegate.socket", tmp_path / "shop.socket")
    units = [str(tmp_path / "shop.service"), str(tmp_path / "shop.socket")]
    verified = subprocess.run([tool, "verify", *units], capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_the_units_patience_is_longer_than_ours():
    service = unit("tidegate.service")["Service"]
    config = Config()
    assert Plan.of(config, 1).drain < int(service["TimeoutStopSec"])
    assert config.limits.connections + 128 < int(service["LimitNOFILE"])


def test_the_units_command_serves_the_units_socket(tmp_path):
    """By systemd-socket-activate(1), which speaks systemd's own protocol."""
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        pytest.skip("systemd-socket-activate is not there")
    (tmp_path / "main.py").write_text(APP)
    command = unit("tidegate.service")["Service"]["ExecStart"].split()[1:]
    assert "auto" in command
    arguments = ["2" if each == "auto" else each for each in command]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = unit("tidegate.socket")["Socket"]["ListenStream"].replace("0.0.0.0:8000", f"127.0.0.1:{port}")
    passed = [
        f"--setenv={name}" for name in os.environ if name not in ("LISTEN_FDS", "LISTEN_PID", "PYTHONPATH")
    ]
    if absolute_path():
        passed.append(f"--setenv=PYTHONPATH={absolute_path()}")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [tool, f"--listen={address}", *passed, sys.executable, "-m", "tidegate", *arguments],
            cwd=tmp_path,  # WorkingDirectory
            stdout=log,
            stderr=log,
        )
    try:

        def logged() -> str:
            return (tmp_path / "log").read_text()

        def answer() -> bytes:
            with Client("127.0.0.1", port, timeout=20) as client:
                return client.request("GET", "/", ("Connection", "close")).body

        eventually(lambda: "Listening on" in logged(), 10)
        assert answer() == b"shop", logged()  # it starts with the first connection
        eventually(lambda: "2 workers: ready" in logged(), 20)
        process.send_signal(signal.SIGHUP)  # ExecReload
        eventually(lambda: "Reloaded 2 workers" in logged(), 20)
        assert answer() == b"shop"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_links_lead_somewhere():
    coming = {"processes.md"}
    for name, page in (("deployment.md", PAGE), ("proxies.md", PROXIES)):
        for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page):
            assert not target or target in coming or (ROOT / "docs" / target).exists(), (name, target)
