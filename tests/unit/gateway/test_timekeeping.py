"""Trusted time: from a fresh welcome only, and never earlier than the cloud has signed."""

from tests.unit.gateway.box import UTC_MS, Box
from wire.facts import ClockFact, TimeSource
from wire.messages import Ping


def test_there_is_no_trusted_time_before_a_welcome(box: Box) -> None:
    box.connect()
    assert box.station.time.trusted_ms(box.now) is None


def test_a_restart_takes_trusted_time_away_until_the_next_welcome(box: Box) -> None:
    box.open_session()
    assert box.station.time.trusted_ms(box.now) == UTC_MS + box.now_ms
    box.restart()
    assert box.station.time.trusted_ms(box.now) is None


def test_time_never_falls_below_what_the_cloud_signed(box: Box) -> None:
    box.open_session()
    box.now_ms += 3_600_000
    box.command(Ping(), 1, meter="")
    signed_ms = UTC_MS + box.now_ms
    box.now_ms -= 3_600_000
    box.restart()
    box.open_session()
    assert box.station.time.trusted_ms(box.now) == signed_ms
    assert box.station.time.best_ms(box.now) == signed_ms


def test_the_error_of_a_welcome_is_half_its_way(box: Box) -> None:
    box.connect()
    box.now_ms += 3_000
    box.welcome()
    box.wait(1)
    (fact,) = [item for item in box.sent if isinstance(item, ClockFact) and item.source is TimeSource.WELCOME]
    assert fact.error_ms == 1_500
    assert fact.tick_ms == box.now_ms - 1 - 1_500


def test_a_clock_that_was_never_set_is_not_reported(box: Box) -> None:
    box.open_session()
    facts = [item for item in box.sent if isinstance(item, ClockFact) and item.source is TimeSource.SYSTEM]
    assert len(facts) == 1
