"""Quart: the contract of test_frameworks.py."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from quart import Quart, Response, jsonify, request, send_file

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None


@app.before_serving
async def started() -> None:
    app.config["STARTED"] = "yes"


@app.after_serving
async def stopped() -> None:
    print("application stopped", flush=True)


@app.get("/hello")
async def hello() -> Response:
    return jsonify(
        hello=request.args.get("name", "world"),
        path=request.path,
        host=request.host.split(":")[0],
        agent=request.headers["x-agent"],
    )


@app.post("/echo")
async def echo() -> Response:
    async def content() -> AsyncIterator[bytes]:
        async for chunk in body:
            yield chunk

    body = request.body
    return Response(content())


@app.post("/upload")
async def upload() -> Response:
    file = (await request.files)["file"]
    content = file.read()
    return jsonify(name=file.filename, size=len(content), sha256=hashlib.sha256(content).hexdigest())


@app.get("/stream")
async def stream() -> Response:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return Response(lines(), mimetype="text/plain")


@app.get("/cookies")
async def cookies() -> Response:
    response = jsonify(request.cookies)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


@app.get("/error")
async def error() -> Response:
    raise LookupError("the application's own mistake")


@app.get("/file")
async def file() -> Response:
    return await send_file(Path(__file__))


@app.get("/state")
async def state() -> Response:
    return jsonify(started=app.config["STARTED"])
