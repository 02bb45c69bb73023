"""Settings from the environment and from an env file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class undefined:
    """Stands for "no default given"."""


class EnvironError(Exception):
    """The environment was changed after it had been read."""


class Environ(MutableMapping[str, str]):
    """A view of the environment that refuses to change what has been read already."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self._read.add(key)
        return self._environ[key]

    def __setitem__(self, key: str, value: str) -> None:
        if key in self._read:
            raise EnvironError(f"Attempting to set environ['{key}'], but the value has already been read.")
        self._environ[key] = value

    def __delitem__(self, key: str) -> None:
        if key in self._read:
            raise EnvironError(f"Attempting to delete environ['{key}'], but the value has already been read.")
        del self._environ[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


environ = Environ()


class Config:
    """`config(key, cast, default)`: the environment first, then the env file, then the default, else
    KeyError."""

    def __init__(
        self,
        env_file: str | Path | None = None,
        environ: Mapping[str, str] = environ,
        env_prefix: str = "",
        encoding: str = "utf-8",
    ) -> None:
        self.environ = environ
        self.env_prefix = env_prefix
        self.file_values: dict[str, str] = {}
        if env_file is not None:
            if os.path.isfile(env_file):
                self.file_values = self._read_file(env_file, encoding)
            else:
                warnings.warn(f"Config file '{env_file}' not found.", stacklevel=2)

    @overload
    def __call__(self, key: str, *, default: None) -> str | None: ...
    @overload
    def __call__(self, key: str, cast: type[T], default: T = ...) -> T: ...
    @overload
    def __call__(self, key: str, cast: type[str] = ..., default: str = ...) -> str: ...
    @overload
    def __call__(self, key: str, cast: Callable[[Any], T] = ..., default: Any = ...) -> T: ...
    @overload
    def __call__(self, key: str, cast: type[str] = ..., default: T = ...) -> T | str: ...
    def __call__(self, key: str, cast: Callable[[Any], Any] | None = None, default: Any = undefined) -> Any:
        return self.get(key, cast, default)

    def get(self, key: str, cast: Callable[[Any], Any] | None = None, default: Any = undefined) -> Any:
        key = self.env_prefix + key
        if key in self.environ:
            value: Any = self.environ[key]
        elif key in self.file_values:
            value = self.file_values[key]
        elif default is not undefined:
            value = default
        else:
            raise KeyError(f"Config '{key}' is missing, and has no default.")
        return self._cast(key, value, cast)

    def _read_file(self, file_name: str | Path, encoding: str) -> dict[str, str]:
        values: dict[str, str] = {}
        with open(file_name, encoding=encoding) as file:
            for line in file:
                name, equals, value = line.strip().partition("=")
                if not equals or name.startswith("#"):
                    continue
                value = value.strip()
                if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                    value = value[1:-1]
                values[name.strip()] = value
        return values

    def _cast(self, key: str, value: Any, cast: Callable[[Any], Any] | None) -> Any:
        if cast is None or value is None:
            return value
        if cast is bool and isinstance(value, str):
            truths = {"true": True, "1": True, "false": False, "0": False}
            if value.lower() not in truths:
                raise ValueError(f"Config '{key}' has value '{value}'. Not a valid bool.")
            return truths[value.lower()]
        try:
            return cast(value)
        except (TypeError, ValueError):
            raise ValueError(f"Config '{key}' has value '{value}'. Not a valid {cast.__name__}.") from None
