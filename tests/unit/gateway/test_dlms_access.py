"""Secrets come from files, are checked at the start, and show nowhere."""

from pathlib import Path
from typing import Any

import pytest

from dlms.apdu.acse import Mechanism
from dlms.security.protection import CipherForm
from gateway.adapters.dlms.access import DlmsMeter, Role, make_meter, system_title_of
from gateway.adapters.dlms.entries import DlmsEntry, RoleEntry
from gateway.adapters.profile_files import load_profiles
from gateway.core.dlms_profiles import DlmsProfile
from wire.runtime.errors import ConfigError

KEY = "000102030405060708090A0B0C0D0E0F"
PASSWORD = "p@ssword-1"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    texts = {"secret_file": PASSWORD, "encryption_key_file": KEY, "authentication_key_file": KEY[::-1]}
    for name, text in texts.items():
        (tmp_path / name).write_text(text + "\n")
    return {name: str(tmp_path / name) for name in texts}


def meter_of(gateway: str = "gw-1", **entry: Any) -> DlmsMeter:
    profile = load_profiles()["is15959-d1"]
    assert isinstance(profile, DlmsProfile)
    return make_meter("m1", DlmsEntry(**entry), profile, gateway=gateway)


def test_roles_are_as_the_profile_has_them_unless_told_otherwise(files: dict[str, str]) -> None:
    meter = meter_of(
        reading=RoleEntry(secret_file=files["secret_file"]),
        control=RoleEntry(**files, mechanism="high-gmac", form="ded", client=49),
    )
    reading, control = meter.roles[Role.READING].settings, meter.roles[Role.CONTROL].settings
    assert (reading.client_sap, reading.mechanism, reading.secret) == (32, Mechanism.LOW, PASSWORD.encode())
    assert reading.keys is None
    assert (control.client_sap, control.mechanism, control.control) == (49, Mechanism.HIGH_GMAC, 0x30)
    assert control.form is CipherForm.SERVICE_GLOBAL
    assert meter.roles[Role.CONTROL].uses_dedicated_key
    assert Role.FIRMWARE not in meter.roles
    assert meter.has_relay
    assert not meter_of(reading=RoleEntry(secret_file=files["secret_file"])).has_relay


def test_whoever_may_control_may_read(files: dict[str, str]) -> None:
    meter = meter_of(control=RoleEntry(**files))
    assert meter.roles[Role.READING] is meter.roles[Role.CONTROL]


def test_secrets_show_in_no_repr(files: dict[str, str]) -> None:
    meter = meter_of(control=RoleEntry(**files))
    shown = repr(meter) + repr(meter.roles[Role.CONTROL]) + str(meter.roles[Role.CONTROL].settings)
    for secret in (PASSWORD, KEY, KEY.lower(), repr(bytes.fromhex(KEY)), repr(bytes.fromhex(KEY[::-1]))):
        assert secret not in shown


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("secret_file", b"", "holds not one line of text"),
        ("secret_file", b"two\nlines", "holds not one line of text"),
        ("secret_file", b"\xff\xfe", "is no text"),
        ("secret_file", b"hex:zz", "holds no hexadecimal digits"),
        ("encryption_key_file", b"0123", "holds no key of 16 bytes"),
        ("encryption_key_file", KEY.encode() + b"00", "holds no key of 16 bytes"),
    ],
)
def test_a_file_that_does_not_hold_is_named_and_not_shown(
    files: dict[str, str], name: str, content: bytes, problem: str
) -> None:
    Path(files[name]).write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        meter_of(control=RoleEntry(**files))
    assert files[name] in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_secret_may_be_written_in_hexadecimal_digits(files: dict[str, str]) -> None:
    Path(files["secret_file"]).write_text("hex:00ff10")
    assert meter_of(reading=RoleEntry(secret_file=files["secret_file"])).roles[Role.READING].settings.secret == bytes(
        (0, 255, 16)
    )


def test_what_a_role_lacks_is_said(files: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="give secret_file"):
        meter_of(reading=RoleEntry())
    with pytest.raises(ConfigError, match="give encryption_key_file and authentication_key_file"):
        meter_of(control=RoleEntry(secret_file=files["secret_file"]))
    with pytest.raises(ConfigError, match="nobody may read it"):
        meter_of()


def test_two_gateways_have_two_system_titles(files: dict[str, str]) -> None:
    titles = {
        meter_of(name, control=RoleEntry(**files)).roles[Role.CONTROL].settings.system_title
        for name in ("gw-1", "gw-2")
    }
    assert titles == {system_title_of("gw-1"), system_title_of("gw-2")}
    assert len(titles) == 2
    told = meter_of(client_title="4750513030303031", control=RoleEntry(**files))
    assert told.roles[Role.CONTROL].settings.system_title == b"GPQ00001"
