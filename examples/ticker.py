"""Server-sent events: `tidegate --app-dir examples ticker:app`, then open http://127.0.0.1:8000, or

    curl -N http://127.0.0.1:8000/events
    curl -N -H 'Last-Event-ID: ...' http://127.0.0.1:8000/events     # what came after that one

A browser that loses its connection does the latter by itself.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pages import page, protection

from tidegate.web.applications import Application
from tidegate.web.requests import Request
from tidegate.web.responses import Response
from tidegate.web.sse import Channel, EventSourceResponse, ServerSentEvent, last_event_id

tides = Channel(history=100)


async def tick() -> None:
    step = 0
    while True:
        step += 1
        level = 2 + 1.8 * math.sin(step / 10)
        tides.publish(ServerSentEvent(f"{level:.2f} m", event="tide"))
        await asyncio.sleep(0.5)


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[None]:
    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()


app = Application(lifespan=lifespan, middleware=[protection])


@app.get("/")
async def home(request: Request) -> Response:
    return page(request, "ticker.html")


@app.get("/events")
async def events(request: Request) -> Response:
    return EventSourceResponse(tides.subscribe(last_event_id(request)))
