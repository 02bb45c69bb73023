"""WebSockets of FastAPI (Starlette underneath), and a GraphQL subscription by Strawberry."""

import asyncio
from collections.abc import AsyncIterator

import strawberry
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse
from strawberry.fastapi import GraphQLRouter

app = FastAPI()


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>ready</title>")


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="b" if "b" in websocket.scope["subprotocols"] else None)
    try:
        while True:
            message = await websocket.receive()
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            elif message.get("bytes") is not None:
                await websocket.send_bytes(message["bytes"])
            else:
                raise WebSocketDisconnect(message["code"], message["reason"])
    except WebSocketDisconnect as gone:
        print(f"left with {gone.code} {gone.reason!r}", flush=True)


@app.websocket("/json")
async def json(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_json():
        await websocket.send_json({"got": message})


@app.websocket("/close")
async def close(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4321, "enough")


@app.websocket("/deny")
async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "no ticket"}, status_code=402))


@app.websocket("/refuse")
async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


@app.websocket("/broken")
async def broken(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("broken on purpose")


@app.websocket("/both")
async def both(websocket: WebSocket) -> None:
    """Sends while it receives, as chats do."""
    await websocket.accept()

    async def tick() -> None:
        for number in range(5):
            await websocket.send_text(str(number))
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        heard = await websocket.receive_text()
        await ticking
    await websocket.send_text(heard)
    await websocket.close()


@strawberry.type
class Query:
    @strawberry.field
    def answer(self) -> int:
        return 42


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, target: int) -> AsyncIterator[int]:
        for number in range(target):
            yield number
            await asyncio.sleep(0.01)


app.include_router(GraphQLRouter(strawberry.Schema(Query, subscription=Subscription)), prefix="/graphql")
