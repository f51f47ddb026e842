import struct
from collections.abc import Callable
from itertools import pairwise

import pytest

from device_sim.core.exchange import Refusal, Registers
from device_sim.core.meter import MODELS, MeterKind
from device_sim.core.registers import (
    FLOAT32,
    INT16,
    INT32,
    INT32_LOW_WORD_FIRST,
    INT64,
    Encoding,
    Measured,
    Nameplate,
    RegisterMap,
    Stretch,
)
from device_sim.core.supply import Supply

MakeSupply = Callable[..., Supply]

NOON_MS = 1_780_315_200_000
NAMEPLATE = Nameplate(serial=0x01020304, unit=17)
SMALL = RegisterMap({4: (Measured(10, INT32, "import_wh"), Measured(20, INT16, "frequency_hz", 100.0))})


def stretch(registers: RegisterMap, function: int, address: int, count: int) -> Stretch:
    found = registers.stretch(function, address, count)
    assert isinstance(found, Stretch)
    return found


@pytest.mark.parametrize(
    ("encoding", "value", "expected"),
    [
        (FLOAT32, 230.5, "43668000"),
        (INT16, -2, "fffe"),
        (INT32, 66_051, "00010203"),
        (INT32_LOW_WORD_FIRST, 66_051, "02030001"),
        (INT32_LOW_WORD_FIRST, -2, "fffeffff"),
        (INT64, 4_328_719_365, "0000000102030405"),
    ],
)
def test_numbers_become_registers_in_the_documented_order(encoding: Encoding, value: float, expected: str) -> None:
    assert encoding.pack(value).hex() == expected
    assert encoding.unpack(bytes.fromhex(expected)) == value


def test_a_counter_too_large_for_its_registers_keeps_its_low_bits() -> None:
    assert INT16.pack(65_536 + 7).hex() == "0007"


def test_gaps_read_as_zero_and_values_stand_at_their_addresses(make_supply: MakeSupply) -> None:
    snapshot = make_supply(start_wh=70_000).snapshot(NOON_MS)
    words = stretch(SMALL, 4, 8, 13).read(snapshot, NAMEPLATE).words
    assert words[:4] == (0, 0, 1, 70_000 - 65_536)
    assert words[4:12] == (0,) * 8
    assert words[12] == round(snapshot.frequency_hz * 100)


def test_half_a_value_can_be_read_but_is_no_energy_sent(make_supply: MakeSupply) -> None:
    snapshot = make_supply(start_wh=70_000).snapshot(NOON_MS)
    assert stretch(SMALL, 4, 11, 1).read(snapshot, NAMEPLATE) == Registers((70_000 - 65_536,))


def test_an_energy_is_reported_as_the_registers_say_it(make_supply: MakeSupply) -> None:
    snapshot = make_supply(start_wh=8_765_432).snapshot(NOON_MS + 12_345_678)
    (sample,) = stretch(MODELS[MeterKind.SDM120].registers, 4, 0x48, 2).read(snapshot, NAMEPLATE).energies
    (kwh,) = struct.unpack(">f", struct.pack(">2H", *sample.raw))
    assert sample.address == 0x48
    assert sample.energy_wh == pytest.approx(kwh * 1000)
    assert sample.energy_wh == pytest.approx(snapshot.import_wh, abs=1)


def test_a_stretch_without_any_register_of_the_meter_is_refused() -> None:
    assert SMALL.stretch(4, 100, 4) is Refusal.ILLEGAL_DATA_ADDRESS
    assert SMALL.stretch(3, 10, 2) is Refusal.ILLEGAL_FUNCTION


@pytest.mark.parametrize("kind", list(MeterKind))
def test_no_two_registers_of_a_meter_overlap_and_all_can_be_read(kind: MeterKind, make_supply: MakeSupply) -> None:
    model = MODELS[kind]
    snapshot = make_supply(phase_count=model.phase_count).snapshot(NOON_MS)
    for function, table in model.registers.tables.items():
        ordered = sorted(table, key=lambda register: register.address)
        assert all(one.end <= other.address for one, other in pairwise(ordered))
        for register in ordered:
            words = stretch(model.registers, function, register.address, register.words).read(snapshot, NAMEPLATE).words
            assert len(words) == register.words


@pytest.mark.parametrize("kind", list(MeterKind))
def test_every_meter_has_an_energy_that_counts_as_truth(kind: MeterKind, make_supply: MakeSupply) -> None:
    model = MODELS[kind]
    snapshot = make_supply(phase_count=model.phase_count, start_wh=4_000_000).snapshot(NOON_MS)
    energies = [
        sample
        for function, table in model.registers.tables.items()
        for register in table
        for sample in stretch(model.registers, function, register.address, register.words)
        .read(snapshot, NAMEPLATE)
        .energies
    ]
    assert energies
    assert all(sample.energy_wh == pytest.approx(4_000_000, abs=100) for sample in energies)
