"""Who lives in the village: its gateways, its houses, and the five households that the story is about.

It decides from a village's description and nothing else; where the parts run is the installation's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.dlms_meter import POWER_MAX_W
from device_sim.core.meter import MODELS, MeterKind
from device_sim.core.village import DlmsMeterSpec, Transport
from device_sim.core.village_plan import LinePlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from device_sim.core.village import MeterSpec, Village

METERS_PER_GATEWAY_MIN: Final = 4
METERS_PER_GATEWAY_MAX: Final = 16
"""Outputs of the relay board on each Modbus line."""
GATEWAYS_MIN: Final = 2
GATEWAYS_MAX: Final = 8
PREPAID_ONE_IN: Final = 4
PRICE_PER_KWH: Final = "7.50"
CURRENCY: Final = "INR"
PROFILES: Final = {
    MeterKind.SDM120: "eastron-sdm120",
    MeterKind.EM112: "carlo-gavazzi-em112",
    MeterKind.IEM3155: "schneider-iem3155",
    MeterKind.ADW300: "acrel-adw300",
    MeterKind.SDM630: "eastron-sdm630",
    MeterKind.EM340: "carlo-gavazzi-em340",
}
"""The gateway's register map for each kind of simulated meter."""
DLMS_PROFILE: Final = "is15959-d1"
_FAMILIES: Final = (
    *("Asha", "Bimal", "Chitra", "Dev", "Ekta", "Farid", "Gita", "Hari", "Indu", "Jaya", "Kiran", "Lata"),
    *("Mohan", "Nila", "Om", "Priya", "Qasim", "Ravi", "Sita", "Tara", "Uma", "Vijay", "Wahid", "Yash"),
    *("Anil", "Bela", "Charu", "Dilip", "Esha", "Feroz", "Gopal", "Hema", "Isha", "Jatin", "Kamal", "Leela"),
    *("Meena", "Nanda", "Ojas", "Padma", "Rekha", "Sunil", "Tulsi", "Usha", "Veer", "Waris", "Yamuna", "Zara"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A household and its meter."""

    meter: str
    family: str
    gateway: str
    line: str
    unit: int
    kind: MeterKind | None
    """None for a DLMS meter, which has a switch of its own ..."""
    coil: int
    """... where the others hang on an output of a relay board."""
    is_prepaid: bool

    @property
    def is_dlms(self) -> bool:
        return self.kind is None

    @property
    def account(self) -> str:
        """The name of its prepaid account."""
        return f"acc-{self.meter}"

    @property
    def power_max_w(self) -> int:
        return POWER_MAX_W if self.kind is None else int(MODELS[self.kind].power_max_w)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """All houses, by meter, and those with a part of their own."""

    gateways: tuple[str, ...]
    houses: dict[str, House]
    spender: House
    """Uses up its credit while all is well."""
    islander: House
    """Uses up its credit while its gateway has no network."""
    debtor: House
    """Is disconnected, and reconnected, on an integrator's word."""
    smart: House
    """Uses up its credit before a DLMS meter, which opens its own switch."""
    broken: House
    """Its meter dies for a while."""
    outage: str
    """The gateway whose network drops."""

    def of_gateway(self, gateway: str) -> list[House]:
        """Return a gateway's houses in the order of its line."""
        return [house for house in self.houses.values() if house.gateway == gateway]

    @property
    def prepaid(self) -> list[House]:
        return [house for house in self.houses.values() if house.is_prepaid]


def gateway_of_line(line: str) -> str:
    """Return the name of the gateway that reads a line: the line bears its number."""
    return f"gw-{line.rpartition('-')[2]}"


def plan_village(gateway_count: int, meter_count: int) -> list[LinePlan]:
    """Return the lines of the demo: one Modbus line a gateway, and DLMS for half the houses of the first and the last.

    The first gateway's DLMS meters share an HDLC line, the last one's are behind the wrapper.
    """
    lines = []
    for place in range(gateway_count):
        houses = len(range(place, meter_count, gateway_count))
        transport = {0: Transport.HDLC_TCP, gateway_count - 1: Transport.WRAPPER_TCP}.get(place)
        dlms_count = houses // 2 if transport is not None else 0
        lines.append(LinePlan(f"line-{place + 1}", Transport.RTU_TCP, houses - dlms_count))
        if transport is not None:
            lines.append(LinePlan(f"dlms-{place + 1}", transport, dlms_count))
    return lines


def make_cast(village: Village) -> Cast:
    """Give everyone in a village a name and a part."""
    gateways = tuple(dict.fromkeys(gateway_of_line(line.id) for line in village.lines))
    by_gateway = {
        gateway: [meter for meter in village.meters if gateway_of_line(meter.line) == gateway] for gateway in gateways
    }
    first, second, last = by_gateway[gateways[0]], by_gateway[gateways[1]], by_gateway[gateways[-1]]
    spender = _finest(first)
    islander = _finest(second)
    debtor = _finest(meter for meter in last if meter is not islander)
    broken = _finest(meter for meter in first if meter is not spender)
    smart = max(village.dlms_meters, key=lambda meter: meter.annual_kwh)
    meters: tuple[MeterSpec | DlmsMeterSpec, ...] = (*village.meters, *village.dlms_meters)
    with_credit = {spender.id, islander.id, smart.id} | {
        meter.id for index, meter in enumerate(meters) if index % PREPAID_ONE_IN == 0
    }
    with_credit -= {debtor.id, broken.id}
    houses = {
        meter.id: House(
            meter=meter.id,
            family=_family(index),
            gateway=gateway_of_line(meter.line),
            line=meter.line,
            unit=meter.unit,
            kind=None if isinstance(meter, DlmsMeterSpec) else meter.kind,
            coil=0 if isinstance(meter, DlmsMeterSpec) else meter.coil,
            is_prepaid=meter.id in with_credit,
        )
        for index, meter in enumerate(meters)
    }
    return Cast(
        gateways=gateways,
        houses=houses,
        spender=houses[spender.id],
        islander=houses[islander.id],
        debtor=houses[debtor.id],
        smart=houses[smart.id],
        broken=houses[broken.id],
        outage=gateways[1],
    )


def _family(index: int) -> str:
    round_, place = divmod(index, len(_FAMILIES))
    return _FAMILIES[place] if not round_ else f"{_FAMILIES[place]} {round_ + 1}"


_RESOLUTION: Final = (MeterKind.SDM120, MeterKind.IEM3155, MeterKind.SDM630, MeterKind.ADW300)


def _finest(meters: Iterable[MeterSpec]) -> MeterSpec:
    """Return the first of the meters whose registers count in the smallest steps: small credits need them."""
    return min(meters, key=lambda meter: _RESOLUTION.index(meter.kind) if meter.kind in _RESOLUTION else 9)
