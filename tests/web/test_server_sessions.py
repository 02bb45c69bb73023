"""Sessions in a store: RFC 6265 and 6265bis for the cookie, the rules for requests at the same time, and attacks."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import Sent, http_scope
from tidegate.web.applications import Application
from tidegate.web.background import BackgroundTask
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.server_sessions import ServerSessionMiddleware, server_session
from tidegate.web.requests import Request
from tidegate.web.responses import JSONResponse, PlainTextResponse, Response
from tidegate.web.routing import Route, WebSocketRoute
from tidegate.web.sessions import CookieStore, MemoryStore, SessionStore, StoredSession
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from tidegate.web.websockets import WebSocket

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class RemoteStore:
    """As one over a network: every call yields before and after its one atomic step, and may be slow or fail."""

    def __init__(self) -> None:
        self.kept: dict[str, StoredSession] = {}
        self.fails = 0
        self.hangs = False
        self.calls = 0

    async def _turn(self) -> None:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("store down")
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)

    async def get(self, key: str) -> StoredSession | None:
        await self._turn()
        found = self.kept.get(key)
        await asyncio.sleep(0)
        return found

    async def set(self, key: str, data: bytes, ttl: int, version: int | None) -> str | None:
        assert ttl >= 1
        await self._turn()
        found = self.kept.get(key)
        if (None if found is None else found.version) != version:
            return None
        self.kept[key] = StoredSession(data, 0 if version is None else version + 1)
        await asyncio.sleep(0)
        return key

    async def delete(self, key: str) -> bool:
        await self._turn()
        return self.kept.pop(key, None) is not None


class Site:
    """An application whose next requests do `change` to the session, and tell of it."""

    def __init__(self, store: SessionStore | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.store: Any = MemoryStore(clock=self.clock) if store is None else store
        self.app = Application(
            routes=[Route("/", self.endpoint)],
            middleware=[Middleware(ServerSessionMiddleware, self.store, clock=self.clock, **options)],
        )
        self.change: Any = None

    async def endpoint(self, request: Request) -> Response:
        change = request.scope.get("change") or self.change
        if change is not None:
            await change(request)
        return JSONResponse(dict(server_session(request)))

    async def ask(self, cookie: str | None = None, change: Any = None, **changes: Any) -> Sent:
        headers = [(b"host", b"a")] + ([] if cookie is None else [(b"cookie", cookie.encode("latin-1"))])
        scope = http_scope("/", headers=headers, change=change, **{"scheme": "https", **changes})
        sent = Sent()

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        await self.app(scope, receive, send)
        return sent


def put(**values: Any) -> Any:
    async def change(request: Request) -> None:
        request.session.update(values)

    return change


def cookies_of(sent: Sent) -> list[str]:
    return [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]


def cookie_of(sent: Sent) -> str:
    (cookie,) = cookies_of(sent)
    return cookie.partition(";")[0]


def seen(sent: Sent) -> Any:
    assert sent.status == 200, sent.body
    return json.loads(sent.body)


async def rotate(request: Request) -> None:
    server_session(request).rotate()


async def clear(request: Request) -> None:
    request.session.clear()


async def look(request: Request) -> None:
    assert request.session is not None


# The cookie


@pytest.mark.parametrize(
    ("options", "scheme", "expected"),
    [
        ({}, "https", "__Host-session={}; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax; Secure"),
        ({}, "http", "session={}; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax"),
        (
            {"secure": True},
            "http",
            "__Host-session={}; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
        ({"secure": False}, "https", "session={}; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax"),
        (
            {"domain": "example.org", "same_site": "strict", "persistent": False},
            "https",
            "__Secure-session={}; Path=/; HttpOnly; SameSite=Strict; Domain=example.org; Secure",
        ),
        (
            {"path": "/app", "cookie_name": "sid", "max_age": 60, "same_site": "none"},
            "https",
            "__Secure-sid={}; Max-Age=60; Path=/app; HttpOnly; SameSite=None; Secure",
        ),
    ],
)
async def test_the_cookie(options: Any, scheme: str, expected: str) -> None:
    """RFC 6265bis §4.1.3: __Host- takes Secure, Path=/ and no Domain."""
    site = Site(**options)
    sent = await site.ask(change=put(a=1), scheme=scheme)
    (cookie,) = cookies_of(sent)
    key = cookie.partition(";")[0].partition("=")[2]
    assert len(key) == 43  # 256 bits
    assert cookie == expected.format(key)
    assert (sent.headers["vary"], sent.headers["cache-control"]) == ("Cookie", "private")
    assert seen(await site.ask(cookie_of(sent), scheme=scheme)) == {"a": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"cookie_name": "a b"},
        {"cookie_name": ""},
        {"same_site": "none", "secure": False},
        {"max_age": 0},
        {"idle_timeout": 0},
        {"path": "/;x"},
        {"path": "/\r\n"},
        {"domain": "a;b"},
    ],
)
def test_settings_that_cannot_be(options: Any) -> None:
    with pytest.raises(ValueError):
        ServerSessionMiddleware(PlainTextResponse("x"), MemoryStore(), **options)


async def test_no_cookie_and_no_store_without_values() -> None:
    site = Site()
    for change in (None, look, clear, rotate):
        assert cookies_of(await site.ask(change=change)) == []
    assert len(site.store) == 0
    site.app.router.routes[:] = [Route("/", PlainTextResponse("x"))]
    assert "vary" not in (await site.ask()).headers


async def test_the_application_s_cache_control_stays() -> None:
    async def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        return PlainTextResponse("x", headers={"cache-control": "no-store", "vary": "Accept"})

    site = Site()
    site.app.router.routes[:] = [Route("/", endpoint)]
    sent = await site.ask()
    assert (sent.headers["cache-control"], sent.headers["vary"]) == ("no-store", "Accept, Cookie")


# Values


async def test_changes_are_noticed() -> None:
    site = Site()
    cookie = cookie_of(await site.ask(change=put(cart=[], n=1)))

    async def nested(request: Request) -> None:
        request.session["cart"].append({"id": 7})

    async def drop(request: Request) -> None:
        del request.session["n"]

    for change, expected in [
        (nested, {"cart": [{"id": 7}], "n": 1}),
        (drop, {"cart": [{"id": 7}]}),
        (None, {"cart": [{"id": 7}]}),
    ]:
        sent = await site.ask(cookie, change)
        assert cookies_of(sent) == []
        assert seen(sent) == expected
    assert seen(await site.ask(cookie)) == {"cart": [{"id": 7}]}


async def test_emptied_it_is_over() -> None:
    site = Site()
    cookie = cookie_of(await site.ask(change=put(n=1)))

    async def pop(request: Request) -> None:
        request.session.pop("n")

    (gone,) = cookies_of(await site.ask(cookie, pop))
    assert gone == "__Host-session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert len(site.store) == 0


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"x"])
async def test_what_json_cannot_say_is_an_error_and_not_stored(value: Any) -> None:
    site = Site()
    with pytest.raises((TypeError, ValueError)):
        await site.ask(change=put(a=value))

    async def number(request: Request) -> None:
        request.session[1] = 1  # type: ignore[index]

    with pytest.raises(TypeError, match="text"):
        await site.ask(change=number)
    assert len(site.store) == 0


async def test_too_large_a_session() -> None:
    """Body too large, so to say: it is refused before it reaches the store."""
    site = Site(max_size=200)
    with pytest.raises(ValueError, match="max_size is 200"):
        await site.ask(change=put(a="x" * 200))
    assert len(site.store) == 0
    answer = TestClient(site.app, raise_server_exceptions=False).get("/")
    assert answer.status_code == 200


async def test_what_failed_stays_undone() -> None:
    site = Site()
    cookie = cookie_of(await site.ask(change=put(n=1)))

    async def fail(request: Request) -> None:
        request.session["n"] = 2
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await site.ask(cookie, fail)
    assert seen(await site.ask(cookie)) == {"n": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values=st.dictionaries(st.text(), JSON, min_size=1, max_size=4), cookies=st.booleans())
async def test_whatever_json_can_say_comes_back(values: dict[str, Any], cookies: bool) -> None:
    site = Site(CookieStore("k", clock=Clock()) if cookies else None)

    async def check(request: Request) -> None:
        assert request.session == values

    cookie = cookie_of(await site.ask(change=put(**values)))
    sent = await site.ask(cookie, check)
    assert sent.status == 200
    assert cookies_of(sent) == []  # and it is the same: nothing to store


# Time


async def test_absolute_expiry() -> None:
    site = Site(max_age=100, idle_timeout=None)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    for _ in range(9):
        site.clock.now += 11
        sent = await site.ask(cookie, put(t=site.clock.now))
        assert seen(sent)["n"] == 1
    site.clock.now += 1
    assert seen(await site.ask(cookie)) == {}
    assert len(site.store) == 0


async def test_idle_expiry_counts_from_the_last_request() -> None:
    site = Site(max_age=10_000, idle_timeout=100)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    for _ in range(5):
        site.clock.now += 90
        assert seen(await site.ask(cookie)) == {"n": 1}
    site.clock.now += 101
    assert seen(await site.ask(cookie)) == {}


async def test_requests_at_once_that_only_use_it() -> None:
    """One of them says so to the store; that the others' versions are old is no conflict."""
    site = Site(RemoteStore(), max_age=10_000, idle_timeout=100)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    site.clock.now += 50
    answers = await asyncio.gather(*(site.ask(cookie) for _ in range(20)))
    assert [seen(sent) for sent in answers] == [{"n": 1}] * 20
    site.clock.now += 99
    assert seen(await site.ask(cookie)) == {"n": 1}


