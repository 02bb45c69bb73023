"""What counting costs: `python -m benchmarks.metrics_cost` (needs valgrind, and the compiled build).

Instructions of one hello request by callgrind, as the difference of two runs, without and with --admin; and beside it
the CPU time of interleaved pairs of runs, one request at a time on one connection, as medians.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
COUNTED = re.compile(rb"Collected : (\d+)")


@contextmanager
def serving(
    *options: str, wrapper: tuple[str, ...] = ()
) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket]]:
    """A server, and a connection to it."""
    with tempfile.TemporaryDirectory() as directory:
        # Over TCP: of a Unix socket's octets the kernel does not say how long they have waited.
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()
        admin = [option.replace("ADMIN", f"unix:{directory}/admin") for option in options]
        process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "tidegate", "--app-dir", str(HERE), "app:app", "--port",
             str(address[1]), "--no-access-log", "--log-level", "warning", *admin],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stderr=subprocess.PIPE,
        )  # fmt: skip
        client = socket.socket()
        deadline = time.monotonic() + 120
        while client.connect_ex(address) != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(process.communicate()[1].decode())
            client.close()
            client = socket.socket()
            time.sleep(0.1)
        try:
            yield process, client
        finally:
            client.close()
            process.terminate()
            process.wait()


def ask(client: socket.socket, rounds: int, depth: int) -> None:
    """Send `rounds` times `depth` requests, and read their answers."""
    client.sendall(REQUEST)
    size = len(client.recv(65536)) * depth
    for _ in range(rounds):
        client.sendall(REQUEST * depth)
        got = 0
        while got < size:
            got += len(client.recv(65536))


def instructions(*options: str) -> float:
    """Of one request."""
    counted = []
    took = 0.0
    for rounds in (20200, 200):
        with serving(
            *options, wrapper=("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        ) as (
            process,
            client,
        ):
            started = time.monotonic()
            ask(client, rounds, 1)
            # Both as long: under callgrind, which is slow, timers come fifty times as often as for so many requests.
            took = took or time.monotonic() - started
            time.sleep(max(0.0, took - (time.monotonic() - started)))
            process.terminate()
            found = COUNTED.search(process.communicate()[1])
            assert found is not None
            counted.append(int(found[1]))
    return (counted[0] - counted[1]) / 20000


def cpu(rounds: int, *options: str) -> float:
    """Microseconds of a request, of user and system."""
    with serving(*options) as (process, client):
        ask(client, 500, 1)
        before = used(process.pid)
        ask(client, rounds, 1)
        return (used(process.pid) - before) / rounds * 1e6


def used(pid: int) -> float:
    # proc(5): nanoseconds on the processor, of all threads.
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=20000)
    arguments = parser.parse_args()
    # Both on one processor: to wake another costs more than the request does, and now this much, now that.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    on = ("--admin", "ADMIN")
    without, counting = instructions(), instructions(*on)
    print(f"instructions: {without:.0f} off, {counting:.0f} on: {counting / without - 1:+.2%}", flush=True)
    pairs = [(cpu(arguments.rounds), cpu(arguments.rounds, *on)) for _ in range(arguments.pairs)]
    off, with_metrics = (statistics.median(side) for side in zip(*pairs, strict=True))
    change = statistics.median(b / a - 1 for a, b in pairs)
    print(
        f"CPU, median of {len(pairs)} pairs: {off:.2f} us off, {with_metrics:.2f} us on; "
        f"median of the pairs' differences {change:+.2%}"
    )


if __name__ == "__main__":
    main()
