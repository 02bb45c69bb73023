"""Applications inside an application: `tidegate --app-dir examples mounted:app`, then

    curl http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/notes/notes          # another application of the toolkit, with its own lifespan
    curl http://127.0.0.1:8000/plain/scope          # plain ASGI
    curl http://127.0.0.1:8000/files/               # a directory
    curl -H 'Host: docs.localhost' http://127.0.0.1:8000/

What is mounted finds its own path in its scope, behind that of all around it, which is its `root_path`.
"""

import hello
import json_api
import static_site

from tidegate.web.applications import Application
from tidegate.web.requests import Request
from tidegate.web.responses import PlainTextResponse, Response
from tidegate.web.routing import Host, Mount

docs = Application()


@docs.get("/")
async def handbook(request: Request) -> Response:
    return PlainTextResponse("The handbook, on a host of its own.\n")


app = Application(
    routes=[
        Host("docs.localhost", docs),
        Mount("/notes", json_api.app, name="notes"),
        Mount("/plain", hello.app),
        Mount("/files", static_site.app),
    ]
)


@app.get("/")
async def home(request: Request) -> Response:
    # The name of a mount and that of a route in it.
    notes = request.url_for("notes:listing", absolute=False)
    return PlainTextResponse(f"The notes are at {notes}\n")
