"""Real processes under load, killed and cut off at seeded moments; at the end nothing is lost and nothing is doubled.

The moments come from a seed, what the machine makes of them does not: the same seed gives the same strikes, not the
same interleaving. `WATTPOST_E2E_SEED` sets another one.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.meterdata.adapters import queries
from cloud.prepaid.adapters import accounts
from prepay.balance import Balance
from prepay.holds import Hold
from tests.rig.installation import UTILITY, Install, Installation, Plan
from tests.rig.postgres import PostgresServer
from tests.rig.processes import ManagedProcess
from tests.rig.reconciling import Disk, differences, read_disk, stated_on
from tests.rig.requester import Asked, Requester, requester
from wire.facts import Stage
from wire.messages import Disconnect, Effect, Limit, Ping, Read, Reconnect, State

SEED = int(os.environ.get("WATTPOST_E2E_SEED", "20260601"))
STRIKE_EVERY_S = 1.0
ENERGY_IMPORT = bytes((1, 0, 1, 8, 0, 255))
ACCOUNT_PRICE = "25.00"
CREDIT_MINOR = 300
COARSEST_STEP_WH = 100
"""The registers of some makes count in tenths of a kilowatt-hour."""
HEAL_S = 90.0
READINGS_MIN = 500
"""Of each gateway; fewer would prove little. A slow machine reads on until they are there."""
FINAL_STAGES = {stage.value for stage in Stage if stage.is_final}

Strike = Callable[[], Awaitable[None]]


class Trouble:
    """Kills processes and cuts networks, and brings all of it back.

    Args:
        installation: Whose.
        database: The server to kill; None where the database lives in the handlers' process.
        rng: Draws victims, moments and durations.
    """

    def __init__(self, installation: Installation, database: PostgresServer | None, rng: random.Random) -> None:
        self._installation = installation
        self._database = database
        self._rng = rng
        self._locks: dict[str, asyncio.Lock] = {}
        self.struck: Counter[str] = Counter()

    async def run(self, *, times: int) -> None:
        """Strike every victim so many times, in a random order, several of them at once."""
        strikes = [victim for victim in self._victims() for _ in range(times)]
        self._rng.shuffle(strikes)
        async with asyncio.TaskGroup() as group:
            for name, strike in strikes:
                await asyncio.sleep(self._rng.uniform(0.3, 1.7) * STRIKE_EVERY_S)
                group.create_task(self._one_at_a_time(name, strike))

    def _victims(self) -> list[tuple[str, Strike]]:
        installation = self._installation
        victims: list[tuple[str, Strike]] = [("cloud", partial(self._kill, installation.cloud))]
        for name, process in installation.gateways.items():
            victims.append((name, partial(self._kill, process)))
            victims.append((f"network of {name}", partial(self._cut, name)))
        if installation.plan.broker_alone:
            victims.append(("broker", partial(self._kill, installation.broker)))
        if self._database is not None:
            victims.append(("database", self._kill_database))
        return victims

    async def _one_at_a_time(self, name: str, strike: Strike) -> None:
        async with self._locks.setdefault(name, asyncio.Lock()):
            await strike()
            self.struck[name] += 1

    async def _kill(self, process: ManagedProcess) -> None:
        down_s = self._rng.uniform(0.0, 1.0)
        assert process.running, f"{process.name} ended by itself\n{process.log_text()}"
        await asyncio.to_thread(process.kill)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(process.start_ready)

    async def _kill_database(self) -> None:
        assert self._database is not None
        down_s = self._rng.uniform(0.0, 1.5)
        await asyncio.to_thread(self._database.kill)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(self._database.start)

    async def _cut(self, gateway: str) -> None:
        if self._rng.random() < 0.3:
            self._installation.control(
                command="cutter", cutter=gateway, drop_after_bytes=self._rng.randrange(1, 20_000)
            )
            return
        mode, cut_s = self._rng.choice(("refuse", "blackhole")), self._rng.uniform(0.5, 3.0)
        self._installation.cut(gateway, mode=mode)
        await asyncio.sleep(cut_s)
        self._installation.mend(gateway)


class Load:
    """Commands, credits and failing meters, for as long as the trouble lasts."""

    def __init__(self, installation: Installation, client: Requester, rng: random.Random) -> None:
        self._installation = installation
        self._client = client
        self._rng = rng
        self._stopped = False
        self.credits: list[tuple[str, bytes]] = []

    def stop(self) -> None:
        """Begin nothing more; `run` returns when what was begun is done."""
        self._stopped = True

    async def run(self) -> None:
        """Go on until stopped."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commands())
            group.create_task(self._credits())
            group.create_task(self._failing_meters())

    async def _commands(self) -> None:
        meters = self._installation.all_meters()
        while not self._stopped:
            await asyncio.sleep(self._rng.uniform(0.1, 0.5))
            self._client.ask(self._effect(), *self._rng.sample(meters, self._rng.choice((1, 1, 2))))

    def _effect(self) -> Effect:
        return self._rng.choice((Disconnect(), Reconnect(), Reconnect(), Read([]), Ping(), Limit(50_000)))

    async def _credits(self) -> None:
        while not self._stopped:
            await asyncio.sleep(self._rng.uniform(0.3, 1.2))
            account, name = f"A-{self._rng.choice(self._installation.relay_meters())}", self._rng.randbytes(16)
            self.credits.append((account, name))
            await credit(self._installation, account, name)

    async def _failing_meters(self) -> None:
        while not self._stopped:
            meter = self._rng.choice(self._installation.all_meters())
            self._installation.control(command="fault", device=meter, kind="dead", on=True)
            await asyncio.sleep(self._rng.uniform(0.5, 4.0))
            self._installation.control(command="fault", device=meter, kind="dead", on=False)


