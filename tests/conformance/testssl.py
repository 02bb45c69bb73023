"""testssl.sh against the real server: `python -m tests.conformance.testssl`, some two minutes.

Fails where it finds anything of severity MEDIUM or above, other than what a certificate of nobody's CA comes with.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.process import start_server
from tests.support.tls import Authority

# WARN is what it could not find out, such as the resumption of TLS 1.3 sessions with its own s_client.
SEVERE = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
# Fields that are an application's to send.
HEADERS = (
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: DENY",
    "Content-Security-Policy: default-src 'self'",
)
# A CA that no browser has, and that publishes nothing: neither revocation nor certificate transparency.
# `engine_problem` is about testssl.sh's own OpenSSL; the grade sums up these.
PRIVATE_CA = (
    "cert_chain_of_trust",
    "cert_revocation",
    "cert_ocspRevoked",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "certificate_transparency",
    "DNS_CAArecord",
    "engine_problem",
    "overall_grade",
    "final_score",
    "grade_cap_reason",
)


VALID = timedelta(days=200)


def command() -> str | None:
    return shutil.which("testssl") or shutil.which("testssl.sh")


def findings() -> list[dict[str, Any]]:
    """All findings about a server with its defaults, and HSTS."""
    program = command()
    assert program is not None, "testssl.sh is not installed: apt-get install testssl.sh"
    begin = datetime.now(UTC) - timedelta(days=1)
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        site = authority.issue("localhost", file="site.pem", not_before=begin, not_after=begin + VALID)
        report = str(Path(directory) / "report.json")
        options = ["--ssl-certfile", str(site), "--ssl-hsts", "max-age=31536000", "--no-access-log"]
        for header in HEADERS:
            options += ["--header", header]
        app_dir = Path(__file__).parents[1] / "server"
        with start_server(*options, app="applications:app", app_dir=app_dir) as server:
            arguments = (
                "--quiet",
                "--color",
                "0",
                "--warnings",
                "batch",
                "--ip",
                "127.0.0.1",
                "--jsonfile",
                report,
            )
            subprocess.run(
                [program, *arguments, f"localhost:{server.port}"],
                stdout=sys.stderr,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=900,
            )
        found: list[dict[str, Any]] = json.loads(Path(report).read_text())
        return found


def severe(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if each["severity"] in SEVERE and not each["id"].startswith(PRIVATE_CA)]


def main() -> int:
    found = findings()
    for each in found:
        if each["severity"] not in ("OK", "INFO"):
            print(f"{each['severity']:8} {each['id']}: {each['finding']}")
    faults = severe(found)
    print(f"{len(found)} findings; {len(faults)} of MEDIUM or above beside those of the private CA")
    return 1 if faults or len(found) < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
