"""`python -m benchmarks`: the command line of the comparison."""

import argparse
import datetime
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from . import docs
from .load import LoadError, require
from .measure import Run
from .report import Results, report
from .scenarios import SCENARIOS, Scenario
from .servers import Server, peers, tidegate, versions

ROOT = Path(__file__).parent.parent

Item = TypeVar("Item", Server, Scenario)


def machine() -> dict[str, str]:
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "",
        "system": f"{platform.system()} {platform.release()}",
    }


def chosen(names: str | None, known: Sequence[Item], what: str) -> list[Item]:
    by_name: Mapping[str, Item] = {item.name: item for item in known}
    wanted = list(by_name) if names is None else names.split(",")
    for name in wanted:
        if name not in by_name:
            raise SystemExit(f"no {what} {name!r}; there are {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Server CPU time per request of Tidegate and its peers, one worker on one core.",
    )
    parser.add_argument("--servers", help="comma-separated (default: all)")
    parser.add_argument("--scenarios", help="comma-separated (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="windows a server and scenario; the median counts"
    )
    parser.add_argument("--seconds", type=int, default=3, help="length of a window")
    parser.add_argument(
        "--retries",
        type=int,
        default=1,
        help="windows to add where others were at work on the cores; the quietest counts",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument(
        "--from-json", type=Path, metavar="FILE", help="measure nothing: report an earlier run"
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md and its picture")
    venv, venv_bench = ROOT / ".venv/bin/python", ROOT / ".venv-bench/bin/python"
    # Absolute, since servers start in another directory; a link is not followed, for it is what makes the environment.
    python = os.path.abspath
    parser.add_argument(
        "--tidegate-python", type=python, default=str(venv), metavar="PATH", help="default: .venv's"
    )
    parser.add_argument(
        "--peers-python", type=python, default=str(venv_bench), metavar="PATH", help="default: .venv-bench's"
    )
    parser.add_argument(
        "--python",
        type=python,
        action="append",
        default=[],
        metavar="PATH",
        help="measure Tidegate under this interpreter too, which has it installed, with and without the "
        "eager start of tasks that it has from 3.12 on; repeatable",
    )
    parser.add_argument(
        "--label", action="append", default=[], help="the name of the server of each --python"
    )
    args = parser.parse_args()
    if len(args.python) != len(args.label):
        parser.error("each --python needs its --label")
    return args


def measured(args: argparse.Namespace, scenarios: Sequence[Scenario]) -> Results:
    known = [tidegate(args.tidegate_python)]
    for python, label in zip(args.python, args.label, strict=True):
        known += [tidegate(python, label), tidegate(python, f"{label}-lazy", "lazy")]
    known += peers(args.peers_python)
    servers = chosen(args.servers, known, "server")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    require("wrk", "wrk")
    if any(scenario.http2 for scenario in scenarios):
        require("h2load", "nghttp2-client")
    require("taskset", "util-linux")
    run = Run(
        servers=servers,
        scenarios=scenarios,
        rounds=args.rounds,
        seconds=args.seconds,
        retries=args.retries,
        server_core=cores[0],
        client_core=cores[1],
        logs=ROOT / ".bench" / "logs",
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    run.results.machine = machine() | {
        "windows": f"median of {args.rounds} windows of {args.seconds} s a server and scenario"
    }
    for server in servers:
        run.results.servers[server.name] = {"kind": server.kind, "versions": versions(server)}
    return run.run()


def main() -> None:
    args = parse()
    scenarios = chosen(args.scenarios, SCENARIOS, "scenario")
    if args.from_json:
        results = Results.from_json(json.loads(args.from_json.read_text()))
    else:
        try:
            results = measured(args, scenarios)
        except LoadError as error:
            raise SystemExit(str(error)) from error
    print(report(results, scenarios))
    if args.write_docs:
        docs.write(results, scenarios, ROOT / "docs")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results.to_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
