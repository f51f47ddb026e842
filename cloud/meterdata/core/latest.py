"""The last values of a meter, one for each channel: what is shown first and needs no day opened."""

from collections.abc import Iterable

import msgspec

from cloud.meterdata.core.meter_day import ChannelKey, Day, Source


class LatestValue(msgspec.Struct, frozen=True, array_like=True):
    """The last value of a channel, as it counts."""

    channel: ChannelKey
    utc_ms: int
    estimated: bool
    value: int
    quality: str
    conflict: bool
    source: Source
    tick_ms: int

    @property
    def place(self) -> tuple[int, Source, int]:
        """Where it stands in order: by time, then by who stamped it."""
        return self.utc_ms, self.source, self.tick_ms


def latest_of(day: Day) -> list[LatestValue]:
    """Return the last value of each channel that has one on a day."""
    return [
        LatestValue(
            reading.channel,
            reading.utc_ms,
            reading.estimated,
            reading.value,
            reading.quality,
            bool(reading.others),
            reading.source,
            reading.tick_ms,
        )
        for reading in day.newest().values()
        if reading.value is not None
    ]


def newer(known: Iterable[LatestValue], candidates: Iterable[LatestValue]) -> list[LatestValue]:
    """Return for each channel the later of two values; at one place the candidate, which is fresh from the day."""
    best = {value.channel: value for value in known}
    for value in candidates:
        there = best.get(value.channel)
        if there is None or value.place >= there.place:
            best[value.channel] = value
    return [best[channel] for channel in sorted(best)]


def encode_latest(values: list[LatestValue]) -> bytes:
    """Return the body of a row of `latest`."""
    return msgspec.msgpack.encode(values)


def decode_latest(body: bytes) -> list[LatestValue]:
    """Return the values of a body; of our own making."""
    return msgspec.msgpack.decode(body, type=list[LatestValue])
