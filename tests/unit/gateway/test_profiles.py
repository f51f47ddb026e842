import struct
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import Sample
from gateway.core.profiles import (
    ChannelMap,
    MeterProfile,
    ProfileError,
    ReadPlan,
    RelayProfile,
    SerialSettings,
    compile_plan,
    parse_profile,
)
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT, Channel

HEADER = """
kind = "meter"
make = "Test"
models = ["T1"]
source = "this test"
serial = { baud = 9600, parity = "N", stop_bits = 1 }
function = 4
order = "ABCD"
"""
ENTRY = '{ obis = "1.0.1.8.0.255", address = 0, type = "u32", scaler = 0, unit = 30, low = 0, high = 10 }'


def profile_of(*channels: ChannelMap, order: str = "ABCD", registers_max: int = 125, gap_max: int = 0) -> MeterProfile:
    return MeterProfile(
        make="Test",
        models=("T1",),
        source="this test",
        serial=SerialSettings(),
        function=4,
        order="CDAB" if order == "CDAB" else "ABCD",
        registers_max=registers_max,
        gap_max=gap_max,
        channels=channels,
    )


def channel(kind: str, **changes: object) -> ChannelMap:
    fields: dict[str, object] = {"obis": "1.0.1.7.0.255", "address": 0, "scaler": 0, "unit": 27}
    return ChannelMap(type=kind, **(fields | {"low": -(2**62), "high": 2**62} | changes))  # type: ignore[arg-type]


def decode_one(item: ChannelMap, words: list[int], order: str = "ABCD") -> Sample:
    (transaction,) = compile_plan(profile_of(item, order=order)).transactions
    (sample,) = transaction.decode(words)
    return sample


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("u16", [0xFFFE], 65534),
        ("i16", [0xFFFE], -2),
        ("u32", [0xFFFF, 0xFFFE], 2**32 - 2),
        ("i32", [0xFFFF, 0xFFFE], -2),
        ("i64", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD], -3),
        ("u64", [0x0000, 0x0001, 0x0000, 0x0002], 2**32 + 2),
        ("f32", [0x4366, 0x1999], 230),
    ],
)
def test_every_type_decodes_in_both_word_orders(kind: str, words: list[int], value: int) -> None:
    assert decode_one(channel(kind), words).value == value
    assert decode_one(channel(kind), words[::-1], order="CDAB").value == value


def test_a_channel_may_have_another_word_order_than_its_meter() -> None:
    assert decode_one(channel("u32", order="CDAB"), [2, 1]).value == 65538


def test_a_float_is_rounded_to_the_scaler() -> None:
    words = list(struct.unpack(">HH", struct.pack(">f", 12345.678)))
    assert decode_one(channel("f32", scale=3), words).value == 12_345_678
    assert decode_one(channel("f32", scaler=1), words).value == 1_235


def test_an_integer_is_scaled_without_a_float_in_between() -> None:
    words = [0x000F, 0xFFFF, 0xFFFF, 0xFFFF]
    assert decode_one(channel("u64", scale=2, low=0, high=0), words) == Sample(0, (2**52 - 1) * 100, QUALITY_SUSPECT)
    assert [decode_one(channel("i16", scale=-1), [raw & 0xFFFF]).value for raw in (5, 15, 16, -5, -15)] == [
        0,
        2,
        2,
        0,
        -2,
    ]


def test_a_number_that_no_message_can_carry_is_missing() -> None:
    assert decode_one(channel("u64"), [0xFFFF] * 4) == Sample(0, None, QUALITY_MISSING)
    words = list(struct.unpack(">HH", struct.pack(">f", -3e38)))
    assert decode_one(channel("f32", scaler=-3), words) == Sample(0, None, QUALITY_MISSING)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_missing(number: float) -> None:
    words = list(struct.unpack(">HH", struct.pack(">f", number)))
    assert decode_one(channel("f32"), words) == Sample(0, None, QUALITY_MISSING)


def test_an_implausible_value_is_kept_and_marked() -> None:
    assert decode_one(channel("u16", low=0, high=300), [301]) == Sample(0, 301, QUALITY_SUSPECT)
    assert decode_one(channel("u16", low=0, high=300), [300]) == Sample(0, 300, None)


@pytest.mark.parametrize(("shown", "kept"), [(0.8, 800), (-0.8, -800), (1.2, 800), (-1.2, -800), (1.0, 1000)])
def test_a_four_quadrant_power_factor_is_folded_back(shown: float, kept: int) -> None:
    words = list(struct.unpack(">HH", struct.pack(">f", shown)))
    assert decode_one(channel("f32", scaler=-3, fold="four-quadrant"), words).value == kept


@given(st.binary(min_size=8, max_size=8), st.sampled_from(["u16", "i16", "u32", "i32", "f32", "i64", "u64"]))
def test_any_words_give_an_integer_or_nothing(raw: bytes, kind: str) -> None:
    (transaction,) = compile_plan(profile_of(channel(kind, scale=3, scaler=-3))).transactions
    (sample,) = transaction.decode(struct.unpack(">4H", raw)[: transaction.count])
    assert sample.value is None or type(sample.value) is int


