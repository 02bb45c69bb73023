"""A supervisor with its workers, as a process of its own."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.process import ServerProcess
from tests.support.wire import Client

HERE = Path(__file__).parent
QUICK = (
    *("--timeout-graceful-shutdown", "2"),
    *("--timeout-shutdown-idle", "0.2"),
    *("--timeout-shutdown-cancel", "0.2"),
    *("--timeout-lifespan-shutdown", "1"),
)


class Supervised(ServerProcess):
    """A supervisor; `version` is what its application finds when it is imported."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        workers: str = "2",
        address: Sequence[str] = ("--port", "0"),
        **process: Any,
    ) -> None:
        self.generation = directory / "generation"
        self.write("one")
        super().__init__(
            [*address, "--workers", workers, *QUICK, "--app-dir", str(HERE), *options, "apps:app"],
            {"GENERATION": str(self.generation), **process.pop("environment", {})},
            **process,
        )

    def write(self, version: str) -> None:
        self.generation.write_text(version)

    def up(self) -> "Supervised":
        self.wait_for_log(r"\d+ workers: ready", 30)
        self.port = int(self.wait_for_log(r"Listening on http://127\.0\.0\.1:(\d+)")[1])
        return self

    def ask(self, path: str = "/") -> str:
        with Client(self.host, self.port) as client:
            return client.request("GET", path, ("Connection", "close")).body.decode()

    def workers(self) -> list[int]:
        """Those that are up, and not told to go."""
        up = [int(pid) for pid in re.findall(r"worker \d+ \(process (\d+)\) is up", self.log)]
        return [
            pid
            for pid in up
            if Path(f"/proc/{pid}/stat").exists() and f"(process {pid}) drains" not in self.log
        ]

    def lifespans_ended(self) -> int:
        return self.log.count("lifespan of")


@contextmanager
def supervised(directory: Path, *options: str, workers: str = "2", **process: Any) -> Iterator[Supervised]:
    server = Supervised(directory, *options, workers=workers, **process)
    try:
        yield server.up()
        if server.process.poll() is None:
            assert server.terminate() == 0, server.log
        assert "Traceback" not in server.log
    finally:
        for client in server.clients:
            client.close()
        server.process.kill()
        server.process.wait()
        server.reader.join(10)
