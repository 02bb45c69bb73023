"""The floor: canned bytes from a bare uvloop protocol, which takes for granted what the load sends."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).parent))
import app as benchmark

MIB = 1024 * 1024


def answer(body: bytes, *, chunked: bool = False) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n"
    head += b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    if not chunked:
        return head + b"content-length: %d\r\n\r\n" % len(body) + body
    chunk = b"%x\r\n" % len(benchmark.CHUNK) + benchmark.CHUNK + b"\r\n"
    return head + b"transfer-encoding: chunked\r\n\r\n" + chunk * benchmark.CHUNKS + b"0\r\n\r\n"


ANSWERS = {
    b"/hello": answer(benchmark.HELLO),
    b"/10k": answer(benchmark.TEN_KIB),
    b"/stream": answer(b"", chunked=True),
    b"/echo": answer(b"x" * 1024),
    b"/upload": answer(b"%d" % MIB),
    b"/file": answer(benchmark.FILE_CONTENT),
    b"/extensions": answer(b""),
}
BODY_SIZES = {b"/echo": 1024, b"/upload": MIB}


class Floor(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.missing = 0  # bytes of the request body still to come
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            start = data.index(b" ") + 1
            path = data[start : data.index(b" ", start)]
            if data.startswith(b"POST"):
                self.answer = ANSWERS[path]
                self.missing = BODY_SIZES[path] - (len(data) - data.index(b"\r\n\r\n") - 4)
            else:
                self.answer = ANSWERS[path] * data.count(b"\r\n\r\n")
        if self.missing == 0:
            if b"Connection: close\r\n" in data:
                self.transport.write(self.answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                self.transport.close()
            else:
                self.transport.write(self.answer)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    uvloop.run(main(parser.parse_args().port))
