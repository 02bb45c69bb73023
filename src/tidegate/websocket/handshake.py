"""The opening handshake, server side (RFC 6455 §4.2), also over HTTP/2 and HTTP/3 (RFC 8441, RFC 9220).

That `Upgrade` and `Connection` (or `:protocol`) ask for it is the HTTP layer's finding: `head.protocol` says
b"websocket".
"""

import re
from base64 import b64encode
from hashlib import sha1

from tidegate.http.errors import RequestError
from tidegate.http.head import NO_CONTENT, RequestHead
from tidegate.websocket.deflate import NAME, DeflateParameters, negotiate

VERSION = b"13"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_SUBPROTOCOLS = 100
# Offers, and parameters of one. HTTP/2 lets a client repeat long lists at next to no cost, and they cost us time.
MAX_OFFERS = 16
MAX_PARAMETERS = 16

Extension = tuple[str, list[tuple[str, str | None]]]

# RFC 6455 §4.1: the base64 of 16 octets
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WHOLE_TOKEN = re.compile(_TOKEN)
# RFC 6455 §9.1, in the list syntax of RFC 9110 §5.6.1
_NAME = re.compile(rf"[ \t,]*({_TOKEN})")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?')
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t,]*|$)")
_ESCAPE = re.compile(r"\\(.)")


class Handshake:
    """A client's offer. `subprotocols` are in its order of preference; `deflate` is what we agree to, or
    None.
    """

    __slots__ = ("_key", "deflate", "subprotocols")

    def __init__(self, key: bytes, subprotocols: list[str], deflate: DeflateParameters | None) -> None:
        self._key = key
        self.subprotocols = subprotocols
        self.deflate = deflate

    def accept_fields(self, subprotocol: str | None) -> list[tuple[bytes, bytes]]:
        """The fields of the accepting answer (RFC 6455 §4.2.2, item 5), without `Upgrade` and `Connection`.

        Raises ValueError where the client did not offer `subprotocol`.
        """
        fields = []
        if self._key:
            fields.append(
                (b"sec-websocket-accept", b64encode(sha1(self._key + GUID, usedforsecurity=False).digest()))
            )
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise ValueError(f"the client did not offer the subprotocol {subprotocol!r}")
            fields.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
        if self.deflate is not None:
            fields.append((b"sec-websocket-extensions", self.deflate.response.encode("ascii")))
        return fields


def receive_handshake(head: RequestHead, deflate_window_bits: int, takeover: bool) -> Handshake:
    """Read the opening handshake (RFC 6455 §4.2.1). `deflate_window_bits` is 9 to 15, or 0 to agree to no
    compression; `takeover` whether our context may be taken over from message to message.

    Raises RequestError: 426 for another version of the protocol, else 400.
    """
    versions, keys, protocols, extensions = _fields(head)
    # §4.1: HTTP/1.1 or higher. RFC 8441 §5: an extended CONNECT has no key.
    over_http1 = head.http_version == "1.1"
    if head.http_version == "1.0" or head.method != ("GET" if over_http1 else "CONNECT"):
        raise RequestError(400, "A WebSocket handshake is a GET request of HTTP/1.1.")
    if over_http1 and head.content_length != NO_CONTENT and head.content_length != 0:
        # RFC 9110 §7.8 would have the protocol change behind it.
        raise RequestError(400, "A WebSocket handshake has no content.")
    if versions != [VERSION]:
        # §4.2.2, item 4; RFC 9110 §15.5.22 wants the Upgrade
        fields = (
            (b"sec-websocket-version", VERSION),
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
        )
        raise RequestError(
            426, "This server speaks version 13 of WebSocket.", fields if over_http1 else fields[:1]
        )
    if over_http1 and (len(keys) != 1 or _KEY.fullmatch(keys[0]) is None):
        raise RequestError(400, "Sec-WebSocket-Key is not the base64 of 16 octets.")
    return Handshake(
        keys[0] if over_http1 else b"",
        _subprotocols(b",".join(protocols)),
        _agree(b",".join(extensions), deflate_window_bits, takeover),
    )


def _fields(head: RequestHead) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
    versions: list[bytes] = []
    keys: list[bytes] = []
    protocols: list[bytes] = []
    extensions: list[bytes] = []
    for name, value in head.headers:
        if name == b"sec-websocket-version":
            versions.append(value)
        elif name == b"sec-websocket-key":
            keys.append(value)
        elif name == b"sec-websocket-protocol":
            protocols.append(value)
        elif name == b"sec-websocket-extensions":
            extensions.append(value)
    return versions, keys, protocols, extensions


def _subprotocols(value: bytes) -> list[str]:
    subprotocols: list[str] = []
    if value.count(b",") > 2 * MAX_SUBPROTOCOLS:
        raise RequestError(400, "Sec-WebSocket-Protocol has too many elements.")
    for element in value.decode("latin-1").split(","):
        name = element.strip(" \t")
        if not name:
            continue
        # §4.1, item 10: tokens, all different
        if len(subprotocols) == MAX_SUBPROTOCOLS:
            raise RequestError(400, "Sec-WebSocket-Protocol has too many elements.")
        if _WHOLE_TOKEN.fullmatch(name) is None or name in subprotocols:
            raise RequestError(400, "Sec-WebSocket-Protocol is not a list of different tokens.")
        subprotocols.append(name)
    return subprotocols


def _agree(value: bytes, window_bits: int, takeover: bool) -> DeflateParameters | None:
    for name, parameters in parse_extensions(value.decode("latin-1")):
        if name == NAME and window_bits:
            agreed = negotiate(parameters, window_bits, takeover)
            # RFC 7692 §5: the first offer that we can accept
            if agreed is not None:
                return agreed
    return None


def parse_extensions(value: str) -> list[Extension]:
    """The offers in a Sec-WebSocket-Extensions field (RFC 6455 §9.1), in order. Raises RequestError(400)."""
    extensions: list[Extension] = []
    i = 0
    while True:
        named = _NAME.match(value, i)
        if named is None:
            break
        parameters: list[tuple[str, str | None]] = []
        i = named.end()
        while (parameter := _PARAMETER.match(value, i)) is not None:
            name, token, quoted = parameter.groups()
            if quoted is not None:
                token = _ESCAPE.sub(r"\1", quoted)
                if _WHOLE_TOKEN.fullmatch(token) is None:
                    raise RequestError(400, "Sec-WebSocket-Extensions is malformed.")
            parameters.append((name, token))
            i = parameter.end()
            if len(parameters) > MAX_PARAMETERS:
                raise RequestError(400, "Sec-WebSocket-Extensions has too many elements.")
        extensions.append((named[1], parameters))
        separator = _SEPARATOR.match(value, i)
        if separator is None:
            raise RequestError(400, "Sec-WebSocket-Extensions is malformed.")
        i = separator.end()
        if len(extensions) > MAX_OFFERS:
            raise RequestError(400, "Sec-WebSocket-Extensions has too many elements.")
    if value[i:].strip(" \t,"):
        raise RequestError(400, "Sec-WebSocket-Extensions is malformed.")
    return extensions
