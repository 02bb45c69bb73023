"""Server-side TLS: contexts out of PEM files, chosen by SNI, replaced while connections go on, and what a connection
says of itself to applications."""

import asyncio
import logging
import os
import ssl
import sys
import time
from collections.abc import Iterable
from typing import Any, Final

from tidegate.config import OPTIONS, TLS, ConfigError
from tidegate.net.x509 import CertificateInfo

logger = logging.getLogger("tidegate")

# Forward secrecy and AEAD only (RFC 9325 §4.2); those of TLS 1.3 are OpenSSL's own.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!AESCCM"
VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
REQUESTS: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
BEGIN: Final = "-----BEGIN CERTIFICATE-----"
END: Final = "-----END CERTIFICATE-----"
SETTLE: Final = 1.0  # seconds between two looks at files that are being replaced
SESSIONS_ARE_CONNECTIONS: Final = sys.version_info >= (3, 12)
STAMP = tuple[tuple[int, int, int] | None, ...]


class ServerContext(ssl.SSLContext):
    """One certificate's context, and what can be said of its connections without asking OpenSSL again."""

    certificate: str  # PEM, without the chain
    info: CertificateInfo
    cipher_suites: dict[str, int]
    requests_certificate: bool
    logs_keys: bool
    asks_kernel: bool  # to encrypt, and whether it does is not known yet

    @property
    def verify_mode(self) -> ssl.VerifyMode:  # type: ignore[override]
        # aiofastnet asks, and for any other answer decodes each client's certificate by way of a temporary file.
        return ssl.CERT_NONE

    def request_certificates(self, mode: ssl.VerifyMode) -> None:
        """Ask clients for a certificate, as `mode` says."""
        ssl.SSLContext.verify_mode.fset(self, mode)  # type: ignore[attr-defined]
        self.requests_certificate = mode != ssl.CERT_NONE

    @property
    def needs_python(self) -> bool:
        """Whether connections have to be the ssl module's own: for its key log, and since Python 3.12 for the session
        id context, without which OpenSSL lets no client that has shown a certificate resume its session."""
        return self.logs_keys or (self.requests_certificate and SESSIONS_ARE_CONNECTIONS)

    def look_for_kernel_tls(self, transport: Any) -> None:
        """Ask the kernel no more where OpenSSL was built without: aiofastnet is slower when it asks in vain."""
        if self.asks_kernel and "GCM" in transport.get_extra_info("cipher", ("",))[0]:
            self.asks_kernel = False
            if not transport.get_extra_info("ktls_send_enabled"):
                self.options &= ~ssl.OP_ENABLE_KTLS  # type: ignore[attr-defined]
                logger.debug("OpenSSL does not let the kernel encrypt")


class Certificates:
    """The certificates of one or more listeners. `alpn` is offered, the preferred one first. Raises ConfigError."""

    def __init__(self, settings: TLS, alpn: Iterable[str]) -> None:
        self.settings = settings
        self.alpn = [name.encode() for name in alpn]
        self.minimum = VERSIONS[f"TLSv{settings.min_version}"]
        self.stamp = self.look()
        self._contexts = self._load()

    def _load(self) -> "list[ServerContext]":
        settings = self.settings
        keys = settings.keyfile or settings.certfile
        return [self._context(*pair) for pair in zip(settings.certfile, keys, strict=True)]

    def context_for(self, server_name: str) -> ServerContext:
        """The context of the certificate for this name; of the first one, where none is."""
        parent = "*." + server_name.partition(".")[2]
        for name in (server_name, parent):  # RFC 6125 §6.4.3: a wildcard is one whole label
            for context in self._contexts:
                if name in context.info.names:
                    return context
        return self._contexts[0]

    def look(self) -> STAMP:
        """What changes when one of the files does."""
        settings = self.settings
        return tuple(
            _stamp(file) for file in (*settings.certfile, *settings.keyfile, settings.ca_certs or "") if file
        )

    def reload(self) -> bool:
        """Take the files as they are now for new connections; a faulty one is logged, and nothing changes."""
        self.stamp = self.look()
        try:
            self._contexts = self._load()
        except ConfigError as error:
            logger.error("The certificates stay as they are: %s", error)
            return False
        logger.info("New certificates: %s", ", ".join(self.settings.certfile))
        return True

    def _context(self, certfile: str, keyfile: str) -> ServerContext:
        settings = self.settings
        text = _read("ssl_certfile", certfile)
        begin, end = text.find(BEGIN), text.find(END)
        try:
            if not 0 <= begin < end:
                raise ValueError("there is no PEM certificate in it")
            pem = text[begin : end + len(END)] + "\n"
            info = CertificateInfo(ssl.PEM_cert_to_DER_cert(pem))
        except ValueError as error:
            raise _fault("ssl_certfile", f"{certfile}: {error}") from None
        now = time.time()
        if not info.not_before <= now <= info.not_after:
            word, when = (
                ("expired", info.not_after) if now > info.not_after else ("is valid only", info.not_before)
            )
            date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
            raise _fault(
                "ssl_certfile", f"{certfile}: the certificate {word} {'on' if now > when else 'from'} {date}"
            )
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.certificate = pem
        context.info = info
        self._load_pair(context, certfile, keyfile)
        context.minimum_version = ssl.TLSVersion(self.minimum)
        try:
            context.set_ciphers(settings.ciphers or CIPHERS)
        except ssl.SSLError:
            raise _fault("ssl_ciphers", f"{settings.ciphers!r} names no cipher that OpenSSL has") from None
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.asks_kernel = settings.ktls and kernel_tls()
        if context.asks_kernel:
            context.options |= ssl.OP_ENABLE_KTLS  # type: ignore[attr-defined]  # Python 3.12
        context.set_alpn_protocols([name.decode() for name in self.alpn])
        context.cipher_suites = {each["name"]: each["id"] & 0xFFFF for each in context.get_ciphers()}
        self._load_authorities(context)
        self._log_keys(context)
        return context

    def _load_pair(self, context: ServerContext, certfile: str, keyfile: str) -> None:
        given = self.settings.keyfile_password
        option = "ssl_keyfile" if keyfile != certfile or self.settings.keyfile else "ssl_certfile"
        if "PRIVATE KEY-----" not in _read(option, keyfile):
            fix = ": give --ssl-keyfile" if option == "ssl_certfile" else ""
            raise _fault(option, f"{keyfile}: there is no PEM private key in it{fix}")
        asked = False

        def password() -> str:
            nonlocal asked
            asked = True
            return given or ""

        try:
            context.load_cert_chain(certfile, keyfile, password)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            if asked and given is None:
                reason = "the key is encrypted: give --ssl-keyfile-password"
            elif reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
                reason = f"it is not the key of {certfile}"
            elif asked:
                reason = "--ssl-keyfile-password is wrong"
            elif reason != "PEM lib":
                reason = f"OpenSSL refuses it: {reason.lower().replace('_', ' ')}"
            else:
                reason = "the key is malformed"
            raise _fault(option, f"{keyfile}: {reason}") from None

    def _load_authorities(self, context: ServerContext) -> None:
        settings = self.settings
        context.requests_certificate = False
        if settings.ca_certs is not None:
            _read("ssl_ca_certs", settings.ca_certs)
            try:
                context.load_verify_locations(settings.ca_certs)
            except ssl.SSLError:
                raise _fault(
                    "ssl_ca_certs", f"{settings.ca_certs}: there is no PEM certificate in it"
                ) from None
            context.request_certificates(REQUESTS[settings.cert_reqs])

    def _log_keys(self, context: ServerContext) -> None:
        file = self.settings.keylog_file or os.environ.get("SSLKEYLOGFILE")
        context.logs_keys = bool(file)
        if file:
            try:
                context.keylog_filename = file
            except OSError as error:
                raise _fault("ssl_keylog_file", f"can't write {file}: {error.strerror}") from None
            logger.warning(
                "The secrets of TLS sessions are written to %s: anybody who has it can read them", file
            )


