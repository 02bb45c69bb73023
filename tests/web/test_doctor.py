"""The doctor: what it finds behind proxies (ASGI HTTP connection scope; RFC 7239), and that it finds nothing where all
is well."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.inprocess import serving
from tests.web.conftest import call, http_scope
from tidegate.config import Proxies
from tidegate.web.applications import Application
from tidegate.web.doctor import Doctor, diagnose
from tidegate.web.routing import Mount, Route

PROXY = ("127.0.0.1", 50000)


def scope_of(path: str, headers: dict[str, str], **changes: Any) -> dict[str, Any]:
    fields = [(name.encode(), value.encode()) for name, value in {"host": "example.org", **headers}.items()]
    return http_scope(path, headers=fields, **{"client": PROXY, **changes})


@pytest.mark.parametrize(
    ("path", "headers", "changes", "finding"),
    [
        ("/", {"x-forwarded-proto": "https"}, {}, "the client asked by https, but the scheme is http"),
        ("/", {"forwarded": 'proto="https";for=127.0.0.1'}, {}, "the client asked by https"),
        ("/", {"x-forwarded-for": "203.0.113.7"}, {}, "The client's address, 127.0.0.1, is the proxy's"),
        ("/", {"x-forwarded-for": "127.0.0.11, 1127.0.0.1"}, {}, "The client's address, 127.0.0.1"),
        ("/", {"forwarded": 'for="[2001:db8::7]:1"'}, {"client": None}, "The client's address, none"),
        (
            "/",
            {"x-forwarded-host": "shop.example"},
            {},
            "asked for shop.example, but the host is example.org",
        ),
        ("/", {"host": "a b"}, {"server": None}, "no usable Host"),
        ("/x", {"x-forwarded-prefix": "/api/"}, {}, "below /api, but root_path is ''"),
        ("/x", {}, {"root_path": "/api"}, "the path '/x' does not begin with it"),
        ("/apix", {}, {"root_path": "/api"}, "does not begin with it"),
        ("/api/x", {}, {"root_path": "/api/"}, "must begin with a slash, and not end with one"),
        ("/api/api/x", {}, {"root_path": "/api"}, "'/api' twice"),
        ("/api/api", {}, {"root_path": "/api"}, "'/api' twice"),
    ],
)
def test_findings(path: str, headers: dict[str, str], changes: dict[str, Any], finding: str) -> None:
    (found,) = diagnose(scope_of(path, headers, **changes))
    assert finding in found


@pytest.mark.parametrize(
    ("path", "headers", "changes"),
    [
        ("/", {}, {}),
        ("/", {"x-forwarded-proto": "https, http"}, {"scheme": "https"}),
        ("/", {"x-forwarded-for": "10.0.0.1, 203.0.113.7:80"}, {"client": ("203.0.113.7", 0)}),
        ("/", {"forwarded": 'For="[2001:db8::7]:1";Proto=http'}, {"client": ("2001:db8::7", 0)}),
        ("/", {"x-forwarded-for": "2001:db8::7"}, {"client": ("2001:db8::7", 0)}),
        ("/", {"x-forwarded-host": "Example.org"}, {}),
        ("/api/x", {"x-forwarded-prefix": "/api"}, {"root_path": "/api"}),
        ("/api", {}, {"root_path": "/api"}),
        ("/api/apiary", {}, {"root_path": "/api"}),
    ],
)
def test_nothing_is_found_where_all_is_well(
    path: str, headers: dict[str, str], changes: dict[str, Any]
) -> None:
    assert diagnose(scope_of(path, headers, **changes)) == []


@pytest.mark.anyio
async def test_what_it_answers_below_a_mount() -> None:
    app = Application(routes=[Mount("/sub", routes=[Route("/doctor", Doctor())])])
    scope = scope_of("/api/sub/doctor", {"x-forwarded-proto": "https", "x-other": "x"}, root_path="/api")
    sent = await call(app, scope["path"], headers=scope["headers"], client=PROXY, root_path="/api")
    answer = json.loads(sent.body)
    (finding,) = answer.pop("findings")
    assert "by https" in finding
    assert answer == {
        "url": "http://example.org/api/sub/doctor",
        "base_url": "http://example.org/api/",
        "client": list(PROXY),
        "path": "/api/sub/doctor",
        "root_path": "/api",
        "fields": {"host": "example.org", "x-forwarded-proto": "https"},
    }


@given(
    st.dictionaries(
        st.sampled_from(["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "host"]),
        st.text(st.characters(max_codepoint=255), max_size=40),
    ),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_it_takes_whatever_is_sent(headers: dict[str, str], path: str, root_path: str) -> None:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert all(diagnose(http_scope(path, headers=fields, root_path=root_path)))


@pytest.mark.parametrize(("trusted", "count"), [("10.0.0.1", 2), ("127.0.0.1", 0)])
def test_behind_a_proxy_that_the_server_does_or_does_not_trust(trusted: str, count: int) -> None:
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.7")]
    with serving(Doctor(), proxies=Proxies(trusted=(trusted,))) as server:
        answer = json.loads(server.client().request("GET", "/", *fields).body)
    assert len(answer["findings"]) == count
