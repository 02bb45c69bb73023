"""The run: every server takes its turn at every scenario, several rounds, so that the machine's noise falls on all."""

import http.client
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import process
from .load import LoadError, WrongAnswer
from .report import Results, Sample
from .scenarios import Scenario
from .servers import Instance, Server, ServerError

WARM_UP = 1  # seconds; wrk takes whole ones
SETTLE = 1.0  # seconds from the first answer to the measure of idle memory


@dataclass(slots=True)
class Run:
    servers: Sequence[Server]
    scenarios: Sequence[Scenario]
    rounds: int
    seconds: int
    server_core: int
    client_core: int
    logs: Path
    say: Callable[[str], None]
    results: Results = field(default_factory=Results)

    def run(self) -> Results:
        with ExitStack() as running:
            instances: dict[str, Instance] = {}
            for server in self.servers:
                if self.examine(server):
                    instances[server.name] = instance = self.start(server)
                    running.callback(instance.stop)
                    instance.park()
            for number in range(1, self.rounds + 1):
                for scenario in self.scenarios:
                    self.say(f"round {number} of {self.rounds}: {scenario.title}")
                    for instance in instances.values():
                        self.take_turn(instance, scenario)
        return self.results

    def start(self, server: Server) -> Instance:
        return Instance(server, self.server_core, self.logs)

    def examine(self, server: Server) -> bool:
        """Alone on the machine: its memory at idle (PSS depends on who else runs), and its answers. False: not timed."""
        try:
            instance = self.start(server)
        except (ServerError, OSError) as error:
            self.say(f"{server.name}: not measured: {error}")
            self.results.absent[server.name] = str(error)
            return False
        try:
            time.sleep(SETTLE)
            self.results.idle[server.name] = process.memory(instance.pid)
            before = process.cpu_seconds(instance.pid)
            time.sleep(SETTLE)
            self.results.idle_cpu[server.name] = (process.cpu_seconds(instance.pid) - before) / SETTLE
            if server.kind != "floor":
                self.results.extensions[server.name] = instance.ask("/extensions").decode()
            for scenario in self.scenarios:
                try:
                    scenario.driver.check(instance.address)
                except (WrongAnswer, http.client.HTTPException, OSError, ValueError) as error:
                    self.fail(server, scenario, f"{type(error).__name__}: {error}")
                instance.check_alive()
        except ServerError as error:
            self.results.absent[server.name] = str(error)
            return False
        finally:
            instance.stop()
        return True

    def take_turn(self, instance: Instance, scenario: Scenario) -> None:
        server = instance.server
        if scenario.name in self.results.failures.get(server.name, {}):
            return
        try:
            instance.revive()
            with instance.unparked():
                try:
                    scenario.driver.run(instance.address, WARM_UP, self.client_core)
                    before = process.cpu_seconds(instance.pid)
                    load = scenario.driver.run(instance.address, self.seconds, self.client_core)
                    cpu = process.cpu_seconds(instance.pid) - before
                    pss = process.memory(instance.pid).pss
                finally:
                    instance.check_alive()  # its end explains whatever the load met
            if not load.requests:
                raise LoadError(f"no {scenario.unit} served ({load.errors})")
        except (LoadError, ServerError) as error:
            self.fail(server, scenario, str(error))
            return
        sample = Sample(
            server.name,
            scenario.name,
            cpu=cpu / load.requests * 1e6,
            rate=load.requests / load.seconds,
            p99=load.p99,
            pss=pss,
            errors=load.errors,
        )
        self.results.samples.append(sample)
        errors = f"  errors {load.errors}" if load.errors else ""
        self.say(
            f"  {server.name:16} {sample.cpu:9.1f} us {sample.rate:10.0f}/s  PSS {sample.pss / 2**20:6.1f} MiB{errors}"
        )

    def fail(self, server: Server, scenario: Scenario, reason: str) -> None:
        self.say(f"  {server.name:16} fails {scenario.name}: {reason}")
        self.results.failures.setdefault(server.name, {})[scenario.name] = reason
