"""What an operator chooses at the top of a dashboard: utility, then gateway, then its line or meter.

A variable asks for the values of a tag. InfluxDB 2 answers that from the default retention policy only, which is
`detail`, so that a variable never asks a measurement of `history`.
"""

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models import dashboard

from dashboards.query import datasource, detail, exactly

_OURS = "\"utility\" = '$utility'"


def utility() -> QueryVariable:
    """Whose network."""
    return _tag_values("utility", "Utility", detail("gateway_state"), "whose network")


def gateway() -> QueryVariable:
    """One gateway."""
    return _tag_values("gateway", "Gateway", detail("gateway_state"), "one gateway", _OURS)


def gateways() -> QueryVariable:
    """One gateway, several, or all."""
    return _or_all(_tag_values("gateway", "Gateway", detail("gateway_state"), "one gateway, several or all", _OURS))


def lines() -> QueryVariable:
    """Lines of the gateway."""
    about = "lines of the gateway to its meters"
    return _or_all(_tag_values("line", "Line", detail("line_health"), about, _OURS, exactly("gateway")))


def meter() -> QueryVariable:
    """One meter of the gateway, of those that have series."""
    about = "one meter of the gateway; none where influx.meters is off"
    return _tag_values("meter", "Meter", detail("reading"), about, _OURS, exactly("gateway"))


def handlers() -> QueryVariable:
    """Processes of the cloud."""
    return _or_all(_tag_values("handler", "Handler", detail("handler"), "processes of the cloud", _OURS))


def _tag_values(name: str, label: str, source: str, about: str, *conditions: str) -> QueryVariable:
    condition = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    text = f'SHOW TAG VALUES FROM {source} WITH KEY = "{name}"{condition}'
    return (
        QueryVariable(name)
        .label(label)
        .description(about)
        .datasource(datasource())
        .query(text)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .allow_custom_value(True)
    )


def _or_all(variable: QueryVariable) -> QueryVariable:
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(".*").current(everything)
