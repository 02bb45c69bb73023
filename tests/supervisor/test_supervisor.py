"""What the supervisor decides, with made-up processes and time."""

import logging
import re
import signal
from collections.abc import Iterator

import pytest

from tests.supervisor.made_up import Stage, plan
from tidegate.net.share import ConnectionTable, Share
from tidegate.supervisor.channel import (
    Adopt,
    AskToLeave,
    Beat,
    ChannelError,
    Drain,
    Dumped,
    DumpStacks,
    Hurry,
    Message,
    Ready,
    Release,
    ReopenLogs,
)
from tidegate.supervisor.development import DevelopmentSupervisor
from tidegate.supervisor.states import State
from tidegate.supervisor.supervisor import DUMP_SIGNAL

BEAT = Beat(connections=0, requests=0, resident=0)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    logger = logging.getLogger("tidegate")
    before = logger.propagate
    logger.propagate = True
    with caplog.at_level("DEBUG", "tidegate"):
        yield
    logger.propagate = before


def up(count: int = 2, **options) -> Stage:  # type: ignore[no-untyped-def]
    """A stage whose workers 1 to `count` are up."""
    stage = Stage(plan(count, **options)).start()
    for number in stage.alive:
        stage.hear(number, Ready())
    for number in stage.alive:
        stage.process(number).said.clear()
    return stage


def beat(stage: Stage, *numbers: int) -> None:
    for number in numbers:
        stage.hear(number, BEAT)


def told(stage: Stage, number: int, kind: type[Message]) -> int:
    return sum(isinstance(message, kind) for message in stage.process(number).said)


def test_it_starts_what_is_wanted_and_tells_when_all_are_up(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(plan(3)).start()
    assert stage.alive == [1, 2, 3]
    start = stage.process(2).start
    assert (start.name, start.search_path, start.sockets) == ("worker 2", ["/src"], [(1, 0), (100, 1)])
    stage.hear(1, Ready())
    assert "Listening on http://127.0.0.1:8000" in caplog.text
    stage.hear(3, Ready())
    assert stage.notified.told == []
    stage.hear(2, Ready())
    assert stage.notified.told == ["ready"]
    assert stage.supervisor.ready


def test_a_socket_whose_worker_boots_is_adopted_and_released() -> None:
    stage = Stage(plan(3)).start()
    stage.hear(2, Ready())
    adopted = [
        key for message in stage.process(2).said if isinstance(message, Adopt) for key, _ in message.sockets
    ]
    assert adopted == [0, 2]
    stage.hear(1, Ready())
    assert [message for message in stage.process(2).said if isinstance(message, Release)] == [Release([0])]
    stage.hear(3, Ready())
    assert stage.process(2).said[-1] == Release([2])
    assert told(stage, 1, Adopt) == told(stage, 3, Adopt) == 0


def test_orphans_go_to_the_least_loaded() -> None:
    stage = up(3)
    stage.hear(1, Beat(9, 0, 0))
    stage.hear(2, Beat(3, 0, 0))
    stage.end(3, -signal.SIGKILL)
    assert stage.process(2).said == [Adopt([(2, 0)])]
    assert stage.process(1).said == []
    stage.end(2, -signal.SIGKILL)  # both are then the last one's
    assert {key for message in stage.process(1).said for key, _ in message.sockets} == {1, 2}  # type: ignore[attr-defined]


def test_a_crashed_worker_is_replaced_at_once_and_then_with_more_and_more_patience() -> None:
    stage = up(1)
    stage.end(1, -signal.SIGSEGV)
    assert stage.alive == [2]
    waits = []
    for number in range(2, 12):
        stage.hear(number, Ready())
        stage.end(number, 1)
        begun = stage.now
        assert stage.alive == []
        stage.later((stage.supervisor.next_due() or 0) - stage.now)
        waits.append(stage.now - begun)
        assert stage.alive == [number + 1]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]


def test_a_worker_that_lived_long_is_replaced_at_once() -> None:
    stage = up(1)
    for number in (1, 2):
        stage.end(number, 1)
        stage.later(1)
        stage.hear(number + 1, Ready())
    stage.now += 31
    stage.end(3, 1)
    assert stage.alive == [4]


