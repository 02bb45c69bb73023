"""A worker's life, as one table: state x event -> next state and what the supervisor does about it."""

from enum import Enum, auto
from typing import Final


class State(Enum):
    BOOTING = auto()  # the process runs; its application's startup is not complete
    UP = auto()  # it accepts connections
    STALLED = auto()  # up, but its event loop has not beaten for a while
    DRAINING = auto()  # asked to finish what it has, and go
    HURRYING = auto()  # asked to go now; its lifespan shutdown still runs
    KILLED = auto()  # by SIGKILL, and not yet reaped
    GONE = auto()


class Event(Enum):
    READY = auto()  # it says that it accepts
    BEAT = auto()  # its event loop has turned
    QUIET = auto()  # no beat for the time after which that is told
    STUCK = auto()  # no beat for the time after which it is replaced
    DRAIN = auto()  # it is to go, gracefully
    HURRY = auto()  # it is to go now
    OVERDUE = auto()  # its time to boot, to drain or to hurry is over
    EXITED = auto()  # the process has ended


class Action(Enum):
    NONE = auto()
    CAME_UP = auto()
    DUMP = auto()  # its stacks go to the log
    RECOVERED = auto()
    REPLACE = auto()  # a successor takes its place, then it drains
    ASK_TO_DRAIN = auto()
    ASK_TO_HURRY = auto()
    KILL = auto()
    FAILED_TO_BOOT = auto()
    CRASHED = auto()
    LEFT = auto()


S, E, A = State, Event, Action

# What is not here changes nothing: a message that was under way when its worker's state changed.
TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Action]]] = {
    (S.BOOTING, E.READY): (S.UP, A.CAME_UP),
    (S.BOOTING, E.DRAIN): (S.DRAINING, A.ASK_TO_DRAIN),
    (S.BOOTING, E.HURRY): (S.HURRYING, A.ASK_TO_HURRY),
    (S.BOOTING, E.OVERDUE): (S.BOOTING, A.KILL),  # its exit is then one that failed to boot
    (S.BOOTING, E.EXITED): (S.GONE, A.FAILED_TO_BOOT),
    (S.UP, E.QUIET): (S.STALLED, A.DUMP),
    (S.UP, E.DRAIN): (S.DRAINING, A.ASK_TO_DRAIN),
    (S.UP, E.HURRY): (S.HURRYING, A.ASK_TO_HURRY),
    (S.UP, E.EXITED): (S.GONE, A.CRASHED),
    (S.STALLED, E.BEAT): (S.UP, A.RECOVERED),
    (S.STALLED, E.STUCK): (S.DRAINING, A.REPLACE),
    (S.STALLED, E.DRAIN): (S.DRAINING, A.ASK_TO_DRAIN),
    (S.STALLED, E.HURRY): (S.HURRYING, A.ASK_TO_HURRY),
    (S.STALLED, E.EXITED): (S.GONE, A.CRASHED),
    (S.DRAINING, E.HURRY): (S.HURRYING, A.ASK_TO_HURRY),
    (S.DRAINING, E.OVERDUE): (S.KILLED, A.KILL),
    (S.DRAINING, E.EXITED): (S.GONE, A.LEFT),
    (S.HURRYING, E.OVERDUE): (S.KILLED, A.KILL),
    (S.HURRYING, E.EXITED): (S.GONE, A.LEFT),
    (S.KILLED, E.EXITED): (S.GONE, A.LEFT),
}


def transition(state: State, event: Event) -> tuple[State, Action]:
    """The next state, and what is to be done."""
    return TRANSITIONS.get((state, event), (state, Action.NONE))
