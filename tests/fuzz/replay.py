"""Replay bytes through an HTTP/1.1 connection and write down all that it did: the same text in either build.

`python -m tests.fuzz.replay` prints which build it runs on, then the transcripts of the kept corpus.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tidegate.http1.connection
from tests.support.http1 import CLOSED, LINGERING, Dialogue, RecordingHandler, octets

CORPUS = Path(__file__).with_name("corpus")
COMPILED = not tidegate.http1.connection.__file__.endswith(".py")

# Small, so that inputs of a few hundred octets reach them.
LIMITS: dict[str, Any] = {
    "max_request_line": 200,
    "max_head": 500,
    "max_fields": 8,
    "max_content": 1000,
    "max_trailers": 100,
}


class Application(RecordingHandler):
    """Answers when its request is complete, in a way that the request's path asks for."""

    def start(self) -> None:
        RecordingHandler.start(self)
        if (
            self.request.path.startswith("/early")
            or "end" in self.names
            or self.request.content_length in (-1, 0)
        ):
            self.respond()

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        RecordingHandler.end_received(self, trailers)
        if self.names.count("end") == 1 and self.names[0] == "start" and self.request.protocol:
            self.send(b"", True)  # of the tunnel
        elif "start" in self.names and not self.request.path.startswith("/early"):
            self.respond()

    def respond(self) -> None:
        path = self.request.path
        if path.startswith("/hold"):
            return
        if path.startswith("/tunnel") and self.request.protocol:
            self.stream.accept_tunnel([])
            self.send(b"tunnel")
        elif path.startswith("/stream"):
            self.send_head(trailers=True)
            self.send(b"streamed")
            self.stream.send_trailers([(b"x-sum", b"1")])
            self.stream.flush()
        elif path.startswith("/reset"):
            self.send_head()
            self.send(b"cut")
            self.stream.reset()
        else:
            status = 204 if path.startswith("/204") else 200
            content = b"" if path.startswith("/early") else self.content[:10]
            self.answer(content + path.encode("utf-8", "replace")[:20], status)


def head(handler: RecordingHandler) -> dict[str, Any]:
    request = handler.request
    return {
        "line": [request.method, text(request.target), request.http_version],
        "path": [ascii(request.path), text(request.raw_path), text(request.query_string)],
        "headers": [[text(name), text(value)] for name, value in request.headers],
        "authority": text(request.authority),
        "length": request.content_length,
        "flags": [
            request.keep_alive,
            request.expect_continue,
            request.client_trailers,
            text(request.protocol),
            request.navigation,
        ],
    }


def text(data: bytes) -> str:
    return data.decode("latin-1")


def events(pieces: Iterable[bytes], eof: bool = False, **limits: Any) -> dict[str, Any]:
    """Every event in its order, with what was sent; for two builds to agree on."""
    dialogue = Dialogue(handler_class=Application, **(limits or LIMITS))
    for piece in pieces:
        dialogue.receive(piece)
        dialogue.flush_due()
    if eof:
        dialogue.receive_eof()
    return {
        "requests": [head(handler) | {"events": repr(handler.events)} for handler in dialogue.handlers],
        "refusals": [
            [error.status, error.detail, request and [request.method, text(request.target)]]
            for error, request in dialogue.refusals
        ],
        "writes": [text(data) for data in dialogue.wire.writes],
        "ended": dialogue.wire.ended,
        "timeout": repr(dialogue.connection.next_timeout()),
        "reading": dialogue.wire.reading,
    }


def outcome(pieces: Iterable[bytes], **limits: Any) -> dict[str, Any]:
    """What the same bytes come to however they are split.

    A fault is noticed sooner or later, at the end of its line at the latest, and as malformed or as too large.
    """
    dialogue = Dialogue(handler_class=Application, **(limits or LIMITS))
    for piece in pieces:
        dialogue.receive(piece)
        dialogue.flush_due()
    faulty = bool(dialogue.refusals)
    requests = []
    for handler in dialogue.handlers:
        if handler.request.path.startswith("/early"):
            requests.append(head(handler))  # what follows its answer is drained
        elif "end" in handler.names or handler.request.content_length in (-1, 0):
            last = [event for event in handler.events if event[0] in ("end", "reset")]
            requests.append(head(handler) | {"content": handler.content, "last": last})
    return {
        "requests": requests,
        "refused": sorted(
            {400 if error.status in (413, 431) else error.status for error, _ in dialogue.refusals}
        ),
        "sent": dialogue.wire.sent.rpartition(b"HTTP/1.1 ")[0] if faulty else dialogue.wire.sent,
        # Whether it lingers depends on what came beyond the last request so far.
        "ended": CLOSED if dialogue.wire.ended == LINGERING else dialogue.wire.ended,
    }


def transcripts() -> dict[str, Any]:
    """The corpus, each input whole, in halves and octet by octet."""
    result = {}
    for path in sorted(CORPUS.iterdir()):
        data = path.read_bytes()
        middle = len(data) // 2
        for split, pieces in (
            ("whole", [data]),
            ("halves", [data[:middle], data[middle:]]),
            ("octets", octets(data)),
        ):
            result[f"{path.name} {split}"] = events([piece for piece in pieces if piece], eof=True)
    return result


if __name__ == "__main__":
    json.dump({"compiled": COMPILED, "results": transcripts()}, sys.stdout)
