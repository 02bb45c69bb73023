"""A first application: `tidegate --app-dir examples hello:app`, then open http://127.0.0.1:8000.

Plain ASGI, with nothing but the specification: a page, JSON about the request, a stream of events, an echo.
"""

import asyncio
import json

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidegate</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
%3Crect width='32' height='32' rx='7' fill='%230b3c5d'/%3E%3Cpath d='M4 19c4-5 8-5 12 0s8 5 12 0' \
fill='none' stroke='%2393e1d8' stroke-width='4' stroke-linecap='round'/%3E%3C/svg%3E">
<style>
  :root { color-scheme: light dark; --ink: #10222e; --soft: #4d6675; --sea: #0b6e8f; --foam: #f4fafb; --line: #d5e4e8 }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6f1f4; --soft: #9db4bf; --sea: #7fd6e0; --foam: #0a1a22; --line: #1f3a46 }
  }
  * { box-sizing: border-box }
  body { margin: 0; background: var(--foam); color: var(--ink); font: 17px/1.6 system-ui, sans-serif }
  main { max-width: 44rem; margin: 0 auto; padding: 4.5rem 1.5rem 3rem }
  h1 { font-size: 3rem; line-height: 1.1; letter-spacing: -.03em; margin: 0 0 .75rem }
  p.lead { font-size: 1.25rem; color: var(--soft); margin: 0 0 2.5rem; max-width: 36rem }
  ul { list-style: none; margin: 0 0 2.5rem; padding: 0; border-top: 1px solid var(--line) }
  li { display: flex; gap: 1.5rem; padding: .8rem 0; border-bottom: 1px solid var(--line) }
  li b { flex: 0 0 9rem }
  li span { color: var(--soft) }
  a { color: var(--sea) }
  code { font: .88em ui-monospace, monospace }
  output { font-variant-numeric: tabular-nums; color: var(--sea) }
  svg { display: block; width: 100%; height: 5.5rem; position: fixed; bottom: 0; z-index: -1 }
  path { fill: var(--sea); opacity: .16; animation: swell 9s ease-in-out infinite alternate }
  path + path { animation-duration: 13s; opacity: .1 }
  @keyframes swell { to { transform: translateX(-12%) } }
  @media (prefers-reduced-motion: reduce) { path { animation: none } }
  @media (max-width: 32rem) { li { display: block } li b { display: block } }
</style>
<main>
  <h1>Tidegate is running.</h1>
  <p class="lead">An ASGI server for Python: strict on the wire, bounded in everything it holds, fast per core,
    and nothing lost when things go wrong.</p>
  <ul>
    <li><b><a href="/scope">/scope</a></b> <span>this request, as your application sees it</span></li>
    <li><b><a href="/events">/events</a></b>
      <span>a stream that ends well when the server stops: <output>waiting for the tide</output></span></li>
    <li><b>/echo</b> <span><code>curl -T file http://127.0.0.1:8000/echo</code> streams it back</span></li>
  </ul>
  <p>Serve your own: <code>tidegate main:app</code>. FastAPI, Django, Starlette, Litestar and Quart run unchanged,
    Flask through WSGI. <code>tidegate --help</code> lists every limit and timeout with its default.</p>
</main>
<svg viewBox="0 0 1440 90" preserveAspectRatio="none" aria-hidden="true">
  <path d="M0 40c180-50 360 50 540 10s360-40 540 0 360 40 720-10v90H0z"/>
  <path d="M0 60c240-40 420 30 660 0s420-40 660 0 240 20 480 0v60H0z"/>
</svg>
<script>
  const source = new EventSource("/events")
  source.onmessage = event => document.querySelector("output").textContent = event.data
</script>
</html>
"""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        page = PAGES.get(scope["path"], not_found)
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

    await respond(send, json.dumps(scope, default=plain, indent=2).encode(), b"application/json")


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
    shutdown = scope["extensions"].get("tidegate.shutdown")
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
