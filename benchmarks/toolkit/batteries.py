"""In-process speed of the toolkit's batteries beside the packages that they take the place of; no socket.

    python benchmarks/toolkit/batteries.py [--rounds 5] [--only sse,upload] [--json]

compression: one whole answer of 100 KiB of JSON, microseconds and octets.
sse:         one event to 100 streams, microseconds an event, until each stream has sent it.
upload:      multipart of one file of 100 MiB in pieces of 64 KiB: MiB/s, and Python's peak memory in KiB.
static:      one file of 20 KiB that lies there compressed, microseconds.

Every round runs everything in turn, so that noise meets all alike; each figure is the best of its rounds. What is not
installed is left out.
"""

import argparse
import asyncio
import gc
import gzip
import json
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

STREAMS = 100
EVENTS = 200
UPLOAD = 100 * 2**20
PIECE = 64 * 1024
OBJECTS = [
    {"id": i, "name": f"berth {i}", "tags": ["tide", "quay"], "level": i * 0.37, "free": i % 3 == 0}
    for i in range(1300)
]
BODY = json.dumps(OBJECTS).encode()[: 100 * 1024]
Measure = Callable[[], Awaitable[dict[str, float]]]
Cases = dict[str, Measure]


def scope_for(method: str = "GET", path: str = "/", **headers: str) -> dict[str, Any]:
    fields = [(b"host", b"example.org"), (b"user-agent", b"bench")]
    fields += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": fields,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
        "state": {},
    }


