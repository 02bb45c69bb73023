"""All the examples on one page: what `make run` serves on http://127.0.0.1:8000."""

import chat
import forms
import hello
import json_api
import login
import mounted
import static_site
import ticker
from pages import page, protection

from tidegate.web.applications import Application
from tidegate.web.requests import Request
from tidegate.web.responses import Response
from tidegate.web.routing import Mount, Route

EXAMPLES = {
    "hello": ("Hello", "plain ASGI: the request as an application sees it, a stream, an echo", hello.app),
    "api/notes": ("JSON API", "notes, checked as they come in; errors are problem+json", json_api.app),
    "forms": ("Forms", "templates, and uploads that go to the disk piece by piece", forms.app),
    "chat": ("Chat", "WebSockets: open it twice", chat.app),
    "ticker": ("Ticker", "server-sent events that nobody misses", ticker.app),
    "site": ("Static site", "a directory, with names that browsers keep for a year", static_site.app),
    "mounted": ("Mounted", "applications in an application: the toolkit's, ASGI's, WSGI's", mounted.app),
    "login": ("Login", "sessions in a store, and what protects them", login.app),
}


async def home(request: Request) -> Response:
    examples = [
        (path if "/" in path else f"{path}/", title, text) for path, (title, text, _) in EXAMPLES.items()
    ]
    return page(request, "index.html", examples=examples)


app = Application(
    routes=[
        Route("/", home, middleware=[protection]),
        *(Mount(f"/{path.partition('/')[0]}", app) for path, (_, _, app) in EXAMPLES.items()),
    ]
)
