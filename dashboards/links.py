"""Ways from one dashboard to the next: from the network to its gateway, from the gateway to its meter.

A link names what is to be chosen there and keeps the span of time.
"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

OVERVIEW: Final = "wattpost-overview"
GATEWAY: Final = "wattpost-gateway"
METER: Final = "wattpost-meter"
PREPAID: Final = "wattpost-prepaid"
COMMANDS: Final = "wattpost-commands"
COLLECTION: Final = "wattpost-collection"
EVENTS: Final = "wattpost-events"
PLATFORM: Final = "wattpost-platform"
TAG: Final = "wattpost"
"""On every dashboard, by which they find each other."""
_CELL_GATEWAY: Final = "${__data.fields.gateway}"


def to(uid: str, **chosen: str) -> str:
    """Return the address of a dashboard where the utility is that of this one and these variables are chosen."""
    chosen = {"utility": "${utility}", **chosen}
    query = "&".join(f"var-{name}={value}" for name, value in chosen.items())
    return f"/d/{uid}?{query}&${{__url_time_range}}"


def to_gateway_of_row() -> str:
    """Return the address of the gateway that a table's row is of."""
    return to(GATEWAY, gateway=_CELL_GATEWAY)


def to_meter_of_row(column: str = "meter") -> str:
    """Return the address of the meter that a table's row is of, by its columns `gateway` and `column`."""
    return to(METER, gateway=_CELL_GATEWAY, meter=f"${{__data.fields.{column}}}")


def all_dashboards() -> dashboard.DashboardLink:
    """Return the row of links that every dashboard has, what is chosen kept."""
    return dashboard.DashboardLink(
        title="Wattpost",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=[TAG],
        include_vars=True,
        keep_time=True,
    )