def test_a_crash_loop_at_the_start_ends_it_with_3(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(plan(2)).start()
    stage.end(1, 3)
    stage.end(3, 3)
    stage.later(0.5)
    assert stage.alive == [2, 4]
    stage.end(4, 3)
    assert stage.supervisor.stopping
    assert stage.process(2).said == [Drain(True)]
    stage.end(2, 3)
    assert stage.supervisor.finished
    assert stage.supervisor.exit_code == 3
    assert "worker 1 failed 3 times to come up: giving up" in caplog.text


def test_once_one_was_up_there_is_no_giving_up() -> None:
    stage = Stage(plan(2)).start()
    stage.hear(1, Ready())
    for _ in range(20):
        stage.end(max(stage.alive), 3)
        for _ in range(31):
            stage.later(1)
            beat(stage, 1)
        assert not stage.supervisor.stopping
        assert len(stage.alive) == 2


def test_booting_has_its_own_clock(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(plan(1)).start()
    stage.later(95)
    lines = re.findall(r"worker 1 \(process 1001\) has been booting for (\d+) s", caplog.text)
    assert lines == ["30", "60", "90"]
    assert stage.worker(1).state is State.BOOTING
    assert stage.process(1).signals == []


def test_a_boot_limit_ends_it() -> None:
    stage = Stage(plan(1, boot=5.0)).start()
    stage.later(4.9)
    assert stage.process(1).signals == []
    stage.later(0.2)
    assert stage.process(1).signals == [signal.SIGKILL]
    stage.end(1, -signal.SIGKILL)
    assert stage.alive == [2]


def test_each_worker_has_a_place_in_the_table_of_connections_while_it_accepts() -> None:
    stage = Stage(plan(2))
    stage.sockets.table = ConnectionTable()
    stage.start()
    assert [stage.process(number).start.place for number in (1, 2)] == [0, 1]
    assert stage.process(1).start.shared == [100]
    first, second = (Share(stage.sockets.table.descriptor, place) for place in (0, 1))
    first.count = lambda: 100
    for number in (1, 2):
        stage.hear(number, Ready())
    second.publish()
    assert not first.may_accept()
    for _ in range(6):
        stage.later(1)
        beat(stage, 1)
    assert stage.worker(2).state is State.STALLED
    assert first.may_accept()  # none is left to a worker that is stalled
    second.publish()
    stage.end(2, -signal.SIGKILL)
    assert first.may_accept()
    assert stage.process(3).start.place == 1
    stage.launcher.refuses = True
    stage.end(3, 1)
    stage.later(1)
    stage.launcher.refuses = False
    stage.later(2)
    assert stage.process(max(stage.alive)).start.place == 1
    stage.supervisor.stop(stage.now)
    assert stage.sockets.closed


@pytest.mark.parametrize("answers", [True, False])
def test_a_stalled_worker_shows_its_stacks_and_is_replaced(
    caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    stage = up(2, stall_log=5.0, stall=30.0)
    for _ in range(6):
        stage.later(1)
        beat(stage, 2)
    assert stage.worker(1).state is State.STALLED
    assert stage.process(1).signals == []
    assert told(stage, 1, DumpStacks) == 1
    if answers:
        stage.hear(1, Dumped())
    assert stage.process(2).said == [Adopt([(0, 0)])]  # new connections do not wait for it
    for _ in range(25):
        stage.later(1)
        beat(stage, 2)
    assert stage.worker(1).state is State.DRAINING
    assert told(stage, 1, Drain) == 1
    assert stage.alive == [1, 2, 3]
    dumped = [] if answers else [DUMP_SIGNAL]
    assert stage.process(1).signals == dumped  # asked, not killed: it may wake up and finish
    stage.hear(3, Ready())
    assert stage.process(2).said[-1] == Release([0])
    for _ in range(25):
        stage.later(1)
        beat(stage, 2, 3)
    assert stage.process(1).signals == [*dumped, signal.SIGKILL]
    stage.end(1, -signal.SIGKILL)
    assert stage.alive == [2, 3]
    assert "its event loop has not turned for 30.0 s: replacing it" in caplog.text


def test_a_stalled_worker_that_wakes_up_stays() -> None:
    stage = up(2)
    for _ in range(6):
        stage.later(1)
        beat(stage, 2)
    beat(stage, 1)
    assert stage.worker(1).state is State.UP
    assert stage.process(2).said == [Adopt([(0, 0)]), Release([0])]
    assert stage.alive == [1, 2]


def test_a_roll_replaces_one_after_the_other() -> None:
    stage = up(3)
    new = plan(3)
    stage.supervisor.roll(new, stage.now)
    for old in (1, 2, 3):
        assert stage.alive == sorted({*range(old, 4), *range(4, old + 4)})
        assert stage.process(old).said == []  # serves until its successor does
        stage.hear(old + 3, Ready())
        assert stage.process(old).said == [Drain(False)]
        stage.end(old)
    assert stage.notified.told == ["ready", "reloading", "ready"]
    assert all(stage.process(number).start.config is new.config for number in (4, 5, 6))
    assert all(stage.process(number).said == [] for number in (4, 5, 6))
    stage.end(5, 1)
    assert stage.process(7).start.config is new.config


def test_a_worker_that_does_not_come_up_stops_the_roll(caplog: pytest.LogCaptureFixture) -> None:
    stage = up(2)
    new = plan(2)
    stage.supervisor.roll(new, stage.now)
    stage.hear(3, Ready())
    stage.end(1)
    stage.end(4, 3)
    stage.later(1)
    beat(stage, 2, 3)
    assert stage.alive == [2, 3]
    assert "The reload stops: worker 2 did not come up; the workers that there were go on" in caplog.text
    assert stage.notified.told == ["ready", "reloading", "ready"]
    assert stage.process(2).said == []
    # Each slot starts again what it last came up with.
    stage.end(2, 1)
    stage.end(3, 1)
    stage.later(5)
    configs = [stage.process(number).start.config is new.config for number in stage.alive]
    assert configs.count(True) == 1


def test_a_boot_limit_stops_the_roll() -> None:
    stage = up(1)
    stage.supervisor.roll(plan(1, boot=3.0), stage.now)
    for _ in range(4):
        stage.later(1)
        beat(stage, 1)
    assert stage.process(2).signals == [signal.SIGKILL]
    stage.end(2, -signal.SIGKILL)
    stage.later(1)
    beat(stage, 1)
    assert stage.alive == [1]
    assert stage.notified.told[-1] == "ready"


def test_rolls_that_are_asked_for_meanwhile_are_one() -> None:
    stage = up(1)
    for _ in range(4):
        stage.supervisor.roll(plan(1), stage.now)
    stage.hear(2, Ready())
    stage.end(1)
    stage.hear(3, Ready())
    stage.end(2)
    assert stage.alive == [3]
    assert stage.notified.told == ["ready", "reloading", "ready", "reloading", "ready"]


def test_a_roll_while_workers_boot_and_wait_for_a_restart() -> None:
    stage = up(2)
    stage.end(1, 1)
    stage.end(3, 1)  # now it waits
    stage.end(2, 1)  # now its next one boots
    assert stage.alive == [4]
    stage.supervisor.roll(plan(2), stage.now)
    assert stage.alive == [4, 5]
    stage.hear(5, Ready())
    assert stage.process(4).said == [Hurry()]
    stage.end(4, 130)
    stage.hear(6, Ready())
    assert stage.alive == [5, 6]
    assert stage.supervisor.ready


def test_a_roll_changes_the_number() -> None:
    stage = up(1)
    stage.supervisor.roll(plan(2), stage.now)
    stage.hear(2, Ready())
    assert stage.alive == [1, 2, 3]
    stage.hear(3, Ready())
    stage.end(1)
    stage.supervisor.roll(plan(1), stage.now)
    stage.hear(4, Ready())
    stage.hear(5, Ready())
    assert [number for number in stage.alive if stage.worker(number).state is State.UP] == [4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests": 100, "jitter": 0.2}, Beat(0, 90, 0)),
        ({"memory": 100 << 20, "jitter": 0.2}, Beat(0, 0, 90 << 20)),
    ],
)
def test_recycling_starts_the_successor_first(options: dict[str, float], message: Beat) -> None:
    stage = up(2, **options)
    stage.hear(1, Beat(0, 89, 89 << 20))
    assert stage.alive == [1, 2]
    stage.hear(1, message)
    assert stage.alive == [1, 2, 3]
    stage.hear(2, message)  # one at a time
    assert stage.alive == [1, 2, 3]
    assert stage.process(1).said == []
    stage.hear(3, Ready())
    assert stage.process(1).said == [Drain(False)]
    stage.end(1)
    stage.hear(2, message)
    assert stage.alive == [2, 3, 4]


def test_recycling_by_age() -> None:
    stage = up(1, age=50.0, jitter=0.2)  # 45 s, as half of the jitter is drawn
    for _ in range(44):
        stage.later(1)
        beat(stage, 1)
    assert stage.alive == [1]
    stage.later(1)
    beat(stage, 1)
    assert stage.alive == [1, 2]


def test_a_successor_that_fails_is_tried_again_later() -> None:
    stage = up(1, requests=10, jitter=0.0)
    stage.hear(1, Beat(0, 10, 0))
    stage.end(2, 3)
    stage.hear(1, Beat(0, 10, 0))
    assert stage.alive == [1]
    stage.later(0.5)
    stage.hear(1, Beat(0, 10, 0))
    assert stage.alive == [1, 3]
    assert stage.worker(1).state is State.UP


def test_a_successor_takes_over_from_one_that_crashed() -> None:
    stage = up(1)
    stage.hear(1, AskToLeave())
    assert stage.alive == [1, 2]
    stage.end(1, -signal.SIGKILL)
    assert stage.alive == [2]
    stage.hear(2, Ready())
    assert stage.supervisor.ready


def test_scaling() -> None:
    stage = up(1)
    stage.supervisor.scale(1, stage.now)
    stage.hear(2, Ready())
    assert stage.sockets.slots == [0, 1]
    stage.supervisor.scale(-1, stage.now)
    assert stage.process(1).said == [Adopt([(1, 0)])]  # its socket is never left alone
    assert stage.process(2).said == [Drain(False)]
    stage.end(2)
    stage.supervisor.scale(-1, stage.now)
    assert stage.alive == [1]  # the last one stays
    assert stage.worker(1).state is State.UP
    stage.supervisor.scale(1, stage.now)
    assert stage.alive == [1, 3]


def test_scaling_down_in_the_middle_of_a_roll() -> None:
    stage = up(2)
    stage.supervisor.roll(plan(2), stage.now)
    stage.hear(3, Ready())
    stage.end(1)
    assert stage.alive == [2, 3, 4]
    stage.supervisor.scale(-1, stage.now)
    stage.end(2)
    stage.end(4)
    assert stage.alive == [3]
    assert stage.notified.told[-1] == "ready"


def test_a_stop_drains_all_and_refuses_connections() -> None:
    stage = up(2)
    stage.supervisor.stop(stage.now)
    assert [stage.process(number).said for number in (1, 2)] == [[Drain(True)], [Drain(True)]]
    assert stage.sockets.closed
    assert stage.notified.told[-1] == "stopping"
    stage.end(1)
    assert not stage.supervisor.finished
    stage.end(2)
    assert stage.supervisor.finished
    assert stage.supervisor.exit_code == 0
    assert stage.supervisor.next_due() is None


def test_impatience_and_force() -> None:
    stage = up(1)
    stage.supervisor.stop(stage.now)
    stage.supervisor.stop(stage.now)
    assert stage.process(1).said == [Drain(True), Hurry()]
    stage.supervisor.stop(stage.now)
    assert stage.process(1).signals == [signal.SIGKILL]
    stage.end(1, -signal.SIGKILL)
    assert stage.supervisor.exit_code == 1


def test_quit_is_now() -> None:
    stage = up(2)
    stage.supervisor.quit(stage.now)
    assert stage.process(1).said == [Drain(True), Hurry()]
    stage.later(15)
    assert stage.process(1).signals == [signal.SIGKILL]


def test_a_drain_has_a_deadline() -> None:
    stage = up(1)
    stage.supervisor.stop(stage.now)
    stage.later(19.9)  # 1 + 10 + 2 * 2 + 3 + 2
    assert stage.process(1).signals == []
    stage.later(0.2)
    assert stage.process(1).signals == [signal.SIGKILL]


def test_a_failed_lifespan_shutdown_is_the_exit_code() -> None:
    stage = up(2)
    stage.supervisor.stop(stage.now)
    stage.end(1, 1)
    stage.end(2, 0)
    assert stage.supervisor.exit_code == 1


def test_stopped_in_the_middle_of_everything() -> None:
    stage = up(2)
    stage.end(2, 1)
    stage.end(3, 1)  # waits for its restart
    stage.supervisor.roll(plan(2), stage.now)
    stage.supervisor.stop(stage.now)
    for number in stage.alive:
        assert isinstance(stage.process(number).said[-1], Drain)
        stage.end(number)
    assert stage.supervisor.finished
    assert stage.supervisor.next_due() is None
    stage.supervisor.roll(plan(2), stage.now)
    stage.supervisor.scale(1, stage.now)
    assert stage.alive == []


def test_the_next_supervisor_gets_the_backlog() -> None:
    stage = up(1)
    stage.supervisor.stop(stage.now, successors_serve=True)
    assert stage.process(1).said == [Drain(False)]
    assert "stopping" not in stage.notified.told


def test_log_files_are_opened_anew_by_all() -> None:
    stage = up(2)
    stage.supervisor.reopen_logs()
    assert told(stage, 1, ReopenLogs) == told(stage, 2, ReopenLogs) == 1


def test_no_process_to_be_had(caplog: pytest.LogCaptureFixture) -> None:
    stage = up(2)
    stage.launcher.refuses = True
    stage.end(1, 1)
    stage.later(0.4)
    assert "No process for worker 1: Resource temporarily unavailable" in caplog.text
    stage.launcher.refuses = False
    stage.later(1)
    assert stage.alive == [2, 4]
    stage.launcher.refuses = True
    stage.supervisor.roll(plan(2), stage.now)
    assert stage.notified.told[-1] == "ready"
    assert stage.alive == [2, 4]


def test_no_process_to_be_had_at_the_start() -> None:
    stage = Stage(plan(1))
    stage.launcher.refuses = True
    stage.start()
    stage.later(2)
    assert stage.supervisor.finished
    assert stage.supervisor.exit_code == 3


def test_a_worker_that_does_not_read_is_killed() -> None:
    stage = up(1)

    def send(message: Message, descriptors: object = ()) -> None:
        raise ChannelError("the other side does not read")

    stage.process(1).send = send  # type: ignore[method-assign]
    stage.supervisor.reopen_logs()
    assert stage.process(1).signals == [signal.SIGKILL]


def test_jitter_spreads_the_limits() -> None:
    stage = Stage(plan(1, requests=1000, age=100.0, memory=2**30, jitter=0.5)).start()
    worker = stage.worker(1)
    assert (worker.max_requests, worker.max_age, worker.max_memory) == (750, 75.0, 3 * 2**28)


def test_development_ends_the_old_before_it_starts_the_new(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(plan(1), DevelopmentSupervisor).start()
    stage.end(1, 3)
    assert "The application ended (status 3): waiting for a change" in caplog.text
    stage.later(60)
    assert stage.alive == []
    stage.supervisor.roll(stage.supervisor.plan, stage.now)
    assert stage.alive == [2]
    stage.hear(2, Ready())
    stage.supervisor.roll(stage.supervisor.plan, stage.now)
    assert stage.alive == [2]
    assert stage.process(2).said == [Drain(False)]
    stage.supervisor.roll(stage.supervisor.plan, stage.now)
    stage.end(2)
    assert stage.alive == [3]
    stage.supervisor.stop(stage.now)
    stage.end(3)
    assert stage.supervisor.finished
