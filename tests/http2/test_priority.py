"""Extensible priorities (RFC 9218)."""

import heapq
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate.http2.priority import UNSIGNALLED, ScheduledStream, Scheduler, parse_priority

NOTHING = (3, UNSIGNALLED)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", NOTHING),
        (b"u=0", (0, 0)),
        (b"u=0" + b" " * 253, (0, 0)),
        (b"u=0" + b" " * 254, NOTHING),
        (b"u=7", (7, 0)),
        (b"u=1, i", (1, 1)),
        (b"u=1,i", (1, 1)),
        (b"u=1\t ,\t i", (1, 1)),
        (b"i, u=1", (1, 1)),
        (b"i", (3, 1)),
        (b"i=?1", (3, 1)),
        (b"i=?0", (3, 0)),
        (b"u=5, i=?0", (5, 0)),
        (b"  u=2  ", (2, 0)),
        (b"u=-0", (0, 0)),
        (b"u=003", (3, 0)),
        # RFC 9651 §4.2.2: the last of a key overwrites those before it
        (b"u=1, u=2", (2, 0)),
        (b"i, i=?0", (3, 0)),
        (b"u=1, u=foo", NOTHING),
        (b"u=1;foo;bar=2, i;x=?0", (1, 1)),
        # RFC 9218 §4: unknown, out of range, of another type
        (b"foo, u=4, bar=(1 2);q, *x.y-z_9=:aGk=:", (4, 0)),
        (b"u=8", NOTHING),
        (b"u=-1, i", (3, 1)),
        (b"u=999999999999999, i=?0", (3, 0)),
        (b"u=1.0", NOTHING),
        (b'u="1"', NOTHING),
        (b"u=?1", NOTHING),
        (b"u", NOTHING),
        (b"u=(1)", NOTHING),
        (b"u=1, i=1", (1, 0)),
        (b"i=()", NOTHING),
        (b"i=x", NOTHING),
        # every type of item is passed over
        (b'a=1, b=-1.5, c="q\\"\\\\,u=0", d=tok/en:*, e=:AAA=:, f=?0, g=@1659578233, u=6', (6, 0)),
        (b'h=%"f%c3%bc", l=( 1  "a"; b=2 );c, u=6', (6, 0)),
        # no Dictionary at all
        (b"u=1,", NOTHING),
        (b"u=1 ,  ", NOTHING),
        (b",u=1", NOTHING),
        (b"u=1,,i", NOTHING),
        (b"u=1 i", NOTHING),
        (b"u=1;", NOTHING),
        (b"u=", NOTHING),
        (b"u= 1", NOTHING),
        (b"u =1", NOTHING),
        (b"U=1", NOTHING),
        (b"1", NOTHING),
        (b"u=1, x=1234567890123456", NOTHING),
        (b"u=1, x=1.2345", NOTHING),
        (b"u=1, x=1234567890123.5", NOTHING),
        (b'u=1, x="', NOTHING),
        (b'u=1, x="\\n"', NOTHING),
        (b"u=1, x=(1", NOTHING),
        (b"u=1, x=(1,2)", NOTHING),
        (b"u=1, x=(1 ;a)", NOTHING),
        (b'u=1, x=("a""b")', NOTHING),
        (b"u=1, x=?2", NOTHING),
        (b"u=1, x=:a", NOTHING),
        (b'u=1, x=%"%C3"', NOTHING),
        (b"u=1\n", NOTHING),
        (b"u=1\xff", NOTHING),
        (b"\xff\x00", NOTHING),
    ],
)
def test_parse_priority(value: bytes, expected: tuple[int, int]) -> None:
    assert parse_priority(value) == expected


@given(
    st.binary(max_size=40)
    | st.lists(st.sampled_from('ui=?01,; ()"\\:@%*.-3aA'), max_size=40).map(lambda c: "".join(c).encode())
)
def test_any_octets_have_a_priority(value: bytes) -> None:
    urgency, incremental = parse_priority(value)
    assert 0 <= urgency <= 7
    assert incremental in (-1, 0, 1)


@pytest.mark.parametrize(
    "piece",
    [
        b"a,",
        b"a;",
        b"a;b",
        b"a=(",
        b"a=(1 ",
        b"a=(()",
        b" ",
        b"a=1",
        b'a="',
        b'a="\\"',
        b"a=:a",
        b'a=%"%aa',
        b"a=?",
        b";",
        b"\t",
    ],
)
def test_parsing_takes_linear_time(piece: bytes) -> None:
    """Not the square: 100 times as much takes less than 1000 times as long."""

    def least(value: bytes) -> float:
        times = []
        for _ in range(5):
            start = time.process_time_ns()
            for _ in range(1 if len(value) > 5000 else 10):
                parse_priority(value)
            times.append(time.process_time_ns() - start)
        return min(times) / (1 if len(value) > 5000 else 10)

    head = piece[:3] if piece.startswith(b"a=") else b""
    short, long = head + piece[len(head) :] * 200, head + piece[len(head) :] * 20000
    assert least(long) < 1000 * least(short) + 1e6


def stream(stream_id: int, urgency: int = 3, incremental: int = UNSIGNALLED) -> ScheduledStream:
    made = ScheduledStream(stream_id)
    made.urgency = urgency
    made.incremental = incremental
    return made


def scheduler(*streams: ScheduledStream) -> Scheduler:
    made = Scheduler()
    for each in streams:
        made.add(each)
    return made


