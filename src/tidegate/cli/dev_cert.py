"""`tidegate dev-cert`: a certificate for development, and the local CA that it is from."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.config import ConfigError

if TYPE_CHECKING:
    import trustme

NAMES = ("localhost", "127.0.0.1", "::1")
# What Apple's systems take of a CA that the user trusts.
VALID = timedelta(days=825)


def dev_cert(arguments: Sequence[str]) -> int:
    """The command; returns the exit code. Raises ConfigError, click.ClickException."""
    import click

    command = click.Command(
        "dev-cert",
        params=[
            click.Argument(["names"], nargs=-1, metavar="[NAME]..."),
            click.Option(
                ["--dir", "directory"], default=".dev-cert", metavar="DIR", help="Write the files here."
            ),
        ],
        callback=lambda names, directory: (names or NAMES, directory),
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Write a certificate for development that is for NAMEs (localhost, 127.0.0.1 and ::1), and the local CA "
        "that it is from. The CA is kept where there is one already.",
    )
    given = command.main(list(arguments), prog_name="tidegate dev-cert", standalone_mode=False)
    if not isinstance(given, tuple):  # --help
        return 0
    names, directory = given
    write(Path(directory), names)
    print(f"The CA, for browsers to trust, and for curl --cacert: {directory}/ca.pem")
    print(f"tidegate --ssl-certfile {directory}/cert.pem --ssl-keyfile {directory}/key.pem main:app")
    return 0


def write(directory: Path, names: Sequence[str]) -> None:
    """Write ca.pem, ca-key.pem, cert.pem and key.pem. Raises ConfigError."""
    try:
        import trustme
    except ImportError:
        raise ConfigError("dev-cert: trustme is not installed: pip install 'tidegate[dev-cert]'") from None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(directory)
        now = datetime.now(UTC)
        certificate = authority.issue_cert(
            *names,
            organization_name="Tidegate",
            organization_unit_name="development",
            not_before=now - timedelta(days=1),
            not_after=now + VALID,
            key_type=trustme.KeyType.ECDSA,
        )
        _write_secret(directory / "key.pem", certificate.private_key_pem.bytes())
        (directory / "cert.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    except OSError as error:
        raise ConfigError(f"dev-cert: can't write {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"dev-cert: {error}") from None


def _authority(directory: Path) -> "trustme.CA":
    import trustme

    certificate, key = directory / "ca.pem", directory / "ca-key.pem"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA(
        organization_name="Tidegate", organization_unit_name="development CA", key_type=trustme.KeyType.ECDSA
    )
    _write_secret(key, authority.private_key_pem.bytes())
    certificate.write_bytes(authority.cert_pem.bytes())
    return authority


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
