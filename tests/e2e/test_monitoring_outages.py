"""The copy for looking at: complete again whoever was away, and whoever is away is seen to be."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.meterdata.adapters import queries
from cloud.monitoring.core.catalogue import BY_NAME
from tests.rig.influx import InfluxServer
from tests.rig.installation import UTILITY, Install, Installation, Plan
from tests.rig.picture import Picture, differences
from tests.rig.reconciling import read_disk
from tests.rig.requester import Requester, requester
from wire.messages import Disconnect, Read, Reconnect

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
ACCOUNT = "A-1"
AHEAD_MS = 24_000
"""By how much the clock of who asks for reports is fast, real ms: nobody need wait until three of them are missing."""
ENERGY_IMPORT = bytes((1, 0, 1, 8, 0, 255))
ENERGY_FIELD = "active_energy_import_wh"

Register = tuple[str, int, float]
"""Meter, UTC in milliseconds, Wh."""


@pytest.mark.req("J-1", "K-2")
async def test_a_day_without_influxdb_and_a_killed_process_leave_no_gap_in_the_copy(
    lay_out: Install, own_influx: InfluxServer
) -> None:
    first, second = (Picture(own_influx, own_influx.create_database()) for _ in range(2))
    plan = Plan(
        gateways_count=2,
        dlms_meters_each=1,
        dlms_gateways_count=1,
        rate=7_200,
        period_s=3_600,
        answer_ms_max=2_000,
        seal_after_ms=100,
        rooms=("headend", "commands", "prepaid", "meterdata"),
        influx=own_influx.table_v2(first.database),
        monitoring="sample_s = 3600\nbalances_s = 3600\nsilent_s = 7200\ninterval_s = 3600\n",
    )
    installation = await lay_out(plan)
    watcher = installation.handler("watcher", "monitoring")
    await installation.start()
    payer, dead = installation.sites[0].meters[0]
    installation.open_account(ACCOUNT, payer, price="25.00")
    await installation.until(lambda: len(in_copy(first)) > 8, what="readings in InfluxDB")

    own_influx.kill()
    gone_ms = installation.now_ms()
    installation.control(command="fault", device=dead, kind="dead", on=True)
    async with requester(installation) as client:
        await live_on(installation, client)
        installation.wattpost("cloud", "credit", "cloud.toml", ACCOUNT, "30.00", "--id", b"a payment-------".hex())
        await installation.until(lambda: installation.now_ms() > gone_ms + DAY_MS // 2, what="half a day")
        watcher.kill()
        await live_on(installation, client)
        await installation.until(lambda: installation.now_ms() > gone_ms + DAY_MS, what="the end of a day")
        # As late as this, so that it does not wait long before it tries again.
        await installation.start(watcher)
        await live_on(installation, client)
    back_ms = installation.now_ms()
    own_influx.start()

    await stop_with_everything_sent(installation)
    await installation.until_committed(
        lambda connection: in_database(connection) <= in_copy(first), what="every reading in the copy"
    )
    stored = await installation.transact(in_database)
    # A reading whose time was corrected after it was shown stands at both times until the copy is rebuilt.
    shown_once = {(meter, energy_wh) for meter, _, energy_wh in in_copy(first)}
    assert shown_once == {(meter, energy_wh) for meter, _, energy_wh in stored}

    for process in (installation.cloud, watcher):
        assert process.terminate() == 0
    clock = end_of_time(installation)
    installation.configure("watcher", "meterdata", "monitoring", clock=clock)
    await installation.start(watcher)
    anew = installation.configure("anew", influx=own_influx.table_v2(second.database), clock=clock)
    different: list[str] = []

    def is_same() -> bool:
        installation.wattpost("cloud", "recopy", anew)
        different[:] = differences(first, second)
        return not different

    try:
        await installation.until(is_same, what="a copy that is as one made anew")
    except AssertionError:
        assert not different
        raise
    meanwhile = {
        name for name in BY_NAME for place in second.points(name) if gone_ms <= place.time_ms < back_ms - HOUR_MS
    }
    assert meanwhile == BY_NAME.keys()


def in_database(connection: sa.Connection) -> set[Register]:
    """Return the registers that the cloud has committed and placed."""
    return {
        (meter, reading.utc_ms, float(reading.value * 10**reading.channel.scaler))
        for meter in queries.meters(connection, UTILITY)
        for reading in queries.readings(connection, UTILITY, meter)
        if reading.channel.obis == ENERGY_IMPORT and reading.value is not None
    }


def in_copy(picture: Picture) -> set[Register]:
    """Return the registers that InfluxDB shows."""
    return {
        (place.tag("meter"), place.time_ms, float(fields[ENERGY_FIELD]))
        for place, fields in picture.points("reading").items()
        if ENERGY_FIELD in fields
    }


def last_message(connection: sa.Connection) -> int:
    """Return the number of the last message that was committed."""
    return int(connection.execute(sa.select(sa.func.max(schema.message.c.id))).scalar() or 0)


async def live_on(installation: Installation, client: Requester) -> None:
    """See that readings are committed and commands carried out, whoever is away."""
    before = await installation.transact(last_message)
    meter = installation.sites[1].meters[0][0]
    for effect in (Read([]), Disconnect(), Reconnect()):
        client.ask(effect, meter)
        await client.over()
    await installation.until_committed(
        lambda connection: last_message(connection) > before + 5, what="commits as if nobody was away"
    )


async def stop_with_everything_sent(installation: Installation) -> None:
    """Silence the meters, and stop the gateways once the cloud has everything."""
    for meter in installation.all_meters():
        installation.control(command="fault", device=meter, kind="dead", on=True)

    def is_all_sent() -> bool:
        return not any(read_disk(installation.store_path(name), name).pending_count() for name in installation.gateways)

    await installation.until(is_all_sent, what="the commit of everything")
    for process in installation.gateways.values():
        assert process.terminate() == 0


def end_of_time(installation: Installation) -> str:
    """Return a clock that stands, as good as still, when what happened is over: its day is, and an hour has begun.

    Nothing more is to be told until the next hour, and what was made then and is made anew later can be compared.
    """
    until_ms = (installation.now_ms() // DAY_MS + 1) * DAY_MS + HOUR_MS + 15 * MINUTE_MS
    return f"1@{time.time_ns() // 1_000_000}={until_ms}"


@pytest.mark.req("J-1", "K-1", "K-2")
async def test_each_of_several_processes_is_in_the_picture_and_is_missed_when_it_is_gone(
    lay_out: Install, influx: InfluxServer, postgres_url: str
) -> None:
    picture = Picture(influx, influx.new_name())
    plan = Plan(
        gateways_count=2,
        rate=60,
        period_s=60,
        database=postgres_url,
        rooms=("commands", "prepaid", "meterdata", "monitoring"),
        influx=influx.table(picture.database),
        monitoring="sample_s = 60\n",
    )
    installation = await lay_out(plan)
    installation.wattpost("cloud", "influx", "cloud.toml")
    lasting, struck = (installation.handler(name, "headend") for name in ("headend-1", "headend-2"))
    await installation.start()

    def committed() -> dict[str, float]:
        """Return how many batches each process says that it committed."""
        told: dict[str, float] = {}
        for place, fields in sorted(picture.points("handler").items(), key=lambda item: item[0].time_ms):
            told[place.tag("handler")] = float(fields["batches_count"])
        return told

    await installation.until(
        lambda: (
            committed().keys() == {"cloud", lasting.name, struck.name}
            and min(committed()[lasting.name], committed()[struck.name]) > 0
        ),
        what="work of both head-ends in the picture",
    )
    assert committed()["cloud"] == 0
    await installation.until(lambda: reporting(installation) == set(committed()), what="a word of all")

    struck.kill()
    before = committed()[lasting.name]
    await installation.until(
        lambda: reporting(installation) == {"cloud", lasting.name}, what="the word that one is gone"
    )
    await installation.until(lambda: committed()[lasting.name] > before + 5, what="work of the other")
    await installation.start(struck)
    await installation.until(lambda: reporting(installation) == set(committed()), what="the word that it is back")


def reporting(installation: Installation) -> set[str]:
    """Ask about each process as whoever runs it does, and return which ones report."""
    real, _, wall_ms = installation.clock_text.partition("=")
    ahead = f"{real}={int(wall_ms) + AHEAD_MS * installation.plan.rate}"
    names = ["cloud", *installation.handlers]
    for name in names:
        text = (installation.folder / f"{name}.toml").read_text()
        (installation.folder / f"asks-{name}.toml").write_text(text.replace(installation.clock_text, ahead))
    with ThreadPoolExecutor() as pool:
        tools = pool.map(lambda name: installation.tool("cloud", "health", f"asks-{name}.toml"), names)
        asked = dict(zip(names, tools, strict=True))
    for name, tool in asked.items():
        assert tool.exit_code in {0, 1}, tool.log_text()
        assert f"{name} {'does not report' if tool.exit_code else 'reports'}" in tool.log_text()
    return {name for name, tool in asked.items() if tool.exit_code == 0}
