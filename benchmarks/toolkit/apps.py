"""The same small applications in each toolkit: {case: ASGI application}."""

from typing import Any

BODY = {"message": "Hello, world!", "numbers": [1, 2, 3], "nested": {"a": True}}
OBJECTS = [
    {"id": i, "name": f"berth {i}", "level": i / 4, "tags": ["tide", "quay"], "free": i % 3 == 0}
    for i in range(100)
]
NO_OPS = 3
Apps = dict[str, Any]


async def raw() -> Apps:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"13"), (b"content-type", b"text/plain; charset=utf-8")],
            }
        )
        await send({"type": "http.response.body", "body": b"Hello, world!"})

    def wrap(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> Any:
            await app(scope, receive, send)

        return middleware

    wrapped = app
    for _ in range(NO_OPS):
        wrapped = wrap(wrapped)
    return {"text": app, "3 no-op middlewares": wrapped}


class NoOp:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        await self.app(scope, receive, send)


def starlette_like(application: Any, responses: Any, routing: Any, middleware: Any) -> Apps:
    async def text(request: Any) -> Any:
        return responses.PlainTextResponse("Hello, world!")

    async def data(request: Any) -> Any:
        return responses.JSONResponse(BODY)

    async def objects(request: Any) -> Any:
        return responses.JSONResponse(OBJECTS)

    async def item(request: Any) -> Any:
        return responses.PlainTextResponse(str(request.path_params["id"]))

    async def upload(request: Any) -> Any:
        async with request.form() as form:
            return responses.PlainTextResponse(str(form["file"].size))

    Route = routing.Route
    item_route = Route("/items/{id:int}", item)

    def filler(count: Any) -> Any:
        return [Route(f"/filler{i}/{{name}}/edit", text) for i in range(count)]

    return {
        "text": application(routes=[Route("/", text)]),
        "json": application(routes=[Route("/json", data)]),
        "json, 100 objects": application(routes=[Route("/objects", objects)]),
        "param, only route": application(routes=[item_route]),
        "param, last of 50": application(routes=[*filler(49), item_route]),
        "param, last of 500": application(routes=[*filler(499), item_route]),
        "3 no-op middlewares": application(
            routes=[Route("/", text)], middleware=[middleware(NoOp) for _ in range(NO_OPS)]
        ),
        "upload": application(routes=[Route("/upload", upload, methods=["POST"], max_body_size=200 * 2**20)]),
    }


async def tidegate() -> Apps:
    from tidegate.web import responses, routing
    from tidegate.web.applications import Application
    from tidegate.web.middleware import Middleware

    apps = starlette_like(Application, responses, routing, Middleware)

    async def no_op(request: Any) -> Any:
        yield

    async def text(request: Any) -> Any:
        return responses.PlainTextResponse("Hello, world!")

    apps["3 no-op middlewares"] = Application(
        routes=[routing.Route("/", text)], middleware=[Middleware(no_op) for _ in range(NO_OPS)]
    )
    return apps


async def starlette() -> Apps:
    from starlette import responses, routing
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    return starlette_like(Starlette, responses, routing, Middleware)


async def blacksheep() -> Apps:
    from blacksheep import Application, Request, Router, json, text

    async def build(routes: list[tuple[str, Any]], middlewares: int = 0) -> Any:
        app = Application(router=Router())
        for path, handler in routes:
            app.router.add_get(path, handler)

        async def no_op(request: Any, handler: Any) -> Any:
            return await handler(request)

        for _ in range(middlewares):
            app.middlewares.append(no_op)
        await app.start()
        return app

    def make_text() -> Any:
        async def hello(request: Request) -> Any:
            return text("Hello, world!")

        return hello

    def make_json() -> Any:
        async def data(request: Request) -> Any:
            return json(BODY)

        return data

    def make_objects() -> Any:
        async def objects(request: Request) -> Any:
            return json(OBJECTS)

        return objects

    def make_item() -> Any:
        async def item(request: Request) -> Any:
            return text(str(int(request.route_values["id"])))

        return item

    def filler(count: int) -> list[tuple[str, Any]]:
        return [(f"/filler{i}/:name/edit", make_text()) for i in range(count)]

    return {
        "text": await build([("/", make_text())]),
        "json": await build([("/json", make_json())]),
        "json, 100 objects": await build([("/objects", make_objects())]),
        "param, only route": await build([("/items/:id", make_item())]),
        "param, last of 50": await build([*filler(49), ("/items/:id", make_item())]),
        "param, last of 500": await build([*filler(499), ("/items/:id", make_item())]),
        "3 no-op middlewares": await build([("/", make_text())], NO_OPS),
    }


async def falcon() -> Apps:
    import falcon.asgi

    class Text:
        async def on_get(self, req: Any, resp: Any, **params: Any) -> Any:
            resp.content_type = "text/plain; charset=utf-8"
            resp.text = "Hello, world!"

    class Data:
        async def on_get(self, req: Any, resp: Any) -> Any:
            resp.media = BODY

    class Objects:
        async def on_get(self, req: Any, resp: Any) -> Any:
            resp.media = OBJECTS

    class Item:
        async def on_get(self, req: Any, resp: Any, id: Any) -> Any:
            resp.content_type = "text/plain; charset=utf-8"
            resp.text = str(id)

    class NoOpComponent:
        async def process_request(self, req: Any, resp: Any) -> Any:
            pass

        async def process_response(self, req: Any, resp: Any, resource: Any, req_succeeded: Any) -> Any:
            pass

    def build(routes: Any, middleware: Any = None) -> Any:
        app = falcon.asgi.App(middleware=middleware or [])
        for path, resource in routes:
            app.add_route(path, resource)
        return app

    def filler(count: Any) -> Any:
        return [(f"/filler{i}/{{name}}/edit", Text()) for i in range(count)]

    return {
        "text": build([("/", Text())]),
        "json": build([("/json", Data())]),
        "json, 100 objects": build([("/objects", Objects())]),
        "param, only route": build([("/items/{id:int}", Item())]),
        "param, last of 50": build([*filler(49), ("/items/{id:int}", Item())]),
        "param, last of 500": build([*filler(499), ("/items/{id:int}", Item())]),
        "3 no-op middlewares": build([("/", Text())], [NoOpComponent() for _ in range(NO_OPS)]),
    }


async def litestar() -> Apps:
    from litestar import Litestar, get
    from litestar.middleware import DefineMiddleware

    @get("/", media_type="text/plain")
    async def text() -> str:
        return "Hello, world!"

    @get("/json")
    async def data() -> dict[str, Any]:
        return BODY

    @get("/objects")
    async def objects() -> list[dict[str, Any]]:
        return OBJECTS

    @get("/items/{id:int}", media_type="text/plain")
    async def item(id: int) -> str:
        return str(id)

    def filler(count: Any) -> Any:
        def make(i: Any) -> Any:
            @get(f"/filler{i}/{{name:str}}/edit", media_type="text/plain")
            async def handler(name: str) -> str:
                return "Hello, world!"

            return handler

        return [make(i) for i in range(count)]

    def build(handlers: Any, **options: Any) -> Any:
        return Litestar(handlers, openapi_config=None, logging_config=None, **options)

    return {
        "text": build([text]),
        "json": build([data]),
        "json, 100 objects": build([objects]),
        "param, only route": build([item]),
        "param, last of 50": build([*filler(49), item]),
        "param, last of 500": build([*filler(499), item]),
        "3 no-op middlewares": build([text], middleware=[DefineMiddleware(NoOp) for _ in range(NO_OPS)]),
    }


async def fastapi() -> Apps:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    async def text() -> Any:
        return "Hello, world!"

    async def data() -> Any:
        return BODY

    async def objects() -> Any:
        return OBJECTS

    async def item(id: int) -> Any:
        return str(id)

    def build(routes: Any, middlewares: Any = 0) -> Any:
        app = FastAPI(openapi_url=None)
        for path, endpoint, options in routes:
            app.get(path, **options)(endpoint)
        for _ in range(middlewares):
            app.add_middleware(NoOp)
        return app

    plain = {"response_class": PlainTextResponse}

    def filler(count: Any) -> Any:
        return [(f"/filler{i}/{{name}}/edit", text, plain) for i in range(count)]

    return {
        "text": build([("/", text, plain)]),
        "json": build([("/json", data, {})]),
        "json, 100 objects": build([("/objects", objects, {})]),
        "param, only route": build([("/items/{id}", item, plain)]),
        "param, last of 50": build([*filler(49), ("/items/{id}", item, plain)]),
        "param, last of 500": build([*filler(499), ("/items/{id}", item, plain)]),
        "3 no-op middlewares": build([("/", text, plain)], NO_OPS),
    }


BUILDERS = {
    "raw": raw,
    "tidegate": tidegate,
    "blacksheep": blacksheep,
    "falcon": falcon,
    "starlette": starlette,
    "litestar": litestar,
    "fastapi": fastapi,
}
