"""The application of the tests that need a process of its own: each path misbehaves, or takes its time, in its way."""

import asyncio
import json
import os
import time

STARTED = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await PATHS[scope["path"]](scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            print("startup", flush=True)
            await asyncio.sleep(float(os.environ.get("SLOW_STARTUP", "0")))
            if os.environ.get("FAIL_STARTUP"):
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            print("shutdown begins", flush=True)
            await asyncio.sleep(float(os.environ.get("SLOW_SHUTDOWN", "0")))
            if os.environ.get("FAIL_SHUTDOWN"):
                await send({"type": "lifespan.shutdown.failed", "message": "not saved"})
                return
            print("shutdown complete", flush=True)
            await send({"type": "lifespan.shutdown.complete"})
            return


async def respond(send, body, status=200):
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def index(scope, receive, send):
    await respond(send, b"ok")


async def leave(scope, receive, send):
    raise SystemExit(3)


async def interrupt(scope, receive, send):
    raise KeyboardInterrupt


async def status_42(scope, receive, send):
    await respond(send, b"x", 42)


async def status_999999(scope, receive, send):
    await respond(send, b"x", 999999)


async def gibibyte(scope, receive, send):
    """1 GiB, as fast as `send` takes it, in the chunk size of the query string."""
    chunk = bytes(int(scope["query_string"] or b"65536"))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (1 << 30))]}
    )
    left = 1 << 30
    while left:
        left -= len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})


async def upload(scope, receive, send):
    """Counts what comes, with a pause of 0.1 s before each of the first ten messages."""
    count = messages = 0
    more = True
    while more:
        if messages < 10:
            await asyncio.sleep(0.1)
        message = await receive()
        assert message["type"] == "http.request", message
        count += len(message["body"])
        messages += 1
        more = message["more_body"]
    await respond(send, b"%d" % count)


async def events(scope, receive, send):
    """An endless stream that notices nothing."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    try:
        while True:
            await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
            await asyncio.sleep(0.02)
    except OSError:
        print("stream saw the disconnect", flush=True)
        raise


async def deaf(scope, receive, send):
    """Waits, whatever happens, until it is cancelled."""
    await receive()
    try:
        while True:
            await receive()
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        print("deaf was cancelled", flush=True)
        raise


async def stubborn(scope, receive, send):
    """Does not even end when it is cancelled."""
    await receive()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("stubborn was cancelled", flush=True)


async def slow(scope, receive, send):
    """Answers after the seconds of the query string."""
    print("slow begins", flush=True)
    await asyncio.sleep(float(scope["query_string"]))
    await respond(send, b"slow")


async def polite(scope, receive, send):
    """A stream that ends well when shutdown begins."""
    notice = scope["extensions"]["tidegate.shutdown"]["notice"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello ", "more_body": True})
    await notice.wait()
    assert notice.is_set()
    await send({"type": "http.response.body", "body": b"goodbye"})


async def memory(scope, receive, send):
    """Octets of resident memory, by the process itself."""
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    await respond(send, json.dumps(resident).encode())


PATHS = {
    "/": index,
    "/exit": leave,
    "/interrupt": interrupt,
    "/status-42": status_42,
    "/status-999999": status_999999,
    "/gibibyte": gibibyte,
    "/upload": upload,
    "/events": events,
    "/deaf": deaf,
    "/stubborn": stubborn,
    "/slow": slow,
    "/polite": polite,
    "/memory": memory,
}
