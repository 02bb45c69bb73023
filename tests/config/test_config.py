"""tidegate.config: what each section takes, refuses, and says about it."""

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import OPTIONS, Bind, Config, ConfigError, Limits, Logging, Timeouts


def test_defaults() -> None:
    config = Config()
    assert [str(bind) for bind in config.binds] == ["127.0.0.1:8000"]
    assert config.app is None
    assert config.limits == Limits(
        request_line=8192, head=65536, fields=100, body=None, trailers=8192, pipelined=16
    )
    assert (config.limits.connections, config.limits.concurrency) == (10_000, None)
    assert (config.timeouts.idle, config.timeouts.keep_alive, config.timeouts.keep_alive_busy) == (75, 75, 10)
    assert (config.timeouts.head, config.timeouts.write, config.timeouts.min_body_rate) == (30, 60, 240)
    assert config.logging.request_id_header == "x-request-id"
    # Within Kubernetes' 30 seconds.
    shutdown = config.timeouts
    assert shutdown.graceful_shutdown + shutdown.shutdown_cancel + shutdown.lifespan_shutdown == 25


def test_it_is_frozen_and_goes_through_a_pipe() -> None:
    config = Config(
        app="main:app", binds=(Bind(port=0), Bind(kind="unix", path="/run/x")), limits=Limits(body=1)
    )
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.app = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8000", Bind(host="127.0.0.1", port=8000)),
        ("localhost:0", Bind(host="localhost", port=0)),
        ("[::1]:443", Bind(host="::1", port=443)),
        (" [::]:80 ", Bind(host="::", port=80)),
        ("[fe80::1%eth0]:80", Bind(host="fe80::1%eth0", port=80)),
        ("unix:/run/tidegate.sock", Bind(kind="unix", path="/run/tidegate.sock")),
        ("unix:run:time.sock", Bind(kind="unix", path="run:time.sock")),
        ("fd://3", Bind(kind="fd", fd=3)),
        ("https://[::]:443", Bind(host="::", port=443, scheme="https")),
        ("http://unix:/run/x", Bind(kind="unix", path="/run/x", scheme="http")),
        ("redirect://0.0.0.0:80", Bind(host="0.0.0.0", port=80, scheme="redirect")),
        ("https://fd://3", Bind(kind="fd", fd=3, scheme="https")),
    ],
)
def test_bind_reads_an_address_and_writes_it_back(text: str, bind: Bind) -> None:
    assert Bind.parse(text) == bind
    assert Bind.parse(str(bind)) == bind


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no host or no port"),
        ("8000", "has no host or no port"),
        (":8000", "such as 0.0.0.0:8000"),
        ("localhost", "has no host or no port"),
        ("::1:8000", r"in brackets, such as \[::1\]:8000"),
        ("[]:80", "does not fit: give a host name"),
        ("a b:80", "does not fit: give a host name"),
        ("ftp://localhost:80", "ambiguous|does not fit"),
        ("localhost:http", "'http' is not a whole number: give 0 to 65535"),
        ("localhost:65536", "65536 is out of range: give 0 to 65535"),
        ("localhost:-1", "-1 is out of range"),
        ("localhost:٣", "is not a whole number"),
        ("unix:", "the path is empty"),
        ("unix:" + "x" * 108, "longer than the 107 octets"),
        ("unix:a\x00b", "does not fit"),
        ("fd://", "'' is not a whole number"),
        ("fd://-1", "the descriptor is missing"),
    ],
)
def test_bind_refuses_what_is_no_address(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Bind.parse(text)


@given(st.text(max_size=40))
def test_bind_takes_or_refuses_any_text(text: str) -> None:
    try:
        bind = Bind.parse(text)
    except ValueError:
        return
    assert Bind.parse(str(bind)) == bind


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Bind(port=70000), "port: 70000 is out of range: give 0 to 65535"),
        (lambda: Bind(port="80"), "port: '80' is not a whole number"),
        (lambda: Bind(port=True), "port: True is not a whole number"),
        (lambda: Bind(kind="tpc"), "kind: 'tpc' is not a kind of address: give tcp, unix or fd"),
        (lambda: Limits(head=10), "limit_head: 10 is out of range"),
        (lambda: Limits(fields=0), "limit_fields: 0 is out of range: give 1 to 65536"),
        (lambda: Limits(body=-1), "limit_body: -1 is out of range: give 0 or more"),
        (lambda: Timeouts(idle=0), "timeout_idle: 0 is out of range: give seconds, more than 0"),
        (lambda: Timeouts(head=float("inf")), "timeout_head: inf is out of range"),
        (lambda: Timeouts(head=float("nan")), "timeout_head: nan is not a number"),
        (lambda: Timeouts(min_body_rate=-1), "min_body_rate: -1 is out of range: give 0 or more"),
        (lambda: Logging(level="loud"), "log_level: 'loud' is not a choice: give critical or error or"),
        (lambda: Logging(access_log="yes"), "access_log: 'yes' is neither yes nor no"),
        (lambda: Logging(request_id_header="x id"), "request_id_header: 'x id' does not fit: give the name"),
        (
            lambda: Config(app="main"),
            "app: 'main' names no attribute: give module:attribute, such as \"main:app\"",
        ),
        (lambda: Config(app="src/main.py"), 'such as "src.main:app"'),
        (lambda: Config(app="a:b:c"), "app: 'a:b:c' does not fit: give module:attribute"),
        (lambda: Config(root_path="api"), "root_path: 'api' does not fit: give a path that starts with /"),
        (lambda: Config(root_path="/api/"), "does not end with it"),
        (lambda: Config(binds=()), "bind: there is no address to listen on"),
        (lambda: Config(binds=[Bind()]), r"bind: \[.*\] is not a tuple"),
        (lambda: Config(binds=("127.0.0.1:80",)), "bind: '127.0.0.1:80' is not an address: give HOST:PORT"),
        (lambda: Config(binds=(Bind(), Bind())), "bind: 127.0.0.1:8000 is there twice: leave one out"),
        (
            lambda: Config(headers=((b"X-A", b"b"),)),
            "header: .* is not as it is sent: give a pair, the name in lower",
        ),
        (lambda: Config(headers=((b"x-a", b"b\r\nc: d"),)), "header: .* control character in its value"),
        (lambda: Config(headers=((b"x a", b"b"),)), "header: .* is not a token"),
        (
            lambda: Config(headers=((b"content-length", b"1"),)),
            "header: content-length is the server's own to decide",
        ),
        (lambda: Config(headers=(("x-a", "b"),)), "header: .* must be bytes"),
        (lambda: Config(headers=((b"x-a",),)), "header: .* pair"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_option(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_port_0_may_come_twice() -> None:
    assert len(Config(binds=(Bind(port=0), Bind(port=0))).binds) == 2


def test_the_operators_server_field_takes_the_place_of_ours() -> None:
    assert Config(headers=((b"server", b"mine"),)).server_header is False
    assert Config(headers=((b"x-a", b"mine"),)).server_header is True


@pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))
def test_every_option_has_words_and_a_default_that_it_takes_itself(option) -> None:  # type: ignore[no-untyped-def]
    assert option.help.endswith(".")
    assert option.kind.metavar
    if option.name not in ("uds", "fd"):
        option.check(option.default)
    if not option.repeatable and option.default is not None:
        assert option.read(option.format(option.default)) == option.default
    if option.none is not None:
        assert option.read(option.none.upper()) is None
