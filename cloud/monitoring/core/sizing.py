"""How large the copy in InfluxDB becomes: series, points and bytes a day, computed from the catalogue.

A server keeps each field of a series by itself, a value with its instant in a few bytes, and tells in the index of each
of its files what stands where. So a measurement costs by its values, and by its fields whether or not anything is
written often; the files of a retention policy span a day or a week, and each has the whole index. What the bytes are
was measured with InfluxDB 1.6 and its `tsi1` index (`tests/bench/influx_size.py`), which is how InfluxDB 2 stores too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloud.monitoring.core.catalogue import BY_NAME, MEASUREMENTS, Measurement, Of, Retention

VALUE_BYTES = 2.6
"""Of a number at regular instants, such as the beginnings of windows."""
STAMP_BYTES = 3.5
"""More where instants are not regular, as those that gateways stamp: each field keeps them for itself."""
TEXT_BYTES = 14.0
"""Of a short text with its instant."""
ENTRY_BYTES = 33
"""In the index of a file for a field of a series, beside its name."""
SERIES_BYTES = 150
"""For a series in the index by tags of a span."""
SPAN_DAYS: Mapping[Retention, int] = {Retention.DETAIL: 1, Retention.HISTORY: 7}
"""How long the files of a retention policy span, where points stay for 2 to 180 days, and longer."""
_TAG_BYTES = 12
"""Of a tag's value, a name mostly."""
_CHANNEL_NAME_BYTES = 16
_OF_METERS_ALONE = frozenset({"reading", "meter_health", "meter_hour", "meter_day", "account"})
"""What is written only where meters have series of their own."""
_STAMPED_BY_GATEWAYS = frozenset({"reading", "meter_health", "gateway_health", "line_health", "event"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What is looked at."""

    gateways: int
    meters: int
    lines_per_gateway: int = 2
    handlers: int = 4
    channels: int = 8
    """That a meter is read for."""
    codes_per_meter: int = 2
    """Kinds of events that one meter has in the long run, where it has series of its own."""
    silent_share: float = 0.01
    """Of the meters, those that are among the longest silent at some time while such points stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of one measurement, or of several together."""

    series: float
    """In the long run."""
    series_a_day: float
    """Of which something is written on one day."""
    points_a_day: float
    bytes_a_day: float

    def __add__(self, other: "Size") -> "Size":
        return Size(
            series=self.series + other.series,
            series_a_day=self.series_a_day + other.series_a_day,
            points_a_day=self.points_a_day + other.points_a_day,
            bytes_a_day=self.bytes_a_day + other.bytes_a_day,
        )


NOTHING = Size(series=0, series_a_day=0, points_a_day=0, bytes_a_day=0)


def sizes(network: Network, *, meters: bool, span_days: Mapping[Retention, int] = SPAN_DAYS) -> dict[str, Size]:
    """Return the size of each measurement that is written.

    Args:
        network: What is looked at.
        meters: Whether meters have series of their own.
        span_days: How long the files of each retention policy span.
    """
    return {
        shape.name: _size(shape, network, meters=meters, span_days=span_days[shape.retention])
        for shape in MEASUREMENTS
        if meters or shape.name not in _OF_METERS_ALONE
    }


def total(of: Mapping[str, Size], *, retention: Retention | None = None) -> Size:
    """Return the size of all measurements together, or of those of one retention policy."""
    found = NOTHING
    for name, size in of.items():
        if retention in {None, BY_NAME[name].retention}:
            found += size
    return found


def series_of(shape: Measurement, network: Network, *, meters: bool) -> float:
    """Return how many series a measurement has in the long run."""
    if shape.name == "event" and meters:
        return network.meters * network.codes_per_meter + network.gateways * shape.per_count
    if shape.name == "meter_silent":
        return network.meters * network.silent_share
    return _things(shape.of, network) * shape.per_count


def points_of(shape: Measurement, network: Network) -> float:
    """Return how many points a measurement gets in a day."""
    return _things(shape.of, network) * shape.per_count * shape.points_a_day


def field_counts(shape: Measurement, network: Network) -> tuple[int, int]:
    """Return how many numbers and how many texts a point has."""
    if shape.has_channels:
        # The field that counts flagged values is there where there is one, which is seldom.
        return network.channels, 0
    texts = sum(field.is_text for field in shape.fields.values())
    return len(shape.fields) - texts, texts


def _things(of: Of, network: Network) -> float:
    match of:
        case Of.UTILITY:
            return 1
        case Of.HANDLER:
            return network.handlers
        case Of.GATEWAY:
            return network.gateways
        case Of.LINE:
            return network.gateways * network.lines_per_gateway
        case Of.METER:
            return network.meters


def _size(shape: Measurement, network: Network, *, meters: bool, span_days: int) -> Size:
    series, points = series_of(shape, network, meters=meters), points_of(shape, network)
    numbers, texts = field_counts(shape, network)
    stamp_bytes = STAMP_BYTES if shape.name in _STAMPED_BY_GATEWAYS else 0
    values_bytes = points * (numbers * (VALUE_BYTES + stamp_bytes) + texts * TEXT_BYTES)
    # A series of which nothing is written in a span stands in none of its files.
    present = min(series, points * span_days)
    index_bytes = present * (sum(_entry_bytes(shape, network)) + SERIES_BYTES)
    return Size(
        series=series,
        series_a_day=min(series, points),
        points_a_day=points,
        bytes_a_day=values_bytes + index_bytes / span_days,
    )


def _entry_bytes(shape: Measurement, network: Network) -> Iterator[float]:
    """Return what each field of a series takes in the index of a file."""
    series_bytes = len(shape.name) + sum(len(tag) + 2 + _TAG_BYTES for tag in shape.tags)
    names = [_CHANNEL_NAME_BYTES] * network.channels if shape.has_channels else [len(name) for name in shape.fields]
    return (series_bytes + name_bytes + ENTRY_BYTES for name_bytes in names)
