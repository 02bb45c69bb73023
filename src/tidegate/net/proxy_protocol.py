"""The PROXY protocol, versions 1 and 2, receiver side, with no I/O (HAProxy's doc/proxy-protocol.txt).

A proxy that forwards bytes rather than requests says in front of them whose they are.
"""

import re
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from tidegate.net.address import unmapped

V1_START = b"PROXY "
MAX_V1 = 107  # §2.1, its CRLF included
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # §2.2
V2_FIXED = 16
# Behind the fixed part. The protocol allows 65,535; addresses take up to 216, and what proxies add is small.
MAX_V2 = 4096

_V1_LINE = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9a-fA-F:.]{2,45}) ([0-9a-fA-F:.]{2,45})"
    rb" (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21  # version 2, and the command
_UNSPEC, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESS_SIZES = {_UNSPEC: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
_TYPE_SSL = 0x20
_CLIENT_SSL = 0x01


class ProxyProtocolError(ValueError):
    """What came is no PROXY header; the connection is to be closed."""


class ProxyHeader:
    """What a proxy says of a connection.

    `known` is False where it is the proxy's own (LOCAL) or it does not say more: the ends are those of the socket.
    Else `source` and `destination` are (address, port), None for a Unix socket's; `secure` says that the client came
    by TLS.
    """

    __slots__ = ("destination", "known", "secure", "source")

    def __init__(
        self,
        known: bool = False,
        source: tuple[str, int] | None = None,
        destination: tuple[str, int] | None = None,
        secure: bool = False,
    ) -> None:
        self.known = known
        self.source = source
        self.destination = destination
        self.secure = secure


class ProxyHeaderParser:
    """Takes one header, however it is split. `version` is "v1", "v2" or "any" of the two.

    There is no version that lets a connection go without one (§5: a receiver must not guess).
    """

    __slots__ = ("_buffer", "_needed", "_version", "header")

    def __init__(self, version: str) -> None:
        self.header: ProxyHeader | None = None
        self._version = version
        self._buffer = bytearray()
        self._needed = V2_FIXED

    def receive(self, data: bytes) -> int:
        """Take what belongs to the header; its octets in `data`. `header` is set once it is whole.

        Raises ProxyProtocolError as early as the first octet that shows it.
        """
        buffer = self._buffer
        taken = 0
        while taken < len(data) and self.header is None:
            if not buffer:
                end = taken + 1
                self._choose(data[taken])
            elif self._version == "v1":
                end = data.find(b"\n", taken, taken + MAX_V1 - len(buffer)) + 1
                end = end or taken + MAX_V1 - len(buffer)
            else:
                end = taken + self._needed - len(buffer)
            piece = data[taken:end]
            buffer += piece
            taken += len(piece)
            if self._version == "v1":
                self._look_v1()
            else:
                self._look_v2()
        return taken

    def _choose(self, first: int) -> None:
        found = {V1_START[0]: "v1", SIGNATURE[0]: "v2"}.get(first)
        if found is None or self._version not in ("any", found):
            raise ProxyProtocolError("it does not begin with a PROXY header of the version that is expected")
        self._version = found

    def _look_v1(self) -> None:
        buffer = self._buffer
        if not V1_START.startswith(buffer[: len(V1_START)]):
            raise ProxyProtocolError("it does not begin with a PROXY header")
        if not buffer.endswith(b"\n"):
            if len(buffer) == MAX_V1:
                raise ProxyProtocolError(f"version 1: the line is longer than {MAX_V1} octets")
            return
        if buffer.startswith((b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ")) and buffer.endswith(b"\r\n"):
            self.header = ProxyHeader()  # §2.1: what follows UNKNOWN is ignored
            return
        match = _V1_LINE.fullmatch(buffer)
        if match is None:
            raise ProxyProtocolError("version 1: the line is malformed")
        family = AF_INET if match[1] == b"TCP4" else AF_INET6
        try:
            ends = [unmapped(inet_ntop(family, inet_pton(family, bytes(match[i]).decode()))) for i in (2, 3)]
        except OSError:
            raise ProxyProtocolError("version 1: an address is malformed") from None
        ports = int(match[4]), int(match[5])
        if max(ports) > 65535:
            raise ProxyProtocolError("version 1: a port is above 65535")
        self.header = ProxyHeader(True, (ends[0], ports[0]), (ends[1], ports[1]))

    def _look_v2(self) -> None:
        buffer = self._buffer
        if not SIGNATURE.startswith(buffer[: len(SIGNATURE)]):
            raise ProxyProtocolError("it does not begin with a PROXY header")
        if len(buffer) < V2_FIXED:
            return
        command, family = buffer[12], buffer[13]
        size = int.from_bytes(buffer[14:16], "big")
        if len(buffer) == V2_FIXED:
            if command not in (_LOCAL, _PROXY):
                raise ProxyProtocolError(f"version 2: command {command:#04x} is not known")
            if command == _PROXY and size < _address_size(family):
                raise ProxyProtocolError("version 2: the header is too short for its addresses")
            if size > MAX_V2:
                raise ProxyProtocolError(f"version 2: the header is longer than {MAX_V2} octets")
            self._needed = V2_FIXED + size
        if len(buffer) == self._needed:
            # §2.2: of a LOCAL connection everything else is ignored.
            self.header = ProxyHeader() if command == _LOCAL else _proxied(family, bytes(buffer[V2_FIXED:]))


def _address_size(family: int) -> int:
    size = _ADDRESS_SIZES.get(family)
    if size is None:
        raise ProxyProtocolError(f"version 2: address family {family:#04x} is not one of a stream")
    return size


def _proxied(family: int, data: bytes) -> ProxyHeader:
    size = _ADDRESS_SIZES[family]
    secure = _came_by_tls(data[size:])
    if family == _UNSPEC:
        return ProxyHeader(secure=secure)
    if family == _UNIX:
        return ProxyHeader(True, secure=secure)
    inet, length = (AF_INET, 4) if family == _TCP4 else (AF_INET6, 16)
    ports = (
        int.from_bytes(data[2 * length : 2 * length + 2], "big"),
        int.from_bytes(data[size - 2 : size], "big"),
    )
    return ProxyHeader(
        True,
        (unmapped(inet_ntop(inet, data[:length])), ports[0]),
        (unmapped(inet_ntop(inet, data[length : 2 * length])), ports[1]),
        secure,
    )


def _came_by_tls(data: bytes) -> bool:
    """Whether a PP2_TYPE_SSL among the type-length-values says so (§2.2.5); the others are skipped."""
    secure = False
    i = 0
    while i < len(data):
        if len(data) - i < 3:
            raise ProxyProtocolError("version 2: a TLV is cut off")
        kind, size = data[i], int.from_bytes(data[i + 1 : i + 3], "big")
        i += 3
        if size > len(data) - i:
            raise ProxyProtocolError("version 2: a TLV is longer than the header")
        if kind == _TYPE_SSL:
            if size < 5:
                raise ProxyProtocolError("version 2: the SSL TLV is too short")
            secure = bool(data[i] & _CLIENT_SSL)
        i += size
    return secure
