"""The copy for looking at: what a real installation says arrives there, in the shape that the catalogue promises.

What panels and alert rules make of troubles is tried on virtual time (`test_seeing.py`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloud.meterdata.adapters import queries
from cloud.monitoring.core.catalogue import BY_NAME, MEASUREMENTS
from cloud.monitoring.core.fields import field_name
from tests.rig.grafana.queries import Asker, Choice
from tests.rig.grafana.showing import empty_panels, show
from tests.rig.influx import InfluxServer
from tests.rig.installation import SITE_START_MS, UTILITY, Install, Installation, Plan
from tests.rig.picture import Fields, Picture
from tests.rig.requester import requester
from wire.messages import Disconnect, Ping, Read, Reconnect

HOUR_MS = 3_600_000
EVENING_MS = SITE_START_MS + 9 * HOUR_MS
"""So that a day comes to its end while the test looks on."""
DASHBOARDS = Path(__file__).parents[2] / "dashboards" / "grafana"
ACCOUNT = "A-1"
NEVER_HERE = {
    *(f"gateway_health.pushes_{what}" for what in ("taken", "refused", "turned_away")),
    "reading.flagged",
}
"""No meter of these installations speaks by itself or sends what is not valid."""
WITH_METERS_ONLY = {known.name for known in MEASUREMENTS if "written where `influx.meters` is on" in known.about}


@pytest.mark.req("J-1", "J-2")
async def test_a_real_installation_fills_the_catalogue_and_every_dashboard(
    lay_out: Install, influx: InfluxServer
) -> None:
    picture = Picture(influx, influx.new_name())
    plan = Plan(
        gateways_count=2,
        meters_per_line=3,
        dlms_meters_each=1,
        dlms_gateways_count=1,
        rate=600,
        begin_ms=EVENING_MS,
        period_s=900,
        answer_ms_max=2_000,
        seal_after_ms=100,
        influx=influx.table(picture.database),
        monitoring="sample_s = 600\nbalances_s = 600\nsilent_s = 3600\n",
    )
    installation = await lay_out(plan)
    installation.wattpost("cloud", "influx", "cloud.toml")
    (installation.folder / "places.csv").write_text(
        "gateway,latitude,longitude\n"
        + "".join(f"{site.gateway},26.9{number},75.7\n" for number, site in enumerate(installation.sites))
    )
    installation.wattpost("cloud", "place", "cloud.toml", "--from-file", "places.csv")
    await installation.start()
    payer, switched, dead = installation.sites[0].meters[0]
    installation.control(command="fault", device=dead, kind="dead", on=True)
    (logs,) = installation.sites[0].dlms_meters
    installation.control(command="power", meter=logs, on=False)
    async with requester(installation) as client:
        for effect in (Read([]), Ping(), Disconnect(), Reconnect()):
            client.ask(effect, switched)
            await client.over()
    installation.control(command="power", meter=logs, on=True)
    installation.open_account(ACCOUNT, payer, price="25.00")
    await installation.until(lambda: not installation.state(payer)["energised"], what="the cut-off")
    installation.wattpost("cloud", "credit", "cloud.toml", ACCOUNT, "500.00", "--id", b"a payment-------".hex())
    await installation.until(lambda: installation.state(payer)["energised"], what="supply again")

    lacking: set[str] = set()

    def is_full() -> bool:
        lacking.clear()
        lacking.update(picture.lacks() - NEVER_HERE)
        return not lacking

    try:
        await installation.until(is_full, what="every measurement and field of the catalogue", poll_s=0.5)
    except AssertionError:
        assert not lacking
        raise
    assert not [*picture.misfits()]
    await installation.until_committed(
        lambda connection: channels(connection) == picture.fields("reading").keys() - BY_NAME["reading"].fields.keys(),
        what="each channel of the database as a field",
    )
    await every_dashboard_shows(installation, picture, influx, meter=payer)


def channels(connection: sa.Connection) -> set[str]:
    """Return the fields that there should be for the channels in the database."""
    return {
        field_name(reading.channel)
        for meter in queries.meters(connection, UTILITY)
        for reading in queries.readings(connection, UTILITY, meter)
        if reading.value is not None
    }


async def every_dashboard_shows(
    installation: Installation, picture: Picture, influx: InfluxServer, *, meter: str
) -> None:
    """Open every dashboard at a moment when nothing is missing of what is told now and then."""
    now_ms: int | None = None

    def is_time() -> bool:
        nonlocal now_ms
        now_ms = moment(picture)
        # A day is told of when it is over.
        return now_ms is not None and any(place.tag("meter") == meter for place in picture.points("meter_day"))

    await installation.until(is_time, what="a moment to look at the dashboards", poll_s=0.5)
    assert now_ms is not None
    asker = Asker(influx.v1_url, database=picture.database)
    chosen: Mapping[str, Choice] = {"gateway": installation.site_of(meter).gateway, "meter": meter}
    empty: dict[str, list[str]] = {}
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard: dict[str, Any] = json.loads(path.read_text())
        empty[path.stem] = empty_panels(dashboard, show(dashboard, asker, now_ms=now_ms, chosen=chosen))
    assert not {name: titles for name, titles in empty.items() if titles}


def moment(picture: Picture) -> int | None:
    """Return when a process reported, soon after samples, and within an hour of a gateway's report, not its first."""
    reported: dict[str, list[int]] = {}
    for place in picture.points("gateway_health"):
        reported.setdefault(place.tag("gateway"), []).append(place.time_ms)
    sampled = [[place.time_ms for place in picture.points(name)] for name in ("network_state", "follower")]

    def is_fit(at_ms: int) -> bool:
        before = [[told_ms for told_ms in times if told_ms <= at_ms] for times in reported.values()]
        return all(len(times) > 1 and at_ms - max(times) < HOUR_MS for times in before) and all(
            any(0 <= at_ms - sample_ms < HOUR_MS // 4 for sample_ms in times) for times in sampled
        )

    return max(filter(is_fit, (place.time_ms for place in picture.points("handler"))), default=None)


@pytest.mark.req("J-1")
async def test_without_series_of_meters_gateways_speak_for_theirs(lay_out: Install, influx: InfluxServer) -> None:
    picture = Picture(influx, influx.new_name())
    plan = Plan(
        dlms_meters_each=1,
        rate=3_600,
        begin_ms=EVENING_MS - 6 * HOUR_MS,
        period_s=1_800,
        answer_ms_max=2_000,
        seal_after_ms=100,
        influx=influx.table(picture.database, meters=False),
        monitoring="sample_s = 1800\nbalances_s = 1800\nsilent_s = 7200\n",
    )
    installation = await lay_out(plan)
    installation.wattpost("cloud", "influx", "cloud.toml")
    await installation.start()
    payer, dead = installation.sites[0].meters[0]
    installation.open_account(ACCOUNT, payer, price="25.00")
    installation.control(command="fault", device=dead, kind="dead", on=True)
    wanted = {"event", "gateway_hour", "gateway_day", "meter_silent", "prepaid_state"}
    await installation.until(lambda: picture.measurements() >= wanted, what="what is told of gateways", poll_s=0.5)
    await installation.until(
        lambda: any(fields.get("meter_id") == payer for fields in picture.points("event").values()),
        what="an event of a meter",
    )
    largest: dict[str, Fields] = {}

    def is_over() -> bool:
        """Tell whether there is a day of which more than the history of a single meter is told."""
        for name in ("gateway_hour", "gateway_day"):
            largest[name] = max(picture.points(name).values(), key=lambda fields: fields["meters_count"])
        return all(float(fields["meters_count"]) > 1 for fields in largest.values())

    await installation.until(is_over, what="a day of several meters", poll_s=0.5)
    assert all(float(fields["energy_import_wh"]) > 0 for fields in largest.values())
    installation.cloud.terminate()

    assert not [*picture.misfits()]
    assert "reading" in WITH_METERS_ONLY
    assert not picture.measurements() & WITH_METERS_ONLY
    with_meter = {name for name in picture.measurements() if any("meter" in tags for tags in picture.tags(name))}
    assert with_meter == {"meter_silent"}
