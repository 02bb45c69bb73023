"""A server with an admin address, as a process; and what that tells."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import ServerProcess
from tests.support.wire import Client, Response

HERE = Path(__file__).parent
QUICK = (
    "--timeout-graceful-shutdown",
    "2",
    "--timeout-shutdown-idle",
    "0.1",
    "--timeout-shutdown-cancel",
    "0.2",
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Observed(ServerProcess):
    """The application is tests/support/observed_app.py."""

    admin_port = 0

    def up(self) -> "Observed":
        self.wait_for_log(r"workers: ready|process \d+: ready", 60)
        self.port = int(self.wait_for_log(r"Listening on https?://127\.0\.0\.1:(\d+)")[1])
        self.admin_port = int(self.wait_for_log(r"Admin address: http://127\.0\.0\.1:(\d+)")[1])
        return self

    def ask_admin(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        with Client(self.host, self.admin_port) as client:
            return client.request(method, path, *headers, ("Connection", "close"))

    def metrics(self) -> Samples:
        return samples(self.ask_admin("/metrics"))

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask_admin("/workers").body)
        return found


@contextmanager
def observed(*options: str, app: str = "observed_app:app") -> Iterator[Observed]:
    server = Observed(
        [
            "--port",
            "0",
            "--admin",
            "127.0.0.1:0",
            "--admin-host",
            "test",
            *QUICK,
            "--app-dir",
            str(HERE),
            *options,
            app,
        ],
        {},
    )
    try:
        yield server.up()
        if server.process.poll() is None:
            assert server.terminate() == 0, server.log
    finally:
        for client in server.clients:
            client.close()
        server.process.kill()
        server.process.wait()
        server.reader.join(10)


def samples(answer: Response) -> Samples:
    """Read by Prometheus' own parsers, which refuse what is not well-formed."""
    text = answer.body.decode()
    kind = answer.header("content-type") or b""
    parse = (
        openmetrics.text_string_to_metric_families
        if b"openmetrics" in kind
        else text_string_to_metric_families
    )
    found: Samples = {}
    for family in parse(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    assert re.search(r"# EOF\n\Z", text) is not None or b"openmetrics" not in kind
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((f"tidegate_{name}", frozenset(labels.items())), 0.0)


def total(found: Samples, name: str) -> float:
    """Of all labels."""
    return sum(number for (sample, _), number in found.items() if sample == f"tidegate_{name}")
