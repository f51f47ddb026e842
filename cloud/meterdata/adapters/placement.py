"""Messages with their rows placed by the clocks and assignments in the database: what followers of readings share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from cloud import schema
from cloud.following import Followed
from cloud.meterdata.core.placing import Block, Placement, Stated, Tenure, instants, place
from cloud.meterdata.core.utc import Timeline
from cloud.prepared import Prepared

KEYS_PER_QUERY_MAX = 500

K = TypeVar("K")


class BootKey(NamedTuple):
    """One boot of one gateway."""

    utility: str
    gateway: str
    boot: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """The clocks and assignments that some messages are placed by."""

    clocks: dict[BootKey, Timeline]
    tenures: dict[str, dict[str, list[Tenure]]]
    """By utility and meter."""

    def place(self, message: Followed, stated: Stated) -> Placement:
        """Return what becomes of the rows of one of the messages."""
        boots = {block.boot for block in stated.blocks if not block.by_meter}
        found = {boot: self.clocks.get(BootKey(message.utility, message.gateway, boot)) for boot in boots}
        return place(
            stated,
            gateway=message.gateway,
            message=message.id,
            timelines={boot: timeline for boot, timeline in found.items() if timeline is not None},
            tenures=self.tenures[message.utility],
        )

    def instants(self, message: Followed, block: Block) -> list[int | None]:
        """Return when each row of a block of one of the messages was; None where it has no place."""
        timeline = self.clocks.get(BootKey(message.utility, message.gateway, block.boot), Timeline())
        return instants(block, gateway=message.gateway, timeline=timeline, tenures=self.tenures[message.utility])


def known_of(connection: sa.Connection, messages: Sequence[tuple[Followed, Stated]]) -> Known:
    """Return what is known now of the boots and meters that messages speak of."""
    boots = {BootKey(message.utility, message.gateway, boot) for message, stated in messages for boot in stated.spans()}
    meters: dict[str, set[str]] = {}
    for message, stated in messages:
        meters.setdefault(message.utility, set()).update(stated.meters())
    return Known(
        timelines(connection, boots),
        {utility: _tenures(connection, utility, names) for utility, names in meters.items()},
    )


def timelines(connection: sa.Connection, boots: Iterable[BootKey]) -> dict[BootKey, Timeline]:
    """Return the clocks of those boots that have one."""
    table = schema.boot_clock.c
    wanted = set(boots)
    found: dict[BootKey, Timeline] = {}
    for utility in sorted({key.utility for key in wanted}):
        for keys in in_parts([key for key in wanted if key.utility == utility]):
            query = (
                sa.select(table.gateway, table.boot, table.timeline)
                .where(table.utility == utility)
                .where(table.gateway.in_({key.gateway for key in keys}))
                .where(table.boot.in_({key.boot for key in keys}))
            )
            for gateway, boot, timeline in connection.execute(query):
                if (key := BootKey(utility, gateway, boot)) in wanted:
                    found[key] = Timeline.decode(timeline)
    return found


def in_parts(keys: Iterable[K]) -> Iterator[list[K]]:
    """Return keys in lists short enough for one query."""
    every = list(keys)
    return (every[at : at + KEYS_PER_QUERY_MAX] for at in range(0, len(every), KEYS_PER_QUERY_MAX))


def _tenures_query(dialect: str) -> sa.Executable:
    table = schema.assignment.c
    if dialect == "postgresql":
        asked_for = table.meter == sa.any_(sa.bindparam("meters", type_=postgresql.ARRAY(sa.String)))
    else:
        listed = sa.func.json_each(sa.bindparam("meters", type_=sa.String)).table_valued("value")
        asked_for = table.meter.in_(sa.select(listed.c.value))
    return sa.select(table.meter, table.from_ms, table.until_ms, table.gateway).where(
        table.utility == sa.bindparam("of"), asked_for
    )


_TENURES = Prepared(_tenures_query)
"""A message has hundreds of meters; SQLAlchemy alone would take longer than all else that is done with them."""


def _tenures(connection: sa.Connection, utility: str, meters: Iterable[str]) -> dict[str, list[Tenure]]:
    found: dict[str, list[Tenure]] = {}
    names = sorted(meters)
    if not names:
        return found
    listed = names if connection.dialect.name == "postgresql" else msgspec.json.encode(names).decode()
    for meter, from_ms, until_ms, gateway in _TENURES.all(connection, {"of": utility, "meters": listed}):
        found.setdefault(meter, []).append(Tenure(from_ms, until_ms, gateway))
    return found
