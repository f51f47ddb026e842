from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from gateway.core.acquisition import ReadMeter, ReadRelay, SwitchRelay, VisitMeter
from gateway.core.schedule import (
    BACKOFF_MAX_MS,
    BYPASS_STEPS_MAX,
    QUEUED_JOBS_MAX,
    BusBusyError,
    BusSchedule,
    Change,
    Poll,
    Priority,
    Step,
)

PERIOD_MS = 900_000


def poll(meter: str, *, period_ms: int = PERIOD_MS, parts: int = 1) -> Poll:
    return Poll(operation=ReadMeter(meter_id=meter), parts=parts, period_ms=period_ms)


@dataclass
class Line:
    """A bus on virtual time: each transaction lasts, and answers or not."""

    schedule: BusSchedule
    rng: Random
    dead: Callable[[str, int], bool] = lambda _meter, _now: False
    now_ms: int = 0
    answer_ms: int = 50
    timeout_ms: int = 1_000
    done: list[tuple[int, Step, bool]] = field(default_factory=list)

    def run(self, until_ms: int) -> None:
        while self.now_ms < until_ms:
            step = self.schedule.take(self.now_ms)
            if step is None:
                deadline_ms = self.schedule.next_deadline_ms()
                assert deadline_ms is None or deadline_ms > self.now_ms, "a deadline that brings nothing"
                self.now_ms = until_ms if deadline_ms is None else min(deadline_ms, until_ms)
                continue
            self.one(step)

    def one(self, step: Step) -> Change | None:
        named = step.operation
        meter = named.meter_id if isinstance(named, ReadMeter | VisitMeter) else named.relay_id
        ok = not self.dead(meter, self.now_ms)
        self.now_ms += self.rng.randint(self.answer_ms // 2, self.answer_ms * 3 // 2) if ok else self.timeout_ms
        self.done.append((self.now_ms, step, ok))
        return self.schedule.on_result(step, ok=ok, now_ms=self.now_ms)

    def reads(self) -> Counter[str]:
        """Count finished reads by meter."""
        steps = (step for _, step, ok in self.done if ok and step.last)
        return Counter(step.operation.meter_id for step in steps if isinstance(step.operation, ReadMeter))


def take(schedule: BusSchedule, now_ms: int) -> Step:
    step = schedule.take(now_ms)
    assert step is not None
    return step


@pytest.mark.parametrize("seed", range(10))
def test_every_slot_of_every_meter_is_read_exactly_once(seed: int) -> None:
    rng = Random(seed)
    meters = [f"m{index}" for index in range(rng.randint(1, 62))]
    start_ms = rng.randrange(10**9)
    schedule = BusSchedule([poll(meter, parts=rng.randint(1, 4)) for meter in meters], now_ms=start_ms)
    line = Line(schedule, rng, now_ms=start_ms)
    line.run(start_ms + 8 * PERIOD_MS)
    for meter in meters:
        slots = [
            step.slot_ms
            for _, step, _ in line.done
            if step.last and isinstance(step.operation, ReadMeter) and step.operation.meter_id == meter
        ]
        assert slots == sorted(set(slots), key=lambda slot: slot or 0)
        assert len(slots) in {8, 9}
        assert all(slot is not None and slot % PERIOD_MS == 0 for slot in slots)
    assert schedule.counts.slots_missed == 0
    assert schedule.counts.slots_read == sum(line.reads().values())


def test_slots_follow_the_alignment_once_it_is_known() -> None:
    schedule = BusSchedule([poll("m")], align_ms=123, now_ms=0)
    line = Line(schedule, Random(1))
    line.run(3 * PERIOD_MS)
    schedule.align(300_000)
    line.run(7 * PERIOD_MS)
    slots = [step.slot_ms for _, step, _ in line.done if step.slot_ms is not None]
    assert {(slot + 123) % PERIOD_MS for slot in slots[:3]} == {0}
    assert {(slot + 300_000) % PERIOD_MS for slot in slots[-2:]} == {0}


def test_a_meter_keeps_its_instant_when_others_join() -> None:
    def instants(meters: list[str]) -> list[int]:
        line = Line(BusSchedule([poll(meter) for meter in meters], now_ms=0), Random(1), answer_ms=2)
        line.run(4 * PERIOD_MS)
        return [
            now_ms
            for now_ms, step, _ in line.done
            if isinstance(step.operation, ReadMeter) and step.operation.meter_id == "m7"
        ]

    alone, among = instants(["m7"]), instants([f"m{index}" for index in range(20)])
    assert all(abs(a - b) < 100 for a, b in zip(alone[1:], among[1:], strict=True))


def test_meters_are_spread_over_the_first_quarter_of_the_slot() -> None:
    line = Line(BusSchedule([poll(f"m{index}") for index in range(60)], now_ms=PERIOD_MS), Random(1), now_ms=PERIOD_MS)
    line.run(3 * PERIOD_MS)
    offsets = [now_ms - step.slot_ms for now_ms, step, _ in line.done if step.slot_ms == 2 * PERIOD_MS]
    assert len(offsets) == 60
    assert max(offsets) <= PERIOD_MS // 4 + 5_000
    quarter = PERIOD_MS // 16
    assert min(Counter(min(offset // quarter, 3) for offset in offsets).values()) >= 5


@pytest.mark.parametrize("seed", range(6))
def test_missed_slots_are_counted_and_never_queued(seed: int) -> None:
    rng = Random(seed)
    schedule = BusSchedule([poll(f"m{index}", period_ms=100) for index in range(20)], now_ms=0)
    line = Line(schedule, rng)
    line.run(100_000)
    reads = line.reads()
    assert sum(reads.values()) >= 1_900, "an overloaded line is never idle"
    assert min(reads.values()) >= 0.9 * max(reads.values()), "and serves all alike"
    slots = sum(reads.values()) + schedule.counts.slots_missed
    assert 0.95 < slots / (20 * 1_000) <= 1.01


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("period_ms", [PERIOD_MS, 10_000, 0])
def test_a_dead_meter_costs_the_others_at_most_a_tenth(seed: int, period_ms: int) -> None:
    """The period 0 stands for one that just fills the line: there every lost moment shows."""
    rng = Random(seed)
    count = rng.randint(2, 62)
    period_ms = period_ms or count * 52
    meters = [f"m{index}" for index in range(count)]
    duration_ms = max(10 * period_ms, 300_000)

    def healthy_reads(dead: str) -> Counter[str]:
        line = Line(
            BusSchedule([poll(meter, period_ms=period_ms) for meter in meters], now_ms=0),
            Random(seed),
            dead=lambda meter, _now: meter == dead,
        )
        line.run(duration_ms)
        return line.reads()

    dead = rng.choice(meters)
    without, with_dead = healthy_reads("none"), healthy_reads(dead)
    assert with_dead[dead] == 0
    for meter in meters:
        if meter != dead:
            assert with_dead[meter] >= 0.9 * without[meter]


@pytest.mark.parametrize("seed", range(8))
def test_many_dead_meters_together_cost_at_most_a_tenth(seed: int) -> None:
    rng = Random(seed)
    meters = [f"m{index}" for index in range(40)]
    dead = set(rng.sample(meters, 20))
    line = Line(
        BusSchedule([poll(meter, period_ms=1_040) for meter in meters], now_ms=0),
        rng,
        dead=lambda meter, now: meter in dead and now > 10_000,
    )
    line.run(30_000 + 20 * line.timeout_ms)
    before = line.schedule.counts.failed_ms
    start_ms = line.now_ms
    line.run(start_ms + 600_000)
    assert line.schedule.counts.failed_ms - before <= 0.1 * (line.now_ms - start_ms)


def test_back_off_grows_by_two_seconds_up_to_five_minutes_with_one_probe_each() -> None:
    line = Line(BusSchedule([poll("m", parts=3)], now_ms=0), Random(1), dead=lambda _meter, _now: True)
    line.run(8 * 3_600_000)
    assert all(step.part == 0 for _, step, _ in line.done)
    pauses = [after - before - line.timeout_ms for (before, _, _), (after, _, _) in pairwise(line.done)]
    assert pauses[:4] == [2_000, 4_000, 6_000, 8_000]
    assert max(pauses) == pauses[-1] == BACKOFF_MAX_MS


def test_back_off_is_real_time_under_an_accelerated_clock() -> None:
    line = Line(BusSchedule([poll("m")], rate=1_000, now_ms=0), Random(1), dead=lambda _meter, _now: True)
    line.run(10_000_000)
    assert line.done[1][0] - line.done[0][0] - line.timeout_ms == 2_000_000


def test_a_failed_read_is_tried_again_within_its_slot() -> None:
    line = Line(BusSchedule([poll("m")], now_ms=0), Random(1), dead=lambda _meter, now: now < 500)
    line.run(5_000)
    assert [(step.slot_ms, step.priority, ok) for _, step, ok in line.done] == [
        (-PERIOD_MS, Priority.PERIODIC, False),
        (-PERIOD_MS, Priority.PROBE, True),
    ]


def test_a_recovered_meter_is_read_at_full_rate_again() -> None:
    line = Line(
        BusSchedule([poll(f"m{index}", period_ms=10_000) for index in range(5)], now_ms=0),
        Random(1),
        dead=lambda meter, now: meter == "m1" and now < 3_600_000,
    )
    line.run(3_600_000 + BACKOFF_MAX_MS + 1_000)
    before = line.reads()
    line.run(line.now_ms + 100_000)
    after = line.reads() - before
    assert after["m1"] in {9, 10, 11}


def test_after_a_failure_of_the_whole_bus_the_first_answer_releases_all() -> None:
    meters = [f"m{index}" for index in range(30)]
    line = Line(
        BusSchedule([poll(meter) for meter in meters], now_ms=0),
        Random(1),
        dead=lambda _meter, now: now < 13 * 3_600_000,
    )
    line.run(13 * 3_600_000 + 60_000)
    assert set(line.reads()) == set(meters)


def test_loss_and_recovery_are_told_once() -> None:
    line = Line(
        BusSchedule([poll("m"), poll("n")], now_ms=0), Random(1), dead=lambda meter, now: meter == "m" and now < 60_000
    )
    changes: list[Change] = []
    while line.now_ms < 200_000:
        step = line.schedule.take(line.now_ms)
        if step is None:
            line.now_ms = line.schedule.next_deadline_ms() or 200_000
        elif (change := line.one(step)) is not None:
            changes.append(change)
    assert changes == [Change.LOST, Change.FOUND]


def test_commands_go_between_the_transactions_of_a_read() -> None:
    schedule = BusSchedule([poll("m", parts=3)], now_ms=0)
    first = take(schedule, 0)
    schedule.submit(ReadMeter(meter_id="d"), parts=1, priority=Priority.DEMAND)
    schedule.submit(SwitchRelay(relay_id="r", closed=False), parts=1, priority=Priority.COMMAND)
    order = []
    step: Step | None = first
    now_ms = 0
    while step is not None:
        now_ms += 50
        order.append((step.priority, step.part))
        schedule.on_result(step, ok=True, now_ms=now_ms)
        step = schedule.take(now_ms)
    assert order == [
        (Priority.PERIODIC, 0),
        (Priority.COMMAND, 0),
        (Priority.DEMAND, 0),
        (Priority.PERIODIC, 1),
        (Priority.PERIODIC, 2),
    ]


def test_commands_keep_their_order() -> None:
    schedule = BusSchedule([], now_ms=0)
    ids = [
        schedule.submit(SwitchRelay(relay_id="r", closed=bool(index % 2)), parts=1, priority=Priority.COMMAND)
        for index in range(10)
    ]
    taken = []
    for _ in ids:
        step = take(schedule, 0)
        taken.append(step.job_id)
        schedule.on_result(step, ok=True, now_ms=0)
    assert taken == ids


@pytest.mark.parametrize("seed", range(6))
def test_no_class_starves_under_a_flood_of_commands(seed: int) -> None:
    rng = Random(seed)
    schedule = BusSchedule([poll(f"m{index}", period_ms=5_000) for index in range(10)], now_ms=0)
    line = Line(schedule, rng, dead=lambda meter, _now: meter == "m3")
    schedule.submit(ReadMeter(meter_id="b"), parts=1, priority=Priority.BACKFILL)
    waiting = 0
    for _ in range(3_000):
        while waiting < 20:
            schedule.submit(ReadRelay(relay_id="r"), parts=1, priority=rng.choice([Priority.COMMAND, Priority.DEMAND]))
            waiting += 1
        step = take(schedule, line.now_ms)
        line.one(step)
        waiting -= step.priority in {Priority.COMMAND, Priority.DEMAND}
    shares = Counter(step.priority for _, step, _ in line.done)
    assert set(shares) == set(Priority)
    assert shares[Priority.PERIODIC] >= 3_000 // (BYPASS_STEPS_MAX + 4)
    assert len(line.reads()) == 11 - 1


def test_a_refused_queue_does_not_grow() -> None:
    schedule = BusSchedule([], now_ms=0)
    for _ in range(QUEUED_JOBS_MAX):
        schedule.submit(ReadRelay(relay_id="r"), parts=1, priority=Priority.COMMAND)
    with pytest.raises(BusBusyError):
        schedule.submit(ReadRelay(relay_id="r"), parts=1, priority=Priority.COMMAND)
    schedule.on_result(take(schedule, 0), ok=False, now_ms=10)
    schedule.submit(ReadRelay(relay_id="r"), parts=1, priority=Priority.COMMAND)
    schedule.drop(take(schedule, 10), now_ms=10)
    schedule.submit(ReadRelay(relay_id="r"), parts=1, priority=Priority.COMMAND)


def test_a_line_that_is_down_blames_no_meter_and_is_tried_once_at_a_time() -> None:
    schedule = BusSchedule([poll(f"m{index}") for index in range(10)], now_ms=0)
    schedule.on_line_down(take(schedule, 0), until_ms=5_000, now_ms=0)
    assert schedule.take(10) is None
    assert schedule.next_deadline_ms() == 5_000
    schedule.submit(ReadRelay(relay_id="r"), parts=1, priority=Priority.COMMAND)
    assert take(schedule, 20).priority == Priority.COMMAND, "whoever gave the command wants to know at once"
    schedule.on_line_down(
        Step(job_id=11, operation=ReadRelay(relay_id="r"), priority=Priority.COMMAND, part=0, last=True, slot_ms=None),
        until_ms=6_000,
        now_ms=20,
    )
    line = Line(schedule, Random(1), now_ms=6_000)
    line.run(60_000)
    assert len(line.reads()) == 10
    assert all(step.priority is Priority.PERIODIC for _, step, _ in line.done)


def test_an_answer_to_a_probe_brings_the_whole_read() -> None:
    line = Line(BusSchedule([poll("m", parts=3)], now_ms=0), Random(1), dead=lambda _meter, now: now < 500)
    line.run(60_000)
    assert [(step.priority, step.part) for _, step, _ in line.done] == [
        (Priority.PERIODIC, 0),
        (Priority.PROBE, 0),
        (Priority.PERIODIC, 1),
        (Priority.PERIODIC, 2),
    ]


def test_the_watchdog_names_a_meter_that_is_not_tried_once_until_it_is() -> None:
    schedule = BusSchedule([poll("m")], now_ms=0)
    assert schedule.newly_neglected(3 * PERIOD_MS) == ()
    assert schedule.newly_neglected(3 * PERIOD_MS + 1) == ("m",)
    assert schedule.newly_neglected(4 * PERIOD_MS) == ()
    schedule.on_result(take(schedule, 4 * PERIOD_MS), ok=True, now_ms=4 * PERIOD_MS)
    assert schedule.newly_neglected(5 * PERIOD_MS) == ()
    assert schedule.newly_neglected(8 * PERIOD_MS) == ("m",)


def test_a_meter_in_back_off_is_not_neglected() -> None:
    line = Line(
        BusSchedule([poll("m", period_ms=10_000), poll("n", period_ms=10_000)], now_ms=0),
        Random(1),
        dead=lambda meter, _now: meter == "m",
    )
    line.run(3_600_000)
    assert line.schedule.newly_neglected(line.now_ms) == ()


def test_two_polls_of_one_failing_meter_share_one_probe() -> None:
    fast = Poll(operation=ReadMeter(meter_id="m", channels=(0,)), parts=1, period_ms=5_000)
    line = Line(BusSchedule([poll("m"), fast], now_ms=0), Random(1), dead=lambda _meter, _now: True)
    line.run(60_000)
    times = [now_ms for now_ms, _, _ in line.done]
    assert all(after - before >= 3_000 for before, after in pairwise(times))


def test_use_of_the_line_is_counted() -> None:
    line = Line(BusSchedule([poll("m"), poll("n")], now_ms=0), Random(1), dead=lambda meter, _now: meter == "n")
    line.run(PERIOD_MS)
    counts = line.schedule.counts
    assert counts.steps == len(line.done)
    assert counts.failed_steps == sum(not ok for _, _, ok in line.done)
    assert counts.failed_ms == 1_000 * counts.failed_steps
    assert counts.busy_ms > counts.failed_ms


def test_lost_meters_are_those_that_do_not_answer_now() -> None:
    dead = {"n"}
    line = Line(BusSchedule([poll("m"), poll("n")], now_ms=0), Random(1), dead=lambda meter, _now: meter in dead)
    line.run(PERIOD_MS)
    assert (line.schedule.meters_count, line.schedule.meters_lost_count) == (2, 1)
    dead.clear()
    line.run(3 * PERIOD_MS)
    assert line.schedule.meters_lost_count == 0


def test_the_line_is_in_use_while_a_transaction_runs() -> None:
    schedule = BusSchedule([poll("m")], now_ms=0)
    step = take(schedule, PERIOD_MS)
    assert schedule.busy_ms(PERIOD_MS + 700) == 700
    schedule.on_result(step, ok=True, now_ms=PERIOD_MS + 900)
    assert schedule.busy_ms(PERIOD_MS + 5_000) == 900
