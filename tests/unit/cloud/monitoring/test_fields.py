import pytest

from cloud.meterdata.core.meter_day import ChannelKey
from cloud.monitoring.core.fields import field_name, scaled


@pytest.mark.parametrize(
    ("obis", "unit", "name"),
    [
        ((1, 0, 1, 8, 0, 255), 30, "active_energy_import_wh"),
        ((1, 0, 1, 8, 2, 255), 30, "active_energy_import_t2_wh"),
        ((1, 0, 22, 8, 0, 255), 30, "active_energy_export_l1_wh"),
        ((1, 0, 1, 7, 0, 255), 27, "active_power_w"),
        ((1, 0, 12, 7, 0, 255), 35, "voltage_v"),
        ((1, 0, 32, 7, 0, 255), 35, "voltage_l1_v"),
        ((1, 0, 52, 7, 0, 255), 35, "voltage_l2_v"),
        ((1, 0, 72, 7, 0, 255), 35, "voltage_l3_v"),
        ((1, 0, 91, 7, 0, 255), 33, "current_neutral_a"),
        ((1, 0, 33, 7, 0, 255), 255, "power_factor_l1"),
        ((1, 0, 14, 7, 0, 255), 44, "frequency_hz"),
        ((0, 0, 96, 3, 10, 255), 255, "relay_closed"),
    ],
)
def test_a_known_channel_has_a_name_that_ends_with_its_unit(obis: tuple[int, ...], unit: int, name: str) -> None:
    assert field_name(ChannelKey(bytes(obis), 0, unit)) == name


@pytest.mark.parametrize(
    "obis", [(1, 0, 99, 7, 0, 255), (7, 0, 1, 8, 0, 255), (1, 0, 1, 8, 0, 1), (1, 0, 20, 7, 0, 255)]
)
def test_an_unknown_channel_keeps_its_logical_name(obis: tuple[int, ...]) -> None:
    assert field_name(ChannelKey(bytes(obis), 0, 30)) == f"obis_{'_'.join(map(str, obis))}_unit_30"


def test_a_known_channel_in_another_unit_is_another_field() -> None:
    assert field_name(ChannelKey(bytes((1, 0, 1, 8, 0, 255)), 0, 27)) == "obis_1_0_1_8_0_255_unit_27"


@pytest.mark.parametrize(
    ("value", "scaler", "number"), [(2_301, -1, 230.1), (5, 3, 5_000.0), (0, -3, 0.0), (7, 0, 7.0)]
)
def test_a_value_is_scaled_to_a_float_in_its_unit(value: int, scaler: int, number: float) -> None:
    assert (scaled(value, scaler), type(scaled(value, scaler))) == (number, float)
