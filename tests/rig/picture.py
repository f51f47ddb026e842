"""The operating picture as InfluxDB holds it, read back and compared with the catalogue."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from cloud.monitoring.core.catalogue import BY_NAME, Measurement, Retention
from tests.rig.influx import InfluxServer

Fields = dict[str, float | str]


class Place(NamedTuple):
    """Where a point stands."""

    time_ms: int
    tags: tuple[tuple[str, str], ...]

    def tag(self, name: str) -> str:
        """Return the value of a tag; empty where there is none."""
        return dict(self.tags).get(name, "")


class Picture:
    """A database of InfluxDB.

    Args:
        influx: The server.
        database: With both retention policies.
    """

    def __init__(self, influx: InfluxServer, database: str) -> None:
        self._influx = influx
        self.database = database

    def measurements(self) -> set[str]:
        """Return the measurements of which there is anything."""
        return {row["name"] for row in self._ask("SHOW MEASUREMENTS")}

    def tags(self, measurement: str) -> set[frozenset[str]]:
        """Return which tags series of a measurement have together; their values are names, which hide no comma."""
        keys = (row["key"].split(",")[1:] for row in self._ask(f'SHOW SERIES FROM "{measurement}"'))
        return {frozenset(tag.partition("=")[0] for tag in tags) for tags in keys}

    def fields(self, measurement: str) -> dict[str, str]:
        """Return the fields of a measurement and their types."""
        rows = self._ask(f"SHOW FIELD KEYS FROM {_source(measurement)}")
        return {row["fieldKey"]: row["fieldType"] for row in rows}

    def points(self, measurement: str) -> dict[Place, Fields]:
        """Return the points of a measurement."""
        found: dict[Place, Fields] = {}
        known = BY_NAME[measurement]
        for row in self._ask(f"SELECT * FROM {_source(measurement)} GROUP BY *"):
            tags = tuple((name, row.pop(name)) for name in sorted({*known.tags, *known.tags_sometimes}) if name in row)
            place = Place(row.pop("time"), tags)
            found[place] = {name: value for name, value in row.items() if value is not None}
        return found

    def misfits(self) -> Iterator[str]:
        """Yield what does not fit the catalogue, for a person; channels of readings are not judged."""
        for name in sorted(self.measurements()):
            known = BY_NAME.get(name)
            if known is None:
                yield f"{name} is not in the catalogue"
                continue
            yield from (f"{name} has series with the tags {sorted(tags)}" for tags in self.tags(name) - _allowed(known))
            for field, kind in self.fields(name).items():
                yield from (f"{name}.{text}" for text in _wrong_field(known, field, kind))
            for other in set(Retention) - {known.retention}:
                if self._ask(f'SELECT * FROM "{other.value}"."{name}" LIMIT 1'):
                    yield f"{name} stands in {other.value} too"

    def lacks(self) -> set[str]:
        """Return the fields of the catalogue, as `measurement.field`, that have no value anywhere."""
        held = {name: self.fields(name) for name in self.measurements()}
        return {
            f"{name}.{field}" for name, known in BY_NAME.items() for field in known.fields.keys() - held.get(name, {})
        }

    def _ask(self, influxql: str) -> list[dict[str, Any]]:
        return self._influx.query(influxql, database=self.database)


def differences(one: Picture, other: Picture) -> Iterator[str]:
    """Yield how two databases differ, measurement by measurement, for a person."""
    for name in BY_NAME:
        mine, others = one.points(name), other.points(name)
        if mine == others:
            continue
        yield f"{name}: {len(mine)} points and {len(others)}"
        both = mine.keys() & others.keys()
        yield from (f"{name}: only in the first: {place} {mine[place]}" for place in sorted(mine.keys() - both)[:5])
        yield from (
            f"{name}: only in the second: {place} {others[place]}" for place in sorted(others.keys() - both)[:5]
        )
        unlike = [place for place in sorted(both) if mine[place] != others[place]]
        yield from (f"{name}: {place}: {mine[place]} and {others[place]}" for place in unlike[:5])


def _source(measurement: str) -> str:
    return f'"{BY_NAME[measurement].retention.value}"."{measurement}"'


def _allowed(known: Measurement) -> set[frozenset[str]]:
    always = frozenset(known.tags)
    return {always, always | frozenset(known.tags_sometimes)}


def _wrong_field(known: Measurement, field: str, kind: str) -> Iterator[str]:
    is_text = known.fields[field].is_text if field in known.fields else False
    if field not in known.fields and not known.has_channels:
        yield f"{field} is not in the catalogue"
    elif kind != ("string" if is_text else "float"):
        yield f"{field} is a {kind}"