async def test_a_store_that_forgets_nothing_does_not_prolong_a_session() -> None:
    site = Site(RemoteStore(), max_age=100, idle_timeout=50)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    site.clock.now += 50
    assert seen(await site.ask(cookie)) == {}
    assert site.store.kept == {}


async def test_the_cookie_ends_with_the_session() -> None:
    site = Site(max_age=100, idle_timeout=None)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    site.clock.now += 60
    (kept,) = cookies_of(await site.ask(cookie, rotate))
    assert "Max-Age=40;" in kept  # to go on under another id is not to live longer

    async def login(request: Request) -> None:
        server_session(request).rotate(restart=True)

    (restarted,) = cookies_of(await site.ask(kept.partition(";")[0], login))
    assert "Max-Age=100;" in restarted


# Attacks


@pytest.mark.parametrize(
    "key", ["", "x", "A" * 43, "../../etc/passwd", "a b", '"', "x" * 5000, "\xe9" * 43, "null", "None", "%00"]
)
@pytest.mark.parametrize("store", [MemoryStore, RemoteStore, lambda: CookieStore("k")])
async def test_fixation_an_id_that_a_client_chose_is_never_adopted(key: str, store: Any) -> None:
    site = Site(store())
    chosen = f"__Host-session={key}"
    sent = await site.ask(chosen, put(user="victim"))
    assert cookie_of(sent) != chosen
    assert seen(await site.ask(chosen)) == {}
    assert seen(await site.ask(cookie_of(sent))) == {"user": "victim"}


