"""Writes down the id of each POST that it answers, so that what is lost or done twice can be counted."""

import asyncio
import os

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    content, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        content += message["body"]
        more = message["more_body"]
    if scope["method"] == "POST":
        name, _, rest = content.partition(b" ")
        os.write(LEDGER, b"%s %d %d\n" % (name, os.getpid(), len(rest)))
        await asyncio.sleep(int(name) % 7 * 0.01)
        content = name
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]}
    )
    await send({"type": "http.response.body", "body": content})
