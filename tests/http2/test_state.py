"""The table of RFC 9113 §5.1, every state and every event, written once more as its figure 2 has it."""

import pytest

from tidegate.http2 import state
from tidegate.http2.state import COLUMNS, EVENTS, STATES, TABLE

IGNORED, UNEXPECTED, STREAM_ENDED, LONG_CLOSED, OURS = (
    state.IGNORE,
    state.UNEXPECTED,
    state.STREAM_ENDED,
    state.LONG_CLOSED,
    state.BAD,
)

# What follows from each event, in the order of EVENTS; a state's name stands for it.
FIGURE: dict[str, tuple[str | int, ...]] = {
    "IDLE": ("OPEN", UNEXPECTED, OURS, UNEXPECTED, UNEXPECTED, OURS, OURS, OURS),
    "RESERVED": (
        *(UNEXPECTED, UNEXPECTED, OURS, "CLOSED", "RESERVED"),
        *("HALF_CLOSED_REMOTE", OURS, "CLOSED"),
    ),
    "OPEN": (
        *("OPEN", "OPEN", "HALF_CLOSED_REMOTE", "CLOSED", "OPEN"),
        *("OPEN", "HALF_CLOSED_LOCAL", "CANCELLED"),
    ),
    "HALF_CLOSED_REMOTE": (
        *(STREAM_ENDED, STREAM_ENDED, OURS, "CLOSED", "HALF_CLOSED_REMOTE"),
        *("HALF_CLOSED_REMOTE", "CLOSED", "CLOSED"),
    ),
    "HALF_CLOSED_LOCAL": (
        *("HALF_CLOSED_LOCAL", "HALF_CLOSED_LOCAL", "CLOSED", "CLOSED", "HALF_CLOSED_LOCAL"),
        *(OURS, OURS, "CANCELLED"),
    ),
    "CLOSED": (LONG_CLOSED, LONG_CLOSED, OURS, IGNORED, IGNORED, OURS, OURS, OURS),
    "CANCELLED": (IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, OURS, OURS, OURS),
}


@pytest.mark.parametrize("name", STATES)
def test_every_state_and_event(name: str) -> None:
    row = STATES.index(name)
    for column, event in enumerate(EVENTS):
        expected = FIGURE[name][column]
        found = TABLE[row * COLUMNS + column]
        if isinstance(expected, str):
            assert STATES[found] == expected, (name, event)
        else:
            assert found == expected, (name, event)


def test_the_table_is_whole() -> None:
    assert set(FIGURE) == set(STATES)
    assert len(TABLE) == len(STATES) * len(EVENTS) == len(STATES) * COLUMNS
