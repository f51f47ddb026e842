"""Gateways, their meters and the whole network as they stand: `gateway_state`, `meter_silent`, `network_state`.

Known are the gateways that were ever heard and those that meters are assigned to; one whose keys are all revoked and
that has no meters left is out of service, and out of the picture. A gateway never heard is silent since its first meter
was assigned to it.

On SQLite the head-end waits for every transaction, so a large network is looked at in parts. A part costs a probe of
`latest` for each of its meters, 30 to 50 ms for 10,000 (a million would hold the database for 3 s). On PostgreSQL
nobody waits, and all at once is cheapest: 2 s for a million meters, by one pass over both tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import nsmallest
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.monitoring.adapters.survey import MakeLines, Scope, Step, Survey, Window, each_sample
from cloud.monitoring.core.points import point
from wire.keys import Purpose

METERS_PER_PART: Final = {"sqlite": 10_000, "postgresql": 2_000_000}
"""By dialect; a gateway is in one part with all its meters."""
SILENT_METERS_MAX: Final = 200
_DEGREE_E6: Final = 1_000_000

_assignment, _latest, _gateway, _place = schema.assignment.c, schema.latest.c, schema.gateway.c, schema.place.c
_fact, _command, _key = schema.down_fact.c, schema.command.c, schema.key.c
_of, _at = sa.bindparam("of", type_=sa.String), sa.bindparam("at_ms", type_=sa.BigInteger)
_after, _to = sa.bindparam("after", type_=sa.String), sa.bindparam("to", type_=sa.String)
_before = sa.bindparam("before_ms", type_=sa.BigInteger)

_ASSIGNED = schema.assignment.outerjoin(
    schema.latest, sa.and_(_latest.utility == _assignment.utility, _latest.meter == _assignment.meter)
)
_IN_FORCE = sa.and_(
    _assignment.utility == _of,
    _assignment.from_ms <= _at,
    sa.or_(_assignment.until_ms.is_(None), _assignment.until_ms > _at),
)
_HEARD = sa.func.coalesce(_latest.utc_ms, _assignment.from_ms)
_METERS = (
    sa.select(
        _assignment.gateway,
        sa.func.count().label("meters_count"),
        sa.func.sum(sa.case((_before > _HEARD, 1), else_=0)).label("silent_count"),
        sa.func.min(_HEARD).label("quietest_ms"),
        sa.func.min(_assignment.from_ms).label("assigned_ms"),
    )
    .select_from(_ASSIGNED)
    .where(_IN_FORCE)
    .group_by(_assignment.gateway)
)
_SEEN = sa.select(_gateway.name, _gateway.seen_at_ms, _gateway.bye_at_ms).where(_gateway.utility == _of)
_PLACES = sa.select(_place.gateway, _place.latitude_e6, _place.longitude_e6).where(_place.utility == _of)
QUIET_METERS = (
    sa.select(_assignment.gateway, _assignment.meter, _HEARD.label("heard_ms"))
    .select_from(_ASSIGNED)
    .where(_IN_FORCE, _before > _HEARD, _assignment.gateway.in_(sa.bindparam("those", expanding=True)))
    .order_by(_HEARD, _assignment.gateway, _assignment.meter)
    .limit(SILENT_METERS_MAX)
)
PART_END = (
    sa.select(_assignment.gateway)
    .where(_assignment.utility == _of, _assignment.gateway > _after)
    .order_by(_assignment.gateway)
    .offset(sa.bindparam("skipped", type_=sa.Integer))
    .limit(1)
)
# Of all utilities, and by an instant that all lie after: else SQLite would read every fact, or command, there ever was.
FACTS_WAITING = (
    sa.select(_fact.utility, _fact.gateway, sa.func.count())
    .where(_fact.held_at_ms.is_(None), _fact.due_at_ms >= 0)
    .group_by(_fact.utility, _fact.gateway)
)
COMMANDS_OPEN = (
    sa.select(_command.gateway, sa.func.count().label("commands_count"))
    .where(_command.utility == _of, _command.due_at_ms >= 0)
    .group_by(_command.gateway)
)
_RETIRED = (
    sa.select(_key.party)
    .where(_key.utility == _of, _key.purpose == Purpose.GATEWAY.value)
    .group_by(_key.party)
    .having(sa.func.count(_key.revoked_at_ms) == sa.func.count())
)


def _within(query: sa.Select[Any], name: sa.ColumnElement[str]) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Return a query of the gateways after a name, and the one that ends with another name."""
    return query.where(name > _after), query.where(name > _after, name <= _to)


