"""The debug page: what it shows, what it must not show, and that nothing makes it fail or grow."""

from __future__ import annotations

import html.parser
import json
import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import http_scope
from tidegate.web._masking import MASK, MAX_TEXT, Masker, is_secret_name
from tidegate.web.applications import Application
from tidegate.web.datastructures import Headers, Secret
from tidegate.web.debugpage import POLICY, STYLE, DebugResponse, Report
from tidegate.web.middleware import Middleware
from tidegate.web.middleware.errors import ServerErrorMiddleware
from tidegate.web.middleware.security_headers import SecurityHeadersMiddleware
from tidegate.web.requests import Request
from tidegate.web.routing import Route
from tidegate.web.testclient import TestClient

if TYPE_CHECKING:
    from tidegate.web.responses import Response


def caught(call: Any) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def text_of(call: Any) -> str:
    return Report.of(caught(call)).as_text()


def fail_with_locals(**values: Any) -> Any:
    def fail() -> None:
        globals_of_user = values
        raise ValueError("failed", len(globals_of_user))

    return fail


def client_of(debug: bool = True, **options: Any) -> TestClient:
    async def endpoint(request: Request) -> Response:
        answer = 42  # noqa: F841
        raise LookupError("<script>alert(1)</script>")

    app = Application(debug=debug, routes=[Route("/", endpoint), Route("/{name}", endpoint)], **options)
    return TestClient(app, raise_server_exceptions=False)


# What it shows


def test_a_traceback_with_source_and_locals() -> None:
    shown = client_of().get("/").text
    assert shown.startswith("Traceback (most recent call last):\n")
    assert "      answer = 42\n" in shown
    assert '    raise LookupError("<script>alert(1)</script>")\n' in shown
    assert re.search(r'  File ".*test_debug_page\.py", line \d+, in endpoint\n', shown)
    assert shown.endswith("LookupError: <script>alert(1)</script>\n")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/plain"),
        ("*/*", "text/plain"),
        ("text/*", "text/plain"),
        ("nonsense", "text/plain"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("application/json;q=0.5, text/html;q=0.6", "text/html"),
        ("application/problem+json", "application/json"),
        ("text/html;q=0", "text/plain"),
        ("text/html;q=0.1, text/plain;q=0.2", "text/plain"),
        ("TEXT/HTML", "text/html"),
    ],
)
def test_by_accept(accept: str | None, media_type: str) -> None:
    """RFC 9110 §12.5.1."""
    answer = client_of().get("/", headers={} if accept is None else {"accept": accept})
    assert answer.status_code == 500
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "answer" in answer.text


