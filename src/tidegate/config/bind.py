"""An address to listen on, and how it is written."""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from tidegate.config.option import (
    ConfigError,
    Integer,
    Kind,
    Option,
    Section,
    Text,
    did_you_mean,
    option,
    option_of,
)
from tidegate.config.tls import TLS

ADDRESS_FORMS: Final = "HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N"
PROXY_PROTOCOLS: Final = ("off", "v1", "v2", "any")
_PROXY_PROTOCOL_SUFFIX: Final = "?proxy-protocol="
Scheme = Literal["", "http", "https", "redirect"]
SCHEMES: Final[dict[str, Scheme]] = {"http": "http", "https": "https", "redirect": "redirect"}


class Address(Kind):
    """A `Bind`, as text: HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N, behind http://, https:// or redirect://.

    In TOML also as a table: that text as `address`, with options of TLS that hold for this address alone.
    """

    metavar = "ADDRESS"

    def parse(self, text: str) -> "Bind":
        return Bind.parse(text)

    def convert(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        settings = {}
        for key, setting in value.items():
            if key != "address":
                settings[key.replace("-", "_")] = setting
        if not isinstance(value.get("address"), str):
            raise ValueError(f"{value!r} has no address: give address = {ADDRESS_FORMS}")
        known = {option.name: (option, name) for name, option in _tls_options()}
        own = []
        for name, setting in settings.items():
            if name not in known:
                key = name.replace("_", "-")
                close = did_you_mean(key, (option.key for option, _ in known.values()))
                raise ValueError(f'"{key}" is not an option of an address{close or ": give those of TLS"}')
            option, attribute = known[name]
            try:
                own.append((attribute, option.read(setting)))
            except ValueError as error:
                raise ValueError(f"{option.key}: {error}") from None
        return dataclasses.replace(Bind.parse(value["address"]), tls=tuple(own))

    def check(self, value: Any) -> None:
        if not isinstance(value, Bind):
            raise ValueError(f"{value!r} is not an address: give {ADDRESS_FORMS}")


@dataclass(frozen=True, slots=True)
class Bind(Section):
    """One address to listen on: `host` and `port` where `kind` is tcp, `path` where unix, `fd` where fd.

    `scheme` is what is spoken there: http, https, or redirect, which sends clients to https; where it is empty, https
    if there is a certificate, else http. `tls` has fields of `TLS` that are this address's own, and their values.
    `proxy_protocol` is this address's own, or empty for `--proxy-protocol`; as text it stands behind the address:
    HOST:PORT?proxy-protocol=v2.
    Its options are the shorthands for a single address.
    """

    group = "Binding"

    kind: Literal["tcp", "unix", "fd"] = "tcp"
    host: str = option(
        "127.0.0.1",
        Text("HOST", r"[^\s\x00\[\]/]+", "a host name or an IP address, such as 0.0.0.0 or ::"),
        "Listen on this host name or IP address; `::` takes IPv4 too.",
    )
    port: int = option(8000, Integer(0, 65535), "Listen on this port; 0 takes a free one and prints it.")
    path: str = option("", Text("PATH"), "Listen on a Unix socket at this path.", name="uds")
    fd: int = option(-1, Integer(-1), "Listen on this inherited file descriptor, a bound socket.")
    proxy_protocol: str = ""
    scheme: Scheme = ""
    tls: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        # Named, since the zero-argument form looks for the class that slots=True replaced.
        Section.__post_init__(self)
        if self.kind not in ("tcp", "unix", "fd"):
            raise ConfigError(f"kind: {self.kind!r} is not a kind of address: give tcp, unix or fd")
        if self.proxy_protocol and self.proxy_protocol not in PROXY_PROTOCOLS:
            raise ConfigError(
                f"proxy_protocol: {self.proxy_protocol!r} is not a choice: give {' or '.join(PROXY_PROTOCOLS)}"
            )
        if self.scheme and self.scheme not in SCHEMES:
            raise ConfigError(f"scheme: {self.scheme!r} is not known: give {' or '.join(SCHEMES)}")
        if self.kind == "unix" and not self.path:
            raise ConfigError("uds: the path is empty: give the path of the Unix socket")
        if (
            self.kind == "unix" and len(os.fsencode(self.path)) > 107
        ):  # unix(7): sun_path is 108 octets, NUL included
            raise ConfigError(
                f"uds: {self.path!r} is longer than the 107 octets that a Unix socket's path may have"
            )
        if self.kind == "fd" and self.fd < 0:
            raise ConfigError("fd: the descriptor is missing: give its number, 0 or more")

    @classmethod
    def parse(cls, text: str) -> "Bind":
        """The address in `text`, as `Address` describes it. Raises ValueError."""
        text = text.strip()
        before, separator, rest = text.partition("://")
        if separator and before in SCHEMES:
            return dataclasses.replace(cls.parse(rest), scheme=SCHEMES[before])
        try:
            before, separator, version = text.rpartition(_PROXY_PROTOCOL_SUFFIX)
            if separator:
                return dataclasses.replace(cls.parse(before), proxy_protocol=version)
            if text.startswith("unix:"):
                return cls(kind="unix", path=text.removeprefix("unix:"))
            if text.startswith("fd://"):
                return cls(kind="fd", fd=Integer().parse(text.removeprefix("fd://")))
            host, _, port = text.rpartition(":")
            if not host:
                raise ValueError(
                    f"{text!r} has no host or no port: give {ADDRESS_FORMS}, such as 0.0.0.0:8000"
                )
            if host.startswith("[") and host.endswith("]"):
                host = host[1:-1]
            elif ":" in host:
                raise ValueError(
                    f"{text!r} is ambiguous: write an IPv6 address in brackets, such as [::1]:8000"
                )
            return cls(host=host, port=Integer(0, 65535).parse(port))
        except ConfigError as error:
            raise ValueError(str(error).partition(": ")[2]) from None

    @property
    def address(self) -> str:
        """Where it listens, without the scheme."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd://{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        text = f"{self.scheme}://{self.address}" if self.scheme else self.address
        return f"{text}{_PROXY_PROTOCOL_SUFFIX}{self.proxy_protocol}" if self.proxy_protocol else text


def _tls_options() -> Iterator[tuple[str, Option]]:
    for declared in fields(TLS):
        yield declared.name, option_of(TLS, declared, ("tls",))
