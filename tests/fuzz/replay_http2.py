"""Replay bytes through an HTTP/2 connection and write down all that it did: the same text in either build.

`python -m tests.fuzz.replay_http2` prints which build it runs on, then the transcripts of the kept corpus. An input is
all that a client sends, its preface first.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tidegate.http2.connection
from tests.support.http1 import RecordingHandler, octets
from tests.support.http2 import GOAWAY, RST_STREAM, Dialogue
from tidegate.http2.state import HALF_CLOSED_REMOTE

CORPUS = Path(__file__).with_name("corpus_http2")
COMPILED = not tidegate.http2.connection.__file__.endswith(".py")

# Small, so that inputs of a few hundred octets reach them.
LIMITS: dict[str, Any] = {
    "max_streams": 5,
    "max_header_list": 2000,
    "max_fields": 20,
    "max_target": 100,
    "max_content": 1000,
    "max_trailers": 200,
    "write_buffer": 4096,
    "max_resets": 10,
    "max_control": 40,
}


class Silent(RecordingHandler):
    """Never answers."""


class Application(RecordingHandler):
    """Answers when its request is complete, in a way that the request's path asks for."""

    accepted = False

    def start(self) -> None:
        RecordingHandler.start(self)
        if self.request.protocol:
            if self.request.path.startswith("/tunnel"):
                self.stream.accept_tunnel([])
                self.accepted = True
                self.send(b"tunnel", "end" in self.names)
        elif self.stream.state == HALF_CLOSED_REMOTE:  # type: ignore[attr-defined]
            self.respond()

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        RecordingHandler.end_received(self, trailers)
        if "start" not in self.names:
            return
        if self.request.protocol:
            if self.accepted:  # and not in the middle of that
                self.send(b"", True)
        else:
            self.respond()

    def respond(self) -> None:
        path = self.request.path
        if path.startswith("/hold"):
            return
        if path.startswith("/push"):
            self.stream.push(b"/pushed", [(b"a", b"b")])
        if path.startswith("/large"):
            self.answer(bytes(100_000))
        elif path.startswith("/trailers"):
            self.stream.send_informational(103, [(b"link", b"</a>")])
            self.send_head(trailers=True)
            self.send(b"with")
            self.stream.send_trailers([(b"x-sum", b"1")])
            self.stream.flush()
        elif path.startswith("/reset"):
            self.send_head()
            self.send(b"cut")
            self.stream.reset()
        else:
            status = 204 if path.startswith("/204") else 200
            content = b"" if status == 204 else self.content[:10] + path.encode("utf-8", "replace")[:20]
            self.answer(content, status)


def head(handler: RecordingHandler) -> dict[str, Any]:
    request = handler.request
    return {
        "line": [request.method, text(request.target), request.http_version],
        "path": [ascii(request.path), text(request.raw_path), text(request.query_string)],
        "headers": [[text(name), text(value)] for name, value in request.headers],
        "authority": text(request.authority),
        "length": request.content_length,
        "flags": [request.expect_continue, request.client_trailers, text(request.protocol)],
        "priority": [handler.stream.urgency, handler.stream.incremental],  # type: ignore[attr-defined]
    }


def text(data: bytes) -> str:
    return data.decode("latin-1")


def dialogue_of(pieces: Iterable[bytes], handler: type[RecordingHandler], **limits: Any) -> Dialogue:
    dialogue = Dialogue(greet=False, handler_class=handler, **(limits or LIMITS))
    dialogue.parser.max_frame_size = 1 << 24
    for piece in pieces:
        if dialogue.wire.reading:
            dialogue.receive(piece)
    return dialogue


def events(pieces: Iterable[bytes], **limits: Any) -> dict[str, Any]:
    """Every event in its order, with what was sent, and what becomes of it when the client ends; for two builds to
    agree on."""
    dialogue = dialogue_of(pieces, Application, **limits)
    due = dialogue.connection.next_timeout()
    dialogue.connection.receive_eof(dialogue.now)
    dialogue.flush_due()
    dialogue.collect()
    return {
        "requests": [head(handler) | {"events": repr(handler.events)} for handler in dialogue.handlers],
        "refusals": [
            # A StreamError is a malformed request, which is reset.
            [getattr(error, "status", 0), error.detail, request and [request.method, text(request.target)]]
            for error, request in dialogue.refusals
        ],
        "frames": [
            [each.kind, each.flags, each.stream_id, text(each.payload)[:200], repr(each.fields)]
            for each in dialogue.frames
        ],
        "ended": dialogue.wire.ended,
        "timeout": repr(due),
        "reading": dialogue.wire.reading,
    }


def outcome(pieces: list[bytes], **limits: Any) -> dict[str, Any]:
    """What the same bytes come to however they are split.

    The order of frames depends on it, where an application answers what has come so far; so do the answers that are
    cut by the end of the connection. So the requests and the faults are those that an application meets which never
    answers.
    """
    limits = limits or LIMITS
    silent = dialogue_of(pieces, Silent, **limits)
    # Answers give budget back, sooner or later.
    answering = dialogue_of(pieces, Application, **{**limits, "max_control": 1 << 30})
    faulty = any(each.code for each in answering.of(GOAWAY))
    return {
        "requests": [
            # What came before a fault, or before the client cancelled, is delivered or not.
            head(handler) | {"content": text(handler.content) if "end" in handler.names else None}
            for handler in silent.handlers
        ],
        "faults": [
            (each.kind, each.stream_id, each.code)
            for each in silent.frames
            if each.kind in (RST_STREAM, GOAWAY)
        ],
        "ended": silent.wire.ended,
        "faulty": faulty,
        "answers": []
        if faulty
        else [
            (number, each.fields, each.content, each.trailers, each.ended, each.reset)
            for number, each in sorted(answering.answers.items())
            if each.ended or each.reset is not None
        ],
    }


def splits(data: bytes) -> dict[str, list[bytes]]:
    """Whole, in halves, by frames' headers, and octet by octet."""
    middle = len(data) // 2
    nines = [data[i : i + 9] for i in range(0, len(data), 9)]
    halves = [piece for piece in (data[:middle], data[middle:]) if piece]
    return {"whole": [data], "halves": halves, "nines": nines, "octets": octets(data)}


def transcripts() -> dict[str, Any]:
    """The corpus, each input split in each way."""
    return {
        f"{path.name} {split}": events(pieces)
        for path in sorted(CORPUS.iterdir())
        for split, pieces in splits(path.read_bytes()).items()
    }


if __name__ == "__main__":
    json.dump({"compiled": COMPILED, "results": transcripts()}, sys.stdout)
