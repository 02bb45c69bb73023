"""Who a request comes from where a trusted proxy says so: X-Forwarded-* and Forwarded (RFC 7239).

Each hop adds what it knows of the one before it, on the right. So the lists are read from the right, and only as far
as trusted hops wrote them: what stands to the left of the first hop that is not trusted is what that hop says, and may
be anything. docs/proxies.md has the rules for what is repeated, missing or malformed.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from tidegate.gateway.scope import Peers
from tidegate.http.fields import KNOWN
from tidegate.http.head import RequestHead
from tidegate.http.target import decode_path, is_authority

FORWARDED = KNOWN[b"forwarded"]
FOR = KNOWN[b"x-forwarded-for"]
PROTO = KNOWN[b"x-forwarded-proto"]
HOST = KNOWN[b"x-forwarded-host"]
PORT = KNOWN[b"x-forwarded-port"]
PREFIX = KNOWN[b"x-forwarded-prefix"]
FIELDS = (FOR, PROTO, HOST, PORT, PREFIX, FORWARDED)
_HOST_FIELD = KNOWN[b"host"]

MAX_HOPS = 64
# Of one line of Forwarded, which can only be read from its left.
MAX_LINE = 8192

SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
DEFAULT_PORTS = {"http": b"80", "https": b"443"}
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291 §2.5.5.2

# [IPv6] or anything without a colon, and a port, which RFC 7239 §6 lets be an obfuscated one.
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::(?:([0-9]{1,5})|_[A-Za-z0-9._-]+))?")
_NO_PATH = re.compile(r"//|[\\\x00-\x1f\x7f]")
_PREFIX = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+;=:@%\x80-\xff-]+)*/?")
# RFC 7239 §4. A value that should be quoted for its colon or brackets is taken without quotes too.
_PAIR = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    rb"""(?:([!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+)|"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*)")"""
)
_ESCAPED = re.compile(rb"\\(.)")


class TrustedPeers:
    """The proxies that are believed: addresses, networks (CIDR), `unix` for all Unix sockets, `*` for everybody.

    Raises ValueError for what is none of these.
    """

    __slots__ = ("_addresses", "_everybody", "_networks", "_unix")

    def __init__(self, names: Iterable[str]) -> None:
        self._everybody = False
        self._unix = False
        self._addresses: set[bytes] = set()
        self._networks: list[tuple[int, int, int]] = []  # octets of an address, network, mask
        for name in names:
            if name == "*":
                self._everybody = True
            elif name == "unix":
                self._unix = True
            else:
                network = ip_network(name)
                first = network.network_address
                if network.num_addresses == 1:
                    self._addresses.add(packed(str(first)) or first.packed)
                else:
                    self._networks.append((len(first.packed), int(first), int(network.netmask)))

    def trusts(self, host: str | None) -> bool:
        """Whether the peer at this address is believed; None is the other end of a Unix socket."""
        if self._everybody:
            return True
        if host is None:
            return self._unix
        octets = packed(host)
        if octets is None:
            return False
        if octets in self._addresses:
            return True
        if self._networks:
            address = int.from_bytes(octets, "big")
            for size, network, mask in self._networks:
                if size == len(octets) and address & mask == network:
                    return True
        return False


class Forwarding:
    """Reads the fields `names` (of FIELDS, lower-case) of requests that come from `trusted` proxies."""

    __slots__ = ("_forwarded", "_host", "_node", "_port", "_prefix", "_proto", "_trusted")

    def __init__(self, trusted: TrustedPeers, names: Iterable[bytes]) -> None:
        names = frozenset(names)
        self._trusted = trusted
        self._node = FOR in names
        self._proto = PROTO in names
        self._host = HOST in names
        self._port = PORT in names
        self._prefix = PREFIX in names
        self._forwarded = FORWARDED in names

    def trusts(self, host: str | None) -> bool:
        """Whether the fields of requests of this peer are read at all."""
        return self._trusted.trusts(host)

    def peers(self, head: RequestHead, peers: Peers) -> Peers:
        """What `head`, a request of the trusted `peers`, says of its origin: other Peers, and a Host in `head`."""
        node = proto = host = port = prefix = forwarded = None
        for name, value in head.headers:
            if name is FOR:
                node = value if node is None else node + b"," + value
            elif name is PROTO:
                proto = value if proto is None else proto + b"," + value
            elif name is HOST:
                host = value if host is None else host + b"," + value
            elif name is PORT:
                port = value if port is None else port + b"," + value
            elif name is PREFIX:
                prefix = value if prefix is None else prefix + b"," + value
            elif name is FORWARDED:
                if forwarded is None:
                    forwarded = []
                forwarded.append(value)
        if (
            forwarded is None
            and node is None
            and proto is None
            and host is None
            and port is None
            and prefix is None
        ):
            return peers

        client = peers.client
        hop = 0
        if forwarded is not None and self._forwarded:
            client, hop, parameters = self._walk_forwarded(forwarded, client)
            proto = parameters.get(b"proto")
            host = parameters.get(b"host")
        else:
            if node is not None and self._node:
                client, hop = self._walk(node, client)
            proto = None if proto is None or not self._proto else element(proto, hop)
            host = None if host is None or not self._host else element(host, hop)
        port = None if port is None or not self._port else element(port, hop)
        prefix = None if prefix is None or not self._prefix else element(prefix, hop)

        scheme = peers.scheme
        if proto is not None:
            scheme = SCHEMES.get(proto.lower(), scheme)
        if host is not None or port is not None:
            _set_host(head, host, port, scheme)
        # Without the extension `tls`: a certificate is the proxy's.
        return Peers(client, peers.server, scheme, None if prefix is None else root_path(prefix))

    def _walk(self, value: bytes, client: tuple[str, int] | None) -> tuple[tuple[str, int] | None, int]:
        """The client in an X-Forwarded-For, and how far from the right it stands."""
        end = len(value)
        hop = -1
        while end >= 0:
            start = value.rfind(b",", 0, end)
            text = value[start + 1 : end].strip(b" \t")
            end = start
            if not text:
                continue
            hop += 1
            client = None if hop == MAX_HOPS else parse_node(text)
            if client is None or not self._trusted.trusts(client[0]):
                break
        return client, max(hop, 0)

    def _walk_forwarded(
        self, lines: list[bytes], client: tuple[str, int] | None
    ) -> tuple[tuple[str, int] | None, int, dict[bytes, bytes]]:
        """The client in a Forwarded, how far from the right it stands, and the parameters that hold for it."""
        hop = -1
        parameters: dict[bytes, bytes] = {}
        for line in reversed(lines):
            elements = parse_forwarded(line)
            if elements is None:
                return None, max(hop, 0), parameters
            for found in reversed(elements):
                hop += 1
                parameters.update(found)
                node = found.get(b"for")
                if node is None:
                    # The hop does not say who asked it.
                    return client, hop, parameters
                client = None if hop == MAX_HOPS else parse_node(node)
                if client is None or not self._trusted.trusts(client[0]):
                    return client, hop, parameters
        return client, max(hop, 0), parameters


def packed(host: str) -> bytes | None:
    """The octets of an IP address, of the IPv4 address where one is mapped; None for anything else."""
    try:
        if ":" not in host:
            return inet_pton(AF_INET, host)
        octets = inet_pton(AF_INET6, host)
    except (OSError, ValueError):
        return None
    return octets[12:] if octets.startswith(_MAPPED) else octets


def parse_node(text: bytes) -> tuple[str, int] | None:
    """A node (RFC 7239 §6) or an element of X-Forwarded-For as (address, port), port 0 where there is none.

    None for `unknown`, an obfuscated identifier and whatever is no address.
    """
    name = text.decode("latin-1")
    port = 0
    octets = packed(name)
    if octets is None:
        match = _NODE.fullmatch(name)
        if match is None:
            return None
        octets = packed(match[1] or match[2])
        if octets is None or (match[1] and ":" not in match[1]):
            return None
        if match[3]:
            port = int(match[3])
            if port > 65535:
                return None
    return inet_ntop(AF_INET if len(octets) == 4 else AF_INET6, octets), port


def parse_forwarded(line: bytes) -> list[dict[bytes, bytes]] | None:
    """The elements of one Forwarded field line (RFC 7239 §4), names in lower case; None where it is malformed.

    One wrong element spoils its line: an unbalanced quote could hide what the next hop added behind it.
    """
    p = line
    n = len(line)
    if n > MAX_LINE:
        return None
    elements: list[dict[bytes, bytes]] = []
    found: dict[bytes, bytes] = {}
    i = 0
    while i < n:
        c = p[i]
        if c == 0x2C:
            if found:
                elements.append(found)
                found = {}
            i += 1
        elif c == 0x3B or c == 0x20 or c == 0x09:
            i += 1
        else:
            match = _PAIR.match(line, i)
            if match is None:
                return None
            name = match[1].lower()
            if name in found:
                return None  # §4: a parameter occurs once
            quoted = match[3]
            found[name] = match[2] if quoted is None else _ESCAPED.sub(rb"\1", quoted)
            i = match.end()
            if i < n and p[i] not in b",; \t":
                return None
    if found:
        elements.append(found)
    return elements


def element(value: bytes, hop: int) -> bytes | None:
    """The element that stands `hop` from the right of a list, or its leftmost; None where it is empty."""
    if b"," not in value:
        return value or None
    elements = [text for part in value.split(b",") if (text := part.strip(b" \t"))]
    if not elements:
        return None
    count = len(elements)
    return elements[count - 1 - hop if hop < count else 0]


def root_path(prefix: bytes) -> str | None:
    """An X-Forwarded-Prefix as ASGI's root_path; None where it is no path."""
    if not _PREFIX.fullmatch(prefix):
        return None
    path = decode_path(prefix).rstrip("/")
    # What becomes of it is the beginning of links: `//host` and, to browsers, `/\host` lead elsewhere.
    return None if _NO_PATH.search(path) else path


def _set_host(head: RequestHead, host: bytes | None, port: bytes | None, scheme: str) -> None:
    authority = head.authority
    if host and not host.startswith(b":") and is_authority(host):
        authority = host
    if port is not None and authority and authority.rfind(b":") <= authority.rfind(b"]"):
        # A port that the client named stands in the host: this one is for where it is missing.
        if not port.isdigit() or len(port) > 5 or int(port) > 65535 or port == DEFAULT_PORTS.get(scheme):
            port = None
        else:
            authority = authority + b":" + port
    if authority == head.authority:
        return
    head.authority = authority
    fields = [(name, value) for name, value in head.headers if name is not _HOST_FIELD]
    fields.insert(0, (_HOST_FIELD, authority))
    head.headers = fields
