"""How much of what meters should have recorded is there, by gateway and day, and how that meets the targets.

Today and yesterday are counted each hour, a day beyond that once more when the deadline of a target passes. A message
counts if it had come in by the window's end, so that a past window comes to the same whenever it is asked; rows lie
where they are placed today, which a clock corrected later may have changed. Of each gateway two steps are taken: one
reads the stored days, which are decoded outside of the transaction, the next reads when those messages came in that
were first with something; of one with many meters the first is several. The last step adds up all gateways.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import sqlalchemy as sa

from cloud import schema
from cloud.meterdata.adapters.placement import in_parts
from cloud.meterdata.core.day_body import DayCodec
from cloud.meterdata.core.utc import day_of
from cloud.monitoring.adapters.arrivals import arrivals
from cloud.monitoring.adapters.survey import Lines, MakeLines, Scope, Step, Survey, Window, no_lines
from cloud.monitoring.adapters.targets import latest_judgement_s, load_targets
from cloud.monitoring.core.collected import Firsts, GatewayDay, expected_slots, first_messages
from cloud.monitoring.core.points import point
from cloud.monitoring.core.targets import DAY_MS, HOUR_MS, Metric, Target, level_line, settled_spans

WATCHED_MS: Final = 24 * HOUR_MS
"""For so long after its end a day is counted each hour."""
LAG_S: Final = 600
"""What came in by the window's end has its place among the stored days by then."""
METERS_PER_STEP: Final = 250
"""Each has four stored days or more, of some kilobytes: on SQLite the head-end waits meanwhile."""
HOURS_SHOWN: Final = (8, 12, 24)
_NOTHING: Final[Firsts] = {}
_assignment, _day = schema.assignment.c, schema.meter_day.c
Tenures = dict[str, list[tuple[int, int | None]]]
"""By meter from when until when it was the gateway's."""


@dataclass(slots=True)
class _Work:
    """What the steps of one window work on."""

    scope: Scope
    window: Window
    days: list[int]
    """Those that are counted, in days since 1970-01-01."""
    settled: list[tuple[Target, int]]
    """Targets with the days whose deadline passes in the window."""
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    """What had to meet each target on each day, over all gateways."""
    met_counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    gateways_left: int = 0
    """Gateways that were not counted yet, or could not be: without all of them nothing is concluded."""

    @property
    def interval_ms(self) -> int:
        return self.scope.settings.interval_s * 1_000


@dataclass(slots=True)
class _OfGateway:
    """What the steps of one gateway work on."""

    work: _Work
    name: str
    parts_left: int
    """Parts of its meters that were not counted yet, or could not be: without all of them it has no line."""
    after: str = ""
    """The last meter read."""
    counted: dict[int, GatewayDay] = field(default_factory=dict)
    """Its days."""


