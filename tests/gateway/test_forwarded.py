"""What trusted proxies say of a request's origin: docs/proxies.md, rule by rule."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.forwarded import (
    FIELDS,
    MAX_HOPS,
    MAX_LINE,
    Forwarding,
    TrustedPeers,
    parse_forwarded,
    parse_node,
)
from tidegate.gateway.scope import Peers
from tidegate.http.fields import KNOWN
from tidegate.http.head import RequestHead

PROXY = ("10.0.0.1", 4711)
X_FIELDS = [name for name in FIELDS if name != b"forwarded"]
BOTH = ("10.0.0.0/8", "2001:db8:10::/48", "192.0.2.99")


def head_of(*fields: tuple[str, str | bytes], host: bytes | None = b"inner:8000") -> RequestHead:
    head = RequestHead()
    head.headers = [] if host is None else [(KNOWN[b"host"], host)]
    for name, value in fields:
        key = KNOWN[name.encode()]
        head.headers.append((key, value.encode("latin-1") if isinstance(value, str) else value))
    head.headers.append((b"x-other", b"1"))
    head.authority = host or b""
    return head


def read(
    *fields: tuple[str, str | bytes],
    names: list[bytes] | None = None,
    trusted: tuple[str, ...] = BOTH,
    peers: Peers | None = None,
    head: RequestHead | None = None,
) -> Peers:
    forwarding = Forwarding(TrustedPeers(trusted), X_FIELDS if names is None else names)
    before = Peers(PROXY, ("10.0.0.2", 8000), "http", None, True) if peers is None else peers
    return forwarding.peers(head_of(*fields) if head is None else head, before)


def client_of(value: str, *more: str) -> tuple[str, int] | None:
    return read(*(("x-forwarded-for", line) for line in (value, *more))).client


def forwarded(*lines: str, head: RequestHead | None = None) -> Peers:
    return read(*(("forwarded", line) for line in lines), names=[b"forwarded"], head=head)


# Whom to trust


@pytest.mark.parametrize(
    ("names", "host", "trusted"),
    [
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["127.0.0.1"], "::ffff:127.0.0.1", True),
        (["127.0.0.1"], "::1", False),
        (["127.0.0.1"], None, False),
        (["127.0.0.1"], "", False),
        (["127.0.0.1"], "unix", False),
        (["127.0.0.1"], "localhost", False),
        (["127.0.0.1"], "127.0.0.1\0", False),
        (["127.0.0.1"], "\udc80", False),
        (["::ffff:192.0.2.1"], "192.0.2.1", True),
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.0.0.0/8"], "a00::", False),
        (["2001:db8::/32"], "2001:DB8:0:0::1", True),
        (["2001:db8::/32"], "2001:db9::", False),
        (["2001:db8::/32"], "32.1.13.184", False),
        (["::1"], "0:0::1", True),
        (["0.0.0.0/0"], "::1", False),
        (["10.0.0.0/8", "unix"], None, True),
        (["unix"], "127.0.0.1", False),
        (["*"], "203.0.113.1", True),
        (["*"], None, True),
        (["*"], "anything", True),
        ([], "127.0.0.1", False),
        ([], None, False),
    ],
)
def test_trust(names, host, trusted):
    assert TrustedPeers(names).trusts(host) is trusted


@pytest.mark.parametrize(
    "name", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "unix:/run/x", "**"]
)
def test_what_cannot_be_trusted(name):
    with pytest.raises(ValueError):
        TrustedPeers([name])


# X-Forwarded-For


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.7", ("203.0.113.7", 0)),
        ("  203.0.113.7\t", ("203.0.113.7", 0)),
        ("203.0.113.7:5001", ("203.0.113.7", 5001)),
        ("2001:DB8::0:7", ("2001:db8::7", 0)),
        ("[2001:db8::7]", ("2001:db8::7", 0)),
        ("[2001:db8::7]:65535", ("2001:db8::7", 65535)),
        ("::ffff:203.0.113.7", ("203.0.113.7", 0)),
        ("[::ffff:203.0.113.7]:80", ("203.0.113.7", 80)),
        # The first that is not trusted, from the right.
        ("198.51.100.1, 203.0.113.7", ("203.0.113.7", 0)),
        ("198.51.100.1, 203.0.113.7, 10.0.0.9", ("203.0.113.7", 0)),
        ("198.51.100.1,203.0.113.7,2001:db8:10::1,192.0.2.99:1,10.0.0.9", ("203.0.113.7", 0)),
        ("unknown, 203.0.113.7, 10.0.0.9", ("203.0.113.7", 0)),
        # Empty elements do not count (RFC 9110 §5.6.1.2).
        (", 203.0.113.7,, 10.0.0.9 , ", ("203.0.113.7", 0)),
        # All of them trusted: the first proxy itself asked.
        ("10.0.0.8, 10.0.0.9", ("10.0.0.8", 0)),
        # Nothing said.
        ("", PROXY),
        (" , ,", PROXY),
        # A trusted hop does not know, or what it says cannot be read.
        ("unknown", None),
        ("203.0.113.7, unknown", None),
        ("203.0.113.7, garbage, 10.0.0.9", None),
        ("_hidden", None),
        ("203.0.113.7:65536", None),
        ("203.0.113.7:", None),
        ("203.0.113.7:x", None),
        ("203.0.113.07", None),
        ("203.0.113", None),
        ("2001:db8::7]:1", None),
        ("[2001:db8::7", None),
        ("[203.0.113.7]", None),
        ("[]", None),
        ("[::1%eth0]", None),
        ("fe80::1%eth0", None),
        ('"203.0.113.7"', None),
        ("203.0.113.7 10.0.0.9", None),
        ("ünknown", None),
    ],
)
def test_for(value, client):
    assert client_of(value) == client


def test_lines_are_one_list():
    assert client_of("198.51.100.1, 203.0.113.7", "10.0.0.8", "10.0.0.9") == ("203.0.113.7", 0)


def test_everybody_is_trusted_up_to_the_first_client():
    assert read(("x-forwarded-for", "198.51.100.1, 203.0.113.7"), trusted=("*",)).client == (
        "198.51.100.1",
        0,
    )


@pytest.mark.parametrize(("hops", "known"), [(MAX_HOPS, True), (MAX_HOPS + 1, False)])
def test_hops_are_bounded(hops, known):
    client = read(("x-forwarded-for", ",".join(["10.0.0.9"] * hops))).client
    assert client == (("10.0.0.9", 0) if known else None)


def test_a_long_list_costs_no_more_than_its_walk():
    long = "198.51.100.1," * 100_000 + "203.0.113.7"
    start = time.process_time()
    for _ in range(100):
        assert client_of(long) == ("203.0.113.7", 0)
    assert time.process_time() - start < 2  # the joining of the test's own; a quadratic walk takes minutes


OCTETS = st.binary(max_size=60).map(lambda data: bytes(c for c in data if c >= 0x20 and c != 0x7F))


@given(OCTETS)
def test_whatever_a_client_puts_before_its_proxies_changes_nothing(junk):
    assert read(("x-forwarded-for", junk + b", 203.0.113.7, 10.0.0.9")).client == ("203.0.113.7", 0)
    assert read(("x-forwarded-for", junk), ("x-forwarded-for", "203.0.113.7:1")).client == ("203.0.113.7", 1)


@given(st.lists(st.tuples(st.ip_addresses(), st.none() | st.integers(0, 65535)), min_size=1, max_size=6))
def test_the_walk_against_a_model(hops):
    trusted = TrustedPeers(("0.0.0.0/1", "::/3"))
    texts = []
    for address, port in hops:
        host = f"[{address}]" if address.version == 6 and port is not None else str(address)
        texts.append(host if port is None else f"{host}:{port}")
    expected = None
    for address, port in reversed(hops):
        mapped = getattr(address, "ipv4_mapped", None)
        expected = (str(mapped or address), port or 0)
        if not trusted.trusts(expected[0]):
            break
    found = read(("x-forwarded-for", ",".join(texts)), trusted=("0.0.0.0/1", "::/3")).client
    assert found is not None
    assert (TrustedPeers([found[0]]).trusts(expected[0]), found[1]) == (True, expected[1])


@given(st.binary(max_size=40))
def test_a_node_is_an_address_or_nothing(text):
    node = parse_node(text)
    assert node is None or (TrustedPeers([node[0]]).trusts(node[0]) and 0 <= node[1] < 65536)


# The other X-Forwarded fields


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("wss", "https"),
        ("ws", "http"),
        ("https, ", "https"),
        ("", "http"),
        ("ftp", "http"),
        ("https;q=1", "http"),
        # Only the last was written by the proxy itself.
        ("https, http", "http"),
        ("http, https", "https"),
    ],
)
def test_proto(value, scheme):
    assert read(("x-forwarded-proto", value)).scheme == scheme


@pytest.mark.parametrize(
    ("node", "proto", "scheme"),
    [
        ("203.0.113.7", "evil, https", "https"),
        ("203.0.113.7, 10.0.0.9", "https, http", "https"),
        ("203.0.113.7, 10.0.0.9", "http, https, http", "https"),
        ("203.0.113.7, 10.0.0.8, 10.0.0.9", "https", "https"),  # the outer proxies did not add theirs
        ("198.51.100.1, 203.0.113.7", "http, https", "https"),
    ],
)
def test_the_element_of_the_clients_hop(node, proto, scheme):
    assert read(("x-forwarded-for", node), ("x-forwarded-proto", proto)).scheme == scheme


def test_a_scheme_that_cannot_be_read_leaves_the_connections_own():
    peers = Peers(PROXY, None, "https", None, True)
    assert read(("x-forwarded-proto", "x"), peers=peers).scheme == "https"


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"host": "example.com"}, b"example.com"),
        ({"host": "example.com:8443"}, b"example.com:8443"),
        ({"host": "[2001:db8::1]"}, b"[2001:db8::1]"),
        ({"host": "evil, example.com"}, b"example.com"),
        ({"host": "exa mple.com"}, b"inner:8000"),
        ({"host": "user@example.com"}, b"inner:8000"),
        ({"host": ""}, b"inner:8000"),
        ({"host": ":80"}, b"inner:8000"),
        # A port for a host that names none, but for the scheme's own.
        ({"host": "example.com", "port": "8443"}, b"example.com:8443"),
        ({"host": "[2001:db8::1]", "port": "8443"}, b"[2001:db8::1]:8443"),
        ({"host": "example.com:1", "port": "8443"}, b"example.com:1"),
        ({"host": "example.com", "port": "443", "proto": "https"}, b"example.com"),
        ({"host": "example.com", "port": "443"}, b"example.com:443"),
        ({"host": "example.com", "port": "80"}, b"example.com"),
        ({"host": "example.com", "port": "65536"}, b"example.com"),
        ({"host": "example.com", "port": "+1"}, b"example.com"),
        ({"host": "example.com", "port": "1, 8443"}, b"example.com:8443"),
        ({"port": "9"}, b"inner:8000"),
    ],
)
def test_host_and_port(fields, host):
    head = head_of(*((f"x-forwarded-{name}", value) for name, value in fields.items()))
    read(head=head)
    assert head.authority == host
    assert [value for name, value in head.headers if name == b"host"] == [host]
    assert (b"x-other", b"1") in head.headers


def test_a_host_where_there_was_none():
    head = head_of(("x-forwarded-host", "example.com"), host=None)
    read(head=head)
    assert head.headers[0] == (b"host", b"example.com")
    head = head_of(("x-forwarded-port", "8443"), host=None)
    read(head=head)
    assert all(name != b"host" for name, _ in head.headers)


@pytest.mark.parametrize(
    ("value", "root_path"),
    [
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/", ""),
        ("/a%20b/%C3%A9", "/a b/é"),
        ("/evil, /api", "/api"),
        ("api", None),
        ("//evil.example", None),
        ("/a?b", None),
        ("/a#b", None),
        ("/a b", None),
        ("/api%2F", "/api"),
        ("/%2fevil.example", None),
        ("/a/%2Fevil.example", None),
        ("/%5cevil.example", None),
        ("/a%0d%0ax: y", None),
        ("/a%00", None),
        ("http://evil.example/", None),
        ("", None),
    ],
)
def test_prefix(value, root_path):
    assert read(("x-forwarded-prefix", value)).root_path == root_path


def test_the_prefix_takes_the_place_of_the_servers_own():
    head = RequestHead()
    head.path = "/x"
    assert Peers(None, None, "http", "/api").http_scope(head, "/configured", {}, {})["path"] == "/api/x"
    assert Peers(None, None, "http", "").http_scope(head, "/configured", {}, {})["root_path"] == ""
    assert Peers(None, None, "http").http_scope(head, "/configured", {}, {})["root_path"] == "/configured"


def test_only_the_fields_that_were_named_are_read():
    values = {
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "example.com",
        "x-forwarded-port": "1",
        "x-forwarded-prefix": "/api",
        "forwarded": "for=198.51.100.1;proto=https;host=example.org",
    }

    def origin(*names):
        head = head_of(*values.items())
        peers = read(head=head, names=[name.encode() for name in names])
        return peers.client, peers.scheme, head.authority, peers.root_path

    plain = (PROXY, "http", b"inner:8000", None)
    assert origin() == plain
    assert origin("x-forwarded-for") == (("203.0.113.7", 0), *plain[1:])
    assert origin("x-forwarded-proto") == (PROXY, "https", b"inner:8000", None)
    assert origin("x-forwarded-host") == (PROXY, "http", b"example.com", None)
    assert origin("x-forwarded-port") == plain  # the host has one
    assert origin("x-forwarded-host", "x-forwarded-port") == (PROXY, "http", b"example.com:1", None)
    assert origin("x-forwarded-prefix") == (*plain[:3], "/api")
    assert origin("forwarded") == (("198.51.100.1", 0), "https", b"example.org", None)


# Forwarded


@pytest.mark.parametrize(
    ("line", "elements"),
    [
        ("for=192.0.2.60", [{b"for": b"192.0.2.60"}]),
        (
            'For="[2001:db8:cafe::17]:4711"; PROTO=http ;by=203.0.113.43',
            [{b"for": b"[2001:db8:cafe::17]:4711", b"proto": b"http", b"by": b"203.0.113.43"}],
        ),
        ('for=_gazonk, , for="_SEVKISEK"', [{b"for": b"_gazonk"}, {b"for": b"_SEVKISEK"}]),
        (r'for="a\"b\\c,d;e"', [{b"for": b'a"b\\c,d;e'}]),
        ("for=[::1]:80", [{b"for": b"[::1]:80"}]),  # should be quoted
        ("for=1;;host=a", [{b"for": b"1", b"host": b"a"}]),
        ('secret=""', [{b"secret": b""}]),
        ("", []),
        (" ;,; ", []),
        ("for=1;for=2", None),
        ("for=1;FOR=1", None),
        ("for", None),
        ("for=", None),
        ("=1", None),
        ("for =1", None),
        ("for= 1", None),
        ('for="1', None),
        ('for="1\\"', None),
        ('for="1"2', None),
        ("for=1/2", None),
        ("for=é", None),
        ("for=" + "1" * MAX_LINE, None),
    ],
)
def test_forwarded_elements(line, elements):
    assert parse_forwarded(line.encode("latin-1")) == elements


@pytest.mark.parametrize(
    ("lines", "client", "scheme"),
    [
        (["for=203.0.113.7;proto=https"], ("203.0.113.7", 0), "https"),
        (['for="203.0.113.7:5001"'], ("203.0.113.7", 5001), "http"),
        (['for="[2001:db8::7]:5001";proto=https'], ("2001:db8::7", 5001), "https"),
        (['for="203.0.113.7:_port"'], ("203.0.113.7", 0), "http"),
        (
            ["for=198.51.100.1;proto=http, for=203.0.113.7;proto=https, for=10.0.0.9"],
            ("203.0.113.7", 0),
            "https",
        ),
        (["for=198.51.100.1", "for=203.0.113.7", "for=10.0.0.9;proto=https"], ("203.0.113.7", 0), "https"),
        (["for=203.0.113.7;proto=https, for=10.0.0.9;proto=http"], ("203.0.113.7", 0), "https"),
        (["for=10.0.0.8, for=10.0.0.9"], ("10.0.0.8", 0), "http"),
        (["for=unknown;proto=https"], None, "https"),
        (["for=_hidden"], None, "http"),
        (["for=203.0.113.7, for=unknown"], None, "http"),
        (["proto=https"], PROXY, "https"),
        (["for=203.0.113.7, proto=https, for=10.0.0.9"], ("10.0.0.9", 0), "https"),
        ([""], PROXY, "http"),
        (["nonsense"], None, "http"),
        # What a trusted hop wrote counts, though the line before it cannot be read.
        (['for="unbalanced', "for=203.0.113.7"], ("203.0.113.7", 0), "http"),
        (['for="unbalanced', "for=10.0.0.9;proto=https"], None, "https"),
        # A client's quote that swallows what its proxy added behind it spoils the line; it hides nothing.
        (['for="198.51.100.1, for=203.0.113.7'], None, "http"),
        (['for="198.51.100.1, for="[2001:db8::7]"'], None, "http"),
    ],
)
def test_forwarded(lines, client, scheme):
    peers = forwarded(*lines)
    assert (peers.client, peers.scheme) == (client, scheme)


def test_forwarded_hosts():
    head = head_of(("forwarded", 'for=203.0.113.7;host="example.com:8443", for=10.0.0.9'))
    forwarded(head=head)
    assert head.authority == b"example.com:8443"
    head = head_of(("forwarded", 'for=203.0.113.7;host="a b"'))
    forwarded(head=head)
    assert head.authority == b"inner:8000"


def test_forwarded_hops_are_bounded():
    assert forwarded(", ".join(["for=10.0.0.9"] * (MAX_HOPS + 1))).client is None


@given(OCTETS)
def test_whatever_a_client_forwards_never_names_another(junk):
    own_line = forwarded(junk.decode("latin-1"), "for=203.0.113.7;proto=https")
    assert (own_line.client, own_line.scheme) == (("203.0.113.7", 0), "https")
    appended = forwarded(junk.decode("latin-1") + ', for="203.0.113.7:1";proto=https')
    assert appended.client in (("203.0.113.7", 1), None)


@given(st.text('for=";,\\ 1._[]:ab', max_size=60))
def test_forwarded_lines_of_its_own_characters(text):
    elements = parse_forwarded(text.encode())
    assert elements is None or all(value is not None for found in elements for value in found.values())


def test_a_long_line_is_read_in_linear_time():
    lines = ['for="' + "\\a" * 4000, "for=1," * 1300, ";" * MAX_LINE, 'a="' + "\\" * 8000]
    start = time.process_time()
    for _ in range(20):
        for line in lines:
            parse_forwarded(line.encode())
    assert time.process_time() - start < 2
