"""Settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tidegate.web.config import Config, Environ, EnvironError
from tidegate.web.datastructures import URL, CommaSeparatedStrings, Secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / ".env"
    file.write_text(
        "# comment\nURL=postgres://u:p@h/d\nHOSTS=a, b\nKEY='x y'\nDEBUG=true\nEMPTY=\nno line\n N = 3 \nQ=\"\n",
        encoding="utf-8",
    )
    return Config(file, environ={"N": "4", "BAD": "q"})


def test_values_and_casts(config: Config) -> None:
    assert config("URL", cast=URL).path == "/d"
    assert list(config("HOSTS", cast=CommaSeparatedStrings)) == ["a", "b"]
    assert str(config("KEY", cast=Secret)) == "x y"
    assert config("DEBUG", cast=bool) is True
    assert config("EMPTY") == ""
    assert config("Q") == '"'
    assert config("N", cast=int) == 4  # the environment is before the file
    assert config("NONE", default=None) is None
    assert config("NONE", cast=int, default=5) == 5
    assert config.get("NONE", cast=bool, default=False) is False
    assert config("ZERO", cast=bool, default="0") is False


@pytest.mark.parametrize(("key", "cast"), [("BAD", bool), ("BAD", int)])
def test_bad_values_are_named(config: Config, key: str, cast: Any) -> None:
    with pytest.raises(ValueError, match=f"Config '{key}' has value 'q'. Not a valid {cast.__name__}."):
        config.get(key, cast=cast)


def test_missing(config: Config, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="NONE"):
        config.get("NONE")
    with pytest.warns(UserWarning, match="not found"):
        Config(tmp_path / "none")


def test_prefix() -> None:
    assert Config(environ={"APP_A": "1"}, env_prefix="APP_").get("A") == "1"


def test_what_was_read_cannot_change() -> None:
    environ = Environ({"A": "1", "B": "2"})
    environ["C"] = "3"
    assert environ["A"] == "1"
    with pytest.raises(EnvironError, match="set"):
        environ["A"] = "2"
    with pytest.raises(EnvironError, match="delete"):
        del environ["A"]
    del environ["B"]
    assert sorted(environ) == ["A", "C"]
    assert len(environ) == 2
