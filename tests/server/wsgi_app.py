"""A WSGI application whose steps the test sees in the server's log, and lets go on by /go."""

import threading
import time

go = threading.Event()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    print("called:", path, flush=True)
    if path == "/go":
        go.set()
    content = b""
    if path.startswith("/read"):
        content = environ["wsgi.input"].read()
        print("read:", len(content), flush=True)
    if path.endswith("/wait"):
        wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/blocks":
        return blocks()
    if path == "/stream":
        return endless()
    return [b"%d octets" % len(content)]


def wait():
    go.clear()
    print("waiting", flush=True)
    go.wait(10)


def blocks():
    yield b"one "
    wait()
    yield b"two "
    yield b"three"


def endless():
    try:
        yield b"first"
        while True:
            time.sleep(0.01)
            yield b"tick"
    finally:
        print("stream closed", flush=True)