async def timed(app: Any, scope: dict[str, Any], calls: int, coding: str | None = None) -> dict[str, float]:
    """Microseconds of one call of `app`, and the octets of its body, which must be in `coding`."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(dict(scope), receive, send)
    assert sent[0]["status"] == 200, sent
    assert coding is None or dict(sent[0]["headers"])[b"content-encoding"].decode() == coding, sent[0]
    octets = sum(len(message.get("body", b"")) for message in sent)

    async def nowhere(message: Any) -> None:
        pass

    gc.collect()
    gc.disable()
    started = time.perf_counter()
    for _ in range(calls):
        await app(dict(scope), receive, nowhere)
    elapsed = time.perf_counter() - started
    gc.enable()
    return {"us": elapsed / calls * 1e6, "octets": octets}


# Compression


def compression() -> Iterator[tuple[str, Measure]]:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    def case(name: str, app: Any, coding: str) -> tuple[str, Measure]:
        return name, lambda: timed(app, scope_for(accept_encoding=coding), 50, coding)

    from tidegate.web.middleware.compression import CompressionMiddleware
    from tidegate.web.middleware.gzip import GZipMiddleware

    own = CompressionMiddleware(plain)
    for coding in own.codings:
        yield case(f"tidegate {coding} {own.levels[coding]}", own, coding)
    yield case("tidegate gzip 9", GZipMiddleware(plain), "gzip")
    try:
        from starlette.middleware.gzip import GZipMiddleware as Starlettes

        yield case("starlette gzip 6", Starlettes(plain, compresslevel=6), "gzip")
        yield case("starlette gzip 9", Starlettes(plain), "gzip")
    except ImportError as error:
        left_out(error)
    try:
        from brotli_asgi import BrotliMiddleware

        yield case("brotli-asgi br 4", BrotliMiddleware(plain), "br")
    except ImportError as error:
        left_out(error)


# Server-Sent Events


async def fan_out(response_for: Callable[[], Any], publish: Callable[[str], Any]) -> dict[str, float]:
    """`publish` gives one event to all the streams that `response_for` has made."""
    got = 0
    opened = 0
    changed = asyncio.Event()
    wanted = 0

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal got, opened
        if message["type"] == "http.response.start":
            opened += 1
        got += message.get("body", b"").count(b"data: ")
        if got >= wanted:
            changed.set()

    tasks = [asyncio.create_task(response_for()(scope_for(), receive, send)) for _ in range(STREAMS)]
    while opened < STREAMS:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # so that all wait for their first event
    started = time.perf_counter()
    for number in range(EVENTS):
        wanted = (number + 1) * STREAMS
        changed.clear()
        publish(f"the tide is {number}")
        await changed.wait()
    elapsed = time.perf_counter() - started
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert got == EVENTS * STREAMS
    return {"us": elapsed / EVENTS * 1e6}


def sse() -> Iterator[tuple[str, Measure]]:
    from tidegate.web.sse import Channel, EventSourceResponse

    async def own() -> dict[str, float]:
        channel = Channel()
        return await fan_out(lambda: EventSourceResponse(channel.subscribe()), channel.publish)

    yield "tidegate", own
    try:
        from sse_starlette import EventSourceResponse as Theirs
    except ImportError as error:
        left_out(error)
        return

    async def theirs() -> dict[str, float]:
        """As its documentation does it: a queue for each stream."""
        queues: list[asyncio.Queue[str]] = []

        def response() -> Any:
            queue: asyncio.Queue[str] = asyncio.Queue(100)
            queues.append(queue)

            async def events() -> Any:
                while True:
                    yield {"data": await queue.get()}

            return Theirs(events())

        def publish(text: str) -> None:
            for queue in queues:
                queue.put_nowait(text)

        return await fan_out(response, publish)

    yield "sse-starlette", theirs


# Uploads

BOUNDARY = b"boundary0123456789abcdef"
HEAD = (
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)


async def uploaded(app: Any) -> dict[str, float]:
    piece = os.urandom(PIECE)

    async def run() -> float:
        pieces = iter([HEAD, *[piece] * (UPLOAD // PIECE), b"\r\n--" + BOUNDARY + b"--\r\n"])

        async def receive() -> Any:
            data = next(pieces, None)
            return {"type": "http.request", "body": data or b"", "more_body": data is not None}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = scope_for("POST", content_type="multipart/form-data; boundary=" + BOUNDARY.decode())
        started = time.perf_counter()
        await app(scope, receive, send)
        elapsed = time.perf_counter() - started
        assert b"".join(message.get("body", b"") for message in sent) == b"%d" % UPLOAD
        return elapsed

    elapsed = await run()
    tracemalloc.start()
    await run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"MiB/s": UPLOAD / 2**20 / elapsed, "KiB": peak / 1024}


def upload() -> Iterator[tuple[str, Measure]]:
    from tidegate.web.requests import Request
    from tidegate.web.responses import PlainTextResponse

    async def parts(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        async for part in Request(scope, receive).parts():
            async for data in part:
                size += len(data)
        await PlainTextResponse(str(size))(scope, receive, send)

    async def saved(scope: Any, receive: Any, send: Any) -> None:
        with tempfile.TemporaryFile() as file:
            async for part in Request(scope, receive).parts():
                size = await part.save(file)
        await PlainTextResponse(str(size))(scope, receive, send)

    async def form(scope: Any, receive: Any, send: Any) -> None:
        async with Request(scope, receive).form() as form:
            await PlainTextResponse(str(form["file"].size))(scope, receive, send)

    yield "tidegate parts()", lambda: uploaded(parts)
    yield "tidegate save()", lambda: uploaded(saved)
    yield "tidegate form()", lambda: uploaded(form)
    try:
        from python_multipart import MultipartParser
    except ImportError as error:
        left_out(error)
    else:

        async def callbacks(scope: Any, receive: Any, send: Any) -> None:
            size = 0

            def on_part_data(data: bytes, start: int, end: int) -> None:
                nonlocal size
                size += len(data[start:end])

            parser = MultipartParser(BOUNDARY, {"on_part_data": on_part_data})
            more_body = True
            while more_body:
                message = await receive()
                parser.write(message["body"])
                more_body = message["more_body"]
            parser.finalize()
            await PlainTextResponse(str(size))(scope, receive, send)

        yield "python-multipart", lambda: uploaded(callbacks)
    try:
        from starlette.requests import Request as Theirs
    except ImportError as error:
        left_out(error)
    else:

        async def starlettes(scope: Any, receive: Any, send: Any) -> None:
            async with Theirs(scope, receive).form() as form:
                await PlainTextResponse(str(form["file"].size))(scope, receive, send)

        yield "starlette form()", lambda: uploaded(starlettes)


# Static files

DIRECTORY = tempfile.TemporaryDirectory()


def static() -> Iterator[tuple[str, Measure]]:
    root = Path(DIRECTORY.name)
    (root / "app.js").write_bytes(BODY[: 20 * 1024])
    (root / "app.js.gz").write_bytes(gzip.compress(BODY[: 20 * 1024]))

    def case(name: str, app: Any, path: str, coding: str | None) -> tuple[str, Measure]:
        return name, lambda: timed(app, scope_for(path=path, accept_encoding="gzip"), 300, coding)

    from tidegate.web.staticfiles import StaticFiles

    yield case(
        "tidegate", StaticFiles(directory=root, precompressed=["gzip"], immutable=True), "/app.js", "gzip"
    )
    yield case("tidegate, not compressed", StaticFiles(directory=root), "/app.js", None)
    try:
        from blacknoise import BlackNoise

        noise = BlackNoise(None)
        noise.add(root, "/static")
        yield case("blacknoise", noise, "/static/app.js", "gzip")
    except ImportError as error:
        left_out(error)
    try:
        from whitenoise import WhiteNoise

        async def whitenoise() -> dict[str, float]:
            """A WSGI application, called as such: no ASGI between."""
            app = WhiteNoise(None, root=str(root), prefix="static")
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/static/app.js", "HTTP_ACCEPT_ENCODING": "gzip"}
            calls, found = 300, [b""]
            started = time.perf_counter()
            for _ in range(calls):
                answer = app(environ, lambda status, headers: None)
                found = list(answer)
                answer.close()
            elapsed = time.perf_counter() - started
            return {"us": elapsed / calls * 1e6, "octets": len(b"".join(found))}

        yield "whitenoise (WSGI)", whitenoise
    except ImportError as error:
        left_out(error)
    try:
        from starlette.staticfiles import StaticFiles as Theirs

        yield case("starlette, not compressed", Theirs(directory=root), "/app.js", None)
    except ImportError as error:
        left_out(error)


def left_out(error: ImportError) -> None:
    print(f"left out: {error}", file=sys.stderr)


GROUPS = {"compression": compression, "sse": sse, "upload": upload, "static": static}


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cases = {group: dict(GROUPS[group]()) for group in args.only.split(",")}
    best: dict[str, dict[str, dict[str, float]]] = {group: {} for group in cases}
    for _ in range(args.rounds):
        for group, measures in cases.items():
            for name, measure in measures.items():
                figures = await measure()
                kept = best[group].setdefault(name, figures)
                for unit, value in figures.items():
                    kept[unit] = (max if unit == "MiB/s" else min)(kept[unit], value)
    if args.json:
        print(json.dumps(best, indent=1))
        return
    for group, named in best.items():
        print(group)
        for name, figures in named.items():
            print(f"  {name:26}" + "".join(f"{value:12.0f} {unit}" for unit, value in figures.items()))


asyncio.run(main())
