"""URL, multi-value maps, header fields, uploaded files, state."""

from __future__ import annotations

import io
from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.conftest import http_scope
from tidegate.web.datastructures import (
    URL,
    CommaSeparatedStrings,
    FormData,
    Headers,
    ImmutableMultiDict,
    MultiDict,
    MutableHeaders,
    QueryParams,
    Secret,
    State,
    UploadFile,
    URLPath,
)

pytestmark = pytest.mark.anyio


def test_url_parts() -> None:
    url = URL("https://me:pw@example.org:123/a/b?x=1#top")
    assert (url.scheme, url.netloc, url.path) == ("https", "me:pw@example.org:123", "/a/b")
    assert (url.query, url.fragment) == ("x=1", "top")
    assert (url.username, url.password, url.hostname, url.port) == ("me", "pw", "example.org", 123)
    assert url.is_secure
    assert repr(url) == "URL('https://me:********@example.org:123/a/b?x=1#top')"
    assert repr(URL("/a")) == "URL('/a')"
    assert url == "https://me:pw@example.org:123/a/b?x=1#top"


@pytest.mark.parametrize(
    ("url", "changes", "expected"),
    [
        ("http://a/", {"scheme": "https"}, "https://a/"),
        ("http://a:80/p", {"port": None}, "http://a/p"),
        ("http://a/p", {"port": 8080}, "http://a:8080/p"),
        ("http://A.example/p", {"port": 1}, "http://A.example:1/p"),
        ("http://u@a/p", {"hostname": "b"}, "http://u@b/p"),
        ("http://u:p@a/p", {"username": "v", "password": None}, "http://v@a/p"),
        ("http://[::1]:80/p", {"port": 81}, "http://[::1]:81/p"),
        ("http://a/p", {"hostname": "::1"}, "http://[::1]/p"),
        ("http://a/p", {"path": "/q", "query": "x=1", "fragment": "f"}, "http://a/q?x=1#f"),
        ("/p", {"username": "u", "password": "w"}, "//u:w@/p"),
    ],
)
def test_url_replace(url: str, changes: dict[str, Any], expected: str) -> None:
    assert str(URL(url).replace(**changes)) == expected


def test_url_query_params() -> None:
    url = URL("http://a/?x=1&y=&x=2")
    assert str(url.include_query_params(y="3", z=4)) == "http://a/?x=1&x=2&y=3&z=4"
    assert str(url.replace_query_params(q=1)) == "http://a/?q=1"
    assert str(url.remove_query_params("x")) == "http://a/?y="
    assert str(url.remove_query_params(["x", "y"])) == "http://a/"
    assert str(URL(scheme="http", hostname="b", path="/c")) == "http://b/c"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "http://example.org/p"),
        ({"headers": [(b"host", b"other.example:8080")]}, "http://other.example:8080/p"),
        ({"headers": [], "server": ("10.0.0.1", 80)}, "http://10.0.0.1/p"),
        ({"headers": [], "server": ("10.0.0.1", 81)}, "http://10.0.0.1:81/p"),
        ({"headers": [], "server": ("::1", 81)}, "http://[::1]:81/p"),
        ({"headers": [], "server": ("/run/x.sock", None)}, "/p"),
        ({"headers": [], "server": None}, "/p"),
        ({"headers": [], "server": None, "path": "//evil.example/x"}, "/%2Fevil.example/x"),
        ({"path": "@evil.example"}, "http://example.org/@evil.example"),
        ({"path": "/a?b#c\\d\te"}, "http://example.org/a%3Fb%23c%5Cd%09e"),
        ({"query_string": b"x=1#y z"}, "http://example.org/p?x=1%23y%20z"),
    ],
)
def test_the_url_of_a_scope(changes: dict[str, Any], expected: str) -> None:
    assert str(URL(scope=http_scope("/p") | changes)) == expected


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example/x?",
        b"evil.example/x#",
        b"user@evil.example",
        b"evil.example\\x",
        b"evil.example:80:80",
        b"evil.example:99999",
        b"evil example",
        b"[::1",
        b"[:::1]",
        b"",
    ],
)
def test_a_host_that_is_none_moves_nothing(host: bytes) -> None:
    url = URL(scope=http_scope("/p", headers=[(b"host", host)], server=("10.0.0.1", 80)))
    assert (url.netloc, url.path) == ("10.0.0.1", "/p")


