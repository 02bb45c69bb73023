"""A WSGI application whose steps the test sees in the server's log, and lets go on by /go."""

import os
import threading
import time

go = threading.Event()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    say(f"called: {path}")
    if path == "/go":
        go.set()
    content = b""
    if path.startswith("/read"):
        content = environ["wsgi.input"].read()
        say(f"read: {len(content)}")
    if path.endswith("/wait"):
        wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/blocks":
        return blocks()
    if path == "/stream":
        return endless()
    return [b"%d octets" % len(content)]


def say(line):
    os.write(1, f"{line}\n".encode())  # as a whole, from whichever thread


def wait():
    go.clear()
    say("waiting")
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
        say("stream closed")
