"""WebSockets on the real server, over real sockets: peers that misbehave, limits, shutdown, memory."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.process import ServerProcess, eventually, start_server
from tests.support.tls import Authority, TLSClient
from tests.support.wire import Client
from tests.websocket.support import close_frame, frame
from tidegate.websocket.deflate import Deflater

APPS = Path(__file__).parent
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MIB = 1 << 20


def handshake(path: str = "/echo", extensions: str = "") -> bytes:
    offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    ).encode()


def open_websocket(
    server: ServerProcess, path: str = "/echo", extensions: str = "", **options: object
) -> Client:
    client = server.client(**options)
    client.send(handshake(path, extensions))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.socket.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def receive(client: Client, count: int) -> bytes:
    """Exactly `count` octets; fewer where the connection ends before."""
    data = bytearray()
    while len(data) < count and (more := client.socket.recv(min(count - len(data), 65536))):
        data += more
    return bytes(data)


def receive_all(client: Client) -> bytes:
    return receive(client, 1 << 40)


def receive_head(client: Client, count: int) -> bytes:
    """The first `count` octets of a frame, behind the server's pings; those go unanswered."""
    head = receive(client, 2)
    while head == b"\x89\x00":
        head = receive(client, 2)
    return head + receive(client, count - 2)


def echoes(client: Client) -> bool:
    client.send(frame(TEXT, b"still there?"))
    return receive_head(client, 14) == b"\x81\x0cstill there?"


@pytest.fixture(scope="module")
def server():
    options = ["--ws-ping-interval", "0.5", "--ws-ping-timeout", "0.5", "--ws-close-timeout", "1"]
    with start_server("--no-access-log", *options, app="websocket_app:app", app_dir=APPS) as server:
        yield server


@pytest.fixture(scope="module")
def calm():
    """A server whose pings nobody has to answer in time."""
    with start_server("--no-access-log", app="websocket_app:app", app_dir=APPS) as server:
        yield server


def test_a_half_open_peer_is_found(server) -> None:
    client = open_websocket(server, "/watch?half-open")
    # It keeps the connection, and answers nothing.
    server.wait_for_log(r"half-open left with 1006", timeout=5)
    client.close()


def test_a_peer_that_answers_pings_stays(server) -> None:
    client = open_websocket(server)
    for _ in range(3):
        assert receive(client, 2) == b"\x89\x00"
        client.send(frame(PONG))
    assert echoes(client)


