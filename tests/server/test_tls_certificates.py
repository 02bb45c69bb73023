"""Certificates on disk: faulty ones at start, and renewed ones while the server works."""

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.inprocess import serving
from tests.support.process import eventually, run_command, start_server
from tests.support.tls import Authority, TLSClient
from tests.support.wire import Client
from tidegate.config import TLS, Bind, ConfigError
from tidegate.net.tls import Certificates

PASSWORD = "open sesame"


@pytest.fixture(scope="module")
def files(authority):
    """Sound and faulty ones, by name."""
    cert, key = authority.issue_pair("localhost")
    other, other_key = authority.issue_pair("other.test")
    directory = authority.directory
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    encrypted = directory / "encrypted.key"
    encrypted.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    broken = directory / "broken.crt"
    broken.write_bytes(cert.read_bytes()[:300] + b"\n-----END CERTIFICATE-----\n")
    broken_key = directory / "broken.key"
    broken_key.write_bytes(key.read_bytes()[:100] + b"\n-----END EC PRIVATE KEY-----\n")
    found = {
        "cert": cert,
        "key": key,
        "other": other,
        "other_key": other_key,
        "encrypted": encrypted,
        "broken": broken,
        "broken_key": broken_key,
        "expired": authority.expired("localhost"),
        "both": authority.issue("both.test"),
        "ca": authority.file,
        "missing": directory / "missing.pem",
    }
    return {name: str(path) for name, path in found.items()}


FAULTS = [
    (
        "--ssl-certfile {cert}",
        "--ssl-certfile: .*localhost.crt: there is no PEM private key in it: give --ssl-keyfile",
    ),
    ("--ssl-certfile {missing}", "--ssl-certfile: can't read .*missing.pem: No such file"),
    ("--ssl-certfile {key}", "--ssl-certfile: .*localhost.key: there is no PEM certificate in it"),
    ("--ssl-certfile {broken} --ssl-keyfile {key}", "--ssl-certfile: .*broken.crt: not a certificate"),
    ("--ssl-certfile {expired}", "--ssl-certfile: .*: the certificate expired on 2021-01-01 00:00:00 UTC"),
    ("--ssl-certfile {cert} --ssl-keyfile {missing}", "--ssl-keyfile: can't read .*missing.pem"),
    (
        "--ssl-certfile {cert} --ssl-keyfile {other_key}",
        "--ssl-keyfile: .*other.test.key: it is not the key of .*crt",
    ),
    ("--ssl-certfile {cert} --ssl-keyfile {broken_key}", "--ssl-keyfile: .*broken.key: "),
    (
        "--ssl-certfile {cert} --ssl-keyfile {encrypted}",
        "--ssl-keyfile: .*: the key is encrypted: give --ssl-key",
    ),
    (
        "--ssl-certfile {cert} --ssl-keyfile {encrypted} --ssl-keyfile-password wrong",
        "--ssl-keyfile: .*: --ssl-keyfile-password is wrong",
    ),
    (
        "--ssl-certfile {both} --ssl-cert-reqs 2",
        "ssl_cert_reqs: required, and nothing to verify .*: give --ssl-ca",
    ),
    ("--ssl-certfile {both} --ssl-ca-certs {key}", "--ssl-ca-certs: .*: there is no PEM certificate in it"),
    ("--ssl-certfile {both} --ssl-ca-certs {missing}", "--ssl-ca-certs: can't read"),
    ("--ssl-certfile {both} --ssl-ciphers NONSENSE", "--ssl-ciphers: 'NONSENSE' names no cipher"),
    ("--ssl-certfile {both} --ssl-keylog-file /none/keys", "--ssl-keylog-file: can't write /none/keys"),
    ("--ssl-keyfile {key}", "ssl_keyfile: 1 keys for 0 certificates: give one key for each --ssl-certfile"),
    ("--bind https://127.0.0.1:0", "bind: https://127.0.0.1:0 has no certificate: give --ssl-certfile"),
]


@pytest.mark.parametrize(("arguments", "message"), FAULTS, ids=[each for each, _ in FAULTS])
def test_faults_are_told_in_one_line(files, arguments, message, capsys) -> None:
    from tidegate.cli.main import main

    with pytest.raises(SystemExit) as caught:
        main(["--check-config", *arguments.format(**files).split()])
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    import re

    assert re.match(f"tidegate: error: {message}", line), line


