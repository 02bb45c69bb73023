"""Neither a slow reader nor a slow application makes the server grow: a GiB each way, through the real process."""

import os
import threading
import time

import pytest

from tests.support.process import start_server

GIBIBYTE = 1 << 30
MAX_GROWTH = 32 << 20


@pytest.fixture(params=["uvloop", "asyncio"])
def server(request, app_dir):
    options = ("--loop", request.param, "--no-access-log")
    with start_server(*options, app="applications:app", app_dir=app_dir) as server:
        with server.client() as client:
            for _ in range(10):
                assert client.request("GET", "/").body == b"ok"
        yield server


def peak(server):
    return server.status("VmHWM")


@pytest.mark.parametrize("chunk", [65536, 1 << 20])
def test_a_gibibyte_down_to_a_slow_reader(server, chunk):
    before = peak(server)
    with server.client(timeout=30) as client:
        client.send_request("GET", f"/gibibyte?{chunk}")
        assert client.read_head().header("content-length") == b"%d" % GIBIBYTE
        received = len(client.buffer)
        buffer = bytearray(1 << 20)
        slow_until = time.monotonic() + 1
        while received < GIBIBYTE:
            slow = time.monotonic() < slow_until
            count = client.socket.recv_into(buffer, 4096 if slow else 0)
            assert count, f"the connection ended at {received}"
            received += count
            if slow:
                time.sleep(0.005)
                assert peak(server) - before < MAX_GROWTH
        assert received == GIBIBYTE
    assert peak(server) - before < MAX_GROWTH


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_gibibyte_up_to_a_slow_application(server, coding):
    before = peak(server)
    with server.client(timeout=30) as client:
        piece = bytes(1 << 20)
        if coding == "length":
            framing, end = b"Content-Length: %d" % GIBIBYTE, b""
        else:
            framing, end = b"Transfer-Encoding: chunked", b"0\r\n\r\n"
            piece = b"100000\r\n" + piece + b"\r\n"
        client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        for _ in range(1024):
            client.send(piece)
        client.send(end)
        assert client.read_response().body == b"%d" % GIBIBYTE
    assert peak(server) - before < MAX_GROWTH


def sent_until_blocked(client, data, seconds=0.5):
    """How many octets go out before nothing has moved for so long."""
    client.socket.settimeout(seconds)
    total = 0
    while total < 200 << 20:
        try:
            total += client.socket.send(data)
        except TimeoutError:
            return total
    return total


def test_pipelined_requests_without_reading_the_answers(server):
    before = peak(server)
    with server.client() as client:
        total = sent_until_blocked(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        assert total < 64 << 20  # what the kernel's buffers took of requests, and of their answers
        assert peak(server) - before < MAX_GROWTH
        with server.client() as other:
            assert other.request().body == b"ok"


def test_pipelining_behind_a_slow_request(server):
    before = peak(server)
    with server.client() as client:
        client.send_request("GET", "/slow?3")
        total = sent_until_blocked(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        assert total < 32 << 20
        assert peak(server) - before < MAX_GROWTH


def test_many_slow_readers_at_once(server):
    before = peak(server)
    clients = [server.client(receive_buffer=4096) for _ in range(50)]
    for client in clients:
        client.send_request("GET", "/gibibyte")
    time.sleep(1)
    growth = peak(server) - before
    for client in clients:
        client.close()
    assert growth < MAX_GROWTH


def test_a_stream_cannot_starve_other_connections(server):
    """`send` lets the loop run, however fast its reader is."""
    stop = threading.Event()

    def read():
        with server.client() as client:
            client.send_request("GET", "/gibibyte")
            buffer = bytearray(1 << 20)
            while not stop.is_set() and client.socket.recv_into(buffer):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        worst = 0.0
        with server.client() as client:
            for _ in range(20):
                start = time.monotonic()
                assert client.request("GET", "/").body == b"ok"
                worst = max(worst, time.monotonic() - start)
        assert worst < 1
    finally:
        stop.set()
        reader.join()


def test_no_descriptor_is_left_behind(server):
    before = server.descriptors
    for _ in range(20):
        with server.client() as client:
            client.request("GET", "/")
        client = server.client()
        client.send(b"GET / HT")
        client.reset()
    time.sleep(0.2)
    assert server.descriptors <= before
    assert os.path.exists(f"/proc/{server.pid}")
