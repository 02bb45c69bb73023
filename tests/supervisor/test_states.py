"""The worker's table: every state and event."""

import pytest

from tidegate.supervisor.states import TRANSITIONS, Action, Event, State, transition

# state: one row of "EVENT next-state action"; what is not written changes nothing.
TABLE = """
BOOTING   READY    UP        CAME_UP
BOOTING   BEAT     -
BOOTING   QUIET    -
BOOTING   STUCK    -
BOOTING   DRAIN    DRAINING  ASK_TO_DRAIN
BOOTING   HURRY    HURRYING  ASK_TO_HURRY
BOOTING   OVERDUE  BOOTING   KILL
BOOTING   EXITED   GONE      FAILED_TO_BOOT
UP        READY    -
UP        BEAT     -
UP        QUIET    STALLED   DUMP
UP        STUCK    -
UP        DRAIN    DRAINING  ASK_TO_DRAIN
UP        HURRY    HURRYING  ASK_TO_HURRY
UP        OVERDUE  -
UP        EXITED   GONE      CRASHED
STALLED   READY    -
STALLED   BEAT     UP        RECOVERED
STALLED   QUIET    -
STALLED   STUCK    DRAINING  REPLACE
STALLED   DRAIN    DRAINING  ASK_TO_DRAIN
STALLED   HURRY    HURRYING  ASK_TO_HURRY
STALLED   OVERDUE  -
STALLED   EXITED   GONE      CRASHED
DRAINING  READY    -
DRAINING  BEAT     -
DRAINING  QUIET    -
DRAINING  STUCK    -
DRAINING  DRAIN    -
DRAINING  HURRY    HURRYING  ASK_TO_HURRY
DRAINING  OVERDUE  KILLED    KILL
DRAINING  EXITED   GONE      LEFT
HURRYING  READY    -
HURRYING  BEAT     -
HURRYING  QUIET    -
HURRYING  STUCK    -
HURRYING  DRAIN    -
HURRYING  HURRY    -
HURRYING  OVERDUE  KILLED    KILL
HURRYING  EXITED   GONE      LEFT
KILLED    READY    -
KILLED    BEAT     -
KILLED    QUIET    -
KILLED    STUCK    -
KILLED    DRAIN    -
KILLED    HURRY    -
KILLED    OVERDUE  -
KILLED    EXITED   GONE      LEFT
GONE      READY    -
GONE      BEAT     -
GONE      QUIET    -
GONE      STUCK    -
GONE      DRAIN    -
GONE      HURRY    -
GONE      OVERDUE  -
GONE      EXITED   -
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


def test_every_state_and_event_is_written() -> None:
    assert {(row[0], row[1]) for row in ROWS} == {(s.name, e.name) for s in State for e in Event}
    assert len(ROWS) == len(State) * len(Event)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_table(row: list[str]) -> None:
    state = State[row[0]]
    expected = (state, Action.NONE) if row[2] == "-" else (State[row[2]], Action[row[3]])
    assert transition(state, Event[row[1]]) == expected


def test_no_entry_says_nothing() -> None:
    assert all(target != (state, Action.NONE) for (state, _), target in TRANSITIONS.items())
