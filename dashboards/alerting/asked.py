"""The queries that several rules ask, each with how far back it looks."""

from typing import Final

from dashboards.alerting import limits
from dashboards.alerting.alert import Query

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
BY_GATEWAY: Final = 'GROUP BY "utility", "gateway"'
BY_HANDLER: Final = 'GROUP BY "utility", "handler"'
SAMPLED_S: Final = 20 * MINUTE_S
"""Holds three samples also where the network is looked at each five minutes."""
REPORTED_S: Final = 3 * limits.REPORT_S


def of_gateway(selected: str, measurement: str, *, where: str = "") -> str:
    """Return InfluxQL of something of each gateway."""
    return f'SELECT {selected} FROM "detail"."{measurement}" WHERE $timeFilter{where} {BY_GATEWAY}'


def of_handler(selected: str, *, by: str = BY_HANDLER) -> str:
    """Return InfluxQL of something of each handler."""
    return f'SELECT {selected} FROM "detail"."handler" WHERE $timeFilter {by}'


def of_network(selected: str, *, range_s: int = SAMPLED_S) -> Query:
    """Return the query of something of the whole network."""
    return Query(
        influxql=f'SELECT {selected} FROM "history"."network_state" WHERE $timeFilter GROUP BY "utility"',
        range_s=range_s,
    )


def reported(selected: str) -> Query:
    """Return the query of something that each gateway reports of itself."""
    return Query(influxql=of_gateway(selected, "gateway_health"), range_s=REPORTED_S)
