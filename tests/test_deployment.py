"""docs/deployment.md and docs/proxies.md: the options named there exist, the files are those of examples/deploy."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tidegate.cli.options import flags
from tidegate.config import OPTIONS

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "examples" / "deploy"
PAGE = (ROOT / "docs" / "deployment.md").read_text()
PROXIES = (ROOT / "docs" / "proxies.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
KNOWN = {flag for option in OPTIONS.values() for flag in flags(option)} | {
    *("--check-config", "--config", "--print-config", "--version"),
}
# Of parts that are still to be merged here: to be taken out as they are.
COMING = {
    *(
        "--workers",
        "--preload",
        "--recycle-requests",
        "--recycle-jitter",
        "--recycle-age",
        "--recycle-memory",
    ),
    *("--timeout-stall", "--timeout-boot", "--pid-file", "--user", "--group", "--umask"),
    *("--ssl-certfile", "--ssl-keyfile", "--ssl-keyfile-password", "--ssl-ca-certs", "--ssl-cert-reqs"),
    *("--ssl-ciphers", "--ssl-min-version"),
}


def test_what_was_to_come_is_not_there_yet():
    assert not COMING & KNOWN


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
    assert named <= KNOWN | COMING


def test_there_is_a_table_for_each_server():
    assert [server for server, _, _ in rows()].count("uvicorn") > 10
    assert {server for server, _, _ in rows()} == {"uvicorn", "gunicorn", "granian", "hypercorn"}


@pytest.mark.parametrize(
    "page", [PAGE.partition("## From uvicorn")[0], PROXIES], ids=["deployment", "proxies"]
)
def test_the_options_of_the_text_exist(page):
    own = {"--no-install-recommends", "--no-cache-dir", "--from", "--system", "--no-create-home"}
    assert set(OPTION.findall(page)) - own <= KNOWN | COMING


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_the_page_shows_the_files(path):
    shown = re.search(
        rf"<!-- examples/deploy/{re.escape(path.name)} -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL
    )
    assert shown is not None
    assert shown[1] == path.read_text()


def test_the_manifests_settings_are_taken():
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    settings = {variable["name"]: variable["value"] for variable in container["env"]}
    checked = subprocess.run(
        [sys.executable, "-m", "tidegate", "--check-config"], env=settings, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert "TIDEGATE" not in checked.stdout + checked.stderr  # no variable that is not known
    from tidegate.config import Timeouts

    timeouts = Timeouts()
    shutdown = timeouts.graceful_shutdown + timeouts.shutdown_cancel + timeouts.lifespan_shutdown
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert before + shutdown < pod["terminationGracePeriodSeconds"]


def test_links_lead_somewhere():
    coming = {"processes.md"}
    for name, page in (("deployment.md", PAGE), ("proxies.md", PROXIES)):
        for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page):
            assert not target or target in coming or (ROOT / "docs" / target).exists(), (name, target)
