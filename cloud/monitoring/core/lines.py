"""Line protocol for what is written by the thousand: readings, events and health of gateways' messages.

Timestamps are milliseconds; microseconds are not, since old servers take them for nanoseconds without a word. Tags are
names, which need no escaping (`wire.address`), or words of a list that does not grow. A value with a quality code is
not drawn: the field `flagged` counts how many were left out, and the database keeps them as read. A metric that the
catalogue does not have makes no field. Measurements and fields are listed in `docs/monitoring.md`.

Numbers are floats to the server, whatever they look like: a value of a meter is written as it was sent, an integer and
the power of ten it is scaled by (`2305e-1`), which costs a tenth of turning it into a float and back and is as exact.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cloud.meterdata.core.meter_day import VALID, ChannelKey
from cloud.meterdata.core.placing import Block
from cloud.monitoring.core.catalogue import BY_NAME
from cloud.monitoring.core.event_kinds import UNLISTED, kind_of, tag_of
from cloud.monitoring.core.fields import field_name
from cloud.monitoring.core.points import point
from wire.facts import Event, Health, LineHealth, MeterEvent
from wire.readings import QUALITY_MISSING

PRECISION = "ms"
OF_GATEWAY = "gateway"
OF_METER = "meter"
"""Who says that something happened."""
SPREAD_MS = 1_000


def reading_lines(utility: str, gateway: str, block: Block, instants: Sequence[int | None]) -> list[str]:
    """Return a line for each row of a block that has anything to show.

    Args:
        utility: Whose network it is.
        gateway: Who reported the block.
        block: Rows of the same channels.
        instants: When each row was, UTC in milliseconds; None where it is not to be drawn.
    """
    head = f"reading,gateway={gateway},meter=%s,utility={utility} "
    told = _told(block.channels)
    template = f"{head}{','.join(told)} %d"
    rows = zip(block.meters, *block.columns, instants, strict=True)
    if not block.flagged and None not in instants:
        return [template % row for row in rows]
    lines: list[str] = []
    for index, row in enumerate(rows):
        if row[-1] is None:
            continue
        codes = block.flagged.get(index)
        if codes is None:
            lines.append(template % row)
        elif fields := _plain_fields(told, row[1:-1], codes):
            lines.append(f"{head % row[0]}{fields} {row[-1]}")
    return lines


@lru_cache(maxsize=1_024)
def _told(channels: tuple[ChannelKey, ...]) -> tuple[str, ...]:
    """Return for each channel how its value is told, with a place for the integer."""
    powers = (f"e{channel.scaler}" if channel.scaler else "" for channel in channels)
    return tuple(f"{field_name(channel)}=%d{power}" for channel, power in zip(channels, powers, strict=True))


def _plain_fields(told: Iterable[str], values: Iterable[int], codes: Sequence[str]) -> str:
    """Return the fields of a row that is not plainly valid; empty if there is nothing to show."""
    rows = zip(told, values, codes, strict=True)
    fields = [template % value for template, value, code in rows if code == VALID]
    if flagged_count := sum(code not in {VALID, QUALITY_MISSING} for code in codes):
        fields.append(f"flagged={flagged_count}")
    return ",".join(fields)


# ---- health ----------------------------------------------------------------------------------------------------------


def health_line(utility: str, gateway: str, fact: Health | LineHealth, *, utc_ms: int) -> str | None:
    """Return the line of a gateway's, a line's or a meter's health; None if the catalogue has none of its metrics."""
    name = _measurement(fact)
    tags = {"utility": utility, "gateway": gateway}
    if isinstance(fact, LineHealth):
        tags["line"] = fact.line
    elif fact.meter:
        tags["meter"] = fact.meter
    fields = BY_NAME[name].fields
    known = {metric.name: metric.value for metric in fact.metrics if metric.name in fields}
    return point(name, tags, known, utc_ms=utc_ms)


def unlisted_metrics(fact: Health | LineHealth) -> Iterator[str]:
    """Return the metrics of a health that the catalogue does not have, as `measurement.name`."""
    name = _measurement(fact)
    fields = BY_NAME[name].fields
    return (f"{name}.{metric.name}" for metric in fact.metrics if metric.name not in fields)


def _measurement(fact: Health | LineHealth) -> str:
    if isinstance(fact, LineHealth):
        return "line_health"
    return "meter_health" if fact.meter else "gateway_health"


# ---- events ----------------------------------------------------------------------------------------------------------


class Happened(NamedTuple):
    """An event, and what its gateway and meter are to each other."""

    utility: str
    gateway: str
    fact: Event | MeterEvent
    utc_ms: int
    is_assigned: bool
    """Whether the gateway may report of the meter."""


@dataclass(slots=True)
class _Together:
    """Events that are one point."""

    first: Happened
    count: int = 0


def event_lines(events: Iterable[Happened], *, meters: bool) -> list[str]:
    """Return the points of events, those that would be one point counted together.

    Args:
        events: Of one step, oldest first.
        meters: Whether a meter is a tag; it is none where the gateway has no business to report of it.
    """
    points: dict[tuple[int, tuple[str, ...]], _Together] = {}
    for event in events:
        tags = _event_tags(event, meters=meters)
        found = points.setdefault((_instant(event), tuple(tags.values())), _Together(event))
        found.count += 1
    return [
        line
        for (utc_ms, _), found in points.items()
        if (line := _event_line(found, _event_tags(found.first, meters=meters), utc_ms)) is not None
    ]


def _event_tags(event: Happened, *, meters: bool) -> dict[str, str]:
    fact = event.fact
    tags = {
        "utility": event.utility,
        "gateway": event.gateway,
        "code": tag_of(fact.code),
        "kind": kind_of(fact.code),
        "source": OF_METER if isinstance(fact, MeterEvent) else OF_GATEWAY,
    }
    return tags | ({"meter": fact.meter} if meters and fact.meter and event.is_assigned else {})


def _instant(event: Happened) -> int:
    """Return when an event is drawn.

    A meter's log knows seconds, and of many meters that lose power together each is read in a step of its own: they
    are spread over the second, so that they are as many points however they came.
    """
    fact = event.fact
    if not isinstance(fact, MeterEvent):
        return event.utc_ms
    spread = zlib.crc32(f"{fact.meter}/{fact.number}".encode()) % SPREAD_MS
    return event.utc_ms - event.utc_ms % SPREAD_MS + spread


def _event_line(found: _Together, tags: dict[str, str], utc_ms: int) -> str | None:
    fact = found.first.fact
    detail = fact.detail if isinstance(fact, Event) else ""
    if tags["code"] == UNLISTED:
        detail = f"{fact.code} {detail}".rstrip()
    fields: dict[str, float | str | None] = {
        "count": found.count,
        "detail": detail or None,
        "meter_id": fact.meter or None,
        "number": fact.number if isinstance(fact, MeterEvent) else None,
    }
    return point("event", tags, fields, utc_ms=utc_ms)
