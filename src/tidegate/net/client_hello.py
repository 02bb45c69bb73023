"""What a client says first on a TLS connection (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), read without taking it."""

from collections.abc import Iterator

HANDSHAKE = 22  # content type (RFC 8446 §5.1)
CLIENT_HELLO = 1  # handshake type
SERVER_NAME = 0  # extension types
ALPN = 16
SUPPORTED_VERSIONS = 43

MAX_RECORD = 1 << 14
# What Chromium sends with post-quantum key shares is under 2 KiB.
MAX_HELLO = 1 << 14

UNEXPECTED_MESSAGE = 10  # alerts (RFC 8446 §6)
PROTOCOL_VERSION = 70
DECODE_ERROR = 50
NO_APPLICATION_PROTOCOL = 120


class Incomplete(Exception):
    """The first `needed` octets have to be there before more can be said."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class Malformed(Exception):
    """To be answered with this `alert`."""

    def __init__(self, alert: int) -> None:
        super().__init__(alert)
        self.alert = alert


class ClientHello:
    """`server_name` is in lower case, "" where there is none; `alpn` None where the client does not take part in it;
    `version` is the highest version of TLS that the client speaks, as 0x0303."""

    __slots__ = ("alpn", "server_name", "version")

    def __init__(self, server_name: str, alpn: tuple[bytes, ...] | None, version: int) -> None:
        self.server_name = server_name
        self.alpn = alpn
        self.version = version


def read_client_hello(data: bytes) -> ClientHello:
    """The ClientHello at the beginning of `data`. Raises Incomplete, Malformed."""
    message = _message(data)
    try:
        return _read(message)
    except (IndexError, UnicodeDecodeError, ValueError):
        raise Malformed(DECODE_ERROR) from None


def alert(code: int) -> bytes:
    """A fatal alert, in a record that is not encrypted."""
    return bytes((21, 3, 3, 0, 2, 2, code))


def _message(data: bytes) -> bytes:
    """The handshake message, out of the records that it is spread over."""
    message = b""
    at = 0
    while True:
        # The first octet alone says that it is no TLS.
        if data[at : at + 1] not in (b"", b"\x16") or data[at + 1 : at + 2] not in (b"", b"\x03"):
            raise Malformed(UNEXPECTED_MESSAGE)
        if len(data) < at + 5:
            raise Incomplete(at + 5)
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < length <= MAX_RECORD:
            raise Malformed(DECODE_ERROR)
        message += data[at + 5 : at + 5 + length]
        if message[0:1] not in (b"", b"\x01"):
            raise Malformed(UNEXPECTED_MESSAGE)
        at += 5 + length
        if len(message) >= 4:
            size = 4 + int.from_bytes(message[1:4], "big")
            if size > MAX_HELLO:
                raise Malformed(DECODE_ERROR)
            if len(message) >= size:
                return message[4:size]
        if at > 2 * MAX_HELLO:
            raise Malformed(DECODE_ERROR)
        if len(data) < at:
            raise Incomplete(at)


def _read(message: bytes) -> ClientHello:
    version = int.from_bytes(message[:2], "big")
    at = 34  # legacy_version, random
    at += 1 + message[at]  # legacy_session_id
    at += 2 + int.from_bytes(message[at : at + 2], "big")  # cipher_suites
    at += 1 + message[at]  # legacy_compression_methods
    if at > len(message):
        raise ValueError
    server_name = ""
    alpn = None
    extensions = _vector(message[at:], 2) if at < len(message) else b""
    at = 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at : at + 2], "big")
        content = _vector(extensions[at + 2 :], 2)
        at += 4 + len(content)
        if kind == SERVER_NAME and content:
            # RFC 6066 §3: of one type, host_name, there is one name.
            names = _vector(content, 2)
            if names[0] == 0:
                server_name = _vector(names[1:], 2).decode("ascii").lower().rstrip(".")
        elif kind == ALPN:
            alpn = tuple(_vectors(_vector(content, 2)))
        elif kind == SUPPORTED_VERSIONS:
            versions = _vector(content, 1)
            spoken = [int.from_bytes(versions[i : i + 2], "big") for i in range(0, len(versions), 2)]
            # RFC 8701: reserved values are to be ignored.
            version = max((each for each in spoken if each >> 8 == 3), default=0)
    return ClientHello(server_name, alpn, version)


def _vector(data: bytes, octets: int) -> bytes:
    """The content of the vector at the beginning of `data`, whose length has so many octets. Raises ValueError."""
    length = int.from_bytes(data[:octets], "big")
    if len(data) < octets + length:
        raise ValueError
    return data[octets : octets + length]


def _vectors(data: bytes) -> Iterator[bytes]:
    while data:
        content = _vector(data, 1)
        yield content
        data = data[1 + len(content) :]
