"""Rules about commands, refusals, service levels and the platform itself."""

from typing import Final

from dashboards.alerting import asked, limits
from dashboards.alerting.alert import Alert, Query, Severity

_FORGED: Final = "unknown-key|bad-signature|wrong-purpose|wrong-party|revoked-key|unsupported-algorithm"
"""Reasons of `wire.errors` by which a message is not its sender's."""

COMMANDS: Final = (
    Alert(
        name="command-failures",
        title="Commands fail",
        severity=Severity.CRITICAL,
        queries=(
            Query(
                influxql='SELECT sum("count") FROM "history"."command" WHERE $timeFilter '
                'AND "state" =~ /^(failed|expired|unknown)$/ GROUP BY "utility"',
                range_s=asked.HOUR_S,
                reducer="sum",
            ),
            Query(
                influxql='SELECT sum("count") FROM "history"."command" WHERE $timeFilter '
                'AND "state" =~ /^(executed|failed|expired|unknown)$/ GROUP BY "utility"',
                range_s=asked.HOUR_S,
                reducer="sum",
            ),
        ),
        formula=f"($B >= {limits.COMMANDS_FAILED_COUNT}) * $B * 100 / $E",
        limits=(limits.COMMANDS_FAILED_PERCENT,),
        for_s=0,
        summary="{{ .Values.B }} of {{ .Values.E }} commands of {{ .Labels.utility }} failed within an hour",
        description="Failed, too late, or never reported. Customers who have paid may be without supply.",
        dashboard_uid="wattpost-commands",
        panel="What failed",
        is_empty_when_healthy=True,
    ),
    Alert(
        name="signatures-refused",
        title="Signatures refused",
        severity=Severity.CRITICAL,
        queries=(
            Query(
                influxql='SELECT non_negative_difference("count") FROM "detail"."refusal" WHERE $timeFilter '
                f'AND "reason" =~ /^({_FORGED})$/ GROUP BY "utility", "reason"',
                range_s=30 * asked.MINUTE_S,
                reducer="sum",
            ),
        ),
        limits=(limits.SIGNATURES_REFUSED_COUNT,),
        for_s=0,
        summary="{{ .Values.B }} messages were refused for {{ .Labels.reason }} within half an hour",
        description="Somebody's key is unknown, revoked or used for what it is not for, or a signature is forged.",
        dashboard_uid="wattpost-platform",
        panel="Refused, by reason",
    ),
)