@given(host=st.binary(max_size=30), path=st.text(max_size=20))
def test_no_host_and_path_lengthen_the_authority(host: bytes, path: str) -> None:
    scope = http_scope("/" + path, headers=[(b"host", host)], server=None)
    try:
        path.encode()
    except UnicodeEncodeError:
        return
    url = URL(str(URL(scope=scope)))
    assert url.netloc in ("", host.decode("latin-1"))
    assert url.username is None


def test_url_path() -> None:
    path = URLPath("/a", protocol="websocket")
    assert str(path.make_absolute_url("https://b/c/")) == "wss://b/c/a"
    assert str(path.make_absolute_url(URL("http://b"))) == "ws://b/a"
    assert str(URLPath("/a", host="d").make_absolute_url("http://b")) == "http://d/a"
    assert str(URLPath("//x/a").make_absolute_url("http://b")) == "http://b/%2Fx/a"
    with pytest.raises(AssertionError):
        URLPath("/", protocol="ftp")  # type: ignore[arg-type]


def test_secret() -> None:
    secret = Secret("token")
    assert repr(secret) == "Secret('**********')"
    assert str(secret) == "token"
    assert secret
    assert not Secret("")


def test_comma_separated_strings() -> None:
    strings = CommaSeparatedStrings('a, "b,c"')
    assert list(strings) == ["a", "b,c"]
    assert (len(strings), strings[1], strings[:1]) == (2, "b,c", ["a"])
    assert repr(strings) == "CommaSeparatedStrings(['a', 'b,c'])"
    assert str(strings) == "'a', 'b,c'"
    assert list(CommaSeparatedStrings(["x", "y,z"])) == ["x", "y,z"]


def test_immutable_multidict() -> None:
    values = ImmutableMultiDict([("a", "1"), ("a", "2"), ("b", "3")])
    assert values["a"] == "2"
    assert values.getlist("a") == ["1", "2"]
    assert "a" in values
    assert "z" not in values
    assert list(values) == list(values.keys()) == ["a", "b"]
    assert list(values.values()) == ["2", "3"]
    assert list(values.items()) == [("a", "2"), ("b", "3")]
    assert values.multi_items() == [("a", "1"), ("a", "2"), ("b", "3")]
    assert len(values) == 2
    assert values == ImmutableMultiDict([("b", "3"), ("a", "1"), ("a", "2")])
    assert values != ImmutableMultiDict([("b", "3"), ("a", "2"), ("a", "1")])
    assert values != {"a": "2", "b": "3"}
    assert ImmutableMultiDict(values) == values
    assert ImmutableMultiDict({"a": "1"}, b="2").multi_items() == [("a", "1"), ("b", "2")]
    assert repr(ImmutableMultiDict({"a": "1"})) == "ImmutableMultiDict([('a', '1')])"
    with pytest.raises(KeyError):
        values["z"]


def test_multidict() -> None:
    values = MultiDict([("a", "1"), ("a", "2"), ("b", "3")])
    values["b"] = "4"
    assert values.multi_items() == [("a", "1"), ("a", "2"), ("b", "4")]
    assert values.poplist("a") == ["1", "2"]
    assert values.pop("a", "none") == "none"
    assert values.pop("b") == "4"
    values.append("c", "1")
    values.append("c", "2")
    assert values.getlist("c") == ["1", "2"]
    assert values.setdefault("c", "3") == "2"
    assert values.setdefault("d", "3") == "3"
    del values["c"]
    assert values.multi_items() == [("d", "3")]
    values.setlist("d", ["4", "5"])
    values.update([("e", "1")], f="2")
    assert values.popitem() == ("f", "2")
    values.setlist("e", [])
    assert values.multi_items() == [("d", "4"), ("d", "5")]
    values.clear()
    assert not values
    with pytest.raises(KeyError):
        del values["z"]


