"""The kept corpus: what clients sent, and what it meant when it was kept. Both builds replay it.

`python -m tests.websocket.corpus` writes corpus.json anew; the difference is then to be read line by line.
"""

import json
import random
import zlib
from pathlib import Path

from tests.websocket.support import Server, agreed, close_frame, frame
from tidegate.websocket.deflate import Deflater, zlib_compressor
from tidegate.websocket.sender import MessageSender

PATH = Path(__file__).with_name("corpus.json")
Outcome = dict[str, object]


def inflated(frames: bytes) -> bytes:
    """A server's frames with their payloads inflated: how small they get is the compressor's affair."""
    stream = zlib.decompressobj(-15)
    out = b""
    while frames:
        head = 2 + {126: 2, 127: 8}.get(frames[1], 0)
        size = int.from_bytes(frames[2:head]) if head > 2 else frames[1]
        payload, rest = frames[head : head + size], frames[head + size :]
        if frames[0] & 0x40:
            payload = stream.decompress(payload + b"\x00\x00\xff\xff")
        out += frames[:1] + len(payload).to_bytes(2) + payload
        frames = rest
    return out


def replay(octets: bytes, compress: bool, step: int) -> Outcome:
    """What a connection makes of `octets`, fed `step` at a time (0 for all at once), with low limits."""
    server = Server(
        deflate=agreed("client_max_window_bits") if compress else None,
        sender=MessageSender(level=2, mem_level=5, min_text=0, min_binary=1024),
        max_message=100_000,
        max_frames=50,
        max_empty_frames=5,
    )
    for i in range(0, len(octets), step or len(octets) or 1):
        server.receive(octets[i : i + (step or len(octets))])
    for event in list(server.events):
        if event[0] == "message" and isinstance(event[1], str):
            server.connection.send_text(event[1][:20])
    server.connection.finish()
    server.connection.receive_eof()
    return {
        "events": [
            [part.hex() if isinstance(part, bytes) else part for part in event] for event in server.events
        ],
        "sent": inflated(server.stream.sent).hex(),
        "reset": server.stream.was_reset,
    }


def make() -> dict[str, tuple[bool, bytes]]:
    """Name -> (compressed, octets)."""
    rng = random.Random(6455)
    cases: dict[str, tuple[bool, bytes]] = {}
    for first in range(256):
        for fragmented in (b"", frame(1, b"\xe2\x82", fin=False)):
            cases[f"first octet {first:02x} behind {len(fragmented)}"] = (
                True,
                fragmented + bytes((first,)) + frame(1, b"\xacab")[1:],
            )
    for length in range(128):
        cases[f"length {length}"] = (False, bytes((0x82, 0x80 | length)) + bytes(range(200)))
        cases[f"ping of {length}"] = (False, bytes((0x89, 0x80 | length)) + bytes(range(200)))
    for code in (*range(995, 1020), 2999, 3000, 3999, 4000, 4999, 5000, 65535):
        cases[f"close {code}"] = (False, close_frame(code, "reason"))
    for i in range(150):
        deflater = Deflater(12, True, 6, 5, zlib_compressor)
        octets = b""
        for _ in range(rng.randrange(1, 6)):
            text = "".join(rng.choices("ab é€😀", k=rng.randrange(200))).encode()
            compress = rng.random() < 0.5
            payload = deflater.deflate(text) if compress else text
            parts = sorted(rng.randrange(len(payload) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
            cuts = [0, *parts, len(payload)]
            for j in range(len(cuts) - 1):
                opcode = rng.choice((1, 1, 2)) if j == 0 else 0
                rsv = 0x40 if compress and j == 0 else 0
                part = payload[cuts[j] : cuts[j + 1]]
                octets += frame(opcode, part, fin=j == len(cuts) - 2, rsv=rsv, key=rng.randbytes(4))
                if rng.random() < 0.2:
                    octets += frame(rng.choice((9, 10)), rng.randbytes(rng.randrange(20)))
        if i % 3 == 0:
            damaged = bytearray(octets)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            octets = bytes(damaged)
        cases[f"random {i}"] = (True, octets)
    return cases


def main() -> None:
    kept = [
        {"name": name, "compress": compress, "octets": octets.hex(), **replay(octets, compress, 0)}
        for name, (compress, octets) in make().items()
    ]
    PATH.write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in kept) + "\n]\n")


if __name__ == "__main__":
    main()
