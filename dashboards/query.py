"""InfluxQL for Grafana: the query model that its SDK lacks, and the few shapes of query that panels are made of.

`$timeFilter` and `$__interval` are replaced by Grafana's data source, `$utility` and the other variables by the
dashboard. Every query names its retention policy, and every one but those of variables its span of time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from grafana_foundation_sdk.cog import runtime, variants
from grafana_foundation_sdk.models import dashboard

DATASOURCE_TYPE: Final = "influxdb"
DATASOURCE_UID: Final = "wattpost-influxql"
Format = Literal["time_series", "table"]


def datasource() -> dashboard.DataSourceRef:
    """Return the one data source."""
    return dashboard.DataSourceRef(type_val=DATASOURCE_TYPE, uid=DATASOURCE_UID)


@dataclass(frozen=True, slots=True)
class Query(variants.Dataquery):
    """A query as the InfluxQL editor keeps it when one types the text.

    Without an alias a series is called by its column.
    """

    text: str
    alias: str = "$col"
    format: Format = "time_series"
    ref_id: str = "A"

    def to_json(self) -> dict[str, object]:
        """Return what a dashboard's JSON holds of it."""
        return {
            "alias": self.alias,
            "datasource": datasource(),
            "query": self.text,
            "rawQuery": True,
            "refId": self.ref_id,
            "resultFormat": self.format,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the query that a dashboard's JSON holds."""
        assert data["rawQuery"] is True, f"not typed as text: {data}"
        return cls(text=data["query"], alias=data["alias"], format=data["resultFormat"], ref_id=data["refId"])


def variant() -> runtime.DataqueryConfig:
    """Return what makes the SDK read queries of this data source."""
    return runtime.DataqueryConfig(identifier=DATASOURCE_TYPE, from_json_hook=Query.from_json)


def detail(measurement: str) -> str:
    """Name a measurement that stays for weeks."""
    return f'"detail"."{measurement}"'


def history(measurement: str) -> str:
    """Name a measurement that stays for years."""
    return f'"history"."{measurement}"'


def where(*conditions: str) -> str:
    """Return the condition that every query has, of the chosen time and utility, and these."""
    return " AND ".join(("$timeFilter", "\"utility\" = '$utility'", *conditions))


def over_time(what: str, source: str, *conditions: str, by: tuple[str, ...] = (), alias: str = "$col") -> Query:
    """Return a series of `what` in each interval, one for each value of the tags `by`."""
    groups = ", ".join(("time($__interval)", *_quoted(by)))
    return Query(f"SELECT {what} FROM {source} WHERE {where(*conditions)} GROUP BY {groups} fill(none)", alias)


def summed_over_time(
    what: str, inner: str, source: str, *conditions: str, by: tuple[str, ...], keep: str = "", alias: str = "$col"
) -> Query:
    """Return a series of `what` over all things of the `inner` values of each in an interval.

    Args:
        what: Aggregates of the inner columns.
        inner: Aggregates of the source.
        source: A measurement.
        conditions: On the source.
        by: The tags that tell the things apart.
        keep: The one of them for each value of which there is a series of its own.
        alias: What a series is called.
    """
    each = ", ".join(("time($__interval)", *_quoted(by)))
    kept = ", ".join(("time($__interval)", *_quoted((keep,) if keep else ())))
    inside = f"SELECT {inner} FROM {source} WHERE {where(*conditions)} GROUP BY {each} fill(none)"
    return Query(f"SELECT {what} FROM ({inside}) WHERE $timeFilter GROUP BY {kept} fill(none)", alias)


def summed(what: str, inner: str, source: str, *conditions: str, by: tuple[str, ...], holds: str = "") -> Query:
    """Return `what` over all things of one row of `inner` values each, for the whole of the time.

    Args:
        what: Aggregates of the inner columns.
        inner: Aggregates of the source.
        source: A measurement.
        conditions: On the source.
        by: The tags that tell the things apart.
        holds: A condition on the inner columns.
    """
    each = f"SELECT {inner} FROM {source} WHERE {where(*conditions)} GROUP BY {', '.join(_quoted(by))}"
    return Query(f"SELECT {what} FROM ({each}) WHERE {' AND '.join(filter(None, ('$timeFilter', holds)))}")


def whole(what: str, source: str, *conditions: str, by: tuple[str, ...] = (), alias: str = "$col") -> Query:
    """Return one row of `what` for the whole of the time, or one for each value of the tags `by`."""
    groups = f" GROUP BY {', '.join(_quoted(by))}" if by else ""
    return Query(f"SELECT {what} FROM {source} WHERE {where(*conditions)}{groups}", alias)


def counts(part: str, total: str, source: str, *conditions: str, part_if: str, total_if: str = "") -> Query:
    """Return how many of the counts of a measurement meet a condition, and how many there are.

    Args:
        part: What to call the count of those that meet it; it has no value where none do.
        total: What to call the count of all.
        source: A measurement with a field `count`.
        conditions: What both have to meet.
        part_if: The condition.
        total_if: What all have to meet, where not everything counts.
    """
    return Query(_of_both(f'sum("part") AS "{part}", sum("total") AS "{total}"', source, conditions, part_if, total_if))


def share(part: str, total: str, source: str, *conditions: str, part_if: str, total_if: str = "") -> Query:
    """Return the same and, as `state`, the share in percent."""
    what = f'100 * sum("part") / sum("total") AS "state", sum("part") AS "{part}", sum("total") AS "{total}"'
    return Query(_of_both(what, source, conditions, part_if, total_if))


def rows(what: str, source: str, *conditions: str, by: tuple[str, ...] = ()) -> Query:
    """Return a table with one row of `what` for each value of the tags `by`."""
    return as_table(whole(what, source, *conditions, by=by))


def first_rows(ranked: str, inner: str, source: str, *conditions: str, by: tuple[str, ...], holds: str = "") -> Query:
    """Return a table of the first things by rank, as `summed` has it: `top("x", 30) AS "x", "y", "gateway"`."""
    return as_table(summed(ranked, inner, source, *conditions, by=by, holds=holds))


def latest_points(what: str, source: str, *conditions: str, count_max: int) -> Query:
    """Return a table of the last points, newest first."""
    text = f"SELECT {what} FROM {source} WHERE {where(*conditions)} ORDER BY time DESC LIMIT {count_max}"
    return as_table(Query(text))


def as_table(query: Query) -> Query:
    """Return the same query, answered as a table."""
    return Query(query.text, query.alias, "table", query.ref_id)


def growth(field: str, name: str = "") -> str:
    """Return how much a counter grew in each interval; a restart counts nothing."""
    return f'non_negative_difference(last("{field}")) AS "{name or field}"'


def rate(field: str, name: str = "") -> str:
    """Return how fast a counter grows, each second."""
    return f'non_negative_derivative(last("{field}"), 1s) AS "{name or field}"'


def columns(aggregate: str, **fields: str) -> str:
    """Return `aggregate` of several fields, each under its name: `columns("last", silent="meters_silent_count")`."""
    return ", ".join(f'{aggregate}("{field}") AS "{name}"' for name, field in fields.items())


def chosen(tag: str) -> str:
    """Return the condition that a tag is one of those chosen, which may be all."""
    return f'"{tag}" =~ /^${tag}$/'


def exactly(tag: str) -> str:
    """Return the condition that a tag is the one chosen."""
    return f"\"{tag}\" = '${tag}'"


def _quoted(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f'"{tag}"' for tag in tags)


def _of_both(what: str, source: str, conditions: tuple[str, ...], part_if: str, total_if: str) -> str:
    parts = f'SELECT "count" AS "part" FROM {source} WHERE {where(*conditions, part_if)}'
    totals = f'SELECT "count" AS "total" FROM {source} WHERE {where(*conditions, *filter(None, (total_if,)))}'
    return f"SELECT {what} FROM ({parts}), ({totals}) WHERE $timeFilter"
