"""The options of the edge: static files, compression, and what holds for single paths."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from tidegate.config.option import (
    Choice,
    ConfigError,
    Flag,
    HeaderField,
    Integer,
    Kind,
    Option,
    Seconds,
    Section,
    Size,
    Text,
    did_you_mean,
    option,
    option_of,
)

CODINGS = ("zstd", "br", "gzip")
PATH = re.compile(r"(?:/[^\x00?#]*)?")
# Where the system says which file an open descriptor is.
OPENED_FILES: Final = "/proc/self/fd"


def _prefix(text: str) -> str:
    """A path prefix in its one form: "" for all paths, else without a slash at its end. Raises ValueError."""
    if not PATH.fullmatch(text) or not text:
        raise ValueError(f"{text!r} is not a path: give one that begins with /, such as /static")
    return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class Mount:
    """Files of `directory` are served at paths below `prefix`, which is "" or begins with a slash and ends without."""

    prefix: str
    directory: str


class MountPoint(Kind):
    """A `Mount`, as text PREFIX=DIR."""

    metavar = "PREFIX=DIR"

    def parse(self, text: str) -> Mount:
        prefix, separator, directory = text.partition("=")
        if not separator:
            raise ValueError(f"{text!r} has no =: give PREFIX=DIR, such as /static=public")
        return Mount(_prefix(prefix.strip()), directory.strip())

    def check(self, value: Any) -> None:
        if not isinstance(value, Mount):
            raise ValueError(f"{value!r} is not PREFIX=DIR")
        if not PATH.fullmatch(value.prefix) or value.prefix.endswith("/"):
            raise ValueError(f"{value.prefix!r} is not a prefix: give one such as /static")
        if not value.directory or "\x00" in value.directory:
            raise ValueError(
                f"{value.prefix or '/'} has no directory: give PREFIX=DIR, such as /static=public"
            )

    def format(self, value: Mount) -> str:
        return f"{value.prefix or '/'}={value.directory}"


@dataclass(frozen=True, slots=True)
class CacheRule:
    """Static files whose path below their mount `pattern` matches have this Cache-Control."""

    pattern: str
    value: str


class CachePattern(Kind):
    """A `CacheRule`, as text PATTERN=VALUE; `*` matches slashes too."""

    metavar = "PATTERN=VALUE"
    separator = "\n"

    def parse(self, text: str) -> CacheRule:
        pattern, separator, value = text.partition("=")
        if not separator:
            raise ValueError(f"{text!r} has no =: give PATTERN=VALUE, such as assets/*=max-age=31536000")
        return CacheRule(pattern.strip(), value.strip())

    def check(self, value: Any) -> None:
        if not isinstance(value, CacheRule):
            raise ValueError(f"{value!r} is not PATTERN=VALUE")
        if not value.pattern or not re.fullmatch(r"[\x20-\x7e]+", value.value):
            raise ValueError(
                f"{self.format(value)!r} is incomplete: give PATTERN=VALUE, such as *.css=no-cache"
            )

    def format(self, value: CacheRule) -> str:
        return f"{value.pattern}={value.value}"


class RouteTable(Kind):
    """A `Route`: a table in TOML; as text the inside of an inline table, such as path = "/api", timeout = 5."""

    metavar = "TABLE"
    separator = "\n"
    inline = True

    def parse(self, text: str) -> "Route":
        import tomllib  # here, since --help has no need of it

        try:
            table = tomllib.loads(f"route = {{ {text} }}")["route"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(
                f'{text!r} is not the inside of a TOML table ({error}): give path = "/api", timeout = 5'
            ) from None
        route: Route = self.convert(table)
        return route

    def convert(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if not isinstance(value.get("path"), str):
            raise ValueError(f'{value!r} has no path: give path = "/api"')
        known = {each.key: each for each in _route_options()}
        settings: dict[str, Any] = {}
        for key, setting in value.items():
            name = key.replace("_", "-")
            if name not in known:
                hint = did_you_mean(name, known) or f": give {', '.join(known)}"
                raise ValueError(f'{value["path"]}: "{key}" is not a key of a route{hint}')
            found = known[name]
            try:
                settings[found.path[-1]] = found.read(setting)
            except ValueError as error:
                raise ValueError(f"{value['path']}: {name}: {error}") from None
        try:
            settings["path"] = _prefix(settings["path"])
            return Route(**settings)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    def check(self, value: Any) -> None:
        if not isinstance(value, Route):
            raise ValueError(f"{value!r} is not a route: give a table with a path")

    def format(self, value: "Route") -> str:
        from json import dumps

        parts = []
        for each in _route_options():
            setting = getattr(value, each.path[-1])
            if each.path[-1] == "path":
                parts.append(f"path = {dumps(setting or '/')}")
            elif setting != each.default:
                if each.repeatable:
                    shown = f"[{', '.join(dumps(each.kind.format(item)) for item in setting)}]"
                elif isinstance(setting, str):
                    shown = dumps(setting)
                else:
                    shown = each.format(setting)
                    shown = dumps(shown) if isinstance(each.kind, Size) else shown
                parts.append(f"{each.key} = {shown}")
        return ", ".join(parts)


def _route_options() -> Iterator[Option]:
    for declared in fields(Route):
        yield option_of(Route, declared, ("route",))


class Method(Text):
    """A request method, in capitals as it is case-sensitive (RFC 9110 §9.1)."""

    def __init__(self) -> None:
        super().__init__("METHOD", r"[A-Z][A-Z-]{0,31}", "a method, such as GET")

    def parse(self, text: str) -> str:
        return text.strip().upper()


@dataclass(frozen=True, slots=True)
class Route(Section):
    """What holds for the requests whose path is `path` or below it; of several routes the longest path counts.

    `compress` is None for what --compress says of all.
    """

    group = "Route"

    path: str = option("", Text("PATH"), "The path, with all that is below it.")
    methods: tuple[str, ...] = option(
        (), Method(), "Methods that are taken; others are answered 405.", repeatable=True
    )
    limit_body: int | None = option(
        None, Size(), "Largest request body; a larger one is answered 413.", none="unlimited"
    )
    limit_concurrency: int | None = option(
        None, Integer(1), "Most requests in the application at once; more are answered 503.", none="unlimited"
    )
    timeout: float | None = option(
        None,
        Seconds(above=True),
        "Time for the whole answer; then 504, and the application is cancelled.",
        none="off",
    )
    compress: bool | None = option(
        None, Flag(), "Whether answers are compressed, by the codings of --compress.", none="default"
    )
    cache_control: str | None = option(
        None,
        Text("VALUE", r"[\x20-\x7e]+", "directives, such as no-store"),
        "Cache-Control of answers that have none of their own.",
        none="none",
    )
    headers: tuple[tuple[bytes, bytes], ...] = option(
        (), HeaderField(), "Field for answers that have none of this name.", name="header", repeatable=True
    )

    def __post_init__(self) -> None:
        Section.__post_init__(self)  # named, as slots=True replaces the class
        if not PATH.fullmatch(self.path) or self.path.endswith("/"):
            raise ConfigError(f"path: {self.path!r} does not fit: begin with a slash, and end without")


class Coding(Choice):
    """A content coding (RFC 9110 §8.4.1); several by commas."""

    listed = True

    def __init__(self, *values: str) -> None:
        super().__init__(*values)
        self.metavar = "CODING"


class MediaType(Text):
    """A media type without parameters, `type/*`, or `*+suffix`; in lower case."""

    listed = True

    def __init__(self) -> None:
        super().__init__(
            "TYPE",
            r"[!#$&^_.a-z0-9-]+/(\*|[!#$&^_.+a-z0-9-]+)|\*\+[a-z0-9.-]+",
            "a media type, such as text/*",
        )

    def parse(self, text: str) -> str:
        return text.strip().lower()


@dataclass(frozen=True, slots=True)
class Edge(Section):
    """What is done before the application, or instead of it."""

    group = "Edge"

    static: tuple[Mount, ...] = option(
        (), MountPoint(), "Serve the files of a directory at paths below a prefix.", repeatable=True
    )
    static_cache: tuple[CacheRule, ...] = option(
        (),
        CachePattern(),
        "Cache-Control of static files whose path below their prefix matches a pattern; the first that does counts.",
        repeatable=True,
    )
    static_fallthrough: bool = option(
        False, Flag(), "Let the application answer where there is no static file, rather than 404."
    )
    static_open_files: int = option(
        256, Integer(1, 65536), "Most static files that are kept open, or in memory, between requests."
    )
    static_memory: int = option(
        32 * 2**20, Size(), "Most octets of small static files (up to 32 KiB each) that are kept in memory."
    )
    compress: tuple[str, ...] = option(
        (),
        Coding(*CODINGS),
        "Compress answers with these codings, the preferred one first; several by commas.",
        repeatable=True,
    )
    compress_min_size: int = option(
        1024, Size(), "Smallest answer that is compressed, where its length is known beforehand."
    )
    compress_types: tuple[str, ...] = option(
        (),
        MediaType(),
        "Media types that are compressed, as text/* or *+json; by default those that gain by it.",
        name="compress_type",
        repeatable=True,
    )
    compress_events: bool = option(False, Flag(), "Compress server-sent events (text/event-stream) too.")
    route: tuple[Route, ...] = option(
        (),
        RouteTable(),
        "Limits and headers for the paths below one: a table with path and other keys.",
        repeatable=True,
    )

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        for name, paths in (
            ("static", [mount.prefix for mount in self.static]),
            ("route", [route.path for route in self.route]),
        ):
            twice = next((path for path in paths if paths.count(path) > 1), None)
            if twice is not None:
                raise ConfigError(f"{name}: {twice or '/'} is there twice: leave one out")
        for route in self.route:
            if route.compress and not self.compress:
                raise ConfigError(
                    f"route: {route.path or '/'}: compress: give --compress too, with its codings"
                )

    def check(self, opened_files: str = OPENED_FILES) -> None:
        """Look at what is named outside the configuration. Raises ConfigError."""
        from tidegate.asgi.compression import MissingCodec, codec

        if self.static and not os.path.isdir(opened_files):
            raise ConfigError(f"--static: it needs {opened_files}: mount /proc (Linux)")
        for mount in self.static:
            if not os.path.isdir(mount.directory):
                raise ConfigError(f"--static: there is no directory {mount.directory}: check the path")
        for coding in self.compress:
            try:
                codec(coding)
            except MissingCodec as error:
                raise ConfigError(f"--compress: {error}") from None

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.static or self.compress or self.route)
