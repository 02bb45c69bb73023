"""WebSockets for the tests that need a process of their own."""

import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await PATHS[scope["path"]](scope, receive, send)


async def echo(scope, receive, send):
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def late(scope, receive, send):
    """Begin to read when the client has said all, and answer each message with its length."""
    await asyncio.sleep(0.3)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": str(len(message["text"]))})


async def watch(scope, receive, send):
    """Say who left, and how."""
    while (message := await receive())["type"] == "websocket.receive":
        pass
    who = scope["query_string"].decode()
    print(f"{who} left with {message['code']} {message['reason']!r}", flush=True)


async def flood(scope, receive, send):
    await receive()
    while True:
        await send({"type": "websocket.send", "bytes": bytes(65536)})


async def close(scope, receive, send):
    await send({"type": "websocket.close"})
    await receive()


PATHS = {"/echo": echo, "/late": late, "/watch": watch, "/flood": flood, "/close": close}
