"""Rules about the whole network and what happens in it."""

from typing import Final

from dashboards.alerting import asked, limits
from dashboards.alerting.alert import Alert, Query, Severity

_RELAY_OPENED: Final = "3.31.0.68"
_TAMPERS: Final = r"[03]\.(1|12)\.[0-9]+\.(39|212|219|242|257)"
"""IEC 61968-9: a meter's security or its communication module; opened, removed, reversed, put there, tampered with."""

NETWORK: Final = (
    Alert(
        name="gateways-silent",
        title="Many gateways silent",
        severity=Severity.CRITICAL,
        queries=(asked.of_network('last("gateways_silent_count")'), asked.of_network('last("gateways_count")')),
        formula=f"($B >= {limits.GATEWAYS_SILENT_COUNT}) * $B * 100 / $E",
        limits=(limits.GATEWAYS_SILENT_PERCENT,),
        for_s=5 * asked.MINUTE_S,
        summary="{{ .Values.B }} of {{ .Values.E }} gateways of {{ .Labels.utility }} are silent",
        description="So many do not fail one by one: look at the broker, the handlers and the carrier.",
        dashboard_uid="wattpost-overview",
        panel="Gateways",
    ),
    Alert(
        name="mass-disconnection",
        title="Mass disconnection",
        severity=Severity.CRITICAL,
        queries=(
            Query(
                influxql='SELECT sum("count") FROM "history"."event" WHERE $timeFilter '
                f'AND "code" = \'{_RELAY_OPENED}\' AND "source" = \'gateway\' GROUP BY "utility"',
                range_s=15 * asked.MINUTE_S,
                reducer="sum",
            ),
            asked.of_network('last("meters_count")', range_s=asked.HOUR_S),
        ),
        formula=f"($B >= {limits.DISCONNECTED_COUNT}) * (($B * 100 / $E > {limits.DISCONNECTED_PERCENT}) "
        f"|| ($B >= {limits.DISCONNECTED_COUNT_MAX}))",
        limits=(0,),
        for_s=0,
        summary="{{ .Values.B }} customers of {{ .Labels.utility }} were disconnected within 15 minutes",
        description="Of {{ .Values.E }} meters. Find out whether somebody meant it, and stop it if nobody did.",
        dashboard_uid="wattpost-commands",
        panel="Executed, by what was asked",
        is_empty_when_healthy=True,
    ),
    Alert(
        name="tamper",
        title="Tamper event",
        severity=Severity.WARNING,
        queries=(
            Query(
                influxql=f'SELECT sum("count") FROM "history"."event" WHERE $timeFilter AND "code" =~ /^{_TAMPERS}$/ '
                f'{asked.BY_GATEWAY}, "code"',
                # Meters' own logs are read some times a day, and their events are stamped with when they happened.
                range_s=asked.DAY_S,
                reducer="sum",
            ),
        ),
        limits=(limits.TAMPER_COUNT,),
        for_s=0,
        summary="{{ .Values.B }} tamper events {{ .Labels.code }} at meters of gateway {{ .Labels.gateway }}",
        description="Within a day. Covers, magnets, reversed or bypassed currents, modules taken out.",
        dashboard_uid="wattpost-events",
        panel="Tampering, newest first",
        is_empty_when_healthy=True,
    ),
)
