"""Options of other servers that Tidegate has under another name, or not at all, and what to do instead."""

from typing import Final

_LEAVE: Final = "leave it out"

# By flag; where both have one of the same name it needs no hint.
ELSEWHERE: Final = {
    # uvicorn
    "--http": f"there is one implementation of HTTP/1.1: {_LEAVE}; HTTP/2 is --http2",
    "--ws": f"there is one implementation of WebSockets: {_LEAVE}",
    "--reload-delay": f"changes are told by the system: {_LEAVE}",
    "--limit-max-requests-jitter": "give --recycle-jitter, a share",
    "--timeout-worker-healthcheck": "give --timeout-stall",
    "--reset-contextvars": f"each request has a context of its own: {_LEAVE}",
    "--ssl-version": "give --ssl-min-version",
    # gunicorn, hypercorn
    "-b": "give --bind",
    "-w": "give --workers",
    "-k": "ASGI and WSGI are told apart: leave it out, or give --interface",
    "--worker-class": "ASGI and WSGI are told apart: leave it out, or give --interface or --loop",
    "-c": "give --config, a TOML file",
    "--threads": "give --wsgi-threads",
    "--worker-connections": "give --limit-connections",
    "-t": "give --timeout-stall",
    "--timeout": "give --timeout-stall, for a blocked event loop",
    "--graceful-timeout": "give --timeout-graceful-shutdown",
    "--keep-alive": "give --timeout-keep-alive",
    "--max-requests-jitter": "give --recycle-jitter, a share",
    "--access-logfile": "the access log goes to standard output; for a file, give --log-config",
    "--error-logfile": "the log goes to standard error; for a file, give --log-config",
    "--access-logformat": "give --access-log-template",
    "--daemon": "leave that to systemd or a container; with --workers there is a --pid-file",
    "-D": "leave that to systemd or a container; with --workers there is a --pid-file",
    "--pid": "give --pid-file",
    "-p": "give --pid-file, or --port",
    "--chdir": "give --app-dir",
    "--pythonpath": "give --app-dir",
    "--certfile": "give --ssl-certfile",
    "--keyfile": "give --ssl-keyfile",
    # granian
    "--blocking-threads": "give --wsgi-threads",
    "--http1-header-read-timeout": "give --timeout-head",
    "--backpressure": "give --limit-concurrency",
    "--access-log-fmt": "give --access-log-template",
}


def hint(name: str) -> str:
    """`: ` and what to do instead of the option `name`, in any spelling; empty where nothing is known."""
    flag = name if name.startswith("-") else "--" + name.replace("_", "-")
    found = ELSEWHERE.get(flag)
    return f": {found}" if found else ""
