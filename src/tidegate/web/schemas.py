"""OpenAPI from docstrings: each endpoint's, after a line `---`, is YAML."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tidegate.web.requests import Request
from tidegate.web.responses import Response
from tidegate.web.routing import BaseRoute, Host, Mount, Route

if TYPE_CHECKING:
    from collections.abc import Callable


CONVERTOR_NAME = re.compile(r":\w+}")


def _yaml() -> Any:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise RuntimeError("tidegate.web.schemas needs the `pyyaml` package: pip install pyyaml") from None
    return yaml


class OpenAPIResponse(Response):
    media_type = "application/vnd.oai.openapi"

    def render(self, content: Any) -> bytes:
        assert isinstance(content, dict), "The schema passed to OpenAPIResponse should be a dictionary."
        text: str = _yaml().dump(content, default_flow_style=False)
        return text.encode("utf-8")


class EndpointInfo(NamedTuple):
    path: str
    http_method: str
    func: Callable[..., Any]


class BaseSchemaGenerator:
    def get_schema(self, routes: list[BaseRoute]) -> dict[str, Any]:
        raise NotImplementedError()

    def get_endpoints(self, routes: list[BaseRoute]) -> list[EndpointInfo]:
        """Every (path, lower-case method, function) below `routes`."""
        found: list[EndpointInfo] = []
        for route in routes:
            if isinstance(route, Mount | Host):
                prefix = self._plain_path(route.path) if isinstance(route, Mount) else ""
                found += [
                    EndpointInfo(prefix + path, method, func)
                    for path, method, func in self.get_endpoints(route.routes or [])
                ]
            elif isinstance(route, Route) and route.include_in_schema:
                found += self._endpoints_of(route)
        return found

    def _endpoints_of(self, route: Route) -> list[EndpointInfo]:
        path = self._plain_path(route.path)
        if inspect.isfunction(route.endpoint) or inspect.ismethod(route.endpoint):
            return [
                EndpointInfo(path, method.lower(), route.endpoint)
                for method in sorted(route.methods or {"GET"})
                if method != "HEAD"
            ]
        return [
            EndpointInfo(path, method, getattr(route.endpoint, method))
            for method in ("get", "post", "put", "patch", "delete", "options", "query")
            if hasattr(route.endpoint, method)
        ]

    def _plain_path(self, path: str) -> str:
        """`/{id:int}` as OpenAPI writes it: `/{id}`."""
        return CONVERTOR_NAME.sub("}", path)

    def parse_docstring(self, func_or_method: Callable[..., Any]) -> dict[str, Any]:
        """The YAML of a docstring, after its last `---` if there is one; {} if it is no mapping."""
        docstring = func_or_method.__doc__
        if not docstring:
            return {}
        parsed = _yaml().safe_load(docstring.split("---")[-1])
        return parsed if isinstance(parsed, dict) else {}

    def OpenAPIResponse(self, request: Request[Any]) -> Response:
        return OpenAPIResponse(self.get_schema(routes=request.app.routes))


class SchemaGenerator(BaseSchemaGenerator):
    def __init__(self, base_schema: dict[str, Any]) -> None:
        self.base_schema = base_schema

    def get_schema(self, routes: list[BaseRoute]) -> dict[str, Any]:
        schema = dict(self.base_schema)
        paths: dict[str, Any] = schema.setdefault("paths", {})
        # OpenAPI 3.2 is the first that knows QUERY.
        knows_query = version_of(schema) >= (3, 2)
        for endpoint in self.get_endpoints(routes):
            if endpoint.http_method == "query" and not knows_query:
                continue
            parsed = self.parse_docstring(endpoint.func)
            if parsed:
                paths.setdefault(endpoint.path, {})[endpoint.http_method] = parsed
        return schema


def version_of(schema: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in str(schema.get("openapi", "")).split(".")[:2] if part.isdigit())