@pytest.mark.parametrize("query", ["a=1&a=2&b=&c", b"a=1&a=2&b=&c"])
def test_query_params(query: str | bytes) -> None:
    params = QueryParams(query)
    assert params.multi_items() == [("a", "1"), ("a", "2"), ("b", ""), ("c", "")]
    assert str(params) == "a=1&a=2&b=&c="
    assert repr(params) == "QueryParams('a=1&a=2&b=&c=')"
    assert QueryParams({"a": 1})["a"] == "1"
    assert QueryParams("a=1;b=2").multi_items() == [("a", "1;b=2")]  # `&` alone separates


async def test_upload_file_in_memory_and_on_disk() -> None:
    spooled: Any = SpooledTemporaryFile(max_size=8)  # noqa: SIM115
    upload = UploadFile(spooled, size=0, filename="a.txt", headers=Headers({"content-type": "text/plain"}))
    assert upload.content_type == "text/plain"
    await upload.write(b"1234")
    await upload.seek(0)
    assert await upload.read(2) == b"12"
    await upload.seek(4)
    await upload.write(b"56789")  # rolls over
    await upload.write(b"0")
    await upload.seek(0)
    assert await upload.read() == b"1234567890"
    assert upload.size == 10
    assert repr(upload).startswith("UploadFile(filename='a.txt', size=10,")
    form = FormData([("f", upload), ("g", "text")])
    await form.close()
    assert spooled.closed
    memory: Any = SpooledTemporaryFile(max_size=8)  # noqa: SIM115
    await UploadFile(memory).close()
    assert memory.closed
    plain = UploadFile(io.BytesIO())
    assert plain.content_type is None
    await plain.write(b"x")
    assert plain.size is None


def test_headers() -> None:
    headers = Headers(raw=[(b"a", b"1"), (b"a", b"2"), (b"b", b"3")])
    assert headers["A"] == "1"
    assert headers.getlist("A") == ["1", "2"]
    assert list(headers) == ["a", "a", "b"]
    assert headers.values() == ["1", "2", "3"]
    assert len(headers) == 3
    assert "B" in headers
    assert "z" not in headers
    with pytest.raises(KeyError):
        headers["z"]
    assert headers == Headers(raw=[(b"b", b"3"), (b"a", b"2"), (b"a", b"1")])
    assert headers != {"a": "1"}
    assert repr(headers) == "Headers(raw=[(b'a', b'1'), (b'a', b'2'), (b'b', b'3')])"
    assert repr(Headers({"A": "1"})) == "Headers({'a': '1'})"
    assert Headers().raw == []
    scope: dict[str, Any] = {"headers": ((b"a", b"1"),)}
    assert Headers(scope=scope)["a"] == "1"
    assert scope["headers"] == [(b"a", b"1")]


def test_mutable_headers() -> None:
    headers = MutableHeaders(raw=[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers["A"] = "4"
    assert headers.raw == [(b"a", b"4"), (b"b", b"2")]
    headers["c"] = "5"
    del headers["B"]
    assert headers.items() == [("a", "4"), ("c", "5")]
    assert headers.setdefault("a", "9") == "4"
    assert headers.setdefault("d", "6") == "6"
    headers |= {"a": "7"}
    assert (headers | {"e": "8"}).items()[-1] == ("e", "8")
    assert "e" not in headers
    headers.append("a", "10")
    assert headers.getlist("a") == ["7", "10"]
    copy = headers.mutablecopy()
    copy["a"] = "0"
    assert headers["a"] == "7"
    with pytest.raises(TypeError):
        headers |= [("a", "1")]  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        headers | [("a", "1")]  # type: ignore[operator]


def test_state() -> None:
    state = State({"a": 1})
    assert state.a == state["a"] == 1
    state.b = 2
    state["c"] = 3
    assert list(state) == ["a", "b", "c"]
    assert len(state) == 3
    del state.b
    del state["c"]
    with pytest.raises(AttributeError, match="no attribute 'b'"):
        state.b  # noqa: B018
