"""Commands of integrators through broker, cloud and gateway down to the relay of a household, and back."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.clients import set_scope
from cloud.keys import register_key
from cloud.prepaid.adapters import accounts
from prepay.holds import Hold
from tests.rig.installation import CLIENT, OUTPUTS_PER_BOARD, UTILITY, Install, Installation, Plan
from tests.rig.ports import LOOPBACK
from tests.rig.processes import ManagedProcess
from tests.rig.reconciling import read_disk
from tests.rig.requester import Requester, requester
from tests.rig.sessions import connected_session
from wire.address import Kind
from wire.keys import Purpose
from wire.messages import Disconnect, Effect, Limit, Ping, Read, Reconnect, Request, State
from wire.runtime.keyring import make_key

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "integrator.py"
ALL_STATES = ["accepted", "sent", "delivered", "executed"]
LIFE = [State.ACCEPTED, State.SENT, State.DELIVERED, State.EXECUTED]


@pytest.fixture
async def installation(install: Install) -> Installation:
    return await install(Plan(gateways_count=2, meters_per_line=2, period_s=1))


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[Requester]:
    async with requester(installation) as made:
        yield made


def integrator(installation: Installation, effect: str, meter: str) -> ManagedProcess:
    """Return the integrator that stands in the documents, not yet started."""
    arguments = {
        "host": LOOPBACK,
        "port": installation.broker_port,
        "utility": UTILITY,
        "client": CLIENT,
        "key-seed-file": installation.folder / "clients" / f"{CLIENT}.key",
        "cloud-key-file": installation.folder / "trusted" / "cloud-ack.pub",
        "meter": meter,
        "effect": effect,
    }
    options = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    return ManagedProcess(
        [sys.executable, EXAMPLE, *options], name=f"integrator-{effect}-{meter}", folder=installation.folder
    )


async def run_to_its_end(program: ManagedProcess) -> list[dict[str, Any]]:
    """Run the integrator and return the statuses it printed."""
    program.start()
    await asyncio.to_thread(program.wait_until, lambda: not program.running, what="the final status")
    assert program.exit_code == 0, program.log_text()
    return program.json_lines()


@pytest.mark.req("B-4", "F-1", "F-2")
async def test_a_strangers_program_opens_a_relay_and_closes_it(installation: Installation) -> None:
    meter, neighbour = installation.all_meters()[:2]
    assert installation.state(meter)["power_w"] > 0

    statuses = await run_to_its_end(integrator(installation, "disconnect", meter))
    assert [status["state"] for status in statuses] == ALL_STATES
    assert statuses[-1]["relay_closed"] is False
    dark = installation.state(meter)
    assert (dark["relay_closed"], dark["energised"], dark["power_w"]) == (False, False, 0)
    assert installation.state(neighbour)["energised"]

    statuses = await run_to_its_end(integrator(installation, "reconnect", meter))
    assert [status["state"] for status in statuses] == ALL_STATES
    assert statuses[-1]["relay_closed"] is True
    light = installation.state(meter)
    assert (light["relay_closed"], light["energised"]) == (True, True)
    assert light["power_w"] > 0


@pytest.mark.req("A-4", "F-2")
async def test_a_strangers_program_has_a_meter_read_and_pinged(installation: Installation) -> None:
    for effect in ("read", "ping"):
        statuses = await run_to_its_end(integrator(installation, effect, installation.all_meters()[0]))
        assert [status["state"] for status in statuses] == ALL_STATES


@pytest.mark.req("F-1", "F-2")
async def test_a_group_of_meters_on_several_gateways_has_one_life_cycle_whatever_the_effect(
    installation: Installation, client: Requester
) -> None:
    effects: list[Effect] = [Disconnect(), Reconnect(), Limit(5_000), Limit(None), Read([]), Ping()]
    for effect in effects:
        asked = client.ask(effect, *installation.all_meters())
        await client.over()
        for meter in installation.all_meters():
            assert asked.states(meter) == LIFE, effect


@pytest.mark.req("F-2")
async def test_what_a_meter_cannot_do_is_refused_by_its_gateway(install: Install) -> None:
    installation = await install(Plan(meters_per_line=OUTPUTS_PER_BOARD + 1))
    meter = installation.all_meters()[-1]
    async with requester(installation) as client:
        effects: list[Effect] = [Disconnect(), Reconnect(), Limit(1), Limit(None)]
        for asked in [client.ask(effect, meter) for effect in effects]:
            await client.over(asked)
            assert asked.status(meter).state is State.REFUSED
            assert asked.status(meter).detail == "this meter has no relay"
        nothing = client.ask(Read([bytes(6)]), meter)
        await client.over()
        assert nothing.status(meter).state is State.FAILED
        assert nothing.status(meter).detail == "refused: the meter has none of these channels"


@pytest.mark.req("F-2", "K-2")
async def test_a_command_for_a_meter_that_was_taken_away_ends(installation: Installation, client: Requester) -> None:
    meter = installation.all_meters()[1]
    gateway = installation.gateways["gw-1"]
    installation.control(command="fault", device=meter, kind="dead", on=True)
    asked = client.ask(Read([]), meter)
    await installation.until(lambda: State.DELIVERED in asked.states(meter), what="the delivery")
    gateway.kill()
    path = installation.folder / "gw-1.toml"
    head, _, _ = path.read_text().partition(f'[[lines.meters]]\nid = "{meter}"')
    path.write_text(head)
    await installation.start(gateway)
    await client.over()
    assert (asked.status(meter).state, asked.status(meter).detail) == (State.FAILED, "this gateway has no such meter")


@pytest.mark.req("F-3")
async def test_a_request_that_comes_again_runs_once_and_another_under_its_id_is_refused(
    installation: Installation, client: Requester
) -> None:
    meter = installation.all_meters()[0]
    asked = client.ask(Disconnect(), meter)
    await client.over()
    before = len(asked.statuses)
    repeated = client.send(asked.request)
    await client.over()
    assert repeated.states(meter) == [State.EXECUTED]
    assert before == len(LIFE)
    disk = read_disk(installation.store_path("gw-1"), "gw-1")
    commands = await installation.transact(commands_of)
    assert len(commands) == len(disk.commands) == 1

    other = client.send(client.make(Reconnect(), [meter], request_id=asked.request.id))
    await installation.until(
        lambda: any(status.detail == "replayed" for status in other.statuses), what="the refusal of a used id"
    )
    assert len(await installation.transact(commands_of)) == 1
    assert not installation.state(meter)["energised"]


def commands_of(connection: sa.Connection) -> list[tuple[str, str]]:
    """Return meter and state of all commands."""
    table = schema.command.c
    return [(row.meter, row.state) for row in connection.execute(sa.select(table.meter, table.state))]


@pytest.mark.req("B-4")
async def test_a_client_is_told_under_its_own_tree_only(installation: Installation, client: Requester) -> None:
    every = f"{installation.tree.root}/c/+/{Kind.STATUS}"
    others = f"{installation.tree.root}/c/other/#"
    async with (
        connected_session(installation.broker_port, "everything", subscriptions=(every,)) as everything,
        connected_session(installation.broker_port, "other", subscriptions=(others,)) as other,
    ):
        client.ask(Disconnect(), installation.all_meters()[0])
        await client.over()
        seen = await everything.receive(len(LIFE))
        assert {message.topic for message in seen} == {installation.tree.client(CLIENT, Kind.STATUS)}
        assert other.session.intake_messages_count == 0


@pytest.mark.req("B-4", "F-3")
async def test_what_a_client_may_not_have_is_refused_and_does_nothing(
    installation: Installation, client: Requester
) -> None:
    mine, theirs = (site.all_meters()[0] for site in installation.sites)
    await installation.transact(
        lambda connection: set_scope(connection, UTILITY, CLIENT, effects="reconnect,disconnect", meters=mine[:5])
    )
    refused = {
        "beyond its meters": client.make(Disconnect(), [theirs]),
        "one of them beyond its meters": client.make(Disconnect(), [mine, theirs]),
        "beyond its effects": client.make(Limit(0), [mine]),
    }
    for request in refused.values():
        client.send(request)
    await client.over()
    for name, request in refused.items():
        asked = client.asked[request.id]
        assert {(status.state, status.detail) for status in asked.statuses} == {(State.REFUSED, "not-allowed")}, name
    assert await installation.transact(commands_of) == []
    assert installation.state(mine)["energised"]
    assert installation.state(theirs)["energised"]


@pytest.mark.req("B-1", "F-3")
async def test_an_expired_request_and_an_unknown_meter_are_refused(
    installation: Installation, client: Requester
) -> None:
    meter = installation.all_meters()[0]
    await installation.transact(partial(set_scope, utility=UTILITY, name=CLIENT, effects="disconnect", meters="*"))
    late = client.send(client.make(Disconnect(), [meter], validity_ms=-1))
    unknown = client.ask(Disconnect(), "EM-nowhere")
    await client.over()
    assert [(status.state, status.detail) for status in late.statuses[:1]] == [(State.REFUSED, "expired")]
    assert unknown.status("EM-nowhere").detail == "unknown-meter"
    assert installation.state(meter)["energised"]


@pytest.mark.req("B-4")
async def test_a_client_registered_later_is_heard_and_one_never_registered_is_not(
    installation: Installation,
) -> None:
    meter = installation.all_meters()[0]
    newcomer = make_key(installation.folder / "clients", name="newcomer", purpose=Purpose.INTEGRATOR, party="newcomer")
    program = integrator(installation, "disconnect", meter)
    for option, value in {
        "--client": "newcomer",
        "--key-seed-file": str(installation.folder / "clients" / "newcomer.key"),
    }.items():
        program.argv[program.argv.index(option) + 1] = value
    program.start()
    await installation.until_committed(partial(refused_count, reason="unknown-key"), what="the refusal of a stranger")
    assert program.json_lines() == []

    def admit(connection: sa.Connection) -> None:
        register_key(connection, UTILITY, newcomer.public)
        set_scope(connection, UTILITY, "newcomer", effects="disconnect", meters="*")

    await installation.transact(admit)
    await asyncio.to_thread(program.wait_until, lambda: not program.running, what="the final status")
    assert [status["state"] for status in program.json_lines()] == ALL_STATES


def refused_count(connection: sa.Connection, *, reason: str) -> int:
    table = schema.refusal.c
    return int(connection.execute(sa.select(sa.func.sum(table.count)).where(table.reason == reason)).scalar() or 0)


@pytest.mark.req("A-9", "F-1", "F-3")
async def test_a_reconnection_does_not_energise_where_credit_is_used_up(
    installation: Installation, client: Requester
) -> None:
    meter = installation.all_meters()[0]
    now_ms = installation.now_ms()
    broke = accounts.NewAccount(
        name="A-1", meter=meter, currency="KES", exponent=2, price="25", opening_wh=0, rated_power_w=10_000
    )
    await installation.transact(lambda connection: accounts.open_account(connection, UTILITY, broke, now_ms=now_ms))
    await installation.until(lambda: not installation.state(meter)["energised"], what="the cut-off at no credit")

    asked = client.ask(Reconnect(), meter)
    await client.over()
    assert asked.status(meter).state is State.EXECUTED
    assert asked.status(meter).detail == "still held: credit"
    assert asked.status(meter).relay_closed is False
    assert not installation.state(meter)["energised"]
    assert read_disk(installation.store_path("gw-1"), "gw-1").holds == {meter: {Hold.CREDIT}}


@pytest.mark.req("F-3")
async def test_commands_that_cross_leave_the_newest_standing(installation: Installation, client: Requester) -> None:
    meter = installation.all_meters()[0]
    rng = random.Random(1)
    installation.cut("gw-1")
    effects: list[Effect] = [rng.choice((Disconnect(), Reconnect())) for _ in range(20)]
    requests: list[Request] = [client.ask(effect, meter).request for effect in [*effects, Disconnect()]]
    await installation.until(
        lambda: all(client.asked[request.id].statuses for request in requests), what="the acceptance of all"
    )
    installation.mend("gw-1")
    await client.over()
    versions = await installation.transact(versions_of)
    newest = max(versions, key=lambda request: versions[request])
    assert client.asked[newest].status(meter).state is State.EXECUTED
    assert installation.state(meter)["energised"] is isinstance(client.asked[newest].request.effect, Reconnect)
    states = {asked.status(meter).state for asked in client.asked.values()}
    assert states <= {State.EXECUTED, State.SUPERSEDED}


def versions_of(connection: sa.Connection) -> dict[bytes, int]:
    table = schema.command.c
    return {bytes(row.request): row.version for row in connection.execute(sa.select(table.request, table.version))}
