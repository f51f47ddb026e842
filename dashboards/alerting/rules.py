"""All alert rules, in the groups in which Grafana evaluates them.

A rule stands in a module of its subject with what it asks and what it says; its limits and their reasons stand in
`limits`, and what to do about it stands in `docs/runbooks.md` under the rule's name. A new one is one more `Alert` and
one more section there.

Rules are quiet where there is no data, but for the rule about handlers that do not report: if nothing is written at
all, that one speaks, and once. Counters begin anew at a restart, which `non_negative_difference` leaves out.
"""

from typing import Final

from dashboards.alerting.alert import Group
from dashboards.alerting.of_cloud import COMMANDS, LEVELS, PLATFORM
from dashboards.alerting.of_gateways import GATEWAYS
from dashboards.alerting.of_network import NETWORK

GROUPS: Final = (
    Group(title="network", interval_s=60, alerts=NETWORK),
    # A large network is sampled each five minutes, and Grafana keeps a state for each gateway: asking more often finds
    # nothing new in some ten thousand series.
    Group(title="gateways", interval_s=300, alerts=GATEWAYS),
    Group(title="commands", interval_s=60, alerts=COMMANDS),
    Group(title="platform", interval_s=60, alerts=PLATFORM),
    Group(title="levels", interval_s=600, alerts=LEVELS),
)
ALERTS: Final = tuple(alert for group in GROUPS for alert in group.alerts)
