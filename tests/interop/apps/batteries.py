"""The toolkit's streams, files and compression, for tests on the real server and in a browser."""

from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.compression import CompressionMiddleware
from tidegate.web.requests import Request
from tidegate.web.responses import HTMLResponse, PlainTextResponse, Response
from tidegate.web.sse import Channel, EventSourceResponse, last_event_id

channel = Channel(history=5000)
app = Application(middleware=[Middleware(CompressionMiddleware)])
WORDS = "The tide comes in, the tide goes out. " * 500


@app.get("/")
async def page(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Batteries</title><link rel=icon href='data:,'>")


@app.get("/text")
async def text(request: Request) -> Response:
    return PlainTextResponse(WORDS, headers={"etag": '"words"'})


@app.get("/events")
async def events(request: Request) -> Response:
    return EventSourceResponse(channel.subscribe(last_event_id(request)))


@app.post("/events")
async def publish(request: Request) -> Response:
    for line in (await request.body()).decode().splitlines():
        channel.publish(line)
    return PlainTextResponse(str(len(channel)))


@app.get("/streams")
async def streams(request: Request) -> Response:
    return PlainTextResponse(str(len(channel)))
