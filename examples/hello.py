"""A first application: `tidegate --app-dir examples hello:app`, then open http://127.0.0.1:8000.

Plain ASGI, with nothing but the specification: a page, JSON about the request, a stream of events, an echo.
"""

import asyncio
import json

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello</title>
<h1>Hello</h1>
<p><a href="scope">This request</a>, as the application sees it.</p>
<p>A stream that ends well when the server stops: <output>waiting for the tide</output></p>
<p><code>curl -T file http://127.0.0.1:8000/echo</code> streams the file back.</p>
<script>
  const source = new EventSource("events")
  source.onmessage = event => document.querySelector("output").textContent = event.data
</script>
</html>
"""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        # Where it is mounted, `path` begins with what it is mounted at.
        page = PAGES.get(scope["path"].removeprefix(scope["root_path"]), not_found)
        await page(scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def respond(send, body, content_type, status=200):
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def home(scope, receive, send):
    await respond(send, PAGE, b"text/html; charset=utf-8")


async def show_scope(scope, receive, send):
    def plain(value):
        return value.decode("latin-1") if isinstance(value, bytes) else repr(value)

    shown = {key: value for key, value in scope.items() if isinstance(value, str | bytes)}
    shown.update((key, scope[key]) for key in ("asgi", "headers", "client", "server"))
    shown["extensions"] = sorted(scope.get("extensions", ()))
    await respond(send, json.dumps(shown, default=plain, indent=2).encode(), b"application/json")


async def echo(scope, receive, send):
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def events(scope, receive, send):
    """Server-sent events until the client goes, or the server begins to shut down."""
    shutdown = scope.get("extensions", {}).get("tidegate.shutdown")
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    tide = "▁▂▃▅▆▇▆▅▃▂"
    step = 0
    while shutdown is None or not shutdown["notice"].is_set():
        step += 1
        line = "".join(tide[(step + place) % len(tide)] for place in range(12))
        await send(
            {"type": "http.response.body", "body": f"data: {line} {step}\n\n".encode(), "more_body": True}
        )
        await asyncio.sleep(0.5)
    await send({"type": "http.response.body", "body": b""})


async def not_found(scope, receive, send):
    await respond(send, b"There is nothing here.\n", b"text/plain", 404)


PAGES = {"/": home, "/scope": show_scope, "/echo": echo, "/events": events}
