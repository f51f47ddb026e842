"""What InfluxDB holds: every measurement with its tags, its fields, how long it stays and how much there is of it.

The one place to look when a panel is drawn or a capability brings a number of its own: a measurement is added here, and
a survey or the feeder writes it. `docs/monitoring.md` shows this catalogue, `dashboards/` asks only for what stands in
it, and the size of an installation's copy is computed from it.
"""

from collections.abc import Mapping

from cloud.monitoring.core.measurement import Field, Measurement, Of, Retention

__all__ = ["BY_NAME", "MEASUREMENTS", "Field", "Measurement", "Of", "Retention"]

_UTILITY = ("utility",)
_GATEWAY = ("gateway", "utility")
_METER = ("gateway", "meter", "utility")
_QUARTERS = 96
_SAMPLES = 288
"""A sample each five minutes, as an operator of 20,000 gateways would set it."""
_ENERGY_AND_VOLTAGE = {
    "energy_import_wh": Field("Wh", "advance of the register of active energy import since the last reading before"),
    "energy_export_wh": Field("Wh", "the same of active energy export"),
    "power_max_w": Field("W", "greatest active power read"),
    "voltage_min_v": Field("V", "least voltage of any phase read"),
    "voltage_mean_v": Field("V", "mean of all voltages read"),
    "voltage_max_v": Field("V", "greatest voltage of any phase read"),
    "rows_count": Field("", "rows read"),
}
_OF_GATEWAY = _ENERGY_AND_VOLTAGE | {"meters_count": Field("", "meters of which a row was read")}

