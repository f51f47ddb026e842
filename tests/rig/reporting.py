"""A gateway as the database of the cloud sees it: facts in, signed batches out, committed by the head-end itself."""

from collections.abc import Sequence

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.headend.adapters.ingest import ingest
from cloud.headend.core.admission import AdmittedBatch
from wire.address import Address, Direction, Kind
from wire.facts import ClockFact, TimeSource, UpFact
from wire.keys import Purpose, SigningKey
from wire.messages import facts_of, make_batch, seal_message
from wire.readings import CapturedRow, Channel, Profile, Readings, Row, to_block, to_profile
from wire.signing import digest_of
from wire.topics import Lane

UTILITY = "demo"
ENERGY = Channel(bytes((1, 0, 1, 8, 0, 255)), 0, 30)
VOLTAGE = Channel(bytes((1, 0, 32, 7, 0, 255)), -1, 35)
BLOCK_LOAD = bytes((1, 0, 99, 1, 0, 255))
CHANNELS = (ENERGY, VOLTAGE)
MINUTES_15_MS = 900_000


class Reporter:
    """One gateway in one boot at a time."""

    def __init__(self, gateway: str, *, boot: bytes = b"boot-001") -> None:
        self.gateway = gateway
        self.boot = boot
        self._address = Address(UTILITY, Direction.UP, Kind.BATCH, gateway)
        self._key = SigningKey(gateway.encode().ljust(32, b"."), purpose=Purpose.GATEWAY, party=gateway)
        self._index = 0

    def batch(self, *facts: UpFact) -> AdmittedBatch:
        """Return facts as a signed batch; the same facts again make another batch."""
        self._index += 1
        batch = make_batch(facts, store=b"store-01", index=self._index)
        sealed = seal_message(batch, self._address, self._key)
        return AdmittedBatch(
            utility=UTILITY,
            gateway=self.gateway,
            lane=Lane.BULK,
            digest=digest_of(sealed),
            sealed=sealed,
            facts=facts_of(batch),
        )

    def clock(self, tick_ms: int, utc_ms: int, *, welcome: bool = True, error_ms: int = 20) -> ClockFact:
        """Return that it was `utc_ms` at a tick."""
        source = TimeSource.WELCOME if welcome else TimeSource.SYSTEM
        return ClockFact(boot=self.boot, tick_ms=tick_ms, utc_ms=utc_ms, error_ms=error_ms, source=source)

    def readings(self, meter: str, values: dict[int, Sequence[int | None]]) -> Readings:
        """Return energy and voltage of a meter by tick."""
        return to_block(self.boot, CHANNELS, [Row(meter, tick_ms, list(row)) for tick_ms, row in values.items()])

    def profile(self, meter: str, energies_wh: dict[int, int]) -> Profile:
        """Return what a meter captured by itself: energy by the second of its clock."""
        return to_profile(
            [CapturedRow(captured_s, [energy_wh]) for captured_s, energy_wh in energies_wh.items()],
            meter=meter,
            serial=meter.upper(),
            profile=BLOCK_LOAD,
            channels=[ENERGY],
            boot=self.boot,
            tick_ms=1,
        )

    def series(self, meter: str, *, count: int, first_tick_ms: int = 0, start_wh: int = 1_000) -> Readings:
        """Return a row every 15 minutes, energy rising by 10 Wh."""
        ticks = range(first_tick_ms, first_tick_ms + count * MINUTES_15_MS, MINUTES_15_MS)
        return self.readings(meter, {tick: (start_wh + 10 * index, 2_300) for index, tick in enumerate(ticks)})


def commit_batches(connection: sa.Connection, *batches: AdmittedBatch, now_ms: int = 1_800_000_000_000) -> None:
    """Commit batches as the head-end does."""
    ingest(connection, UTILITY, batches, (), epoch=1, now_ms=now_ms)


def assign(
    connection: sa.Connection, meter: str, gateway: str, *, from_ms: int = 0, until_ms: int | None = None
) -> None:
    """Say which gateway may report a meter, and when."""
    row = {"utility": UTILITY, "meter": meter, "from_ms": from_ms, "gateway": gateway, "until_ms": until_ms}
    upsert(connection, schema.assignment, [row])