@pytest.mark.parametrize("extra", [[], ["--reload"]])
def test_a_server_does_not_start_with_a_faulty_certificate(files, app_dir, extra) -> None:
    done = run_command(
        "--ssl-certfile",
        files["expired"],
        "--port",
        "0",
        "--app-dir",
        str(app_dir),
        *extra,
        "applications:app",
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expired" in done.stderr


def test_an_encrypted_key(files) -> None:
    settings = TLS(certfile=(files["cert"],), keyfile=(files["encrypted"],), keyfile_password=PASSWORD)
    assert Certificates(settings, ["http/1.1"]).context_for("localhost").info.names == ("localhost",)


def test_the_command_says_https_and_takes_renewed_certificates(files, authority, app_dir, tmp_path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(files["cert"], cert)
    shutil.copy(files["key"], key)
    arguments = ["--ssl-certfile", str(cert), "--ssl-keyfile", str(key), "--ssl-reload-interval", "off"]
    with start_server(*arguments, app="applications:app", app_dir=app_dir) as server:
        server.wait_for_log("Listening on https://127.0.0.1:")
        with TLSClient(server.host, server.port, authority.client_context()) as first:
            before = first.certificate
            assert first.request().body == b"ok"
            new_cert, new_key = Authority.issue_pair(authority, "localhost")
            shutil.copy(new_cert, cert)
            server.signal(signal.SIGHUP)
            server.wait_for_log("ERROR The certificates stay as they are: --ssl-keyfile: .*is not the key of")
            assert first.request().body == b"ok"
            with TLSClient(server.host, server.port, authority.client_context()) as second:
                assert second.certificate == before
            shutil.copy(new_key, key)
            server.signal(signal.SIGHUP)
            server.wait_for_log("New certificates: ")
            assert first.request().body == b"ok"  # on the same connection
            with TLSClient(server.host, server.port, authority.client_context()) as second:
                assert second.certificate != before
                assert second.request().body == b"ok"
        # The application is the one that was there.
        assert server.log.count("startup") == 1


def test_with_reload(files, authority, app_dir, tmp_path) -> None:
    arguments = ["--ssl-certfile", files["both"], "--reload", "--reload-dir", str(tmp_path)]
    with start_server(*arguments, app="applications:app", app_dir=app_dir) as server:
        server.wait_for_log("ready")
        context = authority.client_context()
        with TLSClient(server.host, server.port, context, "both.test") as client:
            assert client.request().body == b"ok"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_renewal_under_load(authority, tmp_path, loop, caplog) -> None:
    """The files are replaced one after the other, as certbot does it, and no request fails."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def renew() -> str:
        new_cert, new_key = authority.issue_pair("localhost")
        for new, old in ((new_cert, cert), (new_key, key)):
            shutil.copy(new, f"{old}.new")
            os.replace(f"{old}.new", old)
        return cert.read_text().partition("-----END")[0]

    async def hello(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    renew()
    settings = TLS(certfile=(str(cert),), keyfile=(str(key),), reload_interval=0.05)
    with serving(hello, loop=loop, tls=settings, binds=(Bind(port=0, scheme="https"),)) as server:
        served: list[str] = []
        failed: list[BaseException] = []
        stop = threading.Event()

        def load(keep_alive: bool) -> None:
            context = authority.client_context()
            while not stop.is_set():
                try:
                    with TLSClient(server.host, server.port, context) as client:
                        for _ in range(50 if keep_alive else 1):
                            assert client.request().body == b"hello"
                        served.append(client.certificate.partition("-----END")[0])
                except BaseException as error:
                    failed.append(error)

        threads = [threading.Thread(target=load, args=(keep,)) for keep in (True, False, False)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                renewed = renew()
                eventually(lambda expected=renewed: served[-1:] == [expected], timeout=10)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failed == []
        # A pair that does not fit is logged once, and changes nothing.
        other_cert, _ = authority.issue_pair("other.test")
        shutil.copy(other_cert, cert)
        eventually(lambda: "is not the key of" in caplog.text)
        with TLSClient(server.host, server.port, authority.client_context()) as client:
            assert client.certificate.partition("-----END")[0] == renewed
        assert server.server.reload_certificates() is False
        assert server.loop_errors == []


def test_a_file_that_is_gone_is_an_error_and_no_end(authority, tmp_path) -> None:
    file = Path(shutil.copy(authority.issue("localhost"), tmp_path / "site.pem"))
    certificates = Certificates(TLS(certfile=(str(file),)), ["http/1.1"])
    context = certificates.context_for("localhost")
    file.unlink()
    assert certificates.reload() is False
    assert certificates.context_for("localhost") is context
    with pytest.raises(ConfigError, match="can't read"):
        Certificates(TLS(certfile=(str(file),)), ["http/1.1"])


def test_dev_cert(tmp_path, app_dir) -> None:
    def write(*names: str) -> str:
        done = run_command("dev-cert", "--dir", str(tmp_path / "dev"), *names)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = write()
    directory = tmp_path / "dev"
    assert f"--ssl-certfile {directory}/cert.pem" in told
    for secret in ("key.pem", "ca-key.pem"):
        assert (directory / secret).stat().st_mode & 0o777 == 0o600
    authority = (directory / "ca.pem").read_bytes()
    first = (directory / "cert.pem").read_bytes()
    write("localhost", "app.test")
    assert (directory / "ca.pem").read_bytes() == authority  # it is trusted already
    assert (directory / "cert.pem").read_bytes() != first
    arguments = ["--ssl-certfile", f"{directory}/cert.pem", "--ssl-keyfile", f"{directory}/key.pem"]
    with start_server(*arguments, app="applications:app", app_dir=app_dir) as server:
        url = f"https://app.test:{server.port}/"
        resolve = f"app.test:{server.port}:127.0.0.1"
        done = subprocess.run(
            ["curl", "-sS", "--cacert", directory / "ca.pem", "--resolve", resolve, url],
            capture_output=True,
            check=False,
            timeout=10,
        )
        assert (done.stdout, done.stderr) == (b"ok", b"")
        with Client(server.host, server.port) as client:
            assert client.request().status == 400


def test_dev_cert_refuses_what_is_no_name(tmp_path) -> None:
    done = run_command("dev-cert", "--dir", "/proc/none", "localhost")
    assert done.returncode == 2
    assert done.stderr.startswith("tidegate: error: dev-cert: can't write /proc/none")
