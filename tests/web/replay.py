"""What the toolkit's parsers make of a kept corpus: the same in either build.

`python -m tests.web.replay` prints which build it runs on, then every result.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tidegate.web.requests
from tidegate.asgi.negotiation import weighted
from tidegate.asgi.preconditions import Preconditions, entity_tags, http_date
from tidegate.asgi.ranges import (
    MalformedRangeHeader,
    RangeNotSatisfiable,
    parse_range,
)
from tidegate.web._utils import parse_host_header
from tidegate.web.datastructures import URL, FormData, Headers, QueryParams, UploadFile
from tidegate.web.formparsers import MultiPartException, parse_form
from tidegate.web.multipart import MultipartError, parse_parameters
from tidegate.web.requests import cookie_parser
from tidegate.web.responses import PlainTextResponse
from tidegate.web.routing import Route, Router

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
CORPUS = Path(__file__).with_name("corpus.json")
COMPILED = not (tidegate.web.requests.__file__ or "").endswith(".py")
ERRORS = (MultiPartException, MultipartError, MalformedRangeHeader, RangeNotSatisfiable, ValueError)

ROUTES = ["/", "/{name}", "/items/{id:int}", "/items/{id:int}/edit", "/f/{x:float}", "/u/{id:uuid}"]
ROUTES += ["/a-{name}.txt", "/files/{rest:path}", "/items/new", "/{a}/{b}/{c:int}"]


def pieces(data: bytes, size: int) -> AsyncGenerator[bytes, None]:
    async def stream() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return stream()


async def form(content_type: str, data: bytes) -> list[Any]:
    """The form, or its error, for whole, halved and single octets."""
    results = []
    for size in (max(len(data), 1), len(data) // 2 + 1, 1):
        headers = Headers({"content-type": content_type})
        try:
            limits = {"max_files": 3, "max_fields": 5, "max_part_size": 100}
            parsed: FormData = await parse_form(headers, pieces(data, size), **limits)  # type: ignore[arg-type]
        except MultiPartException as error:
            results.append(repr(error))
            continue
        shown = []
        for name, value in parsed.multi_items():
            if isinstance(value, UploadFile):
                content = (await value.read()).decode("latin-1")
                shown.append([name, value.filename, value.headers.items(), content])
            else:
                shown.append([name, value])
        await parsed.close()
        results.append(shown)
    return results


def multipart(text: str) -> Any:
    return asyncio.run(form("multipart/form-data; boundary=B", text.encode("latin-1")))


def urlencoded(text: str) -> Any:
    form_result = asyncio.run(form("application/x-www-form-urlencoded", text.encode("latin-1")))
    return [form_result, QueryParams(text).multi_items(), str(QueryParams(text))]


def routes(path: str) -> Any:
    async def endpoint(request: Any) -> PlainTextResponse:
        route = request.scope["route"].path
        return PlainTextResponse(f"{route} {request.path_params!r}")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    asyncio.run(Router([Route(template, endpoint) for template in ROUTES])(scope, receive, send))
    return [sent[0]["status"], sent[1]["body"].decode("utf-8", "surrogatepass")]


def headers(text: str) -> Any:
    fields = Headers(raw=[(b"x", text.encode("utf-8")), (b"host", text.encode("utf-8"))]).mutablecopy()
    fields.append(text, "1")
    fields["x"] = text
    return [fields.items(), fields.getlist("X"), text in fields]


def url(host: str) -> Any:
    raw = [(b"host", host.encode("utf-8"))]
    scope = {"type": "http", "path": "/a b//c?", "query_string": b"q#", "headers": raw, "server": ("s", 81)}
    return str(URL(scope=scope))


PARSERS: dict[str, Callable[[str], Any]] = {
    "multipart": multipart,
    "urlencoded": urlencoded,
    "cookies": cookie_parser,
    "ranges": lambda text: [parse_range(text, size, 5) for size in (0, 1, 10, 1000)],
    "if-range": lambda text: [
        Preconditions([(b"if-range", text.encode("latin-1", "replace"))]).range_applies(
            '"x"', "Sun, 06 Nov 1994 08:49:37 GMT"
        ),
        http_date(text),
    ],
    "entity-tags": entity_tags,
    "accept": lambda text: weighted([text]),
    "parameters": parse_parameters,
    "routes": routes,
    "headers": headers,
    "hosts": lambda text: [repr(parse_host_header(text)), url(text)],
}


def results() -> dict[str, Any]:
    """By parser and input: what it gives, or how it refuses."""
    made: dict[str, Any] = {}
    for kind, inputs in json.loads(CORPUS.read_text()).items():
        for text in inputs:
            try:
                made[f"{kind} {text!r}"] = PARSERS[kind](text)
            except ERRORS as error:
                made[f"{kind} {text!r}"] = f"refused: {type(error).__name__} {error}"
    return made


if __name__ == "__main__":
    json.dump({"compiled": COMPILED, "results": results()}, sys.stdout)
