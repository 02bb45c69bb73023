"""Starlette's StaticFiles, and what the harness asks of every server."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from static_files import DIRECTORY  # run in this directory, as the servers are


def hello(request):
    return PlainTextResponse("Hello, World!")


app = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/extensions", hello),
        Mount("/static", StaticFiles(directory=DIRECTORY)),
    ]
)
