"""Autobahn's quick cases, and a sample of the slow ones; `make conformance` runs all of them."""

import os
import subprocess

import pytest

from tests.conformance.autobahn import APPS, HAPROXY, NoPython27, failures, install, judge, through_haproxy
from tests.support.process import start_server

# Sections: framing, pings, reserved bits, opcodes, fragmentation, UTF-8, closing, auto-fragmentation.
QUICK = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
# Of limits and performance, of compression with every kind of offer.
SAMPLE = [
    "9.1.1",
    "9.1.2",
    "9.2.1",
    "9.3.1",
    "9.4.1",
    "9.7.1",
    "9.8.1",
    "12.1.1",
    "12.2.6",
    "13.3.1",
    "13.4.1",
    "13.7.1",
]


# By way of HTTP/2: each kind of frame, fragments, how it closes, the octets of the largest, compression.
PROXIED = ["1.1.*", "1.2.*", "2.*", "5.1*", "7.1.*", "7.7.*", "10.*", "12.1.1"]


@pytest.fixture(scope="module", autouse=True)
def suite() -> None:
    try:
        install()
    except NoPython27 as error:
        pytest.skip(str(error))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Autobahn's suite cannot be installed: {error}")


@pytest.mark.parametrize("cases", [QUICK, SAMPLE], ids=["quick", "sample"])
def test_no_case_fails_or_is_non_strict_or_unimplemented(cases: list[str]) -> None:
    with start_server("--no-access-log", app="echo:app", app_dir=APPS) as server:
        verdicts = judge(f"ws://{server.host}:{server.port}/", cases, report=f"test-{os.getpid()}")
        assert len(verdicts) >= len(cases)
        assert failures(verdicts) == {}
        assert "Traceback" not in server.log


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
def test_no_case_fails_over_http2() -> None:
    with start_server(app="echo:app", app_dir=APPS) as server, through_haproxy(server) as url:
        verdicts = judge(url, PROXIED, report=f"test-{os.getpid()}")
        assert len(verdicts) >= len(PROXIED)
        assert failures(verdicts) == {}
        assert "Traceback" not in server.log
        assert ' HTTP/2"' in server.log
        assert "HTTP/1.1" not in server.log
