"""What a stream, a wire and a connection do unless they say otherwise."""

import pytest

from tidegate.http.connection import Connection
from tidegate.http.stream import Stream, Wire


def test_defaults() -> None:
    connection = Connection()
    assert connection.next_timeout() == connection.idle_since == float("inf")
    assert not Stream().can_push()
    with pytest.raises(NotImplementedError):
        Wire().read_file(0, 0, 1)
    for base in (Stream(), Wire()):
        with pytest.raises(NotImplementedError):
            base.unacknowledged()
