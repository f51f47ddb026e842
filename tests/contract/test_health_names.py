"""A gateway's numbers have the names, and all of them, under which operators ask for them."""

from dataclasses import fields

from cloud.monitoring.core.catalogue import BY_NAME
from gateway.core.numbers import (
    ClockNumbers,
    DeliveryNumbers,
    IntakeNumbers,
    LineNumbers,
    MachineNumbers,
    PushNumbers,
    StoreNumbers,
)

OF_GATEWAY = (IntakeNumbers, StoreNumbers, DeliveryNumbers, ClockNumbers, MachineNumbers, PushNumbers)


def test_what_a_gateway_says_of_itself_is_what_the_catalogue_has() -> None:
    told = [field.name for part in OF_GATEWAY for field in fields(part)]
    assert sorted(told) == sorted(BY_NAME["gateway_health"].fields)


def test_what_a_gateway_says_of_a_line_is_what_the_catalogue_has() -> None:
    told = [field.name for field in fields(LineNumbers)]
    assert sorted(told) == sorted(BY_NAME["line_health"].fields)
