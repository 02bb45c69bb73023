"""Flask, a WSGI framework: the contract of test_frameworks.py, as far as WSGI goes."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, jsonify, request, send_file

app = Flask(__name__)


@app.get("/hello")
def hello() -> Response:
    return jsonify(
        hello=request.args.get("name", "world"),
        path=request.path,
        host=request.host.split(":")[0],
        agent=request.headers["x-agent"],
    )


@app.post("/echo")
def echo() -> Response:
    stream = request.stream

    def content() -> Iterator[bytes]:
        while chunk := stream.read(16384):
            yield chunk

    return Response(content())


@app.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    content = file.read()
    return jsonify(name=file.filename, size=len(content), sha256=hashlib.sha256(content).hexdigest())


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        for number in range(5):
            yield f"{number}\n"
            time.sleep(0.05)

    return Response(lines(), mimetype="text/plain")


@app.get("/cookies")
def cookies() -> Response:
    response = jsonify(request.cookies)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


@app.get("/error")
def error() -> Response:
    raise LookupError("the application's own mistake")


@app.get("/file")
def file() -> Response:
    return send_file(Path(__file__))


@app.get("/endless")
def endless() -> Response:
    def lines() -> Iterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                time.sleep(0.01)
        finally:
            print("stream closed", flush=True)

    return Response(lines(), mimetype="text/plain")


@app.get("/octets/<path:rest>")
def octets(rest: str) -> bytes:
    return request.environ["PATH_INFO"].encode("latin-1")


@app.get("/form")
def form() -> Response:
    return jsonify(script=request.script_root, url=request.url)