METERS_OF_PART, SEEN_OF_PART, PLACES_OF_PART = (
    _within(_METERS, _assignment.gateway),
    _within(_SEEN, _gateway.name),
    _within(_PLACES, _place.gateway),
)


@dataclass(slots=True, kw_only=True)
class Network:
    """What the parts of one look count together."""

    facts_waiting: dict[str, int]
    """By gateway."""
    commands_open: dict[str, int]
    """By gateway."""
    retired: frozenset[str]
    """Gateways of which no key is in force."""
    parts_left: int = 0
    """Parts that were not looked at yet, or could not be."""
    gateways_count: int = 0
    gateways_silent_count: int = 0
    meters_count: int = 0
    meters_silent_count: int = 0
    quietest: list[tuple[int, str]] = field(default_factory=list)
    """Of each gateway with silent meters, since when the longest silent of them is, UTC in ms."""


@dataclass(frozen=True, slots=True)
class Part:
    """Gateways after one name, up to and with another."""

    network: Network
    after: str
    to: str | None
    """None in the last part, which has all that come after."""


class GatewayState(NamedTuple):
    """A gateway as it stands."""

    gateway: str
    present: bool
    heard_ms: int | None
    meters_count: int
    meters_silent_count: int
    place: tuple[float, float] | None
    """Latitude and longitude in degrees."""


def parts(connection: sa.Connection, scope: Scope, meters_per_part: int) -> Sequence[Part]:
    """Return the gateways in parts of as many meters, by name; reads the index of assignments once, 50 ms a million."""
    of = {"of": scope.utility, "skipped": meters_per_part}
    waiting = connection.execute(FACTS_WAITING).all()
    network = Network(
        facts_waiting={gateway: count for utility, gateway, count in waiting if utility == scope.utility},
        commands_open={row.gateway: row.commands_count for row in connection.execute(COMMANDS_OPEN, of)},
        retired=frozenset(connection.execute(_RETIRED, of).scalars()),
    )
    found: list[Part] = []
    after = ""
    while (to := connection.execute(PART_END, of | {"after": after}).scalar()) is not None:
        found.append(Part(network, after, to))
        after = to
    found.append(Part(network, after, None))
    network.parts_left = len(found)
    return found


def steps(
    connection: sa.Connection, scope: Scope, window: Window, *, meters_per_part: int | None = None
) -> Sequence[Step]:
    """Return a step for each part."""
    size = meters_per_part or METERS_PER_PART[connection.dialect.name]
    return [partial(_read, scope=scope, window=window, part=part) for part in parts(connection, scope, size)]


def _read(connection: sa.Connection, *, scope: Scope, window: Window, part: Part) -> MakeLines:
    """Read a part; the last one brings what all of them come to."""
    network, at_ms = part.network, window.until_ms
    silent_before_ms = at_ms - scope.settings.silent_s * 1_000
    values = {"of": scope.utility, "at_ms": at_ms, "before_ms": silent_before_ms, "after": part.after, "to": part.to}
    states: list[GatewayState] = []
    for state, quietest_ms in _states(connection, part, values):
        states.append(state)
        network.gateways_count += 1
        network.gateways_silent_count += state.heard_ms is not None and state.heard_ms < silent_before_ms
        network.meters_count += state.meters_count
        network.meters_silent_count += state.meters_silent_count
        if state.meters_silent_count:
            network.quietest.append((quietest_ms, state.gateway))
    quiet: Sequence[Any] = ()
    if part.to is None:
        # The longest silent meters are of the gateways with the longest silent one each.
        those = [gateway for _, gateway in nsmallest(SILENT_METERS_MAX, network.quietest)]
        quiet = connection.execute(QUIET_METERS, values | {"those": those}).all() if those else ()
    network.parts_left -= 1
    return partial(_lines, scope.utility, at_ms, part, states, quiet)


