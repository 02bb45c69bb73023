"""Shares of the connections that come to one socket: the table, and servers that accept by it."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.tls import Authority
from tidegate.config import Bind, Config, Logging, Proxies
from tidegate.config.tls import TLS
from tidegate.net.share import MARGIN, PLACES, ConnectionTable, Share
from tidegate.server import Server
from tidegate.server.loop import run

PROXY = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"


@pytest.fixture
def table() -> Iterator[ConnectionTable]:
    table = ConnectionTable()
    yield table
    table.close()


def joined(table: ConnectionTable, connections: int) -> Share:
    place = table.take()
    assert place is not None
    share = Share(table.descriptor, place)
    share.count = lambda: connections
    share.publish()
    return share


def test_who_has_more_than_the_mean_leaves_the_next_to_the_others(table: ConnectionTable) -> None:
    shares = [joined(table, count) for count in (100, 100, 90, 130)]
    assert [share.may_accept() for share in shares] == [True, True, True, False]


def test_a_few_connections_are_nobodys_worry(table: ConnectionTable) -> None:
    first, _ = joined(table, MARGIN), joined(table, 0)
    assert first.may_accept()


def test_who_does_not_accept_does_not_count(table: ConnectionTable) -> None:
    busy, idle, third = joined(table, 100), joined(table, 0), joined(table, 0)
    assert not busy.may_accept()
    idle.leave()
    idle.publish()
    assert not busy.may_accept()
    table.hide(2)
    assert busy.may_accept()
    third.publish()  # it has woken up
    assert not busy.may_accept()


def test_one_process_alone_has_all(table: ConnectionTable) -> None:
    assert joined(table, 10_000).may_accept()


def test_places_are_given_out_again(table: ConnectionTable) -> None:
    first, second = joined(table, 1), joined(table, 100)
    assert not second.may_accept()
    table.free(0)
    assert second.may_accept()
    assert table.take() == 0
    assert second.may_accept()  # it has not said anything yet
    assert all(table.take() is not None for _ in range(PLACES - 2))
    assert table.take() is None
    first.publish()


def test_what_the_others_have_taken(table: ConnectionTable) -> None:
    first, second = joined(table, 0), joined(table, 0)
    for share in (first, second, second):
        share.accepted()
    assert (first.taken_by_others(), second.taken_by_others()) == (2, 1)


class Crowd:
    """Servers of one event loop that accept from the same socket, and the connections to them."""

    def __init__(self, table: ConnectionTable, number: int, **options: Any) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        config = Config(binds=(Bind(port=0),), backlog=1000, logging=Logging(access_log=False), **options)
        self.servers = []
        for name in range(number):
            place = table.take()
            assert place is not None
            share = Share(table.descriptor, place)
            self.servers.append(
                Server(self.app(name), config, sockets=[self.listener], share=share, shared=[self.listener])
            )

    @staticmethod
    def app(name: int) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"%d" % name)]})
            await send({"type": "http.response.body"})

        return app

    async def serve(self, connections: int, context: ssl.SSLContext | None, before: bytes) -> Counter[bytes]:
        """How many of the `connections` each one has, all of them open at a time."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self.listener)
            for server in self.servers:
                await stack.enter_async_context(server)
            opened = await asyncio.gather(*(self.connect(context, before) for _ in range(connections)))
            counts = Counter(name for name, _ in opened)
            for _, writer in opened:
                writer.close()
        return counts

    async def connect(
        self, context: ssl.SSLContext | None, before: bytes
    ) -> tuple[bytes, asyncio.StreamWriter]:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=context, server_hostname="localhost" if context else None
            )
            writer.write(before + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
        return head.partition(b"\r\nx: ")[2][:1], writer


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", ["plain", "proxied", "tls"])
def test_servers_of_one_socket_have_even_shares(
    table: ConnectionTable, tmp_path: Path, kind: str, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options: dict[str, Any] = {"proxies": Proxies(protocol="v1")} if kind == "proxied" else {}
    context = None
    if kind == "tls":
        authority = Authority(tmp_path)
        options["tls"] = TLS(certfile=(str(authority.issue("localhost")),))
        context = authority.client_context()
    crowd = Crowd(table, 3, **options)
    counts: Counter[bytes] = Counter()

    async def main() -> None:
        counts.update(await crowd.serve(90, context, PROXY if kind == "proxied" else b""))

    run(main(), loop)
    assert sum(counts.values()) == 90
    assert max(counts.values()) <= 45, counts


def test_others_that_take_nothing_are_not_waited_for(table: ConnectionTable) -> None:
    stuck = joined(table, 0)  # it says that it accepts, and has none: each one would be its own to take
    crowd = Crowd(table, 1)
    counts: Counter[bytes] = Counter()

    async def main() -> None:
        counts.update(await crowd.serve(500, None, b""))

    run(main(), "auto")
    assert counts == {b"0": 500}
    assert stuck.taken_by_others() == 500