MEASUREMENTS: tuple[Measurement, ...] = (
    # ---- what meters say -----------------------------------------------------------------------------------------
    Measurement(
        name="reading",
        about="what a meter showed, at its own or its gateway's time; written where `influx.meters` is on",
        retention=Retention.DETAIL,
        of=Of.METER,
        tags=_METER,
        points_a_day=_QUARTERS,
        fields={"flagged": Field("", "values of the row with a quality code, which are not drawn")},
        has_channels=True,
    ),
    Measurement(
        name="meter_health",
        about="how a meter is doing; written where `influx.meters` is on",
        retention=Retention.DETAIL,
        of=Of.METER,
        tags=_METER,
        points_a_day=1,
        fields={"clock_offset_ms": Field("ms", "meter's clock less true time, when it was looked at")},
    ),
    Measurement(
        name="meter_hour",
        about="an hour of a meter, stamped with its beginning; a row on the hour belongs to the hour that it ends; "
        "written where `influx.meters` is on",
        retention=Retention.HISTORY,
        of=Of.METER,
        tags=_METER,
        points_a_day=24,
        fields=_ENERGY_AND_VOLTAGE,
    ),
    Measurement(
        name="meter_day",
        about="a UTC day of a meter, stamped with its beginning, once it is over; written where `influx.meters` is on",
        retention=Retention.HISTORY,
        of=Of.METER,
        tags=_METER,
        points_a_day=1,
        fields=_ENERGY_AND_VOLTAGE,
    ),
    Measurement(
        name="gateway_hour",
        about="an hour of all meters of a gateway together, stamped with its beginning",
        retention=Retention.HISTORY,
        of=Of.GATEWAY,
        tags=_GATEWAY,
        points_a_day=24,
        fields=_OF_GATEWAY,
    ),
    Measurement(
        name="gateway_day",
        about="a UTC day of all meters of a gateway together, stamped with its beginning, once it is over",
        retention=Retention.HISTORY,
        of=Of.GATEWAY,
        tags=_GATEWAY,
        points_a_day=1,
        fields=_OF_GATEWAY,
    ),
    # ---- what gateways say -----------------------------------------------------------------------------------------
    Measurement(
        name="event",
        about="events of gateways and meters, those of one code, kind and instant together; `meter` is a tag where "
        "`influx.meters` is on, and a field otherwise",
        retention=Retention.HISTORY,
        of=Of.GATEWAY,
        tags=("code", "gateway", "kind", "source", "utility"),
        tags_sometimes=("meter",),
        per="code",
        per_count=12,
        points_a_day=2,
        fields={
            "count": Field("", "how many"),
            "detail": Field("", "what the gateway said of the first", is_text=True),
            "meter_id": Field("", "the meter of the first", is_text=True),
            "number": Field("", "the meter's own event code, of what stood in its log"),
        },
    ),
    Measurement(
        name="gateway_health",
        about="how a gateway is doing, as it says; counters begin at its start",
        retention=Retention.DETAIL,
        of=Of.GATEWAY,
        tags=_GATEWAY,
        points_a_day=_QUARTERS,
        fields={
            "rows_count": Field("", "rows of readings taken, since the start"),
            "refused_count": Field("", "messages from the cloud that it refused, since the start"),
            "pending_count": Field("", "signed batches that no acknowledgement has named yet"),
            "pending_age_s": Field("s", "age of the oldest of them; 0 where there is none"),
            "store_bytes": Field("B", "signed batches kept on its disk"),
            "store_used_percent": Field("%", "of what the store may keep, taken by what is not acknowledged"),
            "disk_free_percent": Field("%", "of the disk that the store lies on"),
            "dropped_bytes": Field("B", "readings given up because the store was full, since the start"),
            "acks_count": Field("", "batches acknowledged, since the start"),
            "ack_latency_ms": Field("ms", "mean time from first sending to acknowledgement since the last report"),
            "ack_latency_max_ms": Field("ms", "longest of them"),
            "resends_count": Field("", "batches sent again, since the start"),
            "connects_count": Field("", "sessions with the broker opened, since the start"),
            "clock_synced": Field("", "whether its clock is"),
            "clock_error_ms": Field("ms", "bound on the error of its clock"),
            "clock_step_ms": Field("ms", "by how much its clock was off when it was last set, without sign"),
            "cpu_s": Field("s", "processor time used, since the start"),
            "resident_bytes": Field("B", "memory of its process"),
            "pushes_taken": Field("", "notifications of meters taken, since the start"),
            "pushes_refused": Field("", "notifications that did not hold, since the start"),
            "pushes_turned_away": Field("", "connections of strangers or too many, since the start"),
        },
    ),
    Measurement(
        name="line_health",
        about="how a gateway's line to its meters is doing; counters begin at the gateway's start",
        retention=Retention.DETAIL,
        of=Of.LINE,
        tags=("gateway", "line", "utility"),
        points_a_day=_QUARTERS,
        fields={
            "transactions_count": Field("", "questions asked, since the start"),
            "failures_count": Field("", "of them without a good answer, since the start"),
            "bytes_count": Field("B", "sent and received, since the start"),
            "busy_percent": Field("%", "of the time since the last report in which the line was in use"),
            "meters_count": Field("", "meters on the line"),
            "meters_lost_count": Field("", "of them those that do not answer now"),
        },
    ),
    # ---- what the cloud sees ---------------------------------------------------------------------------------------
    Measurement(
        name="gateway_state",
        about="a gateway as the cloud sees it, sampled",
        retention=Retention.DETAIL,
        of=Of.GATEWAY,
        tags=_GATEWAY,
        points_a_day=_SAMPLES,
        fields={
            "present": Field("", "whether nothing says that it went since it was last heard"),
            "silent_s": Field("s", "time since it was last heard"),
            "meters_count": Field("", "meters assigned to it"),
            "meters_silent_count": Field("", "of them those without a reading for longer than `monitoring.silent_s`"),
            "facts_waiting_count": Field("", "credits, tariffs and policies that it has not said it holds"),
            "commands_open_count": Field("", "commands to it of which a final state is still waited for"),
            "latitude": Field("°", "where it stands, where that is known"),
            "longitude": Field("°", "where it stands, where that is known"),
        },
    ),
    Measurement(
        name="meter_silent",
        about="meters without a reading for longer than `monitoring.silent_s`, the longest silent first, 200 at most, "
        "sampled",
        retention=Retention.DETAIL,
        of=Of.METER,
        tags=_METER,
        points_a_day=_SAMPLES / 5_000,
        fields={"silent_s": Field("s", "time since its last reading; since it was assigned where it has none")},
    ),
    Measurement(
        name="network_state",
        about="the whole network in a few numbers, sampled",
        retention=Retention.HISTORY,
        of=Of.UTILITY,
        tags=_UTILITY,
        points_a_day=_SAMPLES,
        fields={
            "gateways_count": Field("", "gateways known"),
            "gateways_silent_count": Field("", "of them those not heard for longer than `monitoring.silent_s`"),
            "meters_count": Field("", "meters assigned"),
            "meters_silent_count": Field("", "of them those without a reading for longer than `monitoring.silent_s`"),
            "commands_open_count": Field("", "commands of which a final state is still waited for"),
            "facts_waiting_count": Field("", "credits, tariffs and policies that no gateway has said it holds"),
        },
    ),
    Measurement(
        name="command",
        about="commands that came to a final state, or to `unknown`, within a window of `monitoring.sample_s`, stamped "
        "with its beginning; `gateway` is `_none` where the meter had none",
        retention=Retention.HISTORY,
        of=Of.GATEWAY,
        tags=("effect", "gateway", "state", "utility"),
        per="effect and state",
        per_count=5,
        points_a_day=0.2,
        fields={
            "count": Field("", "how many"),
            "latency_p50_ms": Field("ms", "median time from issue to that state"),
            "latency_p95_ms": Field("ms", "95th percentile of it"),
            "latency_max_ms": Field("ms", "longest of it"),
            "meter_id": Field("", "the meter of the last", is_text=True),
            "detail": Field("", "what was said of the last", is_text=True),
        },
    ),
    Measurement(
        name="service_level",
        about="how a target of `targets.toml` was met by what began in an hour or UTC day, stamped with its beginning; "
        "written once, when the last deadline has passed",
        retention=Retention.HISTORY,
        of=Of.UTILITY,
        tags=("target", "utility"),
        per="target",
        per_count=10,
        points_a_day=24,
        fields={
            "percent": Field("%", "share that met the deadline"),
            "target_percent": Field("%", "share that the target asks for"),
            "count": Field("", "how many it is the share of"),
            "met_count": Field("", "how many met the deadline"),
            "sourced": Field("", "whether the target has a source; without one it is a working value of ours"),
        },
    ),
    Measurement(
        name="collection",
        about="intervals of a UTC day collected from a gateway's meters, stamped with the day's beginning; today's so "
        "far, and written again until its last deadline",
        retention=Retention.HISTORY,
        of=Of.GATEWAY,
        tags=_GATEWAY,
        points_a_day=1,
        fields={
            "meters_count": Field("", "meters assigned to it that day"),
            "meters_without_count": Field("", "of them those of which there is nothing"),
            "expected_count": Field("", "intervals that should be there, up to now"),
            "collected_count": Field("", "intervals that are there"),
            "percent": Field("%", "share that is there"),
            "within_8h_percent": Field("%", "share that was there 8 h after the day's end, or is by now"),
            "within_12h_percent": Field("%", "share that was there 12 h after the day's end, or is by now"),
            "within_24h_percent": Field("%", "share that was there 24 h after the day's end, or is by now"),
        },
    ),
    # ---- money -----------------------------------------------------------------------------------------------------
    Measurement(
        name="prepaid_state",
        about="accounts of a gateway's meters by how they stand, sampled each `monitoring.balances_s`",
        retention=Retention.HISTORY,
        of=Of.GATEWAY,
        tags=("currency", "gateway", "utility"),
        points_a_day=24,
        fields={
            "accounts_count": Field("", "accounts"),
            "cut_off_count": Field("", "of them those that are cut off for want of credit"),
            "low_count": Field("", "of the others those below their warning level"),
            "days_left_below_1_count": Field("", "accounts in credit whose credit lasts less than a day"),
            "days_left_below_3_count": Field("", "accounts in credit whose credit lasts less than three days"),
            "balance_minor": Field("minor units", "all balances together"),
            "spent_day_minor": Field("minor units", "what all used in the day before"),
        },
    ),
    Measurement(
        name="account",
        about="an account, sampled each `monitoring.balances_s`; written where `influx.meters` is on",
        retention=Retention.DETAIL,
        of=Of.METER,
        tags=("account", "currency", "gateway", "meter", "utility"),
        points_a_day=24,
        fields={
            "balance_minor": Field("minor units", "the balance"),
            "spent_day_minor": Field("minor units", "what it used in the day before"),
            "days_left": Field("d", "how long the balance lasts at that use; absent where it used nothing"),
            "cut_off": Field("", "whether it is cut off for want of credit"),
        },
    ),
    Measurement(
        name="sale",
        about="credits of a window of `monitoring.sample_s`, stamped with its beginning",
        retention=Retention.HISTORY,
        of=Of.UTILITY,
        tags=("currency", "utility"),
        points_a_day=_SAMPLES,
        fields={
            "count": Field("", "credits"),
            "amount_minor": Field("minor units", "all of them together"),
        },
    ),
    # ---- the platform itself ---------------------------------------------------------------------------------------
    Measurement(
        name="handler",
        about="a process of the cloud, as it says; counters begin at its start",
        retention=Retention.DETAIL,
        of=Of.HANDLER,
        tags=("handler", "utility"),
        points_a_day=1_440,
        fields={
            "messages_count": Field("", "messages taken from the broker"),
            "batches_count": Field("", "batches committed that were new"),
            "repeats_count": Field("", "batches that were committed before"),
            "refused_count": Field("", "messages refused"),
            "commits_count": Field("", "groups of messages committed"),
            "commit_ms": Field("ms", "mean time of a group's commit since the last report"),
            "commit_max_ms": Field("ms", "longest of them"),
            "lines_count": Field("", "lines that InfluxDB took"),
            "lines_dropped_count": Field("", "lines that InfluxDB refused for good"),
            "write_ms": Field("ms", "mean time of a write to InfluxDB since the last report"),
            "write_max_ms": Field("ms", "longest of them"),
            "writes_failed_count": Field("", "writes that InfluxDB did not answer well"),
            "failures_count": Field("", "errors of the program that it withstood; its log has them"),
            "cpu_s": Field("s", "processor time used"),
            "resident_bytes": Field("B", "memory of the process"),
            "disk_free_percent": Field("%", "of the disk that its working folder lies on"),
            "uptime_s": Field("s", "since its start; 0 in the last report of one that was stopped on purpose"),
        },
    ),
    Measurement(
        name="follower",
        about="what each that works behind the others has still to do, sampled",
        retention=Retention.DETAIL,
        of=Of.UTILITY,
        tags=("follower", "utility"),
        per="follower",
        per_count=5,
        points_a_day=_SAMPLES,
        fields={
            "lag_s": Field("s", "age of the oldest message or sample it has not read; 0 where it has read all"),
            "waiting_count": Field("", "messages or samples it has not read, 10,000 at most"),
            "days_count": Field(
                "", "of `aggregates` alone: days of gateways that changed and wait for the hourly round"
            ),
        },
    ),
    Measurement(
        name="refusal",
        about="messages refused, ever, by reason, reasons that never occurred too, sampled",
        retention=Retention.DETAIL,
        of=Of.UTILITY,
        tags=("reason", "utility"),
        per="reason",
        per_count=19,
        points_a_day=_SAMPLES,
        fields={"count": Field("", "messages refused for it since the database was made")},
    ),
)
BY_NAME: Mapping[str, Measurement] = {measurement.name: measurement for measurement in MEASUREMENTS}
