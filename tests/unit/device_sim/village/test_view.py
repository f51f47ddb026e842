import io

import pytest
from rich.console import Console

from device_sim.village.accounting import Account
from device_sim.village.closing import Result
from device_sim.village.scene import Scene
from device_sim.village.story import Act, Seen
from device_sim.village.view import draw, summary


def drawn(scene: Scene, *, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, legacy_windows=False)
    console.print(draw(scene, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def result(account: Account, *missing: Seen) -> Result:
    return Result(
        gateways=3,
        meters=48,
        account=account,
        latencies_ms=[10.0, 20.0, 30.0],
        commands_failed=0,
        batch_bytes=600,
        outages_survived=1,
        neighbours_per_hour=4.0,
        others_per_hour=4.0,
        missing=list(missing),
    )


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_the_picture_fills_the_terminal_and_no_more(scene: Scene, width: int, height: int) -> None:
    for act in Act:
        scene.on_act(act)
    lines = drawn(scene, width=width, height=height)
    assert len(lines) == height
    assert max(len(line) for line in lines) <= width


def test_houses_balances_counters_and_news_are_there_on_the_smallest_terminal(scene: Scene) -> None:
    scene.on_act(Act.CUT_NETWORK)
    text = "\n".join(drawn(scene))
    for word in ("48 houses", "Day 1 03:00", "no network", "in the database", "Asha", "loses its network"):
        assert word in text


def test_a_long_story_shows_its_newest_part(scene: Scene) -> None:
    for _ in range(20):
        scene.on_act(Act.DISCONNECT)
    scene.on_act(Act.RESTORE_NETWORK)
    assert any("has its network again" in line for line in drawn(scene))


def test_each_house_is_one_sign(scene: Scene) -> None:
    scene.on_act(Act.BREAK_METER)
    (line,) = (line for line in drawn(scene) if line.startswith("│ gw-1"))
    assert (line.count("●"), line.count("✕")) == (15, 1)


def test_a_good_end_says_so() -> None:
    good = result(Account(taken=9, committed=9, values=300))
    console = Console(file=io.StringIO(), width=80)
    console.print(summary(good))
    assert isinstance(console.file, io.StringIO)
    assert "Nothing lost, nothing doubled." in console.file.getvalue()
    assert good.problems() == []
    assert good.to_json() == {
        "gateways": 3,
        "meters": 48,
        "readings_taken": 9,
        "readings_committed": 9,
        "readings_lost": 0,
        "readings_duplicated": 0,
        "commands_executed": 3,
        "commands_failed": 0,
        "command_latency_ms_p50": 20.0,
        "command_latency_ms_p99": 30.0,
        "bytes_per_value": 2.0,
        "outages_survived": 1,
    }


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (result(Account(taken=9, committed=8, lost=1)), "missing"),
        (result(Account(taken=9, committed=10, doubled=1)), "twice"),
        (result(Account()), "no reading was taken"),
        (result(Account(taken=9, committed=9), Seen.METER_LOST), Seen.METER_LOST.value),
    ],
    ids=["lost", "doubled", "nothing", "story"],
)
def test_what_went_wrong_is_said(bad: Result, word: str) -> None:
    assert any(word in problem for problem in bad.problems())