class Elements(html.parser.HTMLParser):
    """Well-formed, and nothing that a Content Security Policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "link", "iframe", "base", "form", "svg", "object", "a")
        assert {name for name, _ in attrs} <= {"class", "open", "lang", "charset"}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_one_document_that_runs_nothing() -> None:
    answer = client_of().get("/<b onclick=x>?q=<i>", headers={"accept": "text/html", "x-a": '"><img src=x>'})
    page = Elements(answer.text)
    assert "<script>alert(1)</script>" in "".join(page.text)
    assert {"'\"><img src=x>'", "'<i>'"} <= set(page.text)
    assert answer.headers["content-security-policy"] == POLICY
    # CSP3 §8.4: the style is allowed by its hash.
    assert answer.text.count(f"<style>{STYLE}</style>") == 1


def test_the_policy_of_the_application_does_not_break_it() -> None:
    client = client_of(middleware=[Middleware(SecurityHeadersMiddleware)])
    answer = client.get("/", headers={"accept": "text/html"})
    assert answer.headers.get_list("content-security-policy") == [POLICY]


def test_json_says_the_same() -> None:
    shown = client_of().get("/?page=2", headers={"accept": "application/json"}).json()
    assert (shown["status"], shown["title"]) == (500, "LookupError: <script>alert(1)</script>")
    frame = shown["exceptions"][-1]["frames"][-1]
    assert (frame["function"], frame["library"], frame["locals"]["answer"]) == ("endpoint", False, "42")
    assert frame["source"][4][0] == frame["line"]
    assert shown["request"]["?page"] == "'2'"
    assert ["host", "'testserver'"] in shown["headers"]


def test_what_led_to_it() -> None:
    def cause() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    def context() -> None:
        try:
            cause()
        except ValueError:
            raise OSError("third")  # noqa: B904

    def hidden() -> None:
        try:
            context()
        except OSError:
            raise RuntimeError("alone") from None

    shown = text_of(context)
    assert shown.index("KeyError: 'first'") < shown.index("direct cause") < shown.index("ValueError: second")
    assert shown.index("second") < shown.index("During handling") < shown.index("OSError: third")
    assert "third" not in text_of(hidden)
    page = "".join(Elements(Report.of(caught(context)).as_html()).text)
    assert (
        page.index("OSError: third")
        < page.index("Before that: ValueError")
        < page.index("Before that: KeyError")
    )


def test_a_chain_that_goes_in_a_circle_and_one_without_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert len(Report.of(first).exceptions) == 2
    last = ValueError("0")
    for index in range(1, 100):
        error = ValueError(str(index))
        error.__cause__, last = last, error
    report = Report.of(last)
    assert [raised.message for raised in report.exceptions] == [str(index) for index in range(90, 100)]
    assert report.exceptions[0].link == ""


def test_groups_and_notes() -> None:
    def group() -> None:
        error = ExceptionGroup("many", [ValueError("one"), KeyError("two")])
        error.add_note("look here")
        raise error

    shown = text_of(group)
    for part in (
        "ValueError: one",
        "KeyError: 'two'",
        "ExceptionGroup: many (2 sub-exceptions)",
        "look here",
    ):
        assert part in shown
    assert "look here" in Report.of(caught(group)).as_html()


def test_an_exception_without_a_traceback_or_with_odd_parts() -> None:
    assert Report.of(ValueError()).as_text() == "ValueError\n"
    Elements(Report.of(ValueError()).as_html())

    class Odd(Exception):
        __notes__ = 3

        def __str__(self) -> str:
            raise TypeError

    assert Report.of(Odd()).title.endswith("Odd: <its str raised TypeError>")
    scope = http_scope("/", headers=[(b"accept", b"text/html")])
    assert DebugResponse(ValueError("\ud800"), scope).status_code == 500


def test_source_that_is_not_there() -> None:
    error = caught(lambda: exec(compile("1/0", "<nowhere>", "exec")))
    assert "ZeroDivisionError" in Report.of(error).as_text()
    assert "Its source is not here." in Report.of(error).as_html()


def test_head_has_no_body() -> None:
    answer = client_of().head("/")
    assert (answer.status_code, answer.content) == (500, b"")


# Never outside of debug


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_never_outside_of_debug(accept: str) -> None:
    answer = client_of(debug=False).get("/", headers={"accept": accept, "x-debug": "1", "cookie": "debug=1"})
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("inside")

    answer = TestClient(ServerErrorMiddleware(failing), raise_server_exceptions=False).get("/?debug=1")
    assert answer.text == "Internal Server Error"


def test_a_client_that_has_gone() -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("first")

    async def run() -> None:
        await ServerErrorMiddleware(failing, debug=True)(http_scope("/"), None, send)  # type: ignore[arg-type]

    import asyncio

    with pytest.raises(OSError, match="gone"):
        asyncio.run(run())


# Secrets

SECRET = "hunter2-" + "correct-horse"


NAMES = [
    *("password", "passwd", "PASSWORD", "db_password", "user_pwd", "passphrase", "secret", "client_secret"),
    *(
        "SECRET_KEY",
        "api_key",
        "apikey",
        "x-api-key",
        "access_token",
        "refreshToken",
        "csrf_token",
        "authorization",
    ),
    *("Authorization", "proxy-authorization", "auth", "cookie", "set-cookie", "session_id", "sessionid"),
    *("private_key", "credentials", "jwt", "otp", "signature", "signing_key"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert is_secret_name(name.encode())
    for value in (
        {name: SECRET},
        [(name, SECRET)],
        [(name.encode(), SECRET.encode())],
        Headers({name: SECRET}),
        OrderedDict({"a": {name: [SECRET]}}),
        f"the query ?{name}={SECRET}&x=1",
    ):
        shown = Masker().show(value)
        assert SECRET not in shown
        assert MASK in shown


@pytest.mark.parametrize(
    "name", ["author", "user", "key", "path", "count", "state", "", 3, None, "monkey", "x"]
)
def test_names_of_no_secrets(name: Any) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "value",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        f"postgresql://user:{SECRET}@db/x",
        f"Bearer {SECRET}",
        f"Basic {SECRET}",
        "AKIAABCDEFGHIJKLMNOP",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "sk_live_abcdefghijklmnop",
        "xoxb-123456789012-abcdef",
        "$2b$12$abcdefghijklmnopqrstuvwxyz",
        "$argon2id$v=19$m=65536$abcdefgh",
    ],
)
def test_looks_of_secrets(value: str) -> None:
    telling = value.partition("://user:")[2].partition("@")[0] or value.removeprefix("Bearer ").removeprefix(
        "Basic "
    )
    for shown in (Masker().show(value), Masker().show(value.encode()), Masker().clean(f"refused: {value}")):
        assert MASK in shown
        assert telling not in shown
        assert telling[8:] not in shown


def test_reprs_of_dataclasses() -> None:
    @dataclass
    class Settings:
        password: str
        debug: bool
        key: Secret

    shown = Masker().show(Settings(SECRET, True, Secret(SECRET)))
    assert SECRET not in shown
    assert "debug=True" in shown


def test_a_secret_is_masked_wherever_else_it_stands() -> None:
    def check(given: str, password: str, raw: bytes, key: Secret) -> None:
        everything = [given, {"a": given}]  # noqa: F841
        raise ValueError(f"no such user: {given!r}, {raw.decode()}, {key}") from OSError(given)

    error = caught(lambda: check(SECRET, SECRET, b"raw-" + SECRET.encode(), Secret(SECRET)))
    error.add_note(f"asked with {SECRET}")
    scope = http_scope(
        f"/{SECRET}",
        query_string=f"a={SECRET}&password=other-{SECRET}".encode(),
        path_params={"name": SECRET, "token": "tok-" + SECRET},
        headers=[
            (b"cookie", f"session=sess-{SECRET}; theme=darkness".encode()),
            (b"authorization", f"Bearer auth-{SECRET}".encode()),
            (b"x-echo", f"sess-{SECRET} auth-{SECRET}".encode()),
        ],
    )
    report = Report.of(error, scope)
    for text in (report.as_text(), report.as_html(), report.as_json().decode(), report.title):
        assert "hunter2" not in text
        assert "correct-horse" not in text
    assert dict(report.headers)["cookie"] == MASK


def test_values_that_are_secrets_by_their_type_or_lie_in_containers_of_such_a_name() -> None:
    inside = {"a": "in-a-mapping", "b": ["in-a-list"]}

    def fail() -> None:
        configured, tokens, credentials = Secret("by-its-type"), ["in-a-list"], inside  # noqa: F841
        cookies, password = BadMapping(a=1), memoryview(b"")  # noqa: F841
        raise ValueError(f"{configured}, {tokens[0]}, {inside['a']}")

    report = Report.of(caught(fail))
    assert report.title == f"ValueError: {MASK}, {MASK}, {MASK}"
    assert dict(report.exceptions[0].frames[-1].locals)["cookies"] == MASK


def test_deep_mappings() -> None:
    assert Masker().show({1: {2: {3: {4: 5}}}}) == "{1: {2: {3: {...}}}}"
    masker = Masker()
    for index in range(1000):
        masker.remember(f"secret-{index}")
    assert len(masker.secrets) == 500


def test_secrets_in_the_source() -> None:
    def connect() -> None:
        password = "written-out"  # noqa: F841
        settings = {"api_key": 'abcdefg"hi', "user": "ann"}  # noqa: F841
        token = str(3)  # noqa: F841
        raise ValueError

    report = Report.of(caught(connect))
    shown = report.as_html()
    assert "written-out" not in shown
    assert "abcdefg" not in shown
    assert "token = str(3)" in shown  # how, not what
    assert "ann" in shown


@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-_/+é\"'\\ \n", min_size=5, max_size=40).filter(str.strip),
    st.sampled_from(["password", "api_token", "session"]),
)
def test_no_value_of_such_a_name_gets_out(value: str, name: str) -> None:
    secret = f"Zq{value}qZ"

    def fail() -> None:
        values = {name: secret, "other": [secret]}
        raise ValueError(f"with {values['other'][0]}")

    report = Report.of(caught(fail), http_scope("/", headers=[(name.encode(), secret.encode("utf-8"))]))
    for raised in report.exceptions:
        assert secret not in raised.message
        for frame in raised.frames:
            for _, shown in frame.locals:
                assert secret not in shown
                assert repr(secret)[1:-1] not in shown


# Bounds


class Raises:
    def __repr__(self) -> str:
        raise RuntimeError("in repr")


class NoText:
    def __repr__(self) -> str:
        return 3  # type: ignore[return-value]


class Long:
    def __repr__(self) -> str:
        return "x" * 10**6


class BadMapping(dict[str, int]):
    def items(self) -> Any:
        raise OSError

    def values(self) -> Any:
        raise OSError


class Liar:
    @property
    def __class__(self) -> Any:
        raise ValueError


DEEP: list[Any] = []
for _ in range(10_000):
    DEEP = [DEEP]
CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Raises(), "<Raises: its repr raised RuntimeError>"),
        (NoText(), "<NoText: its repr raised TypeError>"),
        (BadMapping(a=1), "<BadMapping: its repr raised OSError>"),
        ([Raises()], "[<Raises: its repr raised RuntimeError>]"),
        (10**100_000, "<int of 332193 bits>"),
        (DEEP, "[[[[...]]]]"),
        (CIRCLE, "[[[[...]]]]"),
        (deque([1]), "deque([1])"),
        (frozenset([1]), "frozenset([1])"),
        ((1,), "(1)"),
        ({}, "{}"),
        (None, "None"),
        (Secret("x"), "Secret('**********')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reprs(value: Any, shown: str) -> None:
    assert Masker().show(value) == shown


def test_an_object_that_will_not_say_its_class() -> None:
    assert Masker().show(Liar()) == "<Liar: its repr raised ValueError>"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**7,
        b"x" * 10**7,
        bytearray(10**7),
        memoryview(bytes(10**7)),
        Long(),
        list(range(10**6)),
        dict.fromkeys(range(10**6)),
        {str(index) * 1000: "y" * 1000 for index in range(100)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_is_long(value: Any) -> None:
    assert len(Masker().show(value)) < 25 * 2 * (4 * MAX_TEXT)
    if not isinstance(value, dict):
        assert len(Masker().show(value)) < 5 * MAX_TEXT


def test_a_recursion_without_end() -> None:
    def recurse(depth: int) -> None:
        many = {str(index): index for index in range(100)}  # noqa: F841
        recurse(depth + 1)

    report = Report.of(caught(lambda: recurse(0)))
    (raised,) = report.exceptions
    assert len(raised.frames) == 40
    assert raised.left_out > 500
    assert f"... {raised.left_out} frames left out ..." in report.as_text()
    assert f"{raised.left_out} frames left out" in report.as_html()
    assert len(report.as_html()) < 1_000_000


def test_many_locals_and_long_lines() -> None:
    names = ", ".join(f"v{index}" for index in range(200))
    code = f"def f():\n    {names} = range(200)\n    raise ValueError({'x' * 10!r})  # {'y' * 10_000}\nf()"
    report = Report.of(caught(lambda: exec(code, {})))
    assert len(report.exceptions[0].frames[-1].locals) == 40


def test_bodies_and_fields_that_are_too_large() -> None:
    headers = [(b"x-%d" % index, b"y" * 10_000) for index in range(500)]
    scope = http_scope("/" + "p" * 10**6, headers=headers, query_string=b"a=b&" * 10**5)
    report = Report.of(ValueError("m" * 10**6), scope)
    assert len(report.headers) == 100
    assert len(report.as_html()) < 1_000_000


@given(st.text(max_size=300))
def test_masking_takes_any_text(text: str) -> None:
    masker = Masker()
    masker.remember(text)
    assert isinstance(masker.finish(masker.clean(text) + masker.clean_source(text)), str)


def test_masking_is_linear() -> None:
    """No text makes the patterns go back and forth (as CVE-2024-24762 did elsewhere)."""
    for text in (
        "a" * 2000,
        "-" * 2000,
        "password" * 250,
        "password=" * 220,
        "://:" * 500,
        "eyJ" * 660,
        '"' * 2000,
    ):
        masker = Masker()
        masker.clean(text)
        masker.clean_source(text)


def test_whatever_is_local_the_page_is_made() -> None:
    values = [
        Raises(),
        Liar(),
        BadMapping(),
        DEEP,
        Request(http_scope("/a")),
        object,
        print,
        "\ud800",
        b"\xff",
    ]
    error = caught(fail_with_locals(**{f"v{index}": value for index, value in enumerate(values)}))
    report = Report.of(error)
    Elements(report.as_html())
    json.loads(report.as_json())
    assert "<Request '/a'>" in report.as_text()
    response = DebugResponse(error, http_scope("/", headers=[(b"accept", b"text/html")]))
    assert len(response.body) > 1000
