"""python-socketio by HTTP polling: long polls that wait for the next event, and posts beside them."""

import socketio

server = socketio.AsyncServer(async_mode="asgi", ping_interval=1, ping_timeout=5)


@server.event
async def connect(sid: str, environ: dict[str, object], auth: object) -> None:
    await server.emit("welcome", {"sid": sid}, to=sid)


@server.event
async def shout(sid: str, text: str) -> str:
    await server.emit("heard", text.upper(), to=sid)
    return f"{len(text)} letters"


@server.event
async def disconnect(sid: str, reason: str) -> None:
    print("client left", flush=True)


app = socketio.ASGIApp(server)