async def test_fixation_by_a_known_id_ends_at_login() -> None:
    """The attacker gets a session, and has the victim log in with it."""
    site = Site()
    planted = cookie_of(await site.ask(change=put(cart=["x"])))

    async def login(request: Request) -> None:
        server_session(request).rotate()
        request.session["user"] = "victim"

    own = cookie_of(await site.ask(planted, login))
    assert own != planted
    assert seen(await site.ask(own)) == {"cart": ["x"], "user": "victim"}
    assert seen(await site.ask(planted)) == {}


async def test_replay_after_rotation_and_after_logout() -> None:
    site = Site()
    ids = [cookie_of(await site.ask(change=put(n=1)))]
    for _ in range(5):
        ids.append(cookie_of(await site.ask(ids[-1], rotate)))
    assert len(set(ids)) == 6
    for old in ids[:-1]:
        assert seen(await site.ask(old)) == {}
        # Nor does writing under an old id bring it back.
        assert cookie_of(await site.ask(old, put(evil=1))) not in ids
    assert seen(await site.ask(ids[-1])) == {"n": 1}
    await site.ask(ids[-1], clear)
    assert seen(await site.ask(ids[-1])) == {}


async def test_clearing_and_setting_is_another_session() -> None:
    site = Site()
    old = cookie_of(await site.ask(change=put(user="a", cart=[1])))

    async def switch(request: Request) -> None:
        request.session.clear()
        request.session["user"] = "b"

    new = cookie_of(await site.ask(old, switch))
    assert seen(await site.ask(new)) == {"user": "b"}
    assert seen(await site.ask(old)) == {}
    assert len(site.store) == 1


