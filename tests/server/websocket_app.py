"""WebSockets for the tests that need a process of their own."""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await PATHS[scope["path"]](scope, receive, send)


async def echo(scope, receive, send):
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


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


PATHS = {"/echo": echo, "/watch": watch, "/flood": flood, "/close": close}
