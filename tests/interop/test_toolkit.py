"""tidegate.web on every ASGI server that is here, as a user starts it, with FastAPI on Starlette beside it."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import unix_connect

from tests.support.process import eventually

APP = "toolkit_app:app"
COMMANDS = {
    "tidegate": ["--app-dir", "{apps}", "--bind", "unix:{socket}", APP],
    "uvicorn": ["--app-dir", "{apps}", "--uds", "{socket}", APP],
    "hypercorn": ["--bind", "unix:{socket}", APP],
    "granian": ["--interface", "asgi", "--working-dir", "{apps}", "--uds", "{socket}", APP],
}


class Server:
    """A server on a Unix socket; `log` is what it has written so far."""

    def __init__(self, name: str, folder: Path, apps: Path) -> None:
        self.name = name
        self.socket = folder / "socket"
        self.output = folder / "log"
        arguments = [part.format(apps=apps, socket=self.socket) for part in COMMANDS[name]]
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(apps)])
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path},
            )

    @property
    def log(self) -> str:
        return self.output.read_text(errors="replace")

    def listens(self) -> bool:
        assert self.process.poll() is None, self.log
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def client(self) -> httpx2.Client:
        transport = httpx2.HTTPTransport(uds=str(self.socket))
        return httpx2.Client(transport=transport, base_url="http://example.org", timeout=10)

    def websocket(self, path: str, **options: object) -> object:
        return unix_connect(str(self.socket), f"ws://example.org{path}", **options)


@contextmanager
def started(name: str, apps: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has 108 octets at most
        server = Server(name, Path(folder), apps)
        try:
            eventually(server.listens, timeout=30, interval=0.05)
            yield server
            server.process.terminate()
            assert server.process.wait(20) in (0, -15), server.log
            for line in (
                "lifespan opened",
                "inner lifespan opened",
                "inner lifespan closed",
                "lifespan closed",
            ):
                assert line in server.log
        finally:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()


@pytest.fixture(scope="module", params=COMMANDS)
def server(request, app_dir):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    with started(request.param, app_dir) as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def test_requests(client):
    assert client.get("/plain").text == "from a thread"
    assert client.post("/echo", content=b"x" * 100_000).content == b"x" * 100_000
    assert client.post("/form", data={"a": "1"}, files={"f": b"x" * 2_000_000}).json() == {
        "a": "1",
        "f": 2_000_000,
    }
    assert client.get("/nowhere").status_code == 404
    refused = client.put("/echo")
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    head = client.head("/plain")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "13", b"")


def test_a_body_past_its_limit(server):
    # Some servers close before all is sent: the answer is what counts, if there is a way to get it.
    with server.client() as client:
        try:
            assert client.post("/echo", content=b"x" * 100_001).status_code == 413
        except httpx2.WriteError:
            pytest.skip(f"{server.name} closes the connection before the answer is read")


def test_the_lifespans_state_and_fastapi_inside(client):
    answer = client.get("/").json()
    del answer["pathsend"]
    assert answer == {"tide": "high", "item": "http://example.org/api/items/3", "scheme": "http"}
    assert client.get("/api/items/7").json() == {
        "item": 7,
        "inner": "yes",
        "self": "http://example.org/api/items/1",
        "home": "http://example.org/",
    }
    assert client.get("/api/items/x").status_code == 422
    assert client.get("/api/openapi.json").json()["info"]["title"] == "FastAPI"


def test_streams_and_background(server, client):
    assert client.get("/stream").text == "0\n1\n2\n"
    eventually(lambda: "background ran" in server.log)
    with client.stream("GET", "/endless") as response:
        assert next(response.iter_lines()) == "tick"
    eventually(lambda: "stream closed" in server.log)


@pytest.mark.parametrize("path", ["/file", "/static/tide.txt"])
def test_files(server, client, path):
    pathsend = client.get("/").json()["pathsend"]
    assert pathsend == (server.name in ("tidegate", "granian"))  # where the server sends the file itself
    whole = client.get(path)
    assert (len(whole.content), whole.headers["content-length"]) == (100_000, "100000")
    part = client.get(path, headers={"range": "bytes=5-8"})
    assert (part.status_code, part.text, part.headers["content-range"]) == (206, "high", "bytes 5-8/100000")
    again = client.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/../toolkit_app.py").status_code == 404


def test_websockets(server):
    with server.websocket("/ws", subprotocols=["tide"]) as session:
        assert session.subprotocol == "tide"
        assert json.loads(session.recv()) == {"tide": "high"}
        session.send("abc")
        assert session.recv() == b"cba"


def test_websockets_refused_and_broken(server):
    with pytest.raises(InvalidStatus) as denied, server.websocket("/refused"):
        pass
    # 401 where the server has the denial extension, 403 where a close before accept is all there is.
    assert denied.value.response.status_code in (401, 403)
    with server.websocket("/broken") as session, pytest.raises(ConnectionClosedError) as closed:
        session.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


def run(script: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_importing_the_toolkit_imports_neither_starlette_nor_the_server():
    run(
        """
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
import tidegate.web
for module in pkgutil.walk_packages(tidegate.web.__path__, "tidegate.web."):
    importlib.import_module(module.name)
