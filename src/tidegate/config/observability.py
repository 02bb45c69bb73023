"""The options of what can be seen of a server from outside: the admin address and traces."""

import ipaddress
from dataclasses import dataclass

from tidegate.config.option import ConfigError, Flag, Section, Text, option


@dataclass(frozen=True, slots=True)
class Observability(Section):
    """`admin` is an address; what it may be is checked where addresses are known."""

    group = "Observability"

    admin: str | None = option(
        None,
        Text("ADDRESS"),
        "Count what is served, and tell it at this address, HOST:PORT or unix:PATH: /metrics, /healthz, /readyz, "
        "/workers and a live page at /.",
        none="off",
    )
    admin_allow_remote: bool = option(False, Flag(), "Let --admin be an address that other machines reach.")
    admin_host: tuple[str, ...] = option(
        (),
        Text("NAME", r"[A-Za-z0-9._-]+", "a host name"),
        "Answer at --admin to this name in the Host field too; IP addresses and localhost are known.",
        repeatable=True,
    )
    otel: bool = option(
        False, Flag(), "Make an OpenTelemetry server span for each request and WebSocket (opentelemetry-api)."
    )

    def check_host(self, host: str) -> None:
        """Refuse an address that other machines reach, unless they are to. Raises ConfigError."""
        if self.admin_allow_remote or host == "localhost":
            return
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = False
        if not local:
            raise ConfigError(
                f"admin: other machines may reach {host}: give unix:PATH, 127.0.0.1:PORT or [::1]:PORT, or "
                "--admin-allow-remote too"
            )
