"""What is said about other servers' options: it names ones that there are, and nothing that there is."""

import re

import pytest

from tidegate.cli.hints import ELSEWHERE, hint
from tidegate.cli.main import main, run
from tidegate.cli.options import flags, load_config
from tidegate.config import OPTIONS, ConfigError

KNOWN = {flag for option in OPTIONS.values() for flag in flags(option)} | {"--config"}


@pytest.mark.parametrize("flag", ELSEWHERE)
def test_a_hint_is_about_what_there_is(flag: str) -> None:
    assert flag not in KNOWN
    assert set(re.findall(r"--[\w-]+", ELSEWHERE[flag])) <= KNOWN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--http", "h11"], "No such option '--http': there is one implementation of HTTP/1.1: leave it out"),
        (["--http=httptools"], "No such option '--http': there is one implementation"),
        (["--ws", "none"], "No such option '--ws': there is one implementation of WebSockets: leave it out"),
        (["--reload-delay", "1"], "No such option '--reload-delay': .*: leave it out"),
        (["-w", "4"], "No such option '-w': give --workers"),
        (["-b:80"], "No such option '-b': give --bind"),
        (
            ["--log-level", "warn"],
            "--log-level: 'warn' is not a choice: did you mean \"warning\"\\? Give critical",
        ),
        (["--loop", "x"], "--loop: 'x' is not a choice: give auto or uvloop or asyncio"),
        (
            ["--limit-max-requests", "9", "main:app"],
            "--recycle-requests, --limit-max-requests, --max-requests: it is a supervisor's to do: give --workers",
        ),
    ],
)
def test_one_line_names_the_fix(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert re.fullmatch(f"tidegate: error: {message}.*\n", capsys.readouterr().err)


def test_python_and_toml_are_told_too(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match='no option "http": there is one implementation'):
        run("main:app", http="h11")
    (tmp_path / "pyproject.toml").write_text("[tool.tidegate]\nthreads = 4\n")
    with pytest.raises(ConfigError, match='"threads" is not an option: give --wsgi-threads'):
        load_config({}, {}, tmp_path)
    assert hint("reload_delay") == hint("--reload-delay") != ""
    assert hint("zzz") == ""


@pytest.mark.parametrize("command", [[], ["dev-cert"]])
def test_h_is_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    told = []
    for flag in ("-h", "--help"):
        with pytest.raises(SystemExit) as caught:
            main([*command, flag])
        assert caught.value.code == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert told[0].startswith("Usage: tidegate ")
