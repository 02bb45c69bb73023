"""Authentication: the middleware, and `requires`."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tidegate.web.applications import Application
from tidegate.web.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
    UnauthenticatedUser,
    requires,
)
from tidegate.web.endpoints import HTTPEndpoint
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.authentication import AuthenticationMiddleware
from tidegate.web.requests import HTTPConnection, Request
from tidegate.web.responses import JSONResponse, Response
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import TestClient
from tidegate.web.websockets import WebSocket, WebSocketDisconnect

pytestmark = pytest.mark.anyio


class Basic(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection[Any]) -> tuple[AuthCredentials, BaseUser] | None:
        if "authorization" not in conn.headers:
            return None
        try:
            _, _, encoded = conn.headers["authorization"].partition(" ")
            name = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")[0]
        except ValueError:
            raise AuthenticationError("Invalid credentials") from None
        return AuthCredentials(["authenticated"]), SimpleUser(name)


async def who(request: Request) -> JSONResponse:
    user = request.user
    return JSONResponse([user.is_authenticated, user.display_name, user.identity, request.auth.scopes])


@requires("authenticated")
async def private(request: Request) -> JSONResponse:
    return JSONResponse(request.user.display_name)


@requires(["authenticated"])
def private_sync(request: Request) -> JSONResponse:
    return JSONResponse(request.user.display_name)


@requires(["authenticated", "admin"], status_code=404)
def admin(request: Request) -> JSONResponse:
    return JSONResponse("admin")


@requires("authenticated", redirect="who")
async def redirected(request: Request) -> JSONResponse:
    return JSONResponse("in")


class Page(HTTPEndpoint):
    @requires("authenticated")
    async def get(self, request: Request) -> JSONResponse:
        return JSONResponse("page")


@requires("authenticated")
async def socket(websocket: WebSocket, extra: str = "") -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.display_name)
    await websocket.close()


routes = [
    Route("/who", who, name="who"),
    Route("/private", private),
    Route("/private-sync", private_sync),
    Route("/admin", admin),
    Route("/redirected", redirected),
    Route("/page", Page),
    WebSocketRoute("/ws", socket),
]
app = Application(routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=Basic())])
CREDENTIALS = {"authorization": "Basic " + base64.b64encode(b"tom:x").decode()}


def test_nobody_and_somebody() -> None:
    client = TestClient(app)
    assert client.get("/who").json() == [False, "", "", []]
    assert client.get("/who", headers=CREDENTIALS).json() == [True, "tom", "tom", ["authenticated"]]


@pytest.mark.parametrize(
    ("path", "outside", "inside"),
    [("/private", 403, 200), ("/private-sync", 403, 200), ("/admin", 404, 404), ("/page", 403, 200)],
)
def test_requires(path: str, outside: int, inside: int) -> None:
    client = TestClient(app)
    assert client.get(path).status_code == outside
    assert client.get(path, headers=CREDENTIALS).status_code == inside


def test_requires_redirects_with_where_to_come_back() -> None:
    client = TestClient(app, follow_redirects=False)
    response = client.get("/redirected?a=1")
    assert response.status_code == 303
    expected = "http://testserver/who?next=http%3A%2F%2Ftestserver%2Fredirected%3Fa%3D1"
    assert response.headers["location"] == expected
    assert client.get("/redirected", headers=CREDENTIALS).json() == "in"


def test_wrong_credentials() -> None:
    response = TestClient(app).get("/who", headers={"authorization": "Basic ###"})
    assert (response.status_code, response.text) == (400, "Invalid credentials")

    def on_error(conn: HTTPConnection[Any], error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=401)

    own = Application(
        routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=Basic(), on_error=on_error)]
    )
    response = TestClient(own).get("/who", headers={"authorization": "Basic ###"})
    assert (response.status_code, response.json()) == (401, {"error": "Invalid credentials"})


def test_websockets() -> None:
    client = TestClient(app)
    with client.websocket_connect("/ws", headers=CREDENTIALS) as websocket:
        assert websocket.receive_text() == "tom"
    for headers in ({}, {"authorization": "Basic ###"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=headers):
            pass


def test_the_lifespan_passes_by() -> None:
    with TestClient(app) as client:
        assert client.get("/who").status_code == 200


def test_requires_needs_a_request() -> None:
    with pytest.raises(Exception, match='No "request" or "websocket" argument'):

        @requires("authenticated")
        async def endpoint(other: Any) -> None: ...


async def test_base_classes() -> None:
    with pytest.raises(NotImplementedError):
        await AuthenticationBackend().authenticate(HTTPConnection({"type": "http"}))
    for attribute in ("is_authenticated", "display_name", "identity"):
        with pytest.raises(NotImplementedError):
            getattr(BaseUser(), attribute)
    assert UnauthenticatedUser().identity == ""
