"""Certificates of the tests' own CA, and the strict client over TLS."""

import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme

from tests.support.wire import Client


class Authority:
    """A CA, and where the files are that it has written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, file: str | None = None, **options: Any) -> Path:
        """One PEM file with a key, its certificate for these names and the chain."""
        certificate = self.ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **options)
        path = self.directory / (file or f"{names[0]}.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def issue_pair(self, name: str, **options: Any) -> tuple[Path, Path]:
        """The certificate, and its key in a file of its own."""
        certificate = self.ca.issue_cert(name, key_type=trustme.KeyType.ECDSA, **options)
        cert, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        cert.write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(key)
        return cert, key

    def expired(self, name: str) -> Path:
        return self.issue(
            name, file="expired.pem", not_before=datetime(2020, 1, 1), not_after=datetime(2021, 1, 1)
        )

    def client_context(self, *alpn: str, certificate: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.file))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context


class TLSClient(Client):
    """`context` decides what it trusts and offers; `name` is what it asks for, and verifies."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, name: str = "localhost", **options: Any
    ) -> None:
        self.context = context
        self.name = name
        super().__init__(host, port, **options)

    def connect(self) -> None:
        super().connect()
        try:
            self.socket = self.context.wrap_socket(
                self.socket, server_hostname=self.name, suppress_ragged_eofs=False
            )
        except BaseException:
            self.socket.close()
            raise

    @property
    def tls(self) -> ssl.SSLSocket:
        assert isinstance(self.socket, ssl.SSLSocket)
        return self.socket

    @property
    def certificate(self) -> str:
        """The server's, as PEM."""
        certificate = self.tls.getpeercert(True)
        assert certificate is not None
        return ssl.DER_cert_to_PEM_cert(certificate)

    def close_without_notice(self) -> None:
        """End TCP, with no close_notify before it."""
        socket.socket(fileno=self.tls.detach()).close()
