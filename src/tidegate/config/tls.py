"""The options of TLS, under uvicorn's names where it has them."""

from dataclasses import dataclass
from typing import Any

from tidegate.config.option import Choice, ConfigError, Flag, Integer, Seconds, Secret, Section, Text, option


class CertificateRequest(Choice):
    """Whether clients are asked for a certificate; also as the numbers of Python's ssl.CERT_*, as uvicorn takes
    them."""

    def __init__(self) -> None:
        super().__init__("none", "optional", "required")

    def parse(self, text: str) -> str:
        word = super().parse(text)
        return self.values[int(word)] if word in ("0", "1", "2") else word

    def convert(self, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2:
            return self.values[value]
        return value


@dataclass(frozen=True, slots=True)
class TLS(Section):
    """Certificates and keys are PEM files; the n-th key belongs to the n-th certificate."""

    group = "TLS"
    prefix = "ssl_"

    certfile: tuple[str, ...] = option(
        (),
        Text("FILE"),
        "Certificate with its chain; with it, addresses speak https unless they say otherwise. Of several, "
        "the one that has the name that the client asks for (SNI), else the first.",
        repeatable=True,
    )
    keyfile: tuple[str, ...] = option(
        (),
        Text("FILE"),
        "Key of the certificate; may be left out where it is in the same file.",
        repeatable=True,
    )
    keyfile_password: str | None = option(None, Secret(), "Password of the keys.", none="none")
    ca_certs: str | None = option(
        None, Text("FILE"), "CA certificates that clients' certificates are verified with.", none="none"
    )
    cert_reqs: str = option(
        "none", CertificateRequest(), "Ask clients for a certificate, and refuse those without (required)."
    )
    ciphers: str | None = option(
        None,
        Text("CIPHERS"),
        "TLS 1.2 cipher suites, as OpenSSL writes them; by default those with forward secrecy and AEAD.",
        none="default",
    )
    min_version: str = option("1.2", Choice("1.2", "1.3"), "Lowest version of TLS.")
    alpn: tuple[str, ...] = option(
        ("h2", "http/1.1"),
        Choice("h2", "http/1.1"),
        "Protocols that ALPN offers, the preferred one first; h2 where HTTP/2 is on.",
        repeatable=True,
    )
    keylog_file: str | None = option(
        None,
        Text("FILE"),
        "Append the sessions' secrets to this file, for Wireshark (also by SSLKEYLOGFILE); slow, and unsafe.",
        none="none",
    )
    handshake_timeout: float = option(10.0, Seconds(above=True), "Time for a handshake.")
    max_handshakes: int = option(
        1024,
        Integer(1, 65536),
        "Most handshakes at once; at the limit the one that has been silent longest is cut, else accepting pauses.",
    )
    reload_interval: float | None = option(
        30.0,
        Seconds(above=True),
        "Look this often whether the files have changed, and take new certificates for new connections.",
        none="off",
    )
    ktls: bool = option(
        False,
        Flag(),
        "Let the kernel encrypt, and send files from its cache, where it can (its module tls is loaded); on trial.",
    )
    hsts: str | None = option(
        None,
        Text(
            "DIRECTIVES",
            r"max-age=[0-9]{1,10}(; ?includeSubDomains)?(; ?preload)?",
            "directives such as max-age=31536000; includeSubDomains",
        ),
        "Send Strict-Transport-Security with answers over https (RFC 6797).",
        none="none",
    )
    redirect_port: int | None = option(
        None,
        Integer(1, 65535),
        "Port of https in what redirect:// addresses answer; by default that of the first https address.",
        none="auto",
    )

    def check(self) -> None:
        """Look at what fits together, and what does not. Raises ConfigError."""
        if self.keyfile and len(self.keyfile) != len(self.certfile):
            raise ConfigError(
                f"ssl_keyfile: {len(self.keyfile)} keys for {len(self.certfile)} certificates: give one key for "
                "each --ssl-certfile, in the same order"
            )
        if self.cert_reqs != "none" and self.ca_certs is None:
            raise ConfigError(
                f"ssl_cert_reqs: {self.cert_reqs}, and nothing to verify certificates with: give --ssl-ca-certs"
            )
