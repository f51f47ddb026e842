"""Households of one gateway as they really use power, and the line to their meters."""

from dataclasses import dataclass, field

from device_sim.core.household import Neighbourhood
from device_sim.core.meter import MeterKind
from device_sim.core.supply import Supply
from device_sim.core.village import MeterSpec
from gateway.core.station import ENERGY_IMPORT, POWER_IMPORT, UNIT_WATT, UNIT_WATT_HOUR
from tests.simulation.agenda import ORIGIN_MS, Agenda
from tests.simulation.options import Options
from tests.simulation.site import Site
from wire.facts import ReadValue
from wire.readings import Channel, Row

POWER_MAX_W = 6_000
UTC_OFFSET_MIN = 330
CHANNELS = (
    Channel(ENERGY_IMPORT, 0, UNIT_WATT_HOUR),
    Channel(POWER_IMPORT, -1, UNIT_WATT),
    Channel(bytes((1, 0, 32, 7, 0, 255)), -1, 35),
    Channel(bytes((1, 0, 31, 7, 0, 255)), -3, 33),
    Channel(bytes((1, 0, 13, 7, 0, 255)), -3, 255),
    Channel(bytes((1, 0, 14, 7, 0, 255)), -2, 44),
)
"""Energy, power, voltage and current of the phase, power factor, frequency."""


@dataclass(slots=True)
class Household:
    """A household behind its meter; what a `Site` asks of a house."""

    meter: str
    supply: Supply
    now_ms: int = 0

    @property
    def relay_closed(self) -> bool:
        return self.supply.closed

    def values(self, utc_ms: int) -> list[int | None]:
        """Return what the meter shows, in the order of `CHANNELS`."""
        seen = self.supply.snapshot(utc_ms)
        return [
            int(seen.import_wh),
            round(seen.total.active_w * 10),
            round(seen.l1.voltage_v * 10),
            round(seen.l1.current_a * 1_000),
            round(seen.total.power_factor * 1_000),
            round(seen.frequency_hz * 100),
        ]


@dataclass(slots=True)
class LineCounts:
    """What a line counts since its gateway's start."""

    transactions: int = 0
    failures: int = 0
    bytes: int = 0
    lost: set[str] = field(default_factory=set)


class Street(Site):
    """The households of one gateway; a meter answers unless it is dead."""

    def __init__(self, agenda: Agenda, options: Options, gateway: str) -> None:
        super().__init__(agenda, options, gateway)
        around = Neighbourhood(seed=options.seed, utc_offset_min=UTC_OFFSET_MIN)
        self.households = {
            meter: Household(meter, self._supply(around, gateway, meter, number))
            for number, meter in enumerate(self.houses)
        }
        self.calm = True
        self.dead: set[str] = set()
        self.counts = LineCounts()

    def read(self, meter: str, tick_ms: int) -> Row | None:
        self.counts.transactions += 1
        if meter in self.dead:
            self.counts.failures += 1
            return None
        self.counts.bytes += 60
        return Row(meter, tick_ms, self.households[meter].values(self._utc_ms()), [])

    def read_on_demand(self, meter: str) -> list[ReadValue] | None:
        row = self.read(meter, 0)
        if row is None:
            return None
        pairs = zip(CHANNELS, row.values, strict=True)
        return [ReadValue(channel.obis, channel.scaler, channel.unit, value) for channel, value in pairs]

    def drive(self, meter: str, *, closed: bool) -> bool | None:
        if meter in self.dead:
            return None
        household = self.households[meter]
        household.supply.switch(closed=closed, now_ms=self._utc_ms())
        self.houses[meter].relay_closed = closed
        return household.relay_closed

    def _utc_ms(self) -> int:
        return ORIGIN_MS + self._agenda.now_ms

    def _supply(self, around: Neighbourhood, gateway: str, meter: str, number: int) -> Supply:
        spec = MeterSpec(
            id=meter,
            line=gateway,
            unit=number + 1,
            kind=MeterKind.SDM120,
            annual_kwh=2_000 + 400 * (number % 7),
            start_wh=0,
        )
        return around.supply(spec, phase_count=1, power_max_w=POWER_MAX_W, started_ms=ORIGIN_MS)
