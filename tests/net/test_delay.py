"""When waiting requests are an overload."""

import asyncio
import socket
import time

from tidegate.net.delay import DelayProbe, QueueDelay, waited

TARGET, INTERVAL = 0.1, 0.5


def refused(*requests: tuple[float, float]) -> list[bool]:
    """Which requests are refused, each reached at a time after it waited so long."""
    delay = QueueDelay(TARGET, INTERVAL, 0.0)
    return [delay.exceeded(now, waited) for now, waited in requests]


def test_requests_in_time():
    assert not any(refused(*((i / 10, 0.1) for i in range(20))))


def test_a_burst_is_worked_off():
    assert not any(refused((1.0, 0.2), (1.2, 0.4), (1.4, 0.6), (1.49, 0.7), (1.6, 0.05)))


def test_what_waited_too_long_in_an_overload_is_refused():
    assert refused((1.0, 0.2), (1.3, 0.2), (1.5, 0.2), (1.6, 5.0)) == [False, False, True, True]


def test_one_request_in_time_ends_the_overload():
    assert refused((1.0, 0.2), (1.5, 0.2), (1.6, 0.1), (1.7, 0.2), (2.1, 0.2), (2.2, 0.2)) == [
        False,
        True,
        False,
        False,
        False,
        True,
    ]


def test_where_the_wait_is_not_known_the_loops_lateness_counts():
    delay = QueueDelay(TARGET, INTERVAL, 0.0)
    due = TARGET / 4
    for late, after, expected in (
        (0.2, 0.0, False),
        (0.2, 0.0, False),
        (0.2, 0.0, False),
        (0.2, 0.0, True),
        (0.0, 0.2, True),  # no probe yet in this long turn
        (0.2, 0.0, True),
        (0.0, 0.0, False),
        (0.0, 0.3, False),
    ):
        now = due + late
        due = now + delay.probe(now)
        assert delay.exceeded(now + after, None) == expected


def test_probes_of_a_real_loop():
    async def main() -> tuple[bool, bool]:
        delay = QueueDelay(0.02, 0.05, time.monotonic())
        probe = DelayProbe(asyncio.get_running_loop(), delay)
        assert not delay.exceeded(time.monotonic(), None)
        late = False
        for _ in range(4):  # turns that are too long, one after the other
            time.sleep(0.05)
            late = delay.exceeded(time.monotonic(), None)
            await asyncio.sleep(0)
        while delay.exceeded(time.monotonic(), None):
            await asyncio.sleep(0.01)
        probe.stop()
        return late, delay.exceeded(time.monotonic(), None)

    assert asyncio.run(main()) == (True, False)


class OfSocket:
    """The part of a transport that is asked."""

    def __init__(self, connected: socket.socket | None) -> None:
        self.connected = connected

    def get_extra_info(self, name: str) -> socket.socket | None:
        assert name == "socket"
        return self.connected


def test_how_long_octets_wait_in_the_kernel():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        client.send(b"x")
        time.sleep(0.1)
        accepted = listener.accept()[0]
        with accepted:
            since = waited(OfSocket(accepted))
            assert since is not None
            assert 0.08 <= since < 1
            client.send(b"y")
            time.sleep(0.01)
            since = waited(OfSocket(accepted))
            assert since is not None
            assert since < 0.08
        assert waited(OfSocket(accepted)) is None  # closed
    with socket.socket(socket.AF_UNIX) as unix:
        assert waited(OfSocket(unix)) is None
    assert waited(OfSocket(None)) is None