def test_a_client_of_a_deaf_application_is_missed(server) -> None:
    before = server.descriptors
    client = open_websocket(server, "/deaf")
    client.send(frame(TEXT, b"x") * 100)  # more than is read
    assert server.descriptors > before
    client.close()
    eventually(lambda: server.descriptors == before)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_others_have_their_turn_between_reads(loop: str, tmp_path: Path) -> None:
    # A Unix socket holds all that its sender may have in its own buffer.
    path = str(tmp_path / "socket")
    server = ServerProcess(["--uds", path, "--loop", loop, "--app-dir", str(APPS), "websocket_app:app"], {})
    try:
        server.wait_for_log(r"unix:")
        with socket.socket(socket.AF_UNIX) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            client.settimeout(20)
            client.connect(path)
            # What takes long to deal with.
            client.sendall(handshake("/turns") + frame(PING) * (3 * MIB // 6) + frame(TEXT, b"end"))
            answer = b""
            while b"turns" not in answer:
                more = client.recv(4096)
                assert more, answer
                answer += more
        assert server.terminate() == 0
    finally:
        server.process.kill()
        server.wait()
    # At most 256 KiB a turn.
    assert int(answer.partition(b"turns")[0][-8:]) >= 3 * 4


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("secure", [False, True])
def test_others_have_their_turn_between_bombs(loop: str, secure: bool, authority: Authority) -> None:
    tls = ["--ssl-certfile", str(authority.issue("localhost"))] if secure else []
    with start_server(
        "--no-access-log", "--loop", loop, *tls, app="websocket_app:app", app_dir=APPS
    ) as server:
        bomb = frame(BINARY, Deflater(12, False, 6, 5).deflate(bytes(16 * MIB)), rsv=0x40)
        assert len(bomb) < 20_000
        context = authority.client_context("http/1.1") if secure else None

        def opened(path: str) -> Client:
            if context is None:
                return open_websocket(server, path, "permessage-deflate")
            client = TLSClient(server.host, server.port, context)
            client.send(handshake(path, "permessage-deflate"))
            assert client.read_head().status == 101
            return client

        hostile = [opened("/sizes") for _ in range(4)]
        other = opened("/echo")
        for client in hostile:
            client.send(bomb * 12)
        waits = []
        # To inflate all takes two seconds and more.
        until = time.monotonic() + 1.0
        while (begun := time.monotonic()) < until:
            assert echoes(other)
            waits.append(time.monotonic() - begun)
        assert len(waits) > 8, waits
        for client in hostile:
            assert receive(client, 12 * 10) == b"\x81\x0816777216" * 12
            client.close()
        other.close()


def test_a_peer_that_never_reads_costs_little(server) -> None:
    before = server.resident
    clients = [open_websocket(server, "/flood", receive_buffer=4096) for _ in range(4)]
    for client in clients:
        client.send(frame(TEXT, b"go"))
    time.sleep(0.4)
    assert server.resident - before < 24 * MIB
    assert echoes(open_websocket(server))
    for client in clients:
        client.reset()


def test_a_peer_that_never_reads_its_echoes_is_made_to_wait(server) -> None:
    before = server.resident
    client = open_websocket(server, receive_buffer=4096)
    client.socket.settimeout(1.0)
    sent = 0
    try:
        while sent < 256 * MIB:
            client.send(frame(BINARY, bytes(MIB)))
            sent += MIB
    except TimeoutError:
        pass
    assert sent < 64 * MIB
    assert server.resident - before < 64 * MIB
    client.reset()
    assert echoes(open_websocket(server))


@pytest.mark.parametrize(
    ("flood", "expected"),
    [
        (frame(PING, bytes(125)) * 500, None),
        (frame(PONG) * 10_000, None),
        (frame(TEXT) * 5_000, None),
        (frame(TEXT, b"x", fin=False) + frame(0, b"x", fin=False) * 20_000, None),
        (frame(TEXT, b"x", fin=False) + frame(0, fin=False) * 1100, b"\x88\x14\x03\xf0too many fragments"),
    ],
    ids=["pings", "pongs", "empty messages", "tiny fragments", "empty fragments"],
)
def test_floods_do_not_hold_others_up(calm, flood: bytes, expected: bytes | None) -> None:
    before = calm.resident
    other = open_websocket(calm)
    client = open_websocket(calm, receive_buffer=1 << 20)
    client.socket.settimeout(0.2)
    slowest = 0.0
    for _ in range(4):
        try:
            client.send(flood)
            while client.socket.recv(1 << 20):
                pass
        except (TimeoutError, ConnectionError):
            pass
        started = time.monotonic()
        assert echoes(other)
        slowest = max(slowest, time.monotonic() - started)
        if expected:
            break
    assert slowest < 2  # seconds, on a machine that is busy with other tests
    assert calm.resident - before < 32 * MIB
    client.reset()


@pytest.mark.parametrize(("octets", "code"), [(b"\x81\x00", 1002), (frame(TEXT, b"\xff"), 1007)])
def test_what_a_client_breaks_is_no_error_of_the_applications(calm, octets: bytes, code: int) -> None:
    """It goes on in the same turn of the loop, and finds nothing in `sys.exc_info()`."""
    client = open_websocket(calm, "/watch?context")
    client.send(octets)
    assert receive_all(client)[2:4] == code.to_bytes(2, "big")
    calm.wait_for_log(rf"context left with {code} '.*' within None", timeout=5)
    client.close()


def test_fragments_without_end_are_cut(server) -> None:
    client = open_websocket(server)
    client.send(frame(TEXT, b"x", fin=False))
    for _ in range(14):
        client.send(frame(0, b"x", fin=False) * 10_000)
    assert b"too many fragments" in receive_all(client)


def test_sixteen_mebibytes_pass_and_one_octet_more_does_not(calm) -> None:
    client = open_websocket(calm, timeout=20)
    client.send(frame(BINARY, bytes(16 * MIB)))
    assert receive_head(client, 10) == b"\x82\x7f" + (16 * MIB).to_bytes(8, "big")
    assert receive(client, 16 * MIB) == bytes(16 * MIB)
    client.send(frame(BINARY, bytes(16 * MIB + 1))[:20])
    assert receive_head(client, 1 << 40) == b"\x88\x11\x03\xf1message too big"


def test_a_client_killed_within_a_message(server) -> None:
    code = (
        "import socket, sys, time\n"
        f"s = socket.create_connection(('127.0.0.1', {server.port}))\n"
        f"s.sendall({handshake('/watch?killed')!r})\n"
        "s.recv(1000)\n"
        f"s.sendall({frame(BINARY, bytes(1000))[:500]!r})\n"
        "print('sent', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"sent\n"
        os.kill(killed.pid, signal.SIGKILL)
    server.wait_for_log(r"killed left with 1006", timeout=5)


def test_a_client_that_never_closes_in_turn(server) -> None:
    client = open_websocket(server, "/close")
    started = time.monotonic()
    assert receive_all(client) == b"\x88\x02\x03\xe8"
    assert 0.5 < time.monotonic() - started < 5


def test_the_clients_close_is_answered_and_the_connection_ends(server) -> None:
    client = open_websocket(server, "/watch?polite")
    client.send(close_frame(4000, "bye"))
    assert receive_all(client) == b"\x88\x05\x0f\xa0bye"
    server.wait_for_log(r"polite left with 4000 'bye'")


def test_shutdown_closes_with_1012_and_tells_the_application() -> None:
    with start_server(app="websocket_app:app", app_dir=APPS) as server:
        client = open_websocket(server, "/watch?shutdown")
        server.signal(signal.SIGTERM)
        assert receive(client, 4) == b"\x88\x02\x03\xf4"
        client.send(close_frame(1012))
        started = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - started < 5
        assert "shutdown left with 1012" in server.log
        # Status, close code, messages and octets each way
        assert re.search(
            r'"GET /watch\?shutdown HTTP/1\.1" 101 closed=1012 received=0/8 sent=0/4 ', server.log
        )


@pytest.mark.parametrize(
    ("options", "most"), [([], 40), (["--ws-deflate-takeover"], 80)], ids=["one context", "a context each"]
)
def test_sockets_that_have_compressed_cost_little_memory(options: list[str], most: int) -> None:
    count = 300
    message = Deflater(12, False, 2, 5).deflate(b"".join(b"%d," % (i * i) for i in range(200)))

    def talk() -> None:
        client = open_websocket(server, extensions="permessage-deflate; client_max_window_bits")
        client.send(frame(TEXT, message, rsv=0x40))
        assert receive(client, 4)[:2] == b"\xc1\x7e"

    with start_server("--no-access-log", *options, app="websocket_app:app", app_dir=APPS) as server:
        for _ in range(20):
            talk()
        before = server.resident
        for _ in range(count):
            talk()
        each = (server.resident - before) / count
        print(f"a WebSocket that has compressed takes {each / 1024:.1f} KiB")
        assert each < most * 1024


def test_idle_sockets_cost_little_memory() -> None:
    count = 1000
    with start_server("--no-access-log", app="websocket_app:app", app_dir=APPS) as server:
        warm = [open_websocket(server) for _ in range(20)]
        before = server.resident
        sockets = [open_websocket(server) for _ in range(count)]
        each = (server.resident - before) / count
        print(f"an idle WebSocket takes {each / 1024:.1f} KiB")
        assert each < 24 * 1024
        assert echoes(warm[0])
        assert echoes(sockets[-1])


def test_on_asyncios_event_loop() -> None:
    with start_server(
        "--loop", "asyncio", "--no-access-log", app="websocket_app:app", app_dir=APPS
    ) as server:
        client = open_websocket(server, "/watch?asyncio")
        client.send(frame(TEXT, b"x") * 100 + close_frame(1000))
        assert receive_all(client) == b"\x88\x02\x03\xe8"
        server.wait_for_log(r"asyncio left with 1000")


@pytest.mark.parametrize("end", [close_frame(1000), frame(3)], ids=["close", "error"])
@pytest.mark.parametrize("sizes", [[65535], [65536], [100_000], [40_000, 40_000], [1] * 100], ids=str)
@pytest.mark.parametrize("half_closes", [False, True])
def test_what_came_before_the_end_is_answered_though_reading_was_paused(calm, sizes, end, half_closes):
    client = open_websocket(calm, "/late")
    client.send(b"".join(frame(TEXT, b"x" * size) for size in sizes) + end)
    if half_closes:
        client.end()
    answers = b"".join(bytes((0x81, len(str(size)))) + str(size).encode() for size in sizes)
    received = receive_all(client)
    assert received.startswith(answers + b"\x88")
