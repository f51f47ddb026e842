"""Facts of the cloud take the place of older ones, and statements of register points, on disk and in memory."""

import msgspec
import pytest

from gateway.core.station import JOURNAL_ENTRIES_KEPT, PRUNE_EVERY_MS
from prepay.balance import Balance
from prepay.entries import Entry, RegisterPoint, Statement
from prepay.identity import encode
from prepay.statement import make_statement
from tests.unit.gateway.box import UTC_MS, Box
from tests.unit.gateway.test_credit import ACCOUNT, ASSIGNMENT, OPENING, TARIFF, credit, give, policy
from wire import codec
from wire.facts import DownFact, EntryFact, Event, encode_down_fact, fact_id
from wire.messages import Ping

HOUR_MS = 3_600_000


@pytest.fixture
def household(box: Box) -> Box:
    """A household whose register was read each hour of a day."""
    box.open_session()
    give(box, OPENING, ASSIGNMENT, TARIFF, credit(1, 100_000))
    box.facts(policy())
    for hour in range(24):
        box.read(hour * 300)
        box.now_ms += HOUR_MS
    return box


def entries(box: Box) -> list[Entry]:
    return [codec.decode_as(encoded, Entry) for _, encoded in box.store.entries()]


def points(box: Box) -> int:
    return sum(isinstance(entry, RegisterPoint) for entry in entries(box))


def closed(box: Box, hour: int) -> Statement:
    """Return the statement that the cloud would make of what the box has."""
    return make_statement(
        entries(box), account=ACCOUNT, closed_at_ms=UTC_MS + hour * HOUR_MS, issued_at_ms=UTC_MS + box.now_ms
    )


def balance(box: Box, at_ms: int | None = None) -> Balance:
    found = box.station.credit.balance(ACCOUNT, UTC_MS + box.now_ms if at_ms is None else at_ms)
    assert found is not None
    return found


def held(box: Box) -> bytes:
    box.drain()
    assert box.hello is not None
    return box.hello.facts_held


def name_of(fact: DownFact) -> int:
    return int.from_bytes(fact_id(encode_down_fact(fact)))


def reported(box: Box) -> list[str]:
    box.drain()
    return [fact.detail for fact in box.sent if isinstance(fact, Event) and fact.code == "5.20.0.79"]


def test_points_up_to_the_close_leave_disk_and_memory_and_the_balance_stays(household: Box) -> None:
    before = balance(household)
    assert points(household) == 24
    give(household, closed(household, 20))
    assert points(household) == 4
    assert balance(household).amount_minor == before.amount_minor
    assert balance(household).charged_wh == before.charged_wh
    assert reported(household) == []


def test_a_start_after_a_statement_folds_only_what_is_left(household: Box) -> None:
    give(household, closed(household, 20))
    shown = balance(household)
    household.restart()
    (account,) = (account for _, account in household.station.credit.accounts())
    assert len(account) == len(entries(household)) == 9
    assert balance(household) == shown


def test_a_difference_is_reported_and_the_signed_statement_counts(household: Box) -> None:
    known = [entry for entry in entries(household) if not isinstance(entry, RegisterPoint) or entry.energy_wh != 6_000]
    signed = make_statement(known, account=ACCOUNT, closed_at_ms=UTC_MS + 20 * HOUR_MS + 1_000, issued_at_ms=UTC_MS)
    give(household, signed)
    assert points(household) == 3
    (detail,) = set(reported(household))
    assert detail.startswith(f"{ACCOUNT} at {signed.closed_at_ms}: points_count 20 here 21; open_wh 5700 here 6000")
    household.now_ms += 1
    give(household, closed(household, 22))
    assert len(set(reported(household))) == 1


def test_a_box_that_knows_nothing_of_the_time_before_takes_the_statement_without_a_word(
    household: Box, box: Box
) -> None:
    later = msgspec.structs.replace(closed(household, 20), predecessor=bytes(32), settled_wh=77)
    give(box, later)
    assert reported(box) == []
    assert balance(box).settled_wh == 77


def test_an_older_statement_is_answered_and_not_kept(household: Box) -> None:
    older, newer = closed(household, 10), closed(household, 20)
    before = int.from_bytes(held(household))
    give(household, newer)
    assert int.from_bytes(held(household)) == before ^ name_of(EntryFact(account=ACCOUNT, entry=encode(newer)))
    shown, digest = balance(household), held(household)
    give(household, older)
    assert (balance(household), held(household)) == (shown, digest)
    assert encode(older) not in [encoded for _, encoded in household.store.entries()]
    household.restart()
    assert held(household) == digest


def test_a_newer_statement_and_policy_take_the_place_of_older_ones_on_the_disk(household: Box) -> None:
    first = int.from_bytes(held(household)) ^ name_of(policy())
    older = closed(household, 10)
    give(household, older)
    household.facts(policy(version=2))
    count = len(household.store.down_facts())
    newer = closed(household, 20)
    give(household, newer)
    household.facts(policy(version=3), policy(version=2))
    assert len(household.store.down_facts()) == count
    assert [entry for entry in entries(household) if isinstance(entry, Statement)] == [newer]
    expected = first ^ name_of(policy(version=3)) ^ name_of(EntryFact(account=ACCOUNT, entry=encode(newer)))
    assert int.from_bytes(held(household)) == expected
    household.restart()
    assert int.from_bytes(held(household)) == expected


def test_two_statements_of_one_close_are_both_kept(household: Box) -> None:
    one = closed(household, 20)
    two = msgspec.structs.replace(one, issued_at_ms=one.issued_at_ms + 1)
    give(household, one)
    give(household, two)
    assert sum(isinstance(entry, Statement) for entry in entries(household)) == 2
    assert balance(household).quarantined_count == 1
    give(household, closed(household, 22))
    assert sum(isinstance(entry, Statement) for entry in entries(household)) == 1


def test_a_clock_that_was_set_back_behind_the_close_asks_for_the_close(household: Box) -> None:
    give(household, closed(household, 20))
    assert balance(household, UTC_MS).at_ms == UTC_MS + 20 * HOUR_MS


def test_a_statement_tells_the_time_at_least(household: Box) -> None:
    later_ms = UTC_MS + 300 * HOUR_MS
    give(household, msgspec.structs.replace(closed(household, 20), issued_at_ms=later_ms))
    assert household.station.time.best_ms(household.now) >= later_ms


def test_the_journal_keeps_its_newest_entries_and_its_head(box: Box) -> None:
    box.open_session()
    with box.store.transaction():
        for _ in range(JOURNAL_ENTRIES_KEPT):
            box.station.journal._append(["boot", bytes(8)])
    head = box.station.journal.head
    box.wait(PRUNE_EVERY_MS)
    (count,) = box.store._db.execute("SELECT count(*) FROM journal").fetchone()
    assert count == JOURNAL_ENTRIES_KEPT
    box.restart()
    assert box.station.journal.head[0] == head[0] + 1
    box.open_session()
    box.command(Ping(), 7, meter="")
    assert box.final(7) is not None
