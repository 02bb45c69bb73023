"""WebSockets of the frameworks that people use, with the clients that people use."""

import asyncio
import contextlib
import json

import pytest
import socketio
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.process import ServerProcess, eventually, start_server


@contextlib.contextmanager
def serve(app_dir, app):
    with start_server("--no-access-log", app=f"{app}:app", app_dir=app_dir) as server:
        yield server


@pytest.fixture(scope="module")
def fastapi(app_dir):
    with serve(app_dir, "websocket_fastapi") as server:
        yield server


def converse(server: ServerProcess, path: str, conversation, **options) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(30),
            open_websocket(
                f"ws://{server.host}:{server.port}{path}", proxy=None, max_size=None, **options
            ) as client,
        ):
            await conversation(client)

    asyncio.run(main())


@pytest.mark.parametrize("compression", ["deflate", None])
def test_fastapi_echoes(fastapi, compression) -> None:
    async def conversation(client: ClientConnection) -> None:
        assert bool(client.protocol.extensions) == (compression is not None)
        for message in ("", "é" * 100, b"", bytes(1000), "x" * 2**20, bytes(range(256)) * 2**12):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in", " ", "fragments"])
        assert await client.recv() == "in fragments"
        waiting = await client.ping()
        await waiting
        await client.close(4000, "thanks")
        assert client.close_code == 4000

    converse(fastapi, "/echo", conversation, compression=compression)
    eventually(lambda: "left with 4000 'thanks'" in fastapi.log)


def test_fastapi_chooses_a_subprotocol(fastapi) -> None:
    async def conversation(client: ClientConnection) -> None:
        assert client.subprotocol == "b"

    converse(fastapi, "/echo", conversation, subprotocols=["a", "b"])


def test_fastapi_json(fastapi) -> None:
    async def conversation(client: ClientConnection) -> None:
        await client.send('{"a": [1, "é"]}')
        assert json.loads(await client.recv()) == {"got": {"a": [1, "é"]}}

    converse(fastapi, "/json", conversation)


@pytest.mark.parametrize(("path", "code", "reason"), [("/close", 4321, "enough"), ("/broken", 1011, "")])
def test_fastapi_closes(fastapi, path, code, reason) -> None:
    async def conversation(client: ClientConnection) -> None:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (code, reason)

    converse(fastapi, path, conversation)


@pytest.mark.parametrize(("path", "status"), [("/deny", 402), ("/refuse", 403), ("/nowhere", 403)])
def test_fastapi_refuses(fastapi, path, status) -> None:
    async def conversation(client: ClientConnection) -> None:
        raise AssertionError("accepted")

    with pytest.raises(InvalidStatus) as caught:
        converse(fastapi, path, conversation)
    assert caught.value.response.status_code == status
    assert (b"no ticket" in (caught.value.response.body or b"")) == (status == 402)


def test_starlette_sends_while_it_receives(fastapi) -> None:
    async def conversation(client: ClientConnection) -> None:
        assert await client.recv() == "0"
        await client.send("heard")
        assert [message async for message in client] == ["1", "2", "3", "4", "heard"]

    converse(fastapi, "/both", conversation)


def test_a_graphql_subscription(fastapi) -> None:
    # The graphql-transport-ws protocol
    async def conversation(client: ClientConnection) -> None:
        async def send(**message: object) -> None:
            await client.send(json.dumps(message))

        async def receive() -> dict[str, object]:
            found: dict[str, object] = json.loads(await client.recv())
            return found

        await send(type="connection_init")
        assert (await receive())["type"] == "connection_ack"
        await send(id="1", type="subscribe", payload={"query": "subscription { count(target: 3) }"})
        messages = [await receive() for _ in range(4)]
        assert [message["type"] for message in messages] == ["next"] * 3 + ["complete"]
        assert messages[2]["payload"] == {"data": {"count": 2}}

    converse(fastapi, "/graphql", conversation, subprotocols=["graphql-transport-ws"])


def test_django_channels(app_dir) -> None:
    async def main(url: str) -> None:
        async with (
            asyncio.timeout(20),
            open_websocket(url, proxy=None, subprotocols=["chat"]) as one,
            open_websocket(url, proxy=None) as other,
        ):
            assert (one.subprotocol, other.subprotocol) == ("chat", None)
            for message in ("hello", {"from": "one"}):
                await one.send(json.dumps(message))
                assert [json.loads(await client.recv()) for client in (one, other)] == [message] * 2
            await other.send('"leave"')
            with pytest.raises(ConnectionClosed):
                await other.recv()
            assert other.close_code == 4001
            await one.close(1001)

    with serve(app_dir, "websocket_channels") as server:
        asyncio.run(main(f"ws://{server.host}:{server.port}/chat"))
        eventually(lambda: "left with 1001" in server.log and "left with 4001" in server.log)


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
def test_socketio_over_websocket(app_dir, transports) -> None:
    async def main(url: str) -> None:
        async with asyncio.timeout(20):
            client = socketio.AsyncClient(reconnection=False)
            heard: asyncio.Queue[str] = asyncio.Queue()
            client.on("heard", heard.put)
            await client.connect(url, transports=transports)
            assert client.transport() == "websocket"
            answers = await asyncio.gather(*(client.call("shout", f"wave {number}") for number in range(5)))
            assert answers == ["6 letters"] * 5
            assert {await heard.get() for _ in range(5)} == {f"WAVE {number}" for number in range(5)}
            await asyncio.sleep(1.5)  # a server's ping and the client's pong
            assert client.connected
            await client.disconnect()

    with serve(app_dir, "socketio_app") as server:
        asyncio.run(main(server.url))
        eventually(lambda: "client left" in server.log)
