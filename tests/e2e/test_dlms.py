"""DLMS meters through the whole way: what they captured is in the database, whoever was off, each row read once."""

import asyncio
import json
from collections import Counter
from functools import partial
from itertools import pairwise

import pytest
import sqlalchemy as sa

from cloud.meterdata.adapters import queries
from cloud.meterdata.core.meter_day import ChannelKey
from cloud.meterdata.core.placing import meter_clock
from dlms.obis import obis
from tests.rig.installation import UTILITY, Install, Installation, Plan

BLOCK = "1.0.99.1.0.255"
ENERGY = "1.0.1.29.0.255"
HOUR_S = 3_600
RATE = 3_600
"""An hour of the site a second."""
PLAN = Plan(
    lines_each=0,
    dlms_meters_each=3,
    rate=RATE,
    period_s=HOUR_S,
    answer_ms_max=2_000,
    seal_after_ms=100,
)


def captured(site: Installation) -> dict[str, dict[int, tuple[int, int, int]]]:
    """Return what meters captured in their block profiles: energy with scaler and unit, by meter and Unix second."""
    found: dict[str, dict[int, tuple[int, int, int]]] = {}
    for line in (site.folder / "truth.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "row" and entry["profile"] == BLOCK:
            found.setdefault(entry["meter"], {})[entry["stamp_s"]] = tuple(entry["values"][ENERGY])
    return found


def stored(connection: sa.Connection, meter: str) -> tuple[dict[int, tuple[int, int, int]], Counter[int]]:
    """Return the same of the database, and how many messages stated each row."""
    rows: dict[int, tuple[int, int, int]] = {}
    stated: Counter[int] = Counter()
    for reading in queries.readings(connection, UTILITY, meter):
        is_row = reading.source.boot == meter_clock(obis(BLOCK)) and reading.channel.obis == obis(ENERGY)
        if is_row and reading.value is not None:
            channel: ChannelKey = reading.channel
            assert reading.others == ()
            rows[reading.utc_ms // 1_000] = (reading.value, channel.scaler, channel.unit)
            stated[reading.utc_ms // 1_000] += len(reading.messages)
    return rows, stated


async def _pass(hours: float) -> None:
    await asyncio.sleep(hours * HOUR_S / RATE)


@pytest.mark.req("A-1", "A-5")
async def test_what_gateway_and_meter_missed_is_found_and_read_and_nothing_else_is_read_twice(
    install: Install,
) -> None:
    site = await install(PLAN)
    gateway = site.gateways["gw-1"]
    *others, unlucky = site.all_meters()
    await _pass(8)
    gateway.kill()
    await _pass(30)
    await site.start(gateway)
    await _pass(6)
    site.control(command="power", meter=unlucky, on=False)
    await _pass(3)
    site.control(command="power", meter=unlucky, on=True)
    await _pass(8)

    until_s = site.now_ms() // 1_000 // HOUR_S * HOUR_S
    truth: dict[str, dict[int, tuple[int, int, int]]] = {}

    def is_complete(connection: sa.Connection) -> bool:
        nonlocal truth
        truth = {
            meter: {stamp_s: value for stamp_s, value in rows.items() if stamp_s <= until_s}
            for meter, rows in captured(site).items()
        }
        return all(truth[meter].keys() <= stored(connection, meter)[0].keys() for meter in site.all_meters())

    await site.until_committed(is_complete, what="every row of every meter in the database")

    for meter in site.all_meters():
        rows, stated = await site.transact(partial(stored, meter=meter))
        assert {stamp_s: rows[stamp_s] for stamp_s in truth[meter]} == truth[meter]
        assert set(stated.values()) == {1}, f"{meter} has rows that were read more than once"
    gaps = [later - earlier for earlier, later in pairwise(sorted(truth[unlucky]))]
    assert max(gaps) >= 2 * HOUR_S, "the meter was off, so it has a gap that nobody can close"
    for meter in others:
        assert {later - earlier for earlier, later in pairwise(sorted(truth[meter]))} == {900}