def _steps(connection: sa.Connection, scope: Scope, window: Window) -> Sequence[Step]:
    work = _Work(scope, window, *_days(scope, window))
    query = (
        sa.select(_assignment.gateway, sa.func.count(_assignment.meter.distinct()))
        .where(*_overlapping(work, work.days))
        .group_by(_assignment.gateway)
        .order_by(_assignment.gateway)
    )
    steps: list[Step] = []
    for name, meters_count in connection.execute(query):
        gateway = _OfGateway(work, name, parts_left=-(-meters_count // METERS_PER_STEP))
        steps += [partial(_read_days, gateway) for _ in range(gateway.parts_left)]
        steps.append(partial(_read_arrivals, gateway))
        work.gateways_left += 1
    return [*steps, partial(_conclude, work)]


def _days(scope: Scope, window: Window) -> tuple[list[int], list[tuple[Target, int]]]:
    """Return the days to be counted, and the targets to be judged with theirs."""
    settled = [
        (target, day_of(from_ms))
        for target in load_targets(scope.settings.targets_file)
        if target.is_collection
        for from_ms, _ in settled_spans(target, from_ms=window.from_ms, until_ms=window.until_ms)
    ]
    watched = range(day_of(window.from_ms - WATCHED_MS), day_of(window.until_ms - 1) + 1)
    return sorted({*watched, *(day for _, day in settled)}), settled


def _overlapping(work: _Work, days: Sequence[int]) -> list[sa.ColumnElement[bool]]:
    """Return what holds of the utility's assignments that concern any of these days."""
    until_ms = min((days[-1] + 1) * DAY_MS, work.window.until_ms)
    return [
        _assignment.utility == work.scope.utility,
        _assignment.from_ms < until_ms,
        sa.or_(_assignment.until_ms.is_(None), _assignment.until_ms > days[0] * DAY_MS),
    ]


def _read_days(gateway: _OfGateway, connection: sa.Connection) -> MakeLines:
    work = gateway.work
    mine = (*_overlapping(work, work.days), _assignment.gateway == gateway.name)
    part = sa.select(_assignment.meter).distinct().where(*mine, _assignment.meter > gateway.after)
    meters = connection.execute(part.order_by(_assignment.meter).limit(METERS_PER_STEP)).scalars().all()
    if not meters:
        return no_lines
    query = sa.select(_assignment.meter, _assignment.from_ms, _assignment.until_ms)
    bounds = (_assignment.meter > gateway.after, _assignment.meter <= meters[-1])
    # First of all, so that the next step goes on behind these even if they cannot be read.
    gateway.after = meters[-1]
    tenures: Tenures = {}
    for meter, from_ms, until_ms in connection.execute(query.where(*mine, *bounds)):
        tenures.setdefault(meter, []).append((from_ms, until_ms))
    days = {day + offset for day in work.days for offset in (0, 1)}
    bodies: dict[tuple[str, int], bytes] = {}
    for names in in_parts(meters):
        stored = sa.select(_day.meter, _day.day, _day.body).where(
            _day.utility == work.scope.utility, _day.meter.in_(names), _day.day.in_(days)
        )
        bodies.update(((meter, day), body) for meter, day, body in connection.execute(stored))

    def count() -> Lines:
        _count(gateway, tenures, bodies)
        gateway.parts_left -= 1
        return no_lines()

    return count


def _count(gateway: _OfGateway, tenures: Tenures, bodies: dict[tuple[str, int], bytes]) -> None:
    """Add meters to the days of their gateway."""
    work, counted = gateway.work, gateway.counted
    codec = DayCodec()
    last_slot = max(1, DAY_MS // work.interval_ms) - 1
    for meter, spans in tenures.items():
        firsts = {
            day: first_messages(codec.decode(body), day_from_ms=day * DAY_MS, interval_ms=work.interval_ms)
            for day in {day + offset for day in work.days for offset in (0, 1)}
            if (body := bodies.get((meter, day))) is not None
        }
        for day in work.days:
            if not _touches(spans, day, work.window.until_ms):
                continue
            expected = expected_slots(
                spans,
                day_from_ms=day * DAY_MS,
                interval_ms=work.interval_ms,
                known_at_ms=work.window.until_ms,
            )
            of_gateway = counted.setdefault(day, GatewayDay())
            of_gateway.add(expected, firsts.get(day, _NOTHING), firsts.get(day + 1, _NOTHING), last_slot=last_slot)


def _touches(spans: Iterable[tuple[int, int | None]], day: int, known_at_ms: int) -> bool:
    end_ms = min((day + 1) * DAY_MS, known_at_ms)
    return any(from_ms < end_ms and (until_ms is None or until_ms > day * DAY_MS) for from_ms, until_ms in spans)


def _read_arrivals(gateway: _OfGateway, connection: sa.Connection) -> MakeLines:
    if gateway.parts_left:
        return no_lines
    work, counted = gateway.work, gateway.counted
    arrived_ms = arrivals(connection, {message for day in counted.values() for message in day.messages()})

    def make_lines() -> Lines:
        for target, day in work.settled:
            of_day, by_ms = counted.get(day, GatewayDay()), (day + 1) * DAY_MS + target.deadline_ms
            if target.metric is Metric.COLLECTION_INTERVALS:
                count, met_count = of_day.expected_count, of_day.collected_count(arrived_ms, by_ms=by_ms)
            else:
                count, met_count = of_day.meters_due_count, of_day.meters_there_count(arrived_ms, by_ms=by_ms)
            work.counts[target.id, day] += count
            work.met_counts[target.id, day] += met_count
        made = (_line(work, gateway.name, day, of_day, arrived_ms) for day, of_day in sorted(counted.items()))
        work.gateways_left -= 1
        return [line for line in made if line is not None]

    return make_lines


def _line(work: _Work, gateway: str, day: int, of_day: GatewayDay, arrived_ms: dict[int, int]) -> str | None:
    if of_day.meters_count == 0:
        return None
    now_ms, end_ms = work.window.until_ms, (day + 1) * DAY_MS

    def percent(by_ms: int) -> float | None:
        if of_day.expected_count == 0:
            return None
        return 100 * of_day.collected_count(arrived_ms, by_ms=min(by_ms, now_ms)) / of_day.expected_count

    fields = {
        "meters_count": of_day.meters_count,
        "meters_without_count": of_day.meters_due_count - of_day.meters_there_count(arrived_ms, by_ms=now_ms),
        "expected_count": of_day.expected_count,
        "collected_count": of_day.collected_count(arrived_ms, by_ms=now_ms),
        "percent": percent(now_ms),
    } | {f"within_{hours}h_percent": percent(end_ms + hours * HOUR_MS) for hours in HOURS_SHOWN}
    tags = {"gateway": gateway, "utility": work.scope.utility}
    return point("collection", tags, fields, utc_ms=day * DAY_MS)


def _conclude(work: _Work, connection: sa.Connection) -> MakeLines:  # noqa: ARG001
    def make_lines() -> Lines:
        made = (
            level_line(
                target,
                work.scope.utility,
                count=work.counts[target.id, day],
                met_count=work.met_counts[target.id, day],
                from_ms=day * DAY_MS,
            )
            for target, day in work.settled
            if work.gateways_left == 0
        )
        return [line for line in made if line is not None]

    return make_lines


SURVEYS = (
    Survey(
        name="collection",
        width_s=lambda _settings: HOUR_MS // 1_000,
        steps=_steps,
        reach_s=latest_judgement_s,
        lag_s=LAG_S,
    ),
)
