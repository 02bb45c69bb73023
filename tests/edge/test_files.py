"""StaticFiles by itself: no path leads out, and what is kept has limits."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.edge.conftest import FILES
from tidegate.config.edge import Mount
from tidegate.edge.files import BAD, NOT_FOUND, REDIRECT, Representation, StaticFile, StaticFiles, open_below
from tidegate.edge.static import StaticExchange
from tidegate.gateway.application import Gateway
from tidegate.gateway.scope import Peers
from tidegate.http.head import RequestHead, ResponseHead
from tidegate.http.stream import Stream
from tidegate.http.target import decode_path

PIECES = st.sampled_from(
    [
        "a.txt", "d", "index.html", "secret.txt", "secrets", "www", "www-other", "outside", "outside-dir", "inside-dir",
        "outside-twin", "loop", "fifo", "..", ".", "...", "", "%2e%2e", "%2E.", ".%2e", "%2f", "%2F..%2F", "/", "//",
        "..\\", "%5c..", "%00", "%", "%zz", "%c0%ae%c0%ae", "%ff", "\u2024\u2024", "%ed%b2%80", "~",
        "etc", "passwd", "proc", "self",
        "x" * 300,
    ]
)  # fmt: skip
PATHS = st.lists(PIECES | st.text(max_size=5), max_size=12).flatmap(
    lambda pieces: st.sampled_from(["/", "%2f", "\\", ""]).map(lambda separator: separator.join(pieces))
)


def request(target: str) -> RequestHead:
    head = RequestHead()
    head.method = "GET"
    head.raw_path = quote(target, safe="%/\\~.").encode("ascii")
    head.path = decode_path(head.raw_path)
    return head


def content_of(found: Representation) -> bytes:
    return os.pread(found.descriptor, found.size, 0) if found.content is None else found.content


@given(PATHS)
@example("../secret.txt")
@example("%2e%2e%2fsecret.txt")
@example("d/../../secret.txt")
@example("outside-dir/a.txt")
@example("/../www-other/a.txt")
def test_no_path_leads_out(tree: Path, path: str) -> None:
    files = StaticFiles([Mount("/s", str(tree))])
    allowed = set(FILES.values()) - {FILES[".hidden"]}
    try:
        for prefix in ("/s", "/s/", "/s%2f", "/"):
            found = files.find(request(prefix + path))
            if isinstance(found, StaticFile):
                assert content_of(found.plain) in allowed
                lies = os.path.realpath(os.fsdecode(found.path))
                assert lies.startswith(f"{tree}/")
            else:
                assert found in (None, NOT_FOUND, REDIRECT, BAD)
    finally:
        files.close()


@pytest.mark.parametrize(
    "name",
    ["outside", "outside-relative", "outside-dir/a.txt", "outside-twin/a.txt", "../secret.txt", "fifo", "d"],
)
def test_what_lies_outside_is_not_opened(tree: Path, name: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        open_below(str(tree), os.fsencode(tree / name))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_root_may_be_the_root(tree: Path) -> None:
    os.close(open_below("/", os.fsencode(tree / "a.txt")))


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb") as file:
        file.write(b"octets")
    files = StaticFiles([Mount("", str(tmp_path))])
    head = RequestHead()
    head.raw_path = b"/%ff.txt"
    head.path = decode_path(head.raw_path)
    for _ in range(2):
        found = files.find(head)
        assert isinstance(found, StaticFile)
        assert found.plain.content == b"octets"
    files.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch(0)
    assert StaticFiles([Mount("", str(tmp_path))]).find(request("/a.txt")) == NOT_FOUND


class Recorded(Stream):
    """Says what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def send_head(self, head: ResponseHead) -> None:
        self.calls.append(f"head {head.status}")

    def send_data(self, data: bytes, end_stream: bool) -> None:
        self.calls.append(f"data {len(data)}")

    def send_file(self, descriptor: int, offset: int, count: int, end_stream: bool) -> None:
        os.close(descriptor)
        self.calls.append(f"file {offset} {count}")

    def reset(self) -> None:
        self.calls.append("reset")


async def no_application(scope: object, receive: object, send: object) -> None:
    raise NotImplementedError


def test_the_client_is_told_where_no_descriptor_is_left(tree: Path) -> None:
    files = StaticFiles([Mount("", str(tree))])
    head = request("/large.bin")
    found = files.find(head)
    loop = asyncio.new_event_loop()
    gateway = Gateway(no_application, loop)
    for expected in (["head 200", f"file 0 {1 << 20}"], ["head 200", "reset"]):
        stream = Recorded()
        StaticExchange(gateway, stream, head, Peers(None, None, "http"), found).start()
        assert stream.calls == expected
        files.close()  # as if there were none
    loop.close()


class Cache(RuleBasedStateMachine):
    """What is kept stays within its limits, whatever is asked for, and is what the file has."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.top = Path(self.directory.name)
        self.before = len(os.listdir("/proc/self/fd"))
        self.files = StaticFiles([Mount("", str(self.top))], max_files=3, max_memory=3000)

    @rule(name=st.sampled_from("abcdef"), size=st.sampled_from([0, 1, 1000, 2000, 70_000]))
    def write(self, name: str, size: int) -> None:
        new = self.top / "new"
        new.write_bytes(name.encode() * size)
        os.replace(new, self.top / name)

    @rule(name=st.sampled_from("abcdef"))
    def remove(self, name: str) -> None:
        (self.top / name).unlink(missing_ok=True)

    @rule(name=st.sampled_from("abcdef"))
    def ask(self, name: str) -> None:
        # Another object each time would look anew each time: only what is asked for later may be old.
        found = self.files.find(request(f"/{name}"))
        if isinstance(found, StaticFile):
            assert content_of(found.plain) == name.encode() * found.plain.size

    @invariant()
    def within_limits(self) -> None:
        if hasattr(self, "files"):
            assert len(os.listdir("/proc/self/fd")) - self.before <= 3

    def teardown(self) -> None:
        if hasattr(self, "files"):
            self.files.close()
            assert len(os.listdir("/proc/self/fd")) == self.before
            self.directory.cleanup()


TestCache = Cache.TestCase
