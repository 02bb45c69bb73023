"""`python -m benchmarks.static`: static files beside nginx and the peers' ways of serving them."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from . import static_files
from .__main__ import machine
from .load import Wrk
from .measure import Run
from .report import report
from .scenarios import Scenario
from .servers import Server, peers, versions

ROOT = Path(__file__).parent.parent

SCENARIOS = (
    Scenario("static-1k", "1 KiB static file", Wrk("/static/1k.bin", static_files.content("1k"))),
    Scenario("static-50k", "50 KiB static file", Wrk("/static/50k.bin", static_files.content("50k"))),
    # Few connections: what is half sent when the window ends is not counted as served.
    Scenario(
        "static-10m", "10 MiB static file", Wrk("/static/10m.bin", static_files.content("10m"), connections=4)
    ),
)

# One process; everything on that makes it fast, and the same answers.
NGINX = """\
daemon off;
master_process off;
pid {top}/nginx.pid;
error_log {top}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  open_file_cache max=256 inactive=20s;
  open_file_cache_valid 1s;
  server {{
    listen 127.0.0.1:{port};
    location /static/ {{ alias {files}/; }}
    location / {{ return 200 "Hello, World!"; }}
  }}
}}
"""


def servers(tidegate_python: str, peers_python: str) -> list[Server]:
    files = static_files.make()
    top = ROOT / ".bench" / "nginx"

    def nginx(port: int) -> list[str]:
        top.mkdir(parents=True, exist_ok=True)
        configuration = top / "nginx.conf"
        configuration.write_text(NGINX.format(top=top, port=port, files=files))
        return ["-p", str(top), "-e", str(top / "nginx.log"), "-c", str(configuration)]

    known = {peer.name: peer for peer in peers(peers_python)}

    def with_options(name: str, label: str, distributions: str, *options: str) -> Server:
        plain = known[name].arguments
        return Server(
            label,
            peers_python,
            (*distributions.split(), *known[name].distributions),
            lambda port: [*(each.replace("app:app", "static_app:app") for each in plain(port)), *options],
        )

    found = [
        Server(
            "tidegate",
            tidegate_python,
            ("tidegate", "uvloop"),
            lambda port: (
                f"-m tidegate --host 127.0.0.1 --port {port} --no-access-log --static /static={files} app:app".split()
            ),
            kind="tidegate",
        ),
        with_options(
            "granian",
            "granian mount",
            "granian",
            "--static-path-route",
            "/static",
            "--static-path-mount",
            str(files),
        ),
        with_options("uvicorn", "starlette on uvicorn", "starlette"),
    ]
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is not None:
        # No Python server: what is measured against, beside the target.
        found.append(Server("nginx", program, (), nginx, kind="floor"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.static")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--retries", type=int, default=1)
    parser.add_argument("--tidegate-python", default=str(ROOT / ".venv/bin/python"), metavar="PATH")
    parser.add_argument(
        "--peers-python", type=os.path.abspath, default=str(ROOT / ".venv-bench/bin/python"), metavar="PATH"
    )
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the server, one for the load")
    run = Run(
        servers=servers(args.tidegate_python, args.peers_python),
        scenarios=SCENARIOS,
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
    for server in run.servers:
        run.results.servers[server.name] = {"kind": server.kind, "versions": versions(server)}
    print(report(run.run(), SCENARIOS))


if __name__ == "__main__":
    main()
