"""Problem details: RFC 9457, and that nothing of the inside gets out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call, http_scope
from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.problems import (
    Problem,
    ProblemMiddleware,
    ProblemResponse,
    pointer,
    problem_handlers,
    validation_problem,
)
from tidegate.web.responses import JSONResponse, PlainTextResponse, Response
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from tidegate.web.requests import Request

pytestmark = pytest.mark.anyio
TYPE = "application/problem+json"


class User(msgspec.Struct):
    name: str
    ages: list[int]


class Model(pydantic.BaseModel):
    name: str
    ages: list[int]


def site(**options: Any) -> Application:
    app = Application(
        exception_handlers=problem_handlers((msgspec.ValidationError, pydantic.ValidationError)), **options
    )

    @app.get("/credit")
    async def credit(request: Request) -> Response:
        raise Problem(
            403,
            "Your current balance is 30, but that costs 50.",
            type="https://example.com/probs/out-of-credit",
            title="You do not have enough credit.",
            instance="/account/12345/msgs/abc",
            balance=30,
            accounts=["/account/12345", "/account/67890"],
        )

    @app.get("/refused")
    async def refused(request: Request) -> Response:
        raise HTTPException(401, headers={"www-authenticate": "Basic"})

    @app.get("/detail")
    async def detail(request: Request) -> Response:
        raise HTTPException(409, detail="It is there already.")

    @app.get("/empty")
    async def empty(request: Request) -> Response:
        raise HTTPException(204)

    @app.get("/broken")
    async def broken(request: Request) -> Response:
        raise RuntimeError("secret: postgres://user:password@db")

    @app.post("/users")
    async def users(request: Request) -> Response:
        return JSONResponse(msgspec.convert(await request.json(), User).name)

    @app.post("/models")
    async def models(request: Request) -> Response:
        return JSONResponse(Model.model_validate(await request.json()).name)

    return app


client = TestClient(site(), raise_server_exceptions=False)


def test_the_standards_own_example() -> None:
    response = client.get("/credit")
    assert (response.status_code, response.headers["content-type"]) == (403, TYPE)
    assert response.json() == {
        "type": "https://example.com/probs/out-of-credit",
        "title": "You do not have enough credit.",
        "status": 403,
        "detail": "Your current balance is 30, but that costs 50.",
        "instance": "/account/12345/msgs/abc",
        "balance": 30,
        "accounts": ["/account/12345", "/account/67890"],
    }


@pytest.mark.parametrize(
    ("method", "path", "members"),
    [
        ("GET", "/refused", {"title": "Unauthorized", "status": 401}),
        ("GET", "/detail", {"title": "Conflict", "status": 409, "detail": "It is there already."}),
        ("GET", "/nowhere", {"title": "Not Found", "status": 404}),
        ("PUT", "/detail", {"title": "Method Not Allowed", "status": 405}),
        ("GET", "/broken", {"title": "Internal Server Error", "status": 500}),
    ],
)
def test_every_error_is_one(method: str, path: str, members: dict[str, Any]) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (members["status"], TYPE)
    assert response.json() == {"type": "about:blank", **members}


def test_header_fields_stay() -> None:
    assert client.get("/refused").headers["www-authenticate"] == "Basic"
    assert "GET" in client.put("/detail").headers["allow"]


def test_no_content_where_there_may_be_none() -> None:
    response = client.get("/empty")
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("path", "body", "errors"),
    [
        ("/users", '{"name": 1, "ages": []}', [{"detail": "Expected `str`, got `int`", "pointer": "#/name"}]),
        (
            "/users",
            '{"name": "a", "ages": [1, 2, "x"]}',
            [{"detail": "Expected `int`, got `str`", "pointer": "#/ages/2"}],
        ),
        ("/users", '{"name": "a"}', [{"detail": "Object missing required field `ages`"}]),
        (
            "/models",
            '{"ages": [1, "SECRET"]}',
            [
                {"detail": "Field required", "pointer": "#/name"},
                {
                    "detail": "Input should be a valid integer, unable to parse string as an integer",
                    "pointer": "#/ages/1",
                },
            ],
        ),
    ],
)
def test_what_is_not_valid(path: str, body: str, errors: list[dict[str, str]]) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (422, TYPE)
    assert response.json()["errors"] == errors
    assert "SECRET" not in response.text


def test_what_is_not_json() -> None:
    response = client.post("/users", content="{", headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (400, TYPE)


def test_many_errors_are_some() -> None:
    class Many(Exception):
        def errors(self) -> list[dict[str, Any]]:
            return [{"loc": ("x", i), "msg": "no"} for i in range(10_000)]

    errors = validation_problem(Many()).extensions["errors"]
    assert (len(errors), errors[1]) == (100, {"detail": "no", "pointer": "#/x/1"})
    unknown = msgspec.ValidationError("Expected `int`, got `str` - at `$.a[...].b`")
    assert validation_problem(unknown).extensions["errors"][0]["pointer"] == "#/a"
    assert validation_problem(ValueError("odd")).extensions["errors"] == [{"detail": "odd"}]


@given(st.lists(st.text()))
def test_pointers_can_be_read(steps: list[str]) -> None:
    """RFC 6901 §4."""
    text = pointer(steps)
    assert text.startswith("#")
    read = [step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")[1:]]
    assert read == steps


@pytest.mark.parametrize("name", ["type", "title", "status_", "ab", "1abc", "a-bc", "détail"])
def test_names_of_members(name: str) -> None:
    if name == "status_":
        assert Problem(400, status_=1).members()["status_"] == 1
    else:
        arguments: dict[str, Any] = {name: "x"}
        if name in ("type", "title"):  # its own: no extension
            assert Problem(400, **arguments).extensions == {}
        else:
            with pytest.raises(ValueError, match="extension member"):
                Problem(400, **arguments)


def test_statuses_that_nobody_knows() -> None:
    assert Problem(599).members() == {"type": "about:blank", "status": 599}


async def test_alone() -> None:
    """The response is an application; the middleware is one around any."""
    sent = await call(ProblemResponse(Problem(418, teapot=True)), "/")
    assert (sent.status, json.loads(sent.body)["teapot"]) == (418, True)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/ok":
            await PlainTextResponse("ok")(scope, receive, send)
        elif scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise HTTPException(404)
        elif scope["path"] == "/bug":
            raise ZeroDivisionError("secret")
        else:
            raise HTTPException(404)

    wrapped = ProblemMiddleware(app)
    assert (await call(wrapped, "/ok")).body == b"ok"
    missing = await call(wrapped, "/nowhere")
    assert (missing.status, missing.headers["content-type"]) == (404, TYPE)
    with pytest.raises(HTTPException):  # too late to say anything
        await call(wrapped, "/late")
    sent = Sent()

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):  # for the server's log
        await wrapped(http_scope("/bug"), None, send)  # type: ignore[arg-type]
    assert (sent.status, json.loads(sent.body)["title"]) == (500, "Internal Server Error")
    assert b"secret" not in sent.body
    seen: list[str] = []

    async def other(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await ProblemMiddleware(other)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
