"""Values of a row by what they measure."""

from collections.abc import Sequence

from wire.readings import Channel, Row


def column_of(channels: Sequence[Channel], obis: bytes, unit: int) -> int | None:
    """Return the index of a channel, or None where there is none."""
    for index, channel in enumerate(channels):
        if channel.obis == obis and channel.unit == unit:
            return index
    return None


def quantity(row: Row, column: int | None, channels: Sequence[Channel]) -> int | None:
    """Return a value in its unit, or None where there is none that may be relied on."""
    if column is None or any(flagged == column for flagged, _ in row.qualities):
        return None
    value = row.values[column]
    if value is None:
        return None
    scaler = channels[column].scaler
    return value * int(10**scaler) if scaler >= 0 else value // int(10**-scaler)
