"""Houses: a meter whose register counts what flows, and a relay that really stops it; both fail as real ones do."""

import random
from dataclasses import dataclass

from gateway.core.station import ENERGY_IMPORT, POWER_IMPORT, UNIT_WATT, UNIT_WATT_HOUR
from tests.simulation.agenda import Agenda
from tests.simulation.options import Options
from wire.facts import ReadValue
from wire.readings import QUALITY_SUSPECT, Channel, Row

CHANNELS = (Channel(ENERGY_IMPORT, 0, UNIT_WATT_HOUR), Channel(POWER_IMPORT, -1, UNIT_WATT))
RATED_POWER_W = 5_000


@dataclass(slots=True)
class House:
    """One meter with its relay."""

    meter: str
    power_w: int
    relay_closed: bool = True
    energy_wms: int = 0
    """Watt-milliseconds so far."""
    counted_at_ms: int = 0

    def count(self, now_ms: int) -> None:
        """Let what flowed since last time be counted."""
        if self.relay_closed:
            self.energy_wms += self.power_w * (now_ms - self.counted_at_ms)
        self.counted_at_ms = now_ms

    @property
    def energy_wh(self) -> int:
        return self.energy_wms // 3_600_000


class Site:
    """The houses of one gateway and the line to them."""

    def __init__(self, agenda: Agenda, options: Options, gateway: str) -> None:
        self._agenda = agenda
        self._options = options
        self._rng = random.Random(f"site {options.seed} {gateway}")
        # Households that use up what they bought within the world, however long that is.
        top_w = min(RATED_POWER_W, max(50, 2_000 * 3_600_000 // options.duration_ms))
        self.houses = {
            f"m-{gateway}-{number}": House(f"m-{gateway}-{number}", self._rng.randint(1, top_w))
            for number in range(options.meters)
        }
        self.calm = False

    def read(self, meter: str, tick_ms: int) -> Row | None:
        """Return what the meter shows, or None if it does not answer."""
        house = self.houses[meter]
        house.count(self._agenda.now_ms)
        if not self.calm and self._rng.random() < self._options.meter_failures:
            return None
        power_dw = house.power_w * 10 if house.relay_closed else 0
        values: list[int | None] = [house.energy_wh, power_dw]
        if not self.calm and self._rng.random() < 0.05:
            values[self._rng.randrange(2)] = None
        suspect = [(1, QUALITY_SUSPECT)] if values[1] is not None and self._rng.random() < 0.05 else []
        return Row(meter, tick_ms, values, suspect)

    def read_on_demand(self, meter: str) -> list[ReadValue] | None:
        """Return the values of a demand read, or None."""
        row = self.read(meter, 0)
        if row is None:
            return None
        pairs = zip(CHANNELS, row.values, strict=True)
        return [ReadValue(channel.obis, channel.scaler, channel.unit, value) for channel, value in pairs]

    def drive(self, meter: str, *, closed: bool) -> bool | None:
        """Write to the relay and read it back; the board may not hear, or may not be heard."""
        house = self.houses[meter]
        fails = not self.calm and self._rng.random() < self._options.relay_failures
        if not fails or self._rng.random() < 0.5:
            house.count(self._agenda.now_ms)
            house.relay_closed = closed
        return None if fails else house.relay_closed

    def reset_relay(self) -> None:
        """A relay board restarts and comes up in whatever state it likes."""
        house = self._rng.choice(list(self.houses.values()))
        house.count(self._agenda.now_ms)
        house.relay_closed = self._rng.random() < 0.7
