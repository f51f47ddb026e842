"""Who hears of alerts, and when: contact points, the policy that sends alerts to them, and the quiet hours.

Addresses are no part of the code: they stand in variables of the environment, of Grafana where files are provisioned,
of the command where it pushes. Alerts that cannot wait go to the person on duty by two ways at any hour; the others go
to the operators, and not at night.
"""

from typing import Any, Final

from grafana_foundation_sdk.builders import alerting as build
from grafana_foundation_sdk.models import alerting

from dashboards.alerting.alert import SERVICE_LABEL, Severity

OPERATORS: Final = "wattpost-operators"
DUTY: Final = "wattpost-duty"
QUIET_HOURS: Final = "wattpost-quiet-hours"
OPERATORS_EMAIL: Final = "WATTPOST_OPERATORS_EMAIL"
DUTY_EMAIL: Final = "WATTPOST_DUTY_EMAIL"
DUTY_WEBHOOK: Final = "WATTPOST_DUTY_WEBHOOK"
ADDRESSES: Final = {
    OPERATORS_EMAIL: "addresses for what can wait until the morning, separated by semicolons",
    DUTY_EMAIL: "addresses for what cannot, separated by semicolons",
    DUTY_WEBHOOK: "address to which alerts that cannot wait are posted as JSON",
}
"""Variables of the environment that the contact points name, and what they are."""

_NIGHT: Final = (("22:00", "24:00"), ("00:00", "06:00"))
_GROUP_WAIT: Final = "30s"
"""What fails together is told together."""
_GROUP_INTERVAL: Final = "5m"
_REPEAT_CRITICAL: Final = "4h"
_REPEAT_WARNING: Final = "24h"
_SUBJECT: Final = "{{ len .Alerts.Firing }} {{ .CommonLabels.severity }}: {{ .CommonLabels.alertname }}"


def contact_points() -> list[alerting.ContactPoint]:
    """Return the integrations of all contact points; those of one name are one contact point."""
    return [
        _point(OPERATORS, "wattpost-operators-email", _email(OPERATORS_EMAIL)),
        _point(DUTY, "wattpost-duty-email", _email(DUTY_EMAIL)),
        _point(DUTY, "wattpost-duty-webhook", ("webhook", {"url": f"${{{DUTY_WEBHOOK}}}", "httpMethod": "POST"})),
    ]


def policy() -> alerting.NotificationPolicy:
    """Return the policy of all our alerts, to stand below the root of a tree that may be somebody else's.

    Errors of the data source are told once for all rules that they hit, whatever their severity.
    """
    broken = _route(DUTY, [["alertname", "=~", "DatasourceError|DatasourceNoData"]], repeat=_REPEAT_CRITICAL)
    broken.group_by = ["alertname", "datasource_uid"]
    critical = _route(DUTY, [["severity", "=", Severity.CRITICAL.value]], repeat=_REPEAT_CRITICAL)
    warning = _route(OPERATORS, [["severity", "=", Severity.WARNING.value]], repeat=_REPEAT_WARNING)
    warning.mute_time_intervals = [QUIET_HOURS]
    ours = _route(OPERATORS, [[SERVICE_LABEL[0], "=", SERVICE_LABEL[1]]], repeat=_REPEAT_WARNING)
    ours.routes = [broken, critical, warning]
    return ours


def mute_timings(*, time_zone: str = "UTC") -> list[dict[str, Any]]:
    """Return the quiet hours as Grafana takes them, in a time zone by its name in the IANA data base.

    Plain data and no model of the SDK: that one calls the ends of a span of time `from` and `to`, where API and files
    have `start_time` and `end_time`.
    """
    times = [{"start_time": start, "end_time": end} for start, end in _NIGHT]
    return [{"name": QUIET_HOURS, "time_intervals": [{"times": times, "location": time_zone}]}]


def _email(variable: str) -> tuple[str, dict[str, object]]:
    return "email", {"addresses": f"${{{variable}}}", "singleEmail": False, "subject": _SUBJECT}


def _point(name: str, uid: str, what: tuple[str, dict[str, object]]) -> alerting.ContactPoint:
    kind, settings = what
    made = build.ContactPoint().name(name).uid(uid).settings(settings).disable_resolve_message(False)
    return made.type("email" if kind == "email" else "webhook").build()


def _route(receiver: str, matchers: list[list[str]], *, repeat: str) -> alerting.NotificationPolicy:
    return (
        build.NotificationPolicy()
        .receiver(receiver)
        .object_matchers(matchers)
        .group_by(["alertname", "utility"])
        .group_wait(_GROUP_WAIT)
        .group_interval(_GROUP_INTERVAL)
        .repeat_interval(repeat)
        .continue_val(False)
        .build()
    )
