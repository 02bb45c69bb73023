"""Templates, a form and uploads: `tidegate --app-dir examples forms:app`, then open http://127.0.0.1:8000.

An upload goes to the disk piece by piece, never as a whole through memory.
"""

import hashlib
import itertools
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pages import page, protection

from tidegate.web.applications import Application
from tidegate.web.exceptions import HTTPException
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.csrf import CSRFMiddleware
from tidegate.web.requests import Request
from tidegate.web.responses import FileResponse, RedirectResponse, Response

LARGEST = 64 * 1024 * 1024  # octets
KEPT = 10  # uploads

numbers = itertools.count(1)


@dataclass
class Upload:
    number: int
    title: str
    filename: str  # as the client says: shown, never used as a path
    size: int
    digest: str
    path: Path


class Digesting:
    """A file that adds up what is written to it; written to in a thread."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb")
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


class State(TypedDict):
    directory: Path
    uploads: deque[Upload]


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[State]:
    with tempfile.TemporaryDirectory() as directory:
        yield {"directory": Path(directory), "uploads": deque()}


# Of a form that is larger in all, nothing is read.
app = Application(
    lifespan=lifespan,
    middleware=[protection, Middleware(CSRFMiddleware)],
    max_body_size=LARGEST + 64 * 1024,
)


@app.get("/")
async def home(request: Request[State]) -> Response:
    return page(request, "forms.html", uploads=request.state["uploads"])


@app.post("/")
async def receive(request: Request[State]) -> Response:
    uploads = request.state["uploads"]
    title = ""
    upload = None
    async for part in request.parts(max_parts=10):
        if part.filename is None:
            if part.name == "title":
                title = await part.text(max_size=400)
        elif part.filename and upload is None:
            number = next(numbers)
            path = request.state["directory"] / str(number)
            sink = Digesting(path)
            try:
                size = await part.save(sink, max_size=LARGEST)
            except BaseException:
                path.unlink()
                raise
            finally:
                sink.file.close()
            upload = Upload(number, title, part.filename, size, sink.digest.hexdigest(), path)
    if upload is None:
        return page(request, "forms.html", 422, uploads=uploads, error="There was no file.")
    uploads.appendleft(upload)
    while len(uploads) > KEPT:
        uploads.pop().path.unlink()
    return RedirectResponse(".", 303)


@app.get("/{number:int}")
async def download(request: Request[State]) -> Response:
    for upload in request.state["uploads"]:
        if upload.number == request.path_params["number"]:
            return FileResponse(upload.path, filename=upload.filename, media_type="application/octet-stream")
    raise HTTPException(404, "It is here no longer.")
