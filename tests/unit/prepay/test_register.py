"""Which register points are believed."""

from hypothesis import given
from hypothesis import strategies as st

from prepay.entries import Assignment, Release
from prepay.register import TIME_TOLERANCE_MS, Fault, Mark, closing_mark, follow, line_start
from tests.unit.prepay.village import HOUR_MS, assignment, registers_wh, release


def mark(at_ms: int, energy_wh: int) -> Mark:
    return Mark(at_ms, energy_wh, b"key", b"")


def judge(
    terms: Assignment | None, *marks: Mark, until: Release | None = None
) -> tuple[list[int], list[tuple[Fault, int] | None]]:
    """Return the energy of each mark, and its fault with how far the register moved."""
    line = line_start(terms)
    energies: list[int] = []
    faults: list[tuple[Fault, int] | None] = []
    for item in marks:
        verdict = follow(terms, until, line, item)
        line = verdict.line
        energies.append(verdict.energy_wh)
        faults.append(None if verdict.fault is None else (verdict.fault, verdict.step_wh))
    return energies, faults


def hourly(*registers: int) -> list[Mark]:
    return [mark(hour * HOUR_MS, energy_wh) for hour, energy_wh in enumerate(registers, start=1)]


def test_a_rising_register_is_charged_from_its_opening() -> None:
    assert judge(assignment(opening_wh=100), *hourly(300, 300, 900)) == ([200, 0, 600], [None] * 3)


def test_a_step_at_the_rated_power_is_believed_and_one_above_it_is_not() -> None:
    allowed_wh = 5_000 + 5_000 * TIME_TOLERANCE_MS // HOUR_MS + 10
    assert judge(assignment(), *hourly(allowed_wh)) == ([allowed_wh], [None])
    assert judge(assignment(), *hourly(allowed_wh + 1)) == ([0], [(Fault.IMPLAUSIBLE, allowed_wh + 1)])


def test_one_absurd_value_costs_nothing() -> None:
    energies, faults = judge(assignment(), *hourly(1_000, 999_999_999, 3_000, 4_000))
    assert energies == [1_000, 0, 2_000, 1_000]
    assert faults == [None, (Fault.IMPLAUSIBLE, 999_998_999), None, None]


def test_one_reading_of_zero_costs_nothing() -> None:
    energies, faults = judge(assignment(), *hourly(3_000, 0, 4_000))
    assert energies == [3_000, 0, 1_000]
    assert faults == [None, (Fault.BACKWARDS, -3_000), None]


def test_a_jump_is_never_charged_however_long_one_waits() -> None:
    points = [*hourly(1_000, 201_000), mark(1_000 * HOUR_MS, 201_500)]
    assert judge(assignment(), *points) == ([1_000, 0, 500], [None, (Fault.IMPLAUSIBLE, 200_000), None])


def test_an_absurd_value_that_is_repeated_costs_nothing() -> None:
    energies, faults = judge(assignment(), *hourly(1_000, 9_000_000, 9_000_000, 3_000, 4_000))
    assert energies == [1_000, 0, 0, 0, 1_000]
    assert [fault[0] if fault else None for fault in faults] == [None, Fault.IMPLAUSIBLE, None, Fault.BACKWARDS, None]


def test_a_register_that_begins_anew_is_followed_from_its_new_value() -> None:
    assert judge(assignment(), *hourly(4_000, 20, 320)) == ([4_000, 0, 300], [None, (Fault.BACKWARDS, -3_980), None])


def test_a_register_rolls_over_at_its_modulus() -> None:
    terms = assignment(opening_wh=999_500, modulus_wh=1_000_000)
    assert judge(terms, *hourly(999_900, 300, 400)) == ([400, 400, 100], [None] * 3)


def test_a_register_that_stands_still_has_not_rolled_over() -> None:
    assert judge(assignment(opening_wh=700, modulus_wh=1_000), *hourly(700)) == ([0], [None])


def test_of_several_wrong_values_the_last_may_be_the_new_register() -> None:
    energies, faults = judge(assignment(), *hourly(1_000, 9_000_000, 50, 350))
    assert energies == [1_000, 0, 0, 300]
    assert [fault[0] if fault else None for fault in faults] == [None, Fault.IMPLAUSIBLE, Fault.BACKWARDS, None]


def test_a_fall_that_is_no_roll_over_is_not_taken_for_one() -> None:
    terms = assignment(opening_wh=500_000, modulus_wh=1_000_000)
    assert judge(terms, *hourly(500_100, 300)) == ([100, 0], [None, (Fault.BACKWARDS, -499_800)])


def test_small_disorder_of_clocks_is_not_charged_twice() -> None:
    points = [mark(100, 50), mark(101, 48), mark(HOUR_MS, 60)]
    assert judge(assignment(), *points) == ([50, 0, 10], [None, (Fault.BACKWARDS, -2), None])


def test_points_without_assignment_wait_in_quarantine() -> None:
    assert judge(None, *hourly(5, 10)) == ([0, 0], [(Fault.UNASSIGNED, 0)] * 2)


def test_points_before_assignment_and_from_release_on_are_outside() -> None:
    until = release(2_500, 3 * HOUR_MS)
    points = sorted([mark(0, 50), *hourly(1_000, 2_000, 2_600, 9_000), closing_mark(until, b"")])
    energies, faults = judge(assignment(opening_wh=950, from_ms=HOUR_MS), *points, until=until)
    assert energies == [0, 50, 1_000, 500, 0, 0]
    assert faults == [(Fault.OUTSIDE, 0), None, None, None, (Fault.OUTSIDE, 0), (Fault.OUTSIDE, 0)]


@given(
    st.lists(st.tuples(st.integers(0, 100 * HOUR_MS), registers_wh), max_size=30),
    st.sampled_from([0, 1_000, 10_000]),
)
def test_no_register_whatever_makes_a_household_pay_for_more_than_its_connection_can_draw(
    readings: list[tuple[int, int]], modulus_wh: int
) -> None:
    terms = assignment(modulus_wh=modulus_wh)
    marks = sorted(mark(at_ms, energy_wh) for at_ms, energy_wh in readings)
    energies, _ = judge(terms, *marks)
    slack_wh = terms.rated_power_w * TIME_TOLERANCE_MS // HOUR_MS + terms.register_step_wh + 1
    duration_ms = marks[-1].taken_at_ms if marks else 0
    assert all(energy >= 0 for energy in energies)
    assert sum(energies) <= terms.rated_power_w * duration_ms // HOUR_MS + slack_wh * len(marks)


@given(st.lists(st.integers(0, 5_000), max_size=40))
def test_a_register_that_behaves_is_charged_to_the_watt_hour(steps_wh: list[int]) -> None:
    registers = [sum(steps_wh[: count + 1]) for count in range(len(steps_wh))]
    assert judge(assignment(), *hourly(*registers)) == (steps_wh, [None] * len(steps_wh))
