"""The folder of an authority: nothing is overwritten, and what does not hold is told with a remedy."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.folder import Issued, listed, make_authority, make_client, make_server, revoke
from wire.runtime.errors import ConfigError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "authority"
    make_authority(folder, name="Test authority", now=NOW)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_all(folder: Path) -> list[Issued]:
    return [
        make_authority(folder, name="Test authority", now=NOW),
        make_server(folder, name="broker", hosts=["localhost", "broker"], now=NOW),
        make_client(folder, name="gw-0001", now=NOW),
    ]


def test_doing_it_again_changes_nothing(folder: Path) -> None:
    first = make_all(folder)
    before = contents(folder)

    second = make_all(folder)

    assert [issued.is_new for issued in first] == [False, True, True]
    assert [issued.is_new for issued in second] == [False, False, False]
    assert contents(folder) == before


def test_private_keys_are_for_their_owner_only(folder: Path) -> None:
    make_all(folder)

    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")} == {0o600}
    assert len(list(folder.glob("*.key"))) == 3


def test_a_removed_certificate_is_made_again_for_the_same_key(folder: Path) -> None:
    first = make_client(folder, name="gw-0001", now=NOW)
    first.path.unlink()

    again = make_client(folder, name="gw-0001", now=NOW)

    assert again.is_new
    assert again.certificate.public_key() == first.certificate.public_key()
    assert again.certificate.serial_number != first.certificate.serial_number


def test_a_server_asked_for_one_more_host_says_what_to_remove(folder: Path) -> None:
    make_server(folder, name="broker", hosts=["localhost"], now=NOW)

    with pytest.raises(ConfigError, match=r"mqtt\.example\.org.*remove") as caught:
        make_server(folder, name="broker", hosts=["localhost", "mqtt.example.org"], now=NOW)

    assert caught.value.path == str(folder / "broker.crt")


def test_what_has_ended_is_told(folder: Path) -> None:
    make_client(folder, name="gw-0001", now=NOW)

    with pytest.raises(ConfigError, match="ended on 2031-06-01"):
        make_client(folder, name="gw-0001", now=NOW + timedelta(days=1_900))


def test_what_another_authority_made_is_told(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_authority(other, name="Test authority", now=NOW)
    make_client(other, name="gw-0001", now=NOW)
    for suffix in ("crt", "key"):
        (other / f"gw-0001.{suffix}").rename(folder / f"gw-0001.{suffix}")

    with pytest.raises(ConfigError, match="another authority"):
        make_client(folder, name="gw-0001", now=NOW)


def test_a_name_is_one_clients_or_one_servers(folder: Path) -> None:
    make_client(folder, name="broker", now=NOW)

    with pytest.raises(ConfigError, match="certificate of a client"):
        make_server(folder, name="broker", hosts=["localhost"], now=NOW)


def test_a_certificate_without_its_key_is_told(folder: Path) -> None:
    make_client(folder, name="gw-0001", now=NOW)
    (folder / "gw-0001.key").unlink()

    with pytest.raises(ConfigError, match="put the private key back"):
        make_client(folder, name="gw-0001", now=NOW)


@pytest.mark.parametrize("name", ["", "gw/1", "gw 1", "+", "#", "../ca", "x" * 33, "gw\n", "ca"])
def test_names_that_could_reach_into_topics_or_folders_are_refused(folder: Path, name: str) -> None:
    before = contents(folder)

    with pytest.raises(ConfigError, match="--name"):
        make_client(folder, name=name, now=NOW)

    assert contents(folder) == before


def test_without_an_authority_nobody_is_vouched_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="certs authority"):
        make_client(tmp_path, name="gw-0001", now=NOW)
    with pytest.raises(ConfigError, match="certs authority"):
        listed(tmp_path)


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "ca.crl", "gw-0001.crt", "gw-0001.key"])
def test_a_damaged_file_is_one_line_with_its_name(folder: Path, name: str) -> None:
    make_client(folder, name="gw-0001", now=NOW)
    (folder / name).write_text("nonsense", encoding="ascii")

    work = revoke if name == "ca.crl" else make_client
    with pytest.raises(ConfigError) as caught:
        work(folder, name="gw-0001", now=NOW)

    assert caught.value.path == str(folder / name)
    assert "\n" not in str(caught.value)


def test_a_revoked_certificate_is_on_the_list_and_its_name_is_free(folder: Path) -> None:
    stolen = make_client(folder, name="gw-0001", now=NOW).certificate

    revoke(folder, name="gw-0001", now=NOW)
    fresh = make_client(folder, name="gw-0001", now=NOW).certificate

    revocations = x509.load_pem_x509_crl((folder / "ca.crl").read_bytes())
    assert {entry.serial_number for entry in revocations} == {stolen.serial_number}
    assert fresh.public_key() != stolen.public_key()
    assert [issued.path.stem for issued in listed(folder)] == ["ca", "gw-0001"]


def test_whom_nobody_knows_cannot_be_revoked(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"gw-0001\.crt"):
        revoke(folder, name="gw-0001", now=NOW)
