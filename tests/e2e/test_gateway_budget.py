"""What one gateway process can serve, and what one dead meter takes from the others of its bus.

Site time runs 90 times as fast, so that a capture period of 15 minutes is over in 10 seconds. Time-outs are real: what
a dead meter costs here is 90 times what it would cost in the field.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud.meterdata.adapters import queries
from tests.rig.installation import UTILITY, Install, Installation, Plan

LINES_COUNT = 4
METERS_COUNT = 250
PER_LINE = 63
PERIOD_S = 900
RATE = 90
PERIODS = 3
RSS_BYTES_MAX = 100_000_000
SHARE_MIN = 0.9
ENERGY_IMPORT = bytes((1, 0, 1, 8, 0, 255))


@pytest.mark.req("A-2", "A-4")
async def test_250_meters_are_read_by_one_small_process_and_a_dead_one_costs_its_bus_little(install: Install) -> None:
    installation = await install(
        Plan(lines_each=LINES_COUNT, meters_per_line=PER_LINE, rate=RATE, period_s=PERIOD_S, seal_after_ms=2_000)
    )
    meters = installation.all_meters()
    assert len(meters) >= METERS_COUNT
    dead, *others = installation.sites[0].meters[0]
    installation.control(command="fault", device=dead, kind="dead", on=True)
    began_ms = installation.now_ms()
    # From one boundary of the period to another, so that every meter has the same number of slots.
    await site_reaches(installation, (began_ms // (PERIOD_S * 1_000) + 1) * PERIOD_S * 1_000)
    before = reads(installation)
    await site_reaches(installation, installation.now_ms() + PERIODS * PERIOD_S * 1_000)
    after = reads(installation)
    usage = installation.gateways["gw-1"].usage()
    print(usage)

    assert after[dead] == before[dead]
    wanted = PERIODS * len(others)
    assert sum(after[meter] - before[meter] for meter in others) >= SHARE_MIN * wanted
    assert min(after[meter] - before[meter] for meter in others) >= PERIODS - 1
    rest = [meter for meter in meters if meter not in installation.sites[0].meters[0]]
    assert sum(after[meter] - before[meter] for meter in rest) >= SHARE_MIN * PERIODS * len(rest)
    assert usage.rss_bytes_max < RSS_BYTES_MAX, usage
    await installation.until_committed(
        lambda connection: rows_of(connection, meters) >= after.total(), what="the commit of what was read"
    )


def rows_of(connection: sa.Connection, meters: Sequence[str]) -> int:
    """Return how many readings of active energy the cloud has."""
    return sum(
        reading.channel.obis == ENERGY_IMPORT
        for meter in meters
        for reading in queries.readings(connection, UTILITY, meter)
    )


async def site_reaches(installation: Installation, at_ms: int) -> None:
    await installation.until(lambda: installation.now_ms() >= at_ms, what="the site's time", seconds_max=90)


def reads(installation: Installation) -> Counter[str]:
    """Return how often each meter was read, by the registers of active energy that went over the lines."""
    installation.control(command="truth")
    path: Path = installation.folder / "truth.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    # A register map may read a meter's energies in several transactions: instants count, not registers.
    instants = {(line["meter"], line["at_ms"] // (PERIOD_S * 1_000)) for line in lines}
    return Counter(meter for meter, _ in instants)
