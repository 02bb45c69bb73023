"""Two workers under mixed load; memory and descriptors over time, as a picture."""

import argparse
import asyncio
import contextlib
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..picture import STYLE, text
from ..process import tree
from .servers import Running, Server

ROOT = Path(__file__).parents[2]
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE = 1.0  # seconds
WARM_UP = 0.25  # share of the run after which memory is to be flat
ALLOWED = 0.10  # growth of memory after that
WIDTH, HEIGHT, MARGIN = 720, 200, 56

SOAKED = Server(
    "tidegate",
    "tidegate",
    "-m tidegate --port PORT --workers 2 --no-access-log soak_app:app",
    "",
    frozenset(),
)


@dataclass(slots=True)
class Sample:
    at: float
    resident: int  # octets of the workers together
    descriptors: int


class Client:
    """One of many, that does one thing after another."""

    def __init__(self, port: int, seed: int, pause: float) -> None:
        self.done = 0
        self.failed = 0
        self._port = port
        self._random = random.Random(seed)
        self._pause = pause

    async def run(self, until: float) -> None:
        kinds = (self.plain, self.plain, self.upload, self.stream, self.leave, self.websocket)
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                async with asyncio.timeout(20):
                    await self._random.choice(kinds)(reader, writer)
                self.done += 1
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                self.failed += 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await asyncio.sleep(self._pause * self._random.random() * 2)

    async def plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await self._answer(reader)

    async def upload(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = self._random.randrange(1 << 19)
        writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        if int(await self._answer(reader)) != size:
            raise ValueError

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        while await reader.read(8192):
            await asyncio.sleep(0.001)

    async def leave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """In the middle of an answer."""
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.read(100)
        writer.transport.abort()

    async def websocket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101"):
            raise ValueError
        for _ in range(10):
            # RFC 6455 §5.2: a binary message of 100 octets, masked by zeros, and its echo.
            writer.write(b"\x82\xe4\0\0\0\0" + bytes(100))
            await reader.readexactly(102)
        writer.write(b"\x88\x80\0\0\0\0")
        await reader.read(100)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return await reader.readexactly(length)


def sample(supervisor: int, at: float) -> Sample:
    resident = descriptors = 0
    for pid in tree(supervisor):
        if pid != supervisor:
            resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(at, resident, descriptors)


async def soak(running: Running, seconds: float, clients: int, pause: float) -> tuple[list[Sample], int, int]:
    begun = time.monotonic()
    crowd = [Client(running.port, number, pause) for number in range(clients)]
    tasks = [asyncio.create_task(client.run(begun + seconds)) for client in crowd]
    samples: list[Sample] = []
    while time.monotonic() < begun + seconds:
        await asyncio.sleep(SAMPLE)
        samples.append(sample(running.pid, time.monotonic() - begun))
    await asyncio.gather(*tasks)
    return samples, sum(client.done for client in crowd), sum(client.failed for client in crowd)


def curve(samples: list[Sample], values: list[float], top: float, title: str, style: str) -> list[str]:
    most = max(values) * 1.25 or 1.0
    length = samples[-1].at
    points = " ".join(
        f"{MARGIN + (WIDTH - 2 * MARGIN) * each.at / length:.1f},{top + HEIGHT * (1 - value / most):.1f}"
        for each, value in zip(samples, values, strict=True)
    )
    return [
        text(MARGIN, top - 8, title, "panel"),
        text(MARGIN - 6, top + 10, f"{most:.0f}", "faint", "end"),
        text(MARGIN - 6, top + HEIGHT, "0", "faint", "end"),
        text(WIDTH - MARGIN, top + HEIGHT + 16, f"{length:.0f} s", "faint", "end"),
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{top + HEIGHT}" y2="{top + HEIGHT}" class="floor"/>',
        f'<polyline points="{points}" fill="none" stroke="{style}" stroke-width="1.5"/>',
    ]


def picture(samples: list[Sample], done: int) -> str:
    height = 2 * (HEIGHT + 60) + 60
    title = f"Two workers, {done} tasks of mixed load in {samples[-1].at:.0f} s"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="Memory and descriptors over time">',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
        text(MARGIN, 34, title, "title"),
        *curve(
            samples,
            [each.resident / 2**20 for each in samples],
            80,
            "Resident memory of both, MiB",
            "#0d9488",
        ),
        *curve(
            samples,
            [float(each.descriptors) for each in samples],
            80 + HEIGHT + 60,
            "Open descriptors of both",
            "#b45309",
        ),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between what a client does")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "soak.svg")
    options = parser.parse_args()
    running = Running(SOAKED, sys.executable, ROOT / ".bench" / "soak")
    try:
        running.wait_until_up()
        samples, done, failed = asyncio.run(soak(running, options.seconds, options.clients, options.pause))
    finally:
        running.stop()
    options.output.write_text(picture(samples, done), encoding="utf-8")
    warm = samples[int(len(samples) * WARM_UP) :]
    third = max(1, len(warm) // 3)
    first = sum(each.resident for each in warm[:third]) / third
    last = sum(each.resident for each in warm[-third:]) / third
    print(
        f"{done} tasks, {failed} failed; resident {first / 2**20:.1f} -> {last / 2**20:.1f} MiB, "
        f"descriptors {warm[0].descriptors} -> {warm[-1].descriptors}"
    )
    if failed or last > first * (1 + ALLOWED):
        sys.exit("not flat")


if __name__ == "__main__":
    main()
