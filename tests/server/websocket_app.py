"""WebSockets for the tests that need a process of their own."""

import asyncio
import sys
import time


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
    print(f"{who} left with {message['code']} {message['reason']!r} within {sys.exc_info()[1]}", flush=True)


async def flood(scope, receive, send):
    await receive()
    while True:
        await send({"type": "websocket.send", "bytes": bytes(65536)})


async def sizes(scope, receive, send):
    """Answer each message with its size."""
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": str(len(message["bytes"]))})


async def deaf(scope, receive, send):
    """Neither receive nor send."""
    await asyncio.sleep(60)


async def turns(scope, receive, send):
    """Hold the event loop for a while, then answer a message with the turns that the loop took to read it."""
    loop = asyncio.get_running_loop()
    count = 0

    def turn():
        nonlocal count
        count += 1
        if not received.done():
            loop.call_soon(turn)

    time.sleep(0.5)
    received = asyncio.ensure_future(receive())
    turn()
    await received
    await send({"type": "websocket.send", "text": f"{count:08}turns"})


async def close(scope, receive, send):
    await send({"type": "websocket.close"})
    await receive()


PATHS = {
    "/close": close,
    "/deaf": deaf,
    "/echo": echo,
    "/flood": flood,
    "/late": late,
    "/sizes": sizes,
    "/turns": turns,
    "/watch": watch,
}
