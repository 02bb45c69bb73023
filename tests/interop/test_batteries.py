"""The toolkit's streams, files and compression on the real server."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ServerProcess, start_server
from tests.support.wire import Client
from tidegate.web.sse import EventDecoder

STREAMS = 1000


@pytest.fixture(scope="module")
def server(app_dir: Path) -> Iterator[ServerProcess]:
    options = ("--no-access-log", "--limit-connections", str(STREAMS + 100), "--timeout-shutdown-idle", "0.1")
    with start_server(*options, app="batteries:app", app_dir=app_dir) as server:
        yield server


class EventClient:
    """One connection on which an event stream is read."""

    def __init__(self, server: ServerProcess, last_event_id: str = "") -> None:
        self.client = Client(server.host, server.port)
        field = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        self.client.send(f"GET /events HTTP/1.1\r\nHost: x\r\n{field}\r\n".encode())
        self.decoder = EventDecoder()
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.client.socket.recv(4096)
        assert head.startswith(b"HTTP/1.1 200"), head
        self.buffer = head.partition(b"\r\n\r\n")[2]

    def read(self, count: int) -> list[str]:
        """The data of `count` events, no more being sent than those."""
        found: list[str] = []
        while len(found) < count:
            while (end := self.buffer.find(b"\r\n")) >= 0:
                size = int(self.buffer[:end], 16)
                if len(self.buffer) < end + 4 + size:
                    break
                chunk, self.buffer = self.buffer[end + 2 : end + 2 + size], self.buffer[end + 4 + size :]
                found += [str(event.data) for event in self.decoder.feed(chunk)]
            if len(found) < count:
                self.buffer += self.client.socket.recv(65536)
        return found

    def close(self) -> None:
        self.client.close()


def streams(server: ServerProcess) -> int:
    with server.client() as client:
        return int(client.request("GET", "/streams").body)


def wait_for_streams(server: ServerProcess, count: int) -> None:
    deadline = time.monotonic() + 10
    while streams(server) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def publish(server: ServerProcess, *events: str) -> None:
    with server.client() as client:
        assert client.request("POST", "/events", body="\n".join(events).encode()).status == 200


def test_a_thousand_idle_streams(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    warm = [EventClient(server) for _ in range(20)]
    before = server.resident
    clients = [EventClient(server) for _ in range(STREAMS)]
    each = (server.resident - before) / STREAMS
    with capsys.disabled():
        print(f"\n{STREAMS} idle event streams: {each / 1024:.1f} KiB each")
    assert each < 48 * 1024
    publish(server, "high tide")
    for client in [*warm, *clients]:
        assert client.read(1) == ["high tide"]
        client.close()
    wait_for_streams(server, 0)


def test_who_reconnects_misses_nothing(server: ServerProcess) -> None:
    """Over and over, cut anywhere, while events are published all the time."""
    follower, last, got = EventClient(server), "", []
    wait_for_streams(server, 1)
    for batch in range(20):
        publish(server, *(f"{batch}.{number}" for number in range(25)))
        got += follower.read(1 + batch)
        last = follower.decoder.last_event_id
        follower.close()
        publish(server, f"{batch}.away")
        follower = EventClient(server, last)
    got += follower.read(20 * 26 - len(got))
    follower.close()
    assert got == [f"{batch}.{what}" for batch in range(20) for what in (*range(25), "away")]
