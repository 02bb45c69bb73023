"""The run: servers take turns at every scenario, several rounds, so that the machine's noise falls on all."""

import http.client
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import process
from .load import LoadError, WrongAnswer
from .report import Results, Sample
from .scenarios import Scenario
from .servers import Certificate, Instance, Server, ServerError

WARM_UP = 1  # seconds; wrk takes whole ones
QUIET = 0.15  # of one core
SETTLE = 1.0  # seconds from the first answer to the measure of idle memory


@dataclass(slots=True)
class Run:
    servers: Sequence[Server]
    scenarios: Sequence[Scenario]
    rounds: int
    seconds: int
    retries: int  # further windows where others were at work on the cores; the quietest counts
    server_core: int
    client_core: int
    logs: Path
    say: Callable[[str], None]
    results: Results = field(default_factory=Results)
    certificate: Certificate | None = None

    def run(self) -> Results:
        with ExitStack() as running:
            instances: list[Instance] = []
            for server in self.servers:
                for secure, http2 in sorted({(each.secure, each.http2) for each in self.scenarios}):
                    if server.speaks(secure, http2) and self.examine(server, secure, http2):
                        instance = self.start(server, secure, http2)
                        running.callback(instance.stop)
                        instances.append(instance)
                        instance.park()
            for number in range(1, self.rounds + 1):
                for scenario in self.scenarios:
                    self.say(f"round {number} of {self.rounds}: {scenario.title}")
                    for instance in instances:
                        spoken = (instance.address.secure, instance.address.http2)
                        if spoken == (scenario.secure, scenario.http2):
                            self.take_turn(instance, scenario)
        return self.results

    def start(self, server: Server, secure: bool, http2: bool) -> Instance:
        if secure and self.certificate is None:
            self.certificate = Certificate.make(self.logs.parent / "tls")
        return Instance(server, self.server_core, self.logs, self.certificate if secure else None, http2)

    def examine(self, server: Server, secure: bool, http2: bool) -> bool:
        """Its memory at idle, alone (PSS depends on who else runs), and its answers. False: not timed."""
        scenarios = [each for each in self.scenarios if (each.secure, each.http2) == (secure, http2)]
        try:
            instance = self.start(server, secure, http2)
        except (ServerError, OSError) as error:
            self.say(f"{server.name}: not measured: {error}")
            if http2:
                # It may speak HTTP/1.1 all the same.
                for scenario in scenarios:
                    self.fail(server, scenario, str(error))
            else:
                self.results.absent[server.name] = str(error)
            return False
        try:
            if not secure and not http2:
                self.measure_idle(instance)
            for scenario in scenarios:
                instance.revive()
                try:
                    scenario.driver.check(instance.address)
                    instance.check_alive()
                except (WrongAnswer, ServerError, http.client.HTTPException, OSError, ValueError) as error:
                    self.fail(server, scenario, f"{type(error).__name__}: {error}")
        except ServerError as error:
            self.results.absent[server.name] = str(error)
            return False
        finally:
            instance.stop()
        return True

    def measure_idle(self, instance: Instance) -> None:
        name = instance.server.name
        time.sleep(SETTLE)
        self.results.idle[name] = process.memory(instance.pid)
        before = process.cpu_seconds(instance.pid)
        time.sleep(SETTLE)
        self.results.idle_cpu[name] = (process.cpu_seconds(instance.pid) - before) / SETTLE
        if instance.server.kind != "floor":
            self.results.extensions[name] = instance.ask("/extensions").decode()

    def take_turn(self, instance: Instance, scenario: Scenario) -> None:
        server = instance.server
        if scenario.name in self.results.failures.get(server.name, {}):
            return
        windows: list[Sample] = []
        try:
            instance.revive()
            with instance.unparked():
                try:
                    scenario.driver.run(instance.address, WARM_UP, self.client_core)
                    while len(windows) <= self.retries:
                        windows.append(self.window(instance, scenario))
                        if windows[-1].disturbance < QUIET:
                            break
                finally:
                    instance.check_alive()  # its end explains whatever the load met
        except (LoadError, ServerError) as error:
            self.fail(server, scenario, str(error))
            return
        sample = min(windows, key=lambda window: window.disturbance)
        self.results.samples.append(sample)
        errors = f"  errors {sample.errors}" if sample.errors else ""
        self.say(
            f"  {server.name:18} {sample.cpu:9.1f} us {sample.rate:10.0f}/s"
            f"  PSS {sample.pss / 2**20:6.1f} MiB  others {sample.disturbance:4.0%}{errors}"
        )

    def window(self, instance: Instance, scenario: Scenario) -> Sample:
        cores = (self.server_core, self.client_core)
        started, busy = time.monotonic(), process.busy_seconds(cores)
        server, client = process.cpu_seconds(instance.pid), own_cpu_seconds()
        load = scenario.driver.run(instance.address, self.seconds, self.client_core)
        server, client = process.cpu_seconds(instance.pid) - server, own_cpu_seconds() - client
        elapsed, busy = time.monotonic() - started, process.busy_seconds(cores) - busy
        if not load.requests:
            raise LoadError(f"no {scenario.unit} served ({load.errors})")
        return Sample(
            instance.server.name,
            scenario.name,
            cpu=server / load.requests * 1e6,
            rate=load.requests / load.seconds,
            p99=load.p99,
            pss=process.memory(instance.pid).pss,
            disturbance=max(0.0, busy - server - client) / elapsed,
            errors=load.errors,
        )

    def fail(self, server: Server, scenario: Scenario, reason: str) -> None:
        self.say(f"  {server.name:16} fails {scenario.name}: {reason}")
        self.results.failures.setdefault(server.name, {})[scenario.name] = reason


def own_cpu_seconds() -> float:
    """This process and the loads that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
