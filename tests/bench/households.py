"""The load data of all benchmarks: simulated households seen through an SDM120, as a gateway would read them.

The households, their appliances, voltage and frequency are `device_sim.core`'s; the register map that turns them into
integers is the gateway's own. Nothing is rounded further than the register map says.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

from device_sim.core.exchange import ReadRegisters, Registers
from device_sim.core.load import stream_key
from device_sim.core.meter import Meter
from device_sim.core.site import Site
from device_sim.core.village import parse_village
from gateway.adapters.profile_files import load_profiles
from gateway.core.profiles import MeterProfile, Transaction, compile_plan
from wire.readings import Channel, Row

PERIOD_MS = 900_000
START_MS = 1_780_272_000_000
"""2026-06-01 00:00 UTC: where the simulated days begin."""
BOOT_TICK_MS = 86_400_000
"""The gateway has been up for a day when they begin."""
BUSES = 4
READ_MS = 120
"""What one meter takes on a bus, about; each read some milliseconds more or less."""
READ_JITTER_MS = 20
SEED = 7
_CHANNELS = tuple(range(8))
"""Voltage, current, active, apparent and reactive power, power factor, frequency, imported energy."""


@dataclass(frozen=True, slots=True)
class Households:
    """Meters that can be read at instants that only go forward."""

    meters: tuple[Meter, ...]
    channels: tuple[Channel, ...]
    transactions: tuple[Transaction, ...]

    def row(self, meter: Meter, at_ms: int) -> Row:
        """Read one meter as the gateway does, at site time `at_ms`."""
        values: list[int | None] = [None] * len(self.channels)
        for transaction in self.transactions:
            answer = meter.answer(
                ReadRegisters(transaction.function, transaction.address, transaction.count), now_ms=at_ms
            )
            assert isinstance(answer, Registers), "the register map fits the simulated meter"
            for sample in transaction.decode(answer.words):
                values[sample.channel] = sample.value
        return Row(meter.id, at_ms - START_MS + BOOT_TICK_MS, values)

    def snapshot(self, slot: int) -> list[Row]:
        """Read all meters in one capture slot, each at its own moment, as the buses get round to them."""
        jitter = Random(slot)
        rows = []
        for bus in range(BUSES):
            at_ms = START_MS + slot * PERIOD_MS
            for meter in self.meters[bus::BUSES]:
                at_ms += READ_MS + jitter.randrange(READ_JITTER_MS)
                rows.append(self.row(meter, at_ms))
        return rows

    def profile(self, meter: Meter, day: int = 0) -> list[Row]:
        """Read one meter through a day: 96 rows, each some milliseconds into its slot, as on a real bus."""
        jitter = Random(SEED)
        begin_ms = START_MS + day * 96 * PERIOD_MS + READ_MS
        return [self.row(meter, begin_ms + slot * PERIOD_MS + jitter.randrange(READ_JITTER_MS)) for slot in range(96)]


def households(count: int) -> Households:
    """Return fresh households, always the same ones for the same `count`."""
    profile = _profile()
    channels = profile.wire_channels()
    site = Site(parse_village(_village(count)), now_ms=START_MS - PERIOD_MS, rng=_random)
    return Households(
        meters=tuple(site.modbus_meters.values()),
        channels=tuple(channels[index] for index in _CHANNELS),
        transactions=compile_plan(profile, _CHANNELS).transactions,
    )


def _random(name: str) -> Random:
    return Random(stream_key(SEED, name))


@cache
def _profile() -> MeterProfile:
    profile = load_profiles(None)["eastron-sdm120"]
    assert isinstance(profile, MeterProfile)
    return profile


def _village(count: int) -> bytes:
    rng = Random(SEED)
    parts = [f"seed = {SEED}\n"]
    parts += [f'[[lines]]\nid = "line-{line}"\ntransport = "tcp"\n' for line in range(-(-count // 240))]
    for index in range(count):
        parts.append(
            f'[[meters]]\nid = "EM-{index + 1:06}"\nline = "line-{index // 240}"\nunit = {index % 240 + 1}\n'
            f'kind = "sdm120"\n'
            f"annual_kwh = {rng.lognormvariate(7.3, 0.35):.0f}\nstart_wh = {rng.randrange(9_000_000)}\n"
        )
    return "".join(parts).encode()
