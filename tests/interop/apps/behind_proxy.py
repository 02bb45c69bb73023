"""What the tests behind HAProxy and nginx ask: where a request came from, uploads, a health check, a WebSocket."""

import asyncio
import hashlib
import json
import os

HEALTHY = [True]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        await PATHS[scope["path"]](scope, receive, send)


async def lifespan(receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def origin(scope):
    return {
        "client": scope["client"],
        "scheme": scope["scheme"],
        "host": [value.decode() for name, value in scope["headers"] if name == b"host"],
        "pid": os.getpid(),
    }


async def respond(send, value, status=200):
    body = json.dumps(value).encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def index(scope, receive, send):
    await asyncio.sleep(0.005)
    await respond(send, origin(scope))


async def upload(scope, receive, send):
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        digest.update(message["body"])
        size += len(message["body"])
        more = message["more_body"]
    await respond(send, {"sha256": digest.hexdigest(), "size": size})


async def health(scope, receive, send):
    await respond(send, HEALTHY[0], 200 if HEALTHY[0] else 503)


async def switch(scope, receive, send):
    HEALTHY[0] = not HEALTHY[0]
    await respond(send, HEALTHY[0])


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(origin(scope))})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})


PATHS = {"/": index, "/upload": upload, "/healthz": health, "/switch": switch}
