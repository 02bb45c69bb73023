"""A WebSocket chat: `tidegate --app-dir examples chat:app`, then open http://127.0.0.1:8000 in two tabs.

Each member has a queue of its own, so that one who reads slowly holds up nobody: who falls too far behind is let go.
"""

import asyncio
from collections import deque

from pages import page, protection

from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.csrf import CSRFMiddleware
from tidegate.web.requests import Request
from tidegate.web.responses import Response
from tidegate.web.websockets import WebSocket, WebSocketDisconnect

HISTORY = 20  # messages that a newcomer sees
BEHIND = 100  # messages that may wait for one member
LONGEST = 500  # characters


class Room:
    def __init__(self) -> None:
        self.members: set[asyncio.Queue[str | None]] = set()
        self.history: deque[str] = deque(maxlen=HISTORY)

    def enter(self) -> asyncio.Queue[str | None]:
        messages: asyncio.Queue[str | None] = asyncio.Queue()
        for text in self.history:
            messages.put_nowait(text)
        self.members.add(messages)
        return messages

    def leave(self, messages: asyncio.Queue[str | None]) -> None:
        self.members.discard(messages)
        messages.put_nowait(None)

    def say(self, text: str) -> None:
        self.history.append(text)
        for messages in list(self.members):
            if messages.qsize() < BEHIND:
                messages.put_nowait(text)
            else:
                self.leave(messages)


room = Room()
# The second refuses WebSockets that other sites' pages open.
app = Application(middleware=[protection, Middleware(CSRFMiddleware)])


@app.get("/")
async def home(request: Request) -> Response:
    return page(request, "chat.html")


@app.websocket("/ws")
async def join(websocket: WebSocket) -> None:
    await websocket.accept()
    messages = room.enter()
    async with asyncio.TaskGroup() as tasks:
        delivery = tasks.create_task(deliver(websocket, messages))
        try:
            async for text in websocket.iter_text():
                if text := text.strip()[:LONGEST]:
                    room.say(text)
        finally:
            room.leave(messages)
            delivery.cancel()


async def deliver(websocket: WebSocket, messages: asyncio.Queue[str | None]) -> None:
    try:
        while (text := await messages.get()) is not None:
            await websocket.send_text(text)
        await websocket.close(1008, "You fell behind.")
    except WebSocketDisconnect:
        pass  # and `join` hears of it too