class CertificateWatcher:
    """Looks at the files from time to time, and has them taken once they have settled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, certificates: Iterable[Certificates]) -> None:
        self._loop = loop
        self._watched = {
            each: each.stamp for each in certificates if each.settings.reload_interval is not None
        }
        self._handles: dict[Certificates, asyncio.TimerHandle] = {}

    def start(self) -> None:
        for each in self._watched:
            self._later(each, each.settings.reload_interval or 0.0)

    def stop(self) -> None:
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _later(self, certificates: Certificates, seconds: float) -> None:
        self._handles[certificates] = self._loop.call_later(seconds, self._look, certificates)

    def _look(self, certificates: Certificates) -> None:
        interval = certificates.settings.reload_interval or 0.0
        seen = certificates.look()
        if seen != certificates.stamp:
            # certbot replaces one file after the other.
            if seen == self._watched[certificates]:
                certificates.reload()
            else:
                interval = min(interval, SETTLE)
        self._watched[certificates] = seen
        self._later(certificates, interval)


def kernel_tls() -> bool:
    """Whether the kernel can encrypt for us (Linux's module tls), and Python lets us ask for it (3.12)."""
    return (
        hasattr(ssl, "OP_ENABLE_KTLS")
        and ssl.OPENSSL_VERSION_INFO >= (3,)
        and os.path.exists("/sys/module/tls")
    )


def tls_extension(transport: Any) -> dict[str, Any]:
    """The ASGI extension `tls` of a connection (ASGI's TLS Extension, 0.2)."""
    connected = transport.get_extra_info("ssl_object")
    context: ServerContext = transport.get_extra_info("sslcontext")
    chain: list[bytes] = []
    if context.requests_certificate:
        leaf = connected.getpeercert(True)
        if leaf is not None:
            # A resumed session has the certificate, and no chain; ssl has the chain since Python 3.13.
            received: Any = getattr(connected, "get_unverified_chain", list)()
            chain = [leaf, *(received or ())[1:]]
    return {
        "server_cert": context.certificate,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(each) for each in chain],
        "client_cert_name": _subject(chain[0]) if chain else None,
        # A handshake with a certificate that does not verify fails.
        "client_cert_error": None,
        "tls_version": VERSIONS.get(connected.version()),
        "cipher_suite": context.cipher_suites.get(connected.cipher()[0]),
    }


def _subject(certificate: bytes) -> str | None:
    try:
        return CertificateInfo(certificate).subject
    except ValueError:  # one that OpenSSL takes, and we can't read
        return None


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read(option: str, file: str) -> str:
    try:
        with open(file, encoding="ascii", errors="replace") as opened:
            return opened.read()
    except OSError as error:
        raise _fault(option, f"can't read {file}: {error.strerror}") from None


def _fault(option: str, message: str) -> ConfigError:
    return ConfigError(f"{OPTIONS[option].flag}: {message}")
