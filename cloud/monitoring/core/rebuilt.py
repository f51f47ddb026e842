"""A meter's day as the blocks that messages brought it in, so that its lines are made as they were the first time."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from cloud.meterdata.core.meter_day import MESSAGE, OFFSET, SHAPE, SOURCE, TICK, VALID, VALUES, Day, PlainRow
from cloud.meterdata.core.placing import Block
from wire.readings import QUALITY_MISSING


class Rebuilt(NamedTuple):
    """Rows of a meter as one gateway reported them."""

    gateway: str
    block: Block
    instants: Sequence[int]
    """When each row was, UTC in milliseconds."""


def messages_of_meters(day: Day) -> set[int]:
    """Return the messages that say who read the rows which the meter stamped itself."""
    return {message for row in day.rows if day.sources[row[SOURCE]].by_meter for message in _messages(day, row)}


def rebuilt(meter: str, day: Day, gateways: Mapping[int, str]) -> list[Rebuilt]:
    """Return a day's rows by who reported them, each value as it counts.

    Args:
        meter: Whose day it is.
        day: The day.
        gateways: By message, of those that `messages_of_meters` names; a row of none of them is left out.
    """
    rows: dict[tuple[str, int], list[PlainRow]] = {}
    for row in day.rows:
        source = day.sources[row[SOURCE]]
        reporters = {source.gateway}
        if source.by_meter:
            reporters = {gateways[message] for message in _messages(day, row) if message in gateways}
        for gateway in reporters:
            rows.setdefault((gateway, row[SOURCE]), []).append(row)
    return [_block(meter, day, gateway, of_gateway) for (gateway, _), of_gateway in sorted(rows.items())]


def _block(meter: str, day: Day, gateway: str, rows: Sequence[PlainRow]) -> Rebuilt:
    source = day.sources[rows[0][SOURCE]]
    plain = (VALID,) * len(day.channels)
    values, codes = zip(*(_stated(day, row) for row in rows), strict=True)
    block = Block(
        boot=source.boot,
        channels=day.channels,
        meters=[meter] * len(rows),
        ticks_ms=[row[TICK] for row in rows],
        columns=list(zip(*values, strict=True)),
        flagged={index: of_row for index, of_row in enumerate(codes) if of_row != plain},
        by_meter=source.by_meter,
    )
    return Rebuilt(gateway, block, [row[TICK] + row[OFFSET] for row in rows])


def _stated(day: Day, row: PlainRow) -> tuple[Sequence[int], tuple[str, ...]]:
    """Return the values of a row that count, and their codes; what is not stated is as good as missing."""
    shape = day.shapes[row[SHAPE]]
    if shape is not None:
        return row[VALUES:], tuple(QUALITY_MISSING if quality is None else quality for quality in shape)
    facts = day.odd[row[SOURCE], row[TICK]].facts
    values = [of_value[0].value if of_value else 0 for of_value in facts]
    return values, tuple(of_value[0].quality if of_value else QUALITY_MISSING for of_value in facts)


def _messages(day: Day, row: PlainRow) -> Collection[int]:
    odd = day.odd.get((row[SOURCE], row[TICK]))
    return (row[MESSAGE],) if odd is None else odd.messages
