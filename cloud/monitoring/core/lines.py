"""Line protocol by hand: readings, health, events and receipts of a message as points for looking at.

Timestamps are milliseconds; microseconds are not, since old servers take them for nanoseconds without a word. Tags are
names, which need no escaping (`wire.address`). A value with a quality code is not drawn: the field `flagged` counts how
many were left out, and the database keeps them as read. Measurements and fields are listed in `docs/monitoring.md`.
"""

from collections.abc import Iterable, Iterator, Sequence

from cloud.meterdata.core.meter_day import VALID, ChannelKey
from cloud.meterdata.core.placing import PlacedRow, Stamped
from cloud.monitoring.core.fields import field_name, scaled
from wire.facts import Event, Health, MeterEvent, Receipt
from wire.readings import QUALITY_MISSING

PRECISION = "ms"


def reading_lines(utility: str, gateway: str, rows: Iterable[PlacedRow]) -> Iterator[str]:
    """Return a line for each row of a gateway's message that has anything to show."""
    channels: tuple[ChannelKey, ...] = ()
    names: list[tuple[str, int]] = []
    for meter, utc_ms, row in rows:
        if row.channels != channels:
            channels = row.channels
            names = [(field_name(channel), channel.scaler) for channel in channels]
        fields = [
            f"{name}={scaled(value, scaler)!r}"
            for (name, scaler), value, quality in zip(names, row.values, row.qualities, strict=True)
            if quality == VALID
        ]
        flagged = sum(quality not in {VALID, QUALITY_MISSING} for quality in row.qualities)
        if flagged:
            fields.append(f"flagged={float(flagged)!r}")
        if fields:
            yield f"reading,utility={utility},gateway={gateway},meter={meter} {','.join(fields)} {utc_ms}"


def stamped_line(utility: str, gateway: str, fact: Stamped, *, utc_ms: int) -> str:
    """Return the line of an event, a receipt or a health."""
    tags = f"utility={utility},gateway={gateway}" + (f",meter={fact.meter}" if fact.meter else "")
    match fact:
        case Health():
            name = "meter_health" if fact.meter else "gateway_health"
            fields = ",".join(f"{metric.name}={float(metric.value)!r}" for metric in fact.metrics)
            return f"{name},{tags} {fields} {utc_ms}"
        case Event():
            return f"event,{tags},code={fact.code} count=1.0,detail={_quoted(fact.detail)} {utc_ms}"
        case MeterEvent():
            fields = f"count=1.0,number={float(fact.number)!r}"
            return f"meter_event,{tags},code={fact.code or 'unknown'} {fields} {utc_ms}"
        case Receipt():
            relay = "" if fact.relay_closed is None else f",relay_closed={float(fact.relay_closed)!r}"
            fields = f'count=1.0,command="{fact.command.hex()}",detail={_quoted(fact.detail)}{relay}'
            return f"receipt,{tags},stage={fact.stage.value} {fields} {utc_ms}"


def in_batches(lines: Sequence[str], *, lines_max: int, bytes_max: int) -> Iterator[list[str]]:
    """Return lines in pieces of bounded count and size; a line longer than the bound goes alone."""
    batch: list[str] = []
    size_bytes = 0
    for line in lines:
        line_bytes = len(line.encode()) + 1
        if batch and (len(batch) == lines_max or size_bytes + line_bytes > bytes_max):
            yield batch
            batch, size_bytes = [], 0
        batch.append(line)
        size_bytes += line_bytes
    if batch:
        yield batch


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else " " for char in escaped) + '"'
