"""Options: kinds of value, and what a dataclass field says about itself to be one."""

import math
import re
from collections.abc import Iterable
from dataclasses import Field, field, fields
from typing import Any, ClassVar, Final, TypeVar

from tidegate.http.errors import ApplicationError

T = TypeVar("T")

LONGEST_WAIT: Final = 366 * 24 * 3600.0  # seconds: a typo in a timeout must not overflow a timer


class ConfigError(Exception):
    """A setting is wrong. The message is one line that names the option and the fix."""


def did_you_mean(name: str, among: Iterable[str]) -> str:
    """`: did you mean "NAME"?`, or nothing where no name comes close."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(among), 1)
    return f': did you mean "{close[0]}"?' if close else ""


class Kind:
    """One kind of value. `parse` reads it from text, `check` raises ValueError with the fault and the fix."""

    metavar: str = "TEXT"
    separator: str = ","  # between several values of a repeatable option in one environment variable
    listed: bool = False  # whether it stands between several values everywhere, not just there
    inline: bool = False  # whether `format` gives the inside of a TOML inline table

    def parse(self, text: str) -> Any:
        return text

    def convert(self, value: Any) -> Any:
        """The value of a TOML or Python value that is no text. Raises ValueError."""
        return value

    def check(self, value: Any) -> None:
        raise NotImplementedError

    def format(self, value: Any) -> str:
        return str(value)


class Text(Kind):
    """A string; `pattern` matches all of it, and `expected` says so in words."""

    def __init__(self, metavar: str = "TEXT", pattern: str = "[^\x00]*", expected: str = "text") -> None:
        self.metavar = metavar
        self.pattern = re.compile(pattern)
        self.expected = expected

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            raise ValueError(f"{value!r} does not fit: give {self.expected}")


class Secret(Text):
    """A string that is never shown."""

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or "\x00" in value:
            raise ValueError("it does not fit: give text")

    def format(self, value: Any) -> str:
        return "********"


class FieldName(Text):
    """The name of a header field (RFC 9110 §5.1), compared without regard to case and kept in lower case."""

    def __init__(self) -> None:
        super().__init__(
            "NAME", r"[!#$%&'*+.^_`|~0-9a-z-]+", "the name of a header field, such as x-request-id"
        )

    def parse(self, text: str) -> str:
        return text.strip().lower()


class TrustedPeer(Kind):
    """An IP address, a network (CIDR), `unix` for all Unix sockets, or `*` for everybody; several by commas."""

    metavar = "ADDRESS"
    listed = True

    def check(self, value: Any) -> None:
        from tidegate.gateway.forwarded import TrustedPeers  # here, since --help has no need of it

        try:
            TrustedPeers([value])
        except ValueError as error:
            raise ValueError(f"{error}: give an address, a network such as 10.0.0.0/8, unix or *") from None


class ImportString(Text):
    """An object in a module: module:attribute, either of which may be dotted."""

    def __init__(self) -> None:
        super().__init__("APP", r"[^\s\x00:]+:[^\s\x00:]+", "module:attribute, such as main:app")

    def check(self, value: Any) -> None:
        if isinstance(value, str) and re.fullmatch(r"[\w./]*\w", value):  # main, main.py or src/main.py
            module = value.removesuffix(".py").strip("./").replace("/", ".")
            raise ValueError(f'{value!r} names no attribute: give module:attribute, such as "{module}:app"')
        super().check(value)


class Choice(Kind):
    """One of a few words, in any case."""

    def __init__(self, *values: str) -> None:
        self.values = values
        self.metavar = "|".join(values)

    def parse(self, text: str) -> str:
        return text.strip().lower()

    def check(self, value: Any) -> None:
        if value not in self.values:
            close = did_you_mean(value, self.values) if isinstance(value, str) else ""
            give = f"{close} Give" if close else ": give"
            raise ValueError(f"{value!r} is not a choice{give} {' or '.join(self.values)}")


class ForwardedField(Choice):
    """The name of a field in which proxies tell a request's origin; several by commas."""

    listed = True

    def __init__(self, *values: str) -> None:
        super().__init__(*values)
        self.metavar = "NAME"


class Flag(Kind):
    metavar = "BOOLEAN"
    words: ClassVar = {
        **dict.fromkeys(("true", "1", "yes", "on"), True),
        **dict.fromkeys(("false", "0", "no", "off"), False),
    }

    def parse(self, text: str) -> bool:
        try:
            return self.words[text.strip().lower()]
        except KeyError:
            raise ValueError(f"{text!r} is neither yes nor no: give true or false") from None

    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither yes nor no: give true or false")

    def format(self, value: bool) -> str:
        return "true" if value else "false"


