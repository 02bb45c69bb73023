"""How the limit of open files is shared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.net.descriptors import Room, divide


@pytest.mark.parametrize(
    ("wanted", "descriptors", "room"),
    [
        (Room(10_000, 1024, 512), 11_536, Room(10_000, 1024, 512)),
        (Room(10_000, 1024, 512), 11_535, Room(9999, 1024, 512)),
        (Room(10_000, 0, 0), 896, Room(896, 0, 0)),
        (Room(10_000, 1024, 0), 896, Room(784, 112, 0)),
        (Room(10_000, 1024, 512), 896, Room(672, 112, 112)),
        (Room(100, 1024, 0), 896, Room(100, 112, 0)),
        (Room(10_000, 1024, 512), 0, Room(1, 1, 1)),
        (Room(10_000, 1024, 512), -100, Room(1, 1, 1)),
    ],
)
def test_division(wanted, descriptors, room):
    assert divide(wanted, descriptors) == room


counts = st.integers(0, 20_000)


@given(st.integers(1, 20_000), counts, counts, st.integers(16, 60_000))
def test_nobody_gets_more_than_there_is_or_than_he_wants(connections, handshakes, greetings, descriptors):
    room = divide(Room(connections, handshakes, greetings), descriptors)
    assert room.connections + room.handshakes + room.greetings <= descriptors
    assert 1 <= room.connections <= connections
    assert min(handshakes, 1) <= room.handshakes <= handshakes
    assert min(greetings, 1) <= room.greetings <= greetings
