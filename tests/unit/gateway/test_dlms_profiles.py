"""Makes of DLMS meters as data."""

from importlib.resources import files
from pathlib import Path

import pytest

from dlms.obis import obis
from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import Sample
from gateway.core.dlms_profiles import DlmsChannel, DlmsProfile, StatusWord, parse_dlms_profile
from gateway.core.profiles import ProfileError
from tests.unit.gateway.paper_meter import MAKE
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT

TEXT = files("gateway").joinpath("profiles/is15959-d1.toml").read_bytes()
VOLTAGE = DlmsChannel(obis="1.0.12.7.0.255", scaler=-1, unit=35, low=0, high=3_000)


def test_the_indian_single_phase_meter_is_there_with_all_that_it_keeps() -> None:
    assert [item.obis for item in MAKE.captured] == ["1.0.99.1.0.255", "1.0.99.2.0.255", "1.0.98.1.0.255"]
    assert [log.obis for log in MAKE.logs] == [f"0.0.99.98.{number}.255" for number in range(7)]
    assert [log.sequence for log in MAKE.logs] == [f"0.0.96.15.{number}.255" for number in range(7)]
    assert [channel.obis for channel in MAKE.wire_channels() if channel.unit == 27] == [obis("1.0.1.7.0.255")]
    associations = MAKE.associations
    assert [item.client for item in (associations.public, associations.reading, associations.control)] == [16, 32, 48]


@pytest.mark.parametrize(
    ("number", "code", "urgent"),
    [
        (101, "3.26.0.85", True),
        (201, "3.12.66.242", True),
        (251, "3.12.29.212", True),
        (202, "3.12.66.243", False),
        (301, "3.31.0.68", True),
        (215, "3.15.261.139", True),
        (153, "3.16.59.24", False),
        (9, "3.26.38.150", False),
    ],
)
def test_event_numbers_have_the_codes_of_iec_61968_9(number: int, code: str, urgent: bool) -> None:  # noqa: FBT001
    known = MAKE.by_number[number]
    assert (known.code, known.urgent) == (code, urgent)


def test_a_number_that_no_table_has_is_not_made_up() -> None:
    assert 999 not in MAKE.by_number


def test_every_profile_file_of_the_program_is_read_by_its_kind() -> None:
    kinds = {name: type(profile).__name__ for name, profile in load_profiles().items()}
    assert kinds["is15959-d1"] == "DlmsProfile"
    assert kinds["eastron-sdm120"] == "MeterProfile"


def test_the_meters_own_scaler_is_turned_into_ours() -> None:
    assert VOLTAGE.sample(3, 23_014, scaler=-2, unit=35) == Sample(3, 2_301)
    assert VOLTAGE.sample(3, 230, scaler=0, unit=35) == Sample(3, 2_300)
    assert VOLTAGE.sample(3, 230.14, scaler=0, unit=35) == Sample(3, 2_301)
    assert VOLTAGE.sample(3, 23_015, scaler=-2, unit=35) == Sample(3, 2_302), "half to even"
    assert VOLTAGE.sample(3, 23_025, scaler=-2, unit=35) == Sample(3, 2_302), "half to even"


def test_a_value_without_a_scaler_has_the_one_of_its_make() -> None:
    channel = DlmsChannel(obis="0.0.96.7.0.255", class_id=1, raw_scaler=1, scaler=0, unit=255, low=0, high=100)
    assert channel.sample(0, 4, scaler=None, unit=None) == Sample(0, 40)


def test_what_is_no_value_of_this_quantity_is_missing_and_what_is_out_of_range_suspect() -> None:
    missing = Sample(0, None, QUALITY_MISSING)
    assert VOLTAGE.sample(0, None, scaler=0, unit=35) == missing
    assert VOLTAGE.sample(0, float("nan"), scaler=0, unit=35) == missing
    assert VOLTAGE.sample(0, 230, scaler=0, unit=33) == missing
    assert VOLTAGE.sample(0, 2**62, scaler=9, unit=35) == missing
    assert VOLTAGE.sample(0, 400, scaler=0, unit=35) == Sample(0, 4_000, QUALITY_SUSPECT)


def test_bits_of_the_status_word_count_from_the_left_and_only_risen_ones_are_told() -> None:
    assert isinstance(MAKE.status_word, StatusWord)
    word = (1 << 127 - 83 | 1 << 127 - 85 | 1 << 127).to_bytes(16)
    assert MAKE.status_word.risen(word) == (0, 83, 85)
    assert MAKE.status_word.risen(word, before=(1 << 127).to_bytes(16)) == (83, 85)
    assert MAKE.status_word.risen(b"", before=word) == ()
    assert {bit.bit: bit.name for bit in MAKE.status_word.bits}[85] == "last gasp"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'clock = "0.0.1.0.0.255"', b'clock = "0.0.1.0.0.256"', r"objects\.clock"),
        (b"number = 9,", b"number = 8,", "number 8 stands there twice"),
        (b"bit = 81,", b"bit = 82,", "bit 82 stands there twice"),
        (b"period_s = 0,", b"period_s = 1,", r"captured\[2\]\.period_s"),
        (b"high = 7_000", b"high = -1", r"channels\[4\]\.low"),
        (b'mechanism = "none"', b'mechanism = "hope"', "public"),
        (b"[deviation]", b"[deviation]\nzone = 1", "zone"),
        (b"[deviation]", b"[deviation", "correct the TOML syntax"),
    ],
)
def test_a_file_that_does_not_hold_is_refused_with_its_place(old: bytes, new: bytes, problem: str) -> None:
    assert old in TEXT
    with pytest.raises(ProfileError, match=problem):
        parse_dlms_profile(TEXT.replace(old, new, 1), file="is15959-d1.toml")


def test_a_make_of_this_site_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "is15959-d1.toml").write_bytes(TEXT.replace(b'make = "IS 15959"', b'make = "Hillside"'))
    profile = load_profiles(tmp_path)["is15959-d1"]
    assert isinstance(profile, DlmsProfile)
    assert profile.make == "Hillside"