class Integer(Kind):
    metavar = "INTEGER"

    def __init__(self, minimum: int = 0, maximum: int = 2**31 - 1) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"\s*-?[0-9]{1,19}\s*", text, re.ASCII):
            raise ValueError(f"{text!r} is not a whole number: give {self.range}")
        return int(text)

    def check(self, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is not a whole number: give {self.range}")
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is out of range: give {self.range}")

    @property
    def range(self) -> str:
        if self.maximum in (2**31 - 1, 2**62):
            return f"{self.minimum} or more"
        return f"{self.minimum} to {self.maximum}"


class Size(Integer):
    """Octets; text may end in k, M or G (1024 based), as in 64k or 10 MiB."""

    metavar = "SIZE"
    units: ClassVar = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

    def __init__(self, minimum: int = 0, maximum: int = 2**62) -> None:
        super().__init__(minimum, maximum)

    def parse(self, text: str) -> int:
        match = re.fullmatch(r"\s*([0-9]{1,19})\s*([kmg]?)(i?b)?\s*", text.lower(), re.ASCII)
        if not match:
            raise ValueError(f"{text!r} is not a size: give octets, or a number with k, M or G, such as 64k")
        return int(match[1]) * self.units[match[2]]

    def format(self, value: int) -> str:
        for unit in ("g", "m", "k"):
            if value and value % self.units[unit] == 0:
                return f"{value // self.units[unit]}{unit if unit == 'k' else unit.upper()}"
        return str(value)


class Octal(Integer):
    """Permission bits of files, in octal; in TOML write 0o022."""

    metavar = "OCTAL"

    def __init__(self) -> None:
        super().__init__(0, 0o777)

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"\s*(0o)?[0-7]{1,4}\s*", text, re.ASCII):
            raise ValueError(f"{text!r} is not octal: give {self.range}")
        return int(text, 8)

    def format(self, value: int) -> str:
        return f"0o{value:03o}"

    @property
    def range(self) -> str:
        return "000 to 777, such as 022"


class Number(Kind):
    """A finite number."""

    metavar = "NUMBER"

    def __init__(self, minimum: float = 0.0, maximum: float = LONGEST_WAIT, *, above: bool = False) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.above = above  # the minimum itself is refused

    def parse(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number: give {self.range}") from None

    def check(self, value: Any) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
            raise ValueError(f"{value!r} is not a number: give {self.range}")
        if not self.minimum <= value <= self.maximum or (self.above and value == self.minimum):
            raise ValueError(f"{value:g} is out of range: give {self.range}")

    def format(self, value: float) -> str:
        return f"{value:g}"

    @property
    def range(self) -> str:
        return f"{'more than ' if self.above else ''}{self.minimum:g}{'' if self.above else ' or more'}"


class Seconds(Number):
    metavar = "SECONDS"

    @property
    def range(self) -> str:
        return f"seconds, {super().range}, at most {self.maximum:g}"


class HeaderField(Kind):
    """A (name, value) pair of bytes for every response; the name in lower case. As text: NAME:VALUE."""

    metavar = "NAME:VALUE"
    separator = "\n"

    # What the server itself must decide, to keep the message's framing true (RFC 9112 §6, RFC 9110 §7.6.1).
    reserved: ClassVar = (
        b"connection content-length date keep-alive proxy-connection te trailer transfer-encoding upgrade"
    ).split()

    def parse(self, text: str) -> tuple[bytes, bytes]:
        name, colon, value = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} has no colon: give NAME:VALUE")
        try:
            return name.strip().lower().encode("ascii"), value.strip(" \t").encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"{text!r} is not Latin-1: encode it, as RFC 8187 does") from None

    def check(self, value: Any) -> None:
        from tidegate.http.fields import checked_field  # here, since --help has no need of it

        try:
            name, content = checked_field(value)
        except ApplicationError as error:
            raise ValueError(f"{error}: give NAME:VALUE") from None
        if (name, content) != value:
            raise ValueError(
                f"{value!r} is not as it is sent: give a pair, the name in lower case, the value trimmed"
            )
        if name in self.reserved:
            raise ValueError(f"{name.decode()} is the server's own to decide: leave it out")

    def format(self, value: tuple[bytes, bytes]) -> str:
        return f"{value[0].decode()}: {value[1].decode('latin-1')}"