async def credit(installation: Installation, account: str, name: bytes) -> None:
    now_ms = installation.now_ms()
    await installation.transact(
        lambda connection: accounts.credit(
            connection, UTILITY, account, credit_id=name, amount_minor=CREDIT_MINOR, now_ms=now_ms
        )
    )


async def open_accounts(installation: Installation) -> None:
    now_ms = installation.now_ms()

    def work(connection: sa.Connection) -> None:
        for meter in installation.relay_meters():
            new = accounts.NewAccount(
                name=f"A-{meter}",
                meter=meter,
                currency="KES",
                exponent=2,
                price=ACCOUNT_PRICE,
                opening_wh=int(installation.state(meter)["energy_wh"]) // COARSEST_STEP_WH * COARSEST_STEP_WH,
                rated_power_w=50_000,
            )
            accounts.open_account(connection, UTILITY, new, now_ms=now_ms)

    await installation.transact(work)


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The database to kill, if it is a server."""
    if request.param == "sqlite":
        return None
    own: PostgresServer = request.getfixturevalue("own_postgres")
    return own


@pytest.mark.req("A-2", "A-7", "B-3", "C-1", "D-7", "F-2", "K-1", "K-2")
async def test_nothing_is_lost_or_doubled_while_everything_is_killed_and_cut(
    install: Install, server: PostgresServer | None, broker: Literal["mosquitto", "amqtt"]
) -> None:
    plan = Plan(
        gateways_count=2,
        meters_per_line=4,
        rate=300,
        period_s=300,
        broker=broker,
        # Where amqtt is the default, it lives in the handlers' process and dies with it.
        broker_alone=broker == "mosquitto" or server is not None,
        database=server.url(server.create_database()) if server is not None else "",
    )
    installation = await install(plan)
    await open_accounts(installation)
    seed = f"{SEED}/{broker}/{'sqlite' if server is None else 'postgresql'}"
    print(f"replay the strikes with WATTPOST_E2E_SEED={SEED}")
    rng = random.Random(seed)
    trouble = Trouble(installation, server, random.Random(rng.random()))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(requester(installation))
        load = Load(installation, client, random.Random(rng.random()))
        await under_load(load, trouble.run(times=3 if server is None else 2))
        print(f"struck {dict(trouble.struck)}, {len(client.asked)} requests, {len(load.credits)} credits")
        await client.over(seconds_max=HEAL_S)
        await installation.until_committed(all_facts_are_held, what="a gateway that holds every fact sent down")
        await relays_follow_their_holds(installation)
        await enough_is_read(installation)
        disks = await drained_and_stopped(installation)
        await everything_is_committed_once(installation, disks)
        await every_command_has_one_end(installation, disks, client)
        await balances_agree(installation, disks, load.credits)
        await values_are_what_the_meters_sent(installation)
    assert installation.cloud.running, installation.cloud.log_text()
    assert installation.cloud.terminate() == 0


@pytest.mark.req("K-1", "K-2")
async def test_handlers_wait_for_a_database_that_is_not_there_yet(
    lay_out: Install, own_postgres: PostgresServer
) -> None:
    installation = await lay_out(Plan(database=own_postgres.url(own_postgres.create_database()), period_s=1))
    own_postgres.stop()
    await installation.start(installation.sim, installation.broker)
    await installation.start(*installation.gateways.values())
    cloud = installation.cloud

    def told() -> list[str]:
        return [line["event"] for line in map(json.loads, cloud.err_path.read_text().splitlines())]

    cloud.start()
    cloud.wait_until(lambda: "database.awaited" in told(), what="the word that the database is awaited")
    assert cloud.terminate() == 0
    cloud.start()
    cloud.wait_until(lambda: told().count("database.awaited") == 2, what="the same word again")
    own_postgres.start()
    cloud.wait_ready()
    assert told().count("database.awaited") == 2
    assert told()[-1] != "database.awaited"
    await installation.until_committed(lambda connection: queries.meters(connection, UTILITY), what="readings")


def all_facts_are_held(connection: sa.Connection) -> bool:
    table = schema.down_fact.c
    return connection.execute(sa.select(table.id).where(table.held_at_ms.is_(None)).limit(1)).first() is None


async def under_load(load: Load, trouble: Awaitable[None]) -> None:
    """Keep the load up until the trouble is over."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        await trouble
        load.stop()


