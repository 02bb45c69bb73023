"""POSTs through HAProxy and nginx while workers are replaced: each is done once, and answered.

Proxies reuse their connections, and do not send a POST again that may have been done: one that meets a connection as
it is closed is lost.
"""

import asyncio
import itertools
import random
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.test_proxies import BOTH, DEPLOY, run_proxy
from tests.support.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 16
ROLLS = 2
IDLE = ("--timeout-shutdown-idle", "1")
BODY = b"x" * 3000


class Posts:
    """Clients that post, each on its connection to the proxy, with and without pauses."""

    def __init__(self, port: int) -> None:
        self.answered: list[int] = []
        self.failed: list[tuple[int, str]] = []
        self.ending = False
        self._port = port
        self._ids: Iterator[int] = itertools.count(1)

    async def run(self) -> None:
        await asyncio.gather(*(self._post(number) for number in range(CLIENTS)))

    async def _post(self, number: int) -> None:
        drawn = random.Random(number)
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.ending:
            name = next(self._ids)
            try:
                async with asyncio.timeout(20):
                    if connection is None or connection[0].at_eof():
                        connection = await asyncio.open_connection("127.0.0.1", self._port)
                    reader, writer = connection
                    content = b"%d %s" % (name, BODY)
                    writer.write(
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(content), content)
                    )
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                    body = await reader.readexactly(length)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                self.failed.append((name, repr(error)))
                connection = None
                continue
            if head.startswith(b"http/1.1 200") and body == b"%d" % name:
                self.answered.append(name)
            else:
                self.failed.append((name, head.split(b"\r\n")[0].decode()))
            if b"connection: close" in head:
                writer.close()
                connection = None
            # Idle connections of the proxy to workers that go are what this is about.
            await asyncio.sleep(drawn.choice((0.0, 0.0, 0.02, 0.1, 0.3)))
        if connection is not None:
            connection[1].close()


async def posted_while(posts: Posts, server: ServerProcess, signals: list[tuple[int, str]]) -> None:
    running = asyncio.create_task(posts.run())
    for count, (number, told) in enumerate(signals, 1):
        await asyncio.sleep(0.2)
        server.signal(number)
        same = [each for _, each in signals[:count]].count(told)
        await asyncio.to_thread(server.wait_for_log, told, 40, same)
    await asyncio.to_thread(server.wait_for_log, "Shutdown is complete", 30, 2 * len(signals) - 1)
    posts.ending = True
    await running


@pytest.mark.parametrize("kind", BOTH)
def test_posts_are_done_once(kind: str, app_dir: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    config = (DEPLOY / {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[kind]).read_text()
    config = "\n".join(line for line in config.splitlines() if "127.0.0.1:8001" not in line) + "\n"
    options = ["--workers", "2", "--port", "0", "--no-access-log", *IDLE]
    server = ServerProcess([*options, "--app-dir", str(app_dir), "ledger:app"], {"LEDGER": str(ledger)})
    try:
        server.wait_for_log("2 workers: ready", 30)
        server.port = int(server.wait_for_log(r"Listening on http://127\.0\.0\.1:(\d+)")[1])
        with run_proxy(kind, config, [server], tmp_path) as proxy:
            posts = Posts(proxy.port)
            rolls = [(signal.SIGHUP, "Reloaded 2 workers")] * ROLLS
            asyncio.run(posted_while(posts, server, rolls))
        assert server.terminate() == 0
    finally:
        server.process.kill()
        server.process.wait()
        server.reader.join(10)
    done = Counter(int(line.split()[0]) for line in ledger.read_text().splitlines())
    assert posts.failed == []
    assert len(posts.answered) > 100
    assert done == Counter(posts.answered)
