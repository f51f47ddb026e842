"""What certificates say, judged by cryptography's own verifier of chains."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certs.certificates import (
    BACKDATED,
    Authority,
    Kind,
    authority_certificate,
    client_certificate,
    hosts_of,
    kind_of,
    name_of,
    new_key,
    plain_host,
    revocation_list,
    server_certificate,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    key = new_key()
    return Authority(authority_certificate(key, name="Test authority", now=NOW), key)


def policy(authority: Authority, *, at: datetime = NOW) -> PolicyBuilder:
    return PolicyBuilder().store(Store([authority.certificate])).time(at)


def make_server(authority: Authority, *hosts: str) -> x509.Certificate:
    return server_certificate(authority, new_key().public_key(), name="broker", hosts=hosts, now=NOW)


def make_client(authority: Authority, name: str = "gw-0001") -> x509.Certificate:
    return client_certificate(authority, new_key().public_key(), name=name, now=NOW)


@pytest.mark.parametrize("host", ["mqtt.example.org", "localhost", "192.0.2.7", "2001:db8::7"])
def test_a_server_is_believed_for_each_of_its_hosts(authority: Authority, host: str) -> None:
    server = make_server(authority, "localhost", "mqtt.example.org", "192.0.2.7", "2001:db8::7")
    try:
        subject: x509.IPAddress | x509.DNSName = x509.IPAddress(ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)

    chain = policy(authority).build_server_verifier(subject).verify(server, [])

    assert chain[-1] == authority.certificate


def test_a_server_is_not_believed_for_another_host_nor_after_its_time(authority: Authority) -> None:
    server = make_server(authority, "mqtt.example.org")
    for host, at in (("mqtt.example.com", NOW), ("mqtt.example.org", NOW + timedelta(days=826))):
        verifier = policy(authority, at=at).build_server_verifier(x509.DNSName(host))
        with pytest.raises(VerificationError):
            verifier.verify(server, [])


def test_a_client_is_believed(authority: Authority) -> None:
    assert policy(authority).build_client_verifier().verify(make_client(authority), []).chain


def test_a_client_is_no_server_and_a_server_no_client(authority: Authority) -> None:
    server, client = make_server(authority, "localhost"), make_client(authority)

    with pytest.raises(VerificationError, match="subjectAltName"):
        policy(authority).build_server_verifier(x509.DNSName("localhost")).verify(client, [])
    with pytest.raises(VerificationError, match="EKU"):
        policy(authority).build_client_verifier().verify(server, [])


def test_nobody_is_believed_whom_a_client_vouches_for(authority: Authority) -> None:
    key = new_key()
    certificate = client_certificate(authority, key.public_key(), name="gw-0001", now=NOW)
    forged = server_certificate(
        Authority(certificate, key), new_key().public_key(), name="broker", hosts=["localhost"], now=NOW
    )

    with pytest.raises(VerificationError):
        policy(authority).build_server_verifier(x509.DNSName("localhost")).verify(forged, [certificate])


def test_a_clock_that_is_a_little_behind_is_no_hindrance(authority: Authority) -> None:
    verifier = policy(authority, at=NOW - BACKDATED / 2).build_server_verifier(x509.DNSName("localhost"))

    assert verifier.verify(make_server(authority, "localhost"), [])


def test_nothing_lasts_longer_than_its_authority() -> None:
    key = new_key()
    authority = Authority(authority_certificate(key, name="Old authority", now=NOW - timedelta(days=3_600)), key)
    ends = authority.certificate.not_valid_after_utc

    assert make_server(authority, "localhost").not_valid_after_utc == ends
    assert make_client(authority).not_valid_after_utc == ends


def test_certificates_tell_what_they_are(authority: Authority) -> None:
    server, client = make_server(authority, "localhost", "192.0.2.7"), make_client(authority)

    assert [kind_of(item) for item in (authority.certificate, server, client)] == list(Kind)
    assert (name_of(client), name_of(server)) == ("gw-0001", "broker")
    assert (hosts_of(server), hosts_of(client)) == (("localhost", "192.0.2.7"), ())


def test_a_serial_number_once_revoked_stays_so(authority: Authority) -> None:
    first = revocation_list(authority, None, [7], now=NOW)
    second = revocation_list(authority, first, [8, 7], now=NOW + timedelta(days=1))

    assert {entry.serial_number: entry.revocation_date_utc for entry in second} == {
        7: NOW,
        8: NOW + timedelta(days=1),
    }
    assert second.is_signature_valid(authority.key.public_key())


@pytest.mark.parametrize(("host", "plain"), [("MQTT.Example.org", "mqtt.example.org"), ("2001:DB8::07", "2001:db8::7")])
def test_hosts_are_written_one_way(host: str, plain: str) -> None:
    assert plain_host(host) == plain


@pytest.mark.parametrize("host", ["", "-a", "a..b", "a b", "mqtt.example.org:8883", "x" * 64, "*.example.org", "ä.org"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        plain_host(host)