PLATFORM: Final = (
    Alert(
        name="handler-silent",
        title="Handler silent",
        severity=Severity.CRITICAL,
        queries=(
            Query(
                influxql=asked.of_handler(
                    'moving_average(count("uptime_s"), 3)', by='GROUP BY time(2m), "utility", "handler" fill(0)'
                ),
                range_s=6 * asked.HOUR_S,
            ),
            # The last word of a process that was stopped on purpose is that it has been up for no time.
            Query(influxql=asked.of_handler('last("uptime_s")'), range_s=6 * asked.HOUR_S),
        ),
        formula=f"($B < {limits.REPORTS_MISSED_MEAN}) && ($E > 0)",
        limits=(0,),
        for_s=2 * asked.MINUTE_S,
        summary="Handler {{ .Labels.handler }} has not reported for six minutes",
        description="It does not run, or cannot write to the database. Forgotten after six hours. One that was "
        "stopped on purpose says so and is not missed. Without a name: none reports, or nobody delivers their reports.",
        dashboard_uid="wattpost-platform",
        panel="Each handler",
        alerts_without_data=True,
    ),
    Alert(
        name="cloud-disk",
        title="Cloud's disk full",
        severity=Severity.CRITICAL,
        queries=(Query(influxql=asked.of_handler('last("disk_free_percent")'), range_s=10 * asked.MINUTE_S),),
        evaluator="lt",
        limits=(limits.CLOUD_DISK_FREE_PERCENT,),
        for_s=5 * asked.MINUTE_S,
        summary='The disk of handler {{ .Labels.handler }} has {{ printf "%.0f" .Values.B.Value }} % left',
        description="When it is full, nothing more is committed or acknowledged; gateways keep what they have.",
        dashboard_uid="wattpost-platform",
        panel="Least free disk",
    ),
    Alert(
        name="follower-lag",
        title="Follower behind",
        severity=Severity.WARNING,
        queries=(
            Query(
                influxql='SELECT last("lag_s") FROM "detail"."follower" WHERE $timeFilter '
                'GROUP BY "utility", "follower"',
                range_s=asked.SAMPLED_S,
            ),
        ),
        limits=(limits.FOLLOWER_LAG_S,),
        for_s=10 * asked.MINUTE_S,
        summary="{{ .Labels.follower }} is {{ humanizeDuration .Values.B.Value }} behind what is committed",
        description="Readings are safe and acknowledged; what is made of them comes late.",
        dashboard_uid="wattpost-platform",
        panel="Followers behind",
    ),
    Alert(
        name="influx-lines-dropped",
        title="Lines refused by InfluxDB",
        severity=Severity.WARNING,
        queries=(
            Query(
                influxql=asked.of_handler('non_negative_difference("lines_dropped_count")'),
                range_s=30 * asked.MINUTE_S,
                reducer="sum",
            ),
        ),
        limits=(0,),
        for_s=0,
        summary="InfluxDB refused {{ .Values.B }} lines of handler {{ .Labels.handler }} for good",
        description="They miss in the picture, not in the database. Most likely a field has another type there.",
        dashboard_uid="wattpost-platform",
        panel="InfluxDB",
    ),
    Alert(
        name="handler-errors",
        title="Errors of the program",
        severity=Severity.WARNING,
        queries=(
            Query(
                influxql=asked.of_handler('non_negative_difference("failures_count")'),
                range_s=30 * asked.MINUTE_S,
                reducer="sum",
            ),
        ),
        limits=(0,),
        for_s=0,
        summary="Handler {{ .Labels.handler }} met {{ .Values.B }} errors of the program itself",
        description="It left something out of the operating picture and went on; its log has the trace.",
        dashboard_uid="wattpost-platform",
        panel="Each handler",
    ),
    Alert(
        name="influx-writes-failing",
        title="Writes to InfluxDB fail",
        severity=Severity.WARNING,
        queries=(
            Query(
                influxql=asked.of_handler('non_negative_difference("writes_failed_count")'),
                range_s=15 * asked.MINUTE_S,
                reducer="sum",
            ),
        ),
        limits=(limits.WRITES_FAILED_COUNT,),
        for_s=5 * asked.MINUTE_S,
        summary="{{ .Values.B }} writes of handler {{ .Labels.handler }} to InfluxDB failed",
        description="They are tried again, so the picture comes late; intake and acknowledgements do not wait for it.",
        dashboard_uid="wattpost-platform",
        panel="InfluxDB",
    ),
)

LEVELS: Final = (
    Alert(
        name="service-level",
        title="Service level missed",
        severity=Severity.WARNING,
        queries=(
            Query(
                # Of all that was judged in the time: an hour with two commands says nothing by itself.
                influxql='SELECT 100 * sum("met_count") / sum("count") - last("target_percent") '
                'FROM "history"."service_level" WHERE $timeFilter GROUP BY "utility", "target"',
                range_s=2 * asked.DAY_S,
            ),
        ),
        evaluator="lt",
        limits=(0,),
        for_s=30 * asked.MINUTE_S,
        summary="Target {{ .Labels.target }} was missed: "
        '{{ printf "%.1f" .Values.B.Value }} percentage points from what it asks for',
        description="Of all that was judged within two days: data collection, commands, reconnections.",
        dashboard_uid="wattpost-collection",
        panel="Room to the targets",
    ),
)
