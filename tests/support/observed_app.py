"""What the tests of metrics, traces and the admin address serve."""

import asyncio
import os
import time
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.sleep(float(os.environ.get("SLOW_START", "0")))
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/refuse":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        return
    path, query = scope["path"], scope["query_string"].decode()
    if path == "/raise":
        raise LookupError("raised on purpose")
    if path == "/nothing":
        return
    if path == "/block":
        time.sleep(float(query))
    elif path == "/sleep":
        await asyncio.sleep(float(query))
    body = os.getpid().to_bytes(4, "big").hex().encode()
    if path == "/echo":
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
    status = int(query) if path == "/status" else 200
    headers = [(b"content-length", b"%d" % len(body))]
    if path == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
