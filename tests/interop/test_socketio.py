"""python-socketio by polling: GETs that wait for events, with POSTs beside them on other connections."""

import asyncio

import socketio

from tests.support.process import eventually, start_server


def test_events_both_ways_by_polling(app_dir):
    async def main(url):
        heard = asyncio.Queue()
        async with asyncio.timeout(20):
            client = socketio.AsyncClient(reconnection=False)
            client.on("heard", heard.put)
            welcomed = asyncio.Event()
            client.on("welcome", lambda data: welcomed.set())
            await client.connect(url, transports=["polling"])
            assert client.transport() == "polling"
            await welcomed.wait()
            answers = await asyncio.gather(*(client.call("shout", f"wave {number}") for number in range(5)))
            assert answers == ["6 letters"] * 5
            assert {await heard.get() for _ in range(5)} == {f"WAVE {number}" for number in range(5)}
            await asyncio.sleep(1.5)  # a server's ping and the client's pong
            assert client.connected
            await client.disconnect()

    with start_server(app="socketio_app:app", app_dir=app_dir) as server:
        asyncio.run(main(server.url))
        eventually(lambda: "client left" in server.log)
