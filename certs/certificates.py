"""What each kind of certificate says: names, purposes, lifetimes.

Nothing here reads or writes a file or looks at a clock; keys are made by OpenSSL's own source of randomness. A client's
common name is what the broker's access list knows it by, so it has to be a name as `wire.address` defines them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=3_653)
SERVER_LIFE: Final = timedelta(days=825)
"""The longest that common TLS libraries accept of a server."""
CLIENT_LIFE: Final = timedelta(days=1_826)
"""Five years: whoever renews a gateway's certificate may have to travel."""
BACKDATED: Final = timedelta(days=1)
"""So much may the clock of a gateway that has just been switched on be behind."""


class Kind(StrEnum):
    """Whom a certificate is for."""

    AUTHORITY = "authority"
    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh private key on P-256, which every TLS library knows."""
    return ec.generate_private_key(ec.SECP256R1())


def authority_certificate(key: ec.EllipticCurvePrivateKey, *, name: str, now: datetime) -> x509.Certificate:
    """Return an authority's certificate for itself; it can vouch for servers and clients, not for other authorities."""
    subject = _subject(name)
    usage = _key_usage(digital_signature=False, signs_certificates=True)
    return (
        _builder(subject, subject, key.public_key(), now=now, life=AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def server_certificate(
    authority: Authority, key: ec.EllipticCurvePublicKey, *, name: str, hosts: Iterable[str], now: datetime
) -> x509.Certificate:
    """Return a certificate for a server that is reached under these host names and addresses."""
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return (
        _leaf(authority, key, name=name, now=now, life=SERVER_LIFE, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
        .add_extension(names, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def client_certificate(
    authority: Authority, key: ec.EllipticCurvePublicKey, *, name: str, now: datetime
) -> x509.Certificate:
    """Return a certificate for a client of the broker."""
    # The name once more, for verifiers that do not look at the subject.
    names = x509.SubjectAlternativeName([x509.DirectoryName(_subject(name))])
    return (
        _leaf(authority, key, name=name, now=now, life=CLIENT_LIFE, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
        .add_extension(names, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def revocation_list(
    authority: Authority, before: x509.CertificateRevocationList | None, revoked: Iterable[int], *, now: datetime
) -> x509.CertificateRevocationList:
    """Return a list of all serial numbers revoked so far; it holds as long as the authority, since nobody fetches it.

    Args:
        authority: Who signs it.
        before: The list so far; None for the first.
        revoked: Serial numbers to add.
        now: The time of revocation.
    """
    entries = list(before) if before is not None else []
    known = {entry.serial_number for entry in entries}
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - BACKDATED)
        .next_update(authority.certificate.not_valid_after_utc)
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    for serial in set(revoked) - known:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256())


def name_of(certificate: x509.Certificate) -> str:
    """Return the common name."""
    (attribute,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)


def kind_of(certificate: x509.Certificate) -> Kind:
    """Return whom a certificate of ours is for."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return Kind.AUTHORITY
    return Kind.SERVER if ExtendedKeyUsageOID.SERVER_AUTH in purposes else Kind.CLIENT


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names and addresses of a server's certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def plain_host(host: str) -> str:
    """Return a host as certificates write it: a name in lower case, or an address in its usual form.

    Raises:
        ValueError: It is neither.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        labels = host.lower().split(".")
        if len(host) > 253 or not all(_is_label(label) for label in labels):
            raise ValueError(f"{host!r} is neither a host name nor an address") from None
        return host.lower()


def _is_label(label: str) -> bool:
    plain = label.isascii() and label.replace("-", "").isalnum()
    return plain and len(label) <= 63 and not label.startswith("-") and not label.endswith("-")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _leaf(
    authority: Authority,
    key: ec.EllipticCurvePublicKey,
    *,
    name: str,
    now: datetime,
    life: timedelta,
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    issuer = authority.certificate.subject
    vouched = authority.key.public_key()
    return (
        _builder(_subject(name), issuer, key, now=now, life=life, ends=authority.certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(vouched), critical=False)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    life: timedelta,
    ends: datetime | None = None,
) -> x509.CertificateBuilder:
    until = now + life if ends is None else min(now + life, ends)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, digital_signature: bool, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
