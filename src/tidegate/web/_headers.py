"""Header fields: names without regard to case, every line kept (RFC 9110 §5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2: token
FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\x00]")  # RFC 9110 §5.5


def encode_field_name(name: str) -> bytes:
    """`name` lower-cased, as ASGI wants it. Raises ValueError unless it is a token (RFC 9110 §5.1)."""
    if FIELD_NAME.fullmatch(name) is None:
        raise ValueError(f"Invalid header name {name!r}")
    return name.lower().encode("ascii")


def encode_field_value(value: str) -> bytes:
    """`value` in Latin-1. Raises ValueError for CR, LF or NUL, which would start another field (RFC 9110
    §5.5)."""
    if FORBIDDEN_IN_VALUE.search(value) is not None:
        raise ValueError(f"Invalid header value {value!r}")
    return value.encode("latin-1")


class Headers(Mapping[str, str]):
    """Header fields: names without regard to case, every line kept (RFC 9110 §5)."""

    __slots__ = ("_list",)

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        raw: list[tuple[bytes, bytes]] | None = None,
        scope: MutableMapping[str, Any] | None = None,
    ) -> None:
        if headers is not None:
            assert raw is None, 'Cannot set both "headers" and "raw".'
            assert scope is None, 'Cannot set both "headers" and "scope".'
            self._list = [
                (encode_field_name(key), encode_field_value(value)) for key, value in headers.items()
            ]
        elif raw is not None:
            assert scope is None, 'Cannot set both "raw" and "scope".'
            self._list = raw
        elif scope is not None:
            # scope["headers"] may be any iterable; made a list once, so that MutableHeaders can change it in
            # place.
            self._list = fields = scope["headers"]
            if type(fields) is not list:
                self._list = scope["headers"] = list(fields)
        else:
            self._list = []

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return self._list

    def keys(self) -> list[str]:  # type: ignore[override]
        return [key.decode("latin-1") for key, _ in self._list]

    def values(self) -> list[str]:  # type: ignore[override]
        return [value.decode("latin-1") for _, value in self._list]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self._list]

    def getlist(self, key: str) -> list[str]:
        name = key.lower().encode("latin-1")
        return [value.decode("latin-1") for item_key, value in self._list if item_key == name]

    def mutablecopy(self) -> MutableHeaders:
        return MutableHeaders(raw=self._list[:])

    def __getitem__(self, key: str) -> str:
        name = key.lower().encode("latin-1")
        for item_key, value in self._list:
            if item_key == name:
                return value.decode("latin-1")
        raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        name = key.lower().encode("latin-1")
        return any(item_key == name for item_key, _ in self._list)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._list)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Headers) and sorted(self._list) == sorted(other._list)

    def __repr__(self) -> str:
        as_dict = dict(self.items())
        if len(as_dict) == len(self):
            return f"{self.__class__.__name__}({as_dict!r})"
        return f"{self.__class__.__name__}(raw={self.raw!r})"


class MutableHeaders(Headers):
    """Header fields that can be changed in place. Setting raises ValueError for a name or value that is
    not one."""

    __slots__ = ()

    def __setitem__(self, key: str, value: str) -> None:
        """Set the field where it first stands; drop its other lines."""
        name, encoded = encode_field_name(key), encode_field_value(value)
        positions = [index for index, item in enumerate(self._list) if item[0] == name]
        for index in reversed(positions[1:]):
            del self._list[index]
        if positions:
            self._list[positions[0]] = (name, encoded)
        else:
            self._list.append((name, encoded))

    def __delitem__(self, key: str) -> None:
        name = key.lower().encode("latin-1")
        self._list[:] = [item for item in self._list if item[0] != name]

    def __ior__(self, other: Mapping[str, str]) -> MutableHeaders:
        if not isinstance(other, Mapping):
            raise TypeError(f"Expected a mapping but got {other.__class__.__name__}")
        self.update(other)
        return self

    def __or__(self, other: Mapping[str, str]) -> MutableHeaders:
        if not isinstance(other, Mapping):
            raise TypeError(f"Expected a mapping but got {other.__class__.__name__}")
        new = self.mutablecopy()
        new.update(other)
        return new

    def setdefault(self, key: str, value: str) -> str:
        name, encoded = encode_field_name(key), encode_field_value(value)
        for item_key, item_value in self._list:
            if item_key == name:
                return item_value.decode("latin-1")
        self._list.append((name, encoded))
        return value

    def update(self, other: Mapping[str, str]) -> None:
        for key, value in other.items():
            self[key] = value

    def append(self, key: str, value: str) -> None:
        self._list.append((encode_field_name(key), encode_field_value(value)))

    def add_vary_header(self, vary: str) -> None:
        """Add `vary` to what caches must key on, unless it (or `*`) is there already (RFC 9110 §12.5.5)."""
        existing = ", ".join(self.getlist("vary"))
        if not existing:
            self["vary"] = vary
            return
        members = {member.strip().lower() for member in existing.split(",")}
        missing = [member.strip() for member in vary.split(",")]
        missing = [member for member in missing if member.lower() not in members and "*" not in members]
        self["vary"] = ", ".join([existing, *missing])
