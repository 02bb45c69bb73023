import asyncio

from tests.support.asgi import Exchange, http_scope
from tidegate.gateway.asgi2 import ASGI2Application


def test_calls_the_scope_first_and_then_the_instance():
    class Application:
        def __init__(self, scope):
            self.scope = scope

        async def __call__(self, receive, send):
            message = await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": self.scope["path"].encode() + message["body"]})

    exchange = asyncio.run(Exchange(http_scope(path="/two"), [b"!"]).run(ASGI2Application(Application)))
    assert exchange.body == b"/two!"


def test_the_scope_says_version_2_and_the_servers_own_is_left_alone():
    scopes = []

    def application(scope):
        scopes.append(scope)

        async def instance(receive, send):
            scope["state"]["seen"] = True

        return instance

    scope = http_scope()
    asyncio.run(Exchange(scope).run(ASGI2Application(application)))
    assert scopes[0]["asgi"] == {"version": "2.0", "spec_version": "2.5"}
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["state"] == {"seen": True}
