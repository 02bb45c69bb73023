"""Rate limits: ITU-T I.371 Annex A (GCRA), RFC 6585 §4, RFC 9110 §10.2.3, draft-ietf-httpapi-ratelimit-headers-10;
and attacks on them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, call, http_scope
from tidegate.web.applications import Application
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.rate_limit import RateLimitMiddleware, client_address
from tidegate.web.ratelimit import SECOND, Decision, MemoryRateLimitStore, Quota, gcra
from tidegate.web.requests import HTTPConnection
from tidegate.web.responses import JSONResponse, PlainTextResponse, Response
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.testclient import TestClient, WebSocketDenialResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.web.requests import Request
    from tidegate.web.websockets import WebSocket

pytestmark = pytest.mark.anyio

ok = PlainTextResponse("ok")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class RemoteStore(MemoryRateLimitStore):
    """As one over a network: it yields before and after its one atomic step, and may fail or hang."""

    fails = False
    hangs = False

    async def take(self, key: str, quotas: Sequence[Quota], cost: int) -> Sequence[Decision]:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise ConnectionError("store down")
        decisions = await super().take(key, quotas, cost)
        await asyncio.sleep(0)
        return decisions


def limited(*quotas: Quota, clock: Clock | None = None, app: Any = ok, **options: Any) -> RateLimitMiddleware:
    options.setdefault("store", MemoryRateLimitStore(clock=clock or Clock()))
    return RateLimitMiddleware(app, quotas, **options)


async def ask(app: Any, client: Any = ("203.0.113.7", 1), **changes: Any) -> Sent:
    return await call(app, "/", client=client, **changes)


async def statuses(app: Any, times: int, **changes: Any) -> list[int]:
    return [(await ask(app, **changes)).status for _ in range(times)]


async def test_the_fields() -> None:
    clock = Clock()
    app = limited(Quota(3, 60), clock=clock)
    told = []
    for _ in range(4):
        sent = await ask(app)
        assert sent.headers["ratelimit-policy"] == '"default";q=3;w=60'
        told.append((sent.status, sent.headers["ratelimit"], sent.headers.get("retry-after")))
        clock.go(1)
    assert told == [
        (200, '"default";r=2;t=20', None),
        (200, '"default";r=1;t=39', None),
        (200, '"default";r=0;t=58', None),
        (429, '"default";r=0;t=57', "17"),
    ]
    assert sent.body == b"Too many requests: try again in 17 seconds"
    clock.go(15.9)
    assert (await ask(app)).status == 429
    clock.go(0.1)
    assert await statuses(app, 2) == [200, 429]


@pytest.mark.parametrize("limit", [1, 3, 7, 60, 1000])
async def test_a_burst_is_exactly_the_limit(limit: int) -> None:
    app = limited(Quota(limit, 1))
    assert await statuses(app, limit + 1) == [200] * limit + [429]


async def test_a_burst_of_its_own() -> None:
    clock = Clock()
    app = limited(Quota(60, 60, burst=2), clock=clock)
    assert await statuses(app, 3) == [200, 200, 429]
    clock.go(1)
    assert await statuses(app, 2) == [200, 429]


async def test_several_quotas_and_a_refusal_costs_nothing() -> None:
    clock = Clock()
    app = limited(Quota(2, 1), Quota(3, 3600), clock=clock, name="api")
    sent = await ask(app)
    assert sent.headers["ratelimit-policy"] == '"api-1s";q=2;w=1, "api-3600s";q=3;w=3600'
    assert sent.headers["ratelimit"] == '"api-1s";r=1;t=1, "api-3600s";r=2;t=1200'
    assert await statuses(app, 5) == [200, 429, 429, 429, 429]
    clock.go(1)
    assert await statuses(app, 3) == [200, 429, 429]
    refused = await ask(app)
    # Of the first quota one is left, whatever was asked meanwhile; the second decides how long to wait.
    assert refused.headers["ratelimit"] == '"api-1s";r=1;t=1, "api-3600s";r=0;t=3599'
    assert refused.headers["retry-after"] == "1199"


async def test_cost() -> None:
    app = limited(Quota(10), cost=4)
    assert await statuses(app, 3) == [200, 200, 429]


async def test_without_fields() -> None:
    app = limited(Quota(1), fields=False)
    for status in (200, 429):
        sent = await ask(app)
        assert sent.status == status
        assert not {"ratelimit", "ratelimit-policy"} & set(sent.headers)


async def test_two_limits_tell_of_both() -> None:
    app = limited(Quota(5, 1), app=limited(Quota(9, 1), name="inner"), name="outer")
    sent = await ask(app)
    assert [value for name, value in sent[0]["headers"] if name == b"ratelimit"] == [
        b'"inner";r=8;t=1',
        b'"outer";r=4;t=1',
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"quotas": []},
        {"quotas": Quota(1), "cost": 2},
        {"quotas": Quota(1), "cost": 0},
        {"quotas": Quota(1), "name": 'a"b'},
        {"quotas": Quota(1), "name": "a\r\nb"},
        {"quotas": Quota(1), "on_store_failure": "maybe"},
    ],
)
def test_settings_that_cannot_be(options: Any) -> None:
    with pytest.raises(ValueError):
        RateLimitMiddleware(ok, **options)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (-1, 1), (1, -1), (1, 1, 0)])
def test_quotas_that_cannot_be(numbers: Any) -> None:
    with pytest.raises(ValueError):
        Quota(*numbers)


# Whom it counts for


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("testclient", 1), "testclient"),
        (("", 0), "unknown"),
        (None, "unknown"),
    ],
)
def test_client_address(client: Any, key: str) -> None:
    assert client_address(HTTPConnection(http_scope("/", client=client))) == key


@pytest.mark.parametrize(
    "name",
    [b"x-forwarded-for", b"forwarded", b"x-real-ip", b"cf-connecting-ip", b"true-client-ip", b"x-client-ip"],
)
async def test_forged_forwarding_fields_are_no_other_client(name: bytes) -> None:
    """CVE-2025-59152: whoever may choose the key has no limit."""
    app = limited(Quota(5))
    answers = [
        (await ask(app, headers=[(b"host", b"a"), (name, b"for=10.0.0.%d" % index)])).status
        for index in range(10)
    ]
    assert answers == [200] * 5 + [429] * 5


async def test_all_addresses_of_an_ipv6_client_are_one() -> None:
    app = limited(Quota(5))
    answers = [(await ask(app, client=(f"2001:db8::{index:x}:1", 1))).status for index in range(1, 11)]
    assert answers == [200] * 5 + [429] * 5


async def test_clients_do_not_count_for_each_other() -> None:
    app = limited(Quota(1))
    for index in range(20):
        assert await statuses(app, 2, client=(f"203.0.113.{index}", 1)) == [200, 429]


async def test_key_functions() -> None:
    async def by_user(conn: HTTPConnection[Any]) -> str | None:
        await asyncio.sleep(0)
        return conn.headers.get("x-user")

    app = limited(Quota(1), key=by_user)
    assert await statuses(app, 3) == [200, 200, 200]
    for user in (b"a", b"b", b"x" * 10_000, b"x" * 10_001):
        assert await statuses(app, 2, headers=[(b"x-user", user)]) == [200, 429]
    assert all(len(key) < 200 for key in app.store._full_at)  # type: ignore[attr-defined]


async def test_names_count_apart_and_together() -> None:
    store = MemoryRateLimitStore(clock=Clock())
    one, same, other = [limited(Quota(2), store=store, name=name) for name in ("a", "a", "b")]
    assert [(await ask(app)).status for app in (one, same, one, other)] == [200, 200, 429, 200]


# 100 requests at once


@pytest.mark.parametrize("store", [MemoryRateLimitStore, RemoteStore])
async def test_of_100_at_once_no_more_pass_than_the_quota(store: Any) -> None:
    app = limited(Quota(10), store=store(clock=Clock()))
    answers = await asyncio.gather(*(ask(app) for _ in range(100)))
    assert sorted(sent.status for sent in answers) == [200] * 10 + [429] * 90
    assert sorted(sent.headers["ratelimit"] for sent in answers if sent.status == 200) == sorted(
        f'"default";r={left};t={6 * (10 - left)}' for left in range(10)
    )


# Memory


async def test_memory_is_bounded() -> None:
    clock = Clock()
    store = MemoryRateLimitStore(max_keys=100, clock=clock)
    app = limited(Quota(1, 60), store=store)
    assert (await ask(app)).status == 200
    for index in range(1000):
        await ask(app, client=(f"10.0.{index // 250}.{index % 250}", 1))
        assert (await ask(app)).status == 429  # in use, it is not forgotten
    assert len(store) == 100
    clock.go(61)
    await ask(app)
    assert len(store) == 1  # full buckets are as new
    with pytest.raises(ValueError, match="at least 1"):
        MemoryRateLimitStore(0)


async def test_a_key_with_other_quotas_than_before_begins_anew() -> None:
    store = MemoryRateLimitStore(clock=Clock())
    await store.take("k", [Quota(1)], 1)
    assert [decision.allowed for decision in await store.take("k", [Quota(1), Quota(2)], 1)] == [True, True]


# Faults


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_the_store_is_down(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    store = RemoteStore(clock=Clock())
    opened = limited(Quota(1), store=store, store_timeout=0.05)
    closed = limited(Quota(1), store=store, store_timeout=0.05, on_store_failure="closed", name="closed")
    setattr(store, fault, True)
    assert await statuses(opened, 3) == [200, 200, 200]
    sent = await ask(closed)
    assert (sent.status, sent.headers["retry-after"]) == (503, "1")
    assert len(caplog.records) == 2  # once each
    setattr(store, fault, False)
    assert await statuses(opened, 2) == [200, 429]
    assert await statuses(closed, 2) == [200, 429]
    setattr(store, fault, True)
    assert await statuses(opened, 2) == [200, 200]
    assert len(caplog.records) == 3


async def test_a_client_that_has_gone() -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    app = limited(Quota(1))
    for _ in range(2):  # let through, and refused
        with pytest.raises(OSError, match="gone"):
            await app(http_scope("/"), receive, send)


async def test_a_body_that_is_too_large_counts() -> None:
    async def read(request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    app = limited(Quota(2), app=Application(routes=[Route("/", read, methods=["POST"])], max_body_size=10))
    got = [(await call(app, "/", "POST", body=b"x" * size)).status for size in (11, 5, 5)]
    assert got == [413, 200, 429]


# Where it is put


async def test_the_refusal_has_the_application_s_page_and_goes_through_the_middleware_around() -> None:
    async def page(request: Any, error: Any) -> Response:
        return JSONResponse({"error": error.detail}, 429, error.headers)

    app = Application(
        routes=[
            Route("/", ok, middleware=[Middleware(RateLimitMiddleware, Quota(1), name="home")]),
            Route("/free", ok),
        ],
        exception_handlers={429: page},
    )
    assert await statuses(app, 2) == [200, 429]
    sent = await ask(app)
    assert sent.headers["content-type"] == "application/json"
    assert 0 < int(sent.headers["retry-after"]) <= 60
    assert (await call(app, "/free")).status == 200


def test_websocket_handshakes_count() -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("open")
        await websocket.close()

    with TestClient(limited(Quota(1), app=Application(routes=[WebSocketRoute("/", echo)]))) as client:
        with client.websocket_connect("/") as session:
            assert session.receive_text() == "open"
        with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/"):
            pass
    assert refused.value.status_code == 429
    assert refused.value.headers["retry-after"] == "60"


# The algorithm

QUOTAS = st.builds(
    Quota,
    st.integers(1, 50),
    st.floats(0.001, 1000, allow_nan=False),
    st.none() | st.integers(1, 50),
)


@given(
    quota=QUOTAS,
    steps=st.lists(st.tuples(st.integers(0, 10 * SECOND), st.integers(1, 3)), max_size=60),
)
def test_no_period_gives_more_than_its_share(quota: Quota, steps: list[tuple[int, int]]) -> None:
    """In any time t at most burst + t/interval units: the definition of the bucket."""
    now = full_at = 10**12
    taken: list[tuple[int, int]] = []
    for wait, cost in steps:
        now += wait
        before = full_at
        decision, full_at = gcra(full_at, now, quota, cost)
        assert 0 <= decision.remaining <= quota.capacity
        assert decision.reset_after >= 0
        if decision.allowed:
            taken.append((now, cost))
            assert decision.retry_after == 0
        else:
            assert full_at == max(before, now)
            if cost <= quota.capacity:
                later = now + round(decision.retry_after * SECOND) + 1000
                assert gcra(full_at, later, quota, cost)[0].allowed
    for index, (start, _) in enumerate(taken):
        units = 0
        for end, cost in taken[index:]:
            units += cost
            assert units <= quota.capacity + (end - start) / quota.interval + 1e-6


FIELD = re.compile(r'"[A-Za-z0-9_.-]+";r=\d+;t=\d+(?:, "[A-Za-z0-9_.-]+";r=\d+;t=\d+)*')


@given(quotas=st.lists(QUOTAS, min_size=1, max_size=3), times=st.integers(1, 5))
async def test_the_fields_are_structured_fields(quotas: list[Quota], times: int) -> None:
    """RFC 9651 §3.1: a List of Strings with parameters that are Integers."""
    app = limited(*quotas)
    for _ in range(times):
        sent = await ask(app)
        assert FIELD.fullmatch(sent.headers["ratelimit"])
        assert re.fullmatch(r'("[\w.-]+";q=\d+;w=\d+(, )?)+', sent.headers["ratelimit-policy"])