def _states(connection: sa.Connection, part: Part, values: dict[str, Any]) -> Iterator[tuple[GatewayState, int]]:
    """Yield the gateways of a part by name, each with since when its longest silent meter is."""
    bounded = part.to is not None
    meters = {row.gateway: row for row in connection.execute(METERS_OF_PART[bounded], values)}
    seen = {row.name: row for row in connection.execute(SEEN_OF_PART[bounded], values)}
    places = {
        gateway: (latitude_e6 / _DEGREE_E6, longitude_e6 / _DEGREE_E6)
        for gateway, latitude_e6, longitude_e6 in connection.execute(PLACES_OF_PART[bounded], values)
    }
    for name in sorted(meters.keys() | (seen.keys() - part.network.retired)):
        of_meters, session = meters.get(name), seen.get(name)
        heard_ms = session.seen_at_ms if session is not None else 0
        state = GatewayState(
            gateway=name,
            present=session is not None and session.seen_at_ms > session.bye_at_ms,
            heard_ms=heard_ms or (None if of_meters is None else of_meters.assigned_ms),
            meters_count=0 if of_meters is None else of_meters.meters_count,
            meters_silent_count=0 if of_meters is None else int(of_meters.silent_count),
            place=places.get(name),
        )
        yield state, 0 if of_meters is None else of_meters.quietest_ms


def _lines(utility: str, at_ms: int, part: Part, states: Sequence[GatewayState], quiet: Sequence[Any]) -> list[str]:
    network = part.network
    points = [_gateway_point(utility, at_ms, network, state) for state in states]
    for gateway, meter, heard_ms in quiet:
        tags = {"utility": utility, "gateway": gateway, "meter": meter}
        points.append(point("meter_silent", tags, {"silent_s": _since_s(heard_ms, at_ms)}, utc_ms=at_ms))
    if part.to is None and network.parts_left == 0:
        whole = {
            "gateways_count": network.gateways_count,
            "gateways_silent_count": network.gateways_silent_count,
            "meters_count": network.meters_count,
            "meters_silent_count": network.meters_silent_count,
            "commands_open_count": sum(network.commands_open.values()),
            "facts_waiting_count": sum(network.facts_waiting.values()),
        }
        points.append(point("network_state", {"utility": utility}, whole, utc_ms=at_ms))
    return [line for line in points if line is not None]


def _gateway_point(utility: str, at_ms: int, network: Network, state: GatewayState) -> str | None:
    latitude, longitude = state.place or (None, None)
    return point(
        "gateway_state",
        {"utility": utility, "gateway": state.gateway},
        {
            "present": state.present,
            "silent_s": None if state.heard_ms is None else _since_s(state.heard_ms, at_ms),
            "meters_count": state.meters_count,
            "meters_silent_count": state.meters_silent_count,
            "facts_waiting_count": network.facts_waiting.get(state.gateway, 0),
            "commands_open_count": network.commands_open.get(state.gateway, 0),
            "latitude": latitude,
            "longitude": longitude,
        },
        utc_ms=at_ms,
    )


def _since_s(heard_ms: int, at_ms: int) -> float:
    return max(0, at_ms - heard_ms) / 1_000


SURVEYS: tuple[Survey, ...] = (Survey(name="network", width_s=each_sample, steps=steps, sampled=True),)