def fewest_transactions(profile: MeterProfile) -> int:
    """Count by trying every way to cut the sorted registers into requests."""
    spans = sorted((item.address, item.address + (1 if item.type == "u16" else 2)) for item in profile.channels)
    best = [0] + [len(spans)] * len(spans)
    for end in range(1, len(spans) + 1):
        for start in range(end):
            group = spans[start:end]
            reach = group[0][1]
            fits = max(stop for _, stop in group) - group[0][0] <= profile.registers_max
            for address, stop in group[1:]:
                fits = fits and address - reach <= profile.gap_max
                reach = max(reach, stop)
            if fits:
                best[end] = min(best[end], best[start] + 1)
    return best[-1]


@pytest.mark.parametrize("seed", range(60))
def test_a_plan_needs_the_fewest_transactions_within_the_limits(seed: int) -> None:
    rng = Random(seed)
    addresses = sorted(rng.sample(range(0, 200, 2), rng.randint(1, 20)))
    maps = [channel(rng.choice(["u16", "u32"]), address=address) for address in addresses]
    rng.shuffle(maps)
    profile = profile_of(*maps, registers_max=rng.randint(4, 60), gap_max=rng.randint(0, 12))
    plan = compile_plan(profile)
    assert len(plan.transactions) == fewest_transactions(profile)
    assert all(item.count <= profile.registers_max for item in plan.transactions)
    assert sorted(channels_of(plan)) == list(range(len(maps)))


def channels_of(plan: ReadPlan) -> list[int]:
    return [register.channel for transaction in plan.transactions for register in transaction.registers]


def test_a_plan_of_some_channels_reads_only_those() -> None:
    profile = load_profiles()["eastron-sdm120"]
    assert isinstance(profile, MeterProfile)
    plan = compile_plan(profile, (7, 8))
    assert [(item.address, item.count) for item in plan.transactions] == [(0x48, 4)]
    assert channels_of(plan) == [7, 8]


def test_a_channel_with_another_function_gets_its_own_transaction() -> None:
    profile = profile_of(channel("u16"), channel("u16", address=1, function=3), gap_max=10)
    assert [(item.function, item.address) for item in compile_plan(profile).transactions] == [(3, 1), (4, 0)]


def test_the_maps_that_come_with_the_program_hold() -> None:
    profiles = load_profiles()
    assert set(profiles) >= {
        "eastron-sdm120",
        "eastron-sdm630",
        "carlo-gavazzi-em112",
        "carlo-gavazzi-em340",
        "schneider-iem3155",
        "acrel-adw300",
        "relay-coils-8",
    }
    for profile in profiles.values():
        if isinstance(profile, MeterProfile):
            energy = Channel(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
            assert any((item.obis, item.unit) == (energy.obis, energy.unit) for item in profile.wire_channels())
            for item in profile.channels:
                assert (item.rollover is not None) == (item.obis.split(".")[3] == "8")


def test_a_site_replaces_a_map_by_one_of_the_same_name(tmp_path: Path) -> None:
    own = load_profiles()["relay-coils-8"]
    assert isinstance(own, RelayProfile)
    assert own.outputs == 8
    (tmp_path / "relay-coils-8.toml").write_text(
        'kind = "relay"\nmake = "own"\nmodels = ["x"]\nsource = "site"\nserial = {}\ncoil_first = 100\noutputs = 4\n'
    )
    replaced = load_profiles(tmp_path)["relay-coils-8"]
    assert isinstance(replaced, RelayProfile)
    assert (replaced.coil_first, replaced.outputs) == (100, 4)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("kind = ", "$"),
        ("\xff", "$"),
        ('kind = "toaster"', "$.kind"),
        (HEADER, "$"),
        (HEADER + "channels = []", "$.channels"),
        (HEADER + "gap = 3\nchannels = [" + ENTRY + "]", "$"),
        (HEADER + "registers_max = 126\nchannels = [" + ENTRY + "]", "$.registers_max"),
        (HEADER + "channels = [" + ENTRY.replace("address = 0", "address = 65536") + "]", "$.channels[0].address"),
        (HEADER + "channels = [" + ENTRY.replace("address = 0", "address = 65535") + "]", "$.channels[0].address"),
        (HEADER + "channels = [" + ENTRY.replace("1.0.1.8.0.255", "1.0.1.8.0.256") + "]", "$.channels[0].obis"),
        (HEADER + "channels = [" + ENTRY + "," + ENTRY + "]", "$.channels[1].obis"),
        (HEADER + "channels = [" + ENTRY.replace("low = 0", "low = 11") + "]", "$.channels[0].low"),
        (HEADER + "channels = [" + ENTRY.replace("high = 10", "high = 10, rollover = 10") + "]", "$.channels[0].high"),
        (HEADER + "channels = [" + ENTRY.replace('"u32"', '"f64"') + "]", "$.channels[0].type"),
    ],
)
def test_a_wrong_map_is_refused_with_file_key_and_remedy(text: str, key: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text.encode("latin-1"), file="meter.toml")
    assert caught.value.key == key
    assert str(caught.value).startswith(f"meter.toml: {key}: ")
    assert caught.value.remedy in str(caught.value)


def test_a_missing_folder_is_an_error_of_the_operator(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="readable folder"):
        load_profiles(tmp_path / "none")
