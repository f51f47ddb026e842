from typing import Any

import pytest

from device_sim.village.cast import Cast, House
from device_sim.village.scene import EVENT_METER_FOUND, EVENT_METER_LOST, Light, News, Scene, calendar_at
from device_sim.village.story import Act, Seen

BEGINS_MS = 1_780_263_000_000  # 2026-06-01 03:00 at UTC+5:30
HOUR_MS = 3_600_000


def lit(house: House, *, is_lit: bool) -> list[dict[str, Any]]:
    return [{"id": house.meter, "energised": is_lit}]


def picture(
    *, present: dict[str, bool] | None = None, stored: dict[str, int] | None = None, events: tuple[Any, ...] = ()
) -> dict[str, Any]:
    return {
        "gateways": present or {},
        "readings": stored or {},
        "batch_bytes": 0,
        "balances": {},
        "events": list(events),
    }


@pytest.mark.parametrize(
    ("hours", "text", "part"),
    [
        (0, "Day 1 03:00", "night"),
        (3, "Day 1 06:00", "dawn"),
        (15, "Day 1 18:00", "evening"),
        (24, "Day 2 03:00", "night"),
    ],
)
def test_villagers_count_days_from_their_own_midnight(hours: int, text: str, part: str) -> None:
    calendar = calendar_at(BEGINS_MS, 330)
    at_ms = BEGINS_MS + hours * HOUR_MS
    assert (calendar.text(at_ms), calendar.part_of_day(at_ms)) == (text, part)


def test_a_prepaid_house_that_goes_dark_has_no_credit(scene: Scene, cast: Cast, told: list[News]) -> None:
    scene.on_meters(lit(cast.spender, is_lit=True))
    assert told == []

    scene.on_meters(lit(cast.spender, is_lit=False))

    assert scene.lights[cast.spender.meter] is Light.NO_CREDIT
    assert scene.seen == {Seen.SPENDER_DARK}
    assert "credit is used up" in told[-1].text


def test_light_that_comes_back_is_seen(scene: Scene, cast: Cast) -> None:
    scene.on_meters(lit(cast.spender, is_lit=False))
    scene.on_meters(lit(cast.spender, is_lit=True))
    assert scene.seen == {Seen.SPENDER_DARK, Seen.SPENDER_LIT}


def test_a_house_disconnected_on_request_is_told_from_one_without_credit(scene: Scene, cast: Cast) -> None:
    scene.on_act(Act.DISCONNECT)
    scene.on_meters(lit(cast.debtor, is_lit=False))
    assert scene.lights[cast.debtor.meter] is Light.DISCONNECTED


def test_going_dark_counts_as_without_network_only_during_the_outage(scene: Scene, cast: Cast) -> None:
    scene.on_meters(lit(cast.islander, is_lit=False))
    assert Seen.ISLANDER_DARK not in scene.seen

    scene.on_meters(lit(cast.islander, is_lit=True))
    scene.on_act(Act.CUT_NETWORK)
    scene.on_meters(lit(cast.islander, is_lit=False))
    assert Seen.ISLANDER_DARK in scene.seen


def test_what_meters_gave_and_the_database_lacks_waits_at_the_gateway(scene: Scene, cast: Cast) -> None:
    first = cast.of_gateway("gw-1")[0].meter
    scene.on_given({first: 12, "board-1": 5})
    scene.on_picture(picture(present={"gw-1": True}, stored={first: 9}))

    assert (scene.taken, scene.committed) == (12, 9)
    assert [gateway.waiting for gateway in scene.gateways()] == [3, 0, 0]


def test_a_meter_that_opens_its_own_switch_is_told_from_a_board_that_does(
    scene: Scene, cast: Cast, told: list[News]
) -> None:
    scene.on_meters([{"id": cast.smart.meter, "energised": False}])
    assert scene.lights[cast.smart.meter] is Light.NO_CREDIT
    assert "its own switch" in told[-1].text
    scene.on_act(Act.PAY_SMART)
    scene.on_meters([{"id": cast.smart.meter, "energised": True}])
    assert {Seen.SMART_DARK, Seen.SMART_LIT} <= scene.seen


def test_an_answer_to_a_ping_is_no_reading(scene: Scene, cast: Cast) -> None:
    meter = cast.of_gateway("gw-1")[0].meter
    scene.on_given({meter: 12})
    scene.on_outcome(meter, executed=True, was_ping=True, says="executed")
    assert scene.taken == 11


def test_an_outage_is_survived_once_all_that_was_kept_is_stored(scene: Scene, cast: Cast) -> None:
    meter = cast.islander.meter
    scene.on_act(Act.CUT_NETWORK)
    scene.on_picture(picture(present={cast.outage: False}, stored={meter: 10}))
    scene.on_given({meter: 25})
    scene.on_act(Act.RESTORE_NETWORK)

    scene.on_picture(picture(present={cast.outage: True}, stored={meter: 24}))
    assert scene.outages_survived == 0
    scene.on_picture(picture(present={cast.outage: True}, stored={meter: 25}))
    assert scene.outages_survived == 1
    assert {Seen.GATEWAY_GONE, Seen.GATEWAY_BACK} <= scene.seen


def test_a_dead_meter_is_news_once_and_its_return_as_well(scene: Scene, cast: Cast, told: list[News]) -> None:
    lost = ("gw-1", cast.broken.meter, EVENT_METER_LOST, "no answer")
    found = ("gw-1", cast.broken.meter, EVENT_METER_FOUND, "")
    scene.on_act(Act.BREAK_METER)
    scene.on_picture(picture(events=(lost, lost)))
    scene.on_act(Act.REPAIR_METER)
    scene.on_picture(picture(events=(found,)))

    assert {Seen.METER_LOST, Seen.METER_FOUND} <= scene.seen
    assert sum("does not answer" in news.text for news in told) == 1


def test_nobody_is_asked_about_houses_that_cannot_answer(scene: Scene, cast: Cast) -> None:
    everywhere = dict.fromkeys(cast.gateways, True)
    scene.on_picture(picture(present=everywhere))
    assert scene.is_reachable(cast.islander)
    assert scene.is_reachable(cast.broken)

    scene.on_act(Act.CUT_NETWORK)
    scene.on_act(Act.BREAK_METER)
    assert not scene.is_reachable(cast.islander)
    assert not scene.is_reachable(cast.broken)
    assert scene.is_reachable(cast.debtor)


def test_a_request_that_fails_is_news(scene: Scene, cast: Cast, told: list[News]) -> None:
    scene.on_outcome(cast.debtor.meter, executed=False, was_ping=False, says="failed no answer")
    assert scene.commands_failed == 1
    assert "failed no answer" in told[-1].text