async def relays_follow_their_holds(installation: Installation) -> None:
    def agree() -> bool:
        holds = {name: read_disk(installation.store_path(name), name).holds for name in installation.gateways}
        states = installation.states()
        return all(
            states[meter]["energised"] is states[meter]["relay_closed"] is (not holds[site.gateway].get(meter))
            for site in installation.sites
            for meter in site.relay_meters()
        )

    await installation.until(agree, what="relays that are closed where no hold stands and open elsewhere")


async def enough_is_read(installation: Installation) -> None:
    """Wait until every gateway has read enough to be judged by."""

    def readings_of(name: str) -> int:
        disk = read_disk(installation.store_path(name), name)
        return len(stated_on(disk, UTILITY, installation.keys.gateways[name].public).readings)

    await installation.until(
        lambda: all(readings_of(name) > READINGS_MIN for name in installation.gateways),
        what="enough readings to judge by",
        seconds_max=HEAL_S,
    )


async def drained_and_stopped(installation: Installation) -> dict[str, Disk]:
    """Silence the meters, let everything go up, stop the gateways, and return their disks."""
    for meter in installation.all_meters():
        installation.control(command="fault", device=meter, kind="dead", on=True)

    def disks() -> dict[str, Disk]:
        return {name: read_disk(installation.store_path(name), name) for name in installation.gateways}

    for _ in range(5):
        await installation.until(
            lambda: not any(disk.pending_count() for disk in disks().values()),
            what="an acknowledgement of everything on the disks",
            seconds_max=HEAL_S,
        )
        codes = [process.terminate() for process in installation.gateways.values()]
        assert codes == [0] * len(codes)
        stopped = disks()
        if not any(disk.pending_count() for disk in stopped.values()):
            return stopped
        # Something happened between the last look and the end.
        await installation.start(*installation.gateways.values())
    raise AssertionError("the gateways never stopped with nothing to send")


async def everything_is_committed_once(installation: Installation, disks: dict[str, Disk]) -> None:
    stated = {name: stated_on(disk, UTILITY, installation.keys.gateways[name].public) for name, disk in disks.items()}
    found: list[str] = []

    def same(connection: sa.Connection) -> bool:
        found[:] = [
            line for name, disk in disks.items() for line in differences(connection, UTILITY, disk, stated[name])
        ]
        return not found and not queries.waiting_boots(connection, UTILITY)

    try:
        await installation.until_committed(same, what="the readings' places", seconds_max=20)
    except AssertionError:
        assert found == []
        raise
    assert all(len(facts.readings) > READINGS_MIN and facts.events and facts.receipts for facts in stated.values())


