from pathlib import Path

import pytest

from tests.support.inprocess import serving
from tests.support.tls import Authority


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared_server(request):
    """One server for a module's tests, on each event loop."""
    with serving(loop=request.param) as server:
        yield server


@pytest.fixture
def server(shared_server):
    """The module's server, with nothing left of the test before."""
    shared_server.reset()
    yield shared_server
    assert shared_server.loop_errors == []


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def app_dir() -> Path:
    return Path(__file__).parent