class Option:
    """One option, under one flat name everywhere: `limit_head` is `--limit-head` on the command line,
    TIDEGATE_LIMIT_HEAD in the environment, `limit-head` in TOML, and `limit_head=` for `tidegate.run`.

    `path` is where the value lives in `Config`: ("limits", "head"). `none` is the word for None, if allowed.
    `aliases` are other names, on the command line and for `tidegate.run` only.
    """

    __slots__ = ("aliases", "default", "group", "help", "kind", "name", "none", "path", "repeatable")

    def __init__(
        self,
        *,
        name: str,
        path: tuple[str, ...],
        kind: Kind,
        default: Any,
        group: str,
        help: str,
        none: str | None,
        repeatable: bool,
        aliases: tuple[str, ...],
    ) -> None:
        self.name = name
        self.path = path
        self.kind = kind
        self.default = default
        self.group = group
        self.help = help
        self.none = none
        self.repeatable = repeatable
        self.aliases = aliases

    @property
    def flag(self) -> str:
        return "APP" if self.name == "app" else f"--{self.key}"  # the one argument that is no flag

    @property
    def env(self) -> str:
        return "TIDEGATE_" + self.name.upper()

    @property
    def key(self) -> str:
        return self.name.replace("_", "-")

    def read(self, value: Any) -> Any:
        """The checked value of `value`: text from anywhere, or a TOML or Python value. Raises ValueError."""
        if not self.repeatable:
            value = self._read_one(value)
        else:
            values = value if isinstance(value, list | tuple) and not self._is_one(value) else [value]
            if self.kind.listed:
                values = [part for item in values for part in self._split(item)]
            value = tuple(self._read_one(item) for item in values)
        self.check(value)
        return value

    def read_env(self, text: str) -> Any:
        """As `read`, of an environment variable's text, in which a repeatable option has several values."""
        if self.repeatable:
            return self.read([part.strip() for part in text.split(self.kind.separator) if part.strip()])
        return self.read(text)

    def check(self, value: Any) -> None:
        """Raise ValueError unless `value` may be this option's value."""
        if value is None and self.none is not None:
            return
        if not self.repeatable:
            self.kind.check(value)
            return
        if not isinstance(value, tuple):
            raise ValueError(f"{value!r} is not a tuple")
        for item in value:
            self.kind.check(item)

    def format(self, value: Any) -> str:
        return self.none or "" if value is None else self.kind.format(value)

    def _read_one(self, value: Any) -> Any:
        if isinstance(value, str):
            if self.none is not None and value.strip().lower() == self.none:
                return None
            return self.kind.parse(value)
        return value if value is None else self.kind.convert(value)

    def _split(self, value: Any) -> list[Any]:
        if not isinstance(value, str):
            return [value]
        return [part.strip() for part in value.split(self.kind.separator) if part.strip()]

    def _is_one(self, value: Any) -> bool:
        try:
            self.kind.check(value)
        except ValueError:
            return False
        return True


def option(
    default: T,
    kind: Kind,
    help: str,
    *,
    name: str | None = None,
    group: str | None = None,
    none: str | None = None,
    repeatable: bool = False,
    aliases: tuple[str, ...] = (),
) -> T:
    """A field that is an option. Its flat name is the section's prefix and the field's, unless `name`."""
    metadata = {
        "kind": kind,
        "help": help,
        "name": name,
        "group": group,
        "none": none,
        "repeatable": repeatable,
        "aliases": aliases,
    }
    declared: T = field(default=default, metadata={"option": metadata}, repr=not isinstance(kind, Secret))
    return declared


class Section:
    """A group of options: its title in --help and docs, and the prefix of its options' flat names."""

    __slots__ = ()
    group: ClassVar[str]
    prefix: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for declared in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            if "option" in declared.metadata:
                found = option_of(type(self), declared)
                try:
                    found.check(getattr(self, declared.name))
                except ValueError as error:
                    raise ConfigError(f"{found.name}: {error}") from None


def option_of(section: type[Section], declared: "Field[Any]", parents: tuple[str, ...] = ()) -> Option:
    metadata = dict(declared.metadata["option"])
    name = metadata.pop("name") or section.prefix + declared.name
    group = metadata.pop("group") or section.group
    return Option(
        name=name, path=(*parents, declared.name), default=declared.default, group=group, **metadata
    )
