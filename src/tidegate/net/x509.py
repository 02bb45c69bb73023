"""What TLS needs to know of a certificate (RFC 5280): its subject, names and validity. Verifying is OpenSSL's."""

from calendar import timegm
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

SEQUENCE: Final = 0x30
SET: Final = 0x31
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18

ENCODINGS: Final = {
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
# RFC 4514 §3
ATTRIBUTES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
SUBJECT_ALT_NAME: Final = b"\x55\x1d\x11"  # 2.5.29.17
DNS_NAME: Final = 0x82  # GeneralName (RFC 5280 §4.2.1.6)
IP_ADDRESS: Final = 0x87


class CertificateInfo:
    """`subject` is a name in RFC 4514's form; `names` the DNS names and IP addresses, in lower case, that it is for;
    `not_before` and `not_after` are seconds since the epoch."""

    __slots__ = ("names", "not_after", "not_before", "subject")

    def __init__(self, der: bytes) -> None:
        """Raises ValueError where `der` is no certificate."""
        try:
            ((_, certificate),) = _elements(der)
            tbs = list(_elements(next(_elements(certificate))[1]))
            if tbs[0][0] == 0xA0:  # [0] version
                del tbs[0]
            _, _, _, (_, validity), (_, subject), _, *optional = tbs
            (begin, end) = _elements(validity)
            self.not_before = _seconds(*begin)
            self.not_after = _seconds(*end)
            self.subject = _distinguished_name(subject)
            self.names = _alternative_names(optional) or _common_names(subject)
        except (IndexError, StopIteration, ValueError, OverflowError) as error:
            raise ValueError(f"not a certificate: {error}") from None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) pairs that `data`, in DER (X.690 §8.1), holds. Raises ValueError, IndexError."""
    at = 0
    while at < len(data):
        tag = data[at]
        length = data[at + 1]
        at += 2
        if length > 0x7F:
            octets = length & 0x7F
            if not 1 <= octets <= 4:
                raise ValueError("a length is out of range")
            length = int.from_bytes(data[at : at + octets], "big")
            at += octets
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield tag, data[at : at + length]
        at += length


def _seconds(tag: int, content: bytes) -> int:
    # RFC 5280 §4.1.2.5: both forms end in Z and have seconds.
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != GENERALIZED_TIME:
        raise ValueError("a time has an unknown form")
    if len(text) != 15 or text[-1] != "Z" or not text[:14].isdigit():
        raise ValueError("a time is malformed")
    return timegm((int(text[:4]), *(int(text[i : i + 2]) for i in range(4, 14, 2)), 0, 0, 0))


def _object_identifier(content: bytes) -> str:
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _attributes(name: bytes) -> Iterator[list[tuple[str, int, bytes]]]:
    """The relative names of `name`; of each the (type, tag, value) of its attributes."""
    for _, relative in _elements(name):
        found = []
        for _, attribute in _elements(relative):
            (_, kind), (tag, value) = _elements(attribute)
            found.append((_object_identifier(kind), tag, value))
        yield found


def _distinguished_name(name: bytes) -> str:
    # RFC 4514 §2.1: the last relative name first.
    relatives = ["+".join(_attribute(*each) for each in relative) for relative in _attributes(name)]
    return ",".join(reversed(relatives))


def _attribute(kind: str, tag: int, value: bytes) -> str:
    if kind in ATTRIBUTES and tag in ENCODINGS:
        return f"{ATTRIBUTES[kind]}={_escaped(value.decode(ENCODINGS[tag]))}"
    # §2.4: the BER encoding, of which a short length is one octet, and a long one is preceded by its own length.
    length = len(value)
    octets = b"" if length < 0x80 else length.to_bytes((length.bit_length() + 7) // 8, "big")
    head = bytes((tag, length)) if not octets else bytes((tag, 0x80 | len(octets))) + octets
    return f"{kind}=#{(head + value).hex()}"


def _escaped(value: str) -> str:
    # §2.4
    text = "".join("\\" + each if each in '"+,;<>\\' else "\\00" if each == "\0" else each for each in value)
    if text.endswith(" "):
        text = text[:-1] + "\\ "
    return "\\" + text if text[:1] in ("#", " ") else text


def _alternative_names(optional: list[tuple[int, bytes]]) -> tuple[str, ...]:
    found = []
    for tag, content in optional:
        if tag != 0xA3:  # [3] extensions
            continue
        for _, extension in _elements(next(_elements(content))[1]):
            parts = list(_elements(extension))  # extnID, critical?, extnValue
            if parts[0][1] == SUBJECT_ALT_NAME:
                for kind, name in _elements(next(_elements(parts[-1][1]))[1]):
                    if kind == DNS_NAME:
                        found.append(name.decode("ascii").lower().rstrip("."))
                    elif kind == IP_ADDRESS:
                        found.append(str(ip_address(name)))
    return tuple(found)


def _common_names(subject: bytes) -> tuple[str, ...]:
    return tuple(
        value.decode(ENCODINGS[tag]).lower()
        for relative in _attributes(subject)
        for kind, tag, value in relative
        if kind == "2.5.4.3" and tag in ENCODINGS
    )
