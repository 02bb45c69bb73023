"""Applications as textbooks write them: straight from the specification, with no framework in front."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


async def hello(scope, receive, send):
    """Hello world as the ASGI documentation has it: asserts the scope, lists of lists for headers."""
    assert scope["type"] == "http"
    assert scope["method"] == "GET"
    event = await receive()
    assert event == {"type": "http.request", "body": b"", "more_body": False}
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


async def lifespan_loop(scope, receive, send):
    """The loop of the lifespan specification, to the letter."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                print("textbook startup", flush=True)
                scope["state"]["counter"] = [0]
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                print("textbook shutdown", flush=True)
                await send({"type": "lifespan.shutdown.complete"})
                return
    else:
        scope["state"]["counter"][0] += 1
        scope["state"]["mine"] = "gone with the request"
        body = f"{sorted(scope['state'])} {scope['state']['counter'][0]}".encode()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})


async def read_body(receive):
    """The specification's own helper."""
    body = b""
    more_body = True
    while more_body:
        message = await receive()
        body += message.get("body", b"")
        more_body = message.get("more_body", False)
    return body


async def echo(scope, receive, send):
    body = await read_body(receive)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": ((name, value) for name, value in [(b"Content-Length", str(len(body)).encode())]),
        }
    )
    await send({"type": "http.response.body", "body": body})


response_alone = PlainTextResponse("a Response is an application")


def _page(request):
    return Response(b"from within", headers={"X-Inner": "1"})


framework = Starlette(routes=[Route("/", _page)])


async def wrapped(scope, receive, send):
    """A framework wrapped by a plain async function, as hand-written middleware does."""

    async def send_with_header(message):
        if message["type"] == "http.response.start":
            message["headers"].append((b"X-Outer", b"1"))
        await send(message)

    await framework(scope, receive, send_with_header)


class Instance:
    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        await PlainTextResponse("an object")(scope, receive, send)


instance = Instance()


def create():
    """A factory (--factory)."""
    return hello


class DoubleCallable:
    """ASGI 2: the class is the application."""

    def __init__(self, scope):
        assert scope["type"] == "http"
        self.scope = scope

    async def __call__(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.scope["asgi"]["version"].encode()})


def wsgi(environ, start_response):
    """Hello world as PEP 3333 has it."""
    start_response("200 OK", [("Content-type", "text/plain")])
    return [b"Hello world!\n"]
