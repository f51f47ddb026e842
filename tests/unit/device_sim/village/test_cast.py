from random import Random

import pytest

from device_sim.core.meter import MeterKind
from device_sim.core.village import Transport, Village, parse_village
from device_sim.core.village_plan import village_text
from device_sim.village.cast import PROFILES, Cast, gateway_of_line, make_cast, plan_village


def test_every_house_belongs_to_the_gateway_of_its_line(village: Village, cast: Cast) -> None:
    meters = {meter.id: meter.line for meter in (*village.meters, *village.dlms_meters)}
    assert {house.meter: house.line for house in cast.houses.values()} == meters
    assert all(house.gateway == gateway_of_line(house.line) for house in cast.houses.values())
    assert [len(cast.of_gateway(gateway)) for gateway in cast.gateways] == [16, 16, 16]


def test_the_islander_lives_behind_the_gateway_whose_network_drops(cast: Cast) -> None:
    assert cast.islander.gateway == cast.outage
    assert cast.spender.gateway != cast.outage
    assert cast.broken.gateway != cast.outage


def test_those_who_run_out_of_credit_prepay_and_those_with_other_parts_do_not(cast: Cast) -> None:
    assert cast.spender.is_prepaid
    assert cast.islander.is_prepaid
    assert cast.smart.is_prepaid
    assert not cast.debtor.is_prepaid
    assert not cast.broken.is_prepaid


def test_every_family_has_its_own_name(cast: Cast) -> None:
    assert len({house.family for house in cast.houses.values()}) == len(cast.houses)


@pytest.mark.parametrize(("gateways", "meters"), [(2, 8), (8, 128), (5, 23)])
def test_the_parts_are_five_houses_in_villages_of_every_size(gateways: int, meters: int) -> None:
    lines = plan_village(gateways, meters)
    text = village_text(seed=3, lines=lines, port_base=0, link_folder="", rng=Random(3))
    cast = make_cast(parse_village(text.encode()))
    assert len(cast.houses) == meters
    parts = (cast.spender, cast.islander, cast.debtor, cast.broken, cast.smart)
    assert len({house.meter for house in parts}) == 5


def test_a_third_of_the_houses_have_dlms_meters_on_both_kinds_of_line(village: Village, cast: Cast) -> None:
    dlms = {house.meter for house in cast.houses.values() if house.is_dlms}
    assert len(dlms) == 16
    assert cast.smart.meter in dlms
    transports = {line.transport for line in village.lines}
    assert transports == {Transport.RTU_TCP, Transport.HDLC_TCP, Transport.WRAPPER_TCP}


def test_every_kind_of_meter_has_a_register_map() -> None:
    assert set(PROFILES) == set(MeterKind)
