"""gRPC: its own C client, over cleartext HTTP/2 by prior knowledge, and a service that is an ASGI application."""

import threading

import grpc
import pytest

from tests.support.process import start_server
from tests.support.tls import Authority

CALLS = {
    "unary_unary": ("unary", "fail", "endless", "count_cancelled", "large", "missing"),
    "unary_stream": ("server_stream", "fail", "endless"),
    "stream_unary": ("client_stream",),
    "stream_stream": ("both_streams",),
}
WAIT = 20  # seconds, for what ought to take none


@pytest.fixture(scope="module")
def server(app_dir):
    with start_server("--no-access-log", app="grpc_app:app", app_dir=app_dir) as running:
        yield running


@pytest.fixture
def channel(server):
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each test
    ]
    with grpc.insecure_channel(f"{server.host}:{server.port}", options) as opened:
        yield opened


def call(channel, kind, method):
    """A generic method: messages are bytes, as without a serializer."""
    assert method in CALLS[kind]
    return getattr(channel, kind)(f"/test.Service/{method}")


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 3_000_000])
def test_unary(channel, size) -> None:
    unary = call(channel, "unary_unary", "unary")
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert unary(message, timeout=WAIT) == b"echo " + message


def test_metadata_both_ways(channel) -> None:
    unary = call(channel, "unary_unary", "unary")
    answer, completed = unary.with_call(b"x", metadata=(("x-echo", "said"),), timeout=WAIT)
    assert answer == b"echo x"
    assert dict(completed.initial_metadata())["x-initial"] == "said"
    assert dict(completed.trailing_metadata())["x-trailing"] == "said"
    assert completed.code() == grpc.StatusCode.OK


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_server_streaming(channel, count) -> None:
    answers = call(channel, "unary_stream", "server_stream")(b"%d" % count, timeout=WAIT)
    assert list(answers) == [b"%d" % number for number in range(count)]
    assert answers.code() == grpc.StatusCode.OK


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 0), (5000, 10), (40, 100_000)])
def test_client_streaming(channel, count, size) -> None:
    upload = call(channel, "stream_unary", "client_stream")
    assert upload(iter([bytes(size)] * count), timeout=WAIT) == b"%d messages, %d octets" % (
        count,
        count * size,
    )


def test_bidirectional_streaming_in_lockstep(channel) -> None:
    """Each message is sent once the answer to the last has come."""
    answered = threading.Semaphore(1)

    def messages():
        for number in range(500):
            assert answered.acquire(timeout=WAIT)
            yield b"message %d" % number

    answers = []
    for answer in call(channel, "stream_stream", "both_streams")(messages(), timeout=WAIT):
        answers.append(answer)
        answered.release()
    assert answers == [(b"message %d" % number)[::-1] for number in range(500)]


def test_bidirectional_streaming_as_fast_as_it_goes(channel) -> None:
    sent = [b"%d" % number + bytes(1000) for number in range(3000)]
    answers = call(channel, "stream_stream", "both_streams")(iter(sent), timeout=WAIT)
    assert list(answers) == [message[::-1] for message in sent]


def test_errors_come_in_trailers(channel) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        call(channel, "unary_unary", "fail")(b"no good", timeout=WAIT)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details() == "no good"
    answers = call(channel, "unary_stream", "fail")(b"no good", timeout=WAIT)
    assert next(answers) == b"one answer"
    with pytest.raises(grpc.RpcError) as failed:
        next(answers)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_trailers_only(channel) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        call(channel, "unary_unary", "missing")(b"", timeout=WAIT)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert failed.value.details() == "no such method"


def cancelled_calls(channel) -> int:
    return int(call(channel, "unary_unary", "count_cancelled")(b"", timeout=WAIT))


def reaches(channel, expected: int) -> bool:
    """Whether the application has seen so many clients go, with a request for each look."""
    return any(cancelled_calls(channel) == expected for _ in range(2000))


def test_cancellation_reaches_the_application(channel) -> None:
    before = cancelled_calls(channel)
    answers = call(channel, "unary_stream", "endless")(b"", timeout=WAIT)
    assert next(answers) == b"waiting"
    answers.cancel()
    assert reaches(channel, before + 1)
    assert call(channel, "unary_unary", "unary")(b"still here", timeout=WAIT) == b"echo still here"


def test_deadlines(channel) -> None:
    before = cancelled_calls(channel)
    with pytest.raises(grpc.RpcError) as failed:
        call(channel, "unary_unary", "endless")(b"", timeout=0.2)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert reaches(channel, before + 1)


def test_many_calls_at_once_on_one_connection(channel) -> None:
    unary = call(channel, "unary_unary", "unary")
    pending = [unary.future(b"%d" % number, timeout=WAIT) for number in range(500)]
    assert [each.result() for each in pending] == [b"echo %d" % number for number in range(500)]


def test_a_large_answer_past_every_window(channel) -> None:
    assert len(call(channel, "unary_unary", "large")(b"20000000", timeout=WAIT)) == 20_000_000


def test_over_tls(app_dir, tmp_path) -> None:
    authority = Authority(tmp_path)
    certificate = str(authority.issue("localhost"))
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    arguments = ("--no-access-log", "--ssl-certfile", certificate)
    options = [("grpc.enable_http_proxy", 0)]
    with (
        start_server(*arguments, app="grpc_app:app", app_dir=app_dir) as running,
        grpc.secure_channel(f"localhost:{running.port}", credentials, options) as channel,
    ):
        assert call(channel, "unary_unary", "unary")(bytes(100_000), timeout=WAIT) == b"echo " + bytes(
            100_000
        )
        sent = [b"%d" % number for number in range(200)]
        answers = call(channel, "stream_stream", "both_streams")(iter(sent), timeout=WAIT)
        assert list(answers) == [message[::-1] for message in sent]
        with pytest.raises(grpc.RpcError) as failed:
            call(channel, "unary_unary", "fail")(b"no good", timeout=WAIT)
        assert failed.value.details() == "no good"
