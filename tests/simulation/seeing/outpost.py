"""A gateway of the network: it reads a street in rounds and says each quarter of an hour how it is doing."""

import random
from functools import partial
from pathlib import Path

from gateway.core.effects import Effects
from gateway.core.moment import Moment
from gateway.core.numbers import LineNumbers, MachineNumbers
from gateway.core.station import Station
from gateway.core.store import Priority
from tests.simulation.agenda import Agenda
from tests.simulation.box import Box
from tests.simulation.network import Network
from tests.simulation.options import MINUTE_MS, Options
from tests.simulation.seeing.street import CHANNELS, Street
from wire.facts import Health, MeterEvent, Metric

ROUND_MS = 15 * MINUTE_MS
LINE = "line-1"
METER_LOST = "3.1.0.85"
METER_FOUND = "3.1.0.216"


class Outpost(Box):
    """One gateway with one line."""

    def __init__(
        self, agenda: Agenda, network: Network, street: Street, options: Options, *, name: str, folder: Path
    ) -> None:
        super().__init__(agenda, network, street, options, name=name, folder=folder)
        self.street = street
        self.disk_free_percent = 62
        self.meter_clock_offset_ms = 400
        self.clock_off_ms = 0
        """Of its machine's clock when it next starts."""
        self._own_rng = random.Random(f"outpost {options.seed} {name}")

    # ---- work --------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Go round for ever, and report."""
        self._agenda.after(ROUND_MS, self.work)
        if not self.is_on:
            return
        counts, tick_ms = self.street.counts, self.moment().tick_ms
        read = {meter: self.street.read(meter, tick_ms) for meter in self.street.households}
        rows = [row for row in read.values() if row is not None]
        self.submit(lambda station, now: station.on_rows(CHANNELS, rows, now))
        for meter, row in read.items():
            if (row is None) != (meter in counts.lost):
                counts.lost ^= {meter}
                self.submit(partial(_tell, meter=meter, code=METER_LOST if row is None else METER_FOUND, detail=""))
        self.submit(self._report)

    def look_at_a_clock(self) -> None:
        """Compare the clock of one of the meters with ours."""
        meter = self._own_rng.choice(list(self.street.households))
        metric = Metric("clock_offset_ms", self.meter_clock_offset_ms + self._own_rng.randint(-300, 300))

        def add(station: Station, now: Moment) -> Effects:
            boot = station._identity.boot
            station.collector.add_health(Health(boot=boot, tick_ms=now.tick_ms, meter=meter, metrics=[metric]))
            return ()

        if self.is_on:
            self.submit(add)

    def _report(self, station: Station, now: Moment) -> Effects:
        counts = self.street.counts
        machine = MachineNumbers(
            disk_free_percent=self.disk_free_percent, cpu_s=now.mono_ms // 50_000, resident_bytes=61_000_000
        )
        line = LineNumbers(
            transactions_count=counts.transactions,
            failures_count=counts.failures,
            bytes_count=counts.bytes,
            busy_percent=9 + 3 * len(counts.lost),
            meters_count=len(self.street.households),
            meters_lost_count=len(counts.lost),
        )
        return station.on_health([machine], {LINE: line}, now)

    # ---- faults ------------------------------------------------------------------------------------------------------

    def switch_off(self) -> None:
        """Lose power, until somebody switches on again."""
        self._stop()

    def tell(self, meter: str, code: str, detail: str) -> None:
        """A meter tells of something."""
        self.submit(partial(_tell, meter=meter, code=code, detail=detail))

    def tell_history(self, meter: str, *, captured_s: int) -> None:
        """A meter's own log tells of something long ago."""

        def add(station: Station, now: Moment) -> Effects:
            event = MeterEvent(
                meter=meter,
                log=bytes((0, 0, 99, 98, 0, 255)),
                captured_s=captured_s,
                number=101,
                code="3.26.0.85",
                values=[],
                boot=station._identity.boot,
                tick_ms=now.tick_ms,
            )
            station.collector.add_fact(event, Priority.URGENT)
            return ()

        self.submit(add)

    def _drawn_offset_ms(self) -> int:
        return self.clock_off_ms or super()._drawn_offset_ms()


def _tell(station: Station, now: Moment, *, meter: str, code: str, detail: str) -> Effects:
    return station.on_meter_event(meter, code, detail, now)
