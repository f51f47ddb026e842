"""Scaler and unit make of an integer what it means."""

from decimal import Decimal

from dlms.cosem.units import NO_UNIT, SCALER_UNIT, ScalerUnit


def test_a_scaled_value_is_exact() -> None:
    assert ScalerUnit(-3, 35).scaled(230_123) == Decimal("230.123")
    assert ScalerUnit(3, 30).scaled(5) == Decimal(5000)


def test_units_have_symbols_and_unknown_ones_pass_through() -> None:
    assert [ScalerUnit(0, unit).symbol for unit in (27, 28, 29, 30, 31, 32, 33, 35, 44)] == [
        *("W", "VA", "var", "Wh", "VAh", "varh", "A", "V", "Hz")
    ]
    assert SCALER_UNIT.decode(bytes.fromhex("0202 0f00 16c8")) == ScalerUnit(0, 200)
    assert ScalerUnit(0, 200).symbol == ScalerUnit(0, NO_UNIT).symbol == ""


def test_scaler_and_unit_have_their_types() -> None:
    assert SCALER_UNIT.encode(ScalerUnit(-1, 35)) == bytes.fromhex("0202 0fff 1623")
