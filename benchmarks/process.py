"""CPU time and memory of a process tree, from /proc (proc(5))."""

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)  # the second: open, but gone before the read


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the tree. `rss` counts a shared page once a process, `pss` divides it among its users."""

    rss: int
    pss: int


@dataclass(frozen=True, slots=True)
class Stat:
    parent: int
    ticks: int  # user and system time, with that of children waited for


def parse_stat(text: str) -> Stat:
    # Field 2, the command, may hold spaces and parentheses: count from behind the last one.
    fields = text.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), ticks=sum(int(field) for field in fields[11:15]))


def tree(root: int, proc: Path = PROC) -> dict[int, Stat]:
    """The process and all its descendants that are alive."""
    table: dict[int, Stat] = {}
    children: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                stat = parse_stat((entry / "stat").read_text())
            except GONE:
                continue
            table[int(entry.name)] = stat
            children.setdefault(stat.parent, []).append(int(entry.name))
    found: dict[int, Stat] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in table:
            found[pid] = table[pid]
            waiting += children.get(pid, [])
    return found


def cpu_seconds(root: int, proc: Path = PROC) -> float:
    """User and system time of the tree so far; a child that ended stays counted, in its parent's account."""
    return sum(stat.ticks for stat in tree(root, proc).values()) / TICKS_PER_SECOND


def busy_seconds(cores: Iterable[int], proc: Path = PROC) -> float:
    """What these cores have done so far for processes, and the time that the hypervisor took away.

    Interrupts are left out: their time is in no process's account, so it would pass for a stranger's.
    """
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in (proc / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, system, _idle, _iowait, _irq, _softirq, steal = (int(field) for field in fields[:8])
            ticks += user + nice + system + steal
    return ticks / TICKS_PER_SECOND


def memory(root: int, proc: Path = PROC) -> Memory:
    rss = pss = 0
    for pid in tree(root, proc):
        for name, size in _rollup(proc / str(pid) / "smaps_rollup"):
            if name == "Rss:":
                rss += size
            elif name == "Pss:":
                pss += size
    return Memory(rss, pss)


def _rollup(path: Path) -> Iterator[tuple[str, int]]:
    try:
        lines = path.read_text().splitlines()[1:]  # the first is the address range
    except GONE:
        return
    for line in lines:
        name, size, _kilobytes = line.split()
        yield name, int(size) * 1024


def send_signal(root: int, number: signal.Signals) -> None:
    for pid in tree(root):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