async def test_two_ids_are_none() -> None:
    """Another host of the domain may have set the second one (RFC 6265 §8.6)."""
    site = Site(domain="example.org")
    mine, evil = [cookie_of(await site.ask(change=put(user=user))) for user in ("me", "evil")]
    assert seen(await site.ask(f"{evil}; {mine}")) == {}
    assert seen(await site.ask(f"{mine}; {evil}")) == {}
    assert seen(await site.ask(f"{mine}; other=1; {mine}")) == {"user": "me"}


async def test_over_https_only_the_prefixed_name_counts() -> None:
    site = Site()
    cookie = cookie_of(await site.ask(change=put(n=1)))
    assert seen(await site.ask(cookie.removeprefix("__Host-"))) == {}
    assert seen(await site.ask(cookie.replace("__Host-", "__host-"))) == {}


@pytest.mark.parametrize("fields", [b"x-forwarded-proto", b"x-scheme"])
async def test_a_forged_forwarding_field_is_no_scheme(fields: bytes) -> None:
    site = Site()
    scope_headers = [(b"host", b"a"), (fields, b"https")]
    sent = Sent()

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await site.app(http_scope("/", headers=scope_headers, change=put(a=1)), None, send)
    assert "Secure" not in cookies_of(sent)[0]


class TestCookieStore:
    async def test_every_octet_that_is_changed_is_noticed(self) -> None:
        site = Site(CookieStore("key", clock=Clock()))
        cookie = cookie_of(await site.ask(change=put(user="a")))
        assert seen(await site.ask(cookie)) == {"user": "a"}
        start = len("__Host-session=")
        for index in range(start, len(cookie)):
            for other in "AZ09._=":
                forged = cookie[:index] + other + cookie[index + 1 :]
                # The last character of base64 has bits that mean nothing.
                if forged != cookie and index < len(cookie) - 1:
                    assert seen(await site.ask(forged)) == {}, (index, other)
        for forged in (cookie[:-1], cookie + "A", cookie[start:], cookie + "." + cookie[start:]):
            assert seen(await site.ask(forged)) == {}

    async def test_keys_are_rotated(self) -> None:
        clock = Clock()
        old = Site(CookieStore("old", clock=clock))
        cookie = cookie_of(await old.ask(change=put(n=1)))
        both = Site(CookieStore(["new", "old"], clock=clock))
        assert seen(await both.ask(cookie)) == {"n": 1}
        renewed = cookie_of(await both.ask(cookie, put(n=2)))
        new = Site(CookieStore("new", clock=clock))
        assert seen(await new.ask(renewed)) == {"n": 2}
        assert seen(await new.ask(cookie)) == {}

    async def test_no_cookie_outlives_its_time(self) -> None:
        clock = Clock()
        store = CookieStore("key", clock=clock)
        key = await store.set("", b"x", 10, None)
        assert key is not None
        assert await store.get(key) == (b"x", 0)
        clock.now += 10
        assert await store.get(key) is None

    async def test_a_cookie_of_another_signer_is_none_of_ours(self) -> None:
        """Of SessionMiddleware with the same key, say: the salt is another."""
        import itsdangerous

        for signed in (
            itsdangerous.TimestampSigner("key").sign(b"9999999999.e30="),
            itsdangerous.Signer("key").sign(b"9999999999.e30="),
        ):
            assert await CookieStore("key").get(signed.decode()) is None
        assert await CookieStore("key").get("\xe9") is None

    async def test_more_than_a_cookie_holds(self) -> None:
        with pytest.raises(ValueError, match="a cookie holds 3800"):
            await Site(CookieStore("key")).ask(change=put(a="x" * 4000))

    @pytest.mark.parametrize("key", ["", [], ["a", ""]])
    def test_no_key(self, key: Any) -> None:
        with pytest.raises(ValueError, match="empty"):
            CookieStore(key)

    async def test_clearing_expires_the_cookie(self) -> None:
        site = Site(CookieStore("key", clock=Clock()))
        cookie = cookie_of(await site.ask(change=put(n=1)))
        assert "Max-Age=0" in cookies_of(await site.ask(cookie, clear))[0]
        assert cookie_of(await site.ask(cookie, rotate)) != ""

    async def test_a_change_after_the_response_has_started_is_told_of(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        site = Site(CookieStore("key", clock=Clock()))
        cookie = cookie_of(await site.ask(change=put(n=1)))
        site.app.router.routes[:] = [Route("/", late)]
        with caplog.at_level(logging.WARNING, "tidegate.web.sessions"):
            await site.ask(cookie)
        assert "too late" in caplog.text


async def late(request: Request) -> Response:
    async def work() -> None:
        request.session["late"] = 1

    return PlainTextResponse("x", background=BackgroundTask(work))


# 100 requests at once


@pytest.mark.parametrize("store", [MemoryStore, RemoteStore])
async def test_changes_to_different_keys_all_stay(store: Any) -> None:
    site = Site(store())
    cookie = cookie_of(await site.ask(change=put(start=1)))
    sent = await asyncio.gather(*(site.ask(cookie, put(**{f"k{index}": index})) for index in range(100)))
    assert not any(map(cookies_of, sent))
    assert seen(await site.ask(cookie)) == {"start": 1} | {f"k{index}": index for index in range(100)}


async def test_of_one_key_the_last_to_answer_counts() -> None:
    site = Site(RemoteStore())
    cookie = cookie_of(await site.ask(change=put(n=-1)))
    answered: list[int] = []

    async def one(index: int) -> None:
        await site.ask(cookie, put(n=index))
        answered.append(index)

    await asyncio.gather(*map(one, range(100)))
    assert len(answered) == 100
    assert seen(await site.ask(cookie))["n"] in answered


async def test_changes_of_other_processes_stay_too() -> None:
    """Two middlewares on one store do not know of each other's turns: the store's versions decide."""
    store = RemoteStore()
    one, other = Site(store), Site(store)
    cookie = cookie_of(await one.ask(change=put(start=1)))
    work = [
        site.ask(cookie, put(**{f"{index}{site is one}": 1})) for index in range(50) for site in (one, other)
    ]
    answers = await asyncio.gather(*work)
    assert {sent.status for sent in answers} == {200}
    assert len(seen(await one.ask(cookie))) == 101


@pytest.mark.parametrize("store", [MemoryStore, RemoteStore])
async def test_of_100_rotations_one_is_done(store: Any) -> None:
    site = Site(store())
    old = cookie_of(await site.ask(change=put(user="a")))
    sent = await asyncio.gather(*(site.ask(old, rotate) for _ in range(100)))
    # Those that had begun before the one ended saw the session, and changed nothing.
    new = [cookie for answer in sent for cookie in cookies_of(answer)]
    assert len(new) == 1
    assert seen(await site.ask(old)) == {}
    assert seen(await site.ask(new[0].partition(";")[0])) == {"user": "a"}
    assert len(site.store.kept if store is RemoteStore else site.store) == 1


@pytest.mark.parametrize("end", [clear, rotate])
async def test_nothing_brings_back_a_session_that_has_ended(end: Any) -> None:
    """99 requests write under the id while one ends it: whichever comes first, it has ended afterwards."""
    for _ in range(5):
        site = Site(RemoteStore())
        old = cookie_of(await site.ask(change=put(user="a")))
        changes = [put(**{f"k{index}": 1}) for index in range(99)]
        changes.insert(random.randrange(100), end)
        sent = await asyncio.gather(*(site.ask(old, change) for change in changes))
        assert seen(await site.ask(old)) == {}
        for answer, change in zip(sent, changes, strict=True):
            if change is not end and seen(answer).get("user") == "a":
                assert cookies_of(answer) == []


async def test_100_newcomers_have_100_sessions() -> None:
    site = Site(RemoteStore())
    sent = await asyncio.gather(*(site.ask(change=put(n=index)) for index in range(100)))
    assert len({cookie_of(answer) for answer in sent}) == 100


async def test_turns_are_forgotten() -> None:
    site = Site(RemoteStore())
    stack: Any = None
    cookie = cookie_of(await site.ask(change=put(n=1)))
    await asyncio.gather(*(site.ask(cookie, put(n=index)) for index in range(20)))
    stack = site.app.middleware_stack
    while not isinstance(stack, ServerSessionMiddleware):
        stack = stack.app
    assert stack._turns == {}


# Faults


async def test_the_store_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110 §15.6.4. Nobody loses a session by it."""
    store = RemoteStore()
    site = Site(store)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    for change in (None, put(n=2)):
        store.fails = 1
        sent = await site.ask(cookie, change)
        assert (sent.status, sent.headers["retry-after"], cookies_of(sent)) == (503, "5", [])
        assert len(sent) == 2
    store.fails = 1
    assert (await site.ask(change=put(n=2))).status == 503  # to store it: 200 would be a lie
    assert (await site.ask()).status == 200  # nothing to ask of the store
    assert seen(await site.ask(cookie)) == {"n": 1}
    assert "store down" in caplog.text


async def test_the_store_hangs() -> None:
    store = RemoteStore()
    site = Site(store, store_timeout=0.05)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    store.hangs = True
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(site.ask(cookie) for _ in range(20)))
    assert {sent.status for sent in answers} == {503}


async def test_the_store_fails_when_the_response_has_started(caplog: pytest.LogCaptureFixture) -> None:
    store = RemoteStore()
    site = Site(store)
    cookie = cookie_of(await site.ask(change=put(n=1)))

    async def failing(request: Request) -> Response:
        async def work() -> None:
            request.session["late"] = 1
            store.fails = 1

        return PlainTextResponse("x", background=BackgroundTask(work))

    site.app.router.routes[:] = [Route("/", failing)]
    assert (await site.ask(cookie)).status == 200
    assert "store down" in caplog.text


async def test_a_store_that_refuses_everything() -> None:
    class Refusing(RemoteStore):
        async def set(self, key: str, data: bytes, ttl: int, version: int | None) -> str | None:
            return None if self.calls else await super().set(key, data, ttl, version)

    store = Refusing()
    site = Site(store)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    assert (await site.ask(cookie, put(n=2))).status == 503
    assert (await site.ask(change=put(n=2))).status == 503


@pytest.mark.parametrize("data", [b"", b"x", b"[]", b"{}", b'{"created":1,"touched":1,"values":3}', b"\xff"])
async def test_damaged_records_are_no_sessions(data: bytes) -> None:
    store = RemoteStore()
    site = Site(store)
    cookie = cookie_of(await site.ask(change=put(n=1)))
    store.kept[cookie.partition("=")[2]] = StoredSession(data, 0)
    assert seen(await site.ask(cookie)) == {}


async def test_a_client_that_has_gone() -> None:
    site = Site()

    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(OSError, match="gone"):
        await site.app(http_scope("/", change=put(n=1)), receive, send)
    assert len(site.store) == 1  # nobody has its id; it goes when its time is over, or room is needed


# After the response has started


async def test_background_tasks_may_still_change_it() -> None:
    site = Site()
    cookie = cookie_of(await site.ask(change=put(n=1)))
    routes, site.app.router.routes[:] = list(site.app.router.routes), [Route("/", late)]
    await site.ask(cookie)
    site.app.router.routes[:] = routes
    assert seen(await site.ask(cookie)) == {"n": 1, "late": 1}


async def test_too_late(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    cookie = cookie_of(await site.ask(change=put(n=1)))

    async def endpoint(request: Request) -> Response:
        async def work() -> None:
            with pytest.raises(RuntimeError, match="has started"):
                server_session(request).rotate()
            request.session.clear()
            request.session["new"] = 1

        return PlainTextResponse("x", background=BackgroundTask(work))

    site.app.router.routes[:] = [Route("/", endpoint)]
    await site.ask(cookie)
    assert len(site.store) == 0  # ended it is, all the same
    assert "too late" in caplog.text
    site.app.router.routes[:] = [Route("/", late)]
    caplog.clear()
    await site.ask()
    assert "too late" in caplog.text


def test_websockets() -> None:
    async def count(websocket: WebSocket) -> None:
        websocket.session["opened"] = websocket.session.get("opened", 0) + 1
        await websocket.accept()
        await websocket.send_json(dict(websocket.session))
        websocket.session["closed"] = True
        await websocket.close()

    async def show(request: Request) -> Response:
        return JSONResponse(dict(request.session))

    app = Application(
        routes=[WebSocketRoute("/ws", count), Route("/", show)],
        middleware=[Middleware(ServerSessionMiddleware, MemoryStore())],
    )
    with TestClient(app) as client:
        with client.websocket_connect("/ws") as session:
            assert session.receive_json() == {"opened": 1}
            assert session.extra_headers is not None
            fields = dict(session.extra_headers)
        client.cookies.set("session", fields[b"set-cookie"].decode().partition(";")[0].partition("=")[2])
        assert client.get("/").json() == {"opened": 1, "closed": True}


async def test_a_websocket_whose_store_is_down() -> None:
    store = RemoteStore()
    store.fails = 1

    async def accept(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept()

    app = ServerSessionMiddleware(Application(routes=[WebSocketRoute("/", accept)]), store)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await app(http_scope("/", type="websocket", scheme="ws"), receive, send)
    assert sent == [{"type": "websocket.close", "code": 1011, "reason": ""}]


# The store in memory


async def test_memory_is_bounded() -> None:
    clock = Clock()
    store = MemoryStore(max_sessions=100, clock=clock)
    for index in range(1000):
        await store.set(f"k{index}", b"x", 10, None)
        assert await store.get("k0") is not None  # in use, it stays
        assert len(store) <= 100
    assert len(store) == 100
    clock.now += 11
    await store.set("new", b"x", 10, None)
    assert len(store) == 1  # those whose time is over make room first
    with pytest.raises(ValueError, match="at least 1"):
        MemoryStore(0)


async def test_the_protocol() -> None:
    for store in (MemoryStore(), RemoteStore()):
        kept: SessionStore = store
        assert await kept.get("k") is None
        assert await kept.set("k", b"1", 10, 0) is None
        assert await kept.set("k", b"1", 10, None) == "k"
        assert await kept.set("k", b"2", 10, None) is None
        assert await kept.set("k", b"2", 10, 0) == "k"
        assert await kept.set("k", b"3", 10, 0) is None
        assert await kept.get("k") == (b"2", 1)
        assert await kept.delete("k")
        assert not await kept.delete("k")
        assert await kept.get("k") is None


async def test_the_typed_session() -> None:
    with pytest.raises(TypeError, match="ServerSessionMiddleware"):
        server_session(Request({"type": "http", "session": {}}))
    site = Site()

    async def is_new(request: Request) -> None:
        request.session["new"] = server_session(request).is_new

    cookie = cookie_of(await site.ask(change=is_new))
    assert seen(await site.ask(cookie, is_new)) == {"new": False}
