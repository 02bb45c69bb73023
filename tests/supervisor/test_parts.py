"""The small parts: sockets, signals, the number of processors, titles, credentials, the service manager."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tidegate.config import Bind, Config, ConfigError, Workers
from tidegate.net.listeners import BindError
from tidegate.server.notify import ServiceManager
from tidegate.supervisor.host import processors
from tidegate.supervisor.launcher import Credentials
from tidegate.supervisor.signals import SIGNALS, Command, SignalPipe
from tidegate.supervisor.sockets import SPREADS, SocketTable, activated, hand_over, take_over
from tidegate.supervisor.upgrade import VARIABLE, Predecessor, activated_config
from tidegate.supervisor.worker import describe_status

linux = pytest.mark.skipif(not SPREADS, reason="the kernel does not spread connections")


@linux
def test_each_slot_has_sockets_of_its_own(tmp_path: Path) -> None:
    table = SocketTable([Bind(port=0), Bind(kind="unix", path=str(tmp_path / "s"))], 10)
    try:
        table.open_slot(0)
        table.open_slot(1)
        table.open_slot(1)
        assert [table.of_slot(slot) for slot in (0, 1)] == [[0, 1], [1, 2]]
        assert table.of_slot(7) == [0, 1]  # where there is no other, it shares
        assert [table.bind_index(key) for key in table.keys()] == [0, 1, 0]  # noqa: SIM118
        assert len(table.describe(Config())) == 2
        table.listen()
        port = table.all()[0].listener.getsockname()[1]
        with pytest.raises(BindError, match="in use"):
            SocketTable([Bind(port=port)], 10)
    finally:
        table.close()
    assert not (tmp_path / "s").exists()
    with pytest.raises(ConnectionRefusedError), socket.socket() as client:
        client.connect(("127.0.0.1", port))


@linux
def test_sockets_are_handed_over() -> None:
    binds = [Bind(port=0), Bind(host="localhost", port=0)]
    table = SocketTable(binds, 10)
    table.open_slot(0)
    table.open_slot(1)
    content = [[os.dup(descriptor), address, slot] for descriptor, address, slot in hand_over(table)]
    places = take_over(content, binds[:1])  # the other address is not wanted any more
    following = SocketTable(binds[:1], 10, places)
    try:
        assert [place.slot for place in following.all()] == [0, 1]
        assert following.all()[0].listener.getsockname() == table.all()[0].listener.getsockname()
    finally:
        following.close()
        table.close()
    with pytest.raises(BindError):
        take_over([[9999, ["tcp", "127.0.0.1", 0, "", -1], 0]], binds)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_a_handover_of_nobodys(text: str) -> None:
    environ = {VARIABLE: text}
    with pytest.raises(BindError):
        Predecessor.find(environ)
    assert environ == {}
    assert Predecessor.find(environ) is None


@pytest.mark.parametrize(("pid", "count"), [("1", "1"), ("", ""), ("x", "1")])
def test_sockets_of_other_processes_are_not_taken(pid: str, count: str) -> None:
    environ = {"LISTEN_PID": pid, "LISTEN_FDS": count, "LISTEN_FDNAMES": "a"}
    assert activated(environ) == []
    assert environ == {}


@pytest.mark.parametrize("count", ["x", "0", "-1", "5000"])
def test_a_wrong_number_of_sockets(count: str) -> None:
    with pytest.raises(BindError, match="LISTEN_FDS"):
        activated({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count})


def test_activated_sockets_take_the_place_of_the_addresses() -> None:

    config = Config(binds=(Bind(port=1), Bind(port=2)))
    assert [str(bind) for bind in activated_config(config, [3])] == ["fd://3"]
    assert [str(bind) for bind in activated_config(config, [3, 4, 5])] == ["fd://3", "fd://4", "fd://5"]


def test_every_signal_is_a_command() -> None:
    assert set(SIGNALS.values()) == set(Command)
    before = signal.getsignal(signal.SIGUSR1)
    pipe = SignalPipe()
    with pipe.catching():
        assert pipe.read() == []
        for number in (signal.SIGUSR1, signal.SIGTTIN):
            os.kill(os.getpid(), number)
        assert pipe.read() == [Command.REOPEN_LOGS, Command.MORE]
    assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.parametrize(
    ("limit", "least"), [("max 100000", 1), ("100000 100000", 1), ("50000 100000", 1), ("nonsense", 1)]
)
def test_processors(tmp_path: Path, limit: str, least: int) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")
    count = processors(str(tmp_path / "cpu.max"))
    own = len(os.sched_getaffinity(0))
    assert count == (own if limit.startswith(("max", "non")) else least)
    assert processors(str(tmp_path / "missing")) == own


def test_credentials() -> None:
    own = str(os.geteuid())
    assert Credentials.of(Workers()) == Credentials()
    assert Credentials.of(Workers(user=own, umask=0o27)).umask == 0o27
    assert Credentials.of(Workers(user=own)).user == os.geteuid()
    with pytest.raises(ConfigError, match="--user: there is no nobody-knows"):
        Credentials.of(Workers(user="nobody-knows"))
    with pytest.raises(ConfigError, match="--group: there is no nobody-knows"):
        Credentials.of(Workers(group_name="nobody-knows"))


def test_statuses() -> None:
    assert describe_status(3) == "status 3"
    assert describe_status(-9) == "killed by SIGKILL"
    assert describe_status(-200) == "killed by signal 200"


@pytest.mark.parametrize("abstract", [True, False])
def test_the_service_manager(tmp_path: Path, abstract: bool) -> None:
    name = f"@tidegate-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if abstract else name)
        listener.settimeout(5)
        manager = ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})
        assert manager.watchdog == 1.5
        manager.main_process(7)
        assert listener.recv(100) == b"MAINPID=7"
    manager.ready()  # nobody listens any more, and nobody minds


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "x"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_service_manager_no_watchdog(environ: dict[str, str]) -> None:
    manager = ServiceManager(environ)
    assert manager.watchdog is None
    manager.stopping()
