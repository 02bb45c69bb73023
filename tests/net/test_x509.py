"""Certificates as tidegate.net.x509 reads them, against the cryptography library as an oracle."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.net.x509 import CertificateInfo

KEY = ec.generate_private_key(ec.SECP256R1())
BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
KINDS = st.sampled_from(
    [
        NameOID.COMMON_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
        NameOID.LOCALITY_NAME,
        NameOID.STATE_OR_PROVINCE_NAME,
        NameOID.STREET_ADDRESS,
        NameOID.USER_ID,
    ]
)


def issue(
    subject: x509.Name,
    *names: x509.GeneralName,
    begin: datetime = BEGIN,
    end: datetime = BEGIN + timedelta(days=9),
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")]))
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(KINDS, TEXT), min_size=1, max_size=2, unique_by=lambda pair: pair[0]), max_size=4
    )
)
def test_subject(relatives: list[list[tuple[x509.ObjectIdentifier, str]]]) -> None:
    subject = x509.Name(
        [
            x509.RelativeDistinguishedName([x509.NameAttribute(kind, value) for kind, value in relative])
            for relative in relatives
        ]
    )
    found = CertificateInfo(issue(subject)).subject
    # A set is sorted when it is written: the certificate is read back, not the name that went in.
    written = x509.load_der_x509_certificate(issue(subject)).subject
    assert found == written.rfc4514_string()


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ('James "Jim" Smith, III', 'James \\"Jim\\" Smith\\, III'),  # RFC 4514 §4
        (" #", "\\ #"),
        ("# ", "\\#\\ "),
        (" ", "\\ "),
        ("a+b<c>;\\", "a\\+b\\<c\\>\\;\\\\"),
        ("Lučić", "Lučić"),
    ],
)
def test_escapes(value: str, escaped: str) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value)])
    assert CertificateInfo(issue(subject)).subject == f"CN={escaped}"


@pytest.mark.parametrize(("length", "head"), [(5, "1605"), (200, "1681c8"), (300, "1682012c")])
def test_an_attribute_without_a_short_name_is_written_in_ber(length: int, head: str) -> None:
    value = "a" * (length - 2) + "@b"
    attribute = x509.NameAttribute(NameOID.EMAIL_ADDRESS, value)
    found = CertificateInfo(issue(x509.Name([attribute]))).subject
    assert found == f"1.2.840.113549.1.9.1=#{head}{value.encode().hex()}"  # RFC 4514 §2.4


def test_names_and_validity() -> None:
    from ipaddress import ip_address

    der = issue(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other.test")]),
        x509.DNSName("A.Example.com"),
        x509.RFC822Name("someone@example.com"),
        x509.DNSName("*.b.test"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    )
    info = CertificateInfo(der)
    assert info.names == ("a.example.com", "*.b.test", "127.0.0.1", "::1")
    assert info.not_before == BEGIN.timestamp()
    assert info.not_after == (BEGIN + timedelta(days=9)).timestamp()


def test_a_certificate_without_alternative_names_has_its_common_name() -> None:
    der = issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old.test")]))
    assert CertificateInfo(der).names == ("old.test",)


@pytest.mark.parametrize("year", [1950, 1999, 2049, 2050, 3000])
def test_both_forms_of_time(year: int) -> None:
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    info = CertificateInfo(issue(x509.Name([]), begin=datetime(1950, 1, 1, tzinfo=UTC), end=end))
    assert info.not_after == end.timestamp()


WHOLE = issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), x509.DNSName("x.test"))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(WHOLE) - 1).map(lambda n: WHOLE[:n]),
        st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)).map(
            lambda at: WHOLE[: at[0]] + bytes((at[1],)) + WHOLE[at[0] + 1 :]
        ),
    )
)
def test_what_is_no_certificate_raises_value_error(data: bytes) -> None:
    with suppress(ValueError):
        CertificateInfo(data)
