"""WebSockets: the driver, and the client that it starts (picows, under uvloop, on one core).

Echo: one message in flight on each of 32 sockets. Broadcast: one socket sends, 64 receive, and the next message goes
out when all have the last; a message is counted for each receiver.
"""

import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MIN_DISTINCT = 16  # messages, so that no window of compression holds the last ones whole


@dataclass(frozen=True, slots=True)
class WebSocketLoad:
    """A `Driver`: `messages` of `size` octets, text or not, compressed or not."""

    path: str = "/ws/echo"
    size: int = 64
    text: bool = True
    deflate: bool = False
    sockets: int = 32

    def check(self, address: Any) -> None:
        """One message by hand. Raises WrongAnswer where it does not come back."""
        from .load import WrongAnswer

        key = base64.b64encode(os.urandom(16))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        offer = (
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            if self.deflate
            else b""
        )
        with socket.create_connection((address.host, address.port), 5.0) as connection:
            connection.sendall(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
                % (self.path.encode(), str(address).encode(), key, offer)
            )
            stream = connection.makefile("rb")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = stream.readline(4096)
                if not line:
                    raise WrongAnswer("the connection was closed within the handshake")
                head += line
            if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
                raise WrongAnswer(f"no 101: {head[:60]!r}")
            if self.deflate and b"permessage-deflate" not in head.lower():
                raise WrongAnswer("no permessage-deflate")
            [message] = messages(self.size, 1)
            payload = deflated(message) if self.deflate else message
            connection.sendall(
                masked(0x80 | (0x40 if self.deflate else 0) | (1 if self.text else 2), payload)
            )
            first, payload = read_frame(stream)
            if first & 0x40:
                payload = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
            if payload != message:
                raise WrongAnswer(f"{len(payload)} octets came back where {len(message)} others were sent")

    def run(self, address: Any, seconds: float, core: int) -> Any:
        """Load the server from `core`. Raises LoadError."""
        from .load import Load, LoadError

        command = ["taskset", "-c", str(core), sys.executable, __file__, str(address), str(seconds)]
        command.append(json.dumps(asdict(self)))
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 20, check=False)
        if done.returncode:
            raise LoadError(f"the WebSocket client: {done.stderr.strip().splitlines()[-1:]}")
        counted = json.loads(done.stdout)
        errors = {"disconnected": counted["lost"]} if counted["lost"] else {}
        return Load(counted["messages"], counted["seconds"], counted["p99"], errors)


def messages(size: int, count: int) -> list[bytes]:
    """JSON-like text of `size` octets, each different."""
    rng = random.Random(7692)
    found = []
    for _ in range(count):
        items = []
        while sum(map(len, items)) < size:
            name = rng.choice(["alice", "bob", "carol"])
            items.append(
                json.dumps({"id": rng.randrange(10**6), "name": name, "value": round(rng.random(), 6)})
            )
        found.append(",".join(items).encode()[:size].ljust(size))
    return found


def deflated(message: bytes) -> bytes:
    """A message's payload (RFC 7692 §7.2.1), without reference to others."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -12)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def masked(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    # A key of zeros leaves the payload as it is.
    return bytes((first,)) + length + bytes(4) + payload


def read_frame(stream: Any) -> tuple[int, bytes]:
    first, size = stream.read(2)
    if size == 126:
        size = int.from_bytes(stream.read(2), "big")
    elif size == 127:
        size = int.from_bytes(stream.read(8), "big")
    return first, stream.read(size)


# --- the client


async def client(address: str, seconds: float, load: WebSocketLoad) -> dict[str, Any]:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    payloads = messages(load.size, MIN_DISTINCT)
    if load.deflate:
        payloads = [deflated(payload) for payload in payloads]
    kind = WSMsgType.TEXT if load.text else WSMsgType.BINARY
    headers = (
        {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"} if load.deflate else {}
    )
    rsv1 = load.deflate
    together = load.path.endswith("broadcast")
    counts = [0, 0, 0]  # messages, sent, lost
    times: list[float] = []
    clock = time.perf_counter
    running = True

    class Listener(WSListener):  # type: ignore[misc]
        sent_at = 0.0

        def send(self, transport: WSTransport) -> None:
            counts[1] += 1
            self.sent_at = clock()
            transport.send(kind, payloads[counts[1] % MIN_DISTINCT], True, rsv1)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
                return
            counts[0] += 1
            if together:
                if counts[0] % load.sockets == 0 and running:
                    times.append(clock() - first[1].sent_at)
                    first[1].send(first[0])
            elif running:
                times.append(clock() - self.sent_at)
                self.send(transport)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            counts[2] += running

    sockets = [
        await ws_connect(Listener, f"ws://{address}{load.path}", extra_headers=headers)
        for _ in range(load.sockets)
    ]
    first = sockets[0]
    started = clock()
    for transport, listener in sockets[:1] if together else sockets:
        listener.send(transport)
    await asyncio.sleep(seconds)
    running = False
    elapsed = clock() - started
    times.sort()
    result = {
        "messages": counts[0],
        "seconds": elapsed,
        "p99": times[len(times) * 99 // 100] * 1e6 if times else None,
        "lost": counts[2],
    }
    for transport, _ in sockets:
        transport.disconnect()
    return result


def main() -> None:
    import uvloop

    address, seconds, load = sys.argv[1:]
    print(json.dumps(uvloop.run(client(address, float(seconds), WebSocketLoad(**json.loads(load))))))


if __name__ == "__main__":
    # As a script, this directory would come before the standard library in sys.path.
    sys.path[:] = [
        path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent.resolve()
    ]
    main()
