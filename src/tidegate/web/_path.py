"""Path templates, `/items/{id:int}`: what they match, what the index makes of them, and the way back to a
URL."""

from __future__ import annotations

import re
from re import Pattern
from typing import Any
from urllib.parse import quote

from tidegate.web._url import URLPath
from tidegate.web.convertors import (
    CONVERTOR_TYPES,
    Convertor,
    FloatConvertor,
    IntegerConvertor,
    StringConvertor,
    UUIDConvertor,
)
from tidegate.web.types import Scope

PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(:[a-zA-Z_][a-zA-Z0-9_]*)?}")
# RFC 3986 §3.3: what a path may hold as it is.
PATH_SAFE = "/!$&'()*+,;=:@~"
# Convertors that never match a slash, so that one segment of the path is all they can see.
ONE_SEGMENT = (StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor)


def replace_params(
    path: str, param_convertors: dict[str, Convertor[Any]], path_params: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """`path` with its `{name}` filled in from `path_params`, and those that are left over. One pass:
    values stay as they are."""
    left = dict(path_params)

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in param_convertors or name not in path_params:
            return match[0]
        left.pop(name, None)
        return param_convertors[name].to_string(path_params[name])

    return re.sub(r"{([a-zA-Z_][a-zA-Z0-9_]*)}", fill, path), left


def compile_path(path: str) -> tuple[Pattern[str], str, dict[str, Convertor[Any]]]:
    """The regex, the format and the convertors of a path such as "/{name:int}", or of a host without a
    leading slash.

    The regex is anchored by `\\Z`: `$` would also match before a newline at the end.
    """
    is_host = not path.startswith("/")
    regex, path_format = "", ""
    duplicated: set[str] = set()
    convertors: dict[str, Convertor[Any]] = {}
    position = 0
    for match in PARAMETER.finditer(path):
        name, convertor_type = match.groups("str")
        convertor_type = convertor_type.lstrip(":")
        assert convertor_type in CONVERTOR_TYPES, f"Unknown path convertor '{convertor_type}'"
        convertor = CONVERTOR_TYPES[convertor_type]
        literal = path[position : match.start()]
        regex += f"{re.escape(literal)}(?P<{name}>{convertor.regex})"
        path_format += f"{literal}{{{name}}}"
        if name in convertors:
            duplicated.add(name)
        convertors[name] = convertor
        position = match.end()
    if duplicated:
        names = ", ".join(sorted(duplicated))
        ending = "s" if len(duplicated) > 1 else ""
        raise ValueError(f"Duplicated param name{ending} {names} at path {path}")
    literal = path[position:]
    if is_host:
        # The port of a Host is no part of what a host route says.
        host, _, _ = literal.partition(":") if "[" not in literal else (literal, "", "")
        regex += re.escape(host)
    else:
        regex += re.escape(literal)
    path_format += literal
    return re.compile(f"^{regex}\\Z", re.IGNORECASE if is_host else 0), path_format, convertors


def place(path: str, convertors: dict[str, Convertor[Any]]) -> tuple[list[str | None], bool]:
    """The segments of `path` as the index takes them, and whether all of them could be told apart."""
    segments: list[str | None] = []
    for segment in path.split("/")[1:]:
        names = [match[1] for match in PARAMETER.finditer(segment)]
        if not names:
            segments.append(segment)
        elif all(type(convertors[name]) in ONE_SEGMENT for name in names):
            segments.append(None)
        else:
            return segments, False
    return segments, True


def whole_segments(
    path: str, convertors: dict[str, Convertor[Any]]
) -> tuple[tuple[int, str, bool], ...] | None:
    """The (index, name, is it an integer) of each parameter, if each is a segment by itself, of str or int."""
    found: list[tuple[int, str, bool]] = []
    for index, segment in enumerate(path.split("/")):
        match = PARAMETER.fullmatch(segment)
        if match is None:
            if PARAMETER.search(segment) is not None:
                return None
            continue
        kind = type(convertors[match[1]])
        if kind is not IntegerConvertor and kind is not StringConvertor:
            return None
        found.append((index, match[1], kind is IntegerConvertor))
    return tuple(found)


def segment_params(
    scope: Scope, segments: list[str], places: tuple[tuple[int, str, bool], ...]
) -> dict[str, Any] | None:
    """What `merged_params` gives, of a path whose segments are known to be as many as the template's."""
    outer = scope.get("path_params")
    values: dict[str, Any] = dict(outer) if outer else {}
    for index, name, integer in places:
        text = segments[index]
        if not integer:
            if not text:
                return None
            values[name] = text
        elif text.isascii() and text.isdigit():
            try:
                values[name] = int(text)
            except ValueError:  # more digits than Python converts
                return None
        else:
            return None
    return values


def merged_params(
    scope: Scope, match: re.Match[str], convertors: dict[str, Convertor[Any]]
) -> dict[str, Any] | None:
    """The values of what matched, after the outer mounts'; None if one has none (an int of 5,000 digits)."""
    values = match.groupdict()
    try:
        for key, value in values.items():
            values[key] = convertors[key].convert(value)
    except ValueError:
        return None
    outer = scope.get("path_params")
    return {**outer, **values} if outer else values


def quoted_path(path: str, protocol: Any = "", host: str = "") -> URLPath:
    """A path in percent-encoding (RFC 3986 §2.1); a leading `//` would name an authority."""
    quoted = quote(path, safe=PATH_SAFE)
    if quoted.startswith("//"):
        quoted = f"/%2F{quoted[2:]}"
    return URLPath(quoted, protocol=protocol, host=host)
