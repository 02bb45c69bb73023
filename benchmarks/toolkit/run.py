"""In-process speed of ASGI toolkits: microseconds for one call of `app(scope, receive, send)`, no socket.

    python benchmarks/toolkit/run.py [--rounds 5] [--calls 10000] [--only tidegate,starlette] [--upload]

Every round runs every toolkit in turn, so that noise meets all alike; each figure is the best of its rounds.
A toolkit that is not installed is left out.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import apps

CASES = {
    "text": "/",
    "json": "/json",
    "json, 100 objects": "/objects",
    "param, only route": "/items/7",
    "param, last of 50": "/items/7",
    "param, last of 500": "/items/7",
    "3 no-op middlewares": "/",
}
HEADERS = [
    (b"host", b"example.org"),
    (b"user-agent", b"bench"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
]


def scope_for(
    path: str, method: str = "GET", headers: list[tuple[bytes, bytes]] = HEADERS
) -> dict[str, object]:
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
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
    }


async def time_calls(app: Any, path: str, calls: int) -> float:
    template = scope_for(path)
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(dict(template), receive, send)
    assert messages[0]["status"] == 200, messages
    messages.clear()

    async def send_nowhere(message: Any) -> None:
        pass

    for _ in range(200):
        await app(dict(template), receive, send_nowhere)
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    for _ in range(calls):
        await app(dict(template), receive, send_nowhere)
    elapsed = time.perf_counter() - started
    gc.enable()
    return elapsed / calls * 1e6


async def upload(app: Any, size: int) -> tuple[float, int]:
    """MiB/s of a multipart upload of `size` octets in pieces of 64 KiB, and Python's peak memory in KiB."""
    boundary = b"boundary0123456789abcdef"
    head = (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    piece = os.urandom(65536)

    async def run() -> float:
        pieces = iter([head, *[piece] * (size // len(piece)), b"\r\n--" + boundary + b"--\r\n"])

        async def receive() -> Any:
            data = next(pieces, None)
            if data is None:
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": data, "more_body": True}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        content_type = b"multipart/form-data; boundary=" + boundary
        started = time.perf_counter()
        scope = scope_for("/upload", "POST", [*HEADERS, (b"content-type", content_type)])
        await app(scope, receive, send)
        elapsed = time.perf_counter() - started
        assert b"".join(m.get("body", b"") for m in sent).decode() == str(size), sent
        return elapsed

    best = min([await run() for _ in range(3)])
    tracemalloc.start()
    await run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / 2**20 / best, peak // 1024


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10000)
    parser.add_argument("--only", default="")
    parser.add_argument("--upload", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    only = set(filter(None, args.only.split(",")))
    built = {}
    for name, build in apps.BUILDERS.items():
        if not only or name in only:
            try:
                built[name] = await build()
            except ImportError as error:
                print(f"{name}: left out ({error})", file=sys.stderr)
    if args.upload:
        for name, cases in built.items():
            if "upload" in cases:
                rate, peak = await upload(cases["upload"], 100 * 2**20)
                print(f"{name:12} {rate:7.0f} MiB/s, {peak} KiB at most")
        return
    best: dict[str, dict[str, float]] = {name: {} for name in built}
    for _ in range(args.rounds):
        for case, path in CASES.items():
            for name, cases in built.items():
                if case in cases:
                    figure = await time_calls(cases[case], path, args.calls)
                    best[name][case] = min(best[name].get(case, figure), figure)
    if args.json:
        print(json.dumps(best, indent=1))
        return
    print(f"{'us/request':12}" + "".join(f"{case:>22}" for case in CASES))
    for name, figures in best.items():
        print(f"{name:12}" + "".join(f"{figures.get(case, float('nan')):22.2f}" for case in CASES))


asyncio.run(main())
