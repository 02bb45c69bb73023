"""The applications of the tests with real processes."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

GENERATION = Path(os.environ.get("GENERATION", "/dev/null"))
IMPORTED_BY = os.getpid()
VERSION = GENERATION.read_text().strip() if GENERATION.is_file() else ""
if VERSION == "broken":
    raise RuntimeError("this version is broken")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup" and VERSION == "slow":
                await asyncio.sleep(60)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                print(f"lifespan of {os.getpid()} ends", flush=True)
                return
    path, query = scope["path"], scope["query_string"].decode()
    if path == "/block":
        print("blocking begins", flush=True)
        time.sleep(float(query))
    elif path == "/sleep":
        print("sleeping begins", flush=True)
        await asyncio.sleep(float(query))
    elif path == "/grow":
        scope["state"]["grown"] = GROWN.append(b"x" * int(query))
    answer = {
        "/version": VERSION,
        "/imported": str(IMPORTED_BY),
        "/ids": f"{os.getuid()} {os.getgid()} {umask():03o}",
    }
    body = answer.get(path, str(os.getpid())).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(body)), (b"x-pid", b"%d" % os.getpid())],
        }
    )
    await send({"type": "http.response.body", "body": body})


GROWN: list[bytes] = []


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
