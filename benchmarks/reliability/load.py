"""A steady load of keep-alive and of fresh connections, by plain sockets, that counts what is lost and how.

A client does what browsers and balancers do: it sends on a connection that it has no reason to think closed, and takes
`Connection: close` for the end. Nothing is tried again: each request that gets no whole answer counts.
"""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field

TIMEOUT = 10.0  # seconds for one request
PATHS = ("/fast", "/slow")


@dataclass(slots=True)
class Failure:
    at: float  # seconds since the load began
    kind: str  # "fresh" or "keep-alive"
    what: str
    pid: str  # of the process that served this connection before; empty where none did


@dataclass(slots=True)
class Tally:
    requests: int = 0
    failures: list[Failure] = field(default_factory=list)
    processes: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0


class Load:
    """`keep_alive` connections that ask every `pause` seconds, and `fresh` clients that connect for each request."""

    def __init__(self, port: int, *, keep_alive: int = 24, fresh: int = 8, pause: float = 0.04) -> None:
        self.tally = Tally()
        self._port = port
        self._keep_alive = keep_alive
        self._fresh = fresh
        self._pause = pause
        self._begun = 0.0
        self._ending = False

    async def run(self) -> None:
        """Until `end`."""
        self._begun = time.monotonic()
        clients = [self._reusing(n) for n in range(self._keep_alive)]
        clients += [self._connecting(n) for n in range(self._fresh)]
        await asyncio.gather(*clients)

    def end(self) -> None:
        self._ending = True

    async def _reusing(self, number: int) -> None:
        await asyncio.sleep(self._pause * number / self._keep_alive)
        while not self._ending:
            pid = ""
            try:
                reader, writer = await self._connect()
            except (OSError, TimeoutError) as error:
                self._failed("keep-alive", f"connect: {_name(error)}", pid)
                await asyncio.sleep(self._pause)
                continue
            try:
                while not self._ending:
                    if reader.at_eof():
                        break  # closed while idle, and seen before the next request: nothing is lost
                    pid, closes = await self._ask(reader, writer, PATHS[number % 2], b"keep-alive")
                    if closes:
                        break
                    await asyncio.sleep(self._pause)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                self._failed("keep-alive", _name(error), pid)
            await _close(writer)

    async def _connecting(self, number: int) -> None:
        await asyncio.sleep(self._pause * number / self._fresh)
        while not self._ending:
            writer = None
            try:
                reader, writer = await self._connect()
                await self._ask(reader, writer, PATHS[number % 2], b"close")
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                self._failed("fresh", f"{'' if writer else 'connect: '}{_name(error)}", "")
            if writer is not None:
                await _close(writer)
            await asyncio.sleep(self._pause)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self._port), TIMEOUT)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, connection: bytes
    ) -> tuple[str, bool]:
        """The answer's process id, and whether the connection ends. Raises what a lost request raises."""
        self.tally.requests += 1
        begun = time.monotonic()
        writer.write(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: %s\r\n\r\n" % (path.encode(), connection))
        async with asyncio.timeout(TIMEOUT):
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise ValueError(head[9:12].decode("latin-1"))
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            pid = (await reader.readexactly(length)).decode()
        self.tally.longest = max(self.tally.longest, time.monotonic() - begun)
        self.tally.processes[pid] += 1
        return pid, b"connection: close" in head

    def _failed(self, kind: str, what: str, pid: str) -> None:
        self.tally.failures.append(Failure(time.monotonic() - self._begun, kind, what, pid))


def _name(error: BaseException) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "closed before the answer" if not error.partial else "cut in the answer"
    if isinstance(error, ValueError):
        return f"status {error}"
    return type(error).__name__


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1)
