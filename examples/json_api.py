"""A JSON API: `tidegate --app-dir examples json_api:app`, then

    curl -i http://127.0.0.1:8000/notes -d '{"text": "Buy rope"}'
    curl http://127.0.0.1:8000/notes
    curl -X PUT http://127.0.0.1:8000/notes/1 -d '{"text": "Buy rope", "done": true}'
    curl -i http://127.0.0.1:8000/notes -d '{"text": 7}'

What a client sends is checked against `Note` by msgspec; errors are application/problem+json (RFC 9457).
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import msgspec

from tidegate.web.applications import Application
from tidegate.web.problems import Problem, problem_handlers
from tidegate.web.requests import Request
from tidegate.web.responses import JSONResponse, Response

MOST = 1000  # notes


class Note(msgspec.Struct):
    text: str
    done: bool = False


class State(TypedDict):
    notes: dict[int, Note]
    numbers: "itertools.count[int]"


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[State]:
    yield {"notes": {}, "numbers": itertools.count(1)}


app = Application(lifespan=lifespan, exception_handlers=problem_handlers())


async def received_note(request: Request[State]) -> Note:
    try:
        return msgspec.json.decode(await request.body(), type=Note)
    except msgspec.DecodeError as error:
        raise Problem(422, str(error)) from None


def known_note(request: Request[State]) -> tuple[int, Note]:
    number = request.path_params["number"]
    try:
        return number, request.state["notes"][number]
    except KeyError:
        raise Problem(404, f"There is no note {number}.") from None


@app.get("/notes")
async def listing(request: Request[State]) -> Response:
    return JSONResponse([{"number": number, "note": note} for number, note in request.state["notes"].items()])


@app.post("/notes")
async def create(request: Request[State]) -> Response:
    note = await received_note(request)
    notes = request.state["notes"]
    if len(notes) >= MOST:
        raise Problem(507, f"{MOST} notes are enough.")
    number = next(request.state["numbers"])
    notes[number] = note
    return JSONResponse(note, 201, {"location": f"notes/{number}"})


@app.get("/notes/{number:int}")
async def read(request: Request[State]) -> Response:
    return JSONResponse(known_note(request)[1])


@app.put("/notes/{number:int}")
async def replace(request: Request[State]) -> Response:
    number, _old = known_note(request)
    note = request.state["notes"][number] = await received_note(request)
    return JSONResponse(note)


@app.delete("/notes/{number:int}")
async def remove(request: Request[State]) -> Response:
    del request.state["notes"][known_note(request)[0]]
    return Response(status_code=204)
