"""How far followers lag behind what is committed, and what was refused."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.dispatch import CURSOR
from cloud.database import upsert
from cloud.following import advance
from cloud.meterdata.adapters.changes import Changes
from cloud.monitoring.adapters.samples import keep_sample, next_samples, packed, settle_samples
from cloud.monitoring.adapters.survey import Window
from cloud.monitoring.adapters.surveys import followers
from tests.rig.surveys import ask, scope_of
from tests.unit.cloud.office import NOW_MS, UTILITY, Office, receipt
from wire.errors import Reason
from wire.facts import ClockFact, Stage, TimeSource, UpFact

LAGS, REFUSALS = followers.SURVEYS
NOTHING = dict.fromkeys(("meterdata", "monitoring", "commands", "samples"), (0, 0))
WINDOW = Window(NOW_MS - 60_000, NOW_MS)
CLOCK = ClockFact(boot=bytes(8), tick_ms=1, utc_ms=NOW_MS, error_ms=1, source=TimeSource.WELCOME)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.engine.dispose()


def take(office: Office, fact: UpFact, *, ago_s: int) -> int:
    office.take(office.batch([fact]), now_ms=NOW_MS - ago_s * 1_000)
    newest = sa.select(sa.func.max(schema.message.c.id))
    return office.transact(lambda connection: int(connection.execute(newest).scalar_one()))


def have_read(office: Office, cursor: str, message: int) -> None:
    office.transact(lambda connection: advance(connection, cursor, tx=0, message=message))


def lags(office: Office) -> dict[str, tuple[Any, Any]]:
    points = ask(office.transact, LAGS, scope_of(UTILITY), WINDOW)
    return {
        point.tags["follower"]: (point.fields["lag_s"], point.fields["waiting_count"])
        for point in points
        if "lag_s" in point.fields
    }


def test_a_follower_lags_by_the_age_of_the_oldest_message_that_it_has_not_read(office: Office) -> None:
    assert lags(office) == NOTHING
    first = take(office, CLOCK, ago_s=100)
    second = take(office, CLOCK, ago_s=60)
    take(office, CLOCK, ago_s=20)
    have_read(office, "meterdata", second)
    have_read(office, "monitoring", first)
    assert lags(office) == NOTHING | {"meterdata": (20, 1), "monitoring": (60, 2)}


def test_of_what_is_nothing_to_the_dispatcher_it_has_not_to_be_told(office: Office) -> None:
    take(office, CLOCK, ago_s=100)
    heard = take(office, receipt(bytes(16), Stage.EXECUTED), ago_s=50)
    take(office, CLOCK, ago_s=40)
    assert lags(office)["commands"] == (50, 1)
    have_read(office, f"{CURSOR} {UTILITY}", heard)
    assert lags(office)["commands"] == (0, 0)


def test_quarantined_messages_wait_for_nobody(office: Office) -> None:
    take(office, CLOCK, ago_s=100)
    spoilt = sa.update(schema.message).values(quarantine_reason="revoked-key")
    office.transact(lambda connection: connection.execute(spoilt))
    assert lags(office)["meterdata"] == (0, 0)


def test_no_more_is_counted_than_has_to_be(office: Office) -> None:
    row = {"tx": 0, "utility": UTILITY, "gateway": "gw-1", "lane": "bulk", "received_at_ms": NOW_MS, "sealed": b""}
    rows = [row | {"digest": number.to_bytes(32)} for number in range(followers.WAITING_MAX + 1)]
    office.transact(lambda connection: connection.execute(sa.insert(schema.message), rows))
    assert lags(office)["meterdata"] == (0, followers.WAITING_MAX)
    later = sa.update(schema.message).where(schema.message.c.id > 5_000).values(tx=1)
    office.transact(lambda connection: connection.execute(later))
    assert lags(office)["meterdata"] == (0, followers.WAITING_MAX)


def test_samples_wait_until_they_were_delivered(office: Office) -> None:
    for ago_s in (90, 30):
        keep = partial(keep_sample, utility=UTILITY, bodies=packed(["a line"]), at_ms=NOW_MS - ago_s * 1_000)
        office.transact(keep)
    assert lags(office)["samples"] == (90, 2)
    office.transact(lambda connection: settle_samples(connection, next_samples(connection, count_max=1)))
    assert lags(office)["samples"] == (30, 1)


def test_days_that_wait_for_their_aggregates_are_counted_by_themselves(office: Office) -> None:
    changes = Changes()
    for hour in (1, 2, 25):
        changes.note(UTILITY, "gw-1", hour)
    office.transact(changes.write)
    points = ask(office.transact, LAGS, scope_of(UTILITY), WINDOW)
    (aggregates,) = (point.fields for point in points if point.tags["follower"] == "aggregates")
    assert aggregates == {"days_count": 2}


def test_refusals_are_summed_over_parties_and_reasons_without_any_are_told_too(office: Office) -> None:
    rows = [
        {"utility": UTILITY, "reason": "bad-signature", "party": "", "count": 2},
        {"utility": UTILITY, "reason": "bad-signature", "party": "gw-1", "count": 3},
        {"utility": "valley", "reason": "expired", "party": "gw-1", "count": 9},
    ]
    office.transact(lambda connection: upsert(connection, schema.refusal, rows))
    points = ask(office.transact, REFUSALS, scope_of(UTILITY), WINDOW)
    counts = {point.tags["reason"]: point.fields["count"] for point in points}
    assert counts == {reason.value: 0 for reason in Reason} | {"bad-signature": 5}
