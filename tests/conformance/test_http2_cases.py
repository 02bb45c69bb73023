"""Every case of `http2_cases` against the server as a process, with an application that reads and one that does not."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.http2_cases import CASES, Case
from tests.support.process import start_server
from tests.support.tls import Authority

if TYPE_CHECKING:
    import ssl

APPS = Path(__file__).parent / "apps"
Connect = Callable[[], socket.socket]


@pytest.fixture(scope="module", params=["reads", "answers"])
def application(request: pytest.FixtureRequest) -> str:
    return f"content:{request.param}"


@pytest.fixture(scope="module", params=["h2c", "TLS"])
def connect(
    request: pytest.FixtureRequest, application: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connect]:
    """Opens a connection: with prior knowledge (RFC 9113 §3.3), or by ALPN (§3.2)."""
    context: ssl.SSLContext | None = None
    options = ["--no-access-log"]
    if request.param == "TLS":
        authority = Authority(tmp_path_factory.mktemp("tls"))
        options += ["--ssl-certfile", str(authority.issue("localhost"))]
        context = authority.client_context("h2")
    with start_server(*options, app=application, app_dir=APPS) as server:

        def open_connection() -> socket.socket:
            connection = socket.create_connection((server.host, server.port), timeout=20)
            if context is None:
                return connection
            secured = context.wrap_socket(connection, server_hostname="localhost")
            assert secured.selected_alpn_protocol() == "h2"
            return secured

        yield open_connection
        assert "Traceback" not in server.log


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.clause} {case.name}")
def test_case(connect: Connect, case: Case) -> None:
    with connect() as connection:
        case.run(connection)
