"""OpenAPI from docstrings, and Jinja2 templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import yaml

from tidegate.web.applications import Application
from tidegate.web.endpoints import HTTPEndpoint
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.routing import Host, Mount, Route, Router, WebSocketRoute
from tidegate.web.schemas import BaseSchemaGenerator, OpenAPIResponse, SchemaGenerator
from tidegate.web.templating import Jinja2Templates
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from pathlib import Path

    from tidegate.web.requests import Request

schemas = SchemaGenerator({"openapi": "3.0.0", "info": {"title": "Test", "version": "1"}})


def users(request: Request) -> PlainTextResponse:
    """
    Anything.
    ---
    responses:
      200:
        description: users
    """
    return PlainTextResponse("users")


def undocumented(request: Request) -> PlainTextResponse:
    return PlainTextResponse("")


def only_text(request: Request) -> PlainTextResponse:
    """No mapping."""
    return PlainTextResponse("")


class Item(HTTPEndpoint):
    def get(self, request: Request) -> PlainTextResponse:
        """
        responses: {200: {description: an item}}
        """
        return PlainTextResponse("")

    def query(self, request: Request) -> PlainTextResponse:
        """
        responses: {200: {description: a query}}
        """
        return PlainTextResponse("")


def schema(request: Request) -> Response:
    return schemas.OpenAPIResponse(request)


app = Application(
    routes=[
        Route("/users", users, methods=["GET", "POST"]),
        Route("/undocumented", undocumented),
        Route("/text", only_text),
        Route("/hidden", users, include_in_schema=False),
        Mount("/shop/{name:str}", routes=[Route("/items/{id:int}", Item)]),
        Host("api.example.org", Router([Route("/api", users)])),
        WebSocketRoute("/ws", users),
        Route("/schema", schema, include_in_schema=False),
    ]
)


def test_the_schema() -> None:
    response = TestClient(app).get("/schema")
    assert response.headers["content-type"] == "application/vnd.oai.openapi"
    ok = {"responses": {200: {"description": "users"}}}
    assert yaml.safe_load(response.text) == {
        "openapi": "3.0.0",
        "info": {"title": "Test", "version": "1"},
        "paths": {
            "/users": {"get": ok, "post": ok},
            "/shop/{name}/items/{id}": {"get": {"responses": {200: {"description": "an item"}}}},
            "/api": {"get": ok},
        },
    }


def test_query_needs_openapi_3_2() -> None:
    paths = SchemaGenerator({"openapi": "3.2.0"}).get_schema(app.routes)["paths"]
    assert sorted(paths["/shop/{name}/items/{id}"]) == ["get", "query"]


def test_base_generator() -> None:
    with pytest.raises(NotImplementedError):
        BaseSchemaGenerator().get_schema([])
    with pytest.raises(AssertionError):
        OpenAPIResponse("text")


@pytest.fixture
def templates(tmp_path: Path) -> Jinja2Templates:
    (tmp_path / "page.html").write_text("<a href='{{ url_for('page', id=1) }}'>{{ name }}{{ extra }}</a>")
    return Jinja2Templates(tmp_path, context_processors=[lambda request: {"extra": request.url.path}])


def test_templates(templates: Jinja2Templates) -> None:
    async def page(request: Request) -> Response:
        return templates.TemplateResponse(request, "page.html", {"name": "<b>"}, headers={"x-a": "1"})

    client = TestClient(Application(routes=[Route("/page/{id:int}", page, name="page")]))
    response = client.get("/page/2")
    assert response.text == "<a href='http://testserver/page/1'>&lt;b&gt;/page/2</a>"
    assert response.headers["x-a"] == "1"
    debugged: Any = response
    assert debugged.template.name == "page.html"
    assert debugged.context["name"] == "<b>"


def test_an_environment_of_ones_own() -> None:
    env = jinja2.Environment(loader=jinja2.DictLoader({"a.txt": "{{ request.method }}"}), autoescape=False)
    own = Jinja2Templates(env=env)

    async def page(request: Request) -> Response:
        return own.TemplateResponse(request, "a.txt")

    assert TestClient(Application(routes=[Route("/", page)])).get("/").text == "GET"
    with pytest.raises(AssertionError, match="either"):
        Jinja2Templates()