def turns(subject: Scheduler, count: int) -> list[int]:
    """The ids of those that send next, each having more to send than it may in one turn."""
    return [found.stream_id for _ in range(count) if (found := subject.next()) is not None]


def completed(subject: Scheduler) -> list[int]:
    """The ids in the order in which streams that send all at once have sent it."""
    ids = []
    while (found := subject.next()) is not None:
        subject.remove(found)
        ids.append(found.stream_id)
    return ids


def test_defaults() -> None:
    fresh = ScheduledStream(1)
    assert (fresh.urgency, fresh.incremental, fresh.scheduled) == (3, UNSIGNALLED, False)
    assert Scheduler().next() is None


def test_lower_urgency_goes_first() -> None:
    subject = scheduler(stream(1, 7), stream(3, 0), stream(5, 3), stream(7, 0))
    assert completed(subject) == [3, 7, 5, 1]


def test_explicitly_not_incremental_ones_go_in_stream_id_order() -> None:
    subject = scheduler(*(stream(number, 3, 0) for number in (5, 1, 9, 3, 7)))
    assert turns(subject, 4) == [1, 1, 1, 1]
    assert completed(subject) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize("incremental", [1, UNSIGNALLED])
def test_incremental_and_unsignalled_ones_share(incremental: int) -> None:
    subject = scheduler(*(stream(number, 3, incremental) for number in (5, 1, 3)))
    assert turns(subject, 7) == [5, 1, 3, 5, 1, 3, 5]


def test_both_kinds_take_every_other_turn() -> None:
    subject = scheduler(stream(1, 3, 1), stream(3, 3, 0), stream(5, 3, UNSIGNALLED), stream(7, 3, 0))
    assert turns(subject, 8) == [3, 1, 3, 5, 3, 1, 3, 5]


def test_adding_and_removing_twice_changes_nothing() -> None:
    one, two = stream(1), stream(3)
    subject = scheduler(one, two, one)
    assert turns(subject, 4) == [1, 3, 1, 3]
    assert one.scheduled
    subject.remove(one)
    subject.remove(one)
    assert not one.scheduled
    assert turns(subject, 2) == [3, 3]
    subject.remove(stream(9))
    subject.add(one)
    assert turns(subject, 2) == [3, 1]


@pytest.mark.parametrize("incremental", [0, 1])
def test_removing_from_each_place(incremental: int) -> None:
    for removed in range(4):
        streams = [stream(number, 2, incremental) for number in (1, 3, 5, 7)]
        subject = scheduler(*streams)
        subject.remove(streams.pop(removed))
        assert completed(subject) == [each.stream_id for each in streams]


def test_reprioritise() -> None:
    streams = [stream(number, 3, 0) for number in (1, 3, 5)]
    subject = scheduler(*streams)
    subject.reprioritise(streams[2], 1, 0)
    assert turns(subject, 2) == [5, 5]
    subject.reprioritise(streams[2], 3, 1)
    assert turns(subject, 4) == [5, 1, 5, 1]
    idle = stream(7)
    subject.reprioritise(idle, 0, 1)
    assert (idle.urgency, idle.incremental, idle.scheduled) == (0, 1, False)
    subject.add(idle)
    assert turns(subject, 1) == [7]


class Model(RuleBasedStateMachine):
    """The scheduler beside lists that are sorted anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = Scheduler()
        self.streams = [stream(number) for number in range(1, 20, 2)]
        self.shared: list[ScheduledStream] = []  # in the order in which they take turns
        self.ordered: list[tuple[int, ScheduledStream]] = []
        self.turn = False

    def forget(self, one: ScheduledStream) -> None:
        self.shared = [each for each in self.shared if each is not one]
        self.ordered = [item for item in self.ordered if item[1] is not one]

    def insert(self, one: ScheduledStream) -> None:
        if one.incremental == 0:
            self.ordered.append((one.stream_id, one))
            heapq.heapify(self.ordered)
        else:
            self.shared.append(one)

    @rule(number=st.integers(0, 9))
    def add(self, number: int) -> None:
        one = self.streams[number]
        if not one.scheduled:
            self.insert(one)
        self.subject.add(one)
        assert one.scheduled

    @rule(number=st.integers(0, 9))
    def remove(self, number: int) -> None:
        self.forget(self.streams[number])
        self.subject.remove(self.streams[number])
        assert not self.streams[number].scheduled

    @rule(number=st.integers(0, 9), urgency=st.integers(0, 2), incremental=st.integers(-1, 1))
    def reprioritise(self, number: int, urgency: int, incremental: int) -> None:
        one = self.streams[number]
        scheduled = one.scheduled
        self.forget(one)
        self.subject.reprioritise(one, urgency, incremental)
        if scheduled:
            self.insert(one)

    @precondition(lambda self: self.shared or self.ordered)
    @rule()
    def next(self) -> None:
        urgency = min(each.urgency for each in (*self.shared, *(item[1] for item in self.ordered)))
        shared = [each for each in self.shared if each.urgency == urgency]
        ordered = [item[1] for item in sorted(self.ordered) if item[1].urgency == urgency]
        found = self.subject.next()
        if ordered and not (self.turn and shared):
            self.turn = True
            assert found is ordered[0]
        else:
            self.turn = False
            assert found is shared[0]
            self.forget(shared[0])
            self.shared.append(shared[0])

    @invariant()
    def nothing_comes_of_nothing(self) -> None:
        if not self.shared and not self.ordered:
            assert self.subject.next() is None


TestModel = Model.TestCase
