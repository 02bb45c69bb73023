"""The edge's options: what they read, and what is said of what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.cli.main import check
from tidegate.cli.options import describe, load_config
from tidegate.config import Config, ConfigError, Edge
from tidegate.config.edge import CacheRule, Mount, Route

TOML = """
static = ["/s=public", "/=www"]
static-cache = ["*.css=max-age=60, public"]
compress = "zstd, gzip"
[[route]]
path = "/api/"
methods = ["get", "POST"]
limit-body = "10M"
limit_concurrency = 3
timeout = 5
compress = false
cache-control = 'no-"store"'
header = ["X-A: b", 'x-c: "d"']
[[route]]
path = "/"
limit-body = "unlimited"
compress = "default"
"""


def load(tmp_path: Path, toml: str) -> tuple[Config, dict[str, str]]:
    (tmp_path / "t.toml").write_text(toml)
    return load_config({"config": "t.toml"}, {}, tmp_path)


def test_all_of_it(tmp_path: Path) -> None:
    config, origins = load(tmp_path, TOML)
    assert config.edge == Edge(
        static=(Mount("/s", "public"), Mount("", "www")),
        static_cache=(CacheRule("*.css", "max-age=60, public"),),
        compress=("zstd", "gzip"),
        route=(
            Route(
                "/api",
                methods=("GET", "POST"),
                limit_body=10 * 2**20,
                limit_concurrency=3,
                timeout=5,
                compress=False,
                cache_control='no-"store"',
                headers=((b"x-a", b"b"), (b"x-c", b'"d"')),
            ),
            Route(""),
        ),
    )
    shown = describe(config, origins)
    again, _ = load(tmp_path, shown)
    assert again.edge == config.edge


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("static = 'public'", "static: 'public' has no =: give PREFIX=DIR"),
        ("static = 'public=/s'", "static: 'public' is not a path"),
        ("static = '/s='", "static: /s has no directory"),
        ("static = 5", "static: 5 is not PREFIX=DIR"),
        ("static = ['/s=a', '/s/=b']", "static: /s is there twice"),
        ("static-cache = '*.css'", "static-cache: '\\*.css' has no ="),
        ("static-cache = '*.css='", "static-cache: '\\*.css=' is incomplete"),
        ("static-cache = 5", "static-cache: 5 is not PATTERN=VALUE"),
        ("compress = 'deflate'", "compress: 'deflate' is not a choice: give zstd or br or gzip"),
        ("compress-type = 'html'", "compress-type: 'html' does not fit: give a media type"),
        ("[[route]]\ntimeout = 5", "route: .* has no path"),
        ("[[route]]\npath = 'api'", "route: 'api' is not a path"),
        ("[[route]]\npath = '/a'\ntmeout = 5", 'route: /a: "tmeout" is not a key of a route: did you mean "timeout"'),
        ("[[route]]\npath = '/a'\nzzz = 5", 'route: /a: "zzz" is not a key of a route: give path, methods'),
        ("[[route]]\npath = '/a'\ntimeout = 'x'", "route: /a: timeout: 'x' is not a number"),
        ("[[route]]\npath = '/a'\ntimeout = 0", "route: /a: timeout: 0 is out of range"),
        ("[[route]]\npath = '/a'\nlimit-body = '1X'", "route: /a: limit-body: '1X' is not a size"),
        ("[[route]]\npath = '/a'\nmethods = 'G T'", "route: /a: methods: 'G T' does not fit"),
        ("[[route]]\npath = '/a'\nheader = 'x'", "route: /a: header: 'x' has no colon"),
        ("[[route]]\npath = '/a'\ncompress = true", "route: /a: compress: give --compress too"),
        ("[[route]]\npath = '/a'\n[[route]]\npath = '/a/'", "route: /a is there twice"),
        ("route = 5", "route: 5 is not a route"),
        ("route = 'path = '", "route: 'path = ' is not the inside of a TOML table"),
    ],
)  # fmt: skip
def test_faults_name_their_key(tmp_path: Path, toml: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, toml)


def test_python_values_are_checked_too() -> None:
    for wrong in (Mount("s", "x"), Mount("/s/", "x"), Mount("/s", ""), Mount("/s", "\0")):
        with pytest.raises(ConfigError, match="static"):
            Edge(static=(wrong,))
    with pytest.raises(ConfigError, match="path"):
        Route("/api/")


def test_what_is_looked_at(tmp_path: Path) -> None:
    check(Config(edge=Edge(static=(Mount("/s", str(tmp_path)),), compress=("gzip",))))
    with pytest.raises(ConfigError, match="--static: there is no directory"):
        check(Config(edge=Edge(static=(Mount("/s", str(tmp_path / "x")),))))
    with pytest.raises(ConfigError, match=r"--static: it needs .*/proc"):
        Edge(static=(Mount("/s", str(tmp_path)),)).check(opened_files=str(tmp_path / "proc"))
    Edge().check(opened_files=str(tmp_path / "proc"))


def test_nothing_of_it_is_loaded_where_it_is_off() -> None:
    program = """
import asyncio, sys
from tidegate.config import Bind, Config
from tidegate.server import Server
async def app(scope, receive, send): raise NotImplementedError
async def main():
    async with Server(app, Config(binds=(Bind(port=0),))):
        print([name for name in sys.modules if name.startswith(("tidegate.edge", "tidegate.asgi."))])
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
