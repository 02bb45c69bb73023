"""The channel: messages, descriptors, and what is refused."""

import os
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import Config
from tidegate.supervisor.channel import (
    HEADER,
    KINDS,
    MAX_QUEUED,
    Adopt,
    AskToLeave,
    Beat,
    Channel,
    ChannelError,
    Decoder,
    Drain,
    Dumped,
    DumpStacks,
    Hurry,
    Message,
    Ready,
    Release,
    ReopenLogs,
    Start,
    encode,
)

REPORTS: list[Message] = [Ready(), Beat(1, 2, 3), Dumped(), AskToLeave()]
ORDERS: list[Message] = [
    Start(Config(app="main:app"), ["/src"], "worker 1", [(0, 0), (1, 2)], [1], 0),
    Adopt([(3, 1)]),
    Release([3, 4]),
    Drain(True),
    Hurry(),
    ReopenLogs(),
    DumpStacks(),
]


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    worker = Channel(theirs, reports=False)
    yield ours, worker
    ours.close()
    worker.close()


def normal(message: Message) -> object:
    """JSON has lists for tuples."""
    if isinstance(message, Adopt):
        return Adopt([(key, bind) for key, bind in message.sockets])
    return message


@given(st.data())
def test_messages_come_out_however_they_are_cut(data: st.DataObject) -> None:
    messages = data.draw(st.lists(st.sampled_from(REPORTS), max_size=5))
    octets = b"".join(map(encode, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=5)))
    decoder = Decoder(reports=True)
    found = [
        message for a, b in pairwise([0, *cuts, len(octets)]) for message, _ in decoder.feed(octets[a:b])
    ]
    assert found == messages


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    decoder = Decoder(reports=True)
    try:
        found = decoder.feed(data)
    except ChannelError:
        return
    assert all(type(message) in KINDS for message, _ in found)


@pytest.mark.parametrize(
    "octets",
    [
        HEADER.pack(99, 0, 0),
        HEADER.pack(0, 3, 0) + b"abc",  # a worker's Start would be unpickled
        HEADER.pack(9, 5000, 0),
        HEADER.pack(9, 2, 1) + b"{}",
        HEADER.pack(9, 2, 0) + b"{}",
        HEADER.pack(9, 2, 0) + b"[]",
        HEADER.pack(8, 9, 0) + b'{"a": 1}',
        HEADER.pack(9, 1000, 0) + b"[" * 1000,
        encode(Beat("much", 0, 0)),  # type: ignore[arg-type]
    ],
)
def test_what_no_worker_may_say(octets: bytes) -> None:
    with pytest.raises(ChannelError):
        Decoder(reports=True).feed(octets + b" ")


def test_both_directions_with_descriptors(ends: tuple[Channel, Channel]) -> None:
    ours, worker = ends
    with socket.socket() as first, socket.socket() as second:
        ours.send(ORDERS[0], [first.fileno(), second.fileno()])
        ours.send(ORDERS[1], [second.fileno()])
        for message in ORDERS[2:]:
            ours.send(message)
        found: list[tuple[Message, list[int]]] = []
        while len(found) < len(ORDERS):
            found += worker.receive(wait=True)
        assert [normal(message) for message, _ in found] == ORDERS
        assert [len(descriptors) for _, descriptors in found] == [2, 1, 0, 0, 0, 0, 0]
        for _, descriptors in found:
            for descriptor in descriptors:
                assert not os.get_inheritable(descriptor)
                os.close(descriptor)
    for message in REPORTS:
        worker.send(message)
    assert [message for message, _ in ours.receive()] == REPORTS
    assert ours.receive() == []


def test_a_worker_that_does_not_read_is_not_waited_for(ends: tuple[Channel, Channel]) -> None:
    ours, worker = ends
    sent = 0
    refused = False
    while not refused and sent < 10 * MAX_QUEUED:
        try:
            ours.send(Release(list(range(50))))
            sent += 1
        except ChannelError:
            refused = True
    assert refused
    assert ours.waiting
    received = 0
    while received < sent:
        received += len(worker.receive(wait=True))
        ours.flush()
    assert not ours.waiting
    assert worker.receive() == []


def test_the_end(ends: tuple[Channel, Channel]) -> None:
    ours, worker = ends
    worker.close()
    with pytest.raises(EOFError):
        ours.receive()
    ours.send(Hurry())  # which its exit makes moot
    assert not ours.waiting


def test_a_message_that_is_too_long() -> None:
    with pytest.raises(ChannelError):
        encode(Release([1 << 60] * 60_000))
