"""`python -m benchmarks.reliability`: which requests are lost while workers are replaced."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .load import Load, Tally
from .report import write_docs
from .servers import Running, Server, alive, peers, tidegate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[2]
ROLL_TIMEOUT = 30.0  # seconds
IN_FLIGHT = 0.3  # seconds around a kill -9 in which a lost request was in flight in what was killed
SETTLE = 3.0
RECYCLE_REQUESTS = 400


@dataclass(slots=True)
class Outcome:
    """One server under one event."""

    server: str
    event: str
    times: int
    requests: int
    lost: int
    in_flight: int  # of a process that was killed by force; not in `lost`
    kinds: dict[str, int]
    longest: float  # seconds that an answer took
    seconds: float
    note: str = ""


class Trial:
    """One server under load while `event` happens."""

    def __init__(self, running: Running, load: Load) -> None:
        self.running = running
        self.load = load
        self.kills: list[float] = []
        self.times = 0
        self.note = ""
        self.begun = time.monotonic()

    def serving(self) -> set[int]:
        """The processes that have answered, and live."""
        return {int(pid) for pid in self.load.tally.processes if alive(int(pid))}

    async def gone(self, pids: set[int]) -> bool:
        deadline = time.monotonic() + ROLL_TIMEOUT
        while any(alive(pid) for pid in pids):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def hup(self, times: int) -> None:
        for _ in range(times):
            before = self.serving()
            self.running.signal(signal.SIGHUP)
            self.times += 1
            if not await self.gone(before):
                self.note = f"HUP {self.times}: old workers lived on"
                return
            await asyncio.sleep(0.3)  # the last of the new ones is up, and has answered

    async def kill(self, times: int) -> None:
        for _ in range(times):
            pids = self.serving()
            if not pids:
                self.note = "nobody answers any more"
                return
            self.kills.append(time.monotonic() - self.begun)
            os.kill(max(pids), signal.SIGKILL)
            self.times += 1
            await asyncio.sleep(2)

    async def scale(self, times: int) -> None:
        for number in (signal.SIGTTIN, signal.SIGTTOU) * times:
            self.running.signal(number)
            self.times += 1
            await asyncio.sleep(1.5)

    async def recycle(self, times: int) -> None:
        before = self.serving()
        deadline = time.monotonic() + times * 2
        while time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        self.times = max(0, len(self.load.tally.processes) - len(before))
        if self.times == 0:
            self.note = "no worker was replaced"

    async def usr2(self, times: int) -> None:
        for _ in range(times):
            before, main = self.serving(), self.running.pid
            self.running.signal(signal.SIGUSR2)
            self.times += 1
            if self.running.server.name == "gunicorn":
                # As its manual says: wait for the new master, then end the old one.
                await asyncio.sleep(4)
                os.kill(main, signal.SIGTERM)
            if not await self.gone(before | {main}):
                self.note = "the old processes lived on"
                return
            while (
                not self.running.pid_file.exists()
            ):  # the new one takes the name over when the old one has gone
                await asyncio.sleep(0.1)
            self.running.pid = int(self.running.pid_file.read_text())
            await asyncio.sleep(0.5)


EVENTS: dict[str, tuple[int, str]] = {
    "hup": (20, "HUP, 20 times"),
    "kill": (5, "kill -9 of a worker, 5 times"),
    "scale": (5, "TTIN and TTOU, 5 times each"),
    "recycle": (10, f"recycling after about {RECYCLE_REQUESTS} requests"),
    "usr2": (2, "USR2, twice"),
}


async def run(server: Server, python: str, event: str, logs: Path) -> Outcome:
    running = Running(server, python, logs, recycle=RECYCLE_REQUESTS if event == "recycle" else 0)
    try:
        await asyncio.to_thread(running.wait_until_up)
        load = Load(running.port)
        trial = Trial(running, load)
        task = asyncio.create_task(load.run())
        await asyncio.sleep(2)
        happen: Callable[[int], Awaitable[None]] = getattr(trial, event)
        await happen(EVENTS[event][0])
        await asyncio.sleep(SETTLE)
        load.end()
        await task
        seconds = time.monotonic() - trial.begun
    finally:
        await asyncio.to_thread(running.stop)
    return judge(server.name, event, trial, load.tally, seconds)


def judge(server: str, event: str, trial: Trial, tally: Tally, seconds: float) -> Outcome:
    lost: Counter[str] = Counter()
    in_flight = 0
    for failure in tally.failures:
        if any(-0.05 <= failure.at - kill <= IN_FLIGHT for kill in trial.kills):
            in_flight += 1
        else:
            lost[f"{failure.kind}: {failure.what}"] += 1
    return Outcome(
        server,
        event,
        trial.times,
        tally.requests,
        lost.total(),
        in_flight,
        dict(lost),
        tally.longest,
        seconds,
        trial.note,
    )


def version_of(python: str, distribution: str) -> str:
    program = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    return subprocess.run(
        [python, "-c", program, distribution], capture_output=True, text=True, check=False
    ).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--servers", help="comma-separated (default: all)")
    parser.add_argument("--events", help=f"comma-separated, of {', '.join(EVENTS)} (default: all)")
    parser.add_argument(
        "--python",
        type=os.path.abspath,
        default=str(ROOT / ".venv/bin/python"),
        help="Tidegate's interpreter",
    )
    parser.add_argument(
        "--peers-python", type=os.path.abspath, default=sys.executable, help="the peers' interpreter"
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/reliability.md")
    options = parser.parse_args()
    wanted = None if options.servers is None else options.servers.split(",")
    events = list(EVENTS) if options.events is None else options.events.split(",")
    logs = ROOT / ".bench" / "reliability"
    outcomes: list[Outcome] = []
    versions: dict[str, str] = {}
    for server in [tidegate(), *peers()]:
        if wanted is not None and server.name not in wanted:
            continue
        python = options.python if server.name == "tidegate" else options.peers_python
        versions[server.name] = version_of(python, server.distribution)
        for event in events:
            if event not in server.events:
                continue
            try:
                outcome = asyncio.run(run(server, python, event, logs))
            except (RuntimeError, OSError, ValueError) as error:  # the next server has its turn
                outcome = Outcome(server.name, event, 0, 0, 0, 0, {}, 0.0, 0.0, f"failed: {error}")
            outcomes.append(outcome)
            print(json.dumps(asdict(outcome)), flush=True)
    if options.write_docs:
        labels = {event: label for event, (_, label) in EVENTS.items()}
        write_docs(ROOT / "docs" / "reliability.md", outcomes, versions, labels)
    if any(outcome.lost for outcome in outcomes if outcome.server == "tidegate"):
        sys.exit("Tidegate lost requests")


if __name__ == "__main__":
    main()