async def every_command_has_one_end(installation: Installation, disks: dict[str, Disk], client: Requester) -> None:
    command, receipt = schema.command.c, schema.receipt.c
    rows = await installation.transact(
        lambda connection: connection.execute(sa.select(schema.command).where(command.utility == UTILITY)).all()
    )
    receipts = await installation.transact(
        lambda connection: connection.execute(
            sa.select(receipt.command, receipt.stage).where(receipt.utility == UTILITY)
        ).all()
    )
    ends = Counter(bytes(row.command) for row in receipts if row.stage in FINAL_STAGES)
    wanted = {(asked.request.id, meter) for asked in client.asked.values() for meter in asked.request.meters}
    assert {(bytes(row.request), row.meter) for row in rows} == wanted
    assert len(rows) == len(wanted)
    assert set(ends.values()) == {1}
    for row in rows:
        asked: Asked = client.asked[bytes(row.request)]
        told = {status.state for status in asked.statuses if status.meter == row.meter} & set(_final_states())
        assert told == {State(row.state)}
        assert disks[row.gateway].commands[bytes(row.id)] == "final"
        assert ends[bytes(row.id)] == 1
    _newest_relay_command_stands(installation, disks, rows, client)


def _final_states() -> list[State]:
    return [State.EXECUTED, State.FAILED, State.EXPIRED, State.SUPERSEDED, State.REFUSED]


def _newest_relay_command_stands(
    installation: Installation,
    disks: dict[str, Disk],
    rows: Sequence[sa.Row[Any]],
    client: Requester,
) -> None:
    for site in installation.sites:
        for meter in site.relay_meters():
            executed = [row for row in rows if (row.meter, row.effect, row.state) == (meter, "relay", "executed")]
            if executed:
                newest = max(executed, key=lambda row: row.version)
                is_held = Hold.UTILITY in disks[site.gateway].holds.get(meter, set())
                assert is_held is isinstance(client.asked[bytes(newest.request)].request.effect, Disconnect)


async def balances_agree(
    installation: Installation, disks: dict[str, Disk], credits_given: list[tuple[str, bytes]]
) -> None:
    at_ms = installation.now_ms()
    given = Counter(account for account, _ in credits_given)
    charged_wh = 0
    for site in installation.sites:
        for account in (f"A-{meter}" for meter in site.relay_meters()):
            cloud, booked = await installation.transact(partial(in_cloud, account=account, at_ms=at_ms))
            box = disks[site.gateway].balance(account, at_ms)
            assert (cloud.version, cloud.digest, cloud.amount_minor) == (box.version, box.digest, box.amount_minor)
            assert booked == given[account] * CREDIT_MINOR
            charged_wh += cloud.charged_wh
    assert charged_wh > 0


def in_cloud(connection: sa.Connection, *, account: str, at_ms: int) -> tuple[Balance, int]:
    """Return a balance, and what the ledger says was paid in."""
    posting = schema.posting.c
    booked = connection.execute(
        sa.select(sa.func.sum(posting.amount_minor)).where(posting.ledger_account == f"wallet:{account}")
    ).scalar()
    return accounts.balance_of(connection, UTILITY, account, at_ms=at_ms), int(booked or 0)


async def values_are_what_the_meters_sent(installation: Installation) -> None:
    installation.control(command="truth")
    sent: dict[str, set[int]] = {}
    for line in (installation.folder / "truth.jsonl").read_text().splitlines():
        record = json.loads(line)
        sent.setdefault(record["meter"], set()).add(round(record["energy_wh"]))
    for meter in installation.all_meters():
        stored = await installation.transact(partial(energies, meter=meter))
        assert stored
        assert stored <= sent[meter]


def energies(connection: sa.Connection, *, meter: str) -> set[int]:
    """Return the register values of a meter that the cloud has, Wh."""
    return {
        round(reading.value * 10**reading.channel.scaler)
        for reading in queries.readings(connection, UTILITY, meter)
        if reading.channel.obis == ENERGY_IMPORT and reading.value is not None
    }