foreign = [name for name in sys.modules if name.partition(".")[0] in ("starlette", "fastapi", "uvloop")]
own = {".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("tidegate.")}
assert foreign == [], foreign
assert own <= {"tidegate.asgi", "tidegate.version", "tidegate.web"}, own
"""
    )


def test_fastapi_on_starlette_is_untouched_and_mounts_the_toolkit():
    run(
        """
import sys
import starlette.applications, starlette.requests, starlette.routing
before = {name: vars(module).copy() for name, module in sys.modules.items() if name.startswith("starlette")}
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient as StarletteClient
import tidegate.web.routing
from tidegate.web.applications import Application
from tidegate.web.requests import Request as TideRequest
from tidegate.web.responses import JSONResponse, PlainTextResponse
from tidegate.web.routing import Mount, NoMatchFound, Route, Router
from tidegate.web.staticfiles import StaticFiles
from tidegate.web.testclient import TestClient

assert starlette.__file__.endswith("starlette/__init__.py")
assert starlette.applications.Starlette.__module__ == "starlette.applications"
for name, names in before.items():
    now = vars(sys.modules[name])
    assert all(now[key] is value for key, value in names.items() if not key.startswith("__")), name
assert not issubclass(Application, starlette.applications.Starlette)

async def tide(request):
    assert type(request) is TideRequest
    return JSONResponse({"path": request.path_params["name"], "late": str(request.url_for("late"))})

async def fail(request):
    raise LookupError

def lookup(request, error):
    return PlainTextResponse("handled", status_code=409)

app = Application(
    routes=[Route("/first/{name}", tide, name="first"), Route("/fail", fail), Route("/second/{name}", tide)],
    exception_handlers={LookupError: lookup},
)
api = FastAPI()
api.mount("/tide", app, name="tide")
api.mount("/static", StaticFiles(directory="."), name="static")
api.mount("/router", Router([Route("/only", tide)]))

@api.get("/late")
def late(request: Request):
    assert type(request) is starlette.requests.Request
    return [str(request.url_for("late")), str(request.url_for("tide:first", name="x")),
            str(request.url_for("static", path="a"))]

for client in (StarletteClient(api), TestClient(api)):
    assert client.get("/late").json() == [
        "http://testserver/late", "http://testserver/tide/first/x", "http://testserver/static/a"]
    assert client.get("/tide/second/abc").json() == {"path": "abc", "late": "http://testserver/late"}
    assert client.get("/tide/none").status_code == 404
    assert client.put("/tide/fail").status_code == 405
    assert client.get("/tide/fail").text == "handled"
    assert client.get("/static/none").status_code == 404
    assert client.post("/static/none").status_code == 405
    assert client.get("/router/none").status_code == 404
    assert client.put("/router/only/").status_code == 405  # after the redirect

try:
    Router([]).url_path_for("none")
except starlette.routing.NoMatchFound as error:
    assert isinstance(error, NoMatchFound)
    assert "none" in str(error)
else:
    raise SystemExit("no error")
"""
    )
